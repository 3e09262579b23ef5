"""Where the fronts listen: address, fixed and remembered port numbers, and what other machines can reach.

Without a wish every front has a free port of 127.0.0.1, the same as at the last start on the same state folder. The
control front and the managed identity stay on loopback whatever was asked: the first commands the tenant, the second
gives tokens to everyone who can reach it, as in the cloud.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from provisioner.sandbox.platforms import reusable
from provisioner.sandbox.tls import write_private_json

LOOPBACK = "127.0.0.1"
_LOCAL_ONLY = frozenset({"control", "managed_identity"})
FRONTS = (
    "https", "authority", "graph", "exchange", "psrp", "mta_sts", "proxy", "dns",
    "smtp_submission", "smtp_hve", "smtp_mx", "managed_identity", "control",
)  # fmt: skip
"""Names of listeners, as `--ports` takes them and endpoints.json has them."""
_FILE = "ports.json"


class PortUnavailable(OSError):
    """A wanted port cannot be had. The text is one line for a person."""


@dataclass(frozen=True, slots=True)
class Listening:
    """What was asked: an IPv4 address, ports by front, further names for the certificate."""

    address: str = LOOPBACK
    ports: Mapping[str, int] = field(default_factory=dict)
    hostnames: tuple[str, ...] = ()
    remembered: Mapping[str, int] = field(default_factory=dict)

    def address_of(self, front: str) -> str:
        """The address that a front listens on."""
        return LOOPBACK if front in _LOCAL_ONLY else self.address

    def local(self, front: str, port: int) -> str:
        """`address:port` by which this machine reaches a front."""
        address = self.address_of(front)
        return f"{LOOPBACK if address == '0.0.0.0' else address}:{port}"  # noqa: S104 - compared, not bound

    def listener(self, front: str) -> socket.socket:
        """A TCP socket bound for a front: to the port asked for, else to the remembered one if it is free, else to a
        free one. Raises PortUnavailable."""
        if front in self.ports:
            try:
                return listener(self.address_of(front), self.ports[front])
            except OSError as error:
                raise unavailable(front, self.address_of(front), self.ports[front], error) from None
        if front in self.remembered:
            with contextlib.suppress(OSError):
                return listener(self.address_of(front), self.remembered[front])
        return listener(self.address_of(front))

    def with_memory(self, folder: Path) -> Listening:
        """The same, with the ports of the last start on a state folder."""
        return Listening(self.address, self.ports, self.hostnames, _remembered(folder))

    def exposure(self) -> str:
        """What other machines can reach, in a sentence; "" where only this one can."""
        if ipaddress.ip_address(self.address).is_loopback:
            return ""
        open_to_all = [front for front in FRONTS if front not in _LOCAL_ONLY]
        return (
            f"the sandbox listens on {self.address}: every machine that can reach this one can reach "
            f"{', '.join(open_to_all)}. DNS, the MX port and the proxy ask for no credentials; the others ask for "
            f"those of the sandbox. {' and '.join(sorted(_LOCAL_ONLY))} stay on {LOOPBACK}."
        )


def unavailable(front: str, address: str, port: int, error: OSError) -> PortUnavailable:
    """The error for a port that was asked for and cannot be had."""
    if error.errno == errno.EADDRINUSE:
        why = f"another program listens on it: stop that one, or name another with --ports {front}=PORT"
    elif error.errno in (errno.EACCES, errno.EPERM):
        why = f"this user may not listen on it: name one above 1023 with --ports {front}=PORT"
    else:
        why = str(error.strerror or error)
    return PortUnavailable(f"port {port} of {address}, for {front}, cannot be used: {why}")


def listener(address: str = LOOPBACK, port: int = 0) -> socket.socket:
    """A bound TCP socket; 0 is a free port.

    The protocol is named, because asyncio sets TCP_NODELAY only then: without it every answer waits some 40 ms.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        reusable(bound)
        bound.bind((address, port))
        if port:
            bound.listen()  # on Linux a second bind succeeds while nobody listens: the error belongs here
    except OSError:
        bound.close()
        raise
    return bound


def remember(folder: Path, addresses: Mapping[str, str]) -> None:
    """Keep the ports of this start for the next one."""
    texts = {front: addresses[front] for front in FRONTS if front in addresses}
    ports = {front: urlsplit(text if "//" in text else f"//{text}").port for front, text in texts.items()}
    write_private_json(folder / _FILE, ports)


def _remembered(folder: Path) -> dict[str, int]:
    """The ports of the last start; none where the file is missing or is not such a table."""
    try:
        kept = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return {front: port for front in FRONTS if type(port := kept.get(front)) is int and 0 < port < 1 << 16}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def parsed(address: str, ports: Iterable[str], hostnames: Iterable[str]) -> Listening:
    """What a command line says, as values. Raises ValueError with one line for a person."""
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        raise ValueError(f'"{address}" is not an IPv4 address: write 127.0.0.1, or 0.0.0.0 for all') from None
    wanted: dict[str, int] = {}
    for text in (part for given in ports for part in given.split(",")):
        front, equals, number = text.strip().partition("=")
        if not equals or front not in FRONTS:
            raise ValueError(f'"{text}" is not NAME=PORT, where NAME is one of {", ".join(FRONTS)}')
        if not number.isascii() or not number.isdigit() or not 0 < int(number[:6]) < 1 << 16:
            raise ValueError(f'"{text}": a port is a number from 1 to 65535')
        if front in wanted or int(number) in wanted.values():
            raise ValueError(f'"{text}": {"a front has one port" if front in wanted else "each front needs its own"}')
        wanted[front] = int(number)
    names = tuple(name.strip().lower().rstrip(".") for given in hostnames for name in given.split(","))
    for name in names:
        if not _is_host(name):
            raise ValueError(f'"{name}" is not a host name')
    return Listening(address, wanted, names)


def _is_host(name: str) -> bool:
    """Whether a name may stand in a certificate: labels of letters, digits and hyphens, the first one also `*`."""
    labels = name.removeprefix("*.").split(".")
    return len(name) <= 253 and all(
        0 < len(label) <= 63 and label.isascii() and label.replace("-", "").replace("_", "").isalnum()
        for label in labels
    )
