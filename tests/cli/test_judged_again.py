"""A saved change set is judged again by the tenant of now: what moved is 7, what must not be applied is 6."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.shop import SEED, Shop, open_shop
from tests.clocks import FastClock

HQ = 'inbound_connector["hq"]'
MARKED = "provisioner: mail/prod"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    objects = {
        "AcceptedDomain": [{"DomainName": "contoso.com"}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
        "AuthenticationPolicy": [{"Name": "No basic", "AllowBasicAuthSmtp": False}],
    }
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "objects": objects}) as here:
        yield here


@pytest.fixture(autouse=True)
def as_before(shop: Shop) -> Iterator[None]:
    """Every test begins with the tenant of the seed."""
    yield
    shop.tenant.control("DELETE", "/faults")
    shop.reset()
    shop.clock = FastClock(shop._pass)


def connector(shop: Shop, name: str, address: str, **more: object) -> None:
    """A connector that somebody has made by hand."""
    parameters = {"ConnectorType": "OnPremises", "SenderDomains": ["*"], "SenderIPAddresses": [address], **more}
    shop.tenant.cmdlet("New-InboundConnector", Name=name, **parameters)


def edit(shop: Shop, name: str, **parameters: object) -> None:
    shop.tenant.cmdlet("Set-InboundConnector", Identity=name, **parameters)


def saved(shop: Shop, body: str, *options: str) -> str:
    done = shop.on_tenant("plan", shop.write(body), "-o", "c.json", *options)
    assert done.returncode == 0, done.stderr + done.stdout
    return "c.json"


def refused(shop: Shop, code: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Apply, which must end with this code and write nothing."""
    since = shop.tenant.seen()
    done = shop.on_tenant("apply", *shop.reviewed("c.json"), *options)
    assert done.returncode == code, done.stderr
    assert shop.tenant.writes(since=since) == []
    return done


def applied(shop: Shop, *options: str) -> subprocess.CompletedProcess[str]:
    done = shop.on_tenant("apply", *shop.reviewed("c.json"), *options)
    assert done.returncode == 0, done.stderr
    return done


# --- facts -----------------------------------------------------------------------------------------------------------

TWO = """inbound_connectors:
  hq: { comment: HQ scanners }
  depot: { comment: Depot }
"""


def test_a_field_that_the_plan_does_not_write_may_change(shop: Shop) -> None:
    connector(shop, "hq", "81.2.69.160")
    connector(shop, "depot", "81.2.69.161", Comment="Depot")
    saved(shop, TWO)
    edit(shop, "hq", RequireTls=True)
    edit(shop, "depot", RequireTls=True)
    applied(shop)
    rows = {r["Name"]: (r["Comment"], r["RequireTls"]) for r in shop.tenant.rows("InboundConnector")}
    assert rows == {"hq": ("HQ scanners", True), "depot": ("Depot", True)}


def test_a_written_field_of_an_object_that_needed_no_change_is_a_fact(shop: Shop) -> None:
    connector(shop, "hq", "81.2.69.160")
    connector(shop, "depot", "81.2.69.161", Comment="Depot")
    saved(shop, TWO)
    edit(shop, "depot", Comment="Warehouse")
    done = refused(shop, 7)
    assert 'inbound_connector["depot"]: comment is Warehouse, not Depot' in done.stderr
    assert HQ not in done.stderr


def test_an_object_that_the_plan_would_now_delete_is_a_fact(shop: Shop) -> None:
    connector(shop, "hq", "81.2.69.160")
    saved(shop, "owner: mail/prod\ninbound_connectors: { hq: { comment: HQ } }\n")
    connector(shop, "late", "81.2.69.162", Comment=f"[{MARKED}]")
    done = refused(shop, 7)
    assert 'inbound_connector["late"]: the plan would delete it now: it carries the mark of "mail/prod"' in done.stderr


def test_an_override_that_an_exclusive_section_would_now_reset_is_a_fact(shop: Shop) -> None:
    saved(shop, "smtp_auth: { exclusive: true, mailboxes: { erp@contoso.com: enabled } }\n")
    shop.tenant.cmdlet("Set-CASMailbox", Identity="fax@contoso.com", SmtpClientAuthenticationDisabled=False)
    done = refused(shop, 7)
    assert 'smtp_auth["fax@contoso.com"]: the plan would change it now: the section is exclusive' in done.stderr


EXCLUSIVE = {
    "Set-CASMailbox": (
        "smtp_auth: { exclusive: true, mailboxes: { erp@contoso.com: enabled } }\n",
        ("SmtpClientAuthenticationDisabled", False),
    ),
    "Set-User": (
        "assignments: { authentication_policy: { exclusive: true } }\n",
        ("AuthenticationPolicy", "No basic"),
    ),
}


@pytest.mark.parametrize("cmdlet", EXCLUSIVE)
def test_what_an_exclusive_section_has_reset_already_is_done(shop: Shop, cmdlet: str) -> None:
    """An earlier run of the change set was cut off after it: a mailbox without a value of its own is not listed."""
    body, (column, value) = EXCLUSIVE[cmdlet]
    for box in ("fax@contoso.com", "a@contoso.com"):
        shop.tenant.cmdlet(cmdlet, Identity=box, **{column: value})
    saved(shop, body, "--allow", "BLAST-RADIUS")
    shop.tenant.cmdlet(cmdlet, Identity="fax@contoso.com", **{column: None})
    applied(shop)
    assert "No changes" in shop.on_tenant("plan", "plan.yaml").stdout


def test_an_object_that_is_not_the_plans_any_more_is_not_deleted(shop: Shop) -> None:
    connector(shop, "old", "81.2.69.160", Comment=f"Old [{MARKED}]")
    connector(shop, "kept", "81.2.69.161", Comment=f"Kept [{MARKED}]")
    saved(shop, "owner: mail/prod\ninbound_connectors: { kept: { comment: Kept } }\n")
    edit(shop, "old", Comment="Adopted by another team")
    assert 'inbound_connector["old"]: ' in refused(shop, 7).stderr


def test_a_change_that_now_opens_a_path_was_not_reviewed(shop: Shop) -> None:
    """The connector was switched off when the plan was made: another address let nobody in."""
    connector(shop, "hq", "81.2.69.160", Enabled=False)
    saved(shop, "inbound_connectors: { hq: { sender_ip_addresses: [81.2.69.160, 81.2.69.161] } }\n")
    edit(shop, "hq", Enabled=True)
    done = refused(shop, 7)
    assert f"{HQ}: it widens exposure now, which was not part of the change set" in done.stderr


def test_what_cannot_be_read_now_is_5(shop: Shop) -> None:
    """Also where it is not about to be changed."""
    connector(shop, "hq", "81.2.69.160")
    saved(shop, "inbound_connectors: { hq: { comment: HQ } }\nsmtp_auth: { mailboxes: { erp@contoso.com: inherit } }\n")
    shop.fault("Get-CASMailbox", {"status": 403, "body": {"error": {"code": "Forbidden", "message": "no"}}})
    refused(shop, 5)


# --- guards and preconditions ----------------------------------------------------------------------------------------


def test_a_precondition_that_no_longer_holds_is_6(shop: Shop) -> None:
    saved(
        shop,
        "domains: { contoso.com: { type: authoritative } }\nsmtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n",
    )
    relayed = {"Name": "contoso.com", "DomainName": "contoso.com", "DomainType": "InternalRelay"}
    shop.fault("Get-AcceptedDomain", {"status": 200, "body": {"value": [relayed]}})
    assert "PRECONDITION" in refused(shop, 6).stderr


DIRECT = """owner: mail/prod
inbound_connectors:
  partner:
    type: partner
    sender_domains: [contoso.com]
    sender_ip_addresses: [81.2.69.170]
    restrict_domains_to_ip_addresses: true
sites: { hq: { egress_ip_addresses: [81.2.69.160] } }
devices:
  bell:
    from: bell@contoso.com
    recipients: organization
    site: hq
    method: direct_send
    supports: { tls: none, authentication: [] }
"""


def test_a_guard_that_was_not_there_is_6_until_it_is_allowed(shop: Shop) -> None:
    """A connector that nobody declares let the device in when the plan was made."""
    connector(shop, "by-hand", "81.2.69.160")
    saved(shop, DIRECT, "--allow", "PARTNER-RESTRICTS")
    shop.tenant.cmdlet("Remove-InboundConnector", Identity="by-hand")
    done = refused(shop, 6)
    assert "DEVICE-LOSES-WAY" in done.stderr
    applied(shop, "--allow", "DEVICE-LOSES-WAY")


def test_a_waiver_that_ended_since_is_none(shop: Shop) -> None:
    shop.clock = FastClock(shop._pass, shop.clock.now())
    until = shop.clock.now().date().isoformat()
    waiver = f"allow: [{{ rule: SMTP-TENANT-WIDE, reason: CHG-1, until: {until} }}]\n"
    saved(shop, waiver + "smtp_auth: { organization: enabled }\n")
    shop.clock.advance(2 * 86400.0)
    assert "SMTP-TENANT-WIDE" in refused(shop, 6).stderr
    applied(shop, "--allow", "SMTP-TENANT-WIDE")


# --- evidence that decides nothing -----------------------------------------------------------------------------------

SIGNS_IN = """smtp_auth: { organization: disabled }
devices:
  erp:
    from: erp@contoso.com
    recipients: anyone
    mailbox: erp@contoso.com
    supports: { tls: "1.2", authentication: [basic] }
"""


def test_evidence_that_leads_to_no_guard_is_told_and_stops_nothing(shop: Shop) -> None:
    saved(shop, SIGNS_IN)
    shop.tenant.cmdlet("Set-OrganizationConfig", DefaultAuthenticationPolicy="No basic")
    assert "SMTP-AUTH-BLOCKED" in applied(shop).stderr


def test_dns_is_not_asked_again(shop: Shop) -> None:
    saved(shop, DIRECT, "--allow", "PARTNER-RESTRICTS", "--allow", "DEVICE-LOSES-WAY")
    since = shop.tenant.seen()
    applied(shop)
    assert shop.tenant.requests("dns", since) == []
