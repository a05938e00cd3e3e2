"""Closes the network for a Python process: only loopback and Unix sockets stay open.

Python runs a module of this name at its start if it finds one on PYTHONPATH; tests/conftest.py puts this folder
there, so that kernels, builds and jobs that tests start are closed in as well.
"""

import errno
import ipaddress
import socket
import sys


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
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if not is_local(host):
        raise OSError(errno.ENETUNREACH, f"tests have no network: {event} {host!r}")


sys.addaudithook(watch)
