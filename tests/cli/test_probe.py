"""`provisioner probe`: a new device is refused, its entry in the plan is applied, and its mail arrives."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from provisioner.tenant import smtp
from provisioner.tenant.smtp import Attempt, converse
from tests.cli.shop import Shop, open_shop
from tests.ports import unused_port

pytestmark = [pytest.mark.one_of("profile"), pytest.mark.part(0.5)]

CLIENT, SECRET = "6f1c0000-0000-4000-8000-000000000001", "device-secret-canary"
SEED: dict[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com", "Default": True}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
    },
    "mailboxes": [{"address": "erp@contoso.com", "password": "right"}, {"address": "anna@contoso.com"}],
    "settings": {"smtp_source_addresses": {"127.0.0.10": "93.184.216.10"}},
    "dns": {
        "contoso.com": {
            "MX": ["0 contoso-com.mail.protection.outlook.com."],
            "TXT": ["v=spf1 ip4:93.184.216.10 include:spf.protection.outlook.com -all"],
        },
        "spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:40.92.0.0/15 -all"]},
    },
}
SUBMISSION = """devices:
  erp-server:
    from: erp@contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [basic] }
    method: client_submission
    until: 2027-03-01
"""
RELAY = """owner: team
sites: { hq: { egress_ip_addresses: [93.184.216.10] } }
devices:
  scanner:
    site: hq
    from: scanner@contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [] }
    method: smtp_relay
"""
DIRECT = """devices:
  monitor:
    from: monitor@contoso.com
    recipients: organization
    supports: { tls: "1.2", authentication: [] }
    method: direct_send
"""
CERTIFIED = """owner: team
devices:
  gateway:
    certificate: mail.contoso.com
    from: app@contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [] }
    method: smtp_relay
"""
PASSWORD = {"ERP_PASSWORD": "right"}
APPLICATION = f"""devices:
  crm:
    from: erp@contoso.com
    recipients: anyone
    supports: {{ tls: "1.2", authentication: [oauth] }}
    oauth: {{ sign_in: application, client_id: {CLIENT} }}
"""
PERSON = APPLICATION.replace("application", "user")
OLD = """owner: team
sites: { hq: { egress_ip_addresses: [93.184.216.10] } }
devices:
  label: { site: hq, from: l@contoso.com, recipients: anyone, supports: { tls: "1.0", authentication: [] } }
"""
LEGACY = """transport_config: { allow_legacy_tls_clients: enabled }
devices:
  old: { from: erp@contoso.com, recipients: anyone, supports: { tls: "1.1", authentication: [basic] } }
"""


READS_MAIL = {
    "displayName": "app",
    "directoryRoles": ["Exchange Administrator"],
    "appRoles": {
        "https://outlook.office365.com": ["Exchange.ManageAsApp"],
        "https://graph.microsoft.com": [
            "Organization.Read.All", "Domain.Read.All", "User.Read.All", "Policy.Read.All", "Mail.ReadBasic.All",
            "Application.Read.All",
        ],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "apps": [READS_MAIL]}) as here:
        yield here


@pytest.fixture(autouse=True)
def as_before(shop: Shop) -> Iterator[None]:
    shop.tenant.control("DELETE", "/mail")
    yield
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=None)
    shop.tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=False)
    for row in shop.tenant.rows("InboundConnector"):
        shop.tenant.cmdlet("Remove-InboundConnector", Identity=row["Name"])


def probe(shop: Shop, device: str, *options: str, profile: str = "sandbox", **environment: str) -> dict[str, Any]:
    done = shop.run("--profile", profile, "probe", device, "plan.yaml", "--format", "json", *options, **environment)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) == found["accepted"]
    return found


@pytest.mark.parametrize("profile", ["sandbox", "sandbox-psrp"])
def test_a_device_that_signs_in(shop: Shop, profile: str) -> None:
    plan = shop.write(SUBMISSION)
    options = ("--password", "env:ERP_PASSWORD", "--to", "someone@fabrikam.com")
    refused = probe(shop, "erp-server", *options, profile=profile, **PASSWORD)
    assert "SmtpClientAuthentication is disabled for the Tenant" in refused["refused"]
    assert refused["diagnosis"]["cause"] == "smtp-auth-off-tenant"
    assert refused["diagnosis"]["tenant"][0]["speaks"] == "yes"
    assert "right" not in json.dumps(refused["dialogue"])
    assert shop.run("--profile", profile, "apply", plan, "--auto-approve").returncode == 0
    assert probe(shop, "erp-server", *options, profile=profile, **PASSWORD)["accepted"]
    assert shop.tenant.control("GET", "/mail") == [], "nothing is sent without --send"
    text = shop.run("--profile", profile, "probe", "erp-server", "plan.yaml", *options, **PASSWORD).stdout
    assert "this may still work until 2026-12-31: basic authentication for client submission is off" in text
    after = probe(shop, "erp-server", *options, profile=profile, **PASSWORD)["after"]
    assert "the plan has this way for device/erp-server until 2027-03-01" in after
    assert probe(shop, "erp-server", *options, "--send", profile=profile, **PASSWORD)["accepted"]
    (mail,) = json.loads(shop.run("sandbox", "mail", "--format", "json").stdout)
    assert (mail["route"], mail["recipients"]) == ("client_submission", {"someone@fabrikam.com": "external"})


@pytest.mark.parametrize("profile", ["sandbox", "sandbox-psrp"])
def test_a_device_behind_a_static_address(shop: Shop, profile: str) -> None:
    plan = shop.write(RELAY)
    options = ("--source", "127.0.0.10", "--to", "someone@fabrikam.com")
    refused = probe(shop, "scanner", *options, profile=profile)
    assert "5.7.64" in refused["refused"]
    told = [e["sentence"] for e in refused["diagnosis"]["tenant"]]
    assert any("no inbound connector names 93.184.216.10" in sentence for sentence in told)
    applied = shop.run("--profile", profile, "apply", plan, "--auto-approve")
    assert applied.returncode == 0, applied.stderr + applied.stdout
    assert probe(shop, "scanner", *options, "--send", profile=profile)["accepted"]
    text = shop.run("sandbox", "mail").stdout
    assert "smtp_relay  scanner@contoso.com -> someone@fabrikam.com (external)" in text


@pytest.mark.parametrize("profile", ["sandbox", "sandbox-psrp"])
def test_a_device_that_nobody_vouches_for(shop: Shop, profile: str) -> None:
    shop.write(DIRECT)
    shop.tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=True)
    refused = probe(shop, "monitor", "--to", "anna@contoso.com", profile=profile)
    assert "5.7.68" in refused["refused"]
    assert any("RejectDirectSend is on" in e["sentence"] for e in refused["diagnosis"]["tenant"])
    plan = shop.write("organization: { reject_direct_send: false }\n" + DIRECT)
    assert shop.run("--profile", profile, "apply", plan, "--auto-approve").returncode == 0
    assert probe(shop, "monitor", "--to", "anna@contoso.com", "--send", profile=profile)["accepted"]
    assert len(shop.tenant.control("GET", "/mail")) == 1


def test_a_device_that_is_known_by_its_certificate(shop: Shop) -> None:
    plan = shop.write(CERTIFIED)
    assert shop.run("sandbox", "certificate", "mail.contoso.com", "-o", "device.pem").returncode == 0
    assert (shop.folder / "device.pem").stat().st_mode & 0o777 == 0o600
    options = ("--to", "someone@fabrikam.com", "--certificate", "device.pem")
    assert "5.7.64" in probe(shop, "gateway", *options)["refused"]
    applied = shop.on_tenant("apply", plan, "--auto-approve")
    assert applied.returncode == 0, applied.stderr + applied.stdout
    assert probe(shop, "gateway", *options, "--send")["accepted"]
    assert "5.7.64" in probe(shop, "gateway", "--to", "someone@fabrikam.com")["refused"], "no certificate, no relay"
    shop.run("sandbox", "certificate", "mail.fabrikam.com", "-o", "other.pem")
    assert not probe(shop, "gateway", *options[:3], "other.pem")["accepted"]


@pytest.mark.parametrize(
    "content", [None, "nonsense", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"]
)
def test_a_certificate_that_will_not_do_is_told_before_anything_is_said(shop: Shop, content: str | None) -> None:
    shop.write(CERTIFIED)
    if content is not None:
        (shop.folder / "bad.pem").write_text(content)
    name = "nowhere.pem" if content is None else "bad.pem"
    done = shop.on_tenant("probe", "gateway", "plan.yaml", "--certificate", name)
    assert done.returncode == 3
    assert f"{name} holds no certificate with its key" in done.stderr
    assert done.stdout == ""


@pytest.mark.part(1)
def test_a_password_is_a_reference_and_never_shown(shop: Shop) -> None:
    shop.write(SUBMISSION)
    assert shop.on_tenant("probe", "erp-server", "plan.yaml").returncode == 3
    bare = shop.on_tenant("probe", "erp-server", "plan.yaml", "--password", "hunter2-canary")
    assert (bare.returncode, "hunter2-canary" in bare.stdout + bare.stderr) == (3, False)
    wrong = shop.on_tenant("-vv", "probe", "erp-server", "plan.yaml", "--password", "env:P", P="hunter2-canary")
    assert wrong.returncode == 1
    assert "credentials were incorrect" in wrong.stdout
    assert "hunter2-canary" not in wrong.stdout + wrong.stderr


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--to", "nobody", "nobody"),
        ("--to", "anna@contoso.com>\r\nDATA", "not"),
        ("--source", "nonsense", "is not an IP address"),
        ("--timeout", "0", "not in the range"),
        ("--timeout", "nan", "nan"),
    ],
)
def test_what_makes_no_sense_is_not_tried(shop: Shop, option: str, value: str, words: str) -> None:
    shop.write(DIRECT)
    done = shop.on_tenant("probe", "monitor", "plan.yaml", option, value)
    assert (done.returncode, done.stdout) == (3, "")
    assert words in done.stderr


def test_an_address_of_another_machine_is_told(shop: Shop) -> None:
    shop.write(DIRECT)
    done = shop.on_tenant("probe", "monitor", "plan.yaml", "--source", "203.0.113.5")
    assert done.returncode == 1
    assert "203.0.113.5 is not an address of this machine" in done.stdout


# --- servers that are not as they should be --------------------------------------------------------------------------

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _against(serve: Serve, **how: Any) -> Any:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        options = {"starttls": False, "timeout_s": 60.0, **how}
        return await converse(Attempt("127.0.0.1", port, "a@contoso.com", "b@contoso.com", **options))
    finally:
        server.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"220 hello\r\n" * 100:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.5)


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"220-more\r\n" * 1000)
        await writer.drain()


async def huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 " + b"x" * 2**20 + b"\r\n")
    await writer.drain()
    await asyncio.Event().wait()


async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 hello\r\n")
    await reader.readline()


async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\xff\xfe HTTP/1.1 400\r\n\r\n")
    await writer.drain()
    await asyncio.Event().wait()


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 hello\r\n")
    while await reader.readline():
        writer.write(b"250 fine\r\n")
        await writer.drain()


@pytest.mark.parametrize("serve", [silent, slow, endless, huge, gone, nonsense])
def test_a_hostile_server_ends_in_an_error_within_the_time(serve: Serve) -> None:
    """What goes on for ever is ended by the time limit, and nothing else is: without it this test would not end."""
    said = asyncio.run(_against(serve, timeout_s=0.3))
    assert not said.accepted
    assert said.error or said.refused
    assert sum(len(text) for _, text in said.lines) < 10_000


def test_a_server_without_tls_is_told(shop: Shop) -> None:
    said = asyncio.run(_against(plain, starttls=True))
    assert "offers no STARTTLS" in said.error


def test_a_certificate_that_is_not_trusted_is_told(shop: Shop) -> None:
    host, _, port = shop.tenant.endpoints["smtp_mx"].partition(":")
    attempt = Attempt(host, int(port), "a@contoso.com", "b@contoso.com", tls_name="x.mail.protection.outlook.com")
    said = asyncio.run(converse(attempt))
    assert "not trusted" in said.error


def test_a_port_where_nobody_listens_is_told() -> None:
    said = asyncio.run(converse(Attempt("127.0.0.1", 9, "a@contoso.com", "b@contoso.com")))
    assert "127.0.0.1:9" in said.error


# --- a mail filter in front of Exchange ------------------------------------------------------------------------------


def test_a_group_that_wants_authenticated_senders_is_named_after_the_acceptance(shop: Shop) -> None:
    groups = [
        {"Name": "desk", "PrimarySmtpAddress": "desk@contoso.com"},
        {"Name": "open", "PrimarySmtpAddress": "open@contoso.com", "RequireSenderAuthenticationEnabled": False,
         "ModerationEnabled": True},
    ]  # fmt: skip
    shop.tenant.control("POST", "/load", {"sandbox": 1, "objects": {"DistributionGroup": groups}})
    name = shop.write(DIRECT)
    told = {}
    for group in ("desk", "open"):
        said = shop.on_tenant("probe", "monitor", name, "--to", f"{group}@contoso.com", "--source", "127.0.0.10",
                              "--send", "--format", "json")  # fmt: skip
        told[group] = (said.returncode, " ".join(json.loads(said.stdout)["after"]))
    assert told["desk"][0] == told["open"][0] == 0
    assert (
        "authenticated senders only, so that this mail comes back" in told["desk"][1],
        "moderator has" in told["desk"][1],
    ) == (True, False)
    assert ("so that this mail comes back" in told["open"][1], "moderator has to approve" in told["open"][1]) == (
        False,
        True,
    )
    delivered = {r: folder for m in shop.tenant.control("GET", "/mail") for r, folder in m["recipients"].items()}
    assert delivered == {"desk@contoso.com": "bounced", "open@contoso.com": "inbox"}


@pytest.fixture
def behind_a_filter(shop: Shop) -> Iterator[Shop]:
    """The published MX is that of a filter service; Microsoft's own record says where Exchange takes the mail."""
    mx = {"name": "contoso.com", "type": "MX"}
    shop.tenant.control("POST", "/dns", {**mx, "values": ["10 mx1.filter.example."]})
    yield shop
    shop.tenant.control("POST", "/dns", {**mx, "values": ["0 contoso-com.mail.protection.outlook.com."]})


def test_the_tenant_names_its_endpoint_where_a_filter_has_the_mx(behind_a_filter: Shop) -> None:
    shop, host = behind_a_filter, "contoso-com.mail.protection.outlook.com"
    plan = shop.write(RELAY)
    sheet = shop.run("--profile", "sandbox", "devices", "show", "scanner", plan, "--format", "json")
    assert sheet.returncode == 0, sheet.stderr
    document = json.loads(sheet.stdout)
    assert document["settings"][0] == {"name": "Server", "value": host, "note": "the name, not an IP address"}
    assert f"port 25 to {host} is open from where the device stands" in document["check"]
    assert "filter.example" not in sheet.stdout
    assert "5.7.64" in probe(shop, "scanner", "--source", "127.0.0.10", "--to", "someone@fabrikam.com")["refused"]


def test_without_a_tenant_the_endpoint_behind_a_filter_is_unknown_and_never_guessed(behind_a_filter: Shop) -> None:
    shop = behind_a_filter
    plan, dns = shop.write(RELAY), shop.tenant.endpoints["dns"]
    named = {"PROVISIONER_ENDPOINTS__DNS_SERVERS": json.dumps([dns])}
    sheet = shop.run("devices", "show", "scanner", plan, **named)
    assert sheet.returncode == 0, sheet.stderr
    assert "which DNS does not show: with --profile the tenant names it" in sheet.stdout
    assert "protection.outlook.com" not in sheet.stdout
    refused = shop.run("probe", "scanner", plan, **named)
    assert refused.returncode == 3
    assert "MX-MISSING" in refused.stderr
    assert "give --profile" in refused.stderr
    assert "dns check" not in refused.stderr, "to publish Microsoft's MX would go round the filter"


# --- a proposal is tried before it is made ---------------------------------------------------------------------------


def test_what_would_not_help_is_not_proposed(shop: Shop) -> None:
    """The connector of the site would not name the address that the server saw."""
    relay = "sites: { hq: { egress_ip_addresses: [93.184.216.11] } }\nowner: team\n"
    shop.write(relay + DIRECT.replace("    from: monitor", "    site: hq\n    from: monitor"))
    shop.tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=True)
    found = probe(shop, "monitor", "--source", "127.0.0.10", "--to", "anna@contoso.com")
    assert found["diagnosis"]["cause"] == "direct-send-rejected"
    assert found["remedy"]["plan"] == ""
    assert (
        "nothing that the plan could change for it lifts this: the organization rejects" in found["remedy"]["sentence"]
    )
    assert "direct send" in found["remedy"]["sentence"]


def test_what_is_not_enough_says_what_is_left(shop: Shop) -> None:
    """SMTP relay is the way without a password, and the site's connector would not name the address yet."""
    site = "owner: team\nsites: { hq: { egress_ip_addresses: [93.184.216.11] } }\n"
    shop.write(site + SUBMISSION.replace("    from: erp", "    site: hq\n    from: erp"))
    shop.tenant.control("POST", "/load", {"sandbox": 1, "graph": {"securityDefaults": {"isEnabled": True}}})
    try:
        options = ("--password", "env:ERP_PASSWORD", "--to", "x@fabrikam.com", "--source", "127.0.0.10")
        found = probe(shop, "erp-server", *options, **PASSWORD)
        assert found["diagnosis"]["cause"] == "security-defaults"
        assert found["remedy"]["plan"] == "devices:\n  erp-server:\n    method: smtp_relay\n"
        assert (
            "; then no connector of type on_premises that is in force names its address" in found["remedy"]["sentence"]
        )
    finally:
        shop.reset()


# --- an application of its own ---------------------------------------------------------------------------------------


@pytest.fixture
def registered(shop: Shop) -> Iterator[Shop]:
    """The device's application: it may send as an application, and Exchange knows it."""
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    principal = {"AppId": CLIENT, "ObjectId": CLIENT, "DisplayName": "crm"}
    app = {
        "displayName": "crm",
        "appId": CLIENT,
        "objectId": CLIENT,
        "appRoles": {"https://outlook.office365.com": ["SMTP.SendAsApp"]},
        "secrets": [{"sha256": digest}],
    }
    right = {"Identity": "erp@contoso.com", "User": CLIENT, "AccessRights": ["FullAccess"]}
    objects = {"ServicePrincipal": [principal], "MailboxPermission": [right]}
    shop.tenant.control("POST", "/load", {"sandbox": 1, "apps": [app], "objects": objects})
    yield shop
    shop.reset()


def test_an_oauth_device_signs_in_as_its_own_application(registered: Shop) -> None:
    """Not as the profile's, which is an administrator's: that would prove nothing for the device."""
    shop, plan = registered, registered.write(APPLICATION)
    to = ("--to", "someone@fabrikam.com")
    missing = shop.on_tenant("probe", "crm", plan, *to)
    assert missing.returncode == 3
    assert "CLIENT-SECRET-MISSING" in missing.stderr
    assert CLIENT in missing.stderr
    known = {"PROVISIONER_DEVICES__CRM__SECRET": "env:CRM_SECRET", "CRM_SECRET": SECRET}
    assert "disabled for the Tenant" in probe(shop, "crm", *to, **known)["refused"], "the application was let in"
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 0
    since = shop.tenant.seen()
    for how, environment in (("--client-secret", {"CRM_SECRET": SECRET}), ("--timeout", known)):
        option = ("--client-secret", "env:CRM_SECRET") if how == "--client-secret" else (how, "60")
        done = shop.on_tenant("-vv", "probe", "crm", plan, *to, *option, "--send", **environment)
        assert (done.returncode, SECRET in done.stdout + done.stderr) == (0, False), done.stdout + done.stderr
    tokens = [r["caller"] for r in shop.tenant.requests("entra", since) if r["path"].endswith("/token")]
    assert tokens.count(CLIENT) == 2


@pytest.mark.part(1)
def test_a_wrong_secret_and_a_bare_one_are_told_without_it(registered: Shop) -> None:
    plan = registered.write(APPLICATION)
    wrong = registered.on_tenant("probe", "crm", plan, "--client-secret", "env:S", S="wrong-canary")
    assert wrong.returncode == 4, wrong.stderr
    assert "AADSTS7000215" in wrong.stderr
    bare = registered.on_tenant("probe", "crm", plan, "--client-secret", "bare-canary")
    assert (bare.returncode, "PASSWORD-MISPLACED" in bare.stderr) == (3, True)
    assert "canary" not in wrong.stdout + wrong.stderr + bare.stdout + bare.stderr


def test_nobody_signs_in_for_a_person(registered: Shop) -> None:
    plan = registered.write(PERSON)
    missing = registered.on_tenant("probe", "crm", plan)
    assert (missing.returncode, "TOKEN-MISSING" in missing.stderr) == (3, True)
    refused = probe(registered, "crm", "--token", "env:T", T="expired-canary")
    assert refused["refused"].startswith("535 5.7.3")
    assert "canary" not in json.dumps(refused)


# --- what the device can do, and what its network lets through -------------------------------------------------------


def test_an_old_device_speaks_in_clear_text_and_its_handshake_is_tried(shop: Shop) -> None:
    plan = shop.write(OLD)
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 0
    found = probe(shop, "label", "--source", "127.0.0.10", "--to", "someone@fabrikam.com")
    assert found["accepted"]
    assert {"from": "client", "text": "STARTTLS"} not in found["dialogue"]
    (limit,) = found["limits"]
    assert limit.startswith("TLS 1.0: the server refuses STARTTLS with it")


def test_an_old_device_signs_in_at_the_host_for_legacy_tls(shop: Shop) -> None:
    """What stops it is named until the setting is applied; then its mail arrives over its own version of TLS."""
    plan = shop.write(LEGACY)
    options = ("--password", "env:ERP_PASSWORD", "--to", "someone@fabrikam.com")
    refused = probe(shop, "old", *options, **PASSWORD)
    assert refused["refused"].startswith("421 4.7.66")
    assert "transport_config/settings" in refused["remedy"]["sentence"]
    explained = shop.on_tenant("explain", "device/old", plan).stdout
    assert "the plan allows TLS 1.0 and 1.1 at the host for legacy TLS" in explained
    assert "client submission over TLS 1.0 and 1.1 is refused" in explained
    applied = shop.on_tenant("apply", plan, "--auto-approve", "--allow", "TLS-LEGACY:transport_config/settings")
    assert applied.returncode == 0, applied.stderr + applied.stdout
    assert probe(shop, "old", *options, "--send", **PASSWORD)["accepted"]
    shown = shop.run("devices", "show", "old", "plan.yaml").stdout
    assert "smtp-legacy.office365.com" in shown
    shop.write(LEGACY.replace("enabled", "default"))
    stopped = shop.on_tenant("plan", plan)
    assert (stopped.returncode, "DEVICE-NO-METHOD" in stopped.stderr) == (3, True)
    assert "transport_config: { allow_legacy_tls_clients: enabled } would allow it" in stopped.stderr
    shop.tenant.cmdlet("Set-TransportConfig", AllowLegacyTLSClients=None)


def test_an_openssl_without_old_tls_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "_old_context", lambda _: None)
    attempt = Attempt("127.0.0.1", 9, "a@contoso.com", "b@contoso.com")
    assert asyncio.run(smtp.old_handshake(attempt, "1.0")) == smtp.UNTRIED


@pytest.mark.parametrize("newest", ["1.2", "1.3"])
def test_no_newer_tls_is_spoken_than_the_device_has(newest: str) -> None:
    limited = smtp.tls_context(None, None, newest).maximum_version is ssl.TLSVersion.TLSv1_2
    assert limited == (newest == "1.2")


def test_a_blocked_port_25_is_named_with_what_to_ask(shop: Shop) -> None:
    shop.write(RELAY)
    found = probe(shop, "scanner", PROVISIONER_ENDPOINTS__SMTP_MX=f"127.0.0.1:{unused_port()}")
    assert found["diagnosis"]["cause"] == "port-25-blocked"
    told = " ".join(found["network"])
    assert "smtp.office365.com:587 and 127.0.0.1:" in told
    assert "allow TCP from 93.184.216.10 to contoso-com.mail.protection.outlook.com, port 25, outbound" in told
    assert "Azure" in told


def test_a_machine_without_a_way_out_is_not_told_of_a_blocked_port(shop: Shop) -> None:
    plan, nowhere = shop.write(RELAY), f"127.0.0.1:{unused_port()}"
    done = shop.run(
        "probe", "scanner", plan, "--format", "json",
        PROVISIONER_ENDPOINTS__DNS_SERVERS=json.dumps([shop.tenant.endpoints["dns"]]),
        PROVISIONER_ENDPOINTS__SMTP_MX=nowhere, PROVISIONER_ENDPOINTS__SMTP_SUBMISSION=nowhere,
        PROVISIONER_ENDPOINTS__AUTHORITY=f"https://{nowhere}",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["diagnosis"] is None
    assert "do not answer either" in found["network"][0]


# --- what becomes of an accepted message -----------------------------------------------------------------------------

TRACED = ("--send", "--trace")


def test_a_relayed_message_is_followed_until_it_left(shop: Shop) -> None:
    plan = shop.write(RELAY)
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 0
    shop.tenant.control("POST", "/load", {"sandbox": 1, "settings": {"message_trace_delay_s": 90}})
    options = ("--source", "127.0.0.10", "--to", "someone@fabrikam.com", *TRACED)
    done = shop.run("--profile", "sandbox-psrp", "probe", "scanner", plan, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "someone@fabrikam.com: delivered" in done.stdout
    assert "Message sent to mx.fabrikam.com" in done.stdout
    assert "spf pass (evaluated by DNS for the address that the service saw)" in done.stdout
    late = shop.on_tenant("probe", "scanner", plan, *options, "--trace-timeout", "20")
    assert (late.returncode, "does not show it yet" in late.stdout) == (1, True), late.stdout
    shop.tenant.control("POST", "/load", {"sandbox": 1, "settings": {"message_trace_delay_s": 0}})


def test_a_message_in_junk_is_no_delivery_and_its_checks_are_read(shop: Shop) -> None:
    shop.write(DIRECT)
    found = json.loads(
        shop.on_tenant("probe", "monitor", "plan.yaml", "--to", "anna@contoso.com", *TRACED, "--format", "json").stdout
    )
    assert found["accepted"]
    assert [fate["state"] for fate in found["trace"]["fates"]] == ["junk"]
    assert (found["trace"]["source"], found["trace"]["results"]) == (
        "header", {"dmarc": "none", "dkim": "none", "spf": "fail"},
    )  # fmt: skip
    reader = shop.run(
        "--profile", "sandbox-reader", "probe", "monitor", "plan.yaml", "--to", "anna@contoso.com", *TRACED
    )
    assert reader.returncode == 1
    assert "anna@contoso.com: delivered to the Junk Email folder" in reader.stdout
    assert "spf fail (evaluated by DNS" in reader.stdout
    assert "grant Mail.ReadBasic.All, limited to anna@contoso.com" in reader.stdout


def test_a_message_that_bounces_later_is_told_with_its_reason(shop: Shop) -> None:
    plan = shop.write(SUBMISSION)
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 0
    options = ("--password", "env:ERP_PASSWORD", "--to", "nobody@contoso.com", *TRACED)
    done = shop.on_tenant("probe", "erp-server", plan, *options, **PASSWORD)
    assert done.returncode == 1
    assert "nobody@contoso.com: not delivered\n    550 5.1.10 RESOLVER.ADR.RecipientNotFound" in done.stdout


@pytest.mark.parametrize("options", [("--trace",), ("--send", "--trace")])
def test_a_trace_needs_a_message_and_a_tenant(shop: Shop, options: tuple[str, ...]) -> None:
    done = shop.run("probe", "monitor", shop.write(DIRECT), *options)
    assert (done.returncode, done.stdout) == (3, "")
    assert "give --send" in done.stderr or "give --profile" in done.stderr
