"""The MTA-STS policy of a domain (RFC 8461): the file on its policy host, read and compared with its MX records.

Senders that know MTA-STS look at the TXT record of `_mta-sts` first, and fetch the file when they have none for its id.
What could not be fetched is not a fact about the file: `failure` says why, and nothing else is concluded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from provisioner.mail_dns.findings import ERROR, INFO, WARNING, DnsFinding
from provisioner.mail_dns.records import is_mta_sts, parse_mta_sts
from provisioner.model.listing import listed

LONGEST_AGE_S = 31_557_600
"""A year: RFC 8461, 3.2."""
_SHORT_AGE_S = 604_800
"""A week: "weeks or greater" is typical (RFC 8461, 3.2), and what Microsoft advises (Learn, "Enhancing mail flow with
MTA-STS"). While no sender has a policy that is in force, an attacker can keep it from being fetched."""
_MODES = ("enforce", "testing", "none")
# RFC 8461, 3.2: names and the values of version and mode are case-sensitive (%s), and nothing precedes the colon.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_LABEL = "[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?"
_PATTERN = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]*[a-z0-9])?")
_MOST_TOLD = 5


@dataclass(frozen=True, slots=True)
class PolicyHost:
    """Where the policy of a domain is fetched: `id` is that of the TXT record, `addresses` those of the host."""

    domain: str
    id: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a policy host answered. `failure`: it gave no answer that counts, and `hint` says what to do about that."""

    status: int = 0
    content_type: str = ""
    text: str = ""
    location: str = ""
    too_large: bool = False
    failure: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy file. `mx` are its patterns in lower case; `errors` make it void."""

    mode: str = ""
    max_age_s: int = 0
    mx: tuple[str, ...] = ()
    id: str = ""
    errors: tuple[str, ...] = ()


def policy_url(domain: str) -> str:
    return f"https://mta-sts.{domain}/.well-known/mta-sts.txt"


def record_id(texts: Iterable[str]) -> str | None:
    """The id that the TXT records of `_mta-sts` give; None where senders take the domain for one without MTA-STS."""
    found = [text for text in texts if is_mta_sts(text)]
    given = parse_mta_sts(found[0]).tags.get("id", "") if len(found) == 1 else ""
    return given if re.fullmatch("[A-Za-z0-9]{1,32}", given) else None


def parse_policy(text: str) -> Policy:
    """Read a policy file (RFC 8461, 3.2). Unknown fields are ignored; of a field but mx that is repeated, the first
    counts. Lines end with CRLF or LF."""
    fields: dict[str, str] = {}
    patterns: dict[str, None] = {}
    errors: list[str] = []
    for number, line in enumerate(re.split(r"\r?\n", text), 1):
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name):
            errors += [f"line {number} is not NAME: VALUE"] if line.strip() else []
        elif name == "mx":
            patterns[value.strip(" \t").lower()] = None
        else:
            fields.setdefault(name, value.strip(" \t"))
    errors += _amiss(fields)
    errors += [f'mx "{p[:100]}" is not a host, nor *. and a domain' for p in patterns if not _PATTERN.fullmatch(p)]
    if not patterns and fields.get("mode") != "none":
        errors.append("mx is missing")
    if len(errors) > _MOST_TOLD:
        errors[_MOST_TOLD:] = [f"and {len(errors) - _MOST_TOLD} more"]
    age_s = 0 if errors else int(fields["max_age"])
    return Policy(fields.get("mode", ""), age_s, tuple(patterns), fields.get("id", "")[:100], tuple(errors))


def _amiss(fields: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the fields that every policy must have."""
    age = fields.get("max_age", "")
    if fields.get("version") != "STSv1":
        yield "version must be STSv1"
    if fields.get("mode") not in _MODES:
        yield f"mode must be {', '.join(_MODES[:-1])} or {_MODES[-1]}"
    if not re.fullmatch("[0-9]{1,10}", age):
        yield "max_age must be a number of seconds"
    elif int(age) > LONGEST_AGE_S:
        yield f"max_age must be at most {LONGEST_AGE_S} seconds"


def admitting(host: str) -> frozenset[str]:
    """The patterns that admit an MX host: itself, and `*.` for exactly its first label (RFC 8461, 4.1)."""
    return frozenset({host, f"*.{host.partition('.')[2]}"})


def sts_policy_findings(host: PolicyHost, exchanges: Sequence[str], fetched: Fetched) -> Iterable[DnsFinding]:
    """What is wrong with the policy. `exchanges` are the domain's MX hosts; none where they are not known."""
    domain, url = host.domain, policy_url(host.domain)
    if fetched.failure:
        what = f"{url} cannot be fetched: {fetched.failure}; nothing is concluded about the policy"
        yield DnsFinding("MTA-STS-UNANSWERED", WARNING, domain, what, fetched.hint or "ask again")
        return
    refused = _refused(domain, url, fetched)
    if refused is not None:
        yield refused
        return
    policy = parse_policy(fetched.text)
    errors = policy.errors
    kind = fetched.content_type.partition(";")[0].strip().lower()
    if kind != "text/plain":
        errors = (f"its content type is {kind or 'missing'}, where senders expect text/plain", *errors)
    if errors:
        what = f"the MTA-STS policy {url} is wrong, so that senders may ignore it: {'; '.join(errors)}"
        yield DnsFinding("MTA-STS-POLICY-SYNTAX", WARNING, domain, what, _hint(host, "correct the file"))
    if not policy.errors:
        yield from _of_policy(host, policy, exchanges)


def _refused(domain: str, url: str, fetched: Fetched) -> DnsFinding | None:
    """What senders do not take for a policy (RFC 8461, 3.3), whatever is in it."""
    if 300 <= fetched.status < 400:
        what = f"{url} redirects to {fetched.location or 'another address'}; senders do not follow redirects"
        return DnsFinding("MTA-STS-POLICY-REDIRECT", WARNING, domain, what, "serve the file at this address itself")
    if fetched.status in (404, 410):
        what = (
            f"{domain} has the record _mta-sts, and {url} is not there (HTTP {fetched.status}): senders use no policy"
        )
        return DnsFinding("MTA-STS-POLICY-MISSING", WARNING, domain, what, "serve the file, or remove the record")
    if fetched.status != 200:
        what = f"{url} answers HTTP {fetched.status}; nothing is concluded about the policy"
        return DnsFinding("MTA-STS-UNANSWERED", WARNING, domain, what, "ask again; senders accept HTTP 200 only")
    if fetched.too_large:
        what = f"{url} is larger than 64 kB; senders may refuse it"
        return DnsFinding("MTA-STS-POLICY-LARGE", WARNING, domain, what, "serve the policy alone")
    return None


def _of_policy(host: PolicyHost, policy: Policy, exchanges: Sequence[str]) -> Iterator[DnsFinding]:
    domain = host.domain
    if policy.mode == "none":
        what = f"the MTA-STS policy of {domain} has mode none: senders deliver as without MTA-STS"
        yield DnsFinding("MTA-STS-NONE", INFO, domain, what, _hint(host, "write mode: testing, later mode: enforce"))
        return
    if policy.mode == "testing":
        what = f"the MTA-STS policy of {domain} has mode testing: senders report failures and deliver all the same"
        hint = _hint(host, "write mode: enforce once the reports show no failures")
        yield DnsFinding("MTA-STS-TESTING", INFO, domain, what, hint)
    yield from _of_exchanges(host, policy, exchanges)
    if policy.max_age_s < _SHORT_AGE_S:
        what = f"senders forget the MTA-STS policy of {domain} after {policy.max_age_s} s (max_age)"
        yield DnsFinding("MTA-STS-AGE", INFO, domain, what, _hint(host, f"write max_age: {_SHORT_AGE_S} or more"))
    if policy.id and policy.id != host.id:
        what = f"the policy file has id {policy.id}, the record _mta-sts.{domain} id {host.id}; only the record counts"
        yield DnsFinding("MTA-STS-ID", INFO, domain, what, "remove the line from the file")


def _of_exchanges(host: PolicyHost, policy: Policy, exchanges: Sequence[str]) -> Iterator[DnsFinding]:
    """The MX hosts that the policy does not admit, and what it admits that is not an MX host."""
    domain, strict = host.domain, policy.mode == "enforce"
    others = [mx for mx in exchanges if admitting(mx).isdisjoint(policy.mx)]
    if others:
        then = "senders with MTA-STS do not deliver" if strict else "senders would not deliver in mode enforce"
        what = f"the MTA-STS policy of {domain} does not name the MX host {_few(others)}: {then} to it"
        lines = "; ".join(f'add the line "mx: {mx}"' for mx in others[:_MOST_TOLD])
        yield DnsFinding("MTA-STS-MX", ERROR if strict else WARNING, domain, what, _hint(host, lines))
    used = frozenset[str]().union(*map(admitting, exchanges))
    unused = [pattern for pattern in policy.mx if pattern not in used]
    if exchanges and unused:
        what = f"the MTA-STS policy of {domain} names {_few(unused)}, which is not an MX host of the domain"
        hint = _hint(host, "remove the line unless such an MX record is to come")
        yield DnsFinding("MTA-STS-MX-UNUSED", INFO, domain, what, hint)


def _hint(host: PolicyHost, what: str) -> str:
    record = f"_mta-sts.{host.domain}"
    return f"{what}; then change the id of {record} (now {host.id}), or senders keep the policy that they have"


def _few(names: Sequence[str]) -> str:
    return listed((name[:253] for name in names), _MOST_TOLD)
