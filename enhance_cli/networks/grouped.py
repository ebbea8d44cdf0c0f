"""Define the grouped linear layer of the networks of the DeepFilterNet family, and their recurrent layer with one before it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GroupedLinear(nn.Module):
    """Map (..., inputs) to (..., outputs) by `groups` separate matrices on consecutive pieces of the features."""

    def __init__(self, inputs: int, outputs: int, groups: int, *, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(groups, inputs // groups, outputs // groups))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, h: Tensor) -> Tensor:
        groups, width, _ = self.weight.shape
        pieces = h.reshape(-1, groups, width).transpose(0, 1)
        mapped = torch.bmm(pieces, self.weight).transpose(0, 1).reshape(*h.shape[:-1], -1)
        return mapped if self.bias is None else mapped + self.bias


class SqueezedGRU(nn.Module):
    """Map (B, T, inputs) to (B, T, hidden): a grouped linear layer with ReLU, then `layers` recurrent ones."""

    def __init__(self, inputs: int, hidden: int, layers: int, groups: int, *, bias: bool = True):
        super().__init__()
        self.linear_in = GroupedLinear(inputs, hidden, groups, bias=bias)
        self.gru = nn.GRU(hidden, hidden, layers, batch_first=True)

    def forward(self, h: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.gru(F.relu(self.linear_in(h)), state)
