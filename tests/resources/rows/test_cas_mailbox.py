from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from provisioner.model import Cmdlet, Row
from provisioner.resources.rows import cas_mailbox, recipient
from provisioner.resources.rows.transport_config import SWITCH

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


def kept(asked: Cmdlet, *rows: Row) -> Sequence[Row]:
    """The rows that a listing keeps."""
    assert asked.needed is not None
    return list(asked.needed.of(rows))


def test_a_listing_keeps_what_overrides_what_is_meant_and_what_is_odd() -> None:
    asked = cas_mailbox.listing(["mfp@contoso.com", "nobody@contoso.com"])
    row = {**ROW, SWITCH: None}
    assert kept(asked, row), "one of its addresses is meant"
    other = {**row, "EmailAddresses": ["SMTP:other@contoso.com"]}
    assert not kept(asked, other)
    for odd in (
        {SWITCH: False},
        {SWITCH: True},
        {SWITCH: "x"},
        {"PrimarySmtpAddress": ""},
        {"EmailAddresses": {"x": 1}},
    ):
        assert kept(asked, {**other, **odd}), odd
        assert kept(asked, other, {**other, **odd}, row, other) == [{**other, **odd}, row], "by itself, in its order"
    del other[SWITCH]
    assert kept(asked, other), "a row without the switch is Unknown, and must not be taken for one that inherits"


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        {**ROW, "EmailAddresses": "smtp:one@contoso.com"},
        {**ROW, "DisplayName": " Fax ", "EmailAddresses": ["smtp:mfp@bücher.example", "SMTP:A@XN--BCHER-KVA.example"]},
        {**ROW, "DisplayName": "Example Inc.", "Guid": 7},
        {**ROW, "DisplayName": "Jürgen ΤΕΛΟΣ", "Name": "\u00a0Büro\u2003", "Alias": "Größe@x"},
        {"Guid": "G-1", "EmailAddresses": []},
    ],
)
def test_a_row_is_named_by_each_of_its_names_and_by_no_other(row: dict[str, Any]) -> None:
    everyone, plain = recipient.names(row), {"Guid": "G-2", "Name": "Plain", "EmailAddresses": ["smtp:plain@x.example"]}
    assert everyone
    for name in everyone:
        assert kept(recipient.listing([name, "x"]), plain, row) == [row], name
    assert kept(recipient.listing([*everyone, "plain@x.example"]), plain, row, plain) == [plain, row, plain]
    assert not kept(recipient.listing({"fax", "x@contoso.com", "nobody"} - everyone), plain, row)


def test_the_primary_address_is_the_column_the_capital_proxy_or_the_identity() -> None:
    bare = {"EmailAddresses": ROW["EmailAddresses"], "Identity": "x@contoso.com"}
    assert cas_mailbox.primary(ROW) == cas_mailbox.primary(bare) == "scan@contoso.com"
    assert cas_mailbox.primary({"Identity": "X@contoso.com"}) == "x@contoso.com"
    with pytest.raises(ValueError, match="Identity"):
        cas_mailbox.primary({"Guid": "G-1"})
