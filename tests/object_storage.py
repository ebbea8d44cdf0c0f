"""A real S3 server on this machine (moto's), for tests of object storage."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """The environment in which every client of S3 talks to the server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from moto.moto_server.threaded_moto_server import ThreadedMotoServer as S; import sys;"
    code += "S('127.0.0.1', int(sys.argv[1]))._server_entry()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            _wait_for(port, server)
            yield {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": "us-east-1",
                "NO_PROXY": "127.0.0.1," + os.environ.get("NO_PROXY", ""),
            }
        finally:
            server.kill()


def _wait_for(port: int, server: subprocess.Popen) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if server.poll() is not None:
            raise RuntimeError("the S3 server did not start")
        time.sleep(0.1)
    raise RuntimeError("the S3 server does not answer")
