"""The journal that a plan is compared with."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from provisioner.operations import planning
from provisioner.operations.context import Silent
from provisioner.settings import Profile


@pytest.mark.parametrize("shared", [True, False])
def test_a_shared_journal_holds_up_no_other_tenant(
    shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git and a database far away answer slowly, and a fleet reads all its tenants in one event loop."""
    asked: list[bool] = []

    def fetched(context: Silent, tenant_id: str) -> Path:
        asked.append(threading.current_thread() is threading.main_thread())
        return tmp_path / tenant_id

    monkeypatch.setattr(planning, "fetched", fetched)
    profile = Profile(journal=f"folder:{tmp_path}" if shared else None)
    assert asyncio.run(planning._journal(Silent(profile, tmp_path), "contoso")) == tmp_path / "contoso"
    assert asked == [not shared]
