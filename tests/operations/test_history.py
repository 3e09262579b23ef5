"""What the runs of a journal did that were not an apply."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.engine.journal import Journal
from provisioner.operations.history import runs_of

ADDRESS = 'dkim["contoso.com"]'


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("done", f"rotated the key of {ADDRESS}"),
        ("failed", f"rotated the key of {ADDRESS} (failed)"),
        (None, f"rotated the key of {ADDRESS} (unknown)"),
    ],
)
def test_a_rotation_is_told_with_its_end_or_that_there_is_none(tmp_path: Path, status: str | None, told: str) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal.open(path, "run") as record:
        record.begin((), digest="", owner="", commit="", actor="anna", tenant="contoso", tenant_id="id")
        record.record("rotating", address=ADDRESS, request={})
        if status is not None:
            record.record("rotated", address=ADDRESS, status=status, detail="")
            record.record("end", converged=True)
    found = runs_of(path)["run"]
    assert (found.actions, found.ended) == ((told,), status is not None)
