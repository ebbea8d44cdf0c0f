"""List the measurements that tasks need in addition to the level. Records of all tasks have the fields of all of them."""

from typing import Any

from enhance_cli.batch.measurements.band import BandMeasurement
from enhance_cli.batch.measurements.gaps import GapMeasurement
from enhance_cli.batch.measurements.measurement import Measurement

MEASUREMENTS: tuple[type[Measurement], ...] = (BandMeasurement, GapMeasurement)
FIELDS: dict[str, Any] = {name: value for one in MEASUREMENTS for name, value in one.fields.items()}
LEVELS: dict[str, tuple[str, str]] = {name: told for one in MEASUREMENTS for name, told in one.levels.items()}
