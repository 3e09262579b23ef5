"""Approvals of a change set: detached signatures over its digest, and how many people have given one.

The digest covers everything that apply acts on, so that an approval is of one change set and of no other. Whose
signatures count is said by the user's or the runner's settings (`approval.allowed_signers`), never by the checkout.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import glob
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner import platforms
from provisioner.border import read_ordinary
from provisioner.diagnostics import Diagnostic, InputError, NotApproved, Severity
from provisioner.operations.checkout import signed_commit
from provisioner.operations.context import Context
from provisioner.operations.ssh_signatures import (
    LARGEST_SIGNERS_BYTES,
    NotValid,
    Signer,
    Signers,
    key_of,
    principals_of,
    sign,
    signatures_in,
    verify,
)
from provisioner.settings.files import in_checkout

NAMESPACE = "change-set@exchange-provisioner"
"""What our signatures are for: one for git, or for a file, is not one (ssh-keygen(1), -n)."""

_GIT = "git"
_MOST, _LARGEST_BYTES = 32, 2**20
_KEYS = tuple(f"id_{kind}" for kind in ("ed25519", "ed25519_sk", "ecdsa", "ecdsa_sk", "rsa"))
"""What ssh tries in ~/.ssh (ssh(1), -i)."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Somebody who has approved a change set: a name of the allowed signers, and the fingerprint of the key."""

    principal: str
    key: str

    def __str__(self) -> str:
        return f"{self.principal} ({self.key})"


@dataclass(frozen=True, slots=True)
class Author:
    """The signer of a plan's commit. `unknown` says why the author of the change set is not known."""

    signer: Signer | None = None
    unknown: str = ""


def message(digest: str) -> bytes:
    """What is signed: the digest as `show` and `plan` print it, and a line end."""
    return f"{digest}\n".encode()


# --- to approve ------------------------------------------------------------------------------------------------------


def approve(context: Context, file: Path, digest: str, key: Path | None, *, terminal: bool = False) -> tuple[Path, str]:
    """Write a signature over the digest of a change set beside its file; gives its place and the key's fingerprint.

    The key is that of the argument, of the profile, or the first that ssh would try. Raises InputError.
    """
    signature = sign(message(digest), key or context.profile.approval.key or _first_key(), NAMESPACE, terminal=terminal)
    fingerprint = key_of(message(digest), signature, NAMESPACE)
    short = hashlib.sha256(fingerprint.encode()).hexdigest()[:8]
    place = file.with_name(f"{file.name}.{short}.approval")
    try:
        platforms.write_whole(place, signature)
    except OSError as error:
        what = f"{place} cannot be written: {error.strerror or error}"
        raise InputError([Diagnostic("APPROVAL-WRITE", what, "make the folder of the change set writable")]) from error
    return place, fingerprint


def _first_key() -> Path:
    for name in _KEYS:
        if (path := Path.home() / ".ssh" / name).is_file():
            return path
    what = "there is no SSH key to sign with"
    raise InputError([Diagnostic("APPROVAL-SIGN", what, "name one: --key PATH, or approval.key in the profile")])


# --- to count approvals ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Demand:
    """How many people must have approved, by which files (those beside the change set where none is named)."""

    people: int = 0
    files: tuple[Path, ...] = ()

    def people_for(self, context: Context) -> int:
        """The larger number of the command's and the profile's: the command, which may stand in a checkout, adds."""
        return max(self.people, context.profile.approval.require, 1 if self.files else 0)


NO_DEMAND = Demand()


def approvals_of(
    context: Context, file: Path, digest: str, commit: str, demand: Demand, plan: Path | None = None
) -> Sequence[Approval]:
    """The people who have approved a change set, its author left out. Raises NotApproved where they are too few.

    `commit` is that of the change set's plan, looked for in the checkouts of `plan`, of the file and of the working
    folder. Raises InputError where the settings name no allowed signers.
    """
    wanted = demand.people_for(context)
    if wanted == 0:
        return ()
    folders = [_folder_of(path) for path in (plan, file, Path.cwd()) if path is not None]
    signers = signers_of(context, folders)
    author = _author(commit, folders, signers)
    found, refused = _verified(_files(file, demand), message(digest), signers)
    people = people_of(found)
    if author.signer is not None:
        mine = [p for p in people if _is(p, author.signer)]
        people = [p for p in people if p not in mine]
        what = "{}: the author of the change set, who signed the plan's commit, does not count"
        refused += [_refused(what.format(_named(p))) for p in mine]
    if len(people) < wanted:
        raise NotApproved(
            f"{file} is approved by {len(people)} of the {wanted} people who must; nothing was changed",
            f"have it approved: provisioner approve {file}",
            refused,
        )
    if author.unknown:
        what = f"the author of the change set is not known: {author.unknown}. {wanted} different keys were required"
        context.diagnose([Diagnostic("APPROVAL-AUTHOR", what, "sign the plan's commits", Severity.WARNING)])
    context.diagnose(refused)
    return [_named(p) for p in people]


def people_of(signers: Sequence[Signer]) -> list[Sequence[Signer]]:
    """Signatures by the people who made them, one sequence each.

    A key that is listed under two names is one person, and so is a name with two keys; thus the people are the
    connected parts of names and keys.
    """
    people: list[list[Signer]] = []
    for signer in signers:
        same = [p for p in people if any(_shares(signer, other) for other in p)]
        people = [p for p in people if p not in same]
        people.append([*(other for p in same for other in p), signer])
    return list(people)


def _shares(one: Signer, other: Signer) -> bool:
    return one.key == other.key or not _names(one).isdisjoint(_names(other))


def _names(signer: Signer) -> frozenset[str]:
    return frozenset(name.casefold() for name in signer.principals)


def _is(person: Sequence[Signer], author: Signer) -> bool:
    return any(_shares(signer, author) for signer in person)


def _named(person: Sequence[Signer]) -> Approval:
    return Approval(person[0].principals[0], person[0].key)


def _verified(files: Sequence[Path], signed: bytes, signers: Signers) -> tuple[list[Signer], list[Diagnostic]]:
    """Who signed, and why each other signature does not count."""
    found: list[Signer] = []
    refused: list[Diagnostic] = []
    for file in files:
        try:
            signatures = _signatures_of(file)
        except NotValid as error:
            refused.append(_refused(f"{file}: {error}"))
            continue
        for number, signature in enumerate(signatures, 1):
            try:
                found.append(verify(signed, signature, NAMESPACE, signers))
            except NotValid as error:
                which = f", signature {number}" if len(signatures) > 1 else ""
                refused.append(_refused(f"{file}{which}: {error}"))
    return found, refused


def _refused(why: str) -> Diagnostic:
    return Diagnostic("APPROVAL-REFUSED", why, severity=Severity.WARNING)


def _signatures_of(file: Path) -> Sequence[bytes]:
    """The signatures in a file. Raises NotValid for a file without one, too large, or that cannot be read."""
    try:
        content = read_ordinary(file, _LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise NotValid(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > _LARGEST_BYTES:
        raise NotValid(f"it is larger than {_LARGEST_BYTES >> 20} MiB")
    found = signatures_in(content)
    if not found:
        raise NotValid("it holds no SSH signature")
    if len(found) > _MOST:
        raise NotValid(f"it holds {len(found)} signatures, and at most {_MOST} are looked at")
    return found


def _files(file: Path, demand: Demand) -> Sequence[Path]:
    found = demand.files or tuple(sorted(file.parent.glob(f"{glob.escape(file.name)}.*.approval")))
    if len(found) > _MOST:
        what = f"there are {len(found)} approvals of {file}, and at most {_MOST} are looked at"
        raise InputError([Diagnostic("APPROVAL-MANY", what, "name those that count: --approval FILE")])
    return found


def signers_of(context: Context, folders: Sequence[Path]) -> Signers:
    """The allowed signers and revoked keys of the settings. Raises InputError without, or for one in a checkout."""
    settings = context.profile.approval
    if settings.allowed_signers is None:
        what = "approvals are required, and the settings do not say whose count"
        hint = "name a file of allowed signers in your own provisioner.toml: approval.allowed_signers"
        raise InputError([Diagnostic("APPROVAL-SIGNERS", what, hint)])
    for path in (settings.allowed_signers, settings.revoked_keys):
        if path is not None and any(in_checkout(path, folder) for folder in folders):
            what = f"{path} lies in a checkout, whose authors would say whose approvals count"
            raise InputError([Diagnostic("SETTINGS-UNTRUSTED", what, "name a file outside of the checkout")])
    revoked = _listed(settings.revoked_keys) if settings.revoked_keys is not None else None
    return Signers(_listed(settings.allowed_signers), revoked)


def _listed(path: Path) -> bytes:
    why = f"it is larger than {LARGEST_SIGNERS_BYTES >> 20} MiB"
    with contextlib.suppress(ValueError):
        try:
            content = read_ordinary(path, LARGEST_SIGNERS_BYTES + 1)
        except OSError as error:
            why = error.strerror or str(error)
        else:
            if len(content) <= LARGEST_SIGNERS_BYTES:
                return content
    raise InputError([Diagnostic("APPROVAL-SIGNERS", f"{path} cannot be used: {why}", "correct it in the profile")])


def _author(commit: str, folders: Sequence[Path], signers: Signers) -> Author:
    """Who signed a commit, as it is named in a change set (`commit_of`)."""
    name, _, modified = commit.partition(" ")
    if not re.fullmatch(r"[0-9a-f]{40}", name):
        return Author(unknown="its plan was not committed")
    signed = next(_commit_signatures(name, folders), None)
    if signed is None:
        return Author(unknown=f"the plan's commit {name[:12]} has no signature, or is not in the checkout")
    with contextlib.suppress(NotValid):
        key, names = key_of(*signed, _GIT), dict[str, None]()
        for moment in (None, _time_of(signed[0])):
            with contextlib.suppress(NotValid):  # a key that is listed with no name identifies its owner all the same
                names |= dict.fromkeys(principals_of(signed[1], signers, moment))
        signer = Signer(key, tuple(names))
        unknown = "its plan is not what the commit holds" if modified else ""
        return Author(signer, unknown)
    return Author(unknown=f"the plan's commit {name[:12]} has no valid SSH signature")


def _time_of(commit: bytes) -> dt.datetime | None:
    """When a commit was made, as git takes it for the moment at which its key must have been valid."""
    found = re.search(rb"^committer [^\n]* (\d{1,11}) [+-]\d{4}$", commit, re.MULTILINE)
    return dt.datetime.fromtimestamp(int(found[1]), dt.UTC) if found else None


def _commit_signatures(commit: str, folders: Sequence[Path]) -> Iterator[tuple[bytes, bytes]]:
    for folder in folders:
        if found := signed_commit(folder, commit):
            yield found


def _folder_of(path: Path) -> Path:
    return path if path.is_dir() else path.parent
