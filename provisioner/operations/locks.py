"""The locks of a tenant, for `apply`, `lock` and `doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from provisioner.engine.locking import GitLock, Lock, PathLock, machine_lock
from provisioner.engine.postgres import PostgresLock
from provisioner.operations.state import tenant_folder, word
from provisioner.settings import Profile, shared_place


def locks_of(profile: Profile, tenant_id: str, folder: Path | None = None) -> Sequence[Lock]:
    """The locks to hold for an apply, in this order: the machine's own always, and the shared one of the profile.

    Where only a shared journal is set, the lock is in the same place: one run writes to it at a time.
    """
    locks: list[Lock] = [machine_lock(tenant_folder(tenant_id, folder) / "lock")]
    kind, place, _ = shared_place(profile.lock or profile.journal or "")
    if kind == "folder":
        locks.append(PathLock(Path(place).expanduser() / f"{word(tenant_id)}.lock"))
    elif kind == "git":
        locks.append(GitLock(place, word(tenant_id)))
    elif kind == "postgresql":
        locks.append(PostgresLock(place, word(tenant_id)))
    return locks
