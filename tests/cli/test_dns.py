"""`provisioner dns` over the sandbox's own name server: what is wrong, and the records that fix it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provisioner.cli.main import main
from tests.local_tenant import LocalTenant, sandbox

SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": f"{name}.example"} for name in ("good", "bad", "gov")],
        "DkimSigningConfig": [
            {
                "Domain": "bad.example",
                "Selector1CNAME": "selector1-bad-example._domainkey.contoso.n-v1.dkim.mail.microsoft",
                "Selector2CNAME": "selector2-bad-example._domainkey.contoso.n-v1.dkim.mail.microsoft",
            }
        ],
    },
    "graph": {
        "domains": [
            {
                "id": "gov.example",
                "isVerified": True,
                "serviceConfigurationRecords": [
                    {"id": "1", "recordType": "Mx", "mailExchange": "gov-example.mail.protection.office365.us"}
                ],
            }
        ]
    },
    "dns": {
        "good.example": {
            "MX": ["0 good-example.mail.protection.outlook.com."],
            "TXT": ["v=spf1 include:spf.protection.outlook.com -all"],
        },
        "_dmarc.good.example": {"TXT": ["v=DMARC1; p=reject; rua=mailto:d@good.example"]},
        "bad.example": {"MX": ["10 smtp.office365.com."], "TXT": ["v=spf1 +all", "v=spf1 -all"]},
        "gov.example": {
            "MX": ["0 gov-example.mail.protection.office365.us."],
            "TXT": ["v=spf1 include:spf.protection.office365.us -all"],
        },
        "_dmarc.gov.example": {"TXT": ["v=DMARC1; p=reject; rua=mailto:d@gov.example"]},
        "spf.protection.office365.us": {"TXT": ["v=spf1 ip4:23.103.191.0/24 -all"]},
        "selector1._domainkey.bad.example": {"CNAME": ["selector1-old.example."]},
        "spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:40.92.0.0/15 -all"]},
    },
}
PLAN = """provisioner: 1
tenant: contoso.onmicrosoft.com
domains: { good.example: { verified: true } }
dkim: { bad.example: { enabled: true } }
"""


def _use(running: LocalTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands of this process go to that sandbox."""
    entry = running.endpoints["app"]
    environment = {
        "TENANT": running.endpoints["initial_domain"],
        "CA": running.endpoints["ca"],
        "CREDENTIAL__KIND": "client_secret",
        "CREDENTIAL__CLIENT_ID": entry["client_id"],
        "CREDENTIAL__SECRET": f"file:{entry['secret_file']}",
        "ENDPOINTS__DNS_SERVERS": json.dumps([running.endpoints["dns"]]),
        **{f"ENDPOINTS__{n.upper()}": running.endpoints[n] for n in ("authority", "graph", "exchange")},
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"PROVISIONER_{name}", value)


def test_wrong_records_are_found_and_those_to_publish_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seed.json").write_text(json.dumps(SEED))
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    with sandbox(tmp_path / "state", tmp_path / "seed.json") as running:
        _use(running, monkeypatch)
        assert main(["dns", "check", str(plan), "--format", "json"]) == 1
        found = {d["domain"]: d["findings"] for d in json.loads(capsys.readouterr().out)["domains"]}
        assert not [f for f in found["good.example"] if f["severity"] == "error"]
        assert {"MX-SUBMISSION-HOST", "SPF-MULTIPLE", "DKIM-CNAME-WRONG"} <= {f["id"] for f in found["bad.example"]}
        (missing,) = [f for f in found["bad.example"] if f["id"] == "MX-MISSING"]
        assert "bad-example.mail.protection.outlook.com, which Exchange names" in missing["hint"]
        _look_at_government(plan, capsys, monkeypatch)
        assert main(["dns", "export", str(plan)]) == 0
        zone = capsys.readouterr().out
        assert "selector1._domainkey.bad.example. 3600 IN CNAME selector1-bad-example._domainkey.contoso" in zone
        assert '; remove: bad.example. 3600 IN TXT "v=spf1 +all"' in zone
        assert main(["dns", "export", str(plan), "--form", "octodns"]) == 0
        assert main(["dns", "export", str(plan), "--form", "octodns", "--out-dir", str(tmp_path / "zones")]) == 0
        assert "bad.example TXT v=spf1 +all" in capsys.readouterr().err  # what only removal cures is told
        assert [path.name for path in (tmp_path / "zones").iterdir()] == ["bad.example.yaml"]


def _look_at_government(plan: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In another cloud the worldwide include is none that SPF lacks (office-docs-powershell issue 3281)."""
    government = plan.with_name("government.yaml")
    government.write_text(
        "provisioner: 1\ntenant: contoso.onmicrosoft.com\ndomains: { gov.example: { verified: true } }\n"
    )
    main(["dns", "check", str(government), "--format", "json"])
    (worldwide,) = json.loads(capsys.readouterr().out)["domains"]
    monkeypatch.setenv("PROVISIONER_CLOUD", "gcc_high")
    main(["dns", "check", str(government), "--format", "json"])
    (own,) = json.loads(capsys.readouterr().out)["domains"]
    monkeypatch.delenv("PROVISIONER_CLOUD")
    assert "SPF-EXCHANGE-CLOUD" in {f["id"] for f in worldwide["findings"]}
    assert [f["id"] for f in own["findings"] if f["id"].startswith(("SPF", "MX"))] == []


def test_only_what_differs_from_a_usable_zone_is_found_where_a_seed_writes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    domains = ("contoso.com", "fabrikam.com", "gone.example")
    seed = {
        "sandbox": 1,
        "objects": {
            "AcceptedDomain": [{"DomainName": name} for name in domains],
            "DkimSigningConfig": [{"Domain": name, "Enabled": True} for name in domains],
        },
        "dns": {"gone.example": None},
    }
    plan = tmp_path / "plan.yaml"
    (tmp_path / "seed.json").write_text(json.dumps(seed))
    with sandbox(tmp_path / "state", tmp_path / "seed.json") as running:
        _use(running, monkeypatch)

        def check(*names: str) -> tuple[int, dict[str, set[str]]]:
            wanted = "".join(f"  {name}: {{ verified: true }}\n" for name in names)
            plan.write_text(f"provisioner: 1\ntenant: contoso.onmicrosoft.com\ndomains:\n{wanted}")
            code = main(["dns", "check", str(plan), "--format", "json"])
            reports = json.loads(capsys.readouterr().out)["domains"]
            return code, {d["domain"]: {f["id"] for f in d["findings"]} for d in reports}

        code, found = check("contoso.com", "fabrikam.com")
        assert (code, found) == (0, {"contoso.com": set(), "fabrikam.com": set()})
        running.control("POST", "/dns", {"name": "fabrikam.com", "type": "MX", "values": []})
        assert check("contoso.com", "fabrikam.com")[1] == {"contoso.com": set(), "fabrikam.com": {"MX-MISSING"}}
        code, found = check("contoso.com", "gone.example")
        assert (code, found["gone.example"]) == (1, {"DOMAIN-MISSING"})
