"""What can be asked of the sandbox's DNS without a `dns` in the seed, and what a seed's own zone takes the place of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.dns import respond
from provisioner.sandbox.mail_rules import spf
from provisioner.sandbox.public_dns import names
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant
from tests.recordings import recordings
from tests.sandbox.conftest import Running

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))


def seeded(
    *seeds: Any, initial: str = "contoso.onmicrosoft.com", domains: tuple[str, ...] = ("contoso.com",)
) -> Tenant:
    """A tenant with these domains, and then the seeds."""
    tenant = Tenant()
    rows = [{"DomainName": name} for name in domains]
    first: dict[str, Any] = {"sandbox": 1, "tenant": {"initial_domain": initial}, "objects": {"AcceptedDomain": rows}}
    given = [load_seed(seed if isinstance(seed, Path) else {"sandbox": 1, **seed}) for seed in seeds]
    if given and not isinstance(seeds[0], Path):
        given[0] = load_seed({**first, **seeds[0]})
    for seed in given or [load_seed(first)]:
        tenant.merge(seed)
    return tenant


def ask(tenant: Tenant, name: str, kind: str) -> list[str]:
    """The last answer's records in DNS's own text, or the code where there is no such name."""
    response = respond(names(tenant), dns.message.make_query(name, kind))
    if response.rcode():
        return [dns.rcode.to_text(response.rcode())]
    return [rdata.to_text() for rrset in response.answer[-1:] for rdata in rrset]


@pytest.mark.parametrize(
    ("initial", "include", "host", "autodiscover"),
    [
        ("contoso.onmicrosoft.com", "protection.outlook.com", "mail.protection.outlook.com", "outlook.com"),
        ("contoso.onmicrosoft.us", "protection.office365.us", "mail.protection.office365.us", "office365.us"),
        (
            "contoso.partner.onmschina.cn",
            "protection.partner.outlook.cn",
            "mail.protection.partner.outlook.cn",
            "partner.outlook.cn",
        ),
    ],
)
def test_a_domain_is_set_up_with_the_names_of_its_cloud(
    initial: str, include: str, host: str, autodiscover: str
) -> None:
    tenant = seeded(initial=initial)
    for domain, label in (("contoso.com", "contoso-com"), (initial, "contoso")):
        assert ask(tenant, domain, "MX") == [f"0 {label}.{host}."]
        assert ask(tenant, domain, "TXT") == [f'"v=spf1 include:spf.{include} -all"']
        assert ask(tenant, f"{label}.{host}", "A") == ["127.0.0.1"]
    assert ask(tenant, "autodiscover.contoso.com", "A") == ["127.0.0.1"]
    assert names(tenant)["autodiscover.contoso.com"]["CNAME"] == [f"autodiscover.{autodiscover}"]
    (policy,) = ask(tenant, "_dmarc.contoso.com", "TXT")
    assert policy.startswith('"v=DMARC1; p=quarantine;')
    graph = next(row for row in tenant.graph["domains"] if row["id"] == "contoso.com")
    asked = {record["recordType"]: record for record in graph["serviceConfigurationRecords"]}
    assert asked["Mx"]["mailExchange"] == f"contoso-com.{host}"
    assert asked["Txt"]["text"] == f"v=spf1 include:spf.{include} -all"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("spf.protection.outlook.com", "TXT"),
        ("spf.protection.office365.us", "TXT"),
        ("spf.protection.partner.outlook.cn", "TXT"),
        ("smtp.office365.com", "A"),
        ("smtp.office365.us", "A"),
        ("smtp.partner.outlook.cn", "A"),
        ("smtp.hve.mx.microsoft", "A"),
        ("autodiscover.outlook.com", "A"),
    ],
)
def test_names_of_every_cloud_are_there_in_every_tenant(name: str, kind: str) -> None:
    assert len(ask(Tenant(), name, kind)) == 1


def test_spf_of_a_domain_covers_the_service_and_nobody_else() -> None:
    tenant = seeded()
    assert [spf(tenant, "contoso.com", ip) for ip in ("40.107.3.4", "203.0.113.9")] == ["pass", "fail"]


def test_a_zone_of_a_seed_counts_whole_and_for_its_domain_only() -> None:
    tenant = seeded(
        {"dns": {"_dmarc.print.contoso.com": {"TXT": ["v=DMARC1; p=none"]}}},
        domains=("contoso.com", "print.contoso.com", "fabrikam.com"),
    )
    assert ask(tenant, "print.contoso.com", "MX") == []
    assert ask(tenant, "autodiscover.print.contoso.com", "CNAME") == ["NXDOMAIN"]
    assert ask(tenant, "contoso.com", "MX") == ["0 contoso-com.mail.protection.outlook.com."]
    assert ask(tenant, "fabrikam.com", "MX") == ["0 fabrikam-com.mail.protection.outlook.com."]


def test_null_leaves_a_domain_out_of_dns_also_after_a_later_seed() -> None:
    tenant = seeded({"dns": {"contoso.com": None}}, {"mailboxes": ["erp@contoso.com"]})
    assert [ask(tenant, "contoso.com", kind) for kind in ("MX", "TXT", "A")] == [["NXDOMAIN"]] * 3
    assert ask(seeded({}, {"dns": {"Contoso.com.": None}}), "contoso.com", "MX") == ["NXDOMAIN"]


def test_a_later_seed_takes_the_place_of_the_default_and_keeps_what_was_published() -> None:
    tenant = seeded()
    tenant.dns["selector1._domainkey.contoso.com"] = {"CNAME": ["s1.example"]}
    tenant.merge(load_seed({"sandbox": 1, "mailboxes": ["erp@contoso.com"]}))
    assert ask(tenant, "contoso.com", "MX") == ["0 contoso-com.mail.protection.outlook.com."]
    tenant.merge(load_seed({"sandbox": 1, "dns": {"contoso.com": {"TXT": ["v=spf1 -all"]}}}))
    assert ask(tenant, "contoso.com", "MX") == []
    assert ask(tenant, "_dmarc.contoso.com", "TXT") == ["NXDOMAIN"]
    assert names(tenant)["selector1._domainkey.contoso.com"] == {"CNAME": ["s1.example"]}


def test_what_was_taken_out_of_a_default_zone_stays_out() -> None:
    tenant = seeded()
    del tenant.dns["contoso.com"]["MX"]
    tenant.merge(load_seed({"sandbox": 1, "mailboxes": ["erp@contoso.com"]}))
    again = Tenant()
    again.load_json(json.loads(json.dumps(tenant.to_json())))
    assert ask(again, "contoso.com", "MX") == []
    assert ask(again, "contoso.com", "TXT") == ask(tenant, "contoso.com", "TXT") != []


def test_dkim_is_published_where_a_seed_has_it_enabled_and_waits_elsewhere() -> None:
    tenant = seeded(
        {"objects": {
            "AcceptedDomain": [{"DomainName": "contoso.com"}, {"DomainName": "fabrikam.com"}],
            "DkimSigningConfig": [{"Domain": "contoso.com", "Enabled": True}],
        }},
    )  # fmt: skip
    run_cmdlet(tenant, ADMIN, "New-DkimSigningConfig", {"DomainName": "fabrikam.com", "Enabled": False})
    rows = {row["Domain"]: row for row in run_cmdlet(tenant, ADMIN, "Get-DkimSigningConfig", {}).rows}
    assert {name: row["Status"] for name, row in rows.items() if "onmicrosoft" not in name} == {
        "contoso.com": "Valid",
        "fabrikam.com": "CnameMissing",
    }
    assert ask(tenant, "selector1._domainkey.contoso.com", "TXT") != []
    assert ask(tenant, "selector1._domainkey.fabrikam.com", "CNAME") == ["NXDOMAIN"]
    with pytest.raises(CmdletError, match="CNAME record does not exist"):
        run_cmdlet(tenant, ADMIN, "Set-DkimSigningConfig", {"Identity": "fabrikam.com", "Enabled": True})


def test_a_row_whose_cnames_are_said_to_be_missing_has_none() -> None:
    row = {"Domain": "contoso.com", "Enabled": True, "Status": "CnameMissing"}
    tenant = seeded({"objects": {"AcceptedDomain": [{"DomainName": "contoso.com"}], "DkimSigningConfig": [row]}})
    assert ask(tenant, "selector1._domainkey.contoso.com", "CNAME") == ["NXDOMAIN"]
    (read,) = run_cmdlet(tenant, ADMIN, "Get-DkimSigningConfig", {"Identity": "contoso.com"}).rows
    assert (read["Enabled"], read["Status"]) == (True, "CnameMissing")


def test_graph_names_the_mx_host_of_a_newer_domain() -> None:
    record = {"recordType": "Mx", "mailExchange": "Contoso-com.k-v1.mx.microsoft"}
    tenant = seeded({"graph": {"domains": [{"id": "contoso.com", "serviceConfigurationRecords": [record]}]}})
    assert ask(tenant, "contoso.com", "MX") == ["0 contoso-com.k-v1.mx.microsoft."]
    assert ask(tenant, "contoso-com.k-v1.mx.microsoft", "A") == ["127.0.0.1"]


@pytest.mark.parametrize("path", recordings("exchange/snapshots/*.json"))
def test_domains_that_an_export_has_looked_up_get_an_mx_record(path: Path) -> None:
    tenant = seeded(path)
    looked_up = {row["domain"] for row in json.loads(path.read_text("utf-8"))["spf_records"]}
    assert looked_up
    for domain in looked_up:
        (found,) = ask(tenant, domain, "MX")
        assert found.endswith(".mail.protection.outlook.com.")


def test_the_server_answers_for_the_service(sandbox: Running) -> None:
    import dns.nameserver
    import dns.resolver

    host, _, port = sandbox.endpoints["dns"].partition(":")
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [dns.nameserver.Do53Nameserver(host, int(port))]
    (record,) = resolver.resolve("spf.protection.outlook.com", "TXT")
    assert b"".join(record.strings).startswith(b"v=spf1 ip4:40.92.0.0/15 ")
