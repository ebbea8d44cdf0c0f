"""Noise processes between clean and noisy: one small frozen dataclass each."""

from enhance_cli.catalogue import Catalogue

PROCESSES = Catalogue(
    "process",
    __name__,
    {
        "brownian_bridge": "brownian_bridge:BrownianBridge",
    },
)
