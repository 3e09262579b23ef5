"""What a change does to mail, in a word or two that a reviewer sorts by: exposure, mail that may stop, deletion.

`mailflow` compares what the whole object contributes before and after; here its effects become the words of reports.
"""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.model import Action, Effect

DELETES = "deletes"
WIDENS = "widens exposure"
STOPS = "can stop mail"
NEUTRAL = "neutral"

WORST_FIRST = (DELETES, WIDENS, STOPS, NEUTRAL)
_WORDS = {Effect.OPENS: WIDENS, Effect.CLOSES: STOPS}


def consequences(action: Action, effects: Iterable[Effect]) -> tuple[str, ...]:
    """The consequences of a change, worst first; ("neutral",) where there is none, () where nothing changes."""
    if action is Action.NO_OP:
        return ()
    found = {_WORDS[effect] for effect in effects}
    if action is Action.DELETE:
        found.add(DELETES)
    return tuple(c for c in WORST_FIRST if c in found) or (NEUTRAL,)
