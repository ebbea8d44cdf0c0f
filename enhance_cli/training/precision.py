"""Choose the precision of training: bf16 where the device is fast at it, fp32 for layers that fail in bf16.

On processors with AVX-512 but without AMX, oneDNN computes wrong weight gradients of dilated convolutions in bf16 (seen with
torch 2.11). They may even be NaN, if its working memory held NaN before. Those layers stay in fp32.
"""

import torch
from torch import Tensor, nn

from enhance_cli.models.device import pick_precision


def set_precision(network: nn.Module, name: str, device: torch.device) -> str:
    """Return the precision to train `network` with on `device`. "auto" is bf16 on GPUs and processors that compute in it.

    Layers of `network` that would get wrong gradients in bf16 are changed to compute in fp32.
    """
    if device.type != "cpu":
        return pick_precision(name, device)
    matrices = torch.cpu._is_amx_tile_supported()
    if name == "auto" and (matrices or torch.cpu._is_avx512_bf16_supported()):
        name = "bf16"
    precision = pick_precision(name, device)
    if precision == "bf16" and not matrices:
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and max(module.dilation) > 1:
                module.__class__ = SinglePrecisionConv2d
    return precision


class SinglePrecisionConv2d(nn.Conv2d):
    """Convolve in fp32 in spite of autocast. A layer is given this class in place, so the names of its weights stay."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())
