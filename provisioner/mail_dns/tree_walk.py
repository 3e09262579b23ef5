"""The tree walk of DMARC: which domain a name belongs to, and whose policy holds for it (RFC 9989, 4.10).

The domain itself is asked first, then the names above it, to the top-level domain. At each, records of other kinds
are discarded, and so are all where there are several. `psd=n` and `psd=y` end the walk.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.mail_dns.dialogue import NO_ROWS, Answers, Dialogue, DnsAnswer, Status
from provisioner.mail_dns.records import Dmarc, is_dmarc, parse_dmarc
from provisioner.model import DnsQuery

_MOST_ABOVE = 7
"""Names of more than eight labels are shortened to so many at the second question."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found. `records` are the policies by the domain that has them, the longest name first; `failed` are
    the questions without an answer, with the reason: where there is one, another organization may be above.
    """

    domain: str
    records: tuple[tuple[str, Dmarc], ...] = ()
    failed: tuple[tuple[DnsQuery, DnsAnswer], ...] = ()

    @property
    def organization(self) -> str:
        """The organizational domain (4.10.2)."""
        for name, policy in self.records:
            if policy.public_suffix == "n":
                return name
            if policy.public_suffix == "y" and name != self.domain:
                labels = self.domain.split(".")
                return ".".join(labels[-len(name.split(".")) - 1 :])
        return self.records[-1][0] if self.records else self.domain

    @property
    def above(self) -> tuple[str, Dmarc] | None:
        """The policy that holds where the domain has none: of the organizational domain, else of the public suffix
        (4.10.1). A domain in between does not count.
        """
        named = dict(self.records)
        for name in (self.organization, *(n for n, policy in self.records if policy.public_suffix == "y")):
            if name != self.domain and name in named:
                return name, named[name]
        return None


def names_above(domain: str) -> tuple[str, ...]:
    """The names above a domain at which the walk looks, the longest first."""
    labels = domain.split(".")
    return tuple(".".join(labels[at:]) for at in range(1, len(labels)))[-_MOST_ABOVE:]


def question_at(name: str) -> DnsQuery:
    """What is asked at one name of the walk."""
    return DnsQuery(f"_dmarc.{name}", "TXT")


def tree_walk(domain: str) -> Dialogue[Walk]:
    """Ask all names at once: few records end the walk early, and the names above are those of other domains too."""
    answers: Answers = yield tuple(map(question_at, (domain, *names_above(domain))))
    return walk_of(domain, answers)


def walk_of(domain: str, answers: Answers) -> Walk:
    """The walk, as far as there are answers."""
    records: list[tuple[str, Dmarc]] = []
    failed: list[tuple[DnsQuery, DnsAnswer]] = []
    for name in (domain, *names_above(domain)):
        question = question_at(name)
        answer = answers.get(question, NO_ROWS)
        if answer.failed and not _is_foreign(name, answer):
            failed.append((question, answer))
        policy = policy_of(answer)
        if policy is not None:
            records.append((name, policy))
            if policy.public_suffix in ("y", "n"):
                break
    return Walk(domain, tuple(records), tuple(failed))


def _is_foreign(name: str, answer: DnsAnswer) -> bool:
    """Whether a server for its own zones alone was asked for a top-level domain: nobody waits for that answer.

    Few of them have a policy, such as bank, and they ask each of their domains for a policy of its own.
    """
    return answer.status is Status.REFUSED and "." not in name


def policy_of(answer: DnsAnswer) -> Dmarc | None:
    """The one DMARC policy in these TXT records, as receivers find it: two are as good as none."""
    texts = [text for text in answer.values if is_dmarc(text)]
    return parse_dmarc(texts[0]) if len(texts) == 1 else None
