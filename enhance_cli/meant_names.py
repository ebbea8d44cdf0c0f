"""Find the option or command that was meant by one that does not exist, by likeness or by the names of other programs."""

import difflib
from collections.abc import Collection, Mapping

LEAST_ALIKE = 0.75  # of two names, from 0 to 1
OTHER_OPTIONS = {  # of other programs: the option here, with its value
    "--duration": ["--end", "--stop", "--length", "--to", "-t"],
    "--start": ["--from", "--begin", "--ss", "--offset", "-ss"],
    "--existing overwrite": ["--overwrite", "--force", "--yes", "-f", "-y"],
    "--existing skip": ["--skip", "--skip-existing", "--resume", "--no-clobber"],
    "--output": ["--out", "--outdir", "--dest"],
    "--recursive": ["-R"],
    "--device cuda": ["--gpu", "--cuda"],
    "--device cpu": ["--cpu", "--no-cuda"],
    "--workers": ["--jobs", "--processes", "--parallel", "-j"],
    "--threads": ["--cpus", "--cores"],
    "--steps": ["--nfe"],
    "--sample-rate": ["--sr", "--resample", "--target-rate"],
    "--bit-depth": ["--bits", "--subtype"],
    "--loudness": ["--lufs", "--volume", "--normalize", "--gain"],
    "--max-attenuation": ["--atten-lim", "--attenuation", "--amount"],
    "--gaps": ["--mask", "--times"],
    "--report": ["--log", "--log-file"],
    "--verbose": ["--debug", "--trace", "--log-level"],
    "--quiet": ["--silent"],
    "--set": ["--lr", "--learning-rate", "--epochs", "--batch-size", "--override"],
}
OTHER_COMMANDS = {
    "denoise": ["clean", "enhance", "run", "dereverb"],
    "extract-stem": ["separate", "demix", "unmix", "split", "stems"],
    "extend-bandwidth": ["upsample", "super-resolution", "bwe"],
    "inpaint": ["declick", "fill", "repair"],
    "models": ["model", "download"],
    "info": ["version", "doctor"],
    "pull": ["download", "install", "fetch"],
    "remove": ["rm", "delete", "uninstall"],
    "list": ["ls"],
}


def meant(name: str, known: Collection[str], others_of: Mapping[str, Collection[str]]) -> list[str]:
    """Return the names that `name` may stand for, the likeliest first.

    `known`: all names that there are. `others_of`: OTHER_OPTIONS or OTHER_COMMANDS.
    """
    for option, others in others_of.items():
        if name in others and option.split()[0] in known:
            return [option]
    positive = [option for option in known if not (option.startswith("--no-") and f"--{option[5:]}" in known)]
    return difflib.get_close_matches(name, positive, 2, LEAST_ALIKE)
