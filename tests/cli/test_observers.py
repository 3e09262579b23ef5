"""Who follows a run on standard error: the notes and the line of progress, by the events that they are told."""

from __future__ import annotations

import pytest

from provisioner import engine
from provisioner.cli.notes import notes
from provisioner.cli.progress import Progress
from provisioner.diagnostics import Throttled, Unavailable
from provisioner.model import Action, Address, Answer, Change, Cmdlet, DnsQuery, GraphRequest

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


# --- progress --------------------------------------------------------------------------------------------------------

CHANGE = Change(Address("dkim", "contoso.com"), Action.CREATE, None, None)
SIGN_IN = GraphRequest("GET", "/organization?$select=id,verifiedDomains")


class Terminal:
    """What stands on a line of progress while a clock of the test's own goes on."""

    def __init__(self) -> None:
        self.now, self.line = 0.0, ""
        self.progress = Progress(self._write, lambda: 100, now=lambda: self.now, ticking=False)

    def _write(self, text: str) -> None:
        assert text.startswith("\r\x1b[2K"), "each line takes the place of the last"
        self.line = text.removeprefix("\r\x1b[2K")

    def after(self, seconds: float, *events: engine.Event) -> str:
        for event in events:
            self.progress.observe(event)
        self.now += seconds
        self.progress.tick()
        return self.line


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (engine.Requested(SIGN_IN), "Signing in (2 s)"),
        (engine.ReadingStarted((GET, MX)), "Reading the tenant 0/2 (2 s)"),
        (engine.ReadingStarted((GET,), engine.READING_BACK), "Confirming the changes 0/1 (2 s)"),
        (engine.LockAwaited("ada on build7"), "Waiting for the lock: ada on build7 (2 s)"),
        (
            engine.Waiting(CHANGE, "publish", 10.0, 50.0),
            'dkim["contoso.com"]: waiting for DNS, for up to 50 s more (2 s)',
        ),
        (
            engine.Confirming(CHANGE, "", 9.0),
            'dkim["contoso.com"]: waiting until the tenant shows it, for up to 9 s more (2 s)',
        ),
        (
            engine.Retrying(GET, 4.2, Throttled("slow\x1b[2J down", "Get-CASMailbox")),
            "Waiting 4 s before another attempt (slow [2J down) (2 s)",
        ),
        (engine.Started(CHANGE), 'dkim["contoso.com"]: create is being carried out (2 s)'),
    ],
)
def test_every_wait_of_more_than_a_second_has_its_line(event: engine.Event, words: str) -> None:
    terminal = Terminal()
    assert terminal.after(0.9, event) == "", "what is over sooner is not worth a line"
    assert terminal.after(1.1) == words


def test_a_wait_that_is_told_again_goes_on_from_its_beginning() -> None:
    terminal = Terminal()
    terminal.after(5, engine.Waiting(CHANGE, "publish", 0.0, 60.0))
    assert terminal.after(3, engine.Waiting(CHANGE, "publish", 5.0, 55.0)).endswith("for up to 55 s more (8 s)")


def test_reading_is_counted_and_goes_when_it_is_done() -> None:
    terminal = Terminal()
    terminal.after(2, engine.ReadingStarted((GET, MX)))
    assert terminal.after(0, engine.Responded(MX, Answer(), 0.0), engine.Responded(MX, Answer(), 0.0)) == (
        "Reading the tenant 1/2 (2 s)"
    ), "another's request is not counted"
    assert terminal.after(5, engine.ReadingFinished((GET, MX), 1)) == "", "also where a request was never answered"


def test_the_line_goes_before_other_words_and_at_the_end() -> None:
    terminal = Terminal()
    assert terminal.after(2, engine.Started(CHANGE))
    terminal.progress.hide()
    assert terminal.line == ""
    assert terminal.after(1), "what goes on is shown again"
    terminal.progress.close()
    assert (terminal.line, terminal.after(5)) == ("", "")


def test_what_is_waited_for_ends_with_its_answer() -> None:
    terminal = Terminal()
    assert terminal.after(2, engine.Requested(SIGN_IN))
    assert terminal.after(5, engine.Responded(SIGN_IN, Answer(), 2.0)) == ""
