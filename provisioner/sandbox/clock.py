"""The tenant's clock, and dates as the service writes them."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# PowerShell 5 writes /Date(1700000000000)/; some exports lost the slashes on their way.
_CLASSIC = re.compile(r"(?P<open>/?)Date\((?P<ms>-?\d+)\)(?P<close>/?)")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?")


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
    utc = moment.astimezone(dt.UTC)
    return f"{utc.year:04d}-{utc:%m-%dT%H:%M:%S}.{fraction}Z"  # %Y does not pad the years before 1000


def stored_time(value: object) -> dt.datetime | None:
    """The moment that a stored value names, in either form; None where it is not a date."""
    if not isinstance(value, str):
        return None
    classic = _CLASSIC.fullmatch(value)
    try:
        if classic:
            return _EPOCH + dt.timedelta(milliseconds=int(classic["ms"]))
        if not _ISO.fullmatch(value):
            return None
        moment = dt.datetime.fromisoformat(value)
    except (ValueError, OverflowError):  # no such day, or after the year 9999
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _offset_like(before: object, written: str) -> str:
    """The service writes some ISO dates with "Z", some with "+00:00", and some (LastValidationTimestamp) without."""
    if not isinstance(before, str) or not _ISO.fullmatch(before) or before.endswith("Z"):
        return written
    return written.removesuffix("Z") + ("+00:00" if re.search(r"[+-]\d\d:\d\d$", before) else "")


def rest_time(value: str) -> str | None:
    """A stored date as it leaves over REST; None where the value is not a date. ISO text leaves as it is stored."""
    if _CLASSIC.fullmatch(value):
        moment = stored_time(value)
        return None if moment is None else wire_time(moment)
    return value if value[4:5] == "-" and _ISO.fullmatch(value) else None


def time_like(before: object, moment: dt.datetime, *, whole_seconds: bool = False) -> str:
    """`moment` in the form that a column has had so far."""
    classic = _CLASSIC.fullmatch(before) if isinstance(before, str) else None
    if classic is None:
        return _offset_like(before, wire_time(moment, whole_seconds=whole_seconds))
    milliseconds = (moment - _EPOCH) // dt.timedelta(seconds=1) * 1000
    if not whole_seconds:
        milliseconds = (moment - _EPOCH) // dt.timedelta(milliseconds=1)
    return f"{classic['open']}Date({milliseconds}){classic['close']}"
