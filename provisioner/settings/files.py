"""Where profiles are found: `provisioner.toml` from the working folder upward to the root of the checkout, else in the
user's configuration folder; the sandbox leaves its own under `.provisioner/profiles/`.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError

from provisioner import border
from provisioner.diagnostics import Diagnostic, InputError, Location
from provisioner.settings import Credential, Endpoints, Profile, Psrp

FILE = "provisioner.toml"


def load_settings(profile: str | None, start: Path) -> Profile:
    """The profile by name (or PROVISIONER_PROFILE, or `default`) as seen from a folder.

    Raises InputError: no such profile, an unknown or misplaced value, a secret where a reference belongs.
    """
    name = profile or os.environ.get("PROVISIONER_PROFILE")
    known = _profiles(start)
    if name and name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"profiles here: {', '.join(sorted(known)) or 'none'}"
        if name.startswith("sandbox"):
            hint = "provisioner sandbox start makes it"
        raise InputError([Diagnostic("SETTINGS-PROFILE", f'there is no profile "{name}"', hint)])
    values, file = known.get(name or "default", ({}, None))
    try:
        found = Profile(**_with_files_beside(values, file))
    except ValidationError as error:
        raise InputError([_mistake(item, file) for item in error.errors(include_url=False)]) from None
    except ValueError as error:  # an environment variable that is no JSON where JSON is wanted
        raise InputError([Diagnostic("SETTINGS-INVALID", str(error))]) from None
    _check_lock(found, start)
    return found


def _check_lock(profile: Profile, start: Path) -> None:
    """A repository in the checkout is no remote: a push to it runs its hooks, which the checkout's authors write.

    Git tries the path with `.git` behind it too (git-clone, GIT URLS). Raises SETTINGS-LOCK.
    """
    kind, _, remote = (profile.lock or "").partition(":")
    top = border.top_of(start)
    if kind != "git" or top is None:
        return
    path = remote.removeprefix("file://")
    names = {path, unquote(path)}
    inside = border.Border((Path(os.path.realpath(top)),))
    if path.startswith("/") and any(inside.holds(Path(n + end)) for n in names for end in ("", ".git")):
        what = "the git remote of lock lies in the checkout, and its hooks would be run"
        raise InputError([Diagnostic("SETTINGS-LOCK", what, "name a remote outside of the checkout")])


def profile_toml(name: str, values: Mapping[str, Any]) -> str:
    """A file with one profile. Values are texts, numbers, booleans, lists of those, and tables one level deep."""
    lines = [f"[profiles.{json.dumps(name)}]"]
    lines += [f"{k} = {json.dumps(v)}" for k, v in values.items() if not isinstance(v, Mapping)]
    for table, content in values.items():
        if isinstance(content, Mapping):
            lines += ["", f"[profiles.{json.dumps(name)}.{table}]"]
            lines += [f"{k} = {json.dumps(v)}" for k, v in content.items()]
    return "\n".join(lines) + "\n"


def _profiles(start: Path) -> dict[str, tuple[dict[str, Any], Path | None]]:
    """All profiles by name with their file; the user's own file wins over the sandbox's."""
    found: dict[str, tuple[dict[str, Any], Path | None]] = {}
    for file in _files(start):
        try:
            document = tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            what = f"{file}: {error}"
            raise InputError([Diagnostic("SETTINGS-SYNTAX", what, "a file of TOML is wanted")]) from error
        except (OSError, UnicodeDecodeError) as error:
            raise InputError([Diagnostic("SETTINGS-UNREADABLE", f"{file} cannot be read: {error}")]) from error
        tables = document.get("profiles", {})
        extra = sorted(set(document) - {"profiles"})
        if extra or not isinstance(tables, dict):
            what = f'{file}: "{extra[0]}" is not known here' if extra else f"{file}: profiles is no table"
            raise InputError([Diagnostic("SETTINGS-KEY", what, "write [profiles.NAME] tables")])
        for name, values in tables.items():
            found.setdefault(name, (values if isinstance(values, dict) else {}, file))
    return found


def _files(start: Path) -> list[Path]:
    """The settings files that count from a folder: upward to the root of the checkout, then the user's own.

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
    configuration = os.environ.get("XDG_CONFIG_HOME")
    base = Path(configuration) if configuration else Path.home() / ".config"
    places.append(base / "provisioner" / FILE)
    return [p for p in places if p.is_file()]


def _with_files_beside(values: Mapping[str, Any], file: Path | None) -> dict[str, Any]:
    """The values with relative paths taken from the file's folder."""
    if file is None:
        return dict(values)
    folder = file.parent
    moved = dict(values)
    if isinstance(moved.get("ca"), str):
        moved["ca"] = str(folder / moved["ca"])
    for name in ("credential", "psrp"):
        if isinstance(moved.get(name), dict):
            moved[name] = {k: _beside(folder, k, v) for k, v in moved[name].items()}
    return moved


_PATHS = frozenset({"ca", "certificate", "certificate_key", "token_file"})


def _beside(folder: Path, key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key in _PATHS and value:
        return str(folder / value)
    return f"file:{folder / value.removeprefix('file:')}" if value.startswith("file:") else value


def _mistake(item: Any, file: Path | None) -> Diagnostic:
    path = ".".join(str(p) for p in item["loc"])
    last = str(item["loc"][-1]) if item["loc"] else ""
    at = _place(file, last) if file else None
    where = "" if at else "the environment: " if file is None else f"{file}: "
    if item["type"] == "extra_forbidden":
        fields = {**Profile.model_fields, **{k: None for m in (Credential, Endpoints, Psrp) for k in m.model_fields}}
        near = difflib.get_close_matches(last, fields, 1)
        mend = f'did you mean "{near[0]}"?' if near else ""
        return Diagnostic("SETTINGS-KEY", f'{where}"{path}" is not known here', mend, location=at)
    id_ = item["type"] if str(item["type"]).isupper() else "SETTINGS-INVALID"
    # The value itself is never repeated: it may be a secret in the wrong place.
    return Diagnostic(id_, f"{where}{path}: {item['msg'][:1].lower()}{item['msg'][1:]}", location=at)


def _place(file: Path, key: str) -> Location | None:
    """The first line of a file that begins with a key: TOML's own parser tells no places."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip().partition("=")[0].strip().strip('"') == key:
            return Location(str(file), number, len(line) - len(line.lstrip()) + 1)
    return None
