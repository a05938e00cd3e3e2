"""Closes the network for a Python process: only loopback and Unix sockets stay open. And packages, if a test says so.

ATLIB_LACKS names packages, separated by commas, that the process is to find as if they were not installed.

Python runs a module of this name at its start if it finds one on PYTHONPATH; tests/conftest.py puts this folder
there, so that kernels, builds and jobs that tests start are closed in as well.
"""

import errno
import ipaddress
import os
import socket
import sys
from typing import Any


def is_local(host: object) -> bool:
    """Whether a host, by name or address, is this machine."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


def watch(event: str, arguments: tuple) -> None:
    """Audit hook: refuse to look up or to reach any other machine."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    elif event == "socket.getnameinfo":
        host = arguments[0][0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if not is_local(host):
        raise OSError(errno.ENETUNREACH, f"tests have no network: {event} {host!r}")


sys.addaudithook(watch)


class Without:
    """One of Python's finders that finds none of the packages in ATLIB_LACKS."""

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)

    def find_spec(self, name: str, *more: Any) -> Any:
        """As the finder's own."""
        return None if name.partition(".")[0] in LACKING else self.finder.find_spec(name, *more)


LACKING = set(filter(None, os.environ.get("ATLIB_LACKS", "").split(",")))
if LACKING:
    sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
