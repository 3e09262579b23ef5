"""Ports of 127.0.0.1 that two sockets share, and ports that stay free.

What the system gives away by itself, for a socket bound to port 0 or one that connects, lies in one range (Linux:
net.ipv4.ip_local_port_range, from 32768 on). A number of it that is free now may be another test's a moment later.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

_BELOW_THE_RANGE = range(20_000, 32_000)
_TRIES = 100


def listeners() -> tuple[socket.socket, socket.socket]:
    """Sockets for TCP, which listens, and for UDP on one port."""
    for _ in range(_TRIES):
        tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with suppress(OSError):
            udp.bind(tcp.getsockname())
            return tcp, udp
        tcp.close()
        udp.close()
    raise AssertionError("no port is free for TCP and UDP")


def unused_port() -> int:
    """A port on which nobody listens, and which the system gives to nobody: for TCP and UDP."""
    for _ in range(_TRIES):
        port = secrets.choice(_BELOW_THE_RANGE)  # `random` draws the same in other workers
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, suppress(OSError):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free for TCP and UDP")
