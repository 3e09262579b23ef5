"""`provisioner devices` and `explain` as they are typed, over the sandbox's DNS and tenant."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.cli.main import main
from tests.local_tenant import LocalTenant, sandbox

SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com"}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
        "AuthenticationPolicy": [{"Name": "Block Basic", "AllowBasicAuthSmtp": False}],
    },
    "mailboxes": ["erp@contoso.com"],
    # The tenant names its endpoint, which no rule computes; DNS has another one that Microsoft once gave.
    "graph": {
        "domains": [
            {
                "id": "contoso.com",
                "isVerified": True,
                "serviceConfigurationRecords": [
                    {"id": "1", "recordType": "Mx", "mailExchange": "contoso-com01e.mail.protection.outlook.com"}
                ],
            }
        ]
    },
    "dns": {
        "contoso.com": {
            "MX": ["0 contoso-com.mail.protection.outlook.com."],
            "TXT": ["v=spf1 include:spf.protection.outlook.com -all"],
        },
        "spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:40.92.0.0/15 -all"]},
    },
}
PLAN = """provisioner: 1
tenant: contoso.onmicrosoft.com
owner: us
sites: { hq: { egress_ip_addresses: [203.0.113.10] } }
allow: [{ rule: IP-DOCUMENTATION, reason: an example }]
devices:
  scanner:
    site: hq
    from: scanner@contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [] }
  erp:
    from: erp@contoso.com
    recipients: anyone
    method: client_submission
    supports: { tls: "1.2", authentication: [basic] }
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    folder = tmp_path_factory.mktemp("devices")
    (folder / "seed.json").write_text(json.dumps(SEED))
    with sandbox(folder / "state", folder / "seed.json") as running:
        yield running


@pytest.fixture
def run(
    tenant: LocalTenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the program in a folder that holds plans/: exit code, standard output, standard error."""
    entry = tenant.endpoints["app"]
    environment = {
        "TENANT": tenant.endpoints["initial_domain"],
        "CA": tenant.endpoints["ca"],
        "CREDENTIAL__KIND": "client_secret",
        "CREDENTIAL__CLIENT_ID": entry["client_id"],
        "CREDENTIAL__SECRET": f"file:{entry['secret_file']}",
        "ENDPOINTS__DNS_SERVERS": json.dumps([tenant.endpoints["dns"]]),
        **{f"ENDPOINTS__{n.upper()}": tenant.endpoints[n] for n in ("authority", "graph", "exchange")},
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "plan.yaml").write_text(PLAN)
    for name, value in environment.items():
        monkeypatch.setenv(f"PROVISIONER_{name}", value)

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_devices_are_listed_with_how_each_sends(run: Run) -> None:
    code, out, _ = run("devices", "list")
    assert code == 0
    assert [line.split("  ")[-1] for line in out.splitlines()[1:]] == ["SMTP relay", "client submission"]
    code, out, _ = run("devices", "list", "--format", "json")
    assert [d["method"] for d in json.loads(out)["devices"]] == ["smtp_relay", "client_submission"]


@pytest.mark.parametrize("form", ["text", "markdown", "html", "json"])
def test_a_sheet_holds_the_mx_that_the_tenant_names(run: Run, form: str) -> None:
    code, out, _ = run("devices", "show", "scanner", "--format", form)
    assert code == 0
    plain = html.unescape(out)
    assert "contoso-com01e.mail.protection.outlook.com" in plain
    assert "203.0.113.10" in plain


OTHERS = {
    "gcc_high": ("office365.com", "outlook.com", "outlook.cn", "mx.microsoft", "microsoftonline.com"),
    "dod": ("office365.com", "outlook.com", "outlook.cn", "mx.microsoft", "microsoftonline.com"),
    "china": ("office365.", "outlook.com", "mx.microsoft", "microsoftonline."),
}
OWN = {
    "gcc_high": ("smtp.office365.us", "https://outlook.office365.us/.default", "login.microsoftonline.us"),
    "dod": ("smtp.office365.us", "https://outlook-dod.office365.us/.default", "login.microsoftonline.us"),
    "china": ("smtp.partner.outlook.cn", "https://partner.outlook.cn/.default", "login.chinacloudapi.cn"),
}


@pytest.mark.parametrize("cloud", OTHERS)
def test_a_sheet_names_the_hosts_of_the_profiles_cloud_only(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cloud: str
) -> None:
    """Reference: the table of endpoints of each cloud."""
    oauth = "  app: { from: app@contoso.com, recipients: anyone, supports: { tls: '1.2', authentication: [oauth] } }\n"
    able = "{ tls: '1.0', authentication: [basic] }"
    old = f"  old: {{ site: hq, from: o@contoso.com, recipients: anyone, supports: {able} }}\n"
    (tmp_path / "plans" / "plan.yaml").write_text(PLAN + oauth + old)
    monkeypatch.setenv("PROVISIONER_CLOUD", cloud)
    for name, form in (("erp", "text"), ("app", "markdown"), ("app", "json"), ("old", "html")):
        code, out, _ = run("devices", "show", name, "--format", form)
        assert code == 0
        told = html.unescape(out).replace("contoso-com01e.mail.protection.outlook.com", "")  # what DNS has
        assert [host for host in OTHERS[cloud] if host in told] == []
        if name == "app":
            assert [host for host in OWN[cloud] if host not in told.replace("\\", "")] == []


def test_an_unknown_device_is_a_mistake_with_a_suggestion(run: Run) -> None:
    code, _, err = run("devices", "show", "scaner")
    assert code == 3
    assert 'did you mean "scanner"?' in err


def test_the_report_names_who_depends_on_a_password(run: Run) -> None:
    code, out, _ = run("devices", "report")
    assert code == 0
    assert out.startswith("1 of 2 devices depend on basic authentication")
    assert "erp signs in as erp@contoso.com" in out
    assert run("devices", "report", "--format", "csv")[1].splitlines()[1].startswith("erp,")
    assert "<table>" in run("devices", "report", "--format", "html")[1]


def test_a_device_is_explained_with_its_resources_as_they_stand(run: Run) -> None:
    code, out, _ = run("explain", "device/scanner", "--format", "json")
    assert code == 0
    found = json.loads(out)
    assert (found["method"], found["refused"][0]["method"]) == ("smtp_relay", "client_submission")
    assert {r["address"]: r["state"] for r in found["resources"]} == {
        "domain/contoso.com": "as declared",
        "inbound_connector/site-hq": "absent",
    }


def test_the_switch_that_blocks_a_sign_in_is_named_one_after_the_other(run: Run, tenant: LocalTenant) -> None:
    def verdicts() -> dict[str, Any]:
        code, out, _ = run("explain", "smtp_auth/erp@contoso.com", "--format", "json")
        assert code == 0
        return {v["authentication"]: (v["allowed"], v["blocked_by"]) for v in json.loads(out)["sign_in"]}

    assert verdicts() == {"basic": (False, "organization"), "oauth": (False, "organization")}
    tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    assert verdicts()["basic"] == (False, "mailbox")
    tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=False)
    assert verdicts()["oauth"] == (True, "")
    tenant.cmdlet("Set-OrganizationConfig", DefaultAuthenticationPolicy="Block Basic")
    assert verdicts() == {"basic": (False, "authentication_policy"), "oauth": (True, "")}
    assert "cannot sign in with a password: the authentication policy" in run("explain", "device/erp")[1]
    tenant.cmdlet("Set-OrganizationConfig", DefaultAuthenticationPolicy=None)


def test_what_the_plan_does_not_declare_is_a_mistake(run: Run) -> None:
    assert run("explain", "inbound_connector/nothing")[0] == 3
    assert run("explain", "nothing")[0] == 3


def test_a_plan_says_what_spf_lacks_for_its_devices(run: Run) -> None:
    code, out, _ = run("plan", "--format", "json")
    assert code == 0, out
    findings = {f["rule"]: f for f in json.loads(out)["provisioner"]["findings"]}
    lacking = [f for rule, f in findings.items() if rule.startswith("SPF-")]
    assert lacking, findings
    assert "ip4:203.0.113.10" in lacking[0]["hint"]
