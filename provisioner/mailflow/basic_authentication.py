"""The end of basic authentication for client submission (Microsoft, MC786329)."""

from __future__ import annotations

import datetime

BASIC_ENDS = datetime.date(2026, 12, 31)
"""The day from which basic authentication for client submission is off unless an administrator turns it on again."""

BASIC_ENDING = (
    f"basic authentication for client submission is off by default from {BASIC_ENDS}; after that a password works only "
    "where an administrator has turned it on again, until Microsoft removes it"
)
"""True on any day, before and after. Which of the two holds for a tenant, no documented setting shows."""

HVE_BASIC_ENDING = "basic authentication for High Volume Email ends in September 2028"
"""Learn, "Manage high volume emails for Microsoft 365"."""
