"""What happened to people who run such tenants: each situation behaves as its person needed, over the command line.

The situations are those of `../shared/cases/field/tenant`, with names and values of our own. `TESTS` says which test
stands for which of them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shop import Shop, open_shop

pytestmark = pytest.mark.part(0.5)

CASES = Path(__file__).parents[3] / "shared" / "cases" / "field" / "tenant"

SITE, OTHER = "81.2.69.142", "81.2.69.160"
SEED: dict[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com", "Default": True}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
    },
    "mailboxes": ["erp@contoso.com", "bills@contoso.com", "desk@contoso.com"],
    "settings": {"smtp_source_addresses": {"127.0.0.10": SITE}},
    "dns": {
        "contoso.com": {
            "MX": ["0 contoso-com.mail.protection.outlook.com."],
            "TXT": [f"v=spf1 ip4:{SITE} include:spf.protection.outlook.com -all"],
        },
        "spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:40.92.0.0/15 -all"]},
    },
}
QUICK = {"PROVISIONER_TIMEOUTS__CONFIRM_S": "0.4"}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), SEED) as here:
        yield here


@pytest.fixture
def shop(opened: Shop) -> Shop:
    opened.reset()
    return opened


def load(shop: Shop, *, objects: Any = None, **more: Any) -> None:
    shop.tenant.control("POST", "/load", {"sandbox": 1, **({"objects": objects} if objects else {}), **more})


def relay(name: str, **columns: Any) -> dict[str, Any]:
    """A row of a relay connector as the tenant has it."""
    usual = {"ConnectorType": "OnPremises", "SenderDomains": ["smtp:*;1"], "RequireTls": False}
    return {"Name": name, **usual, **columns}


def plan(shop: Shop, *options: str) -> subprocess.CompletedProcess[str]:
    return shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode", *options)


def apply(shop: Shop, *options: str) -> subprocess.CompletedProcess[str]:
    return shop.on_tenant("apply", "plan.yaml", "--auto-approve", *options, **QUICK)


def findings(shop: Shop) -> dict[str, dict[str, Any]]:
    """The findings of a plan by rule."""
    found = shop.on_tenant("plan", "plan.yaml", "--format", "json")
    return {f["rule"]: f for f in json.loads(found.stdout)["provisioner"]["findings"]}


def connectors(shop: Shop) -> dict[str, dict[str, Any]]:
    return {row["Name"]: row for row in shop.tenant.rows("InboundConnector")}


def exported(shop: Shop) -> str:
    found = shop.on_tenant("export")
    assert found.returncode == 0, found.stderr
    return found.stdout + found.stderr


# --- partner connectors and filter services --------------------------------------------------------------------------

FILTER = """owner: mail/prod
inbound_connectors:
  filter: { %ssender_domains: ["*"], require_tls: true, restrict_domains_to_ip_addresses: true,
            sender_ip_addresses: [%s] }
"""


def test_a_filter_in_front_is_told_to_refuse_all_other_mail(shop: Shop) -> None:
    shop.write(FILTER % ("", "83.246.65.0/24, 173.45.18.0/24"))
    assert "CONNECTOR-TYPE-MISSING" not in shop.run("lint", "plan.yaml").stderr, "a restriction is a partner's"
    said = plan(shop)
    assert (said.returncode, "# can stop mail" in said.stdout, "widens" in said.stdout) == (1, True, False)
    assert "550 5.7.51" in findings(shop)["PARTNER-RESTRICTS"]["summary"]
    assert apply(shop).returncode == 6


def test_a_vendors_networks_converge_in_any_order_and_wide_ones_are_counted(shop: Shop) -> None:
    networks = [f"85.115.{n}.0/24" for n in range(32, 48)]
    shop.write(FILTER % ("type: partner, ", ", ".join(networks)))
    assert apply(shop, "--allow", "PARTNER-RESTRICTS").returncode == 0
    shop.write(FILTER % ("type: partner, ", ", ".join(reversed(networks))))
    assert plan(shop).returncode == 0
    shop.write(FILTER % ("type: partner, ", "85.115.32.0/19, 116.50.56.0/21"))
    since = shop.tenant.seen()
    said = plan(shop)
    assert (said.returncode, shop.tenant.seen()) == (1, since), "refused before the tenant is asked"
    for words in ("85.115.32.0/19", "32 networks of /24", "116.50.56.0/21", "8 networks of /24"):
        assert words in said.stderr


@pytest.mark.part(1)
def test_a_restriction_that_takes_direct_send_from_a_device_stops_apply(shop: Shop) -> None:
    badge = """devices:
  badge: { from: badge@contoso.com, recipients: organization, method: direct_send,
           supports: { tls: "1.2", authentication: [] } }
"""
    probe = ("probe", "badge", "plan.yaml", "--to", "desk@contoso.com", "--send")
    shop.write("owner: mail/prod\n" + badge)
    assert shop.on_tenant(*probe).returncode == 0
    shop.write(FILTER % ("type: partner, ", "195.130.217.0/24") + badge)
    assert "device/badge" in findings(shop)["DEVICE-LOSES-WAY"]["summary"]
    assert apply(shop).returncode == 6
    assert apply(shop, "--allow", "DEVICE-LOSES-WAY", "--allow", "PARTNER-RESTRICTS").returncode == 0
    refused = shop.on_tenant(*probe)
    assert (refused.returncode, "5.7.51" in refused.stdout) == (1, True)


def test_one_partner_domain_of_many_leaves_and_two_come(shop: Shop) -> None:
    names = [f"branch{n:03}.bank.example" for n in range(120)]
    stored = [f"smtp:{name};1" for name in names]
    row = {"Name": "Banks", "ConnectorType": "Partner", "SenderDomains": stored, "RequireTls": True}
    load(shop, objects={"InboundConnector": [row]})
    written = [f"smtp:{n};1" if i % 7 == 0 else n.upper() if i % 5 == 0 else n for i, n in enumerate(names) if i != 17]
    body = json.dumps([*written, "bank-two.example", "*.sub.bank-two.example"])
    shop.write(f"inbound_connectors:\n  Banks: {{ type: partner, require_tls: true, sender_domains: {body} }}\n")
    (change,) = [
        c
        for c in json.loads(plan(shop, "--format", "json").stdout)["resource_changes"]
        if c["change"]["actions"] != ["no-op"]
    ]
    (field,) = change["provisioner"]["fields"]
    before, after = set(field["before"]), set(field["after"])
    assert (before - after, after - before) == ({names[17]}, {"bank-two.example", "*.sub.bank-two.example"})
    assert apply(shop).returncode == 0
    assert plan(shop).returncode == 0


def test_the_cost_of_a_sender_domain_is_no_difference_and_export_tells_it(shop: Shop) -> None:
    row = {"Name": "From Fabrikam", "ConnectorType": "Partner", "SenderDomains": ["smtp:fabrikam.com;5"]}
    load(shop, objects={"InboundConnector": [{**row, "RequireTls": True}]})
    shop.write(
        "inbound_connectors:\n  From Fabrikam: { type: partner, sender_domains: [fabrikam.com], require_tls: true }\n"
    )
    assert plan(shop).returncode == 0
    said = exported(shop)
    assert "- fabrikam.com" in said
    assert "smtp:fabrikam.com;5" in said
    shop.write("inbound_connectors: { p: { type: partner, sender_domains: ['smtp:fabrikam.com;5'] } }\n")
    assert "write fabrikam.com" in shop.run("validate", "plan.yaml").stderr
    shop.write("inbound_connectors: { p: { type: partner, sender_domains: ['smtp:*.fabrikam.com'] } }\n")
    assert shop.run("validate", "plan.yaml").returncode == 0


def test_a_relay_without_its_type_is_told_that_nobody_may_relay(shop: Shop) -> None:
    shop.write(f"inbound_connectors: {{ Printers: {{ sender_ip_addresses: [{SITE}], require_tls: false }} }}\n")
    said = shop.run("lint", "plan.yaml")
    assert said.returncode == 0
    for words in ("CONNECTOR-TYPE-MISSING", "5.7.64", "write type: on_premises"):
        assert words in said.stderr


# --- what people write -----------------------------------------------------------------------------------------------

FORMS = {
    "0.0.0.0-255.255.255.255": "the single addresses that send",
    "81.2.69.10-13": "write 81.2.69.10/31, 81.2.69.12/31",
    "81.2.69.10 \u2013 81.2.69.13": "write 81.2.69.10/31, 81.2.69.12/31",
    "81.2.69.0/255.255.255.0": "write 81.2.69.0/24",
    "81.2.69.*": "write 81.2.69.0/24",
    "81.2.69.5 ": "write 81.2.69.5",
    "81.2.069.005": "write 81.2.69.5",
    "81.2.69.5, 81.2.69.6": "an item of its own: 81.2.69.5, 81.2.69.6",
    "relay.contoso.com": "takes no host names",
    "81.2.69.5:25": "write 81.2.69.5; a connector has no ports",
    "2001:db8::25": "write the IPv4 address",
    "::ffff:81.2.69.5": "write 81.2.69.5",
}


def test_addresses_in_odd_forms_are_refused_in_one_pass_each_with_what_to_write(shop: Shop) -> None:
    entries = [f"  c{n}: {{ type: on_premises, sender_ip_addresses: [{json.dumps(f)}] }}" for n, f in enumerate(FORMS)]
    more = [
        f"  scalar: {{ type: on_premises, sender_ip_addresses: {SITE} }}",
        "  inner: { type: on_premises, sender_ip_addresses: [81.2.69.0/24, 81.2.69.77] }",
        "  private: { type: on_premises, sender_ip_addresses: [10.20.30.40, 100.64.3.4, 169.254.1.1] }",
    ]
    shop.write("inbound_connectors:\n" + "\n".join([*entries, *more]) + "\n")
    said = shop.run("validate", "plan.yaml")
    told = said.stderr.split("\n\n")
    assert said.returncode == 3
    for form, words in FORMS.items():
        (block,) = [b for b in told if f'"{form}"' in b.splitlines()[0]]
        assert words in block.splitlines()[-1], form
    assert "write a list: [" in said.stderr
    for address in ("10.20.30.40", "100.64.3.4", "169.254.1.1"):
        assert f"{address}/32 is not a public address" in said.stderr
    assert "write 0.0.0.0/0" not in said.stderr
    noted = shop.run("lint", "plan.yaml").stderr
    assert "81.2.69.77 is part of 81.2.69.0/24" in noted
    assert "CONNECTOR-WITHOUT-SENDERS" not in noted, "the addresses are written, though wrongly"


VARIABLE = """variables: { branches: { type: list(ip_network) } }
inbound_connectors: { branches: { type: on_premises, sender_ip_addresses: ["var:branches"] } }
"""


def test_spaces_around_the_items_of_a_variable_do_not_matter_and_an_empty_item_is_refused(shop: Shop) -> None:
    shop.write(VARIABLE)
    (shop.folder / "some.vars").write_text(f'branches: [{SITE}, "{OTHER} "]\n')
    (shop.folder / "one.vars").write_text(f"branches: {SITE}\n")
    (shop.folder / "none.vars").write_text("branches: []\n")

    def validated(*options: str, **environment: str) -> int:
        return shop.run("validate", "plan.yaml", *options, **environment).returncode

    assert validated("--var", f"branches={SITE}, {OTHER}") == 0
    assert validated(PROVISIONER_VAR_branches=f"{SITE},{OTHER}") == 0
    assert [validated("--var-file", f"{name}.vars") for name in ("some", "one", "none")] == [0, 0, 0]
    for value in ("", f"{SITE},", f"{SITE},,{OTHER}"):
        said = shop.run("validate", "plan.yaml", "--var", f"branches={value}")
        assert (said.returncode, "empty" in said.stderr) == (3, True), value
    assert validated() == 3
    assert validated(PROVISIONER_VAR_branches="") == 3, "a variable of the shell that is not set"


def test_a_list_of_devices_taken_over_as_it_is_has_all_its_mistakes_told_at_once(shop: Shop) -> None:
    shop.write(
        """devices:
  LaserJet: { from: mfp@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [] },
              sender_ip_addresses: [10.2.106.72] }
  "MFP / Block 3": { from: mfp@contoso.com, recipients: anyone, supports: { tls: 1.2, authentication: [] } }
  "A copier with the name of its floor, its wing and the people around it":
    { from: mfp@contoso.com, recipients: organization, supports: { tls: SSL, authentication: [ntlm] } }
  copier: { from: "MFP <mfp@contoso.com>", recipients: both,
            supports: { tls: TLS1.2, authentication: [], ports: [2525] } }
  fax: { from: mfp@contoso.com, recipients: organization, supports: { tls: none, authentication: [] },
         sender_ip_addresses: ["fe80::1"] }
"""
    )
    for command in ("validate", "lint"):
        said = shop.run(command, "plan.yaml")
        assert said.returncode == 3
        for words in (
            "device/LaserJet: 10.2.106.72/32 is not a public address",
            "'MFP / Block 3' is not a name for a site or device",
            'write "1.2", in quotes',
            "of its floor, its wing",
            'found "SSL"',
            'found "ntlm"',
            "MFP <mfp@contoso.com>",
            'found "both"',
            'did you mean "1.2"?',
            "expected 25, 465 or 587",
            '"fe80::1" is IPv6',
        ):
            assert words in said.stderr, (command, words)


# --- connectors that are there ---------------------------------------------------------------------------------------


def test_enhanced_filtering_is_taken_off_in_one_update(shop: Shop) -> None:
    row = relay("From HIN", TlsSenderCertificateName="contoso.com", EFSkipLastIP=True, EFUsers=["pilot@contoso.com"])
    load(shop, objects={"InboundConnector": [{**row, "EFSkipIPs": [SITE, f"{OTHER}-81.2.69.169", "2001:db8:1::/48"]}]})
    said = exported(shop)
    assert "From HIN:" in said, "one address that a plan cannot say leaves out its field, not the connector"
    assert "ef_skip_ips" in said
    shop.write(
        "inbound_connectors:\n"
        "  From HIN: { type: on_premises, ef_skip_last_ip: false, ef_skip_ips: [], ef_users: [] }\n"
    )
    since = shop.tenant.seen()
    assert apply(shop).returncode == 0
    assert [w["cmdlet"] for w in shop.tenant.writes(since=since)] == ["Set-InboundConnector"]
    live = connectors(shop)["From HIN"]
    assert (live["EFSkipLastIP"], live["EFSkipIPs"], live["EFUsers"]) == (False, [], [])
    assert plan(shop).returncode == 0


def test_the_wizards_connector_is_told_by_export_and_guarded_when_declared(shop: Shop) -> None:
    name = "Inbound from 00000000-aaaa-4bbb-8ccc-dddddddddddd"
    row = relay(name, ConnectorSource="HybridWizard", CloudServicesMailEnabled=True, SenderIPAddresses=None)
    load(shop, objects={"InboundConnector": [{**row, "TlsSenderCertificateName": "contoso.com"}]})
    assert "the Hybrid Configuration Wizard" in exported(shop)
    shop.write(
        "owner: mail/prod\ninbound_connectors:\n"
        f'  "{name}": {{ type: on_premises, tls_sender_certificate_name: mail.contoso.com }}\n'
    )
    said = apply(shop)
    assert (said.returncode, "HYBRID-CONNECTOR" in said.stderr) == (6, True)
    assert connectors(shop)[name]["TlsSenderCertificateName"] == "contoso.com"


@pytest.mark.part(1)
def test_a_pattern_with_brackets_protects_a_connector_from_absent(shop: Shop) -> None:
    load(shop, objects={"InboundConnector": [relay("[vendor.net] Parallel", TlsSenderCertificateName="contoso.com")]})
    shop.write(
        "protect: ['inbound_connector/[vendor.net]*']\nabsent: ['inbound_connector/[vendor.net] Parallel']\n"
        "smtp_auth: { organization: disabled }\n"
    )
    since = shop.tenant.seen()
    assert "PROTECTED" in findings(shop)
    assert "PROTECTED" in apply(shop).stdout
    assert shop.tenant.writes(since=since) == []
    assert "[vendor.net] Parallel" in connectors(shop)


def test_a_disabled_connector_does_not_cover_its_device(shop: Shop) -> None:
    load(shop, objects={"InboundConnector": [relay("legacy", Enabled=False, SenderIPAddresses=["81.2.69.128/28"])]})
    shop.write(
        "inbound_connectors: { legacy: { type: on_premises, sender_ip_addresses: [81.2.69.128/28] } }\n"
        "devices:\n  ups: { from: ups@contoso.com, recipients: anyone, sender_ip_addresses: [81.2.69.142],\n"
        '         supports: { tls: "1.2", authentication: [] } }\n'
    )
    words = findings(shop)["NOT-IN-FORCE"]["summary"]
    assert "disabled in the tenant" in words
    assert "device/ups cannot send" in words
    probe = shop.on_tenant("probe", "ups", "plan.yaml", "--to", "x@example.net", "--source", "127.0.0.10", "--send")
    assert (probe.returncode, "5.7.64" in probe.stdout) == (1, True)
    assert shop.on_tenant("doctor", "plan.yaml").returncode == 1


def test_a_site_gets_a_new_address_in_one_update_and_spf_is_told(shop: Shop) -> None:
    mark = "Devices at hq [provisioner: mail/prod [site-hq]]"
    load(
        shop, objects={"InboundConnector": [relay("site-hq", SenderIPAddresses=[SITE], RequireTls=True, Comment=mark)]}
    )
    shop.write(
        f"owner: mail/prod\nsites: {{ hq: {{ egress_ip_addresses: [{OTHER}] }} }}\n"
        "devices:\n  mfp: { site: hq, from: mfp@contoso.com, recipients: anyone,\n"
        '         supports: { tls: "1.2", authentication: [] } }\n'
    )
    said = plan(shop)
    assert "Plan: 0 to add, 1 to change, 0 to destroy." in said.stdout
    assert f'- "{SITE}/32"' in said.stdout
    assert f'+ "{OTHER}/32"' in said.stdout
    assert "can stop mail" in said.stdout
    assert OTHER in findings(shop)["SPF-IP-MISSING"]["summary"]
    assert apply(shop).returncode == 0
    assert plan(shop).returncode == 0
    assert connectors(shop)["site-hq"]["SenderIPAddresses"] == [OTHER]


# --- what must not be closed before it is replaced -------------------------------------------------------------------


@pytest.mark.part(1)
@pytest.mark.parametrize("refused", [True, False])
def test_direct_send_stays_while_its_replacement_is_refused_or_kept_disabled(shop: Shop, refused: bool) -> None:
    sender = "tls_sender_certificate_name: mail.not-ours.example" if refused else f"sender_ip_addresses: [{SITE}]"
    load(shop, settings={"inbound_connectors_created_disabled": True})
    shop.write(
        "owner: mail/prod\norganization: { reject_direct_send: true }\n"
        f"inbound_connectors: {{ plant: {{ type: on_premises, require_tls: true, {sender} }} }}\n"
    )
    for _ in range(2):
        assert apply(shop).returncode in ({6, 8} if refused else {8})
        assert shop.tenant.rows("OrganizationConfig")[0]["RejectDirectSend"] is False


@pytest.mark.part(1)
def test_a_connector_that_the_tenant_keeps_disabled_is_not_called_done(shop: Shop) -> None:
    load(shop, settings={"inbound_connectors_created_disabled": True})
    shop.write(f"inbound_connectors: {{ plant: {{ type: on_premises, sender_ip_addresses: [{SITE}] }} }}\n")
    said = apply(shop)
    assert (said.returncode, "the connector is disabled in the tenant" in said.stdout + said.stderr) == (8, True)


@pytest.mark.part(1)
def test_the_organization_stays_on_while_an_exception_has_a_typo(shop: Shop) -> None:
    load(shop, objects={"TransportConfig": [{"SmtpClientAuthenticationDisabled": False}]})
    shop.write(
        "smtp_auth:\n  organization: disabled\n  mailboxes: { erp@contoso.com: enabled, bilss@contoso.com: enabled }\n"
    )
    said = apply(shop)
    assert (said.returncode, "bilss@contoso.com" in said.stderr) == (6, True)
    assert shop.tenant.rows("TransportConfig")[0]["SmtpClientAuthenticationDisabled"] is False


# --- mailboxes by their names ----------------------------------------------------------------------------------------


def overrides(shop: Shop) -> dict[str, Any]:
    rows = shop.tenant.rows("CASMailbox")
    return {r["PrimarySmtpAddress"]: r["SmtpClientAuthenticationDisabled"] for r in rows}


@pytest.mark.part(1)
def test_the_mailbox_that_has_the_address_is_switched_not_the_one_that_signs_in_with_it(shop: Shop) -> None:
    load(
        shop,
        mailboxes=[
            {"address": "scan@contoso.com", "upn": "mfp01@contoso.onmicrosoft.com", "display_name": "MFP 01"},
            {"address": "bea@contoso.com", "upn": "scan@contoso.com", "display_name": "Bea"},
        ],
    )
    shop.write("smtp_auth: { exclusive: true, mailboxes: { scan@contoso.com: enabled } }\n")
    assert apply(shop).returncode == 0
    assert {a: v for a, v in overrides(shop).items() if v is not None} == {"scan@contoso.com": False}
    assert plan(shop).returncode == 0


def test_of_two_mailboxes_with_one_display_name_the_declared_one_is_changed(shop: Shop) -> None:
    named = {"Identity": "Kim Roe", "DisplayName": "Kim Roe"}
    rows = [
        {**named, "Name": "Kim Roe", "PrimarySmtpAddress": "kim@contoso.com"},
        {**named, "Name": "Kim Roe_bb41", "Identity": "Kim Roe_bb41", "PrimarySmtpAddress": "kim2@contoso.com"},
    ]
    load(shop, objects={"CASMailbox": rows})
    shop.write("smtp_auth: { mailboxes: { kim@contoso.com: enabled } }\n")
    assert apply(shop).returncode == 0
    assert (overrides(shop)["kim@contoso.com"], overrides(shop)["kim2@contoso.com"]) == (False, None)


@pytest.mark.parametrize("others", [0, 6])
def test_a_display_name_that_is_the_address_of_another_mailbox_leads_nowhere(shop: Shop, others: int) -> None:
    """Up to five mailboxes are looked up one by one, more are listed."""
    named = [
        {"address": "scan@contoso.com", "display_name": "Scanner"},
        {"address": "room@contoso.com", "display_name": "scan@contoso.com", "type": "SchedulingMailbox"},
    ]
    load(shop, mailboxes=[*named, {"count": 6, "domain": "contoso.com", "prefix": "staff"}])
    staff = "".join(f"    staff{n:05}@contoso.com: inherit\n" for n in range(1, others + 1))
    shop.write(f"smtp_auth:\n  mailboxes:\n    scan@contoso.com: enabled\n{staff}")
    assert apply(shop).returncode == 0
    assert {a: v for a, v in overrides(shop).items() if v is not None} == {"scan@contoso.com": False}
    shop.write("send_as: { erp@contoso.com: [scan@contoso.com] }\n")
    assert apply(shop).returncode == 0
    assert plan(shop).returncode == 0


APPLICATION = """owner: mail/prod
devices:
  app: { from: help@contoso.com, recipients: anyone, %ssupports: { tls: "1.3", authentication: [oauth] } }
"""


def test_a_shared_mailbox_that_cannot_sign_in_is_told_and_a_delegate_works(shop: Shop) -> None:
    load(
        shop,
        mailboxes=[{"address": "help@contoso.com", "type": "SharedMailbox"}, "svc.help@contoso.com"],
        graph={"users": [{"userPrincipalName": "help@contoso.com", "accountEnabled": False, "assignedPlans": []}]},
    )
    shop.write(APPLICATION % "")
    said = apply(shop)
    assert said.returncode == 6
    assert "it is a shared mailbox, whose account should stay blocked" in said.stdout
    assert "SMTP-AUTH-UNKNOWN" not in said.stdout, "no permission helps an account that cannot sign in"
    assert overrides(shop)["help@contoso.com"] is None
    shop.write(APPLICATION % "mailbox: svc.help@contoso.com, ")
    assert apply(shop).returncode == 0
    assert overrides(shop)["svc.help@contoso.com"] is False
    assert plan(shop).returncode == 0
    shop.write(APPLICATION % "oauth: { sign_in: application }, ")
    assert apply(shop).returncode == 0, "an application needs no account that may sign in"
    assert overrides(shop)["help@contoso.com"] is False
    assert plan(shop).returncode == 0


def test_a_device_signs_in_with_the_name_of_its_user_and_sends_as_another_mailbox(shop: Shop) -> None:
    sign_in = "svc-app@contoso.onmicrosoft.com"
    load(
        shop,
        mailboxes=[
            {"address": "app@contoso.com", "upn": sign_in},
            {"address": "help@contoso.com", "type": "SharedMailbox"},
        ],
    )
    shop.write(APPLICATION % "mailbox: app@contoso.com, ")
    assert apply(shop).returncode == 0
    assert plan(shop).returncode == 0, "the right is read back, although Exchange shows the sign-in name"
    assert sign_in in shop.on_tenant("devices", "show", "app", "plan.yaml").stdout


def test_an_application_may_be_written_as_a_trustee(shop: Shop) -> None:
    application = "5a1c2a52-0000-4000-8000-000000000001"
    shop.write(f"send_as: {{ {application}: [bills@contoso.com] }}\n")
    assert shop.run("validate", "plan.yaml").returncode == 0
    assert plan(shop).returncode == 1, "Exchange knows no such application yet"
    told = findings(shop)["RESOURCE-MISSING"]
    assert "New-ServicePrincipal -AppId <application id> -ObjectId <that id>" in told["hint"]
    load(shop, objects={"ServicePrincipal": [{"AppId": application.replace("2a52", "2a53"), "ObjectId": application}]})
    assert apply(shop).returncode == 0
    rows = shop.tenant.cmdlet("Get-RecipientPermission", Identity="bills@contoso.com")["rows"]
    assert len([row for row in rows if not row["Trustee"].endswith("SELF")]) == 1
    assert plan(shop).returncode == 0


def test_a_device_that_needs_high_volume_email_is_told_so(shop: Shop) -> None:
    load(shop, objects={"MailUser": [{"Name": "bulk", "PrimarySmtpAddress": "bulk@contoso.com"}]})
    device = '{ from: bulk@contoso.com, recipients: organization, supports: { tls: "1.2", authentication: [basic] }'
    shop.write(
        "smtp_auth: { mailboxes: { bulk@contoso.com: enabled } }\n"
        f"devices: {{ payroll: {device}, messages_per_day: 50000, method: client_submission }} }}\n"
    )
    since = shop.tenant.seen()
    assert shop.run("validate", "plan.yaml").returncode == 3
    said = plan(shop)
    assert (said.returncode, "High Volume Email" in said.stderr) == (1, True)
    assert shop.tenant.seen() == since, "refused before the tenant is asked"


def test_smtp_auth_for_an_account_of_high_volume_email_says_that_it_is_no_mailbox(shop: Shop) -> None:
    load(shop, objects={"MailUser": [{"Name": "bulk", "PrimarySmtpAddress": "bulk@contoso.com"}]})
    shop.write("smtp_auth: { mailboxes: { bulk@contoso.com: enabled, erp@contoso.com: enabled } }\n")
    assert plan(shop).returncode == 1
    told = findings(shop)["RESOURCE-MISSING"]
    assert "bulk@contoso.com is a mail user, not a mailbox" in told["summary"]
    assert "the host of High Volume Email" in told["hint"]
    since = shop.tenant.seen()
    assert apply(shop).returncode == 6
    assert shop.tenant.writes(since=since) == []
    assert overrides(shop)["erp@contoso.com"] is None
    shop.write("smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n")
    assert apply(shop).returncode == 0, "the others need only that it is taken out"


# --- DKIM and domains ------------------------------------------------------------------------------------------------


def test_the_coexistence_domain_is_not_signed_and_the_initial_one_is_at_once(shop: Shop) -> None:
    domain = "contoso.mail.onmicrosoft.com"
    load(shop, objects={"AcceptedDomain": [{"DomainName": domain, "IsCoexistenceDomain": True}]})
    initial = "dkim:\n  contoso.onmicrosoft.com: { enabled: true }\n"
    shop.write(f"{initial}  {domain}: {{ enabled: true }}\n")
    said = shop.run("lint", "plan.yaml")
    assert (said.returncode, "DKIM-COEXISTENCE" in said.stderr) == (3, True)
    checked = shop.on_tenant("dns", "check", "plan.yaml").stdout
    assert ("contoso.onmicrosoft.com" in checked, domain in checked) == (True, False), "nothing can be published there"
    assert apply(shop).returncode == 6
    shop.write(initial)
    assert apply(shop).returncode == 0
    signed = {r["Domain"]: r["Enabled"] for r in shop.tenant.rows("DkimSigningConfig")}
    assert signed.get("contoso.onmicrosoft.com") is True
    assert domain not in signed


def test_dkim_of_a_long_domain_waits_for_the_names_that_exchange_gives(shop: Shop) -> None:
    domain = "a-very-long-name-of-an-agency-that-does-not-fit-into-one-label.regional.gov.example"
    load(shop, objects={"AcceptedDomain": [{"DomainName": domain}]})
    shop.write(f"dkim: {{ {domain}: {{ enabled: true }} }}\n")
    said = apply(shop)
    (row,) = [r for r in shop.tenant.rows("DkimSigningConfig") if r["Domain"] == domain]
    targets = {n: row[f"Selector{n}CNAME"] for n in (1, 2)}
    assert said.returncode == 8
    assert all(target in said.stdout + said.stderr for target in targets.values())
    for n, target in targets.items():
        name = f"selector{n}._domainkey.{domain}"
        shop.tenant.control("POST", "/dns", {"name": name, "type": "CNAME", "values": [target]})
    assert apply(shop).returncode == 0
    assert plan(shop).returncode == 0


def test_a_key_of_1024_bits_gets_one_advice_whatever_the_plan_says(shop: Shop) -> None:
    selectors = {f"Selector{n}CNAME": f"selector{n}-contoso-com._domainkey.contoso.onmicrosoft.com" for n in (1, 2)}
    sizes = {f"Selector{n}KeySize": 1024 for n in (1, 2)}
    row = {"Domain": "contoso.com", "Name": "contoso.com", "Enabled": True, "Status": "Valid", **sizes, **selectors}
    load(shop, objects={"DkimSigningConfig": [row]})
    for size, rule in ((1024, "DKIM-KEY-1024"), (2048, "CREATE-ONLY")):
        shop.write(f"dkim: {{ contoso.com: {{ enabled: true, key_size: {size} }} }}\n")
        found = findings(shop)
        assert rule in found
        assert not any("write key_size" in f["hint"] for f in found.values())
        assert any("key_size out of the plan" in f["hint"] for f in found.values())
        assert (
            "provisioner dkim rotate" in found[rule]["hint"] or "provisioner explain CREATE-ONLY" in found[rule]["hint"]
        )
    shop.write("dkim: { contoso.com: { enabled: true } }\n")
    assert plan(shop).returncode == 0


def test_a_domain_from_which_nothing_may_be_sent_is_told(shop: Shop) -> None:
    load(shop, objects={"AcceptedDomain": [{"DomainName": "quiet.example", "SendingFromDomainDisabled": True}]})
    shop.write(
        "owner: mail/prod\ndevices:\n"
        f"  relay: {{ from: relay@quiet.example, recipients: anyone, sender_ip_addresses: [{SITE}],\n"
        '           supports: { tls: "1.2", authentication: [] } }\n'
    )
    assert "quiet.example" in findings(shop)["DOMAIN-SENDING-DISABLED"]["summary"]


# --- export, loading, reading ----------------------------------------------------------------------------------------


def test_export_keeps_that_direct_send_is_rejected(shop: Shop) -> None:
    shop.tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=True)
    assert "reject_direct_send: true" in exported(shop)
    (shop.folder / "plan.yaml").write_text(shop.on_tenant("export", "--type", "organization").stdout)
    shop.tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=False)
    assert plan(shop).returncode == 2


def test_a_kept_export_of_one_cmdlet_is_loaded_or_the_message_says_the_form(shop: Shop) -> None:
    row = {"Name": "HQ", "Identity": "HQ", "Enabled": True, "ConnectorType": "OnPremises", "RequireTls": False}
    row |= {"SenderIPAddresses": SITE, "SenderDomains": "smtp:*;1", "WhenChanged": "/Date(1700000000000)/"}
    (shop.folder / "rows.json").write_text(json.dumps([row]))
    said = shop.run("sandbox", "load", "rows.json")
    assert (said.returncode, '"objects": {"InboundConnector"' in said.stderr) == (3, True)
    (shop.folder / "rows.json").write_text(json.dumps({"sandbox": 1, "objects": {"InboundConnector": row}}))
    assert shop.run("sandbox", "load", "rows.json").returncode == 0
    assert f"- {SITE}" in exported(shop)
    # What PowerShell itself writes, in its own encoding; what a cmdlet did is said, not only its exit code.
    members = "".join(f"<S N='{name}'>{value}</S>" for name, value in (("Name", "Leeds"), ("SenderIPAddresses", SITE)))
    kind = "Deserialized.Microsoft.Exchange.Data.Directory.Management.InboundConnector"
    written = f"<Objs><Obj RefId='0'><TN RefId='0'><T>{kind}</T></TN><MS>{members}</MS></Obj></Objs>"
    (shop.folder / "rows.xml").write_text(written, encoding="utf-16")
    assert shop.run("sandbox", "load", "rows.xml").returncode == 0
    removed = shop.run("sandbox", "run", "Remove-InboundConnector", "Identity=Leeds")
    assert (removed.returncode, "Remove-InboundConnector succeeded." in removed.stderr) == (0, True)


def test_a_reader_that_cannot_see_send_as_is_told_so_and_nothing_is_planned(shop: Shop) -> None:
    shop.write("send_as: { erp@contoso.com: [bills@contoso.com] }\n")
    reader = ("--profile", "sandbox-reader")
    found = shop.run(*reader, "plan", "plan.yaml", "--detailed-exitcode")
    assert found.returncode == 1, "with --detailed-exitcode 1 is every failure"
    role = "Exchange Recipient Administrator (Entra) or Mail Recipients (Exchange); Global Reader does not hold it"
    assert role in found.stdout
    assert "to add" not in found.stdout
    assert shop.run(*reader, "plan", "plan.yaml").returncode == 4
    looked = shop.run(*reader, "doctor", "plan.yaml")
    assert looked.returncode == 1
    assert 'send_as["erp@contoso.com as bills@contoso.com"]: could not be read' in looked.stdout
    assert role in looked.stdout
    assert "Exchange Recipient Administrator" in (Path(__file__).parents[2] / "docs" / "settings.md").read_text()


# --- clouds ----------------------------------------------------------------------------------------------------------


def test_gcc_high_has_hosts_of_its_own(tmp_path: Any) -> None:
    include = "spf.protection.office365.us"
    seed = {
        "sandbox": 1,
        "tenant": {"initial_domain": "coffee.onmicrosoft.us"},
        "objects": {"AcceptedDomain": [{"DomainName": "coffee.us", "Default": True}]},
        "mailboxes": ["scan@coffee.us"],
        "dns": {
            "coffee.us": {
                "MX": ["0 coffee-us.mail.protection.office365.us"],
                "TXT": [f"v=spf1 ip4:{SITE} include:{include} -all"],
            },
            include: {"TXT": ["v=spf1 ip4:23.103.191.0/24 -all"]},
        },
    }
    with open_shop(tmp_path, seed) as shop:
        (tmp_path / "plan.yaml").write_text(
            "provisioner: 1\ntenant: coffee.onmicrosoft.us\nowner: x\ndevices:\n"
            '  scan: { from: scan@coffee.us, recipients: anyone, supports: { tls: "1.2", authentication: [oauth] } }\n'
            f"  relay: {{ from: r@coffee.us, recipients: anyone, sender_ip_addresses: [{SITE}],\n"
            '           supports: { tls: "1.2", authentication: [] } }\n'
        )
        for cloud in ({"PROVISIONER_CLOUD": "gcc_high"}, {}):
            sheet = shop.on_tenant("devices", "show", "scan", "plan.yaml", **cloud).stdout
            assert "smtp.office365.us" in sheet
            assert "outlook.office365.us/.default" in sheet
            assert "office365.com" not in sheet
        assert (
            "coffee-us.mail.protection.office365.us" in shop.on_tenant("devices", "show", "relay", "plan.yaml").stdout
        )
        checked = shop.on_tenant("dns", "check", "plan.yaml").stdout
        assert "SPF-" not in checked
        assert "MX-" not in checked


# --- every case ------------------------------------------------------------------------------------------------------

TESTS = {
    "c01": "test_a_filter_in_front_is_told_to_refuse_all_other_mail",
    "c03": "test_the_cost_of_a_sender_domain_is_no_difference_and_export_tells_it",
    "c05": "test_a_vendors_networks_converge_in_any_order_and_wide_ones_are_counted",
    "c06": "test_addresses_in_odd_forms_are_refused_in_one_pass_each_with_what_to_write",
    "c08": "test_enhanced_filtering_is_taken_off_in_one_update",
    "c09": "test_the_wizards_connector_is_told_by_export_and_guarded_when_declared",
    "c11": "test_the_mailbox_that_has_the_address_is_switched_not_the_one_that_signs_in_with_it",
    "c12": "test_of_two_mailboxes_with_one_display_name_the_declared_one_is_changed",
    "c13": "test_a_shared_mailbox_that_cannot_sign_in_is_told_and_a_delegate_works",
    "c14": "test_a_device_signs_in_with_the_name_of_its_user_and_sends_as_another_mailbox",
    "c16": "test_an_application_may_be_written_as_a_trustee",
    "c17": "test_the_coexistence_domain_is_not_signed_and_the_initial_one_is_at_once",
    "c20": "test_gcc_high_has_hosts_of_its_own",
    "c22": "test_direct_send_stays_while_its_replacement_is_refused_or_kept_disabled",
    "c23": "test_the_organization_stays_on_while_an_exception_has_a_typo",
    "c26": "test_a_reader_that_cannot_see_send_as_is_told_so_and_nothing_is_planned",
    "c27": "test_one_partner_domain_of_many_leaves_and_two_come",
    "c28": "test_a_display_name_that_is_the_address_of_another_mailbox_leads_nowhere",
    "c29": "test_direct_send_stays_while_its_replacement_is_refused_or_kept_disabled",
    "c30b": "test_a_restriction_that_takes_direct_send_from_a_device_stops_apply",
    "c31": "test_a_kept_export_of_one_cmdlet_is_loaded_or_the_message_says_the_form",
    "c32": "test_a_pattern_with_brackets_protects_a_connector_from_absent",
    "c35": "test_a_device_that_needs_high_volume_email_is_told_so",
    "c37": "test_a_site_gets_a_new_address_in_one_update_and_spf_is_told",
    "c39": "test_a_device_signs_in_with_the_name_of_its_user_and_sends_as_another_mailbox",
    "c40": "test_a_relay_without_its_type_is_told_that_nobody_may_relay",
    "c41": "test_dkim_of_a_long_domain_waits_for_the_names_that_exchange_gives",
    "c43": "test_a_domain_from_which_nothing_may_be_sent_is_told",
    "c44": "test_spaces_around_the_items_of_a_variable_do_not_matter_and_an_empty_item_is_refused",
    "c46": "test_export_keeps_that_direct_send_is_rejected",
    "c48": "test_a_key_of_1024_bits_gets_one_advice_whatever_the_plan_says",
    "c60": "test_a_list_of_devices_taken_over_as_it_is_has_all_its_mistakes_told_at_once",
    "c62": "test_a_disabled_connector_does_not_cover_its_device",
}
"""The cases by number, and the test that stands for each."""

ELSEWHERE = {"c25": "tests/cli/test_renamed.py"}
"""Cases that a file of their own stands for."""


@pytest.mark.part(1)
def test_every_case_has_its_test() -> None:
    assert all(callable(globals()[name]) for name in TESTS.values())
    if not CASES.is_dir():
        pytest.skip("../shared/cases/field/tenant is not there")
    cases = {path.name.partition("-")[0] for path in CASES.glob("*.yaml")}
    assert cases == TESTS.keys() | ELSEWHERE.keys()
