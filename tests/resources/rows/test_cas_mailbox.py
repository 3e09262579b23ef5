from __future__ import annotations

import pytest

from provisioner.resources.rows import cas_mailbox

ROW = {
    "Identity": "Scan Service",
    "DisplayName": "fax@contoso.com",
    "PrimarySmtpAddress": "Scan@contoso.com",
    "EmailAddresses": ["SMTP:scan@contoso.com", "smtp:MFP@contoso.com", "SIP:x@contoso.com"],
    "Guid": "G-1",
}


def test_a_mailbox_goes_by_addresses_and_ids_and_not_by_display_name() -> None:
    assert cas_mailbox.names(ROW) == {"scan@contoso.com", "mfp@contoso.com", "g-1"}
    assert cas_mailbox.shared_names(ROW) == {"fax@contoso.com"}


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("scan@contoso.com", "EmailAddresses -eq 'scan@contoso.com'"),
        ("o'hara@contoso.com", "EmailAddresses -eq 'o''hara@contoso.com'"),
        ("8a68c198-be28-4a30-83e9-bffb760c65ba", "Guid -eq '8a68c198-be28-4a30-83e9-bffb760c65ba'"),
        ("mfp 3", "(DisplayName -eq 'mfp 3' -or Name -eq 'mfp 3')"),
    ],
)
def test_a_look_up_filters_by_the_one_kind_of_name_that_it_has(name: str, condition: str) -> None:
    assert cas_mailbox.look_up(name).parameters == {"Filter": condition, "ResultSize": "Unlimited"}
    assert cas_mailbox.by_guid([name, name]).parameters["Filter"] == f"{condition} -or {condition}"


def test_the_primary_address_is_the_column_the_capital_proxy_or_the_identity() -> None:
    bare = {"EmailAddresses": ROW["EmailAddresses"], "Identity": "x@contoso.com"}
    assert cas_mailbox.primary(ROW) == cas_mailbox.primary(bare) == "scan@contoso.com"
    assert cas_mailbox.primary({"Identity": "X@contoso.com"}) == "x@contoso.com"
    with pytest.raises(ValueError, match="Identity"):
        cas_mailbox.primary({"Guid": "G-1"})
