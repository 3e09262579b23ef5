"""Who follows a run on standard error: the notes and the bar, by the events that they are told."""

from __future__ import annotations

import pytest

from provisioner import engine
from provisioner.cli import progress
from provisioner.cli.notes import notes
from provisioner.cli.progress import Progress
from provisioner.diagnostics import Throttled, Unavailable
from provisioner.model import Action, Address, Answer, Change, Cmdlet, DnsQuery

GET = Cmdlet("Get-CASMailbox", {"Identity": "a\x1b[2J@x.com"})
MX = DnsQuery("contoso.com", "MX")
EVENTS: tuple[engine.Event, ...] = (
    engine.Retrying(GET, 4.2, Throttled("slow down", "Get-CASMailbox")),
    engine.LockAwaited("ada on build7"),
    engine.SlowedDown("Exchange", 4, 19.41, 1.0),
    engine.SlowedDown("Graph", 2, None, 0.0),
    engine.Responded(GET, Answer(({}, {}), request_ids=("r-1",), requests=2), 0.5),
    engine.Responded(GET, Throttled("slow down", "Get-CASMailbox"), 0.25),
    engine.Responded(MX, Answer(({"value": "10 mx.example"},)), 0.125),
    engine.Responded(MX, Unavailable("SERVFAIL", str(MX)), 0.0),
)


def said(verbose: int) -> list[str]:
    lines: list[str] = []
    observe = notes(lines.append, verbose)
    for event in EVENTS:
        observe(event)
    return lines


def test_what_a_run_waits_for_is_always_noted() -> None:
    assert said(0) == ["Get-CASMailbox: slow down; trying again in 4 s", "Waiting for ada on build7"]


def test_each_request_is_noted_once_it_is_answered() -> None:
    assert said(1)[2:] == [
        "Exchange asks for fewer requests: at most 4 at once, 19.4 a second after 1 s",
        "Graph asks for fewer requests: at most 2 at once",
        "Get-CASMailbox: 2 rows in 2 pages, 0.50 s",
        "Get-CASMailbox: throttled: Get-CASMailbox: slow down, 0.25 s",
        "contoso.com MX: 1 records, 0.12 s",
        "contoso.com MX: SERVFAIL, 0.00 s",
    ]


def test_parameters_and_request_ids_are_noted_where_all_is_asked_for_and_escaped() -> None:
    lines = said(2)[4:8]
    assert lines[1] == '  {"Identity": "a\\u001b[2J@x.com"}'
    assert lines[2] == "  request r-1"


def test_a_bar_appears_while_the_tenant_is_read_and_goes_when_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    bar = Progress(color=False)
    bar.observe(engine.ReadingStarted((GET, MX)))
    assert bar._bar is None, "nothing is answered yet"
    bar.observe(engine.Responded(MX, Answer(), 0.0))
    bar.observe(engine.Responded(MX, Answer(), 0.0))
    assert bar._bar is not None
    assert [(t.completed, t.total) for t in bar._bar.tasks] == [(1, 2)], "another's request is not counted"
    bar.observe(engine.ReadingFinished((GET, MX), 1))
    assert bar._bar is None, "also where a request was never answered"


def test_no_bar_comes_between_the_lines_of_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    bar = Progress(color=False)
    bar.observe(engine.Started(Change(Address("dkim", "contoso.com"), Action.CREATE, None, None)))
    bar.observe(engine.ReadingStarted((GET,), engine.READING_BACK))
    bar.observe(engine.Responded(GET, Answer(), 0.0))
    assert bar._bar is None
