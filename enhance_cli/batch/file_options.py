"""Say how a file is read, and how its result is written."""

from dataclasses import dataclass

from enhance_cli.batch.measurements.measurement import Measurement


@dataclass(frozen=True)
class FileOptions:
    """Set the part of the input to take, and the format of the result. None means "as the input is".

    `start`, `duration`: in seconds. `sample_rate`: in Hz. `loudness`: in LUFS. `true_peak`: in dBTP, the highest that a
    gain for loudness may reach. -1 is the limit of EBU R 128 and of streaming services. `measure`: put the loudness of
    input and output into the record. Without it short files are done sooner. `parts`: names of the transform's results,
    if it gives several. `last_part_absorbs_rounding`: for parts that sum to the input. The last one is then the input
    less the others as they are read back, after rounding to the format. `track`: number or language of the sound track
    to take. `channels`: number (from 1) of the channel to take, or "mix" for their mean. `dither`: none or tpdf.
    `keep_original`: keep the old sound track of a video behind the new one. `command`: mark for the outputs. Inputs
    with this mark are left out where results are written beside their inputs.
    `measurement`: measures the file for the transform, beside its level.
    """

    start: float = 0.0
    duration: float | None = None
    container: str | None = None
    bit_depth: str | None = None
    sample_rate: int | None = None
    loudness: float | None = None
    true_peak: float = -1.0
    plot: bool = False
    measure: bool = True
    parts: tuple[str, ...] = ()
    last_part_absorbs_rounding: bool = False
    track: str | None = None
    channels: str | None = None
    dither: str = "tpdf"
    keep_original: bool = False
    command: str = ""
    measurement: Measurement = Measurement()
