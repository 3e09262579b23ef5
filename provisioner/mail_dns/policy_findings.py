"""What is wrong with a domain's DMARC, MTA-STS and TLS-RPT records, and the record that would be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from provisioner.mail_dns.dialogue import DnsAnswer
from provisioner.mail_dns.findings import ERROR, INFO, WARNING, DnsFinding, DnsRecord
from provisioner.mail_dns.records import (
    Dmarc,
    is_dmarc,
    is_mta_sts,
    is_tls_rpt,
    parse_dmarc,
    parse_mta_sts,
    parse_tls_rpt,
    repair_dmarc,
)
from provisioner.mail_dns.spf_syntax import is_spf

FIRST_DMARC = "v=DMARC1; p=none"
"""What a domain without DMARC begins with. It names no address: which one reads reports is for its owner to say."""


def policy_of(answer: DnsAnswer) -> Dmarc | None:
    """The one DMARC policy in these TXT records, as receivers find it: two are as good as none."""
    texts = [text for text in answer.values if is_dmarc(text)]
    return parse_dmarc(texts[0]) if len(texts) == 1 else None


def dmarc_findings(
    domain: str, answer: DnsAnswer, inherited: tuple[str, Dmarc] | None, at_apex: DnsAnswer
) -> Iterable[DnsFinding]:
    """`answer` are the TXT records of `_dmarc`, `inherited` the policy of a domain above and its name."""
    name = f"_dmarc.{domain}"
    texts = [text for text in answer.values if is_dmarc(text)]
    misplaced = [text for text in at_apex.values if is_dmarc(text)]
    if misplaced:
        yield DnsFinding(
            "DMARC-PLACE",
            WARNING,
            domain,
            f"{domain} has a DMARC record at the domain itself; receivers look for it at {name}",
            f"move it to {name}" if not texts else "remove it",
            () if texts or answer.failed else (DnsRecord(name, "TXT", strictest(misplaced)),),
            tuple(DnsRecord(domain, "TXT", text) for text in misplaced),
        )
    for text in filter(is_spf, answer.values):
        yield DnsFinding(
            "SPF-PLACE",
            WARNING,
            domain,
            f'{name} has an SPF record, "{text}"; SPF is read at the domain itself (RFC 7208, 3)',
            f"remove it; SPF of {domain} stands at {domain}",
            (),
            (DnsRecord(name, "TXT", text),),
        )
    if len(texts) > 1:
        yield DnsFinding(
            "DMARC-MULTIPLE",
            ERROR,
            domain,
            f"{name} has {len(texts)} DMARC records; receivers then use none of them",
            "keep one",
            (DnsRecord(name, "TXT", strictest(texts)),),
            tuple(DnsRecord(name, "TXT", text) for text in texts),
        )
    elif texts:
        yield from _of_the_policy(domain, texts[0])
    elif not answer.failed and not misplaced:
        yield from _without(domain, answer, inherited)


def _without(domain: str, answer: DnsAnswer, inherited: tuple[str, Dmarc] | None) -> Iterable[DnsFinding]:
    broken = [text for text in answer.values if "dmarc" in text.lower()]
    name = f"_dmarc.{domain}"
    if broken:
        meant = repair_dmarc(broken[0])
        yield DnsFinding(
            "DMARC-SYNTAX",
            ERROR,
            domain,
            f'"{broken[0]}" is not a DMARC record: it must begin with v=DMARC1 and a semicolon (RFC 7489, 6.4)',
            "correct it" if meant else "write it again",
            (DnsRecord(name, "TXT", meant or FIRST_DMARC),),
            tuple(DnsRecord(name, "TXT", text) for text in broken),
        )
    elif inherited is not None:
        above, policy = inherited
        yield DnsFinding(
            "DMARC-INHERITED",
            INFO,
            domain,
            f"{domain} has no DMARC record of its own; {policy.subdomain_policy} of {above} holds for it",
        )
    else:
        yield DnsFinding(
            "DMARC-MISSING",
            WARNING,
            domain,
            f"{domain} has no DMARC record: large receivers mark or refuse its mail",
            "publish one with p=none, add rua=mailto: and an address that reads the reports, then move to quarantine "
            "and reject",
            (DnsRecord(name, "TXT", FIRST_DMARC),),
        )


def _of_the_policy(domain: str, text: str) -> Iterable[DnsFinding]:
    name, policy = f"_dmarc.{domain}", parse_dmarc(text)
    there = (DnsRecord(name, "TXT", text),)
    if policy.errors:
        meant = repair_dmarc(text)
        yield DnsFinding(
            "DMARC-SYNTAX",
            ERROR,
            domain,
            f"the DMARC record of {domain} is wrong: {'; '.join(policy.errors)}",
            "correct it" if meant else "write it again",
            (DnsRecord(name, "TXT", meant or FIRST_DMARC),),
            there,
        )
        return
    for words in policy.defaulted:
        tag = words.partition("=")[0]
        yield DnsFinding(
            "DMARC-TAG-VALUE",
            WARNING,
            domain,
            f"DMARC record: {words}; receivers use the default instead (RFC 7489, 6.3)",
            f"correct or remove {tag}",
        )
    yield from _of_the_strength(domain, policy)
    if not policy.report_domains:
        yield DnsFinding(
            "DMARC-NO-REPORTS",
            INFO,
            domain,
            "the DMARC record asks for no reports (rua)",
            "add rua=mailto: and an address that reads them",
        )
    for note, fix in policy.notes:
        yield DnsFinding("DMARC-TAG", INFO, domain, f"DMARC record: {note}", fix)


def _of_the_strength(domain: str, policy: Dmarc) -> Iterable[DnsFinding]:
    if policy.policy == "none":
        yield DnsFinding(
            "DMARC-NONE",
            INFO,
            domain,
            "p=none only watches: forged mail is delivered",
            "move to p=quarantine once the reports show only mail of your own",
        )
        return
    if policy.testing:
        yield DnsFinding("DMARC-TESTING", INFO, domain, f"t=y: {policy.policy} is announced, not in force yet")
    if policy.subdomain_policy == "none":
        yield DnsFinding(
            "DMARC-SUBDOMAINS", WARNING, domain, "sp=none leaves every subdomain open to forgery", "remove sp"
        )
    if policy.nonexistent_policy == "none" and (policy.subdomain_policy != "none" or "np" in policy.tags):
        what = "np=none leaves every subdomain that does not exist open to forgery"
        yield DnsFinding("DMARC-SUBDOMAINS", WARNING, domain, what, "remove np, or write np=reject")


def report_findings(domain: str, allowed: Mapping[str, DnsAnswer]) -> Iterable[DnsFinding]:
    """`allowed` are the TXT answers of `<domain>._report._dmarc.<elsewhere>` for report addresses in other domains."""
    for elsewhere, answer in allowed.items():
        if answer.failed or any(is_dmarc(text) for text in answer.values):
            continue
        yield DnsFinding(
            "DMARC-REPORTS-REFUSED",
            WARNING,
            domain,
            f"reports of {domain} go to {elsewhere}, which has not agreed to receive them: receivers send none",
            f"the owner of {elsewhere} publishes this record (RFC 7489, 7.1)",
            (DnsRecord(f"{domain}._report._dmarc.{elsewhere}", "TXT", "v=DMARC1;"),),
        )


def undeliverable_reports(domain: str, lost: Iterable[str]) -> Iterable[DnsFinding]:
    """`lost` are domains of report addresses that take no mail: the null MX, or neither MX record nor address."""
    for name in lost:
        yield DnsFinding(
            "DMARC-REPORTS-LOST",
            WARNING,
            domain,
            f"reports of {domain} go to an address at {name}, which takes no mail (null MX, or neither MX nor address)",
            "name an address that receives mail in rua and ruf",
        )


def strictest(texts: Iterable[str]) -> str:
    """Of several DMARC records the one with the strictest policy, among those without a mistake if there are any."""
    order = ("none", "quarantine", "reject")
    valid = [text for text in texts if not parse_dmarc(text).errors] or list(texts)
    return max(valid, key=lambda text: order.index(p) if (p := parse_dmarc(text).policy) in order else -1)


def transport_findings(domain: str, mta_sts: DnsAnswer, tls_rpt: DnsAnswer) -> Iterable[DnsFinding]:
    """MTA-STS and TLS-RPT: both may be absent; a record that exists must be right."""
    policies = [text for text in mta_sts.values if _lookalike("v=stsv", text)]
    reports = [text for text in tls_rpt.values if _lookalike("v=tlsrpt", text)]
    for kind, name, found, parse, valid in (
        ("MTA-STS", f"_mta-sts.{domain}", policies, parse_mta_sts, is_mta_sts),
        ("TLS-RPT", f"_smtp._tls.{domain}", reports, parse_tls_rpt, is_tls_rpt),
    ):
        # Senders pass over what does not begin with the version, so that it takes nothing from a record beside it.
        texts = [text for text in found if valid(text)] or found
        if len(texts) > 1:
            yield DnsFinding(
                f"{kind}-MULTIPLE", WARNING, domain, f"{name} has {len(texts)} records; senders use none", "keep one"
            )
        for text in texts[:1]:
            errors = parse(text).errors
            if errors:
                what = f'{name} is wrong: {"; ".join(errors)}; it has "{text}"'
                yield DnsFinding(f"{kind}-SYNTAX", WARNING, domain, what, "correct it")
    if policies and not reports and not tls_rpt.failed:
        yield DnsFinding(
            "TLS-RPT-MISSING",
            INFO,
            domain,
            f"{domain} has MTA-STS and no TLS-RPT record: senders do not report mail that the policy holds back",
            f"publish v=TLSRPTv1; rua=mailto: and an address that reads the reports, at _smtp._tls.{domain}",
        )


def _lookalike(version: str, text: str) -> bool:
    """Whether a TXT record is meant as one of this version, in whatever spelling."""
    return text.lower().replace(" ", "").lstrip("\"'").startswith(version)
