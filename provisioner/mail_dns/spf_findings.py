"""What is wrong with a domain's SPF, and the record that would be right.

A proposal keeps what is published: terms are added in front of `all`, spaces and misspelt terms are corrected, two
records become one. It never invents a stricter ending than the one that was there.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import re
from collections.abc import Iterable, Sequence

from provisioner.mail_dns.dialogue import DnsAnswer
from provisioner.mail_dns.findings import ERROR, INFO, WARNING, DnsFinding, DnsRecord, visible
from provisioner.mail_dns.spf import MOST_LOOKUPS, MOST_VOID, SpfSurvey, networks
from provisioner.mail_dns.spf_syntax import Network, SpfRecord, SpfSyntaxError, is_spf, parse
from provisioner.model.clouds import CLOUDS

_QUOTES = "\"'\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb"
_LOOKALIKE = re.compile(
    rf"^[\s{_QUOTES}\ufeff\u200b]*(?:v\s*[=:]\s*)?spf\s*[123](?:\b|(?=[+\-~?]?(?:include|ip4|ip6|mx|a|all|redirect|exists)\b))",
    re.IGNORECASE,
)
_STRAY_BLANK = re.compile(
    r"\b(include|a|mx|ptr|exists|ip4|ip6)(\s*:\s+|\s+:\s*)|\b(redirect|exp)(\s*=\s+|\s+=\s*)", re.IGNORECASE
)
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-") | dict.fromkeys(_QUOTES))
_ENDING = re.compile(r"(?<= )([~?\-+]) *(all)[.:]*(?= |$)", re.IGNORECASE)
_GLUED = re.compile(r"(?<=[a-z0-9.%}])([~?\-+]all)(?= |$)", re.IGNORECASE)
_GLUED_TERM = re.compile(r"(?<=[a-z0-9])(?=(?:include|ip4|ip6|exists):)", re.IGNORECASE)
_MISSPELT = (
    (re.compile(r"(?<= )([+\-~?]?)(?:ipv4|ip)[:=]", re.IGNORECASE), r"\1ip4:"),
    (re.compile(r"(?<= )([+\-~?]?)ipv6[:=]", re.IGNORECASE), r"\1ip6:"),
    (re.compile(r"(?<= )([+\-~?]?)(ip4|ip6|include|exists)=", re.IGNORECASE), r"\1\2:"),
    (re.compile(r"(?<= )([+\-~?]?)(?:includ|inlcude|incldue|inclue|includes):", re.IGNORECASE), r"\1include:"),
    (re.compile(r"(?<= )([+\-~?]?)a:(\d+\.\d+\.\d+\.\d+)(?=[/ ]|$)", re.IGNORECASE), r"\1ip4:\2"),
    (re.compile(r"(?<= )redirect:", re.IGNORECASE), "redirect="),
    (re.compile(r"(?<= )all(?= |$)", re.IGNORECASE), "all"),
)
_MOST_CHARACTERS = 450  # what fits into 512 bytes beside the rest of the answer (RFC 7208, 3.4)
_INTERNAL = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128")
)
_MEANT_AS_TERM = frozenset({"include", "ip4", "ip6", "a", "mx", "exists", "ipv4", "ip", "ipv6", "all"})


class Passing(enum.Enum):
    """How mail that Exchange Online sends passes the SPF record of a domain."""

    INCLUDED = "by what follows Microsoft's changes: the include itself, or one that asks for each address"
    LISTED = "by the networks that Exchange has today"
    FAILS = "not, or not from every network of Exchange"


def spf_findings(
    domain: str,
    answer: DnsAnswer,
    survey: SpfSurvey,
    uncovered: Sequence[Network],
    include: str,
    exchange: Passing,
) -> list[DnsFinding]:
    """Everything about the SPF of one domain.

    `answer` are its TXT records, `survey` what they lead to, `uncovered` the egress networks that do not pass,
    `include` the name that stands for Exchange ("" when the domain does not send through it), `exchange` how mail that
    Exchange sends passes.
    """
    published = [text for text in answer.values if is_spf(text)]
    lacks = include if exchange is not Passing.INCLUDED else ""
    lacking = [f"include:{lacks}"] if lacks and not _other_clouds(survey, include) else []
    terms = [*map(_ip_term, uncovered), *lacking]
    if len(published) != 1:
        always = [f"include:{include}"] if include else []
        return list(_of_the_set(domain, answer, published, [*map(_ip_term, uncovered), *always]))
    text = published[0]
    found = [*_lookalikes(domain, answer, ""), *_of_the_record(domain, text, answer)]
    found += [*_of_the_survey(domain, text, survey), *_of_the_senders(domain, text, uncovered)]
    found += _of_exchange(domain, text, lacks, exchange, survey)
    # Every finding that asks for another record asks for the same one, with all of them corrected.
    kept = " ".join(part for part in text.split(" ") if not (lacking and _misnamed(part, survey)))
    best = improve(kept, terms, next((s for s in answer.strings if "".join(s) == text), ()))
    publish = _txt(domain, best) if best is not None else ()
    return [dataclasses.replace(f, publish=publish) if f.remove == _txt(domain, text) else f for f in found]


def _lookalikes(domain: str, answer: DnsAnswer, instead: str) -> Iterable[DnsFinding]:
    for text in filter(_is_lookalike, answer.values):
        yield DnsFinding(
            "SPF-LOOKALIKE",
            ERROR if instead else WARNING,
            domain,
            f'"{visible(text)}" is not an SPF record: it must begin with "v=spf1" and a space',
            "write it exactly so, without anything in front",
            _txt(domain, instead) if instead else (),
            _txt(domain, text),
        )


def _is_lookalike(text: str) -> bool:
    return not is_spf(text) and _LOOKALIKE.match(text) is not None and "spf2.0" not in text.lower()


def _of_the_set(domain: str, answer: DnsAnswer, published: Sequence[str], terms: Sequence[str]) -> Iterable[DnsFinding]:
    if len(published) > 1:
        yield DnsFinding(
            "SPF-MULTIPLE",
            ERROR,
            domain,
            f"{domain} has {len(published)} SPF records; receivers answer with permerror and use none of them",
            "publish one record that holds the terms of all",
            _txt(domain, merge(published, terms)),
            tuple(record for text in published for record in _txt(domain, text)),
        )
        return
    lookalike = next(filter(_is_lookalike, answer.values), None)
    if lookalike is not None:
        meant = "v=spf1 " + re.sub(_LOOKALIKE, "", lookalike).strip(f" {_QUOTES}")
        yield from _lookalikes(domain, answer, improve(meant, terms) or improve("v=spf1 ~all", terms) or "")
    elif not answer.failed:
        yield DnsFinding(
            "SPF-MISSING",
            ERROR,
            domain,
            f"{domain} has no SPF record: receivers cannot tell its mail from forged mail",
            "publish one; write -all instead of ~all once every sender is in it" if terms else "publish one",
            _txt(domain, " ".join(["v=spf1", *terms, "~all" if terms else "-all"])),
        )


def _of_the_record(domain: str, text: str, answer: DnsAnswer) -> Iterable[DnsFinding]:
    try:
        record = parse(text)
    except SpfSyntaxError as error:
        yield _broken(domain, text, error, answer)
        return
    glued = next(iter(_glued(record)), "")
    if glued:
        what = f'the SPF record of {domain} is wrong: "{glued}" lacks a space in front of -all'
        yield DnsFinding("SPF-SYNTAX", ERROR, domain, what, "add the space", remove=_txt(domain, text))
        return
    if len(text) > _MOST_CHARACTERS:
        yield DnsFinding(
            "SPF-LONG",
            INFO,
            domain,
            f"the SPF record has {len(text)} characters; above {_MOST_CHARACTERS} it may not fit into one datagram",
            "move address ranges into an included record",
        )
    yield from _of_the_ending(domain, text, record)
    for other in record.others:
        name = other.partition("=")[0].lower()
        if name in _MEANT_AS_TERM:
            yield DnsFinding(
                "SPF-EQUALS-SIGN",
                ERROR,
                domain,
                f'"{other}" is read as an unknown modifier and ignored: {name} is followed by a colon',
                "write a colon",
                remove=_txt(domain, text),
            )
    if any(m.name == "ptr" for m in record.mechanisms):
        yield DnsFinding(
            "SPF-PTR",
            WARNING,
            domain,
            "ptr is slow and unreliable; RFC 7208 says not to use it",
            "name addresses instead",
        )
    private = [str(network) for network in networks([text]) if is_internal(network)]
    if private:
        yield DnsFinding(
            "SPF-PRIVATE",
            INFO,
            domain,
            f"{', '.join(private)} is private: no receiver ever sees such an address",
            "name the public address instead",
        )


def _of_the_ending(domain: str, text: str, record: SpfRecord) -> Iterable[DnsFinding]:
    everybody = [m for m in record.mechanisms if m.qualifier == "+" and _is_everybody(m.name, m.network)]
    if everybody:
        yield DnsFinding(
            "SPF-ALL-PASS",
            ERROR,
            domain,
            f'"{everybody[0].text}" lets everybody send as {domain}',
            "end the record with ~all, and with -all once every sender is in it",
            remove=_txt(domain, text),
        )
    if record.all is None and record.redirect is None:
        yield DnsFinding(
            "SPF-ALL-MISSING",
            WARNING,
            domain,
            "the record has no ending: mail from anywhere else is neutral, as if nothing were published",
            "end it with ~all or -all",
            remove=_txt(domain, text),
        )
    if record.all is None:
        return
    if record.all.qualifier == "?":
        yield DnsFinding(
            "SPF-ALL-NEUTRAL", WARNING, domain, "?all says nothing about other senders", "use ~all or -all"
        )
    late = [m.text for m in record.mechanisms[record.mechanisms.index(record.all) + 1 :]]
    if late:
        yield DnsFinding(
            "SPF-AFTER-ALL",
            WARNING,
            domain,
            f'"{" ".join(late)}" is never evaluated, because {record.all.text} stands in front of it',
            f"move it in front of {record.all.text}, or remove it"
            if any(t[-3:].lower() != "all" for t in late)
            else "remove it",
        )
    if record.redirect is not None:
        yield DnsFinding(
            "SPF-AFTER-ALL",
            WARNING,
            domain,
            f"redirect={record.redirect} is ignored, because the record has {record.all.text} (RFC 7208, 6.1)",
            "remove one of the two",
        )


def _of_the_survey(domain: str, text: str, survey: SpfSurvey) -> Iterable[DnsFinding]:
    glued = tuple(_glued(parse(text))) if _parses(text) else ()
    for where, problem in survey.problems:
        if (where == domain and problem.startswith("wrong at")) or (glued and problem.startswith(glued)):
            continue  # told by the record itself, with its hint
        many = survey.lookups > MOST_LOOKUPS and problem.endswith("are allowed")
        yield DnsFinding(
            "SPF-LOOKUPS" if many else "SPF-INCLUDED",
            ERROR,
            domain,
            f"SPF of {domain} cannot be worked out: {problem}" + ("" if where == domain else f" (at {where})"),
            "replace includes by the addresses behind them, or send by another domain"
            if many
            else "take the term out, or correct the name in it"
            if "leads nowhere" in problem
            else "correct that record",
        )
    if len(survey.voids) > MOST_VOID:
        yield DnsFinding(
            "SPF-VOID",
            ERROR,
            domain,
            f"{len(survey.voids)} lookups come back empty ({', '.join(survey.voids)}); {MOST_VOID} are allowed",
            "take out the names that are no longer there",
        )
    if survey.unanswered:
        yield DnsFinding(
            "SPF-UNANSWERED",
            WARNING,
            domain,
            f"a part of SPF could not be read: {'; '.join(survey.unanswered)}",
            "ask again; receivers answer with temperror while it lasts",
        )


def _of_the_senders(domain: str, text: str, uncovered: Sequence[Network]) -> Iterable[DnsFinding]:
    for network in uncovered:
        yield DnsFinding(
            "SPF-IP-MISSING",
            ERROR,
            domain,
            f"mail from {_plain(network)} does not pass SPF of {domain}",
            f"add {_ip_term(network)}",
            remove=_txt(domain, text),
        )


def _of_exchange(domain: str, text: str, include: str, exchange: Passing, survey: SpfSurvey) -> Iterable[DnsFinding]:
    if not include or _meant(text, include):
        return
    if exchange is Passing.LISTED:
        yield DnsFinding(
            "SPF-EXCHANGE-LISTED",
            WARNING,
            domain,
            f"the record lists the networks that include:{include} has today: mail of Exchange Online passes until "
            "Microsoft changes them",
            f"add include:{include}, and take them out",
            remove=_txt(domain, text),
        )
        return
    others = _other_clouds(survey, include)
    what = f"mail that Exchange Online sends for {domain} does not pass SPF: include:{include} "
    if not others:
        behind = f"include:{include}" in text.lower().split()
        what += "stands behind all, where nobody reads it" if behind else "is missing"
        fix = f"move include:{include} in front of all" if behind else f"add include:{include}"
        yield DnsFinding("SPF-EXCHANGE-MISSING", ERROR, domain, what, fix, remove=_txt(domain, text))
        return
    # Which of the two is right is not for a record to say: nothing is proposed that lets another cloud send.
    what = f"the record includes {others[0]}, which is another Microsoft cloud than the profile's ({include})"
    fix = f"correct `cloud` in the profile, or replace include:{others[0]} by include:{include}"
    yield DnsFinding("SPF-EXCHANGE-CLOUD", ERROR, domain, what, fix)


def _meant(text: str, include: str) -> bool:
    """Whether a wrong record has the include, so that it is enough to correct the record."""
    return not _is_sound(text) and f"include:{include}" in (repair(text) or text).lower().split()


def _misnamed(term: str, survey: SpfSurvey) -> bool:
    """Whether a term is an include that leads nowhere under a name much like Exchange's: it stands for that one."""
    name = term.lower().lstrip("+~?-")
    like = name.startswith("include:") and ("outlook" in name or "office365" in name) and not _GLUED.search(name)
    return like and any(problem.lower().startswith(f"{name} leads nowhere") for _, problem in survey.problems)


def _other_clouds(survey: SpfSurvey, include: str) -> Sequence[str]:
    """What stands for Exchange in other clouds than the tenant's, of what the record includes."""
    return sorted({cloud.spf_include for cloud in CLOUDS.values()} & survey.includes - {include})


def _broken(domain: str, text: str, error: SpfSyntaxError, answer: DnsAnswer) -> DnsFinding:
    if _rejoined(next((s for s in answer.strings if "".join(s) == text), ())):
        kind, what = "SPF-SPLIT", "the strings of the TXT record are glued together without a space, as receivers do"
    elif _STRAY_BLANK.search(text):
        kind, what = "SPF-SPACE", f"there is a space inside a term ({error})"
    else:
        kind, what = "SPF-SYNTAX", str(error)
    return DnsFinding(
        kind,
        ERROR,
        domain,
        f"the SPF record of {domain} is wrong and counts for nothing (permerror): {what}",
        "correct or take out that term",
        remove=_txt(domain, text),
    )


# --- records to propose -----------------------------------------------------------------------------------------------


def repair(text: str) -> str | None:
    """The record with stray spaces, glued and misspelt terms corrected, or None where that does not make it right.

    A word processor makes other dashes and quotes of what was typed, which are outside ASCII.
    """
    corrected = text.translate(_DASHES)
    corrected = corrected.replace("\u00a0", " ").replace("\t", " ").replace(",", " ").replace(";", " ")
    corrected = _ENDING.sub(r"\1\2", corrected)
    corrected = _STRAY_BLANK.sub(lambda m: f"{m[1]}:" if m[1] else f"{m[3]}=", corrected)
    corrected = _GLUED.sub(r" \1", corrected)
    corrected = _GLUED_TERM.sub(" ", corrected)
    for pattern, instead in _MISSPELT:
        corrected = pattern.sub(instead, corrected)
    corrected = re.sub(r"  +", " ", corrected).strip()
    return corrected if is_spf(corrected) and _parses(corrected) else None


def improve(text: str, terms: Iterable[str], strings: Sequence[str] = ()) -> str | None:
    """The record corrected, with these terms in front of its ending and never +all; None where it cannot be corrected.

    A term that stands behind `all`, where nobody reads it, is moved. `strings` are the strings that the record is
    published in: a space may have been lost between them.
    """
    base = text if _is_sound(text) else (_rejoined(strings) or repair(text))
    if base is None:
        return None
    if any(other.partition("=")[0].lower() in _MEANT_AS_TERM for other in parse(base).others):
        base = repair(base) or base
    record = parse(base)
    open_to_all = [m.text for m in record.mechanisms if m.qualifier == "+" and _is_everybody(m.name, m.network)]
    parts = [part for part in base.split(" ") if part and part not in open_to_all]
    if not any(part.lower().lstrip("-~?") == "all" for part in parts) and record.redirect is None:
        parts.insert(_first_modifier(parts), "~all")
    ending = next((i for i, part in enumerate(parts) if part.lower().lstrip("-~?") == "all"), None)
    read = {part.lower() for part in parts[:ending]}
    lacking = [term for term in dict.fromkeys(terms) if term.lower() not in read]
    at = _first_modifier(parts) if ending is None else ending
    behind = (part for part in parts[at:] if part.lower() not in {term.lower() for term in lacking})
    return " ".join([*parts[:at], *lacking, *behind])


def _rejoined(strings: Sequence[str]) -> str | None:
    """The strings with spaces between them, where that makes a record of what is none without."""
    text = re.sub(r" +", " ", " ".join(strings))
    return text if len(strings) > 1 and is_spf(text) and _parses(text) else None


def merge(texts: Sequence[str], terms: Iterable[str]) -> str:
    """One record with the terms of several, those that can be read; the softest of their endings stays."""
    kept: dict[str, str] = {}
    endings: list[str] = []
    for text in sorted(texts):
        fixed = text if _is_sound(text) else repair(text)
        for part in (fixed or "v=spf1").split(" ")[1:]:
            name = part.lower().lstrip("+")
            if name.lstrip("-~?") == "all":
                endings.append(name[0] if name[0] in "-~?" else "~")
            elif part and not name.startswith("redirect="):
                kept.setdefault(name, part)
            elif part:
                kept.setdefault(f"include:{name[9:]}", f"include:{part[9:]}")
    for term in terms:
        kept.setdefault(term.lower(), term)
    ending = next((q for q in "?~-" if q in endings), "~")
    return " ".join(["v=spf1", *kept.values(), f"{'~' if ending == '?' else ending}all"])


def _first_modifier(parts: Sequence[str]) -> int:
    return next((i for i, part in enumerate(parts) if i and "=" in part.partition(":")[0]), len(parts))


def _parses(text: str) -> bool:
    try:
        parse(text)
    except SpfSyntaxError:
        return False
    return True


def _is_sound(text: str) -> bool:
    return _parses(text) and not any(_glued(parse(text)))


def _glued(record: SpfRecord) -> Iterable[str]:
    """Terms that -all is glued to: `include:spf.example.com-all` has the form of a name, and no such name exists."""
    return (m.text for m in record.mechanisms if m.name != "all" and m.text.lower().endswith("-all"))


def _ip_term(network: Network) -> str:
    return f"ip{network.version}:{_plain(network)}"


def _plain(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _is_everybody(name: str, network: Network | None) -> bool:
    return name == "all" or (network is not None and network.prefixlen == 0)


def is_internal(network: Network) -> bool:
    """Whether no receiver ever sees an address of this network: RFC 1918, RFC 6598, loopback, unique local."""
    return any(network.version == n.version and network.subnet_of(n) for n in _INTERNAL)  # type: ignore[arg-type]


def _txt(domain: str, text: str) -> tuple[DnsRecord, ...]:
    return (DnsRecord(domain, "TXT", text),)
