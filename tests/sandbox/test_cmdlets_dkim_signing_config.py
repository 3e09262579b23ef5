"""DKIM: keys and targets, the way from disabled over DNS to enabled, rotation."""

from __future__ import annotations

import base64
import datetime as dt
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, run_cmdlet
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Row, Tenant
from tests.recordings import entries

ADMIN = Caller("admin", directory_roles=("Exchange Administrator",))
LONG = f"{'a-very-long-label-' * 3}end.subsidiary.example.com"


@pytest.fixture
def tenant() -> Tenant:
    made = Tenant()
    names = ["contoso.com", "fabrikam.com", LONG]
    made.merge(
        load_seed(
            {"sandbox": 1, "tenant": {"id": "t"}, "objects": {"AcceptedDomain": [{"DomainName": n} for n in names]}}
        )
    )
    return made


def run(tenant: Tenant, verb: str, **parameters: Any) -> CmdletResult:
    return run_cmdlet(tenant, ADMIN, f"{verb}-DkimSigningConfig", parameters)


def new(tenant: Tenant, domain: str = "contoso.com", **parameters: Any) -> Row:
    return run(tenant, "New", **{"DomainName": domain, "Enabled": False, **parameters}).rows[0]


def get(tenant: Tenant, domain: str = "contoso.com") -> Row:
    return run(tenant, "Get", Identity=domain).rows[0]


def refused(tenant: Tenant, verb: str, **parameters: Any) -> CmdletError:
    with pytest.raises(CmdletError) as caught:
        run(tenant, verb, **parameters)
    return caught.value


def publish(tenant: Tenant, row: Row, *selectors: int, dot: str = ".") -> None:
    for number in selectors or (1, 2):
        owner = f"selector{number}._domainkey.{row['Domain'].lower()}"
        tenant.dns[owner] = {"CNAME": [row[f"Selector{number}CNAME"].upper() + dot]}


def key(text: str) -> RSAPublicKey:
    match = re.fullmatch(r"v=DKIM1; k=rsa; p=([A-Za-z0-9+/=]+);", text)
    assert match
    found = load_der_public_key(base64.b64decode(match[1]))
    assert isinstance(found, RSAPublicKey)
    return found


@pytest.mark.parametrize(("given", "bits"), [({}, 1024), ({"KeySize": 1024}, 1024), ({"KeySize": 2048}, 2048)])
def test_new_makes_two_keys_of_the_size_asked_for(tenant: Tenant, given: dict[str, Any], bits: int) -> None:
    row = new(tenant, **given)
    assert (row["Selector1KeySize"], row["Selector2KeySize"]) == (bits, bits)
    one, other = key(row["Selector1PublicKey"]), key(row["Selector2PublicKey"])
    assert (one.key_size, other.key_size) == (bits, bits)
    assert one.public_numbers() != other.public_numbers()


@pytest.mark.parametrize("size", [512, 4096])
def test_other_key_sizes_are_refused(tenant: Tenant, size: int) -> None:
    assert str(size) in refused(tenant, "New", DomainName="contoso.com", Enabled=False, KeySize=size).message


def test_a_new_configuration_says_that_its_cnames_are_missing(tenant: Tenant) -> None:
    row = new(tenant)
    assert (row["Enabled"], row["Status"], row["Domain"], row["Identity"]) == (
        False,
        "CnameMissing",
        *["contoso.com"] * 2,
    )
    assert row["KeyCreationTime"] == row["LastChecked"] == row["RotateOnDate"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", row["KeyCreationTime"])


def test_targets_cannot_be_computed_from_the_domain(tenant: Tenant) -> None:
    forms = r"selector1-contoso-com\w{0,3}\._domainkey\.contoso\.[a-z]-v1\.dkim\.mail\.microsoft"
    row = new(tenant)
    assert re.fullmatch(forms, row["Selector1CNAME"])
    assert row["Selector2CNAME"] == row["Selector1CNAME"].replace("selector1", "selector2")
    characters = {new(tenant, name)["Selector1CNAME"].partition("-v1")[0][-1] for name in ("fabrikam.com", LONG)}
    assert len(characters | {row["Selector1CNAME"].partition("-v1")[0][-1]}) > 1


def test_a_long_domain_gets_a_shortened_label_with_a_hash(tenant: Tenant) -> None:
    label = new(tenant, LONG)["Selector1CNAME"].partition(".")[0]
    assert len(label) == 63
    assert not LONG.replace(".", "-").startswith(label.removeprefix("selector1-"))


def test_the_key_stands_where_the_target_leads(tenant: Tenant) -> None:
    row = new(tenant)
    assert tenant.dns[row["Selector1CNAME"].lower()] == {"TXT": [row["Selector1PublicKey"]]}
    run(tenant, "Remove", Identity="contoso.com", Confirm=False)
    assert row["Selector1CNAME"].lower() not in tenant.dns
    assert refused(tenant, "Get", Identity="contoso.com").http_status == 404


def test_the_way_goes_over_dns(tenant: Tenant) -> None:
    row = new(tenant)
    refused(tenant, "Set", Identity="contoso.com", Enabled=True)
    publish(tenant, row, 1)
    refused(tenant, "Set", Identity="contoso.com", Enabled=True)
    publish(tenant, row)
    assert get(tenant)["Status"] == "CnameMissing"  # not looked at again until somebody enables
    tenant.clock.advance(60)
    run(tenant, "Set", Identity="contoso.com", Enabled=True)
    after = get(tenant)
    assert (after["Enabled"], after["Status"]) == (True, "Valid")
    assert after["LastChecked"] > row["LastChecked"]
    assert run(tenant, "Set", Identity="contoso.com", Enabled=True).warnings


def test_a_cname_that_leads_elsewhere_is_missing(tenant: Tenant) -> None:
    row = new(tenant)
    publish(tenant, row)
    tenant.dns["selector2._domainkey.contoso.com"] = {"CNAME": ["elsewhere.example"]}
    assert refused(tenant, "Set", Identity="contoso.com", Enabled=True).http_status == 400


@pytest.mark.parametrize("case", entries("exchange/service-errors.json", "what", "DKIM enabled before"))
def test_the_refusal_to_enable_reads_as_recorded(tenant: Tenant, case: dict[str, Any]) -> None:
    _, exception_type, message = case["text"].split("|", 2)
    row = new(tenant)
    for number in (1, 2):
        classic = f"selector{number}-contoso-com._domainkey.contoso.onmicrosoft.com"
        message = message.replace(classic, row[f"Selector{number}CNAME"])
    error = refused(tenant, "Set", Identity="contoso.com", Enabled=True)
    assert (error.exception_type, error.message) == (exception_type, message)


def test_a_domain_that_is_not_accepted_is_refused_as_recorded(tenant: Tenant) -> None:
    error = refused(tenant, "New", DomainName="elsewhere.example", Enabled=False)
    assert error.exception_type == "Microsoft.Exchange.Management.Tasks.ValidationException"
    assert error.message == (
        'Invalid domain name specified "elsewhere.example". Please specify tenant name or valid accepted domain.'
    )


def test_new_with_enabled_before_dns_is_refused_or_creates_it_disabled(tenant: Tenant) -> None:
    assert "CNAME record does not exist" in refused(tenant, "New", DomainName="contoso.com", Enabled=True).message
    assert run(tenant, "Get").rows == []
    tenant.settings["dkim_new_enabled_creates_disabled"] = True
    result = run(tenant, "New", DomainName="contoso.com", Enabled=True)
    assert result.warnings[0].startswith("CNAME record does not exist for this config.")
    assert result.rows[0]["Enabled"] is False


def test_the_initial_domain_needs_no_cnames(tenant: Tenant) -> None:
    row = new(tenant, "contoso.onmicrosoft.com", Enabled=True)
    assert (row["Enabled"], row["Status"], row["IsDefault"]) == (True, "Valid", True)


def test_a_second_configuration_of_a_domain_is_refused(tenant: Tenant) -> None:
    new(tenant)
    assert (
        refused(tenant, "New", DomainName="Contoso.com", Enabled=False).message
        == "The object 'Contoso.com' already exists."
    )


def test_set_has_canonicalisations_and_no_key_size(tenant: Tenant) -> None:
    before = new(tenant, HeaderCanonicalization="simple")
    assert before["HeaderCanonicalization"] == "Simple"
    run(tenant, "Set", Identity="contoso.com", HeaderCanonicalization="Relaxed", BodyCanonicalization="Simple",
        PublishTxtRecords=True)  # fmt: skip
    after = get(tenant)
    assert (after["HeaderCanonicalization"], after["BodyCanonicalization"]) == ("Relaxed", "Simple")
    assert after["Selector1CNAME"] == before["Selector1CNAME"]
    assert refused(tenant, "Set", Identity="contoso.com", KeySize=2048).message.endswith(" KeySize")


def test_a_rotation_gives_the_resting_selector_a_new_key_that_signs_after_four_days(tenant: Tenant) -> None:
    publish(tenant, new(tenant))
    run(tenant, "Set", Identity="contoso.com", Enabled=True)
    before = get(tenant)
    assert before["SelectorAfterRotateOnDate"] == "selector1"
    run(tenant, "Rotate", Identity="contoso.com", KeySize=2048)
    after = get(tenant)
    created, due = (dt.datetime.fromisoformat(after[name]) for name in ("KeyCreationTime", "RotateOnDate"))
    assert due - created == dt.timedelta(days=4)
    assert (after["SelectorBeforeRotateOnDate"], after["SelectorAfterRotateOnDate"]) == ("selector1", "selector2")
    assert (after["Selector1KeySize"], after["Selector2KeySize"]) == (1024, 2048)
    assert after["Selector1PublicKey"] == before["Selector1PublicKey"]
    assert key(after["Selector2PublicKey"]).key_size == 2048
    assert tenant.dns[after["Selector2CNAME"].lower()]["TXT"] == [after["Selector2PublicKey"]]
    tenant.clock.advance(4 * 86400 + 1)
    run(tenant, "Rotate", Identity="contoso.com", KeySize=2048)
    assert (get(tenant)["Selector1KeySize"], get(tenant)["SelectorAfterRotateOnDate"]) == (2048, "selector1")


def test_a_disabled_configuration_is_not_rotated(tenant: Tenant) -> None:
    before = new(tenant)
    assert "isn't enabled" in refused(tenant, "Rotate", Identity="contoso.com").message
    assert get(tenant) == before


def test_a_configuration_of_an_export_is_disabled_enabled_and_rotated_in_its_own_form_of_dates() -> None:
    tenant = Tenant()
    config = {
        "Domain": "contoso.com", "Name": "contoso.com", "Identity": "contoso.com", "Enabled": True, "Status": "Valid",
        "Selector1CNAME": "s1.example", "Selector2CNAME": "s2.example",
        "Selector1KeySize": 1024, "Selector2KeySize": 1024,
        "KeyCreationTime": "/Date(1653603718610)/", "LastChecked": "/Date(1653603718610)/",
        "RotateOnDate": "/Date(1653949318610)/", "SelectorBeforeRotateOnDate": "selector1",
        "SelectorAfterRotateOnDate": "selector2",
    }  # fmt: skip
    tenant.merge(load_seed({"dkim_config": [config]}))
    run(tenant, "Set", Identity="contoso.com", Enabled=False)
    run(tenant, "Set", Identity="contoso.com", Enabled=True)
    run(tenant, "Rotate", Identity="contoso.com")
    row = get(tenant)
    assert row["SelectorBeforeRotateOnDate"] == "selector2"
    created, due = (int(row[name][6:-2]) for name in ("KeyCreationTime", "RotateOnDate"))
    assert due - created == 4 * 86400 * 1000
    assert row["LastChecked"].startswith("/Date(")


def test_the_coexistence_domain_has_no_cnames_and_nobody_can_publish_them(tenant: Tenant) -> None:
    """cisagov/ScubaGear issue 1722."""
    accepted = {"AcceptedDomain": [{"DomainName": "contoso.mail.onmicrosoft.com"}]}
    tenant.merge(load_seed({"sandbox": 1, "objects": accepted}))
    row = new(tenant, "contoso.mail.onmicrosoft.com", Enabled=False)
    assert row["Status"] == "CnameMissing"
