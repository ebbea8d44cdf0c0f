"""Fetch files from the Hugging Face Hub or its cache: `hub:OWNER/REPO/FILE.safetensors[@REVISION]`.

The cache is asked first, so that a model once fetched never waits for the network. The HF_* variables (HF_HOME,
HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, ...) have their usual meaning. `fetch` also takes the https address of a
.safetensors file.
"""

import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from enhance_cli.errors import ModelError
from enhance_cli.models.hub import folders

if TYPE_CHECKING:
    from enhance_cli.models.hub import https

PREFIX = "hub:"
URLS = ("https://", "http://")
_REFERENCE = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[^@]+\.safetensors)(@(?P<revision>[\w./-]+))?")


def is_reference(name: str) -> bool:
    return name.startswith((PREFIX, *URLS))


def fetch(reference: str) -> Path:
    """Return the local path of the file that `reference` names, downloaded if necessary.

    Raises ModelError, with the remedy, for a malformed reference, a missing repository or file, a gated repository, and
    a server that cannot be reached.
    """
    if reference.startswith(URLS):
        file = url_file(reference)
        if not file.endswith(".safetensors"):
            hint = "other files are fetched by hand, then `enhance models convert`"
            raise ModelError(f"{reference}: not the address of a .safetensors file", hint)
        path = folders.downloads() / hashlib.sha256(reference.encode()).hexdigest()[:16] / file
        return url_to(reference, path)
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ModelError(f"{reference}: not a model on the Hub", "write hub:OWNER/REPO/FILE.safetensors[@REVISION]")
    return hub_file(match["repo"], match["file"], match["revision"], reference)


def url_to(url: str, path: Path, progress: "https.Progress" = lambda done, total: None) -> Path:
    """Return `path` after downloading the file at `url` to it, unless it exists. Two processes take turns."""
    if not path.is_file():
        from huggingface_hub.utils import WeakFileLock

        path.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(path.with_name(f".{path.name}.lock")):
            if not path.is_file():
                from enhance_cli.models.hub import https  # imports the whole of HTTP

                https.download(url, path, progress)
    return path


def url_file(url: str) -> str:
    """Return the last part of the address, fit for a file name."""
    return re.sub(r"[^\w.=-]", "_", PurePosixPath(unquote(urlsplit(url).path)).name) or "file"


def hub_file(repo: str, file: str, revision: str | None, name: str, repo_type: str = "model") -> Path:
    """Return the path in the Hub's cache, downloaded if necessary.

    `name`: model name for errors. `repo_type`: "model" or "dataset". Raises ModelError.
    """
    from huggingface_hub import errors as hub
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.utils import logging

    cached = try_to_load_from_cache(repo, file, revision=revision, repo_type=repo_type)
    if isinstance(cached, str):
        return Path(cached)
    logging.set_verbosity_error()  # our error says it in one line
    try:
        return Path(hf_hub_download(repo, file, revision=revision, repo_type=repo_type))
    except hub.GatedRepoError as error:
        raise ModelError(f"{name}: gated", f"accept its terms on the Hub, then run `hf auth login` ({repo})") from error
    except hub.RepositoryNotFoundError as error:
        raise ModelError(
            f"{name}: no such repository, or a private one", "check the name, or `hf auth login`"
        ) from error
    except hub.RevisionNotFoundError as error:
        raise ModelError(f"{name}: no such revision", "check the revision behind the @") from error
    except hub.EntryNotFoundError as error:
        if isinstance(error, hub.LocalEntryNotFoundError):
            raise _unreachable(name, error.__cause__) from error
        raise ModelError(f"{name}: no such file in {repo}", "check its name") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
            where = error.filename or "the cache of the Hub"
            hint = "free some space, or set HF_HOME to another folder"
            raise ModelError(f"{name}: {where} cannot be written ({error.strerror})", hint) from error
        # A stalled network raises an error of the HTTP client, whose class depends on the version of huggingface_hub.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        from enhance_cli.models.hub import https

        checks = https.detours("HF_ENDPOINT").replace(", and", ", or check", 1)
        hint = f"run again, which goes on where it stopped{checks}"
        raise ModelError(f"{name}: the download failed ({reason})", hint) from error


def _unreachable(name: str, cause: BaseException | None) -> ModelError:
    from enhance_cli.models.hub import https

    if https.offline():
        return ModelError(
            f"{name}: not in the cache, and HF_HUB_OFFLINE forbids the network", "unset it once to fetch it"
        )
    checks = https.detours("HF_ENDPOINT").replace(", and", ", and check", 1)
    answer = getattr(cause, "response", None)  # of the HTTP client
    if answer is not None:
        return ModelError(f"{name}: the Hub answers HTTP {answer.status_code}", f"try again later{checks}")
    return ModelError(f"{name}: not in the cache, and the Hub cannot be reached", f"connect once to fetch it{checks}")


def hub_revision(path: Path) -> str | None:
    """Return the commit of a file in the Hub's cache (.../snapshots/COMMIT/FILE), or None."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-1] else None


def discard(path: Path) -> None:
    """Delete a fetched file, and its target in the Hub's cache."""
    content = path.resolve()
    path.unlink(missing_ok=True)
    content.unlink(missing_ok=True)
