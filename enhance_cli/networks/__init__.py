"""Networks: one file each, torch only; forward(x, y, t) -> what the model predicts."""

from enhance_cli.catalogue import Catalogue

NETWORKS = Catalogue(
    "network",
    __name__,
    {
        "bridge_unet": "bridge_unet:BridgeUNet",
        "ncsnpp": "ncsnpp:NCSNpp",
        "storm": "storm:StoRM",
    },
)
