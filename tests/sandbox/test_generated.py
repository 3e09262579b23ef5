"""Generated mailboxes: made when asked for, and not to be told from rows that are kept."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.cmdlets.mailbox import NOUN as MAILBOX
from provisioner.sandbox.cmdlets.running import NOUNS
from provisioner.sandbox.generated import USERS, chained
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Row, Tenant, user_names

ADMIN = Caller("admin", directory_roles=("Global Administrator",))
KINDS = ("Mailbox", "CASMailbox", USERS)


def seeded(*seeds: Any) -> Tenant:
    tenant = Tenant()
    for seed in seeds:
        tenant.merge(load_seed({"sandbox": 1, **seed}))
    return tenant


def many(count: int, **more: Any) -> dict[str, Any]:
    return {"mailboxes": [{"count": count, "domain": "contoso.com", **more}]}


def run(tenant: Tenant, name: str, **parameters: Any) -> list[Row]:
    return list(run_cmdlet(tenant, ADMIN, name, parameters).rows)


def addresses(tenant: Tenant, noun: str = "CASMailbox") -> list[str]:
    return sorted(row["PrimarySmtpAddress"] for row in run(tenant, f"Get-{noun}", ResultSize="Unlimited"))


def test_a_generated_row_has_the_columns_of_one_that_is_written_out() -> None:
    rule = seeded(many(2, type="SharedMailbox", smtp_client_authentication_disabled=True))
    listed = seeded({
        "mailboxes": [
            {"address": f"user0000{number}@contoso.com", "display_name": f"user 0000{number}",
             "type": "SharedMailbox", "smtp_client_authentication_disabled": True}
            for number in (1, 2)
        ]
    })  # fmt: skip
    of_its_own = {"Guid", "ExchangeObjectId", "ExternalDirectoryObjectId", "ExchangeGuid", "id"}
    dates = {"WhenChanged", "WhenCreated", "WhenChangedUTC", "WhenCreatedUTC"}
    for kind in KINDS:
        made, kept = list(rule.rows(kind)), list(listed.rows(kind))
        assert [list(row) for row in made] == [list(row) for row in kept]
        for one, other in zip(made, kept, strict=True):
            differing = {column for column in one if one[column] != other[column]}
            assert differing - dates == of_its_own & set(one)
    assert not listed.generated
    assert len(rule.generated) == 1


def test_every_name_of_a_mailbox_finds_it() -> None:
    tenant = seeded(many(120_000, prefix="User2"))
    for number in (1, 99_999, 100_000, 120_000):
        for kind in KINDS[:2]:
            row = tenant.generated[0].made(kind, number)
            for name in {str(name) for name in NOUNS[kind].all_names(row)}:
                assert tenant.named(kind, NOUNS[kind].all_names, name.swapcase()) == [row]
        user = tenant.generated[0].made(USERS, number)
        for name in map(str, user_names(user)):
            assert tenant.named(USERS, user_names, name) == [user]


@pytest.mark.parametrize("name", ["user00000@contoso.com", "user00004@contoso.com", "user1@contoso.com", "user", "1"])
def test_a_name_that_nobody_has_finds_nothing(name: str) -> None:
    tenant = seeded(many(3))
    assert tenant.named("Mailbox", MAILBOX.all_names, name) == []
    other = seeded(many(3, domain="fabrikam.com"))
    for row in other.rows("Mailbox"):
        assert tenant.named("Mailbox", MAILBOX.all_names, row["Guid"]) == []


def test_ids_are_those_of_one_mailbox() -> None:
    tenant = seeded({"mailboxes": [{"count": 3000, "domain": name} for name in ("contoso.com", "fabrikam.com")]})
    rows = list(tenant.rows("Mailbox"))
    ids = [row[column] for row in rows for column in ("Guid", "ExternalDirectoryObjectId", "ExchangeGuid")]
    assert len(set(ids)) == len(ids) == 18_000
    assert len({row["Name"] for row in rows}) == 6000  # a name that is taken has something behind it
    assert [user["id"] for user in tenant.rows(USERS)] == [row["ExternalDirectoryObjectId"] for row in rows]


def test_a_change_to_one_is_kept_and_survives_a_file() -> None:
    tenant = seeded(many(5000))
    run(tenant, "Set-CASMailbox", Identity="user00007@contoso.com", SmtpClientAuthenticationDisabled=True)
    tenant.update(USERS, tenant.named(USERS, user_names, "user00003@contoso.com")[0], {"jobTitle": "clerk"})
    written = json.dumps(tenant.to_json())
    assert len(written) < 40_000
    again = Tenant()
    again.load_json(json.loads(written))
    for found in (tenant, again):
        assert run(found, "Get-CASMailbox", Identity="user00007")[0]["SmtpClientAuthenticationDisabled"] is True
        rows = run(found, "Get-CASMailbox", ResultSize="Unlimited")
        assert [r["Name"] for r in rows if r["SmtpClientAuthenticationDisabled"] is True] == ["user00007"]
        assert found.named(USERS, user_names, "user00003@contoso.com")[0]["jobTitle"] == "clerk"
        assert len(rows) == 5000
    assert again.to_json() == tenant.to_json()


def test_a_removed_mailbox_is_gone_from_every_list() -> None:
    tenant = seeded(many(4))
    for number in (1, 3):
        for kind in KINDS[:2]:
            row = tenant.named(kind, MAILBOX.all_names, f"user0000{number}@contoso.com")[0]
            tenant.remove(kind, row)
    assert addresses(tenant) == addresses(tenant, "Mailbox") == ["user00002@contoso.com", "user00004@contoso.com"]
    assert len(tenant.rows("Mailbox")) == 2
    with pytest.raises(CmdletError):
        run(tenant, "Get-Mailbox", Identity="user00003")
    again = Tenant()
    again.load_json(json.loads(json.dumps(tenant.to_json())))
    again.remove("Mailbox", again.rows("Mailbox")[0])
    assert [row["Name"] for row in again.rows("Mailbox")] == ["user00004"]


def test_reads_see_a_change_after_the_lag() -> None:
    tenant = seeded({**many(4), "lag_s": 60, "settings": {"shuffle": False}})
    run(tenant, "Set-CASMailbox", Identity="user00002", PopEnabled=False)
    tenant.remove("CASMailbox", tenant.named("CASMailbox", MAILBOX.all_names, "user00003")[0])
    seen = [(row["Name"], row["PopEnabled"]) for row in run(tenant, "Get-CASMailbox")]
    assert sorted(seen) == [(f"user0000{number}", True) for number in (1, 2, 3, 4)]
    assert run(tenant, "Get-CASMailbox", Identity="user00002")[0]["PopEnabled"] is True
    tenant.clock.advance(61)
    later = {row["Name"]: row["PopEnabled"] for row in run(tenant, "Get-CASMailbox")}
    assert later == {"user00001": True, "user00002": False, "user00004": True}


def test_a_seed_changes_single_ones() -> None:
    one = {"address": "user00002@contoso.com", "smtp_client_authentication_disabled": False}
    tenant = seeded({"mailboxes": [*many(3)["mailboxes"], one, "else@contoso.com"]})
    assert addresses(tenant) == addresses(tenant, "Mailbox")
    assert len(addresses(tenant)) == len(tenant.rows(USERS)) == 4
    found = {row["Name"]: row["SmtpClientAuthenticationDisabled"] for row in run(tenant, "Get-CASMailbox")}
    assert found == {"user00001": None, "user00002": False, "user00003": None, "else": None}
    tenant.merge(
        load_seed({"sandbox": 1, "graph": {"users": [{"userPrincipalName": "USER00001@contoso.com", "x": 1}]}})
    )
    users = [user for user in tenant.rows(USERS) if user["userPrincipalName"].lower() == "user00001@contoso.com"]
    assert [user["x"] for user in users] == [1]
    assert users[0]["displayName"] == "user 00001"


def test_mailboxes_that_there_are_stay() -> None:
    there: dict[str, Any] = {
        "mailboxes": [{"address": "user00002@contoso.com", "smtp_client_authentication_disabled": True}],
        "graph": {"users": [{"userPrincipalName": "user00003@contoso.com", "jobTitle": "clerk"}]},
    }
    expected = [f"user0000{number}@contoso.com" for number in (1, 2, 3, 4)]
    for tenant in (
        seeded(there, many(4)),
        seeded({**there, "mailboxes": [*there["mailboxes"], *many(4)["mailboxes"]]}),
    ):
        assert addresses(tenant) == addresses(tenant, "Mailbox") == expected
        assert run(tenant, "Get-CASMailbox", Identity="user00002")[0]["SmtpClientAuthenticationDisabled"] is True
        ids = {row["PrimarySmtpAddress"]: row["ExternalDirectoryObjectId"] for row in tenant.rows("Mailbox")}
        assert {str(user["userPrincipalName"]): user["id"] for user in tenant.rows(USERS)} == ids
        assert tenant.named(USERS, user_names, "user00003@contoso.com")[0]["jobTitle"] == "clerk"


def test_the_same_rule_twice_is_the_same_mailboxes() -> None:
    tenant = seeded(many(3), many(5), many(2, domain="fabrikam.com"), many(1, prefix="user0000"))
    assert len(addresses(tenant)) == len(set(addresses(tenant))) == len(tenant.rows(USERS)) == 8
    assert len({row["Name"] for row in tenant.rows("Mailbox")}) == 8


def test_a_dump_has_the_rows_of_a_usual_tenant() -> None:
    tenant = seeded(many(3))
    run(tenant, "Set-CASMailbox", Identity="user00001", PopEnabled=False)
    dump = json.loads(json.dumps(tenant.to_rows()))
    assert [row["PopEnabled"] for row in dump["objects"]["CASMailbox"]] == [False, True, True]
    again = Tenant()
    again.merge(load_seed(dump))
    assert again.to_rows()["objects"] == tenant.to_rows()["objects"]
    assert len(again.rows(USERS)) == 3
    assert seeded(many(20_000)).to_rows()["objects"]["CASMailbox"] == []


def test_each_row_of_a_listing_comes_once_in_another_order_each_time() -> None:
    tenant = seeded({"mailboxes": ["else@contoso.com", *many(2999)["mailboxes"]]})
    first, second = run(tenant, "Get-Mailbox", ResultSize="Unlimited"), run(tenant, "Get-Mailbox")
    assert len({row["Guid"] for row in first}) == len(first) == 3000
    assert len({row["Guid"] for row in second}) == len(second) == 1000
    assert [row["Guid"] for row in first[:1000]] != [row["Guid"] for row in second]


def test_lists_can_be_cut_and_joined() -> None:
    rows = chained([{"n": 0}], [{"n": 1}, {"n": 2}], [])
    assert [row["n"] for row in rows] == [0, 1, 2]
    assert [row["n"] for row in rows[1:]] == [1, 2]
    assert rows[-1] == {"n": 2}
    assert [row["n"] for row in rows.turned(2, 1)] == [1, 0, 2]
    assert not chained()
    assert list(chained()) == []


def test_a_million_mailboxes_are_not_held() -> None:
    tracemalloc.start()
    try:
        tenant = seeded(many(1_000_000))
        result = run_cmdlet(tenant, ADMIN, "Get-CASMailbox", {"ResultSize": "Unlimited"})
        page = list(result.rows[999_000:])
        run(tenant, "Set-CASMailbox", Identity="user999999", PopEnabled=False)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(result.rows) == 1_000_000
    assert len({row["Guid"] for row in page}) == 1000
    assert held < 8_000_000
    assert len(json.dumps(tenant.to_json())) < 40_000
