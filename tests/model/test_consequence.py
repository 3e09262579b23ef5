"""What the consequences of a change mean for its order."""

from __future__ import annotations

import pytest

from provisioner.model.consequence import DELETES, NEUTRAL, STOPS, WIDENS, closes, opens


@pytest.mark.parametrize(
    ("consequences", "opening", "closing"),
    [
        ((), False, False),
        ((NEUTRAL,), False, False),
        ((WIDENS,), True, False),
        ((STOPS,), False, True),
        ((WIDENS, STOPS), True, True),
        # What an unknown object did is not known either.
        ((DELETES,), False, True),
        ((DELETES, WIDENS), True, False),
        ((DELETES, STOPS), False, True),
        ((DELETES, WIDENS, STOPS), True, True),
    ],
)
def test_a_change_opens_or_closes(consequences: tuple[str, ...], opening: bool, closing: bool) -> None:
    assert opens(consequences) is opening
    assert closes(consequences) is closing
