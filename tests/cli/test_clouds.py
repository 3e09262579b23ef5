"""In GCC High, DoD and China, sheet, DNS check, probe and diagnosis name only that cloud's hosts.

Reference: the endpoints of each cloud (Learn, "DNS records for Office 365 GCC High", "… DoD", and 21Vianet's list). The
sandbox speaks as the worldwide service does, so that what its server said is left out of what is judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.in_process import run_in_process
from tests.cli.shop import HEADER, Shop, open_shop
from tests.cli.test_devices import OTHERS, OWN
from tests.ports import unused_port


@dataclass(frozen=True)
class Place:
    """A domain in a cloud: its endpoint for mail, and what its SPF record should include."""

    domain: str
    mx: str
    include: str

    @property
    def plan(self) -> str:
        site = "owner: team\nsites: { hq: { egress_ip_addresses: [93.184.216.10] } }\ndevices:\n"
        able = 'supports: { tls: "1.2", authentication: '
        return (
            f"domains: {{ {self.domain}: {{ verified: true }} }}\n{site}"
            f"  relay: {{ site: hq, from: relay@{self.domain}, recipients: anyone, {able}[] }} }}\n"
            f"  old: {{ site: hq, from: old@{self.domain}, recipients: anyone, supports: {{ tls: '1.0', "
            "authentication: [basic] } }\n"
            f"  erp: {{ from: erp@{self.domain}, recipients: anyone, {able}[basic] }} }}\n"
            f"  crm: {{ from: erp@{self.domain}, recipients: anyone, {able}[oauth] }} }}\n"
            f"  api: {{ from: erp@{self.domain}, recipients: anyone, method: graph }}\n"
            f"  bulk: {{ from: erp@{self.domain}, recipients: organization, messages_per_day: 20000, "
            f"{able}[basic] }} }}\n"
        )


PLACES: Mapping[str, Place] = {
    "gcc_high": Place("gov.example", "gov-example.mail.protection.office365.us", "include:spf.protection.office365.us"),
    "dod": Place("mil.example", "mil-example.mail.protection.office365.us", "include:spf.protection.office365.us"),
    "china": Place(
        "cn.example", "cn-example.mail.protection.partner.outlook.cn", "include:spf.protection.partner.outlook.cn"
    ),
}
SEED: dict[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": place.domain} for place in PLACES.values()],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
    },
    "mailboxes": [{"address": f"erp@{place.domain}", "password": "right"} for place in PLACES.values()],
    "settings": {"smtp_source_addresses": {"127.0.0.10": "93.184.216.10"}},
    "graph": {
        "domains": [
            {
                "id": place.domain,
                "isVerified": True,
                "serviceConfigurationRecords": [{"id": "1", "recordType": "Mx", "mailExchange": place.mx}],
            }
            for place in PLACES.values()
        ]
    },
    "dns": {
        place.domain: {"MX": [f"0 {place.mx}."], "TXT": ["v=spf1 ip4:93.184.216.10 -all"]} for place in PLACES.values()
    },
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), SEED) as here:
        yield here


def own_words(found: Any) -> Any:
    """A document of JSON without what the server said or is quoted with."""
    spoken = {"dialogue", "refused", "evidence", "facts", "refusals", "codes"}
    if isinstance(found, dict):
        return {key: own_words(value) for key, value in found.items() if key not in spoken}
    return [own_words(value) for value in found] if isinstance(found, list) else found


def judged(cloud: str, text: str) -> str:
    """The text, which names no other cloud's host."""
    assert [host for host in OTHERS[cloud] if host in text] == [], text
    return text


@pytest.mark.one_of("cloud")
@pytest.mark.parametrize("cloud", PLACES)
def test_only_hosts_of_the_cloud_are_named(shop: Shop, cloud: str) -> None:
    place = PLACES[cloud]
    plan = shop.write(place.plan)

    def told(*arguments: str, code: int = 0, **more: str) -> str:
        done = shop.on_tenant(*arguments, PROVISIONER_CLOUD=cloud, ERP_PASSWORD="right", **more)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    # The settings sheet, of every method.
    sheets = {
        name: judged(cloud, told("devices", "show", name, plan)) for name in ("relay", "old", "erp", "crm", "api")
    }
    assert place.mx in sheets["relay"]
    assert [host for host in OWN[cloud] if host not in sheets["crm"]] == []
    judged(cloud, told("devices", "show", "bulk", plan, "--format", "html"))
    # The check of DNS: the record lacks the include of this cloud, and only that is proposed.
    checked = json.loads(told("dns", "check", plan, "--format", "json", code=1))
    findings = {f["id"]: f for domain in checked["domains"] for f in domain["findings"]}
    assert place.include in json.dumps(findings["SPF-EXCHANGE-MISSING"])
    assert not [id_ for id_ in findings if id_.startswith("MX-")]
    judged(cloud, json.dumps(checked))
    # The probe: refused, and at a blocked port.
    probe = ("probe", "erp", plan, "--password", "env:ERP_PASSWORD", "--format", "json")
    refused = json.loads(told(*probe, code=1))
    assert refused["diagnosis"], refused
    assert refused["diagnosis"]["cause"] == "smtp-auth-off-tenant"
    judged(cloud, json.dumps(own_words(refused)))
    nowhere = f"127.0.0.1:{unused_port()}"
    blocked = told("probe", "relay", plan, code=1, PROVISIONER_ENDPOINTS__SMTP_MX=nowhere)
    assert f"{place.mx}, port 25" in judged(cloud, blocked)
    # The diagnosis of what devices report.
    for line in (
        "504 5.7.4 Unrecognized authentication type",
        f"connect to {place.mx}[192.0.2.1]:25: Connection timed out",
        "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2.",
        "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
    ):
        judged(cloud, told("diagnose", line))


@pytest.mark.parametrize(
    ("device", "said", "hint"),
    [
        (
            'supports: { tls: "1.1", authentication: [basic] }, method: client_submission',
            "client submission over TLS 1.1 is not offered in the cloud of this tenant",
            "write method: smtp_relay",
        ),
        (
            'supports: { tls: "1.3", authentication: [basic] }, method: high_volume_email',
            "High Volume Email is not offered in the cloud of this tenant",
            "write method: smtp_relay",
        ),
    ],
)
def test_what_gcc_does_not_offer_is_refused_where_the_profile_names_it(
    tmp_path: Path, device: str, said: str, hint: str
) -> None:
    """The initial domain of a tenant in GCC ends as one of the worldwide cloud does: only the profile tells."""
    (tmp_path / "provisioner.toml").write_text(
        '[profiles.gov]\ntenant = "contoso.onmicrosoft.com"\ncloud = "gcc"\n', encoding="utf-8"
    )
    (tmp_path / "plan.yaml").write_text(
        f"{HEADER}transport_config: {{ allow_legacy_tls_clients: enabled }}\n"
        "hve_accounts: { a@contoso.com: { password: env:P, billing_policy: 6f0a3c1e-0000-4000-8000-000000000002 } }\n"
        "devices:\n  mfp: { from: a@contoso.com, recipients: organization, sender_ip_addresses: [52.202.8.242], "
        f"{device} }}\n",
        encoding="utf-8",
    )
    for command in ("validate", "lint", "plan", "apply", "drift"):
        done = run_in_process(("--profile", "gov", command, "plan.yaml"), tmp_path, {})
        assert (done.returncode, command) == (3, command), done.stderr
        assert f"plan.yaml:6:3: error[DEVICE-NO-METHOD]: device/mfp: {said}" in done.stderr, done.stderr
        assert hint in done.stderr
    elsewhere = run_in_process(("validate", "plan.yaml"), tmp_path, {})
    assert elsewhere.returncode == 0, elsewhere.stderr
