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


def test_a_mailbox_goes_by_addresses_sign_in_name_and_ids_and_not_by_display_name() -> None:
    assert cas_mailbox.names(ROW) == {"scan@contoso.com", "mfp@contoso.com", "g-1"}
    assert "svc@contoso.com" in cas_mailbox.names(ROW | {"UserPrincipalName": "SVC@contoso.com"})


def test_the_primary_address_is_the_column_the_capital_proxy_or_the_identity() -> None:
    bare = {"EmailAddresses": ROW["EmailAddresses"], "Identity": "x@contoso.com"}
    assert cas_mailbox.primary(ROW) == cas_mailbox.primary(bare) == "scan@contoso.com"
    assert cas_mailbox.primary({"Identity": "X@contoso.com"}) == "x@contoso.com"
    with pytest.raises(ValueError, match="Identity"):
        cas_mailbox.primary({"Guid": "G-1"})
