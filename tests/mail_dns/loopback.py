"""The name server of these tests on loopback: real sockets, UDP and TCP, for those that the program asks."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

import dns.flags
import dns.message

from tests.mail_dns.name_server import NameServer
from tests.ports import listeners

_MOST_BYTES = 1232


class Loopback(NameServer):
    """Serves while it is used as a context manager."""

    port = 0

    def __enter__(self) -> Self:
        self._tcp, self._udp = listeners()
        self.port = self._tcp.getsockname()[1]
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._tcp.shutdown(socket.SHUT_RDWR)
        self._tcp.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        for thread in self._threads:
            thread.join(timeout=60)
        self._udp.close()

    def _serve_udp(self) -> None:
        while True:
            wire, peer = self._udp.recvfrom(4096)
            if not wire:
                return
            answer = self.respond(wire)
            if answer is not None:
                self._udp.sendto(answer if len(answer) <= _MOST_BYTES else _truncated(wire), peer)

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with connection:
                size = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
                answer = self.respond(connection.recv(size, socket.MSG_WAITALL))
                if answer is not None:
                    connection.sendall(len(answer).to_bytes(2, "big") + answer)


def _truncated(wire: bytes) -> bytes:
    short = dns.message.make_response(dns.message.from_wire(wire))
    short.flags |= dns.flags.TC | dns.flags.RA
    return short.to_wire()
