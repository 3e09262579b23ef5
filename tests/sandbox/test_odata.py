"""Filters over raw rows: what they match, and how what Graph does not take is refused."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.odata import BadFilter, UnsupportedFilter, parse_filter

KNOWN = frozenset(
    {"id", "mail", "userPrincipalName", "accountEnabled", "assignedLicenses", "proxyAddresses", "jobTitle"}
)
FILTERABLE = KNOWN - {"jobTitle"}
SKU = "06ebc4ee-1bb5-47dd-8120-11324bc54e06"
ROWS: list[dict[str, Any]] = [
    {"id": "1", "mail": "Ann@contoso.com", "userPrincipalName": "ann@contoso.com", "accountEnabled": True,
     "assignedLicenses": [{"skuId": SKU}], "proxyAddresses": ["SMTP:ann@contoso.com", "smtp:a@fabrikam.com"]},
    {"id": "2", "mail": None, "userPrincipalName": "bob.o'hara@contoso.com", "accountEnabled": False,
     "assignedLicenses": []},
    {"id": "3", "mail": "cid@fabrikam.com", "userPrincipalName": "cid@fabrikam.com", "accountEnabled": True},
]  # fmt: skip


def matching(text: str, *, advanced: bool = False) -> list[str]:
    predicate = parse_filter(text, known=KNOWN, filterable=FILTERABLE, advanced=advanced)
    return [str(row["id"]) for row in ROWS if predicate(row)]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("mail eq 'ann@CONTOSO.com'", ["1"]),
        ("mail eq null", ["2"]),
        ("userPrincipalName eq 'bob.o''hara@contoso.com'", ["2"]),
        ("accountEnabled eq false", ["2"]),
        ("startswith(userPrincipalName,'A') or startsWith(mail, 'cid')", ["1", "3"]),
        ("id in ('1','3')", ["1", "3"]),
        ("accountEnabled eq true and (id eq '2' or id eq '3')", ["3"]),
        ("accountEnabled eq true and id eq '3' or id eq '2'", ["2", "3"]),
        (f"assignedLicenses/any(x:x/skuId eq {SKU})", ["1"]),
        ("proxyAddresses/any(p:startswith(p,'smtp:a@fab'))", ["1"]),
    ],
)
def test_filters_match_rows(text: str, ids: list[str]) -> None:
    assert matching(text) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("endswith(mail,'@fabrikam.com')", ["3"]),
        ("mail ne null", ["1", "3"]),
        ("not startswith(mail,'a')", ["2", "3"]),
        ("assignedLicenses/$count eq 0", ["2", "3"]),
        ("assignedLicenses/$count ne 0", ["1"]),
    ],
)
def test_some_operators_need_advanced_query_capabilities(text: str, ids: list[str]) -> None:
    assert matching(text, advanced=True) == ids
    with pytest.raises(UnsupportedFilter, match=r"is not supported"):
        matching(text)


def test_the_refusal_of_endswith_names_the_parameters_that_lack() -> None:
    """Learn, "Advanced query capabilities on Microsoft Entra ID objects", "Error handling"."""
    with pytest.raises(UnsupportedFilter) as refused:
        matching("endswith(mail,'@fabrikam.com')")
    assert str(refused.value) == (
        "Operator 'endsWith' is not supported because the required parameters might be missing. Try adding $count=true "
        "query parameter and ConsistencyLevel:eventual header. Refer to https://aka.ms/graph-docs/advanced-queries for "
        "more information"
    )


@pytest.mark.parametrize(
    "text",
    ["", "mail eq", "mail eq 'x", "mail 'x'", "(mail eq 'x'", "mail eq 'x' id eq '1'", "mail eq x", "id in ()", "#"],
)
def test_what_does_not_parse_is_a_bad_filter(text: str) -> None:
    with pytest.raises(BadFilter, match="Syntax error at position"):
        matching(text)


def test_unknown_and_unfilterable_properties_are_told_apart() -> None:
    with pytest.raises(BadFilter, match="Could not find a property named 'mial'"):
        matching("mial eq 'x'")
    with pytest.raises(UnsupportedFilter, match="'jobTitle'"):
        matching("jobTitle eq 'x'")


def test_more_than_fifteen_values_are_refused() -> None:
    values = ",".join(f"'{number}'" for number in range(16))
    with pytest.raises(UnsupportedFilter, match="Too many child clauses"):
        matching(f"id in ({values})")
