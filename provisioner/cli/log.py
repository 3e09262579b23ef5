"""The log of a run: one record for each request, wait and result, for a file or a collector.

A record tells what was asked of whom, how it ended and how long it took: never a parameter, a filter or a secret. All
records of a run have its id, and that of the trace it belongs to where the caller names one (TRACEPARENT, W3C Trace
Context, 3.2).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioner import platforms
from provisioner.border import leads_out
from provisioner.cli.tally import Tally
from provisioner.diagnostics import Diagnostic, InputError, TenantError
from provisioner.engine import Event, Finished, HeldBack, LockAwaited, Responded, Retrying, SlowedDown
from provisioner.model import AnyRequest, Cmdlet, DnsQuery, DnsUpdate, GraphRequest, PolicyQuery, ZoneQuery
from provisioner.render.escape import json_text, visible

FORMATS = ("text", "json")

_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NAMES = re.compile(r"/[^/]*[@'%][^/]*")
"""Parts of a Graph path that name a person or an object."""


@dataclass(slots=True)
class Log:
    """An observer. `write` takes one line, `moment` tells the time of a record, `hosts` whom a kind of request asks."""

    write: Callable[[str], None]
    moment: Callable[[], str]
    format: str = "text"
    hosts: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    trace: str = ""
    _retries: Counter[int] = field(default_factory=Counter)

    def observe(self, event: Event) -> None:
        match event:
            case Retrying(request, seconds, error):
                self._retries[id(request)] += 1
                self._record(
                    "retry", **asked(request), outcome=error.kind, status=error.status, waits_s=round(seconds, 3)
                )
            case SlowedDown(service, at_once, per_s, quiet_s):
                pace = {"at_once": at_once, "per_s": None if per_s is None else round(per_s, 1)}
                self._record("slowdown", service=service, **pace, quiet_s=round(quiet_s, 3))
            case LockAwaited(holder):
                self._record("lock", holder=holder)
            case Responded(request, answer, seconds):
                facts = {**asked(request), "host": host_of(request, self.hosts)}
                retries = self._retries.pop(id(request), 0)
                self._record("request", **facts, **_ended(answer), duration_s=round(seconds, 3), retries=retries)
            case HeldBack(change, missing):
                self._record("held_back", address=str(change.address), waits_for=list(missing))
            case Finished(result):
                self._record("change", address=str(result.address), action=result.action.value, status=result.status)

    def end(self, code: int, tally: Tally, seconds: float) -> None:
        """The last record: how the run ended, and what it cost."""
        counts = {**dataclasses.asdict(tally), "waited_s": round(tally.waited_s, 3)}
        self._record("end", exit_code=code, duration_s=round(seconds, 3), **counts)

    def _record(self, kind: str, **facts: Any) -> None:
        record = {"time": self.moment(), "run": self.run, **({"trace": self.trace} if self.trace else {}), "kind": kind}
        record |= {name: value for name, value in facts.items() if value not in ("", [], None)}
        if self.format == "json":
            self.write(json_text(record, indent=None))
        else:
            words = (f"{name}={value}" for name, value in record.items() if name not in ("time", "kind"))
            self.write(visible(f"{record['time']} {kind} {' '.join(words)}"))


def asked(request: AnyRequest) -> dict[str, str]:
    """What is asked, without parameters, filters and the names in a path."""
    match request:
        case Cmdlet(name=name):
            return {"cmdlet": name}
        case GraphRequest(method=method, path=path):
            return {"method": method, "path": _NAMES.sub("/…", path.partition("?")[0])}
        case DnsQuery(name=name, type=kind):
            return {"dns": f"{name} {kind}"}
        case ZoneQuery(name=name, type=kind):
            return {"dns": f"{name} {kind}", "authoritative": "yes"}
        case DnsUpdate(name=name, type=kind):
            return {"dns": f"{name} {kind}", "opcode": "UPDATE"}
        case PolicyQuery():
            return {"method": "GET", "path": "/.well-known/mta-sts.txt"}


def host_of(request: AnyRequest, hosts: Mapping[str, str]) -> str:
    """The host that a request goes to; `hosts` are those of the profile, by kind of request."""
    return request.host if isinstance(request, PolicyQuery) else hosts.get(type(request).__name__, "")


def _ended(answer: Any) -> dict[str, Any]:
    if isinstance(answer, TenantError):
        return {"outcome": answer.kind, "status": answer.status, "request_ids": [answer.request_id or ""][:1]}
    ids = [id_ for id_ in answer.request_ids if id_]
    return {"outcome": "ok", "rows": len(answer.rows), "pages": answer.requests, "request_ids": ids}


def trace_of(environment: Mapping[str, str] = os.environ) -> str:
    """The id of the caller's trace; "" where it names none, or not in the form of the standard."""
    found = _TRACE.fullmatch(environment.get("TRACEPARENT", ""))
    return found[1] if found else ""


def appending(path: Path) -> Callable[[str], None]:
    """A writer of lines to the end of a file that its owner alone may read. Raises InputError where that fails.

    A line that cannot be written later is left out: unlike the journal, nothing rests on it.
    """
    try:
        if leads_out(path) or (path.is_symlink() and leads_out(path / "x")):
            raise OSError(0, "a link of the checkout leads out of it", str(path))
        os.close(platforms.descriptor(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    except OSError as error:
        what = f"--log-file {path} cannot be written: {error.strerror or error}"
        raise InputError([Diagnostic("LOG-WRITE", what, "choose another place")]) from error

    def write(line: str) -> None:
        with contextlib.suppress(OSError), path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{line}\n")

    return write
