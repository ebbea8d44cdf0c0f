"""Find the option that was meant by one that does not exist: the nearest name, or the name that other programs have for it."""

import difflib
from collections.abc import Collection

LEAST_ALIKE = 0.75  # of two names, from 0 to 1
OTHER_NAMES = {  # of other programs: the option here, with its value
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


def meant(name: str, known: Collection[str]) -> list[str]:
    """Return the options that `name` may stand for, the likeliest first. `known`: all names that the command has."""
    for option, others in OTHER_NAMES.items():
        if name in others and option.split()[0] in known:
            return [option]
    positive = [option for option in known if not (option.startswith("--no-") and f"--{option[5:]}" in known)]
    return difflib.get_close_matches(name, positive, 2, LEAST_ALIKE)
