"""What the TLSA records of MX hosts do: only what DNSSEC proves counts, and what is not known is not a finding."""

from __future__ import annotations

import pytest

from provisioner.mail_dns.dialogue import NO_ROWS, DnsAnswer, Status, replay
from provisioner.mail_dns.tlsa import Protection, protection
from provisioner.model import DnsQuery

HOST = "contoso-com.o-v1.mx.microsoft"
GOOD = "3 1 1 0123456789abcdef"


def rows(*values: str, validated: bool | None) -> DnsAnswer:
    return DnsAnswer(Status.ROWS, values, validated=validated)


@pytest.mark.parametrize(
    ("mx", "tlsa", "told", "ids"),
    [
        (True, rows(GOOD, validated=True), Protection.VALIDATED, []),
        (False, rows(GOOD, validated=True), Protection.NOT_VALIDATED, ["DANE-UNSIGNED"]),
        (True, rows(GOOD, validated=False), Protection.NOT_VALIDATED, ["DANE-TLSA"]),
        (True, rows("1 1 1 ab", validated=True), Protection.NOT_VALIDATED, ["DANE-TLSA"]),
        (None, rows(GOOD, validated=None), Protection.UNKNOWN, []),
        (True, rows(GOOD, validated=None), Protection.UNKNOWN, []),
        (False, NO_ROWS, Protection.NONE, []),
        (True, DnsAnswer(Status.FAILED, reason="silence"), Protection.UNKNOWN, []),
    ],
)
def test_what_dane_does(mx: bool | None, tlsa: DnsAnswer, told: Protection, ids: list[str]) -> None:
    asked: list[DnsQuery] = []

    def answer(question: DnsQuery) -> DnsAnswer:
        asked.append(question)
        return tlsa

    hosts = [HOST, "contoso-com.mail.protection.outlook.com"]
    found, findings = replay(protection("contoso.com", hosts, rows(f"0 {HOST}", validated=mx)), answer)
    assert (found, [finding.id for finding in findings]) == (told, ids)
    assert asked == [DnsQuery(f"_25._tcp.{HOST}", "TLSA")], "hosts that have none are not asked about"
