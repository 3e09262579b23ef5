"""What a change does to mail, in a word or two that a reviewer sorts by: deletion, exposure, mail that may stop.

`mailflow` computes the consequences of a change; the words and what follows from them are here, since the order of
changes, the engine and every output need them.
"""

from __future__ import annotations

from collections.abc import Collection

DELETES = "deletes"
WIDENS = "widens exposure"
STOPS = "can stop mail"
NEUTRAL = "neutral"

WORST_FIRST = (DELETES, WIDENS, STOPS, NEUTRAL)


def opens(consequences: Collection[str]) -> bool:
    """Whether such a change opens a sending path."""
    return WIDENS in consequences


def closes(consequences: Collection[str]) -> bool:
    """Whether such a change may take a sending path away: it is sent last, and held back if need be.

    A deletion that opens nothing counts, whatever else is known of the object.
    """
    return STOPS in consequences or (DELETES in consequences and not opens(consequences))
