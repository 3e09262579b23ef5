"""Open before close, over the command line: nothing that closes a sending path runs before its replacement works.

The tenant lets the scanner sign in, and takes direct send from anyone. The plans move the scanner to a relay connector
and close the rest; the connector is refused, kept disabled by Exchange, or does not show.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop

pytestmark = pytest.mark.one_of("profile")

PROFILES = ("sandbox", "sandbox-psrp")
ADDRESS = "52.202.8.242"
DECEMBER = f"""owner: mail/prod
smtp_auth: {{ organization: disabled, exclusive: true }}
organization: {{ reject_direct_send: true }}
sites: {{ hq: {{ egress_ip_addresses: [{ADDRESS}] }} }}
devices:
  scanner: {{ site: hq, from: erp@contoso.com, recipients: anyone, supports: {{ tls: "1.2", authentication: [] }} }}
"""
CERTIFICATE = """owner: mail/prod
smtp_auth: { organization: disabled, exclusive: true }
organization: { reject_direct_send: true }
inbound_connectors:
  site-hq: { type: on_premises, require_tls: true, sender_domains: ['*'], tls_sender_certificate_name: mail.%s.example }
"""
RELAY = "{ type: on_premises, require_tls: false, sender_domains: ['*'], sender_ip_addresses: [%s] }"
REFUSED = "{ type: on_premises, require_tls: true, sender_domains: ['*'], tls_sender_certificate_name: fax.example }"
QUICK = {"PROVISIONER_TIMEOUTS__CONFIRM_S": "0.4"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "dns": {"contoso.com": {}}}) as here:
        yield here


@pytest.fixture(autouse=True)
def before(shop: Shop) -> Iterator[None]:
    """SMTP AUTH is on for the organization and the scanner's mailbox, direct send is taken, there is no connector."""
    shop.tenant.cmdlet("Set-TransportConfig", SmtpClientAuthenticationDisabled=False)
    shop.tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=False)
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=False)
    shop.tenant.cmdlet("Set-CASMailbox", Identity="fax@contoso.com", SmtpClientAuthenticationDisabled=None)
    yield
    works(shop)
    for row in shop.tenant.rows("InboundConnector"):
        shop.tenant.cmdlet("Remove-InboundConnector", Identity=row["Name"])
    for row in shop.tenant.rows("RecipientPermission"):
        if row["Trustee"] == "fax@contoso.com":
            shop.tenant.cmdlet(
                "Remove-RecipientPermission", Identity=row["Identity"], Trustee=row["Trustee"], AccessRights=["SendAs"]
            )
    for journal in (shop.folder / "state").glob("*/journal.jsonl"):
        journal.unlink()


def setting(shop: Shop, **values: Any) -> None:
    shop.tenant.control("POST", "/load", {"sandbox": 1, "settings": values})


def breaks(shop: Shop, how: str) -> None:
    """What keeps a new connector from working from now on. A certificate of a foreign domain is refused as it is."""
    if how == "disabled":
        setting(shop, inbound_connectors_created_disabled=True)
    elif how == "unconfirmed":
        setting(shop, lag_by_noun={"InboundConnector": 3600.0})
    elif how in {"close", "run_then_close"}:
        lost = {"match": {"cmdlet": "New-InboundConnector"}, "times": 100, "do": {how: True}}
        shop.tenant.control("POST", "/faults", [{"front": front, **lost} for front in ("exchange", "psrp")])


def works(shop: Shop) -> None:
    """Everything works again, and what has been written shows."""
    shop.release()
    setting(shop, inbound_connectors_created_disabled=False, lag_by_noun={})
    shop.tenant.control("POST", "/clock", {"advance": 3600})


def accept(shop: Shop, domain: str) -> None:
    shop.tenant.control("POST", "/load", {"sandbox": 1, "objects": {"AcceptedDomain": [{"DomainName": domain}]}})


def apply(shop: Shop, profile: str, *options: str) -> tuple[int, dict[str, str]]:
    """The exit code, and the status of each change by address."""
    found = shop.run("--profile", profile, "apply", *(options or ("plan.yaml",)), "--auto-approve", "--format", "json",
                     "--allow", "DEVICE-LOSES-WAY", **QUICK)  # fmt: skip
    results = json.loads(found.stdout).get("results", []) if found.stdout else []
    return found.returncode, {r["address"]: r["status"] for r in results}


def switches(shop: Shop) -> tuple[bool, bool, bool | None]:
    """Whether the organization and the mailbox refuse SMTP AUTH, and direct send is rejected."""
    mailbox = next(r for r in shop.tenant.rows("CASMailbox") if r["PrimarySmtpAddress"] == "erp@contoso.com")
    return (
        shop.tenant.rows("TransportConfig")[0]["SmtpClientAuthenticationDisabled"],
        shop.tenant.rows("OrganizationConfig")[0]["RejectDirectSend"],
        mailbox["SmtpClientAuthenticationDisabled"],
    )


OPEN, CLOSED = (False, False, False), (True, True, None)
CLOSING = ('smtp_auth["organization"]', 'organization["settings"]', 'smtp_auth["erp@contoso.com"]')


def connectors(shop: Shop) -> dict[str, Any]:
    return {r["Name"]: r["Enabled"] for r in shop.tenant.rows("InboundConnector")}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("how", ["refused", "disabled", "unconfirmed", "close"])
def test_the_december_move_closes_nothing_until_the_relay_works(shop: Shop, how: str, profile: str) -> None:
    shop.write(CERTIFICATE % profile if how == "refused" else DECEMBER)
    breaks(shop, how)
    for _ in range(2):
        code, status = apply(shop, profile)
        assert code == 8
        assert {status[a] for a in CLOSING} == {"held_back"}
        assert switches(shop) == OPEN
    works(shop)
    if how == "refused":
        accept(shop, f"{profile}.example")
    if how == "disabled":
        shop.tenant.cmdlet("Set-InboundConnector", Identity="site-hq", Enabled=True)
    code, status = apply(shop, profile)
    assert (code, switches(shop)) == (0, CLOSED)
    assert shop.run("--profile", profile, "plan", "plan.yaml", "--detailed-exitcode").returncode == 0


@pytest.mark.parametrize("profile", PROFILES)
def test_the_december_move_goes_through_where_only_the_answer_was_lost(shop: Shop, profile: str) -> None:
    """The connector was created; reading back tells so, and no second one is sent."""
    shop.write(DECEMBER)
    breaks(shop, "run_then_close")
    assert apply(shop, profile)[0] == 0
    assert (connectors(shop), switches(shop)) == ({"site-hq": True}, CLOSED)


def test_a_second_run_holds_back_although_the_connector_needs_no_change(shop: Shop) -> None:
    """`enabled` is not written, so the disabled connector is a no-op in the second run."""
    shop.write(f"organization: {{ reject_direct_send: true }}\ninbound_connectors: {{ hq: {RELAY % ADDRESS} }}\n")
    breaks(shop, "disabled")
    code, status = apply(shop, "sandbox")
    assert (code, status['inbound_connector["hq"]']) == (8, "unconfirmed")
    works(shop)
    code, status = apply(shop, "sandbox")
    assert (code, status) == (8, {'organization["settings"]': "held_back"})
    assert switches(shop) == OPEN
    said = shop.on_tenant("plan", "plan.yaml").stdout
    assert 'warning[NOT-IN-FORCE]: inbound_connector["hq"]: the connector is disabled in the tenant' in said
    shop.tenant.cmdlet("Set-InboundConnector", Identity="hq", Enabled=True)
    assert apply(shop, "sandbox") == (0, {'organization["settings"]': "done"})


def test_a_connector_that_exchange_keeps_disabled_is_not_confirmed(shop: Shop) -> None:
    shop.write(f"inbound_connectors: {{ hq: {RELAY % ADDRESS} }}\n")
    breaks(shop, "disabled")
    found = shop.on_tenant("apply", "plan.yaml", "--auto-approve", **QUICK)
    assert found.returncode == 8
    assert "the connector is disabled in the tenant" in found.stdout
    assert connectors(shop) == {"hq": False}
    again = shop.on_tenant("plan", "plan.yaml")
    assert "NOT-IN-FORCE" in again.stdout


def test_a_saved_change_set_holds_back_when_it_is_resumed(shop: Shop) -> None:
    shop.write(f"organization: {{ reject_direct_send: true }}\ninbound_connectors: {{ hq: {RELAY % ADDRESS} }}\n")
    assert shop.on_tenant("plan", "plan.yaml", "-o", "saved.json").returncode == 0
    breaks(shop, "disabled")
    for status in ("unconfirmed", "unconfirmed"):
        code, found = apply(shop, "sandbox", *shop.reviewed("saved.json"))
        assert (code, found['inbound_connector["hq"]']) == (8, status)
        assert found['organization["settings"]'] == "held_back"
    assert switches(shop) == OPEN


@pytest.mark.parametrize("how", ["refused", "disabled"])
def test_what_is_absent_stays_until_its_replacement_works(shop: Shop, how: str) -> None:
    """A connector, a mailbox's switch and a right that the plan takes away in the same run."""
    shop.tenant.cmdlet("New-InboundConnector", Name="old-fax", ConnectorType="OnPremises", SenderDomains=["*"],
                       SenderIPAddresses=[ADDRESS])  # fmt: skip
    shop.tenant.cmdlet("Add-RecipientPermission", Identity="a@contoso.com", Trustee="fax@contoso.com",
                       AccessRights=["SendAs"])  # fmt: skip
    shop.write(
        "smtp_auth: { mailboxes: { erp@contoso.com: disabled } }\n"
        f"inbound_connectors: {{ fax-server: {REFUSED if how == 'refused' else RELAY % '52.202.8.243'} }}\n"
        "absent: [inbound_connector/old-fax, 'send_as/fax@contoso.com as a@contoso.com']\n"
    )
    breaks(shop, how)
    code, status = apply(shop, "sandbox")
    held = [a for a, s in status.items() if s == "held_back"]
    assert (code, len(held)) == (8, 3)
    assert switches(shop) == OPEN
    assert connectors(shop)["old-fax"] is True
    assert [r for r in shop.tenant.rows("RecipientPermission") if r["Trustee"] == "fax@contoso.com"]
    works(shop)
    if how == "refused":
        accept(shop, "fax.example")
    else:
        shop.tenant.cmdlet("Set-InboundConnector", Identity="fax-server", Enabled=True)
    assert apply(shop, "sandbox")[0] == 0
    assert connectors(shop) == {"fax-server": True}


def replaced(shop: Shop) -> None:
    """A connector of ours that the plan replaces by another one: the new one is created, the old one deleted."""
    shop.write(f"owner: mail/prod\ninbound_connectors: {{ HQ relay: {RELAY % ADDRESS} }}\n")
    assert apply(shop, "sandbox")[0] == 0
    shop.write(f"owner: mail/prod\ninbound_connectors: {{ new-relay: {RELAY % '52.202.8.240/28'} }}\n")


def test_a_delete_follows_the_create(shop: Shop) -> None:
    replaced(shop)
    since = shop.tenant.seen()
    found = shop.on_tenant("plan", "plan.yaml", "--format", "json")
    pending = [c["address"] for c in json.loads(found.stdout)["resource_changes"]]
    assert pending == ['inbound_connector["new-relay"]', 'inbound_connector["HQ relay"]']
    assert apply(shop, "sandbox")[0] == 0
    assert [r["cmdlet"] for r in shop.tenant.writes(since=since)] == ["New-InboundConnector", "Remove-InboundConnector"]


def test_a_delete_is_held_back_when_the_new_connector_stays_disabled(shop: Shop) -> None:
    replaced(shop)
    breaks(shop, "disabled")
    code, status = apply(shop, "sandbox")
    assert (code, status['inbound_connector["HQ relay"]']) == (8, "held_back")
    assert connectors(shop)["HQ relay"] is True


def test_dkim_that_waits_for_dns_holds_nothing_back(shop: Shop) -> None:
    shop.write("organization: { reject_direct_send: true }\ndkim: { contoso.com: { enabled: true } }\n")
    code, status = apply(shop, "sandbox")
    assert (code, status) == (8, {'dkim["contoso.com"]': "waiting", 'organization["settings"]': "done"})


def test_a_device_behind_a_disabled_connector_is_reported(shop: Shop) -> None:
    shop.tenant.cmdlet("New-InboundConnector", Name="legacy", ConnectorType="OnPremises", SenderDomains=["*"],
                       SenderIPAddresses=["52.202.8.240/29"], Enabled=False)  # fmt: skip
    shop.write(
        "inbound_connectors: { legacy: { type: on_premises, sender_ip_addresses: [52.202.8.240/29] } }\n"
        "devices:\n"
        f"  ups: {{ from: erp@contoso.com, recipients: anyone, sender_ip_addresses: [{ADDRESS}],\n"
        '         supports: { tls: "1.2", authentication: [] } }\n'
    )
    said = "the connector is disabled in the tenant"
    assert f"{said}; device/ups cannot send through it" in shop.on_tenant("plan", "plan.yaml").stdout
    assert said in shop.on_tenant("explain", "device/ups", "plan.yaml").stdout
    doctor = shop.on_tenant("doctor", "plan.yaml")
    assert (doctor.returncode, said in doctor.stdout) == (1, True)


LOCKDOWN = """inbound_connectors:
  filter:
    type: partner
    sender_domains: ["*"]
    sender_ip_addresses: [195.130.217.0/24]
    restrict_domains_to_ip_addresses: true
    require_tls: true
"""


def test_a_restricting_partner_connector_is_allowed_by_name_only(shop: Shop) -> None:
    shop.write(LOCKDOWN)
    found = shop.on_tenant("plan", "plan.yaml")
    assert "# can stop mail" in found.stdout
    assert "widens exposure" not in found.stdout
    assert "mail from every domain is refused (550 5.7.51) unless it comes from these addresses" in found.stdout
    assert shop.on_tenant("apply", "plan.yaml", "--auto-approve").returncode == 6
    assert connectors(shop) == {}
    allowed = ("--allow", "PARTNER-RESTRICTS:inbound_connector/filter")
    assert shop.on_tenant("apply", "plan.yaml", "--auto-approve", *allowed).returncode == 0
    assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0


def test_enabling_a_restricting_connector_is_guarded_and_disabling_it_is_not(shop: Shop) -> None:
    shop.write(LOCKDOWN + "    enabled: false\n")
    assert "# can stop mail" not in shop.on_tenant("plan", "plan.yaml").stdout
    assert shop.on_tenant("apply", "plan.yaml", "--auto-approve").returncode == 0
    shop.write(LOCKDOWN + "    enabled: true\n")
    assert shop.on_tenant("apply", "plan.yaml", "--auto-approve").returncode == 6
    assert connectors(shop) == {"filter": False}


def test_a_connector_that_cannot_be_read_back_is_unconfirmed_and_nothing_is_closed(shop: Shop) -> None:
    """It was created; after the plan and the look before the first write, no read of connectors is answered."""
    shop.write(
        f"owner: mail/prod\nsmtp_auth: {{ organization: disabled }}\ninbound_connectors: {{ hq: {RELAY % ADDRESS} }}\n"
    )
    rule = {"front": "exchange", "match": {"cmdlet": "Get-InboundConnector"}, "after": 2, "times": 1000}
    shop.tenant.control("POST", "/faults", [{**rule, "do": {"html": True}}])
    code, statuses = apply(shop, "sandbox")
    shop.release()
    assert code == 8
    assert statuses == {'inbound_connector["hq"]': "unconfirmed", 'smtp_auth["organization"]': "held_back"}
    assert connectors(shop) == {"hq": True}
    assert switches(shop) == OPEN
    assert apply(shop, "sandbox")[0] == 0, "once the tenant can be read the next run goes on"
    assert switches(shop)[0] is True


# --- what is checked, and what lifts it ------------------------------------------------------------------------------

TWO_PATHS = f"organization: {{ reject_direct_send: true }}\ninbound_connectors: {{ hq: {RELAY % ADDRESS} }}\n"


def test_a_target_does_not_narrow_the_check(shop: Shop) -> None:
    shop.write(TWO_PATHS)
    for scope in (("--target", "organization/settings"), ("--exclude", "inbound_connector/*")):
        found = shop.on_tenant("apply", "plan.yaml", "--auto-approve", *scope)
        assert found.returncode == 8
        assert 'waits for inbound_connector["hq"] (the tenant does not have it; outside --target' in found.stdout
    assert switches(shop) == OPEN
    assert apply(shop, "sandbox", "plan.yaml", "--target", "inbound_connector/hq")[0] == 0
    assert apply(shop, "sandbox", "plan.yaml", "--target", "organization/settings")[0] == 0
    assert switches(shop)[1] is True


def test_only_its_own_name_lifts_the_rule_and_output_and_journal_say_so(shop: Shop) -> None:
    shop.write(TWO_PATHS)
    breaks(shop, "disabled")
    assert apply(shop, "sandbox", "plan.yaml", "--allow", "BLAST-RADIUS")[0] == 8
    assert apply(shop, "sandbox", "plan.yaml", "--allow", "CLOSE-BEFORE-OPEN:smtp_auth/*")[0] == 8
    assert switches(shop) == OPEN
    allow = ("--allow", "CLOSE-BEFORE-OPEN", "--auto-approve")
    found = shop.on_tenant("apply", "plan.yaml", *allow, **QUICK)
    words = 'sent although inbound_connector["hq"] (the connector is disabled in the tenant) is not in force: CLOSE'
    assert (found.returncode, switches(shop)[1]) == (0, True)
    assert words in found.stdout
    recorded = shop.run("history", "export").stdout.splitlines()
    assert [line for line in recorded if words.replace('"', '\\"') in line]


def test_a_plan_cannot_lift_the_rule(shop: Shop) -> None:
    shop.write(TWO_PATHS + "allow: [{ rule: CLOSE-BEFORE-OPEN, reason: always }]\n")
    found = shop.run("validate", "plan.yaml")
    assert found.returncode == 3
    assert "CLOSE-BEFORE-OPEN can be allowed for one run only, not by a plan" in found.stderr + found.stdout


def test_held_back_stands_in_text_json_stream_and_journal(shop: Shop) -> None:
    shop.write(TWO_PATHS)
    breaks(shop, "disabled")
    why = "waits for inbound_connector["
    text = shop.on_tenant("apply", "plan.yaml", "--auto-approve", **QUICK)
    assert text.returncode == 8
    assert "Held back, because it closes a sending path" in text.stdout
    assert f'organization["settings"]: {why}' in text.stdout
    lines = shop.on_tenant("apply", "plan.yaml", "--auto-approve", "--format", "json-lines", **QUICK).stdout
    held = [entry for entry in map(json.loads, lines.splitlines()) if entry["type"] == "apply_errored"]
    assert [(e["provisioner"]["status"], e["provisioner"]["detail"][: len(why)]) for e in held] == [("held_back", why)]
    ended = [e for e in map(json.loads, shop.run("history", "export").stdout.splitlines()) if e["kind"] == "finished"]
    assert {(e["address"], e["status"]) for e in ended} >= {('organization["settings"]', "held_back")}


# --- who is concerned ------------------------------------------------------------------------------------------------

FAX = f"inbound_connectors: {{ fax-server: {REFUSED.replace('fax.example', 'plant.example')} }}\n"
DEVICE = """sites: { plant: { egress_ip_addresses: [52.202.8.250] } }
devices:
  fax:
    site: plant
    from: fax@contoso.com
    mailbox: fax@contoso.com
    certificate: CERTIFICATE
    recipients: anyone
    method: client_submission
    supports: { tls: "1.2", authentication: [basic] }
"""


@pytest.mark.parametrize(("certificate", "status"), [("scan.example", "done"), ("plant.example", "held_back")])
def test_after_a_run_that_went_through_only_the_paths_of_the_same_senders_hold_back(
    shop: Shop, certificate: str, status: str
) -> None:
    """A mailbox is switched off beside a refused connector: it waits where a device signs in with its certificate."""
    devices = DEVICE.replace("CERTIFICATE", certificate)
    shop.write(f"{devices}smtp_auth: {{ mailboxes: {{ erp@contoso.com: enabled }} }}\n")
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    assert apply(shop, "sandbox")[0] == 0
    shop.write(f"{FAX}smtp_auth: {{ mailboxes: {{ fax@contoso.com: disabled }} }}\n")
    shop.tenant.cmdlet("Set-CASMailbox", Identity="fax@contoso.com", SmtpClientAuthenticationDisabled=False)
    assert apply(shop, "sandbox") == (
        8,
        {'inbound_connector["fax-server"]': "failed", 'smtp_auth["fax@contoso.com"]': status},
    )


# --- two writes ------------------------------------------------------------------------------------------------------

OTHER = "52.202.8.250"


def addresses(shop: Shop) -> dict[str, set[str]]:
    return {r["Name"]: set(r["SenderIPAddresses"]) for r in shop.tenant.rows("InboundConnector")}


@pytest.mark.parametrize("profile", PROFILES)
def test_two_connectors_exchange_their_addresses_without_a_gap(shop: Shop, profile: str) -> None:
    """The answer about the second one is lost: the first keeps both, and the saved change set goes on from there."""
    pair = "inbound_connectors: {{ a: {}, b: {} }}\n"
    shop.write(pair.format(RELAY % ADDRESS, RELAY % OTHER))
    assert apply(shop, profile)[0] == 0
    shop.write(pair.format(RELAY % OTHER, RELAY % ADDRESS))
    assert shop.run("--profile", profile, "plan", "plan.yaml", "-o", "saved.json").returncode == 0
    digest = json.loads((shop.folder / "saved.json").read_text())["provisioner"]["digest"]
    refused = {"match": {"cmdlet": "Set-InboundConnector"}, "after": 1, "times": 1000, "do": {"close": True}}
    shop.tenant.control("POST", "/faults", [{"front": front, **refused} for front in ("exchange", "psrp")])
    code, status = apply(shop, profile, "saved.json", "--expect-digest", digest)
    assert code == 8
    assert sorted(status.values()) == ["held_back", "unconfirmed"]
    held = next(a for a, s in status.items() if s == "held_back")
    shop.release()
    assert addresses(shop)[json.loads(held.partition("[")[2][:-1])] == {ADDRESS, OTHER}
    since = shop.tenant.seen()
    assert apply(shop, profile, "saved.json", "--expect-digest", digest)[0] == 0
    assert addresses(shop) == {"a": {OTHER}, "b": {ADDRESS}}
    assert len(shop.tenant.writes(since=since)) == 3
    assert shop.run("--profile", profile, "plan", "plan.yaml", "--detailed-exitcode").returncode == 0
