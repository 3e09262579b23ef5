"""Whose an address is: found by every name for mail, and by no other, as reads see the tenant."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox import mail_directory
from provisioner.sandbox.cmdlets import mailbox
from provisioner.sandbox.graph import GraphService
from provisioner.sandbox.graph_calls import Call, GraphError
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant


def tenant(**sections: Any) -> Tenant:
    found = Tenant()
    found.merge(load_seed({"sandbox": 1, "mailboxes": MAILBOXES, **sections}))
    return found


MAILBOXES = [
    {
        "address": "Erp@contoso.com",
        "upn": "erp.service@contoso.com",
        "aliases": ["invoices@contoso.com"],
        "name": "SAP",
    },
    "anna@contoso.com",
]


@pytest.mark.parametrize(
    "name", ["erp@contoso.com", "ERP@CONTOSO.COM", "erp.service@contoso.com", "Invoices@contoso.com"]
)
def test_a_mailbox_is_found_by_each_of_its_addresses(name: str) -> None:
    found = mail_directory.owner_of(tenant(), name)
    assert found is not None
    assert mail_directory.primary(found) == "erp@contoso.com"


@pytest.mark.parametrize("name", ["", "SAP", "erp", "nobody@contoso.com", "<>"])
def test_what_is_no_address_of_a_mailbox_finds_none(name: str) -> None:
    assert mail_directory.owner_of(tenant(), name) is None


def test_a_new_address_counts_when_reads_see_it() -> None:
    found = tenant()
    found.lag = 60.0
    row = mail_directory.owner_of(found, "anna@contoso.com")
    assert row is not None
    found.update(mailbox.NOUN.name, row, {"EmailAddresses": ["SMTP:anna@contoso.com", "smtp:a@contoso.com"]})
    assert mail_directory.owner_of(found, "a@contoso.com") is None
    assert mail_directory.owner_of(found, "anna@contoso.com") is not None
    found.clock.advance(61)
    assert mail_directory.owner_of(found, "a@contoso.com") is row


def test_a_removed_mailbox_is_there_until_reads_see_that_it_is_gone() -> None:
    found = tenant()
    found.lag = 60.0
    row = mail_directory.owner_of(found, "anna@contoso.com")
    assert row is not None
    found.remove(mailbox.NOUN.name, row)
    assert mail_directory.owner_of(found, "anna@contoso.com") is not None
    found.clock.advance(61)
    assert mail_directory.owner_of(found, "anna@contoso.com") is None


def test_a_mailbox_has_the_user_of_its_object_id_or_sign_in_name() -> None:
    given = {"userPrincipalName": "ERP.service@contoso.com", "accountEnabled": False}
    found = tenant(graph={"users": [given]})
    owners = [mail_directory.owner_of(found, name) for name in ("erp@contoso.com", "anna@contoso.com")]
    users = [mail_directory.user_of(found, owner) for owner in owners if owner is not None]
    assert [user["accountEnabled"] for user in users] == [False, True]
    assert {name: users[0][name] for name in given} == given
    assert mail_directory.user_of(found, {"PrimarySmtpAddress": "nobody@contoso.com"}) == {}


def test_a_seed_changes_a_user_that_it_names_by_sign_in_name() -> None:
    found = tenant()
    found.merge(
        load_seed(
            {"sandbox": 1, "graph": {"users": [{"userPrincipalName": "anna@contoso.com", "accountEnabled": False}]}}
        )
    )
    (user,) = [user for user in found.graph["users"] if user["userPrincipalName"] == "anna@contoso.com"]
    assert (user["accountEnabled"], user["displayName"]) == (False, "anna")


def test_a_user_is_in_the_groups_of_its_groups_and_a_circle_ends() -> None:
    """Learn, "List a user's memberships (direct and transitive)"."""
    shop = Tenant()
    shop.graph["groups"] = [
        {"id": "A", "memberOf": ["B"]},
        {"id": "b", "memberOf": ["c", "a"]},
        {"id": "other", "memberOf": ["d"]},
    ]
    assert mail_directory.memberships(shop, {"memberOf": ["a", "r"]}) == ["a", "r", "b", "c"]
    assert mail_directory.memberships(shop, {}) == []


def test_graph_shows_the_memberships_of_a_user_in_pages_to_who_may_read_users() -> None:
    shop = Tenant()
    shop.graph["users"] = [{"id": "u-1", "userPrincipalName": "erp@contoso.com", "memberOf": ["a", "b", "c"]}]
    service = GraphService(shop)

    def asked(*roles: str, **parameters: str) -> Any:
        path = ("users", "u-1", "transitiveMemberOf")
        base = "https://graph.example/v1.0"
        return service.answer(Call("GET", path, parameters, {}, None, base, frozenset(roles))).body

    whole = asked("User.Read.All")
    assert sorted(row["id"] for row in whole["value"]) == ["a", "b", "c"]
    first = asked("User.Read.All", **{"$top": "2"})
    assert (len(first["value"]), "@odata.nextLink" in first) == (2, True)
    with pytest.raises(GraphError) as refused:
        asked("Policy.Read.All")
    assert refused.value.status == 403
