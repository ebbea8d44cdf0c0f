"""Separate stems by a band-split RoPE transformer: complex masks for all stems of a mix.

As published it has 131.7 M parameters, three quarters of them in the masks, and needs 0.53 TFLOP per second of stereo
sound.

The bands lie side by side, and every bin is in one of them. Names of the weights are those of the package BS-RoFormer
before its version 0.5. (Lu et al., 2023, "Music source separation with band-split RoPE transformer".)
"""

from torch import Tensor, nn

from enhance_cli.networks.roformer import Block, RMSNorm, Roformer, Transformer, positions

BANDS = (*[2] * 24, *[4] * 12, *[12] * 8, *[24] * 8, *[48] * 8, 128, 129)


class BSRoformer(Roformer):
    """Separate waveforms (B, C, N), whose C = `channels` are processed together.

    See networks.stem_pair for the methods.

    `bands`: number of bins of each, n_fft / 2 + 1 in all. `depth`: pairs of transformers, the first of a pair along
    time and the second along the bands, of `layers` layers each. `rest`: one more stem, the last: the mix less the
    others. `zero_dc`: remove the lowest bin from every stem, as some training programs did.
    """

    def __init__(
        self,
        dim: int = 384,
        depth: int = 8,
        heads: int = 8,
        dim_head: int = 64,
        bands: tuple[int, ...] = BANDS,
        channels: int = 2,
        stems: int = 4,
        layers: int = 1,
        feed_forward: int = 4,
        mask_depth: int = 2,
        mask_expansion: int = 2,
        n_fft: int = 2048,
        hop: int = 441,
        rest: bool = False,
        zero_dc: bool = False,
    ):
        if sum(bands) != n_fft // 2 + 1:
            raise ValueError(f"the bands hold {sum(bands)} bins of {n_fft // 2 + 1}")
        super().__init__(
            dim, tuple(2 * channels * count for count in bands), dim_head=dim_head, channels=channels, stems=stems,
            mask_depth=mask_depth, mask_expansion=mask_expansion, n_fft=n_fft, hop=hop, zero_dc=zero_dc, rest=rest,
        )  # fmt: skip
        self.layers = nn.ModuleList(
            Block(Transformer(dim, layers, heads, dim_head, feed_forward) for _ in range(2)) for _ in range(depth)
        )
        self.final_norm = RMSNorm(dim)

    def trunk(self, spectrum: Tensor) -> Tensor:
        """Return features (B, T, bands, dim) of a spectrum (B, T, F * C, 2)."""
        h = self.band_split(spectrum.flatten(2))
        frames, bands = positions(h, self.dim_head)
        for block in self.layers:
            h = block(h, frames, bands)
        return self.final_norm(h)
