"""Read other programs' checkpoints: convert(source) -> (weights, spec), one upstream format a file.

`convert.file` runs the converters and writes the result. Nothing here imports torch until a converter is used.
"""

from enhance_cli.catalogue import Catalogue

CONVERTERS = Catalogue(
    "converter",
    __name__,
    {
        "ap-bwe": "ap_bwe:convert",
        "audiosr": "audiosr:convert",
        "flashsr": "flashsr:convert",
        "lavasr": "lavasr:convert",
        "sgmse": "sgmse:convert",
        "storm": "storm:convert",
        "speechbrain": "speechbrain:convert",
        "bbed": "bbed:convert",
        "deepfilternet": "deepfilternet:convert",
        "dpdfnet": "dpdfnet:convert",
        "fastenhancer": "fastenhancer:convert",
        "bs-roformer": "bs_roformer:convert",
        "dicose": "dicose:convert",
        "mel-band-roformer": "mel_band_roformer:convert",
        "panns": "panns:convert",
        "resemblyzer": "resemblyzer:convert",
        "scnet": "scnet:convert",
        "seed": "seed:convert",
        "speechbrain-ecapa": "speechbrain_ecapa:convert",
        "tiger-dnr": "tiger_dnr:convert",
        "wespeaker": "wespeaker:convert",
        "wespeaker-onnx": "wespeaker_onnx:convert",
    },
)

STEPS = {"ouve": (30, 200), "bbed": (30, 200), "schroedinger_bridge_ve": (50, 200), "ddpm": (1, 1000), "edm": (1, 18)}
"""By process: the default number of sampler steps as published (unless a file says otherwise), and the largest allowed."""
