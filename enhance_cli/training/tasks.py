"""List the training tasks: one class each, with its recipe, its losses and its data (training.task.Task)."""

from enhance_cli.catalogue import Catalogue

TASKS = Catalogue(
    "task of training",
    __package__,
    {
        "denoise": "denoise.task:Denoising",
        "extend-bandwidth": "bandwidth.task:BandwidthExtension",
        "enhance-embedding": "repair.task:Repair",
        "extract-stem": "stems.task:StemExtraction",
        "inpaint": "denoise.task:Denoising",
    },
)
