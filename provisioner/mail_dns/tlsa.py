"""The TLSA records of MX hosts below mx.microsoft: whether a sender that knows DANE uses them (RFC 7672)."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

from provisioner.mail_dns.dialogue import Answers, Dialogue, DnsAnswer
from provisioner.mail_dns.findings import WARNING, DnsFinding
from provisioner.model import DnsQuery
from provisioner.model.clouds import SIGNED_MX_SUFFIX

_USABLE = ("2 ", "3 ")


class Protection(enum.StrEnum):
    """What DANE does for the mail of a domain, as far as it can be told from here."""

    NONE = "none"
    VALIDATED = "validated"
    NOT_VALIDATED = "not validated"
    UNKNOWN = "unknown"


def usable(texts: Iterable[str]) -> list[str]:
    """The records that senders use: certificate usage 2 or 3 (RFC 7672, 3.1; Learn, "How SMTP DANE works")."""
    return [text for text in texts if text.startswith(_USABLE)]


def protection(domain: str, hosts: Iterable[str], mx: DnsAnswer) -> Dialogue[tuple[Protection, list[DnsFinding]]]:
    """Ask for the TLSA records of these MX hosts. `mx` is the answer that named them."""
    questions = {host: DnsQuery(f"_25._tcp.{host}", "TLSA") for host in hosts if host.endswith(SIGNED_MX_SUFFIX)}
    if not questions:
        return Protection.NONE, []
    answers: Answers = yield tuple(questions.values())
    found = {host: answers[question] for host, question in questions.items() if answers[question].values}
    if not found:
        failed = any(answers[question].failed for question in questions.values())
        return Protection.UNKNOWN if failed else Protection.NONE, []
    findings = list(_findings(domain, found, mx))
    verdicts = {mx.validated, *(answer.validated for answer in found.values())}
    if findings:
        return Protection.NOT_VALIDATED, findings
    return Protection.UNKNOWN if None in verdicts else Protection.VALIDATED, []


def _findings(domain: str, found: Mapping[str, DnsAnswer], mx: DnsAnswer) -> Iterable[DnsFinding]:
    if mx.validated is False:
        what = (
            f"{domain} has an MX host with TLSA records, and DNSSEC does not prove its MX records: no sender uses DANE"
        )
        hint = "sign the zone, and publish its DS record at the registrar"
        yield DnsFinding("DANE-UNSIGNED", WARNING, domain, f"{what} (RFC 7672, 2.2)", hint)
    for host, answer in found.items():
        if not usable(answer.values):
            what = f"_25._tcp.{host} has no TLSA record of usage 2 or 3: senders demand TLS and verify nothing"
            yield DnsFinding("DANE-TLSA", WARNING, domain, f"{what} (RFC 7672, 3.1.3)", "report it to Microsoft")
        elif answer.validated is False:
            what = f"DNSSEC does not prove the TLSA records of {host}: senders pass over them"
            yield DnsFinding("DANE-TLSA", WARNING, domain, what, "ask another resolver; report it to Microsoft")
