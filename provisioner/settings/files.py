"""Where profiles are found, and which file may say what.

The user's own file wins (`provisioner.toml` in the configuration folder), then `provisioner.toml` from the working
folder upward to the root of the checkout; the sandbox leaves its own under `.provisioner/profiles/`.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ValidationError

from provisioner import border, platforms
from provisioner.diagnostics import Diagnostic, InputError, Location
from provisioner.settings import Approval, Credential, Endpoints, Profile, Psrp, shared_place

FILE = "provisioner.toml"


@dataclass(frozen=True, slots=True)
class Found:
    """A profile, and what has to be said before it is used: what a checkout decides that is not its to hide."""

    profile: Profile
    notes: tuple[str, ...] = ()


def load_settings(profile: str | None, start: Path, *, trusting: bool = False) -> Profile:
    """The profile that `find_profile` finds; raises as it does."""
    return find_profile(profile, start, trusting=trusting).profile


def find_profile(profile: str | None, start: Path, *, trusting: bool = False) -> Found:
    """The profile by name (or PROVISIONER_PROFILE, or `default`) as seen from a folder.

    A profile of the user's own file wins over one of the same name in a checkout. A checkout may come from a stranger:
    it may say where secrets are sent only where `trusting` (`_check_trust`).

    Raises InputError: no such profile, an unknown or misplaced value, a secret where a reference belongs, an address
    that a checkout may not name.
    """
    name = profile or os.environ.get("PROVISIONER_PROFILE")
    known = _profiles(start)
    if name and name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"profiles here: {', '.join(sorted(known)) or 'none'}"
        if name.startswith("sandbox"):
            hint = "provisioner sandbox start makes it"
        raise InputError([Diagnostic("SETTINGS-PROFILE", f'there is no profile "{name}"', hint)])
    written, *passed_over = known.get(name or "default", [_Written({}, None)])
    file = written.file
    try:
        found = Profile(**_with_files_beside(written.values, file))
    except ValidationError as error:
        raise InputError([_mistake(item, file) for item in error.errors(include_url=False)]) from None
    except ValueError as error:  # an environment variable that is not JSON where JSON is wanted
        raise InputError([Diagnostic("SETTINGS-INVALID", str(error))]) from None
    found._sources = dict(_sources(written))
    _check_remotes(found, start)
    _check_signers(found, start, None if written.own else file)
    if not written.own:
        _check_classes(found, written)
    if not (trusting or written.own):
        _check_trust(found, written)
    return Found(found, tuple(_notes(name or "default", found, written, passed_over)))


def _notes(name: str, profile: Profile, written: _Written, passed_over: Sequence[_Written]) -> Iterator[str]:
    if written.own:
        for other in passed_over:
            yield f'profile "{name}" of {other.file} is passed over: {written.file} has it too'
        return
    for key in ("lock", "journal", "proxy"):
        if _is_written(profile, key, written.file):
            yield f"{key} is {getattr(profile, key)} ({profile.sources[key]})"


# --- whom to trust ---------------------------------------------------------------------------------------------------


def _check_trust(profile: Profile, written: _Written) -> None:
    """What signs in goes to Microsoft's addresses, or to this machine, unless the user says otherwise.

    A settings file of a checkout can come from a pull request: an address in it would get client secrets, tokens and
    passwords, and a certificate to trust would let somebody on the way read them. Raises SETTINGS-UNTRUSTED.
    """
    file = written.file
    names = ("authority", "graph", "exchange", "smtp_submission", "smtp_hve")
    addresses = {f"endpoints.{name}": getattr(profile.endpoints, name) for name in names}
    addresses["psrp.endpoint"] = profile.psrp.endpoint if profile.exchange == "psrp" else None
    far = {key: address for key, address in addresses.items() if address and not _is_loopback(address)}
    local = all(addresses[f"endpoints.{name}"] for name in names[:3]) and not far
    found = [(key, f"would send credentials to {address}") for key, address in far.items()]
    if profile.ca and not local:
        found.append(("ca", f"would trust the certificates of {profile.ca}"))
    if profile.psrp.ca and "psrp.endpoint" in far:
        found.append(("psrp.ca", f"would trust the certificates of {profile.psrp.ca}"))
    servers = {provider.server for name, provider in profile.dns.items() if provider.server == _told(written, name)}
    far_servers = sorted(server for server in servers if server is not None and not _is_loopback(server))
    if far_servers:  # also where the environment has the key: its values and those of the file are one table
        found.append(("dns", f"would send updates of DNS, signed with your key, to {', '.join(far_servers)}"))
    if profile.journal:
        found.append(("journal", f"would send the record of every apply to {profile.journal}"))
    if profile.lock and shared_place(profile.lock)[0] == "postgresql":
        found.append(("lock", f"would sign in to the database {profile.lock}"))
    refused = [
        Diagnostic(
            "SETTINGS-UNTRUSTED",
            f"{key} {what}: a settings file in a checkout may not set it",
            f"write the profile into {own_file()}, set {_variable(key)}, or pass --trust-settings",
            location=_place(file, key.rpartition(".")[2]) if file else None,
        )
        for key, what in found
        if key == "dns" or _is_written(profile, key, file)
    ]
    if refused:
        raise InputError(refused)


def _is_written(profile: Profile, key: str, file: Path | None) -> bool:
    """Whether a value stands in the file, and the environment does not override it."""
    return profile.sources.get(key, "").startswith(f"{file}:")


def _is_loopback(address: str) -> bool:
    """Whether `https://HOST…` or `HOST:PORT` is of this machine."""
    host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sources(written: _Written) -> Iterator[tuple[str, str]]:
    """Each key that is written and its place: the environment wins, for a table as a whole or for one key of it."""
    lines = _lines(written.file) if written.file else {}
    keys = {path: f"{written.file}:{lines.get(path[-1], 1)}" for path in _leaves(written.values)}
    for name, field in Profile.model_fields.items():
        parts = getattr(field.annotation, "model_fields", None)
        for path in [(name, part) for part in parts] if parts else [(name,)]:
            given = [v for v in (_variable(".".join(path)), _variable(name)) if os.environ.get(v)]
            place = given[0] if given else keys.get(path)
            if name == "dns" and not given:  # a table of tables: the first of them stands for all
                place = next((keys[key] for key in keys if key[0] == name), None)
            if place:
                yield ".".join(path), place


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((name, part) for part in value)
        else:
            yield (name,)


def _lines(file: Path) -> Mapping[str, int]:
    """The number of the first line of a file that begins with each key."""
    found: dict[str, int] = {}
    for number, line in enumerate(_text(file).splitlines(), 1):
        found.setdefault(_key_of(line), number)
    return found


def _variable(key: str) -> str:
    return "PROVISIONER_" + key.replace(".", "__").upper()


def _check_remotes(profile: Profile, start: Path) -> None:
    """A repository in the checkout is not a remote: a push to it runs its hooks, which the checkout's authors write.

    Git tries the path with `.git` behind it too (git-clone, GIT URLS). Raises SETTINGS-LOCK, SETTINGS-JOURNAL.
    """
    top = border.top_of(start)
    inside = border.Border((Path(os.path.realpath(top)),)) if top else None
    for key in ("lock", "journal"):
        kind, remote, _ = shared_place(getattr(profile, key) or "")
        if kind != "git" or inside is None:
            continue
        path = remote.removeprefix("file://")
        names = {n for p in (path, unquote(path)) for n in (p, p.removeprefix("/"))}  # file:///C:/locks
        places = [Path(n + end) for n in names for end in ("", ".git") if Path(n).is_absolute()]
        if any(inside.holds(place) for place in places):
            what = f"the git remote of {key} lies in the checkout, and its hooks would be run"
            hint = "name a remote outside of the checkout"
            raise InputError([Diagnostic(f"SETTINGS-{key.upper()}", what, hint)])


def _check_signers(profile: Profile, start: Path, file: Path | None) -> None:
    """Whose signatures count is never for a checkout to say: its authors would approve their own changes.

    `file` is the settings file of a checkout that the profile comes from. Raises SETTINGS-UNTRUSTED, `--trust-settings`
    or not.
    """
    paths = {name: getattr(profile.approval, name) for name in ("allowed_signers", "revoked_keys", "key")}
    wrong = []
    for name, path in paths.items():
        key = f"approval.{name}"
        if path is not None and _is_written(profile, key, file):
            hint = f"write the profile into {own_file()}, or set {_variable(key)}"
            what = f"{key}: a settings file in a checkout may not say whose approvals count"
            wrong.append(Diagnostic("SETTINGS-UNTRUSTED", what, hint, location=_place(file, name) if file else None))
        elif path is not None and name != "key" and in_checkout(path, start):
            what = f"{key}: {path} lies in the checkout, whose authors would say whose approvals count"
            wrong.append(Diagnostic("SETTINGS-UNTRUSTED", what, "name a file outside of the checkout"))
    if wrong:
        raise InputError(wrong)


def _told(written: _Written, name: str) -> str | None:
    """The server of a DNS provider as a file has it."""
    tables = written.values.get("dns")
    table = tables.get(name) if isinstance(tables, Mapping) else None
    return table.get("server") if isinstance(table, Mapping) else None


def _check_classes(profile: Profile, written: _Written) -> None:
    """Which code is run is never for a checkout to say: an octoDNS provider is a class, whose arguments it gives too.

    A table of the environment and one of the file with the same name are one. Raises SETTINGS-UNTRUSTED,
    `--trust-settings` or not.
    """
    tables = written.values.get("dns")
    for name in tables if isinstance(tables, Mapping) else ():
        if profile.dns[name].kind == "octodns":
            what = (
                f"dns.{name}: a settings file in a checkout may not set a provider of octoDNS, which is code that runs"
            )
            hint = f"write the profile into {own_file()}, or set {_variable('dns')} with a name that the file has not"
            at = _place(written.file, "class") if written.file else None
            raise InputError([Diagnostic("SETTINGS-UNTRUSTED", what, hint, location=at)])


def in_checkout(path: Path, folder: Path) -> bool:
    """Whether a file is named in the checkout that a folder lies in, or lies there, wherever a link leads."""
    top = border.top_of(folder)
    if top is None:
        return False
    named = Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve follows links
    return named.is_relative_to(top) or border.Border((Path(os.path.realpath(top)),)).holds(path)


def profile_toml(name: str, values: Mapping[str, Any]) -> str:
    """A file with one profile. Values are texts, numbers, booleans, lists of those, and tables of them."""
    return "\n".join(_table_toml(f"profiles.{json.dumps(name)}", values)) + "\n"


def _table_toml(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{name}]"
    yield from (f"{k} = {json.dumps(v)}" for k, v in values.items() if not isinstance(v, Mapping))
    for table, content in values.items():
        if isinstance(content, Mapping):
            yield ""
            yield from _table_toml(f"{name}.{table if table.isalpha() else json.dumps(table)}", content)


@dataclass(frozen=True, slots=True)
class _Written:
    """The table of one profile. `own`: it stands in the user's own file (or in none), and not in a checkout."""

    values: Mapping[str, Any]
    file: Path | None
    own: bool = True


def _profiles(start: Path) -> dict[str, list[_Written]]:
    """All profiles by name, what wins first: the user's own file, then the nearest one, then the sandbox's."""
    found: dict[str, list[_Written]] = {}
    for file in _files(start):
        for name, values in _tables(file).items():
            written = _Written(values if isinstance(values, dict) else {}, file, file == own_file())
            found.setdefault(name, []).append(written)
    return found


def profile_names(start: Path) -> list[str]:
    """The names of the profiles that count in a folder; none where a settings file cannot be read."""
    try:
        return sorted(_profiles(start))
    except InputError:
        return []


def _tables(file: Path) -> Mapping[str, Any]:
    """The `profiles` of a file. Raises InputError for a file that cannot be read or says something else."""
    try:
        document = tomllib.loads(_text(file))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError([Diagnostic("SETTINGS-UNREADABLE", f"{file} cannot be read: {why}")]) from error
    except (ValueError, RecursionError) as error:
        what = f"{file}: {error}"
        raise InputError([Diagnostic("SETTINGS-SYNTAX", what, "a file of TOML is wanted")]) from error
    tables = document.get("profiles", {})
    extra = sorted(set(document) - {"profiles"})
    if extra or not isinstance(tables, dict):
        what = f'{file}: "{extra[0]}" is not known here' if extra else f"{file}: profiles is not a table"
        raise InputError([Diagnostic("SETTINGS-KEY", what, "write [profiles.NAME] tables")])
    return tables


def _text(file: Path) -> str:
    """The text of a settings file, an ordinary one of a size that such files have. Raises OSError."""
    content = border.read_ordinary(file, _LARGEST_BYTES + 1)
    if len(content) > _LARGEST_BYTES:
        raise OSError(0, f"it is larger than {_LARGEST_BYTES >> 20} MB", str(file))
    return content.decode("utf-8")


_LARGEST_BYTES = 1 << 20


def own_file() -> Path:
    """The user's own settings file, whether it exists or not."""
    return platforms.settings_base() / "provisioner" / FILE


def _files(start: Path) -> list[Path]:
    """The settings files that count from a folder: the user's own, then upward to the root of the checkout.

    Raises SETTINGS-OUTSIDE for one in the checkout that is a link out of it.
    """
    places = []
    for folder in (start.resolve(), *start.resolve().parents):
        places.append(folder / FILE)
        places += sorted((folder / ".provisioner" / "profiles").glob("*.toml"))
        if (folder / ".git").exists():
            break
    if top := border.top_of(start):
        inside = border.Border((Path(os.path.realpath(top)),))
        for file in places:
            if os.path.lexists(file) and not inside.holds(file):
                what = f"{file} is a link out of the checkout"
                raise InputError([Diagnostic("SETTINGS-OUTSIDE", what, "write the settings into the checkout itself")])
    return [p for p in (own_file(), *(p for p in places if p != own_file())) if p.is_file()]


def _with_files_beside(values: Mapping[str, Any], file: Path | None) -> dict[str, Any]:
    """The values with relative paths taken from the file's folder."""
    if file is None:
        return dict(values)
    folder = file.parent
    moved = dict(values)
    if isinstance(moved.get("ca"), str):
        moved["ca"] = str(folder / moved["ca"])
    for name in ("approval", "credential", "psrp"):
        if isinstance(moved.get(name), dict):
            moved[name] = {k: _beside(folder, k, v) for k, v in moved[name].items()}
    for table in ("devices", "dns"):
        if isinstance(moved.get(table), dict):
            moved[table] = {
                name: {k: _beside(folder, k, v) for k, v in of.items()} if isinstance(of, dict) else of
                for name, of in moved[table].items()
            }
    return moved


_PATHS = frozenset({"allowed_signers", "ca", "certificate", "certificate_key", "key", "revoked_keys", "token_file"})


def _beside(folder: Path, key: str, value: Any) -> Any:
    if key == "options" and isinstance(value, dict):  # of a provider of octoDNS, where some name a folder
        return {k: str(folder / v) if k == "directory" else _beside(folder, k, v) for k, v in value.items()}
    if not isinstance(value, str):
        return value
    if key in _PATHS and value:
        return str(folder / value)
    return f"file:{folder / value.removeprefix('file:')}" if value.startswith("file:") else value


_TABLES: Mapping[str, type[BaseModel]] = {
    "approval": Approval,
    "credential": Credential,
    "endpoints": Endpoints,
    "psrp": Psrp,
}
_FIELDS = {key: f"{table}.{key}" for table, model in _TABLES.items() for key in model.model_fields} | {
    key: key for key in Profile.model_fields
}
"""How each field is written in a profile, by its own name."""


def _mistake(item: Any, file: Path | None) -> Diagnostic:
    path = ".".join(str(p) for p in item["loc"])
    last = str(item["loc"][-1]) if item["loc"] else ""
    at = _place(file, last) if file else None
    where = "" if at else "the environment: " if file is None else f"{file}: "
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(last, _FIELDS, 1)
        hint = f'did you mean "{_FIELDS[near[0]]}"?' if near else ""
        return Diagnostic("SETTINGS-KEY", f'{where}"{path}" is not known here', hint, location=at)
    id_ = item["type"] if str(item["type"]).isupper() else "SETTINGS-INVALID"
    # The value itself is never repeated: it may be a secret in the wrong place.
    return Diagnostic(id_, f"{where}{path}: {item['msg'][:1].lower()}{item['msg'][1:]}", location=at)


def _place(file: Path, key: str) -> Location | None:
    """The first line of a file that begins with a key: TOML's own parser tells no places."""
    for number, line in enumerate(_text(file).splitlines(), 1):
        if _key_of(line) == key:
            return Location(file.as_posix(), number, len(line) - len(line.lstrip()) + 1)
    return None


def _key_of(line: str) -> str:
    return line.strip().partition("=")[0].strip().strip('"')
