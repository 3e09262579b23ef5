"""Names on the way to a record: aliases, wildcards that answer for every name, and names that have the domain twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from provisioner.mail_dns.dialogue import NO_ROWS, Answers, Dialogue, DnsAnswer, Status, ask
from provisioner.mail_dns.findings import INFO, WARNING, DnsFinding, DnsRecord
from provisioner.mail_dns.records import is_dmarc, is_mta_sts, is_tls_rpt
from provisioner.model import DnsQuery

_NOBODY = "_no-such-name"

_BELOW = ("_dmarc", "_mta-sts", "_smtp._tls")
_LONGEST_CHAIN = 8


def sibling(name: str) -> str:
    """A name beside this one that nobody has: what answers for it is a wildcard (RFC 4592)."""
    return f"{_NOBODY}.{name.partition('.')[2]}"


def alias(name: str) -> Dialogue[tuple[str, ...]]:
    """The chain of CNAMEs that a name leads along; () for a name that is none, or whose chain does not end."""
    chain: list[str] = []
    while len(chain) < _LONGEST_CHAIN:
        answer = yield from ask(chain[-1] if chain else name, "CNAME")
        if not answer.values:
            return tuple(chain)
        target = answer.values[0].lower().removesuffix(".")
        if target in {name, *chain}:
            return ()
        chain.append(target)
    return ()


def without_wildcards(
    domain: str, named: Mapping[str, DnsAnswer]
) -> Dialogue[tuple[Mapping[str, DnsAnswer], list[DnsFinding]]]:
    """The answers that are to be read without TXT values that a wildcard gives to every name, and what that is called.

    They are not at that name: nothing there can be removed. A policy that a wildcard gives counts, as receivers see it.
    """
    odd = [w for w in _BELOW if named[w].values and not all(_meant(w, text) for text in named[w].values)]
    if not odd:
        return {}, []
    probe = yield from ask(sibling(f"_dmarc.{domain}"), "TXT")
    wild = set(probe.values)
    caught = [what for what in odd if wild and wild & set(named[what].values)]
    if not caught:
        return {}, []
    kept = {w: [t for t in named[w].values if t not in wild or _meant(w, t)] for w in caught}
    fresh = {w: DnsAnswer(Status.ROWS, tuple(texts)) if texts else NO_ROWS for w, texts in kept.items()}
    what = f"a wildcard TXT record answers for every name below {domain}, {caught[0]}.{domain} too"
    hint = "publish the records that are missing: they win over the wildcard"
    return fresh, [DnsFinding("TXT-WILDCARD", INFO, domain, what, hint)]


def _meant(what: str, text: str) -> bool:
    """Whether a TXT value means something at its name."""
    valid = {"_dmarc": is_dmarc, "_mta-sts": is_mta_sts, "_smtp._tls": is_tls_rpt}
    return valid[what](text)


def doubled(domain: str, findings: Sequence[DnsFinding]) -> Dialogue[list[DnsFinding]]:
    """Records whose name has the domain twice, as panels make them that add it by themselves, where one is missing."""
    records = [r for f in findings if f.id in _MAY_BE_DOUBLED and not f.remove for r in f.publish]
    doubled = {DnsQuery(f"{r.name}.{domain}", r.type): r for r in records if r.name.endswith(f".{domain}")}
    if not doubled:
        return []
    answers: Answers = yield tuple(doubled)
    found = [(question.name, record, answers[question].values) for question, record in doubled.items()]
    hits = [(name, record, values) for name, record, values in found if values and not _same_everywhere(found)]
    return [
        DnsFinding(
            "NAME-DOUBLED",
            WARNING,
            domain,
            f"{name} has a {record.type} record: the name has {domain} twice, and nobody asks for it",
            f"enter {record.name.removesuffix(f'.{domain}')} as the name, without the domain",
            (),
            tuple(DnsRecord(name, record.type, value) for value in values),
        )
        for name, record, values in hits
    ]


def with_doubled_policy(finding: DnsFinding, doubled: Sequence[DnsFinding]) -> DnsFinding:
    """A missing DMARC record with the one that stands at the doubled name, which its owner meant."""
    meant = [r.value for twice in doubled for r in twice.remove if r.type == "TXT" and is_dmarc(r.value)]
    if finding.id != "DMARC-MISSING" or len(meant) != 1:
        return finding
    publish = tuple(dataclasses.replace(record, value=meant[0]) for record in finding.publish)
    return dataclasses.replace(finding, publish=publish, hint="publish there what the doubled name has")


_MAY_BE_DOUBLED = frozenset({"DMARC-MISSING", "DKIM-CNAME-MISSING"})


def _same_everywhere(found: Sequence[tuple[str, DnsRecord, tuple[str, ...]]]) -> bool:
    """Whether every name has the same values, as a wildcard gives them."""
    return len(found) > 1 and len({values for _, _, values in found}) == 1


def aliases(findings: Sequence[DnsFinding]) -> Dialogue[Mapping[str, str]]:
    """Where the names of the TXT records to publish lead to that are aliases.

    `_dmarc` is often a CNAME into the zone of a provider: no other record may stand beside it (RFC 1034, 3.6.2). One
    that a wildcard gives to every name is not at the name, and a record there wins over it.
    """
    names = dict.fromkeys(r.name for f in findings for r in f.publish if r.type == "TXT" and r.name != f.domain)
    moved: dict[str, str] = {}
    for name in names:
        chain = yield from alias(name)
        if chain and chain != (yield from alias(sibling(name))):
            moved[name] = chain[-1]
    return moved


def moved_to(finding: DnsFinding, moved: Mapping[str, str]) -> DnsFinding:
    """The finding with its records at the names that aliases lead to."""
    concerned = [name for name in moved if any(r.name == name for r in finding.publish)]
    if not concerned:
        return finding
    publish, remove = (
        tuple(dataclasses.replace(r, name=moved.get(r.name, r.name)) for r in records)
        for records in (finding.publish, finding.remove)
    )
    where = "; ".join(f"{name} is a CNAME to {moved[name]}: the record belongs there" for name in concerned)
    return dataclasses.replace(finding, hint=f"{finding.hint} ({where})", publish=publish, remove=remove)
