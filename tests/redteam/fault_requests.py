"""The requests of a run without a fault, how a fault finds each of them again, and which of them are of one class.

Requests run side by side, so that the n-th of a run is not always the same: a fault goes by what it is (the cmdlet, the
path, the verb of WS-Management with a cmdlet of its pipeline) and by how many of these there were before.

Two requests are of one class if nothing but the object that they are about tells them apart: the same cmdlet with the
same parameters and switches, or the same verb for a pipeline that reads, sets or creates, at the same place in the run.
For what comes instead of an answer (`broad`) all reads of a front at a place are of one class, all settings, and so
on.
Requests of Graph and of the sign-in are the same with both transports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Entry = Mapping[str, Any]
"""A request in the sandbox's log."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of a run. `match` and `number` are for the fault; `kind` and `place` say of which class it is."""

    front: str
    name: str
    match: tuple[tuple[str, str], ...]
    number: int
    kind: str
    broad: str
    place: str

    def __str__(self) -> str:
        return f"{self.front} {self.name}, number {self.number}"


def asked_in(log: Sequence[Entry]) -> list[Asked]:
    """The requests of a log, each with its place: reads by the first and the last write, writes by whether they are
    the last of their kind."""
    found = []
    writes = [n for n, entry in enumerate(log) if entry["front"] in ("exchange", "psrp") and entry["write"]]
    kinds = [_kind(entry) for entry in log]
    for n, entry in enumerate(log):
        match = _match(entry)
        number = sum(_takes(match, entry["front"], other) for other in log[:n])
        if _writes(entry):
            place = "last" if kinds[n] not in kinds[n + 1 :] else "earlier"
        else:
            place = "before" if not writes or n < writes[0] else "between" if n < writes[-1] else "after"
        found.append(Asked(entry["front"], _name(entry), tuple(match.items()), number, kinds[n], _broad(entry), place))
    assert all(a != b for a, b in pairwise(sorted(found, key=str)))
    return found


def _writes(entry: Entry) -> bool:
    return bool(entry["write"]) or not all(name.startswith("Get-") for name in entry.get("runs", ()))


def _name(entry: Entry) -> str:
    if entry["front"] == "wsman":
        runs = entry.get("runs", ())
        return f"{entry['method']} of {runs[0]}" if runs else str(entry["method"])
    return str(entry["cmdlet"] or entry["path"].partition("?")[0].rpartition("/")[2])


def _match(entry: Entry) -> dict[str, str]:
    """What a fault matches, so that it finds this request."""
    match entry["front"], entry.get("runs"):
        case "wsman", [first, *_]:
            return {"method": entry["method"], "cmdlet": first}
        case "wsman", _:
            return {"method": entry["method"]}
        case _:
            return {"cmdlet": entry["cmdlet"]} if entry["cmdlet"] else {"path": "/" + _name(entry)}


def _takes(match: Mapping[str, str], front: str, entry: Entry) -> bool:
    """Whether a fault would have matched a request."""
    return (
        entry["front"] == front
        and match.get("method", entry["method"]) == entry["method"]
        and match.get("path", "") in entry["path"]
        and ("cmdlet" not in match or match["cmdlet"] in (entry["cmdlet"], *entry.get("runs", ())))
    )


def _kind(entry: Entry) -> str:
    if entry["front"] == "wsman":
        return f"{entry['method']}{_pipeline(entry.get('runs', ()))}"
    parameters = entry["parameters"] or {}
    return " ".join([_name(entry), *sorted(_switch(name, value) for name, value in parameters.items())])


def _broad(entry: Entry) -> str:
    match entry["front"]:
        case "wsman":
            return _kind(entry)
        case "exchange" | "psrp" if entry["cmdlet"]:
            return str(entry["cmdlet"]).partition("-")[0].replace("Add", "New")
        case _:
            return "$batch" if entry["path"].endswith("$batch") else ""


def _pipeline(runs: Sequence[str]) -> str:
    """What a pipeline does: reads, settings that may be sent again, or what must not happen twice."""
    if not runs:
        return ""
    verbs = {name.partition("-")[0] for name in runs}
    return " of reads" if verbs == {"Get"} else " of settings" if verbs <= {"Get", "Set"} else " of creations"


def _switch(name: str, value: object) -> str:
    return f"{name}={value}" if isinstance(value, bool) else name


def classes(
    requests: Mapping[tuple[str, str], Sequence[Asked]], *, broad: bool
) -> Iterator[list[tuple[str, str, Asked]]]:
    """The classes of the requests of each command and transport, by their members."""
    found: dict[tuple[str, ...], list[tuple[str, str, Asked]]] = {}
    for (command, transport), each in requests.items():
        for asked in each:
            way = "" if asked.front in ("graph", "entra") else transport
            key = command, way, asked.front, asked.broad if broad else asked.kind, asked.place
            found.setdefault(key, []).append((command, transport, asked))
    return iter(found.values())
