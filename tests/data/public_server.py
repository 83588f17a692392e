"""A small web server of files that can also behave badly, for downloads from 127.0.0.1."""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class PublicServer(ThreadingHTTPServer):
    """Serves `files`, and keeps what was asked for.

    Attributes
    ----------
    files : name -> content.
    asked : (name, Range or '') of each request, in order.
    faults : name -> what comes in place of the next answers: a status, ('drop', bytes) after which
        the connection is cut, or ('wait', seconds) before anything comes.
    ranges : whether parts are served, and `careful`: only of the version that is asked for.
    versions : which header tells versions, or '' for none.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.asked, self.faults = files, [], {}
        self.ranges, self.careful, self.versions = True, True, "ETag"

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/of/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: PublicServer

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        asked = self.headers.get("Range", "")
        self.server.asked.append((name, asked))
        fault = (self.server.faults.get(name) or [None]).pop(0)
        if isinstance(fault, int):
            return self.send_error(fault)
        if fault and fault[0] == "wait":
            return time.sleep(fault[1])
        if name not in self.server.files:
            return self.send_error(404)
        content = self.server.files[name]
        version = f'"{hashlib.md5(content).hexdigest()}"'
        start = 0
        same = self.headers.get("If-Range") == version or not self.server.careful
        if asked and self.server.ranges and same:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.versions:
            self.send_header(self.server.versions, version)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        size = fault[1] if fault else len(content)
        self.wfile.write(content[start : start + size])
        if fault:
            self.connection.close()

    def log_message(self, *_):
        """Nothing is printed."""


@contextmanager
def serving(files: dict[str, bytes]):
    """A server in a thread of its own, as long as the block lasts."""
    with PublicServer(files) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
