"""The tenant's clock: real time plus an offset that only grows when a test moves it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """`offset_s` is how far the tenant's time stands from the machine's, in seconds."""

    offset_s: float = 0.0

    def now(self) -> dt.datetime:
        """The tenant's time, aware, UTC."""
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.offset_s)

    def advance(self, seconds: float) -> None:
        """Move the tenant's time on by `seconds`."""
        self.offset_s += seconds


def wire_time(moment: dt.datetime, *, whole_seconds: bool = False) -> str:
    """A date as the REST answers write it: UTC, seven fraction digits, "2026-07-14T18:59:08.6546540Z".

    Directory columns (WhenChanged and its kin) are kept in whole seconds, the dates of a DKIM configuration are not.
    """
    fraction = "0000000" if whole_seconds else f"{moment.microsecond:06d}0"
    return f"{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S}.{fraction}Z"
