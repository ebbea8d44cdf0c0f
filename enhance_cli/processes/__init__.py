"""Collect the noise processes between clean and noisy: one small frozen dataclass each, with process.py as their base."""

from enhance_cli.catalogue import Catalogue

PROCESSES = Catalogue(
    "process",
    __name__,
    {
        "ouve": "ouve:OUVE",
        "bbed": "bbed:BBED",
        "schroedinger_bridge_ve": "schroedinger_bridge_ve:SchroedingerBridgeVE",
        "schroedinger_bridge_vp": "schroedinger_bridge_vp:SchroedingerBridgeVP",
        "flow_matching": "flow_matching:FlowMatching",
        "brownian_bridge": "brownian_bridge:BrownianBridge",
        "ddpm": "ddpm:DDPM",
        "edm": "edm:EDM",
    },
)
