"""The journal of a tenant: a file in the state folder, or one that several machines share (the setting `journal`).

A shared one is fetched whole into a copy, which the rest reads like any journal. What a run records is written to a
file of its own first, and sent from there; the file is deleted once all of it has arrived.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from provisioner import platforms
from provisioner.border import make_private
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine import journal
from provisioner.engine.sharing import PREFIX, FolderShare, GitShare, Pushing, Remote, Share
from provisioner.operations.context import Context
from provisioner.operations.state import journal_path, state_folder, tenant_folder, word
from provisioner.settings import Profile, shared_place


def share_of(profile: Profile) -> Share | None:
    """The shared place of a profile's journals, if it has one."""
    kind, place, ref = shared_place(profile.journal or "")
    if kind == "git":
        return GitShare(place, ref or PREFIX)
    if kind == "postgresql":
        from provisioner.engine.postgres import PostgresShare  # with it come the libraries of locks

        return PostgresShare(place)
    return FolderShare(Path(place).expanduser()) if place else None


def kept(context: Context, tenant_id: str) -> Path:
    """Where the tenant's journal lies on this machine: of a shared one the copy that was fetched last."""
    return _kept(context.profile, tenant_id, context.state_folder)


def fetched(context: Context, tenant_id: str) -> Path:
    """The same, and of a shared journal what it is now. Raises InputError where it cannot be fetched."""
    return fetch(context.profile, tenant_id, context.state_folder, context.note)


def fetch(
    profile: Profile, tenant_id: str, folder: Path | None = None, note: Callable[[str], None] = lambda _: None
) -> Path:
    """As `fetched`, without a context."""
    share = share_of(profile)
    if share is not None:
        with share.journal(word(tenant_id)) as remote:
            _fetch(profile, tenant_id, folder or state_folder(), note, remote)
    return _kept(profile, tenant_id, folder or state_folder())


def _kept(profile: Profile, tenant_id: str, folder: Path) -> Path:
    if not profile.journal:
        return journal_path(tenant_id, folder)
    place = hashlib.sha256(profile.journal.encode()).hexdigest()[:12]
    return tenant_folder(tenant_id, folder) / f"shared-{place}.jsonl"


def _fetch(profile: Profile, tenant_id: str, folder: Path, note: Callable[[str], None], remote: Remote) -> bytes:
    """Make the copy new. A shared journal without an entry begins with the machine's own, which is returned then."""
    found = remote.fetch()
    if found.strange:
        names = ", ".join(found.strange[:5]) + (", …" if len(found.strange) > 5 else "")
        note(f"the shared journal {profile.journal} also holds what is not a batch of entries, passed over: {names}")
    content, own = found.content, b""
    if not content:
        content = own = _own(journal_path(tenant_id, folder))
    _replace(_kept(profile, tenant_id, folder), content)
    return own


def _own(path: Path) -> bytes:
    """The lines of the machine's own journal."""
    content = path.read_bytes() if path.is_file() else b""
    return content if not content or content.endswith(b"\n") else content + b"\n"


def _replace(path: Path, content: bytes) -> None:
    """Put a copy in its place whole: another command may read it at the same time."""
    try:
        make_private(path.parent)
        platforms.write_whole(path, content)
    except OSError as error:
        what = f"the copy of the shared journal cannot be written: {error.strerror or error}"
        raise InputError([Diagnostic("JOURNAL-WRITE", what, f"make {path.parent} writable")]) from error


# --- for an apply ----------------------------------------------------------------------------------------------------


class Opened(NamedTuple):
    """What earlier runs have recorded, and where this one records."""

    earlier: Path
    record: journal.Journal


@contextlib.contextmanager
def opened(context: Context, tenant_id: str, run: str, on_broken: Callable[[str], None]) -> Iterator[Opened]:
    """The tenant's journal for a run that holds its locks. Raises InputError where it cannot be fetched or written.

    `on_broken` is told, from another thread, when what is recorded cannot be sent: then nothing more may be written.
    """
    share = share_of(context.profile)
    if share is None:
        path = journal_path(tenant_id, context.state_folder)
        with journal.Journal.open(path, run) as record:
            yield Opened(path, record)
        return
    folder = tenant_folder(tenant_id, context.state_folder) / "unsent"
    with share.journal(word(tenant_id)) as remote:
        owed = _fetch(context.profile, tenant_id, context.state_folder, context.note, remote)
        earlier = kept(context, tenant_id)
        unsent, files = _unsent(context, folder, earlier)
        pushing = Pushing(remote, on_broken, context.clock)
        path = folder / f"{word(run)}.jsonl"
        try:
            with journal.Journal.open(path, run, after=earlier, share=pushing) as record:
                if owed or unsent:
                    pushing.add(owed + unsent)
                yield Opened(earlier, record)
        finally:
            if pushing.close():
                for file in (*files, path):
                    platforms.remove(file)
            else:
                context.note(
                    f"what the shared journal lacks of this run is in {path}; the next apply from here adds it"
                )


def _unsent(context: Context, folder: Path, earlier: Path) -> tuple[bytes, Sequence[Path]]:
    """What earlier runs from here could not send, added to the copy, with the files that it comes from.

    Their locks are ours, so they have ended. What does not follow the shared journal any more stays where it is.
    """
    lines, files = b"", []
    for path in sorted(folder.glob("*.jsonl"), key=lambda p: p.stat().st_mtime_ns):
        missing = journal.missing(path, earlier)
        if missing is None:
            context.note(f"{path} holds records that do not follow the shared journal any more: look, then delete it")
            continue
        files.append(path)
        lines += missing
        _replace(earlier, earlier.read_bytes() + missing)
    return lines, files
