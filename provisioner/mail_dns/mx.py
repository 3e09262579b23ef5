"""The MX records of one domain: where its mail goes, and what is wrong with the hosts that they name."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Sequence

from provisioner.mail_dns.dialogue import Dialogue, DnsAnswer
from provisioner.mail_dns.findings import ERROR, WARNING, DnsFinding, DnsRecord
from provisioner.mail_dns.names import alias
from provisioner.mail_dns.records import MailExchange, parse_mx
from provisioner.model.clouds import MX_SUFFIXES, TAKES_NO_MAIL


def at_exchange(host: str) -> bool:
    """Whether this MX host is Microsoft's. The part in front is not the domain with dashes: it can carry a suffix."""
    return host.endswith(MX_SUFFIXES) and host not in TAKES_NO_MAIL


def exchanges_of(domain: str, answer: DnsAnswer) -> Dialogue[tuple[tuple[MailExchange, ...], list[DnsFinding]]]:
    """The MX hosts in their order, the target in the place of an alias, and what is wrong with an alias."""
    exchanges: list[MailExchange] = []
    findings: list[DnsFinding] = []
    for mx in sorted(map(parse_mx, answer.values), key=lambda mx: (mx.preference, mx.host)):
        named = mx.host and not is_address(mx.host) and not at_exchange(mx.host) and mx.host not in TAKES_NO_MAIL
        chain = (yield from alias(mx.host)) if named else ()
        exchanges.append(dataclasses.replace(mx, host=chain[-1]) if chain else mx)
        if chain:
            findings.append(_mx_alias(domain, mx, chain[-1]))
    return tuple(exchanges), findings


def _mx_alias(domain: str, mx: MailExchange, target: str) -> DnsFinding:
    return DnsFinding(
        "MX-CNAME",
        WARNING,
        domain,
        f"the MX host {mx.host} is a CNAME to {target}; an MX record must not name an alias (RFC 2181, 10.3)",
        f"name {target} in the MX record",
        (DnsRecord(domain, "MX", f"{mx.preference} {target}"),),
        (DnsRecord(domain, "MX", f"{mx.preference} {mx.host}"),),
    )


def mx_findings(
    domain: str, exchanges: tuple[MailExchange, ...], answer: DnsAnswer, endpoint: str | None
) -> Iterable[DnsFinding]:
    """What is wrong with these hosts. `endpoint` is the host that Exchange names for the domain, "" where it is not
    known; None for a domain whose mail is not meant to arrive there.
    """
    there = {mx: DnsRecord(domain, "MX", f"{mx.preference} {mx.host or '.'}") for mx in exchanges}
    for mx in exchanges:
        if mx.host in TAKES_NO_MAIL:
            yield DnsFinding(
                "MX-SUBMISSION-HOST",
                ERROR,
                domain,
                f"{mx.host} takes logins, not mail for {domain}: what goes there is lost",
                "take this MX record out",
                (),
                (there[mx],),
            )
        elif is_address(mx.host):
            summary = f"MX names the address {mx.host}; it must name a host"
            yield DnsFinding("MX-ADDRESS", ERROR, domain, summary, "name a host", (), (there[mx],))
    if endpoint is None or answer.failed:
        return
    # Microsoft's proof of ownership may be an MX record (Learn, "Add DNS records to connect your domain"): no such name
    # exists, `ms64983159.msv1.invalid`, and no mail goes there.
    hosts = [mx.host for mx in exchanges if mx.host not in TAKES_NO_MAIL and not mx.host.endswith(".invalid")]
    yield from _where_mail_goes(domain, endpoint, hosts, tuple(there[mx] for mx in exchanges if not mx.host))


def _where_mail_goes(
    domain: str, endpoint: str, hosts: Sequence[str], null: tuple[DnsRecord, ...]
) -> Iterable[DnsFinding]:
    """Whether mail for the domain reaches Exchange. `hosts` may take mail, `null` are its null MX records."""
    hint = f"publish {domain} MX 0 {endpoint}, which Exchange names" if endpoint else _UNKNOWN_MX
    record = (DnsRecord(domain, "MX", f"0 {endpoint}"),) if endpoint else ()
    named = ", ".join(hosts)
    if null and any(hosts):
        what = f"{domain} has a null MX beside other MX records: senders may take it for a domain without mail"
        yield DnsFinding("MX-NULL", ERROR, domain, f"{what} (RFC 7505, 3)", "take the null MX out", (), null)
    elif null:
        what = f"the MX record of {domain} says that it takes no mail (null MX)"
        yield DnsFinding("MX-NULL", WARNING, domain, what, hint, record, null)
    elif not hosts:
        yield DnsFinding("MX-MISSING", WARNING, domain, f"{domain} has no MX record that takes mail", hint, record)
    elif not any(map(at_exchange, hosts)) and (glued := _with_the_domain(domain, hosts)):
        meant = glued.removesuffix(f".{domain}")
        what = (
            f"the MX record of {domain} names {glued}, which is {meant} with {domain} behind it: no mail arrives there"
        )
        fix = f"enter the target with a dot at its end ({meant}.), or as the provider asks for names of other domains"
        yield DnsFinding("MX-ELSEWHERE", WARNING, domain, what, fix)
    elif not any(map(at_exchange, hosts)):
        what = f"mail for {domain} goes to {named}, not to Microsoft: relay and direct send cannot use MX"
        shown = endpoint or "the endpoint that the admin centre shows for the domain"
        yield DnsFinding("MX-ELSEWHERE", WARNING, domain, what, f"point devices to {shown}, not to MX")
    elif not all(map(at_exchange, hosts)):
        others = ", ".join(host for host in hosts if not at_exchange(host))
        what = f"{others} stands beside Microsoft's MX: a part of the mail goes there"
        yield DnsFinding("MX-MIXED", WARNING, domain, what, "keep Microsoft's alone, unless a gateway is meant")
    if endpoint and any(map(at_exchange, hosts)) and endpoint not in hosts:
        what = f"MX of {domain} names {named}; Exchange names {endpoint} for its mail"
        fix = f"publish {endpoint} beside it, test that mail arrives, then take the other out (inbound-dane.md)"
        yield DnsFinding("MX-OTHER-NAME", WARNING, domain, what, fix)


def _with_the_domain(domain: str, hosts: Sequence[str]) -> str:
    """A host of Exchange with the domain behind it, as panels make it of a target without a dot; "" for none."""
    return next((host for host in hosts if at_exchange(host.removesuffix(f".{domain}"))), "")


_UNKNOWN_MX = "publish the MX record that the admin centre shows for the domain; its name cannot be computed"


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
