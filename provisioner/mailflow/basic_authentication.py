"""The end of basic authentication for client submission (Microsoft, MC786329)."""

from __future__ import annotations

import datetime

from provisioner.model.listing import counted

BASIC_ENDS = datetime.date(2026, 12, 31)
"""The day from which basic authentication for client submission is off unless an administrator turns it on again."""

BASIC_ENDING = (
    f"basic authentication for client submission is off by default from {BASIC_ENDS}; after that a password works only "
    "where an administrator has turned it on again, until Microsoft removes it"
)
"""True on any day, before and after. Which of the two holds for a tenant, no documented setting shows."""


def countdown(day: datetime.date, today: datetime.date) -> str:
    """How far a day is from today, in words."""
    left = (day - today).days
    days = counted(abs(left), "day")
    return f"{days} left" if left > 0 else "today" if left == 0 else f"{days} ago"


def with_countdown(text: str, today: datetime.date) -> str:
    """A text that reports the end, with a countdown beside its date; for a person, and for nothing that is saved."""
    return text.replace(
        BASIC_ENDING, BASIC_ENDING.replace(f"{BASIC_ENDS}", f"{BASIC_ENDS} ({countdown(BASIC_ENDS, today)})")
    )


HVE_BASIC_ENDS = datetime.date(2028, 9, 30)
HVE_BASIC_ENDING = "basic authentication for High Volume Email ends in September 2028"
"""Learn, "Manage high volume emails for Microsoft 365", which names the month."""


def lasting(*, hve: bool) -> str:
    """How long a password that was taken may go on working. True on any day: a date proves nothing about a tenant."""
    day, ending = (HVE_BASIC_ENDS, HVE_BASIC_ENDING) if hve else (BASIC_ENDS, BASIC_ENDING)
    return f"the password was accepted; this may still work until {day}: {ending}"
