"""A small local server: the part of the Hugging Face resolve protocol that a download of one file needs, and plain files
with resume, over real HTTP."""

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

WITHOUT_WAITING = """
import time
time.sleep = lambda seconds: None
"""  # begins a program that asks a Hub that is down: its client else waits 23 seconds between five tries
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalHub:
    """Serves `files`: {"owner/repo/file": bytes} as the Hub does, {"files/name": bytes} as a plain server does.

    `cut` truncates the next body, `gated` refuses as the Hub does, strangers with 401 and known users with 403,
    `status` answers everything with that code,
    `busy` so many with 429, and both with the Retry-After of `wait`. `silent` is how many seconds a body is waited for.
    """

    def __init__(self, files: dict[str, bytes]):
        self.files, self.requests, self.cut, self.gated, self.status = files, [], False, False, None
        self.silent, self.tags, self.wait, self.busy = 0.0, {}, None, 0
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                hub.requests.append((self.command, self.path))
                if hub.busy:
                    hub.busy -= 1
                    return self.refuse(429, "Busy")
                if hub.status:
                    return self.refuse(hub.status, "Refused")
                if self.path.startswith("/files/"):
                    content = hub.files.get(self.path.lstrip("/"))
                    return self.refuse(404, "Nothing") if content is None else self.send(content, body)
                if "/resolve/" not in self.path:
                    return self.refuse(404, "NotServedHere")
                path = unquote(self.path).lstrip("/").removeprefix("datasets/")
                owner, repo, _, revision, file = path.split("/", 4)
                known = any(name.startswith(f"{owner}/{repo}/") for name in hub.files)
                content = hub.files.get(f"{owner}/{repo}/{file}")
                if hub.gated:
                    return self.refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo")
                if not known:
                    return self.refuse(401, "RepoNotFound")
                return self.refuse(404, "EntryNotFound") if content is None else self.send(content, body)

            def send(self, content: bytes, body: bool) -> None:
                tag = hub.tag(content)
                same = self.headers.get("If-Range", tag) == tag
                begin = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0]) if same else 0
                if begin > len(content):
                    return self.refuse(416, "Range")
                self.send_response(206 if begin else 200)
                self.send_header("ETag", tag)
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(content) - begin))
                self.end_headers()
                if body:
                    time.sleep(hub.silent)
                    cut, hub.cut = hub.cut, False
                    self.wfile.write(content[begin : len(content) // 2] if cut else content[begin:])

            def refuse(self, status: int, code: str) -> None:
                self.send_response(status)
                self.send_header("X-Error-Code", code)
                if hub.wait is not None:
                    self.send_header("Retry-After", hub.wait)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def tag(self, content: bytes) -> str:
        """The digest of a file, once for each: that of gigabytes takes longer than a client waits."""
        known, tag = self.tags.get(id(content), (None, ""))
        if known is not content:
            tag = f'"{hashlib.sha256(content).hexdigest()}"'
            self.tags[id(content)] = (content, tag)
        return tag

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
