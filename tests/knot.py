"""A real authoritative server as a child: Knot DNS with zones of its own, TSIG and DNSSEC, on free ports of loopback.

`needed` marks tests that are skipped without `knotd` (Debian: knot).
"""

from __future__ import annotations

import base64
import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.query
import dns.rdatatype
import dns.zone
import pytest

from tests.clocks import until
from tests.ports import unused_port

# Debian has its servers in folders of the system, which a user's PATH need not name.
KNOTD = shutil.which("knotd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin")
needed = pytest.mark.skipif(KNOTD is None, reason="knotd (Debian: knot) is not installed")

KEY_NAME = "provisioner-test"
SECRET = base64.b64encode(b"a key of this test only, 32 bytes").decode()
SELDOM = frozenset({"SOA", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY"})
"""What a server writes itself when a zone changes."""


@dataclass
class Knot:
    """One server with its zones, by name: the text of a zone file each."""

    folder: Path
    zones: dict[str, str]
    port: int = field(default_factory=unused_port)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def records(self, zone: str) -> set[tuple[str, str, int, str]]:
        """All of a zone by transfer, but for what the server itself writes: name, type, TTL, value."""
        found = dns.zone.from_xfr(dns.query.xfr("127.0.0.1", zone, port=self.port, relativize=False), relativize=False)
        return {
            (name.to_text(), dns.rdatatype.to_text(rdata.rdtype), ttl, rdata.to_text())
            for name, ttl, rdata in found.iterate_rdatas()
            if dns.rdatatype.to_text(rdata.rdtype) not in SELDOM
        }

    def configure(self) -> Path:
        """The configuration, with each zone in a file."""
        lines = [
            f"server:\n    rundir: {self.folder}\n    listen: 127.0.0.1@{self.port}\n    user: {getpass.getuser()}\n",
            f"database:\n    storage: {self.folder}\n",
            f"log:\n  - target: {self.folder}/knot.log\n    any: info\n",
            f"key:\n  - id: {KEY_NAME}\n    algorithm: hmac-sha256\n    secret: {SECRET}\n",
            f"acl:\n  - id: update\n    key: {KEY_NAME}\n    action: [update, transfer]\n",
            "  - id: look\n    address: 127.0.0.1\n    action: transfer\n",
            f"template:\n  - id: default\n    storage: {self.folder}\n    acl: [update, look]\n"
            "    dnssec-signing: on\n    zonefile-sync: -1\n    journal-content: all\n    zonefile-load: none\n",
            "zone:\n",
        ]
        for name, text in self.zones.items():
            (self.folder / f"{name}.zone").write_text(text)
            lines.append(f"  - domain: {name}\n    file: {self.folder}/{name}.zone\n    zonefile-load: whole\n")
        path = self.folder / "knot.conf"
        path.write_text("".join(lines))
        return path


@contextmanager
def running(server: Knot) -> Iterator[Knot]:
    """The server from when it answers for each zone until the test is over."""
    server.folder.mkdir(parents=True, exist_ok=True)
    child = _started(server)
    try:
        yield server
    finally:
        child.terminate()
        try:
            child.wait(60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _started(server: Knot) -> subprocess.Popen[bytes]:
    """A child that answers for each zone. Another program may have taken the port meanwhile: then on another one."""
    while True:
        command = [str(KNOTD), "-c", str(server.configure())]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=server.folder)
        try:
            _until_it_answers(server, child)
        except AssertionError as error:
            child.kill()
            child.wait()
            if "address already in use" not in str(error):
                raise
            (server.folder / "knot.log").unlink()
            server.port = unused_port()
        else:
            return child


def _until_it_answers(server: Knot, child: subprocess.Popen[bytes]) -> None:
    log = server.folder / "knot.log"

    def answers() -> bool:
        assert child.poll() is None, log.read_text() if log.exists() else "knotd has ended"
        try:
            for zone in server.zones:
                server.records(zone)
        except (OSError, EOFError, dns.exception.DNSException):
            return False
        return True

    until(answers)
