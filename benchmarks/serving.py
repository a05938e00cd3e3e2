"""A folder over http, on this machine, for a browser that looks at the built book."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Server(http.server.SimpleHTTPRequestHandler):
    """A folder's files, with more headers, and without a line for each request."""

    def __init__(self, *given: Any, headers: Mapping[str, str], **more: Any) -> None:
        self.more = headers
        super().__init__(*given, **more)

    def end_headers(self) -> None:
        for name, value in self.more.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a folder over http, on this machine, as long as it lasts."""
    handler = functools.partial(Server, directory=str(folder), headers=headers or {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
