"""Reading and applying: the only package that knows both resource types and ports.

`read` asks the questions of all types, each of them once, concurrently. `apply` reads again what a change set rests on,
refuses if it has moved, carries out the steps of each change, and reads back until each change shows. Both tell the
observers of the ports (`watch`) each event before and after the fact: journal, progress and all output are observers.

`reading`; `applying` with its parts in the order in which a change passes them: `rechecking`, `openings` (what must be
in force before a closing change), `sending`, which sends nothing but what the type derives (`deriving`), `waiting` (for
DNS), `confirming`; `run`, what they share; `comparing`; `events` and `watching`; `journal` and `locking`.
"""

from __future__ import annotations

from provisioner.engine.applying import apply
from provisioner.engine.comparing import may_be_half_way, standing_of
from provisioner.engine.events import (
    ALREADY,
    DONE,
    FAILED,
    HELD_BACK,
    LEFT,
    OPENINGS,
    PLANNING,
    READING_BACK,
    RECHECKING,
    SKIPPED,
    UNCONFIRMED,
    WAITING,
    Answered,
    Confirming,
    Event,
    Finished,
    HeldBack,
    LockAwaited,
    Observer,
    Outcome,
    ReadingFinished,
    ReadingStarted,
    Requested,
    Responded,
    Result,
    Retrying,
    Sending,
    SlowedDown,
    Started,
    Waiting,
)
from provisioner.engine.reading import ask, consult, look, read, send, survey
from provisioner.engine.sending import resolve
from provisioner.engine.watching import watch, watch_policies, watch_resolver

__all__ = [
    "ALREADY",
    "DONE",
    "FAILED",
    "HELD_BACK",
    "LEFT",
    "OPENINGS",
    "PLANNING",
    "READING_BACK",
    "RECHECKING",
    "SKIPPED",
    "UNCONFIRMED",
    "WAITING",
    "Answered",
    "Confirming",
    "Event",
    "Finished",
    "HeldBack",
    "LockAwaited",
    "Observer",
    "Outcome",
    "ReadingFinished",
    "ReadingStarted",
    "Requested",
    "Responded",
    "Result",
    "Retrying",
    "Sending",
    "SlowedDown",
    "Started",
    "Waiting",
    "apply",
    "ask",
    "consult",
    "look",
    "may_be_half_way",
    "read",
    "resolve",
    "send",
    "standing_of",
    "survey",
    "watch",
    "watch_policies",
    "watch_resolver",
]
