"""Where the rotation of a domain's keys stands, by recorded rows and by the forms of their dates."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from provisioner.resources.rows.dkim_rotation import Rotation, decode
from tests.resources.recorded import snapshots

DUE = dt.datetime(2026, 7, 18, 18, 59, 8, 654654, dt.UTC)
ROW = {
    "Domain": "contoso.com",
    "Enabled": True,
    "Selector1KeySize": 1024,
    "Selector2KeySize": 2048,
    "Selector1CNAME": "selector1-contoso-com._domainkey.contoso.a-v1.dkim.mail.microsoft",
    "Selector2CNAME": "selector2-contoso-com._domainkey.contoso.a-v1.dkim.mail.microsoft.",
    "KeyCreationTime": "2026-07-14T18:59:08.6546544Z",
    "RotateOnDate": "2026-07-18T18:59:08.6546544",
    "SelectorBeforeRotateOnDate": "selector1",
    "SelectorAfterRotateOnDate": "selector2",
}


def at(now: dt.datetime, **columns: Any) -> Rotation:
    found = decode([{**ROW, **columns}], "Contoso.com", now)
    assert found is not None
    return found


def test_the_old_selector_signs_until_the_day_and_the_new_one_from_then_on() -> None:
    before, after = at(DUE - dt.timedelta(seconds=1)), at(DUE)
    assert (before.signing, before.next, before.pending, before.resting) == (
        "selector1",
        "selector2",
        True,
        "selector2",
    )
    assert (after.signing, after.pending, after.resting) == ("selector2", False, "selector1")
    assert before.due == DUE
    assert before.key_sizes == {"selector1": 1024, "selector2": 2048}
    assert before.targets["selector2"].endswith(".microsoft")


def test_a_date_of_an_export_is_read_too() -> None:
    assert at(DUE, RotateOnDate="/Date(1784401148654)/").due == DUE.replace(microsecond=654000)


@pytest.mark.parametrize(
    "columns",
    [
        {"RotateOnDate": None},
        {"KeyCreationTime": "soon"},
        {"KeyCreationTime": "/Date(99999999999999999)/"},
        {"SelectorBeforeRotateOnDate": ""},
        {"SelectorAfterRotateOnDate": "selector3"},
        {"Enabled": None},
    ],
    ids=str,
)
def test_a_row_that_does_not_tell_is_no_answer(columns: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="did not return"):
        at(DUE, **columns)


def test_a_domain_without_a_configuration_has_none_and_two_are_no_answer() -> None:
    assert decode([ROW], "fabrikam.com", DUE) is None
    with pytest.raises(ValueError, match="2 configurations"):
        decode([ROW, ROW], "contoso.com", DUE)


@pytest.mark.parametrize("rows", snapshots("dkim_config"))
def test_recorded_rows_tell_which_selector_signs(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        found = decode(rows, row["Domain"], DUE)
        assert found is not None
        assert found.due >= found.created
        assert found.signing != found.resting
