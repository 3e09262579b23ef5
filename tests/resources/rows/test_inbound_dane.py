"""What the cmdlets of inbound DANE tell, in the shapes of their pages."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.resources.rows.inbound_dane import dane, dnssec, mx_host, status

HOST = "contoso-com.e-v1.mx.microsoft"


@pytest.mark.parametrize("told", [f"@ 60 IN MX 10 {HOST}", f"@ 60 IN MX 10 {HOST.upper()}."])
def test_the_host_is_in_the_expected_record(told: str) -> None:
    assert mx_host(told) == mx_host({"Record": told}) == HOST


@pytest.mark.parametrize(
    "told", [None, "", "Microsoft.Exchange.Management.ProvisioningTasks.ExpectedMxRecordInfo", "MX 10 evil.example"]
)
def test_what_names_no_host_names_none(told: Any) -> None:
    assert mx_host(told) == ""


@pytest.mark.parametrize("switch", ["Enabled", {"Value": "Enabled"}])
def test_a_status_is_a_word_or_an_object(switch: Any) -> None:
    row = {"DnssecFeatureStatus": switch, "ExpectedMxRecord": {"Record": f"@ 60 IN MX 10 {HOST}"}}
    assert dnssec([row]) == (True, HOST)
    assert dnssec([{"DnssecFeatureStatus": "Disabled"}]) == (False, "")


@pytest.mark.parametrize("rows", [[], [{}], [{"DnssecFeatureStatus": "Unknown"}], [{"DnssecFeatureStatus": None}] * 2])
def test_a_status_that_does_not_tell_is_refused(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="Get-DnssecStatusForVerifiedDomain"):
        dnssec(rows)


def test_dane_is_a_column_of_the_accepted_domain() -> None:
    rows = [
        {"DomainName": "contoso.com", "SmtpDaneStatus": "Disabled"},
        {"DomainName": "Fabrikam.com", "SmtpDaneStatus": "Enabled"},
    ]
    assert (dane(rows, "contoso.com"), dane(rows, "fabrikam.com"), dane(rows, "other.example")) == (False, True, None)
    for wrong in ([{"DomainName": "contoso.com"}], rows[:1] * 2):
        with pytest.raises(ValueError, match=r"SmtpDaneStatus|2 accepted domains"):
            dane(wrong, "contoso.com")


def test_the_service_is_not_asked_to_ask_dns() -> None:
    assert [n for n in status("contoso.com").parameters if n.startswith("Skip")] == [
        "SkipDnsValidation", "SkipMtaStsValidation", "SkipMxValidation",
    ]  # fmt: skip
