"""Each way out of basic authentication, from refused to delivered and back: over REST and over remote PowerShell.

A device is refused in the tenant as it is, its plan is applied, its message arrives by the right route, the plan is
rolled back, and the device is refused again. `scripts/test` tries two cases, `scripts/test-long` all.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.cli.shop import Shop, open_shop
from tests.cli.test_probe import CERTIFIED, CLIENT, DIRECT, RELAY, SECRET, SEED, SUBMISSION
from tests.generated import whole

OUTSIDE, INSIDE = "someone@fabrikam.com", "anna@contoso.com"
POLICY = "11111111-1111-4111-8111-111111111111"
HVE_PASSWORD = "Only-in-the-environment-1"
APP = {
    "displayName": "crm",
    "appId": CLIENT,
    "objectId": CLIENT,
    "appRoles": {"https://outlook.office365.com": ["SMTP.SendAsApp"]},
    "secrets": [{"sha256": hashlib.sha256(SECRET.encode()).hexdigest()}],
}
OAUTH = f"""devices:
  it:
    from: erp@contoso.com
    recipients: anyone
    supports: {{ tls: "1.2", authentication: [oauth] }}
    oauth: {{ sign_in: SIGN_IN, client_id: {CLIENT} }}
"""
SCOPED = f"""applications: {{ crm: {{ client_id: {CLIENT}, access: role_assignment }} }}
devices:
  it:
    from: erp@contoso.com
    recipients: anyone
    supports: {{ tls: "1.2", authentication: [oauth] }}
    application: crm
"""
EXEMPT = (
    """authentication_policies: { devices-basic: { allow_basic_smtp: true } }
assignments: { authentication_policy: { mailboxes: { erp@contoso.com: devices-basic } } }
"""
    + SUBMISSION
)
HVE = f"""owner: team
hve_accounts: {{ digest@contoso.com: {{ password: env:HVE_PASSWORD, billing_policy: {POLICY} }} }}
devices:
  it:
    from: digest@contoso.com
    recipients: organization
    messages_per_day: 14000
    supports: {{ tls: "1.3", authentication: [basic] }}
"""
THROUGH_A_RELAY = (
    RELAY.replace("scanner:", "hub:")
    + """  it:
    from: scanner@contoso.com
    recipients: anyone
    via: hub
"""
)


def nothing(_: Shop) -> None:
    pass


def rejects_direct_send(shop: Shop) -> None:
    shop.tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=True)


def blocks_passwords(shop: Shop) -> None:
    shop.tenant.cmdlet("New-AuthenticationPolicy", Name="block-basic")
    shop.tenant.cmdlet("Set-OrganizationConfig", DefaultAuthenticationPolicy="block-basic")


def has_a_certificate(shop: Shop) -> None:
    assert shop.run("sandbox", "certificate", "mail.contoso.com", "-o", "device.pem").returncode == 0


def has_a_token(shop: Shop) -> None:
    """The token that a person got at the device: delegated SMTP.Send (Learn, "Authenticate an … SMTP connection")."""
    key = load_pem_private_key((Path(shop.tenant.folder) / "apps" / "token-key.pem").read_bytes(), None)
    tenant_id, now = shop.tenant.endpoints["tenant_id"], int(time.time())
    claims = {
        "aud": "https://outlook.office365.com", "iss": f"https://sts.windows.net/{tenant_id}/", "tid": tenant_id,
        "scp": "openid SMTP.Send", "upn": "erp@contoso.com", "oid": CLIENT, "appid": CLIENT,
        "iat": now, "nbf": now - 60, "exp": now + 3600,
    }  # fmt: skip
    (shop.folder / "token").write_text(jwt.encode(claims, key, "RS256"))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Way:
    """`device` is what is probed, `route` what the message must take, `allow` what its rollback has to be allowed."""

    plan: str
    route: str
    probe: tuple[str, ...]
    device: str = "it"
    to: str = OUTSIDE
    prepare: Callable[[Shop], None] = nothing
    allow: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


WAYS: Mapping[str, Way] = {
    "relay by address": Way(RELAY, "smtp_relay", ("--source", "127.0.0.10"), "scanner"),
    "relay by certificate": Way(
        CERTIFIED, "smtp_relay", ("--certificate", "device.pem"), "gateway", prepare=has_a_certificate
    ),
    "OAuth as an application": Way(
        OAUTH.replace("SIGN_IN", "application"), "client_submission", ("--client-secret", "env:CRM_SECRET"),
        environment={"CRM_SECRET": SECRET},
    ),
    "OAuth as an application with a role": Way(
        SCOPED, "client_submission", ("--client-secret", "env:CRM_SECRET"), environment={"CRM_SECRET": SECRET}
    ),
    "a policy that exempts one mailbox": Way(
        EXEMPT, "client_submission", ("--password", "env:ERP_PASSWORD"), "erp-server", prepare=blocks_passwords,
        environment={"ERP_PASSWORD": "right"},
    ),
    "OAuth as a person": Way(
        OAUTH.replace("SIGN_IN", "user"), "client_submission", ("--token", "file:token"), prepare=has_a_token
    ),
    "High Volume Email": Way(
        HVE, "high_volume_email", ("--password", "env:HVE_PASSWORD"), to=INSIDE, allow=("HVE-ACCOUNT-DELETED",),
        environment={"HVE_PASSWORD": HVE_PASSWORD},
    ),
    "direct send": Way(
        "organization: { reject_direct_send: false }\n" + DIRECT, "direct_send", (), "monitor", INSIDE,
        rejects_direct_send,
    ),
    "a relay server": Way(THROUGH_A_RELAY, "smtp_relay", ("--source", "127.0.0.10"), "hub"),
}  # fmt: skip
CASES = [(name, profile) for name in WAYS for profile in ("sandbox", "sandbox-psrp")]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    objects = {**SEED["objects"], "BillingPolicy": [{"Id": POLICY, "Name": "Mail"}]}
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "objects": objects, "apps": [APP]}) as here:
        yield here


def from_refused_to_delivered_and_back(shop: Shop, name: str, profile: str) -> None:
    way = WAYS[name]
    shop.reset()
    shop.tenant.control("DELETE", "/mail")
    way.prepare(shop)
    shop.write(way.plan)

    def run(*arguments: str, code: int = 0) -> str:
        done = shop.run("--profile", profile, *arguments, **way.environment)
        assert done.returncode == code, f"{name} over {profile}: {done.stdout}{done.stderr}"
        return done.stdout

    def refused() -> str:
        found = json.loads(run(*probe, "--format", "json", code=1))
        assert found["refused"], (name, found)
        return str(found["diagnosis"]["cause"])

    probe = ("probe", way.device, "plan.yaml", "--to", way.to, "--send", *way.probe)
    before = refused()
    run("apply", "plan.yaml", "--auto-approve")
    run("plan", "plan.yaml", "--detailed-exitcode")
    run(*probe)
    (mail,) = shop.tenant.control("GET", "/mail")
    assert (mail["route"], list(mail["recipients"])) == (way.route, [way.to]), name
    run("rollback", "last", "-o", "back.json")
    allowed = [part for rule in way.allow for part in ("--allow", rule)]
    run("apply", *shop.reviewed("back.json"), "--auto-approve", *allowed)
    assert refused() == before, name
    assert len(shop.tenant.control("GET", "/mail")) == 1


def test_each_way_leads_from_refused_to_delivered_and_back(shop: Shop) -> None:
    for name, profile in CASES if whole() else random.sample(CASES, 2):
        from_refused_to_delivered_and_back(shop, name, profile)


def test_a_device_behind_a_relay_server_is_told_whose_way_counts(shop: Shop) -> None:
    done = shop.run("probe", "it", shop.write(THROUGH_A_RELAY))
    assert done.returncode == 3
    assert "try device/hub, whose way out counts" in done.stderr
