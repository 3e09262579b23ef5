"""What a check finds, and the records that it asks for: plain values. docs/mail-dns.md explains every id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from provisioner.diagnostics import Severity
from provisioner.mail_dns.dialogue import DnsAnswer
from provisioner.model import DnsQuery


@dataclass(frozen=True, slots=True, order=True)
class DnsRecord:
    """One record to publish. `name` is the full name without trailing dot, `value` as in `DnsAnswer.values`."""

    name: str
    type: str
    value: str
    ttl_s: int = 3600

    def __str__(self) -> str:
        return f"{self.name} {self.type} {self.value}"


@dataclass(frozen=True, slots=True)
class DnsFinding:
    """One thing about a domain's DNS: a stable id, what is so, how to fix it, and what exactly to publish.

    `publish` are the records that must stand there; they take the place of `remove`, which are there now.
    """

    id: str
    severity: Severity
    domain: str
    summary: str
    hint: str = ""
    publish: tuple[DnsRecord, ...] = ()
    remove: tuple[DnsRecord, ...] = ()


ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


def unanswered(
    domain: str, questions: Mapping[str, DnsQuery], answers: Mapping[str, DnsAnswer]
) -> Iterable[DnsFinding]:
    """The questions that failed: nothing may be concluded from them."""
    for what, answer in answers.items():
        if answer.failed:
            yield DnsFinding(
                "DNS-UNANSWERED",
                WARNING,
                domain,
                f"{questions[what]} could not be read: {answer.reason or 'no answer'}; nothing is concluded from it",
                "ask again, or ask another resolver",
            )


def visible(text: str) -> str:
    """The text with what cannot be seen in it (a no-break space) by its number."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
