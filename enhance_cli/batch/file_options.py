"""Define the settings with which a file is read and its result is written."""

from dataclasses import dataclass

from enhance_cli.batch.measurements.measurement import Measurement


@dataclass(frozen=True)
class FileOptions:
    """Set which part of the input is read, and the format of the result. None means the same as the input.

    Args:
        start, duration: part of the input, in seconds.
        container, bit_depth: as in --format and --bit-depth.
        sample_rate: in Hz.
        loudness: integrated loudness of the result in LUFS.
        true_peak: limit in dBTP for the gain towards `loudness`. -1 is the limit of EBU R 128 and of streaming services.
        limiter: dB by which peaks may be lowered to reach `loudness`. With 0, the gain towards it ends at `true_peak`.
        plot: draw input and output.
        measure: put the loudness of input and output into the record. Short files take less time without it.
        parts: names of the results of the transform, if it gives several.
        last_part_absorbs_rounding: for parts that sum to the input. The last part is computed as the input minus the other
            parts as they are read back after rounding, so that the files sum to the input, too.
        track: number or language of the sound track to read.
        channels: number of the channel to read, from 1, or "mix" for the mean of all.
        dither: none or tpdf.
        keep_original: keep the original sound track of a video after the new one.
        command: name that is noted in outputs, so that a later run does not take them for inputs.
        measurement: measures the file for the transform, in addition to its level.
    """

    start: float = 0.0
    duration: float | None = None
    container: str | None = None
    bit_depth: str | None = None
    sample_rate: int | None = None
    loudness: float | None = None
    true_peak: float = -1.0
    limiter: float = 0.0
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
