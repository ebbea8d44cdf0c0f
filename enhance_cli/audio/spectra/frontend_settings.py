"""Define the settings of the spectrograms of speech models, as recipes and headers of models have them."""

from dataclasses import dataclass

from enhance_cli.ranges import in_range


@dataclass(frozen=True)
class FrontendSettings:
    """Set an STFT with the same window in both directions, and the compression of magnitudes.

    Args:
        n_fft, hop: samples of a frame, and from a frame to the next.
        exponent, scale: of the compression, scale * |S|^exponent.
        window: "sqrthann" or "hann".
        transform: "exponent", or "log" for scale * ln(1 + |S|).
        pad_mode: signal beyond the ends, "constant" (zeros) or "reflect".
    """

    n_fft: int = 512
    hop: int = 256
    exponent: float = 0.5
    scale: float = 0.6
    window: str = "sqrthann"
    transform: str = "exponent"
    pad_mode: str = "constant"

    def __post_init__(self) -> None:
        in_range(self, n_fft=(2, 1 << 16))
        in_range(self, hop=(1, self.n_fft))
