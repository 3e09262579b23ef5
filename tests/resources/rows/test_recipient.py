from __future__ import annotations

import pytest

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
    assert found.own == {"erp@contoso.com", "sap@contoso.com", "g-1"}
    assert (found.primary, found.sign_in) == ("erp@contoso.com", "")
    signed = recipient.decode(ROW | {"WindowsLiveID": "SVC@contoso.onmicrosoft.com", "RecipientType": "UserMailbox"})
    assert signed.own - found.own == {signed.sign_in} == {"svc@contoso.onmicrosoft.com"}
    assert (signed.type, signed.called) == (recipient.MAILBOX, "erp@contoso.com, a user mailbox")


@pytest.mark.parametrize(
    ("broad", "details", "type_", "kind"),
    [
        ("UserMailbox", "SharedMailbox", recipient.MAILBOX, "a shared mailbox"),
        ("MailUniversalDistributionGroup", "GroupMailbox", recipient.GROUP, "a Microsoft 365 group"),
        ("MailUniversalSecurityGroup", "MailUniversalSecurityGroup", recipient.SECURITY_GROUP,
         "a mail-enabled security group"),
        ("MailUser", "GuestMailUser", recipient.MAIL_USER, "a guest"),
        ("MailContact", "", recipient.CONTACT, "a mail contact"),
        ("SyncedMailbox", "NewKind", "", "a recipient of an unknown kind"),
    ],
)  # fmt: skip
def test_the_kind_is_told_in_words_and_the_type_says_what_it_can_do(
    broad: str, details: str, type_: str, kind: str
) -> None:
    found = recipient.decode(ROW | {"RecipientType": broad, "RecipientTypeDetails": details})
    assert (found.type, found.kind) == (type_, kind)


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("o'hara@x.com", "(EmailAddresses -eq 'o''hara@x.com' -or WindowsLiveID -eq 'o''hara@x.com')"),
        ("8a68c198-be28-4a30-83e9-bffb760c65ba",
         "(Guid -eq '8a68c198-be28-4a30-83e9-bffb760c65ba' -or "
         "ExternalDirectoryObjectId -eq '8a68c198-be28-4a30-83e9-bffb760c65ba')"),
        ("help desk", "(Name -eq 'help desk' -or DisplayName -eq 'help desk' -or Alias -eq 'help desk')"),
        ("cn=erp,ou=contoso", "(DistinguishedName -eq 'cn=erp,ou=contoso')"),
    ],
)  # fmt: skip
def test_a_look_up_asks_for_the_kinds_of_names_that_a_text_can_be(name: str, condition: str) -> None:
    assert recipient.condition(name) == condition
    twice = recipient.filtered([name, name])
    assert twice.parameters == {"Filter": f"{condition} -or {condition}", "ResultSize": "Unlimited"}


def test_a_row_may_lack_everything_and_a_list_may_be_one_value() -> None:
    nothing: frozenset[str] = frozenset()
    unknown = "a recipient of an unknown kind"
    assert recipient.decode({}) == recipient.Recipient("", "", nothing, "", nothing, nothing, "", unknown)
    assert recipient.decode({"EmailAddresses": "SMTP:a@contoso.com"}).addresses == {"a@contoso.com"}
