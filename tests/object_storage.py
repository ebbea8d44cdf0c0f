"""Real servers of object storage on this machine: moto's for S3, gcp-storage-emulator for Google's."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

PATIENCE = 400  # seconds, for a machine under load, where it imports its packages slowly


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """The environment in which every client of S3 talks to the server."""
    code = "from moto.moto_server.threaded_moto_server import ThreadedMotoServer as S; import sys;"
    code += "S('127.0.0.1', int(sys.argv[1]))._server_entry()"
    with _server("-c", code) as port:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            **_DIRECTLY,
        }


@contextlib.contextmanager
def gs_server() -> Iterator[dict[str, str]]:
    """The same for Google Cloud Storage."""
    with _server("-m", "gcp_storage_emulator", "start", "--in-memory", "--host", "127.0.0.1", "--port") as port:
        yield {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}", **_DIRECTLY}


@contextlib.contextmanager
def bucket(scheme: str) -> Iterator:
    """A file system on a server of its own, with a bucket `take`, and the environment set for it."""
    import fsspec

    server = {"s3": s3_server, "gs": gs_server}[scheme]
    with server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        system = fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
        system.mkdir("take")
        yield system


_DIRECTLY = {"NO_PROXY": "127.0.0.1," + os.environ.get("NO_PROXY", "")}


@contextlib.contextmanager
def _server(*command: str) -> Iterator[int]:
    """The port on which `python *command PORT` answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, *command, str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(port, server)
            yield port
        finally:
            server.kill()


def _wait_for(port: int, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if server.poll() is not None:
            raise RuntimeError("the server did not start")
        time.sleep(0.05)
    raise RuntimeError("the server does not answer")
