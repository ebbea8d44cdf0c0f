"""Models from the Hugging Face Hub: `hub:OWNER/REPO/FILE.safetensors[@REVISION]`, from the Hub's own cache where it is there.

The cache is asked first, so that a model once fetched never waits for the network. The HF_* variables (HF_HOME, HF_ENDPOINT,
HF_TOKEN, HF_HUB_OFFLINE, ...) mean what they mean everywhere.
"""

import re
from pathlib import Path

from enhance_cli.errors import ModelError

PREFIX = "hub:"
_REFERENCE = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[^@]+\.safetensors)(@(?P<revision>[\w./-]+))?")


def fetch(reference: str) -> Path:
    """The local path of the file that `reference` names, downloaded if it is not in the cache.

    Raises ModelError, saying what to do, for a malformed reference, a repository or file that is not there, a gated
    repository, and a Hub that cannot be reached.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ModelError(f"{reference}: not a model on the Hub", "write hub:OWNER/REPO/FILE.safetensors[@REVISION]")
    from huggingface_hub import errors as hub
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.utils import logging

    repo, file, revision = match["repo"], match["file"], match["revision"]
    cached = try_to_load_from_cache(repo, file, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    logging.set_verbosity_error()  # our error says it in one line
    try:
        return Path(hf_hub_download(repo, file, revision=revision))
    except hub.GatedRepoError as error:
        raise ModelError(
            f"{reference}: gated", f"accept its terms on the Hub, then run `hf auth login` ({repo})"
        ) from error
    except hub.RepositoryNotFoundError as error:
        raise ModelError(
            f"{reference}: no such repository, or a private one", "check the name, or `hf auth login`"
        ) from error
    except hub.RevisionNotFoundError as error:
        raise ModelError(f"{reference}: no such revision", "check what follows the @") from error
    except hub.EntryNotFoundError as error:
        if isinstance(error, hub.LocalEntryNotFoundError):
            raise ModelError(
                f"{reference}: not in the cache, and the Hub cannot be reached", "connect once to fetch it"
            ) from error
        raise ModelError(f"{reference}: no such file in {repo}", "check its name") from error
    except (OSError, hub.HfHubHTTPError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{reference}: the download failed ({reason})", "run again; it goes on where it stopped"
        ) from error
