"""A second sandbox in one folder never takes the profile of one that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.cli import sandbox
from provisioner.diagnostics import InputError
from provisioner.operations import sandboxes
from provisioner.settings.files import profile_toml


def test_the_profile_of_another_sandbox_that_runs_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    running = {first}
    monkeypatch.setattr(sandboxes, "find", lambda state: {"pid": 2} if state in running else None)
    folder = tmp_path / ".provisioner" / "profiles"
    folder.mkdir(parents=True)
    (folder / "sandbox.toml").write_text(profile_toml("sandbox", {"ca": str(first / "ca" / "ca.pem")}))
    (folder / "odd.toml").write_text("nonsense")
    sandbox._refuse_takeover("sandbox", first)
    sandbox._refuse_takeover("other", second)
    with pytest.raises(InputError, match="belongs to the sandbox that runs on"):
        sandbox._refuse_takeover("sandbox", second)
    assert sandbox._profiles_of(first.resolve()) == (Path(".provisioner/profiles/sandbox.toml"),)
    assert sandbox._profiles_of(second.resolve()) == (), "stopping the second leaves the first its profile"
    running.clear()
    sandbox._refuse_takeover("sandbox", second)
