"""What two checkers say about one domain, side by side: agreement, or a difference with the RFC that explains it.

Compared are the verdict on each record, the number of SPF lookups, every warning of checkdmarc, and every finding of
ours about MX, SPF, DMARC, MTA-STS and TLS-RPT. checkdmarc knows no DKIM selectors of Exchange, so DKIM is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ASPECTS = {"spf": "SPF-", "dmarc": "DMARC-", "mx": "MX-", "mta_sts": "MTA-STS-", "tls_rpt": "TLS-RPT-"}

# Findings of ours with which receivers use no record of that kind.
VOID = {
    "spf": re.compile(r"SPF-(MISSING|MULTIPLE|LOOKALIKE|SYNTAX|SPACE|SPLIT|LOOKUPS|VOID|INCLUDED)"),
    "dmarc": re.compile(r"DMARC-(MISSING|SYNTAX|MULTIPLE|PLACE)"),
    "mta_sts": re.compile(r"MTA-STS-(SYNTAX|MULTIPLE)"),
    "tls_rpt": re.compile(r"TLS-RPT-(SYNTAX|MULTIPLE)"),
}

# What checkdmarc warns of, and the finding of ours that says the same.
SAME = (
    (r"redirect modifier was ignored|text after the all mechanism", "SPF-AFTER-ALL"),
    (r"ptr mechanism should not be used", "SPF-PTR"),
    (
        r"missing p tag is equivalent to p=none|Support for the \w+ tag was removed|size limit .* is obsolete",
        "DMARC-TAG",
    ),
    (r"A p tag value of none", "DMARC-NONE"),
    (r"An sp tag value of none", "DMARC-SUBDOMAINS"),
    (r"default value \w+ was used instead", "DMARC-TAG-VALUE"),
    (r"rua tag .* not found", "DMARC-NO-REPORTS"),
    (r"does not indicate that it accepts DMARC reports", "DMARC-REPORTS-REFUSED"),
    (r"rua email address .* has no MX records", "DMARC-REPORTS-LOST"),
    (r"is a CNAME alias", "MX-CNAME"),
    (r"points at the IP address", "MX-ADDRESS"),
    (r"null MX record", "MX-NULL"),
)

# Why the verdict on a record may differ: aspect, what checkdmarc says, the reason.
VERDICTS = (
    (
        "spf",
        r"Expected version_tag at position 0.*V=SPF1",
        'RFC 7208, 4.5 and 12: version = "v=spf1" is an ABNF string, which has no case (RFC 5234, 2.3)',
    ),
    (
        "dmarc",
        r"Unrelated TXT records .*v=spf1",
        "RFC 9989, 4.10 (RFC 7489, 6.6.3): records that do not begin with the version of DMARC are discarded",
    ),
)

# What only checkdmarc warns of.
THEIRS_ONLY = (
    (
        r"have no effect without an ra modifier",
        "RFC 7208, 6: unknown modifiers are ignored; RFC 6652 is optional",
    ),
    (
        r"An mx mechanism points to .* does not have any MX records",
        "RFC 7208, 4.6.4: up to two lookups may come back empty; from the third on SPF-VOID is found",
    ),
)

# What only we find, by id.
OURS_ONLY = {
    "SPF-EXCHANGE-MISSING": "RFC 7208, 5.2: about the sender Exchange Online, which checkdmarc does not know",
    "SPF-EXCHANGE-LISTED": "RFC 7208, 10.1.1: about the sender Exchange Online, which checkdmarc does not know",
    "SPF-EXCHANGE-CLOUD": "RFC 7208, 5.2: about the sender Exchange Online, which checkdmarc does not know",
    "SPF-ALL-MISSING": "RFC 7208, 4.7 and 5.1: without all the result is neutral, which says nothing",
    "SPF-ALL-PASS": "RFC 7208, 5.1 and 5.6: +all, or ip4 with /0, passes the whole internet",
    "SPF-PLACE": "RFC 7208, 3: SPF is published at the domain, and nobody reads it at _dmarc",
    "DMARC-PSD": "RFC 9989, 4.10.2: psd=y makes each name below an organization of its own",
    "DMARC-TAG": "RFC 9989, 4.7: fo is ignored without ruf; sp and np below the organizational domain",
    "DMARC-TESTING": "RFC 9989, 4.7: with t=y the policy is not applied",
    "DMARC-SUBDOMAINS": "RFC 9989, 4.7: np=none applies to every name that does not exist",
    "DMARC-REPORTS-LOST": "RFC 9990, 3.5: checkdmarc looks for the mail server only where reports are authorised",
    "MX-ELSEWHERE": "RFC 5321, 5.1: valid MX; about direct send and relay through Exchange Online",
    "MX-MIXED": "RFC 5321, 5.1: valid MX; about direct send and relay through Exchange Online",
    "MX-MISSING": "RFC 5321, 5.1: no MX host takes mail for the domain",
    "MX-SUBMISSION-HOST": "RFC 6409, 3.1: a host for submission takes no mail from other servers",
    "MTA-STS-HOST-MISSING": "RFC 8461, 3.3: the policy cannot be fetched; of checkdmarc the record alone is compared",
    "TLS-RPT-MISSING": "RFC 8460, 3: optional; useful beside MTA-STS",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that is compared. `reason` explains a difference; "" where there is none, or none is known."""

    zone: str
    aspect: str
    agreed: bool
    text: str
    reason: str = ""

    @property
    def unexplained(self) -> bool:
        return not self.agreed and not self.reason


def compare(zone: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Statement]:
    """`ours` is a domain of `dns check --format json`, `theirs` what the functions of checkdmarc returned for it."""
    ids = {finding["id"] for finding in ours["findings"]}
    matched: set[str] = set()
    for aspect, found in theirs.items():
        if aspect in VOID:
            yield _verdict(zone, aspect, ids, found)
        if aspect == "spf" and found["valid"] and isinstance(found.get("dns_lookups"), int):
            here, there = ours["spf_lookups"], found["dns_lookups"]
            yield Statement(zone, aspect, here == there, f"lookups: {here} and {there}")
        for warning in found.get("warnings") or ():
            statement, name = _warning(zone, aspect, str(warning), ids)
            matched.add(name)
            yield statement
    for name in sorted(ids - matched):
        aspect = next((a for a, prefix in ASPECTS.items() if name.startswith(prefix) and a in theirs), "")
        if aspect and not (aspect in VOID and VOID[aspect].match(name)):
            yield Statement(zone, aspect, False, f"only ours: {name}", OURS_ONLY.get(name, ""))


def _verdict(zone: str, aspect: str, ids: set[str], found: Mapping[str, Any]) -> Statement:
    """Whether receivers use a record: both say so, or not. A record that is not there is not used either."""
    mine = not any(VOID[aspect].match(name) for name in ids)
    error = str(found.get("error") or "")
    absent = aspect in ("mta_sts", "tls_rpt") and "does not exist" in error
    if absent and mine:
        return Statement(zone, aspect, True, "both: there is no record")
    valid = bool(found["valid"])
    if mine == valid or absent:
        return Statement(zone, aspect, True, "both: valid" if valid else f"both: no usable record ({_short(error)})")
    reason = next((r for a, pattern, r in VERDICTS if a == aspect and re.search(pattern, error, re.DOTALL)), "")
    words = f"ours: {'valid' if mine else 'no usable record'}; checkdmarc: {_short(error) or 'valid'}"
    return Statement(zone, aspect, False, words, reason)


def _warning(zone: str, aspect: str, warning: str, ids: set[str]) -> tuple[Statement, str]:
    name = next((name for pattern, name in SAME if re.search(pattern, warning)), "")
    if name in ids:
        return Statement(zone, aspect, True, f"both: {name}"), name
    reason = next((reason for pattern, reason in THEIRS_ONLY if re.search(pattern, warning)), "")
    return Statement(zone, aspect, False, f"only checkdmarc: {_short(warning)}", reason), ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 110 else f"{line[:109]}…"
