"""Notes on the way, on standard error: what a run waits for, and with `-v` and `-vv` every request as it is answered.

Secrets stand in parameters as references.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from provisioner.changes.changeset import parameters_document
from provisioner.diagnostics import TenantError
from provisioner.engine import Event, LockAwaited, Observer, Responded, Retrying, SlowedDown
from provisioner.model import Cmdlet, DnsQuery, PolicyQuery


def notes(note: Callable[[str], None], verbose: int, retry_s: Callable[[], float] = lambda: 0.0) -> Observer:
    """An observer that writes notes. `verbose` above 0 asks for each request, above 1 with its parameters.

    `retry_s` is how long one request is tried at most, 0 where that is not known.
    """

    def observe(event: Event) -> None:
        match event:
            case Retrying(request, seconds, error):
                limit = f", for up to {retry_s():.0f} s in all" if retry_s() else ""
                note(f"{request}: {error.summary}; trying again in {seconds:.0f} s{limit}")
            case LockAwaited(holder):
                note(f"Waiting for {holder}")
            case SlowedDown() if verbose:
                note(_slower(event))
            case Responded() if verbose:
                for line in _lines(event, verbose):
                    note(line)

    return observe


def _lines(event: Responded, verbose: int) -> Iterator[str]:
    yield f"{event.request}: {_words(event)}, {event.seconds:.2f} s"
    if verbose < 2:
        return
    if isinstance(event.request, Cmdlet) and event.request.parameters:
        yield f"  {json.dumps(parameters_document(event.request), ensure_ascii=False)}"
    if not isinstance(event.answer, TenantError):
        yield from (f"  request {id_}" for id_ in event.answer.request_ids if id_)


def _slower(event: SlowedDown) -> str:
    rate = f", {event.per_s:.1f} a second" if event.per_s is not None else ""
    quiet = f" after {event.quiet_s:.0f} s" if event.quiet_s else ""
    return f"{event.service} asks for fewer requests: at most {event.at_once} at once{rate}{quiet}"


def _words(event: Responded) -> str:
    """What an answer is, in a few words."""
    answer, dns = event.answer, isinstance(event.request, DnsQuery)
    if isinstance(answer, TenantError):
        return answer.summary if dns else f"{answer.kind}: {answer}"
    if isinstance(event.request, PolicyQuery):
        return f"HTTP {answer.status}"
    pages = f" in {answer.requests} pages" if answer.requests > 1 else ""
    return f"{len(answer.rows)} {'records' if dns else 'rows'}{pages}"
