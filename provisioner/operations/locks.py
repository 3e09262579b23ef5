"""The locks of a tenant, for `apply`, `lock` and `doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine.locking import GitLock, Lock, PathLock, machine_lock
from provisioner.operations.state import tenant_folder, word
from provisioner.settings import Profile


def locks_of(profile: Profile, tenant_id: str, folder: Path | None = None) -> Sequence[Lock]:
    """The locks to hold for an apply, in this order: the machine's own always, and the shared one of the profile."""
    locks: list[Lock] = [machine_lock(tenant_folder(tenant_id, folder) / "lock")]
    kind, _, place = (profile.lock or "").partition(":")
    if kind == "path":
        locks.append(PathLock(Path(place).expanduser() / f"{word(tenant_id)}.lock"))
    elif kind == "git":
        locks.append(GitLock(place, word(tenant_id)))
    elif kind:
        what = f'lock is "{profile.lock}"'
        raise InputError([Diagnostic("SETTINGS-LOCK", what, "write path:FOLDER or git:REMOTE")])
    return locks
