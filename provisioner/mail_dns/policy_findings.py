"""What is wrong with a domain's DMARC, MTA-STS and TLS-RPT records, and the record that would be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from provisioner.mail_dns.dialogue import DnsAnswer
from provisioner.mail_dns.findings import ERROR, INFO, WARNING, DnsFinding, DnsRecord
from provisioner.mail_dns.records import Dmarc, is_dmarc, parse_dmarc, parse_mta_sts, parse_tls_rpt


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
            f"a DMARC record stands at {domain}, where nobody looks for it",
            f"move it to {name}",
            () if texts else (DnsRecord(name, "TXT", misplaced[0]),),
            tuple(DnsRecord(domain, "TXT", text) for text in misplaced),
        )
    if len(texts) > 1:
        yield DnsFinding(
            "DMARC-MULTIPLE",
            ERROR,
            domain,
            f"{name} has {len(texts)} DMARC records; receivers then use none of them",
            "keep one",
            (DnsRecord(name, "TXT", _strictest(texts)),),
            tuple(DnsRecord(name, "TXT", text) for text in texts),
        )
    elif texts:
        yield from _of_the_policy(domain, texts[0])
    elif not answer.failed:
        yield from _without(domain, answer, inherited)


def _without(domain: str, answer: DnsAnswer, inherited: tuple[str, Dmarc] | None) -> Iterable[DnsFinding]:
    broken = [text for text in answer.values if "dmarc" in text.lower()]
    proposal = (DnsRecord(f"_dmarc.{domain}", "TXT", f"v=DMARC1; p=none; rua=mailto:dmarc-reports@{domain}"),)
    if broken:
        yield DnsFinding(
            "DMARC-SYNTAX",
            ERROR,
            domain,
            f'"{broken[0]}" is not taken for a DMARC record: it must begin with v=DMARC1 and a semicolon',
            "write it so",
            proposal,
            tuple(DnsRecord(f"_dmarc.{domain}", "TXT", text) for text in broken),
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
            "publish one with p=none and read its reports, then move to quarantine and reject",
            proposal,
        )


def _of_the_policy(domain: str, text: str) -> Iterable[DnsFinding]:
    name, policy = f"_dmarc.{domain}", parse_dmarc(text)
    there = (DnsRecord(name, "TXT", text),)
    if policy.errors:
        yield DnsFinding(
            "DMARC-SYNTAX",
            ERROR,
            domain,
            f"the DMARC record of {domain} is wrong: {'; '.join(policy.errors)}",
            "correct it",
            (DnsRecord(name, "TXT", _mended(domain, policy)),),
            there,
        )
        return
    if policy.policy == "none":
        yield DnsFinding(
            "DMARC-NONE",
            INFO,
            domain,
            "p=none only watches: forged mail is delivered",
            "move to p=quarantine once the reports show only mail of your own",
        )
    elif policy.testing:
        yield DnsFinding("DMARC-TESTING", INFO, domain, f"t=y: {policy.policy} is announced, not in force yet")
    if policy.policy != "none" and policy.subdomain_policy == "none":
        yield DnsFinding(
            "DMARC-SUBDOMAINS", WARNING, domain, "sp=none leaves every subdomain open to forgery", "take sp out"
        )
    if not policy.report_domains:
        yield DnsFinding(
            "DMARC-NO-REPORTS",
            INFO,
            domain,
            "the DMARC record asks for no reports (rua)",
            "add rua=mailto: and an address",
            (DnsRecord(name, "TXT", f"{text.rstrip('; ')}; rua=mailto:dmarc-reports@{domain}"),),
            there,
        )
    for note in policy.notes:
        yield DnsFinding("DMARC-TAG", INFO, domain, f"DMARC record: {note}", "take it out")


def report_findings(domain: str, allowed: Mapping[str, DnsAnswer]) -> Iterable[DnsFinding]:
    """`allowed` are the TXT answers of `<domain>._report._dmarc.<elsewhere>` for report addresses in other domains."""
    for elsewhere, answer in allowed.items():
        if answer.failed or any(is_dmarc(text) for text in answer.values):
            continue
        yield DnsFinding(
            "DMARC-REPORTS-REFUSED",
            WARNING,
            domain,
            f"reports of {domain} go to {elsewhere}, which has not said that it takes them: nobody will send any",
            f"whoever runs {elsewhere} publishes this record",
            (DnsRecord(f"{domain}._report._dmarc.{elsewhere}", "TXT", "v=DMARC1;"),),
        )


def _mended(domain: str, policy: Dmarc) -> str:
    """The tags that are right, with `p` where it is missing or wrong."""
    wrong = {error.partition("=")[0].partition(":")[0].split(" ")[0] for error in policy.errors}
    tags = {name: value for name, value in policy.tags.items() if name not in wrong or name == "v"}
    kept = {"v": "DMARC1", "p": tags.pop("p", "none"), **{n: v for n, v in tags.items() if n != "v"}}
    kept.setdefault("rua", f"mailto:dmarc-reports@{domain}")
    return "; ".join(f"{name}={value}" for name, value in kept.items())


def _strictest(texts: Iterable[str]) -> str:
    order = ("none", "quarantine", "reject")
    valid = [text for text in texts if not parse_dmarc(text).errors] or list(texts)
    return max(valid, key=lambda text: order.index(p) if (p := parse_dmarc(text).policy) in order else -1)


def transport_findings(domain: str, mta_sts: DnsAnswer, tls_rpt: DnsAnswer) -> Iterable[DnsFinding]:
    """MTA-STS and TLS-RPT: both may be absent; what is there must be right."""
    policies = [text for text in mta_sts.values if text.lower().lstrip().startswith("v=stsv")]
    reports = [text for text in tls_rpt.values if text.lower().lstrip().startswith("v=tlsrpt")]
    for kind, name, texts, parse in (
        ("MTA-STS", f"_mta-sts.{domain}", policies, parse_mta_sts),
        ("TLS-RPT", f"_smtp._tls.{domain}", reports, parse_tls_rpt),
    ):
        if len(texts) > 1:
            yield DnsFinding(
                f"{kind}-MULTIPLE", WARNING, domain, f"{name} has {len(texts)} records; senders use none", "keep one"
            )
        for text in texts[:1]:
            errors = parse(text).errors
            if errors:
                yield DnsFinding(
                    f"{kind}-SYNTAX", WARNING, domain, f"{name} is wrong: {'; '.join(errors)}", "correct it"
                )
    if policies and not reports and not tls_rpt.failed:
        yield DnsFinding(
            "TLS-RPT-MISSING",
            INFO,
            domain,
            f"{domain} has MTA-STS and no TLS-RPT record: nobody tells you when mail is held back by it",
            "publish one",
            (DnsRecord(f"_smtp._tls.{domain}", "TXT", f"v=TLSRPTv1; rua=mailto:tls-reports@{domain}"),),
        )
