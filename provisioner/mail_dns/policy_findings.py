"""What is wrong with a domain's DMARC, MTA-STS and TLS-RPT records, and the record that would be right."""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.mail_dns.dialogue import LONGEST_NAME, DnsAnswer
from provisioner.mail_dns.findings import ERROR, INFO, WARNING, DnsFinding, DnsRecord, unanswered, visible
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
from provisioner.mail_dns.tree_walk import Walk

FIRST_DMARC = "v=DMARC1; p=none"
"""What a domain without DMARC begins with. It names no address: which one reads reports is for its owner to say."""


def dmarc_findings(domain: str, answer: DnsAnswer, at_apex: DnsAnswer, walked: Walk) -> Iterable[DnsFinding]:
    """`answer` are the TXT records of `_dmarc`, `walked` what the names above have, as far as it was asked."""
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
            f"{name} has {len(texts)} DMARC records; receivers then use none of them{_instead(walked)}",
            "keep one",
            (DnsRecord(name, "TXT", strictest(texts)),),
            tuple(DnsRecord(name, "TXT", text) for text in texts),
        )
    elif texts:
        yield from _of_the_policy(domain, texts[0], walked)
    elif not answer.failed and not misplaced:
        yield from _without(domain, answer, walked)


def _instead(walked: Walk) -> str:
    """Whose policy holds where the domain has no valid record; "" where none does."""
    if walked.above is None:
        return ""
    name, policy = walked.above
    return f"; {policy.applied(policy.subdomain_policy)} of {name} holds for it"


def _without(domain: str, answer: DnsAnswer, walked: Walk) -> Iterable[DnsFinding]:
    broken = [text for text in answer.values if "dmarc" in text.lower()]
    name = f"_dmarc.{domain}"
    if broken:
        meant = repair_dmarc(broken[0])
        yield DnsFinding(
            "DMARC-SYNTAX",
            ERROR,
            domain,
            f'"{visible(broken[0])}" is not a DMARC record: it must begin with v=DMARC1 and a semicolon (RFC 9989, 4.7)'
            f"{_instead(walked)}",
            "correct it" if meant else "write it again",
            (DnsRecord(name, "TXT", meant or FIRST_DMARC),),
            tuple(DnsRecord(name, "TXT", text) for text in broken),
        )
    elif walked.failed:
        # A name above that cannot be asked may have a policy, which a weaker one of the domain's own would replace.
        yield from unanswered(domain, {q.name: q for q, _ in walked.failed}, {q.name: a for q, a in walked.failed})
    elif walked.above is not None and walked.above[1].applies:
        what = f"{domain} has no DMARC record of its own{_instead(walked)}"
        yield DnsFinding("DMARC-INHERITED", INFO, domain, what)
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


def _of_the_policy(domain: str, text: str, walked: Walk) -> Iterable[DnsFinding]:
    name, policy = f"_dmarc.{domain}", parse_dmarc(text)
    there = (DnsRecord(name, "TXT", text),)
    if policy.errors:
        meant = repair_dmarc(text)
        yield DnsFinding(
            "DMARC-SYNTAX",
            ERROR,
            domain,
            f"the DMARC record of {domain} is wrong: {'; '.join(policy.errors)}{_taken_for(policy)}",
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
            f"DMARC record: {words}; receivers use the default instead (RFC 9989, 4.8)",
            f"correct or remove {tag}",
        )
    if policy.public_suffix == "y":
        yield DnsFinding(
            "DMARC-PSD",
            WARNING,
            domain,
            f"psd=y declares {domain} a public suffix: each name below it is then an organization of its own, and "
            "mail that is signed with one of them and sent from another fails DMARC (RFC 9989, 4.10.2)",
            f"remove psd, unless others register names below {domain}",
        )
    if walked.organization != domain:
        what = f"the names below {domain} have the policy of {walked.organization}: sp and np of {domain} are ignored"
        yield DnsFinding("DMARC-TAG", INFO, domain, f"DMARC record: {what} (RFC 9989, 4.7)", "remove sp and np")
    yield from _of_the_strength(domain, policy, below=walked.organization == domain)
    if not policy.tags.get("rua", "").strip(" ,"):
        yield DnsFinding(
            "DMARC-NO-REPORTS",
            INFO,
            domain,
            "the DMARC record asks for no reports (rua)",
            "add rua=mailto: and an address that reads them",
        )
    for note, fix in policy.notes:
        yield DnsFinding("DMARC-TAG", INFO, domain, f"DMARC record: {note}", fix)


def _taken_for(policy: Dmarc) -> str:
    """What receivers do with a record whose policy cannot be read (RFC 9989, 4.10.1)."""
    if not policy.applies:
        return "; receivers ignore the record"
    return "; receivers act as for p=none" if policy.unreadable else ""


def _of_the_strength(domain: str, policy: Dmarc, below: bool) -> Iterable[DnsFinding]:
    """`below`: the names below the domain have its policy."""
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
        what = f"t=y: receivers apply {policy.applied(policy.policy)} and not {policy.policy} (RFC 9989, 4.7)"
        yield DnsFinding("DMARC-TESTING", INFO, domain, what, "remove t once the reports show only mail of your own")
    if not below:
        return
    if policy.subdomain_policy == "none":
        yield DnsFinding(
            "DMARC-SUBDOMAINS", WARNING, domain, "sp=none leaves every subdomain open to forgery", "remove sp"
        )
    if policy.nonexistent_policy == "none" and (policy.subdomain_policy != "none" or "np" in policy.tags):
        what = "np=none leaves every subdomain that does not exist open to forgery"
        yield DnsFinding("DMARC-SUBDOMAINS", WARNING, domain, what, "remove np, or write np=reject")


def refused_reports(domain: str, refusing: Iterable[str]) -> Iterable[DnsFinding]:
    """`refusing` are domains of report addresses of other organizations that have not agreed to get the reports."""
    for name in refusing:
        record = DnsRecord(f"{domain}._report._dmarc.{name}", "TXT", "v=DMARC1;")
        what = f"reports of {domain} go to {name}, another organization, which has not agreed to receive them"
        hint = f"the owner of {name} publishes this record (RFC 9990, 4)"
        if len(record.name) > LONGEST_NAME:
            yield DnsFinding("DMARC-REPORTS-REFUSED", WARNING, domain, what, "name a shorter domain in rua and ruf")
        else:
            yield DnsFinding("DMARC-REPORTS-REFUSED", WARNING, domain, f"{what}: receivers send none", hint, (record,))


def unfollowed_reports(domain: str, names: Iterable[str]) -> Iterable[DnsFinding]:
    """`names` are domains of report addresses whose agreement names an address at another host."""
    for name in names:
        yield DnsFinding(
            "DMARC-REPORTS-REFUSED",
            WARNING,
            domain,
            f"{domain}._report._dmarc.{name} sends the reports of {domain} on to another domain: receivers send none",
            f"the owner of {name} names an address at {name} in rua there, or none (RFC 9990, 4)",
        )


def lost_reports(domain: str, lost: Iterable[str]) -> Iterable[DnsFinding]:
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
