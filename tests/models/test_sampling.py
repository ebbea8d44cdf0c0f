"""Partial sampling (SDEdit): the last part of the path, for every process."""

import pytest

from enhance_cli.errors import UsageError
from enhance_cli.models.registry import find
from enhance_cli.models.sampling import Sampling, prepare, shortened
from enhance_cli.models.spec import Spec, read_spec
from enhance_cli.processes import PROCESSES

SPEC = Spec("m", "bridge_unet", "ouve", samplers=("predictor_corrector",), max_steps=10)


@pytest.mark.parametrize("name", [name for name in PROCESSES if name != "ddpm"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.8])
def test_a_share_of_the_steps_is_the_end_of_the_same_path(name, share):
    process = PROCESSES[name]()
    whole = process.levels(5)
    steps, start = shortened(whole, share, lowest=process.t_eps)
    assert steps == round(5 * share) and process.levels(steps, start) == pytest.approx(whole[-steps - 1 :])


def test_the_ends_and_a_part_of_a_step():
    assert shortened([1.0, 0.0], 0.0)[0] == 0
    assert shortened([1.0, 0.0], 0.25) == (1, 0.25)
    assert shortened([1.0, 0.5, 0.0], 0.75) == (2, 0.75)
    assert shortened([1.0, 0.0], 0.01, lowest=0.03) == (1, pytest.approx(0.03))


def prepared(spec, steps=None, **given):
    return prepare(spec, PROCESSES[spec.process](), Sampling(steps, settings=given))


def test_the_model_s_own_start_is_the_whole_path():
    settings = {"predictor_corrector": {"start": 0.5}}
    spec = Spec("m", "ncsnpp", "bbed", samplers=("predictor_corrector",), sampler_args=settings, max_steps=9)
    assert prepared(spec, 4)[1].keywords["start"] == 0.5
    steps, sample = prepared(spec, 4, strength=0.5)
    assert (steps, sample.keywords["start"]) == (2, pytest.approx(PROCESSES["bbed"]().levels(4, 0.5)[2]))
    assert prepared(spec, 4, strength=0.0)[0] == 0


@pytest.mark.parametrize(
    "given, said",
    [
        ({"strength": 1.5}, "--sdedit 1.5: must be from 0 to 1"),
        ({"strength": 0.5, "start": 0.5}, "--sdedit and --sampler-start both say where sampling starts"),
    ],
)
def test_senseless_shares_are_refused(given, said):
    with pytest.raises(UsageError, match=said):
        prepared(SPEC, **given)


def test_a_model_with_a_first_stage_does_not_sample_from_the_input():
    with pytest.raises(UsageError, match="--sdedit: denoise-48k samples from the estimate of its first stage"):
        prepared(read_spec(find("denoise-48k", "denoise").path), strength=0.5)
