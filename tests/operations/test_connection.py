"""The one event loop of a command."""

from __future__ import annotations

import pytest

from provisioner.operations import connection


class Large:
    """A result whose text would cost more than the work did."""

    written = 0

    def __repr__(self) -> str:
        Large.written += 1
        return "large"


def test_what_an_operation_gives_is_not_written_out_by_its_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Large, "written", 0)
    large = Large()

    async def give() -> Large:
        return large

    assert connection.run(give()) is large
    assert Large.written == 0


def test_of_a_group_of_errors_the_first_one_is_raised() -> None:
    async def fail() -> None:
        raise ExceptionGroup("several", [ExceptionGroup("", [KeyError("first")]), ValueError("second")])

    with pytest.raises(KeyError, match="first"):
        connection.run(fail())
