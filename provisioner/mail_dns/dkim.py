"""The two DKIM selectors of one domain against the CNAME targets that Exchange names.

The targets are Exchange's own words, given from outside: they cannot be computed (they hold a letter and a hash of
Microsoft's choosing).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from provisioner.mail_dns.dialogue import Answers, Dialogue, DnsAnswer, ask
from provisioner.mail_dns.findings import ERROR, WARNING, DnsFinding, DnsRecord, unanswered
from provisioner.mail_dns.names import alias
from provisioner.model import DnsQuery
from provisioner.model.clouds import INITIAL_SUFFIXES

SELECTORS = ("selector1", "selector2")
_INITIAL = "|".join(re.escape(suffix) for suffix in INITIAL_SUFFIXES)
_MICROSOFT_TARGET = re.compile(rf"\._domainkey\.([^.]+)(?:{_INITIAL}|\.[^.]+\.dkim\.mail\.microsoft)$")


def check_signing(domain: str, targets: Mapping[str, str]) -> Dialogue[list[DnsFinding]]:
    """The two selectors of one domain against the targets that Exchange names, and nothing else of it."""
    questions = {s: DnsQuery(f"{s}._domainkey.{domain}", "CNAME") for s in SELECTORS}
    answers: Answers = yield tuple(questions.values())
    named = {selector: answers[question] for selector, question in questions.items()}
    findings = list(unanswered(domain, questions, named))
    return findings + (yield from dkim_findings(domain, targets, named))


def dkim_findings(
    domain: str, targets: Mapping[str, str] | None, named: Mapping[str, DnsAnswer]
) -> Dialogue[list[DnsFinding]]:
    """What is wrong with the selectors. `targets` is None where they are not known; `named` are the CNAME answers."""
    if domain.endswith(INITIAL_SUFFIXES):  # Microsoft signs for them without these CNAMEs
        return []
    if targets is not None and not any(targets.values()):
        summary, hint = f"Exchange signs no mail of {domain}", "declare dkim for it, unless the plan does, and apply"
        return [DnsFinding("DKIM-NOT-CONFIGURED", WARNING, domain, summary, hint)]
    findings: list[DnsFinding] = []
    odd = [s for s in SELECTORS if named[s].values and not _is_dkim_target(named[s].values[0].lower())]
    wild = (yield from ask(f"no-such-selector._domainkey.{domain}", "CNAME")).values if odd else ()
    for selector in SELECTORS:
        name, answer = f"{selector}._domainkey.{domain}", named[selector]
        if answer.failed:
            continue
        there = "" if answer.values == wild else next(iter(answer.values), "").lower()
        target = None if targets is None else targets.get(selector, "").lower().removesuffix(".")
        ends = {there}
        if there and not _is_dkim_target(there):
            ends.update((yield from alias(there)))
        if target is None:
            found = None if any(map(_is_dkim_target, ends)) else _no_dkim(domain, name, there)
        else:
            found = (
                None
                if not target or target in ends
                else (yield from _cname(domain, name, there, target, targets or {}))
            )
        if found is not None:
            findings.append(found)
    return [*findings, _wildcard(domain, wild[0])] if wild else findings


def _wildcard(domain: str, target: str) -> DnsFinding:
    return DnsFinding(
        "DKIM-WILDCARD",
        WARNING,
        domain,
        f"a wildcard CNAME (to {target}) answers for every name below {domain}, selectors too",
        "publish the selectors themselves: they win over the wildcard",
    )


def _is_dkim_target(target: str) -> bool:
    return "._domainkey." in target


def _no_dkim(domain: str, name: str, there: str) -> DnsFinding:
    leads = f"leads to {there}, which is not a DKIM key" if there else "is not there"
    return DnsFinding(
        "DKIM-MISSING",
        WARNING,
        domain,
        f"{name} {leads}",
        "declare dkim for the domain; Exchange then names the target",
    )


def _cname(domain: str, name: str, there: str, target: str, targets: Mapping[str, str]) -> Dialogue[DnsFinding]:
    """What is wrong with a selector that does not lead to its target."""
    publish = (DnsRecord(name, "CNAME", target),)
    if not there:
        texts = yield from ask(name, "TXT")
        if texts.values:
            what = (
                f'{name} is a TXT record ("{_short(texts.values[0])}") where a CNAME belongs; Exchange expects {target}'
            )
            remove = tuple(DnsRecord(name, "TXT", value) for value in texts.values)
            hint = "put the CNAME in its place: Exchange keeps the key, and changes it"
            return DnsFinding("DKIM-TXT", ERROR, domain, what, hint, publish, remove)
    kind, what, hint = _misled(there, target, targets)
    remove = (DnsRecord(name, "CNAME", there),) if there else ()
    return DnsFinding(kind, ERROR, domain, f"{name} {what}; Exchange expects {target}", hint, publish, remove)


def _misled(there: str, target: str, targets: Mapping[str, str]) -> tuple[str, str, str]:
    """Id, what is so, how to fix it."""
    others = {value.lower().removesuffix(".") for value in targets.values()} - {target}
    if not there:
        return "DKIM-CNAME-MISSING", "is not published", "publish it"
    if there in others:
        return "DKIM-CNAME-SWAPPED", f"leads to {there}, the target of the other selector", "exchange the two"
    theirs, ours = _tenant_of(there), _tenant_of(target)
    hint = "point it to the target that Exchange names now"
    if there.startswith(f"{target}."):  # panels put the domain behind a target without a dot
        hint = "enter the target with a dot at its end, or as the provider asks for names of other domains"
        return "DKIM-CNAME-WRONG", f"leads to {there}, the target with {there.removeprefix(target)[1:]} behind it", hint
    if theirs and ours and theirs != ours:
        what = f"leads to {there}, a key of the tenant {theirs} (another one, or an earlier name of {ours})"
        return "DKIM-CNAME-FOREIGN", what, hint
    if theirs:
        return "DKIM-CNAME-OLD", f"leads to {there}, which Exchange does not name any more", hint
    return "DKIM-CNAME-WRONG", f"leads to {there}, which is not one of Microsoft's targets", hint


def _tenant_of(target: str) -> str:
    """The tenant's part of a target, in the form before May 2025 and in the one since; "" for any other name."""
    found = _MICROSOFT_TARGET.search(target)
    return found[1] if found else ""


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
