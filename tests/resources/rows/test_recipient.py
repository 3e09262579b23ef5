from __future__ import annotations

from provisioner.resources.rows import recipient

ROW = {
    "Name": "ERP",
    "DisplayName": "Contoso ERP",
    "Guid": "G-1",
    "PrimarySmtpAddress": "ERP@contoso.com",
    "EmailAddresses": ["SMTP:erp@contoso.com", "smtp:SAP@contoso.com", "SIP:x@contoso.com", "X500:/o=old"],
    "Alias": None,
}


def test_only_smtp_addresses_are_addresses_and_every_name_counts() -> None:
    found = recipient.decode(ROW)
    assert found.id == "g-1"
    assert found.addresses == {"erp@contoso.com", "sap@contoso.com"}
    assert found.names == {"erp@contoso.com", "sap@contoso.com", "erp", "contoso erp", "g-1"}


def test_a_row_may_lack_everything_and_a_list_may_be_one_value() -> None:
    assert recipient.decode({}) == recipient.Recipient("", frozenset(), frozenset())
    assert recipient.decode({"EmailAddresses": "SMTP:a@contoso.com"}).addresses == {"a@contoso.com"}
