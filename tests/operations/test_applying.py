"""The terms of a saved change set, whose file may be edited."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

import pytest

from provisioner.diagnostics import ChangeSetStale
from provisioner.model.document import ChangeSetDocument
from provisioner.operations.applying import Terms

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def made(timestamp: str, expires: str = "") -> ChangeSetDocument:
    document: Any = {"timestamp": timestamp, "provisioner": {"digest": "sha256:0", "expires": expires}}
    return cast("ChangeSetDocument", document)


@pytest.mark.parametrize(
    ("timestamp", "expires", "words"),
    [
        ("2026-03-01T11:00:00Z", "", ""),
        ("2026-02-01T11:00:00Z", "", "was made 28 days ago"),
        ("2026-03-01T11:00:00Z", "2026-03-01T11:30:00Z", "expired at"),
        ("yesterday", "", "is not a time"),
        ("2026-03-01T11:00:00", "", "is not a time"),
        ("2026-03-01T11:00:00Z", "2026-03-02", "is not a time"),
    ],
)
def test_a_time_that_names_no_moment_is_stale(timestamp: str, expires: str, words: str) -> None:
    terms, document = Terms(max_age_s=7200.0), made(timestamp, expires)
    if not words:
        terms.check("c.json", document, NOW)
        return
    with pytest.raises(ChangeSetStale, match=words):
        terms.check("c.json", document, NOW)
