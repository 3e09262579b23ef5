"""Detached SSH signatures, made and verified by the user's ssh-keygen, as git teams have them (ssh-keygen(1), -Y).

What is verified was written by others. It reaches ssh-keygen as files of a private folder, by names of our own: no name
from outside is an option to it, and nothing changes between two calls. Sizes and times are bounded.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner import border, platforms
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.settings.files import in_checkout

LARGEST_SIGNATURE_BYTES = 64 * 2**10
"""An RSA signature has 3 KiB, one of a security key 1 KiB; a certificate adds some."""

LARGEST_SIGNERS_BYTES = 2**20

_VERIFYING_S, _SIGNING_S = 20, 300  # somebody may have to touch a security key
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
_KEY = re.compile(r"^Good .* with \S+ key (SHA256:[A-Za-z0-9+/]{43})$", re.MULTILINE)
_MOST_PRINCIPALS = 16


class NotValid(Exception):
    """A signature is not one of this message, or of nobody who is listed. The text says why."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Who has made a signature: the fingerprint of the key, and the principals that it is listed with."""

    key: str
    principals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signers:
    """Whose signatures count: the content of an allowed signers file, and of a list of revoked keys or None."""

    allowed: bytes
    revoked: bytes | None = None


def signatures_in(text: bytes) -> Sequence[bytes]:
    """The armored signatures in a text, as a comment on a commit may hold several; whatever stands between is left out.

    What a form or a mail did to their lines is undone: a signature is its base64 (PROTOCOL.sshsig, Armored format).
    """
    found = []
    for body in re.findall(rb"%b(.*?)%b" % (re.escape(_BEGIN), re.escape(_END)), text, re.DOTALL):
        plain = re.sub(rb"[^A-Za-z0-9+/=]", b"", body)
        lines = (plain[start : start + 70] for start in range(0, len(plain), 70))
        found.append(b"\n".join((_BEGIN, *lines, _END, b"")))
    return found


def sign(message: bytes, key: Path, namespace: str, *, terminal: bool = False) -> bytes:
    """A signature with a private key, or the private key of a public one that ssh-agent holds.

    `terminal`: somebody is there to type a passphrase or to touch a security key. Raises InputError.
    """
    with _folder(message=message) as folder:
        # A name that begins with "-" is not an option as an absolute path.
        arguments = ["-Y", "sign", "-q", "-f", os.path.abspath(key), "-n", namespace, str(folder / "message")]  # noqa: PTH100
        done = _run(arguments, folder, terminal=terminal)
        try:
            return border.read_ordinary(folder / "message.sig", LARGEST_SIGNATURE_BYTES)
        except OSError:
            what = f"ssh-keygen did not sign with {key}: {_last(done.stderr) or f'exit {done.returncode}'}"
            hint = "name a private key, or the public key of one that ssh-agent holds"
            raise InputError([Diagnostic("APPROVAL-SIGN", what, hint)]) from None


def verify(message: bytes, signature: bytes, namespace: str, signers: Signers) -> Signer:
    """Who signed the message. Raises NotValid unless it is somebody who may, with a key that is good today.

    A key that is listed several times counts by its first line that is valid today (ssh-keygen, find-principals).
    """
    named = key_of(message, signature, namespace)
    principals = principals_of(signature, signers)
    with _folder(signature=signature, allowed=signers.allowed, revoked=signers.revoked or b"") as folder:
        common = ["-f", str(folder / "allowed"), "-s", str(folder / "signature"), "-n", namespace]
        revoked = ["-r", str(folder / "revoked")] if signers.revoked is not None else []
        good, words = [], ""
        for principal in principals:
            arguments = ["-Y", "verify", *common, "-I", principal]
            done = _run([*arguments, *revoked], folder, message)
            if done.returncode == 0 and _fingerprint(done.stdout) == named:
                good.append(principal)
            elif revoked and _run(arguments, folder, message).returncode == 0:
                words = "it is revoked, or the list of revoked keys cannot be read"
            words = words or done.stderr
        if not good:
            raise NotValid(f"the key {named} of {principals[0]} does not count{_because(words)}")
        return Signer(named, tuple(good))


def principals_of(signature: bytes, signers: Signers, at: dt.datetime | None = None) -> Sequence[str]:
    """The names that the key of a signature is listed with, valid now or at a moment. Raises NotValid for none."""
    with _folder(signature=signature, allowed=signers.allowed) as folder:
        arguments = ["-Y", "find-principals", "-f", str(folder / "allowed"), "-s", str(folder / "signature")]
        when = [f"-Overify-time={at.astimezone():%Y%m%d%H%M%S}"] if at else []
        found = _run([*arguments, *when], folder)
        principals = [p for p in found.stdout.splitlines() if _is_name(p)][:_MOST_PRINCIPALS]
        if found.returncode == 0 and not principals:
            raise NotValid("its key is listed with a pattern, which is not the name of a person")
        if not principals:
            raise NotValid(f"its key is not among the allowed signers{_because(found.stderr)}")
        return principals


def key_of(message: bytes, signature: bytes, namespace: str) -> str:
    """The fingerprint of the key that signed the message, listed or not. Raises NotValid where none did.

    Of a certificate it is that of the key in it, so that two certificates of one key are one key.
    """
    if len(signature) > LARGEST_SIGNATURE_BYTES:
        raise NotValid("it is too large for a signature")
    with _folder(message=message, signature=signature) as folder:
        arguments = ["-Y", "check-novalidate", "-n", namespace, "-s", str(folder / "signature")]
        done = _run(arguments, folder, message)
        key = _fingerprint(done.stdout)
        if done.returncode != 0 or not key:
            raise NotValid(f"it is not a signature of this{_because(done.stderr)}")
        return key


def _fingerprint(output: str) -> str:
    found = _KEY.search(output)
    return found[1] if found else ""


def _is_name(principal: str) -> bool:
    """Whether a principal names somebody: patterns do not, and what begins with "-" is an option to some programs."""
    return bool(principal) and principal.isprintable() and principal[0] != "-" and not re.search(r"[*?!]", principal)


def _because(stderr: str) -> str:
    """ssh-keygen's first word on it that says something, without the names of our files."""
    for line in stderr.splitlines():
        words = re.sub(r"^\S*allowed:(\d+): ", r"line \1: ", line.strip())
        if words and "/" not in words.partition(" ")[0] and words != "No principal matched.":
            return f": {words[:200]}"
    return ""


def check_program() -> None:
    """Raise InputError where ssh-keygen is missing."""
    _program()


def _last(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


@contextmanager
def _folder(**files: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="provisioner-signature-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        yield folder


def _run(
    arguments: list[str], folder: Path, message: bytes = b"", *, terminal: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run ssh-keygen in a folder of its own. Raises InputError where there is none, or it does not end in time."""
    program, path = _program()
    limit_s = _SIGNING_S if terminal else _VERIFYING_S
    streams: Mapping[str, Any] = {} if terminal else {"input": message, "stderr": subprocess.PIPE}
    try:
        done = subprocess.run(  # noqa: S603 - the user's own program, and arguments of ours
            [program, *arguments],
            cwd=folder,
            env={**os.environ, "PATH": path, "LC_ALL": "C"},
            stdout=subprocess.PIPE,
            timeout=limit_s,
            **streams,
        )
    except subprocess.TimeoutExpired:
        what = f"ssh-keygen did not end within {limit_s} seconds"
        raise InputError([Diagnostic("APPROVAL-SSH-KEYGEN", what, "try again; a key may wait to be touched")]) from None
    except OSError as error:
        what = f"ssh-keygen could not be started: {error.strerror or error}"
        raise InputError([Diagnostic("APPROVAL-SSH-KEYGEN", what, _INSTALL)]) from error
    texts = ((stream or b"").decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(arguments, done.returncode, *texts)


_INSTALL = "install OpenSSH's client (openssh-client), 8.2 or newer"


def _program() -> tuple[str, str]:
    """The user's ssh-keygen, and a PATH for what it starts: no folder of the checkout under review."""
    program = platforms.program("ssh-keygen")
    if program is None or in_checkout(program, Path.cwd()):
        what = "approvals are SSH signatures, and there is no ssh-keygen"
        raise InputError([Diagnostic("APPROVAL-SSH-KEYGEN", what, _INSTALL)])
    return str(program), os.pathsep.join(str(folder) for folder in platforms.program_folders())
