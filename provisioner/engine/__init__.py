"""Reading and applying: the only room that knows both resource types and ports.

`read` asks what all types want to know, each question once, concurrently. `apply` reads again what a change set rests
on, refuses if it has moved, carries out the steps of each change, and reads back until each change shows. Whoever
wants to watch (progress, journal) is told each event before and after the fact.

`reading`, `applying` with its parts (`openings`: what must be in force first; `waiting`: for DNS; `confirming`: reading
back) and `events`, what they tell; `journal` and `locking`.
"""

from __future__ import annotations

from provisioner.engine.applying import apply, resolve
from provisioner.engine.confirming import standing_of
from provisioner.engine.events import (
    ALREADY,
    DONE,
    FAILED,
    HELD_BACK,
    LEFT,
    SKIPPED,
    UNCONFIRMED,
    WAITING,
    Answered,
    Event,
    Finished,
    Observer,
    Outcome,
    Result,
    Sending,
    Started,
    Waiting,
)
from provisioner.engine.reading import ask, look, read, send, survey

__all__ = [
    "ALREADY",
    "DONE",
    "FAILED",
    "HELD_BACK",
    "LEFT",
    "SKIPPED",
    "UNCONFIRMED",
    "WAITING",
    "Answered",
    "Event",
    "Finished",
    "Observer",
    "Outcome",
    "Result",
    "Sending",
    "Started",
    "Waiting",
    "apply",
    "ask",
    "look",
    "read",
    "resolve",
    "send",
    "standing_of",
    "survey",
]
