"""Measurements of tasks: each fills the fields that it says, and every record has the fields of all of them."""

import json

import numpy as np
import pytest

from enhance_cli.audio.info import AudioInfo
from enhance_cli.audio.levels.level import Meter
from enhance_cli.batch.measurements import FIELDS, MEASUREMENTS, Measurement
from enhance_cli.batch.record import Record

RATE = 16000
HISS = np.random.default_rng(0).normal(0, 0.1, (1, 2 * RATE)).astype(np.float32)


@pytest.mark.parametrize("measurement", [Measurement, *MEASUREMENTS])
def test_a_measurement_fills_the_fields_and_levels_that_it_names(measurement, tmp_path):
    info = AudioInfo(tmp_path / "a.wav", "WAV", "PCM_16", RATE, 1, HISS.shape[1], "libsndfile")
    made = measurement()
    extra, after = made.input_meter(info, start=0.0, sample_rate=None), made.result_meter(RATE)
    before = Meter(RATE, 1, loudness=False, extra=extra)
    before.push(HISS)
    if after:
        after.push(HISS)
    assert made.values(before, after, 1.0).keys() == made.fields.keys()
    assert {f"{name}_{when}" for name in made.levels for when in ("before", "after")} <= made.fields.keys()


def test_records_of_all_tasks_have_the_same_fields_in_the_same_order():
    """A table of several runs has one set of columns."""
    without, with_fields = Record(input="a.wav"), Record(input="a.wav")
    with_fields.update({"cutoff_before": 4000.0, "gaps": [{"start": 1.0}], "gain": 0.5})
    plain, measured = (json.loads(record.to_json()) for record in (without, with_fields))
    assert list(plain) == list(measured) and {name: plain[name] for name in FIELDS} == FIELDS
    assert measured["cutoff_before"] == 4000.0 and measured["gaps"] == [{"start": 1.0}] and measured["gain"] == 0.5
    names = list(plain)
    assert names[names.index("noise_floor_after") + 1 : names.index("gain")] == list(FIELDS)
