"""Lists and settings of the tenant that decide about mail, from the command line: guards, and what is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop

pytestmark = pytest.mark.part(0.5)

POLICY: dict[str, Any] = {
    "Name": "Default",
    "IsDefault": True,
    "IPAllowList": ["198.51.100.7", "198.51.100.0-198.51.100.3"],
    "IPBlockList": ["192.0.2.0/24"],
}
OBJECTS = {**SEED["objects"], "HostedConnectionFilterPolicy": [POLICY]}  # type: ignore[dict-item]
ALLOWED = ("--allow", "FILTER-ALLOW")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("filter"), {**SEED, "objects": OBJECTS}) as here:
        yield here


@pytest.fixture(autouse=True)
def as_seeded(shop: Shop) -> Iterator[None]:
    yield
    shop.tenant.control("POST", "/reset")


def lists(shop: Shop) -> tuple[set[str], set[str]]:
    (row,) = shop.tenant.rows("HostedConnectionFilterPolicy")
    return set(row["IPAllowList"]), set(row["IPBlockList"])


def test_an_allow_entry_is_stopped_until_it_is_allowed_and_others_entries_stay(shop: Shop) -> None:
    plan = shop.write("connection_filter: { allow: [203.0.113.10, 203.0.113.32/28], block: [203.0.113.99] }\n")
    stopped = shop.on_tenant("apply", plan, "--auto-approve")
    assert stopped.returncode == 6
    assert "FILTER-ALLOW" in stopped.stdout + stopped.stderr
    assert lists(shop) == (set(POLICY["IPAllowList"]), {"192.0.2.0/24"}), "nothing was sent"
    assert shop.on_tenant("plan", plan, "-o", "filter.json", *ALLOWED).returncode == 0
    done = shop.on_tenant("apply", *shop.reviewed("filter.json"), "--auto-approve", *ALLOWED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert lists(shop) == (
        {"198.51.100.7", "198.51.100.0-198.51.100.3", "203.0.113.10", "203.0.113.32/28"},
        {"192.0.2.0/24", "203.0.113.99"},
    )
    shop.write("connection_filter: { allow: [203.0.113.10] }\n")
    assert shop.on_tenant("plan", plan, "--detailed-exitcode").returncode == 0, "what nobody writes stays"


def test_an_exclusive_section_removes_the_rest_by_its_stored_spelling(shop: Shop) -> None:
    plan = shop.write("connection_filter: { allow: [198.51.100.7], exclusive: true }\n")
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 0
    assert lists(shop) == ({"198.51.100.7"}, {"192.0.2.0/24"}), "a list that is not written is left alone"
    shop.write("connection_filter: { allow: [], block: [], exclusive: true }\n")
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 0
    assert lists(shop) == (set(), set())
    assert shop.on_tenant("rollback", "last", "-o", "back.json", *ALLOWED).returncode == 0
    back = shop.on_tenant("apply", *shop.reviewed("back.json"), "--auto-approve", *ALLOWED)
    assert back.returncode == 0, back.stdout + back.stderr
    assert lists(shop) == ({"198.51.100.7"}, {"192.0.2.0/24"})


@pytest.mark.part(1)
def test_a_device_that_the_plan_blocks_stops_apply_and_one_that_it_frees_sends(shop: Shop) -> None:
    device = (
        "devices: { scanner: { from: scan@contoso.com, recipients: organization, sender_ip_addresses: [IP], "
        'method: direct_send, supports: { tls: "1.2", authentication: [] } } }\n'
    )
    plan = shop.write("connection_filter: { block: [52.202.8.0/24] }\n" + device.replace("IP", "52.202.8.242"))
    stopped = shop.on_tenant("apply", plan, "--auto-approve")
    assert (stopped.returncode, "DEVICE-LOSES-WAY" in stopped.stdout + stopped.stderr) == (6, True)
    assert lists(shop)[1] == {"192.0.2.0/24"}
    freed = "connection_filter: { block: [], exclusive: true }\n" + device.replace("IP", "192.0.2.5")
    done = shop.on_tenant("plan", shop.write(freed))
    assert (done.returncode, "DEVICE-CANNOT-SEND" in done.stdout) == (0, False)


@pytest.mark.part(1)
def test_what_somebody_added_after_the_review_makes_the_change_set_stale(shop: Shop) -> None:
    shop.on_tenant("plan", shop.write("connection_filter: { block: [203.0.113.99] }\n"), "-o", "stale.json")
    shop.tenant.cmdlet("Set-HostedConnectionFilterPolicy", Identity="Default", IPBlockList={"Add": ["203.0.113.98"]})
    assert shop.on_tenant("apply", *shop.reviewed("stale.json"), "--auto-approve").returncode == 7
    assert lists(shop)[1] == {"192.0.2.0/24", "203.0.113.98"}


def test_settings_that_weaken_the_tenant_are_each_stopped_by_name(shop: Shop) -> None:
    plan = shop.write(
        "transport_config: { allow_legacy_tls_clients: enabled, message_expiration: 18h }\n"
        "outbound_spam_policies: { Default: { auto_forwarding_mode: on, recipient_limit_per_day: 100 } }\n"
        "organization: { send_from_alias_enabled: true }\n"
    )
    stopped = shop.on_tenant("apply", plan, "--auto-approve")
    assert stopped.returncode == 6
    guards = {"TLS-LEGACY", "OUTBOUND-SPAM-FORWARD", "OUTBOUND-SPAM-LIMIT"}
    assert {rule for rule in guards if f"[{rule}]" in stopped.stdout + stopped.stderr} == guards
    assert shop.tenant.rows("TransportConfig")[0]["AllowLegacyTLSClients"] is None
    allowed = [word for rule in sorted(guards) for word in ("--allow", rule)]
    done = shop.on_tenant("apply", plan, "--auto-approve", *allowed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shop.tenant.rows("TransportConfig")[0]["MessageExpiration"] == "18:00:00"
    assert shop.tenant.rows("OrganizationConfig")[0]["SendFromAliasEnabled"] is True
    assert shop.tenant.rows("HostedOutboundSpamFilterPolicy")[0]["RecipientLimitPerDay"] == 100


def test_a_remote_domain_that_lets_mail_be_forwarded_is_stopped_and_one_that_does_not_is_made(shop: Shop) -> None:
    plan = shop.write("remote_domains: { partner.example: { tnef: disabled } }\n")
    stopped = shop.on_tenant("apply", plan, "--auto-approve")
    assert (stopped.returncode, "REMOTE-DOMAIN-FORWARD" in stopped.stdout + stopped.stderr) == (6, True)
    assert len(shop.tenant.rows("RemoteDomain")) == 1
    shop.write("remote_domains: { partner.example: { tnef: disabled, auto_forward_enabled: false } }\n")
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 0
    made = next(r for r in shop.tenant.rows("RemoteDomain") if r["DomainName"] == "partner.example")
    assert (made["Name"], made["TNEFEnabled"], made["AutoForwardEnabled"]) == ("partner.example", False, False)


def test_sending_from_a_domain_that_a_device_needs_is_stopped_and_can_be_allowed_again(shop: Shop) -> None:
    device = (
        "devices: { erp: { from: erp@contoso.com, recipients: anyone, method: client_submission, "
        'supports: { tls: "1.2", authentication: [oauth] } } }\n'
        "smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n"
    )
    plan = shop.write(device + "accepted_domains: { contoso.com: { sending_from_disabled: true } }\n")
    stopped = shop.on_tenant("apply", plan, "--auto-approve")
    assert stopped.returncode == 6
    assert "ACCEPTED-DOMAIN-BLOCKED" in stopped.stdout + stopped.stderr
    assert shop.tenant.rows("AcceptedDomain")[0]["SendingFromDomainDisabled"] is False
    shop.tenant.cmdlet("Set-AcceptedDomain", Identity="contoso.com", SendingFromDomainDisabled=True)
    shop.write("accepted_domains: { contoso.com: { sending_from_disabled: false, match_sub_domains: true } }\n")
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 0
    (row,) = (r for r in shop.tenant.rows("AcceptedDomain") if r["DomainName"] == "contoso.com")
    assert (row["SendingFromDomainDisabled"], row["MatchSubDomains"]) == (False, True)


@pytest.mark.part(1)
def test_a_rule_that_lets_mail_past_the_filter_is_stopped_and_one_goes_where_the_plan_says(shop: Shop) -> None:
    shop.tenant.cmdlet("New-TransportRule", Name="Disclaimer", SetHeaderName="X-Seen", SetHeaderValue="1")
    mark = "sender_ip_ranges: [203.0.113.10], set_header_name: X-Device, set_header_value: a, before: [disclaimer]"
    plan = shop.write(f"transport_rules: {{ Mark: {{ {mark}, set_scl: -1 }} }}\n")
    stopped = shop.on_tenant("apply", plan, "--auto-approve")
    assert (stopped.returncode, "TRANSPORT-RULE-BYPASS" in stopped.stdout + stopped.stderr) == (6, True)
    shop.write(f"transport_rules: {{ Mark: {{ {mark} }} }}\n")
    done = shop.on_tenant("apply", plan, "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {r["Name"]: r["Priority"] for r in shop.tenant.rows("TransportRule")} == {"Mark": 0, "Disclaimer": 1}
    shop.write("transport_rules: { Mark: { before: [Nobody] } }\n")
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 5


def test_mailboxes_are_selected_by_what_they_are_and_a_new_one_is_a_change(shop: Shop) -> None:
    rows = [{"PrimarySmtpAddress": f"{name}@contoso.com", "CustomAttribute1": "printer"} for name in "ab"]
    shop.tenant.control("POST", "/load", {"sandbox": 1, "objects": {"Mailbox": rows}})
    select = 'mailbox_selections: { printers: { custom_attributes: { "1": printer }, smtp_auth: enabled } }\n'
    plan = shop.write(select + "smtp_auth: { mailboxes: { b@contoso.com: disabled } }\n")
    stopped = shop.on_tenant("apply", plan, "--auto-approve")
    assert (stopped.returncode, "SELECTION-ENABLES" in stopped.stdout + stopped.stderr) == (6, True)
    assert "1 mailbox is selected: a@contoso.com" in stopped.stdout
    done = shop.on_tenant("apply", plan, "--auto-approve", "--allow", "SELECTION-ENABLES")
    assert done.returncode == 0, done.stdout + done.stderr
    switches = {r["PrimarySmtpAddress"]: r["SmtpClientAuthenticationDisabled"] for r in shop.tenant.rows("CASMailbox")}
    assert {name: switches[f"{name}@contoso.com"] for name in "abc"} == {"a": False, "b": True, "c": None}
    shop.tenant.control("POST", "/load", {"sandbox": 1, "objects": {"Mailbox": [
        {"PrimarySmtpAddress": "c@contoso.com", "CustomAttribute1": "printer"}
    ]}})  # fmt: skip
    again = shop.on_tenant("plan", plan, "--detailed-exitcode")
    assert (again.returncode, '+ "c@contoso.com enabled"' in again.stdout) == (1, True), "a guard stands"
    shop.write(select + "smtp_auth: { exclusive: true }\n")
    refused = shop.on_tenant("validate", plan)
    assert (refused.returncode, "SELECTION-EXCLUSIVE" in refused.stderr) == (3, True)


def rotations(shop: Shop) -> int:
    return sum(w["cmdlet"] == "Rotate-DkimSigningConfig" for w in shop.tenant.writes("exchange"))


def test_keys_are_rotated_once_and_again_only_after_four_days(shop: Shop) -> None:
    tenant, rotate = shop.tenant, ("dkim", "rotate", "Contoso.com")
    assert shop.on_tenant(*rotate, "--auto-approve").returncode == 3, "there is no configuration"
    tenant.cmdlet("New-DkimSigningConfig", DomainName="contoso.com", Enabled=False, KeySize=1024)
    assert shop.on_tenant(*rotate, "--auto-approve").returncode == 6, "it is disabled"
    (row,) = (r for r in tenant.rows("DkimSigningConfig") if r["Domain"] == "contoso.com")
    for n in (1, 2):
        record = {"name": f"selector{n}._domainkey.contoso.com", "type": "CNAME", "values": [row[f"Selector{n}CNAME"]]}
        tenant.control("POST", "/dns", record)
    tenant.cmdlet("Set-DkimSigningConfig", Identity="contoso.com", Enabled=True)
    assert shop.on_tenant(*rotate).returncode == 10, "nobody is there to be asked"
    first = shop.on_tenant(*rotate, "--auto-approve", "--format", "json")
    assert first.returncode == 0, first.stderr
    done = json.loads(first.stdout)
    assert (done["signing"], done["next"], done["key_sizes"]) == (
        "selector1", "selector2", {"selector1": 1024, "selector2": 2048},
    )  # fmt: skip
    again = shop.on_tenant(*rotate, "--auto-approve", "--allow", "DKIM-ROTATE-DNS")
    assert (again.returncode, "DKIM-ROTATING" in again.stderr, rotations(shop)) == (6, True, 1)
    shop.clock.advance(4 * 86_400)
    tenant.control("POST", "/dns", {"name": "selector1._domainkey.contoso.com", "type": "CNAME", "values": []})
    unpublished = shop.on_tenant(*rotate, "--auto-approve")
    assert (unpublished.returncode, "DKIM-ROTATE-DNS" in unpublished.stderr, rotations(shop)) == (6, True, 1)
    shop.fault("Rotate-DkimSigningConfig", {"run_then_close": True}, times=1)
    second = shop.on_tenant(*rotate, "--auto-approve", "--allow", "DKIM-ROTATE-DNS")
    assert (second.returncode, rotations(shop)) == (0, 2), second.stderr
    assert "selector1 has a new key of 2048 bits" in second.stdout
    shop.clock.advance(4 * 86_400)
    shop.fault("Rotate-DkimSigningConfig", {"close": True}, times=1)
    unclear = shop.on_tenant(*rotate, "--auto-approve", "--allow", "DKIM-ROTATE-DNS")
    assert (unclear.returncode, rotations(shop)) == (8, 2), "it was not carried out, and not sent again"
    plan = shop.write("dkim: { contoso.com: { enabled: true, key_size: 2048 } }\n")
    assert shop.on_tenant("plan", plan, "--detailed-exitcode").returncode == 0
    assert shop.on_tenant("history", "verify").returncode == 0
