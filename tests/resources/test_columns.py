"""The columns that the queries name are all that is decoded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from provisioner.model import Answer, Cmdlet, GraphRequest, Query, ResourceType, ZoneQuery
from provisioner.resources import TYPES
from provisioner.sandbox.exports import rows_of
from tests.recordings import load
from tests.resources.recorded import SNAPSHOTS, rows

OURS = {
    "Get-InboundConnector": "inbound-connectors",
    "Get-OutboundConnector": "outbound-connectors",
    "Get-DkimSigningConfig": "dkim-configs",
    "Get-AcceptedDomain": "accepted-domains",
    "Get-CASMailbox": "cas-mailboxes",
    "GET /domains": "domains",
}
KEYS = {
    "Get-InboundConnector": "inbound_connectors",
    "Get-OutboundConnector": "outbound_connectors",
    "Get-DkimSigningConfig": "dkim_config",
    "Get-HostedConnectionFilterPolicy": "conn_filter",
    "Get-RemoteDomain": "remote_domains",
}


def listings(kind: ResourceType[Any]) -> Sequence[Query]:
    return kind.queries(dict.fromkeys(kind.singletons), True)


def answers_of(kind: ResourceType[Any]) -> Iterator[list[tuple[Query, Answer]]]:
    """Our own rows as the answers to the listings of a type; a second listing of a cmdlet has none."""
    given: list[tuple[Query, Answer]] = []
    for query in listings(kind):
        known = {str(q.request) for q, _ in given}
        name = OURS.get(str(query.request))
        given.append((query, Answer(tuple(rows(name)) if name and str(query.request) not in known else ())))
    if any(answer.rows for _, answer in given):
        yield given


def cut(query: Query, found: Sequence[Mapping[str, Any]]) -> Answer:
    request = query.request
    assert isinstance(request, Cmdlet | GraphRequest)
    assert request.columns
    return Answer(tuple({n: v for n, v in row.items() if n in request.columns} for row in found))


def told(kind: ResourceType[Any], wanted: Any, answers: Sequence[tuple[Query, Answer]]) -> dict[str, Any]:
    """Every field of what is decoded, those that count in no comparison too."""
    return {key: dataclasses.asdict(spec) for key, spec in kind.decode(wanted, answers).items()}


def test_every_query_names_its_columns() -> None:
    for kind in TYPES:
        wanted = dict.fromkeys([*kind.singletons, "erp@contoso.com as invoices@contoso.com", "a@contoso.com"])
        for query in kind.queries(wanted, True):
            if isinstance(query.request, ZoneQuery):  # a zone's records have no columns
                continue
            assert isinstance(query.request, Cmdlet | GraphRequest)
            assert query.request.columns, query.request


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_nothing_else_is_decoded_of_our_rows(kind: ResourceType[Any]) -> None:
    for given in answers_of(kind):
        wanted = dict.fromkeys(kind.singletons)
        reduced = [(query, cut(query, answer.rows)) for query, answer in given]
        assert told(kind, wanted, reduced) == told(kind, wanted, given)


@pytest.mark.parametrize("file", SNAPSHOTS)
@pytest.mark.parametrize("cmdlet", sorted(KEYS))
def test_nothing_else_is_decoded_of_recorded_rows(cmdlet: str, file: Any) -> None:
    found = rows_of(load(file).get(KEYS[cmdlet]))
    (kind,) = (t for t in TYPES if any(str(q.request) == cmdlet for q in listings(t)))
    query = next(q for q in listings(kind) if str(q.request) == cmdlet)
    whole = told(kind, {}, [(query, Answer(tuple(found)))])
    assert told(kind, {}, [(query, cut(query, found))]) == whole
    assert len(whole) == len(found)
