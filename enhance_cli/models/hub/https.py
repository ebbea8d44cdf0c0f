"""Download one file over HTTPS, with resume: bytes received stay in a hidden file beside the target until it is complete.

A transfer is resumed only if the server confirms that the file is unchanged (`If-Range` with its ETag or date).
Otherwise it starts again. HF_HUB_OFFLINE forbids the network here as it does for the Hub.
"""

import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path

from enhance_cli.atomic import replace_path, unfinished_path
from enhance_cli.errors import ModelError

ATTEMPTS = 4
TIMEOUT_SECONDS = 30
LONGEST_WAIT_SECONDS = 60  # that a busy server may ask for
PIECE = 1 << 20
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
LOCAL = ("127.0.0.1", "::1", "localhost")

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the whole, which is None if the server does not say."""


class _Interrupted(Exception):
    """Report that the network failed, or that a busy server asks for some seconds (`wait`). Bytes received are kept."""

    def __init__(self, reason: object, wait: int | None = None):
        super().__init__(reason)
        self.wait = wait


def download(url: str, target: Path, progress: Progress = lambda done, total: None) -> None:
    """Download `url` to `target`. Raises ModelError with the remedy. Bytes received are kept for the next run."""
    if offline():
        raise ModelError(f"{url}: not here, and HF_HUB_OFFLINE forbids the network", "unset it once to fetch the file")
    _check(url, url)
    unfinished = unfinished_path(target)
    try:
        with replace_path(target, wait=True, keep_unfinished=True):
            _receive_patiently(url, unfinished, progress)
        return _mark(unfinished).unlink(missing_ok=True)
    except _Interrupted as error:
        reason = error
    except OSError as error:
        raise ModelError(f"{target}: cannot be written ({error.strerror})", "check the folder and its space") from error
    if _size(unfinished):
        raise ModelError(f"{url}: the download failed ({reason})", "run again; it goes on where it stopped") from reason
    if isinstance(reason.__cause__, urllib.error.HTTPError):
        raise ModelError(f"{url}: the server answers {reason}", "try again later") from reason
    raise ModelError(
        f"{url}: cannot be reached ({reason})", f"check the connection{detours()}, then run again"
    ) from reason


def _receive_patiently(url: str, unfinished: Path, progress: Progress) -> None:
    """Call `_receive` several times if the connection is cut or the server busy. Raises _Interrupted if that does not help."""
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(unfinished)
        try:
            return _receive(url, unfinished, progress)
        except _Interrupted as error:
            nothing_came = _size(unfinished) == before  # then asking again at once does not help
            if attempt == ATTEMPTS or (nothing_came and error.wait is None):
                raise
            time.sleep(error.wait or 0)


def offline() -> bool:
    """Return whether HF_HUB_OFFLINE is set."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def detours(*others: str) -> str:
    """Return ", and NAME=VALUE" for the variables in use that redirect requests: proxies and `others`."""
    names = [name for name in (*others, *PROXIES) if os.environ.get(name)]
    return "".join(f", and {name}={_without_password(os.environ[name])}" for name in names)


def _without_password(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address)


def _receive(url: str, unfinished: Path, progress: Progress) -> None:
    """Append the missing bytes to `unfinished`. Raises _Interrupted, ModelError for a refusal, OSError if writing fails."""
    begin, mark = _size(unfinished), _read(_mark(unfinished))
    headers = {"User-Agent": "enhance-cli", "Accept-Encoding": "identity"}
    if begin and mark:
        headers |= {"Range": f"bytes={begin}-", "If-Range": mark}
    with _open(urllib.request.Request(url, headers=headers), unfinished) as answer:
        _check(answer.url, url)
        if answer.status != 206:
            begin = 0
            _mark(unfinished).write_text(_identity(answer.headers), encoding="utf-8")
        length = answer.headers.get("Content-Length")
        total = begin + int(length) if length and length.isdigit() else None
        with open(unfinished, "ab" if begin else "wb") as file:
            progress(begin, total)
            while piece := _next(answer):
                file.write(piece)
                begin += len(piece)
                progress(begin, total)
    if total is not None and begin != total:
        raise _Interrupted("the connection was cut")


def _open(request: urllib.request.Request, unfinished: Path) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        wait = error.headers.get("Retry-After") or ""
        if wait.isdigit() and int(wait) <= LONGEST_WAIT_SECONDS:
            raise _Interrupted(f"HTTP {error.code}", int(wait)) from error
        if error.code == 416:  # more is here than there: not the same file
            os.truncate(unfinished, 0)
        elif error.code < 500:
            raise _refusal(request.full_url, error) from error
        raise _Interrupted(f"HTTP {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(getattr(error, "reason", None) or error) from error


def _next(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(PIECE)
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(error) from error


def _identity(headers: Message) -> str:
    """Return an identifier of this version of the file for If-Range: a strong ETag, or the date."""
    tag = headers.get("ETag") or ""
    return tag if tag.startswith('"') else headers.get("Last-Modified") or ""


def _refusal(url: str, error: urllib.error.HTTPError) -> ModelError:
    if error.code in (404, 410):
        return ModelError(f"{url}: no such file on the server", "check the address; its owner may have moved it")
    if error.code in (401, 403):
        return ModelError(f"{url}: the server refuses access ({error.code})", "ask its owner")
    wait = error.headers.get("Retry-After") or ""
    later = f"in {int(wait):,} s" if wait.isdigit() else "later"
    return ModelError(f"{url}: the server refuses (HTTP {error.code})", f"try again {later}")


def _check(url: str, asked: str) -> None:
    """Raise ModelError unless `url` is https, also after redirections, or plain http on this machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
        raise ModelError(f"{asked}: not an https address{'' if url == asked else ' after redirection'}", "use https://")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _mark(unfinished: Path) -> Path:
    return unfinished.with_name(unfinished.name + ".etag")
