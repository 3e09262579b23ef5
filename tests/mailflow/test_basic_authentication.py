"""The end of basic authentication, told with its date and a countdown, on any day."""

from __future__ import annotations

import datetime as dt

import pytest

from provisioner.mailflow.basic_authentication import lasting, with_countdown


@pytest.mark.parametrize(
    ("day", "left"),
    [(dt.date(2026, 12, 1), "30 days left"), (dt.date(2026, 12, 30), "1 day left"), (dt.date(2026, 12, 31), "today"),
     (dt.date(2027, 2, 1), "32 days ago")],
)  # fmt: skip
def test_a_password_that_works_may_stop_on_a_day_that_is_counted_to(day: dt.date, left: str) -> None:
    said = with_countdown(lasting(hve=False), day)
    assert "may still work until 2026-12-31: " in said
    assert f"off by default from 2026-12-31 ({left})" in said
    assert lasting(hve=False) == lasting(hve=False), "without a day it says the same on every day"


def test_high_volume_email_has_an_end_of_its_own() -> None:
    assert "may still work until 2028-09-30" in lasting(hve=True)
