"""How to reach a tenant: named profiles, which credential, which cloud. Never a secret, only where it is.

Profiles stand in `provisioner.toml`, found from the working folder upward to the root of the checkout, else in the
user's configuration folder; the sandbox leaves its own under `.provisioner/profiles/`. Environment variables
(`PROVISIONER_TENANT`, `PROVISIONER_CREDENTIAL__KIND`, …) win over the files.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from provisioner import border
from provisioner.diagnostics import Diagnostic, InputError, Location
from provisioner.model.name_server import parse_server

FILE = "provisioner.toml"


def reference(text: str) -> str:
    """`env:NAME` or `file:PATH`. Raises SETTINGS-SECRET for anything else, without repeating it."""
    kind, _, name = text.partition(":")
    if kind not in {"env", "file"} or not name:
        raise PydanticCustomError("SETTINGS-SECRET", "a secret must not stand here: write env:NAME or file:PATH")
    return text


Reference = Annotated[str, AfterValidator(reference)]


def _name_server(text: str) -> str:
    """`ip` or `ip:port`. Raises SETTINGS-DNS for anything else."""
    try:
        parse_server(text)
    except ValueError as error:
        raise PydanticCustomError("SETTINGS-DNS", "{reason}", {"reason": str(error)}) from None
    return text


_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])"
_USER = r"(?:[A-Za-z0-9_][\w.+-]*@)?"
_REMOTE = re.compile(
    rf"https://{_USER}{_HOST}(?::\d+)?/\S+"
    rf"|ssh://{_USER}{_HOST}(?::\d+)?/[^\s-]\S*"
    rf"|(?!\w+://){_USER}{_HOST}:[^\s:-]\S*"
    r"|(?:file://)?/.+"
)


def _lock(text: str) -> str:
    """`path:FOLDER`, or `git:REMOTE` by https, ssh or an absolute path. Raises SETTINGS-LOCK for anything else.

    A remote that begins with "-" is an option to git, and `ext::` names a command (gitremote-ext(1), CVE-2017-1000117).
    """
    kind, _, place = text.partition(":")
    if kind not in {"path", "git"} or not place or not text.isprintable():
        raise PydanticCustomError("SETTINGS-LOCK", "write path:FOLDER or git:REMOTE")
    if kind == "git" and not _REMOTE.fullmatch(place):
        what = (
            "the remote must be https://HOST/PATH, ssh://HOST/PATH, HOST:PATH or an absolute path, without a password"
        )
        raise PydanticCustomError("SETTINGS-LOCK", what)
    return text


def _proxy(text: str) -> str:
    """`http://HOST:PORT`, or https. Raises SETTINGS-PROXY for anything else, a login in it included."""
    if not re.fullmatch(rf"https?://{_HOST}(?::\d+)?/?", text):
        what = "write http://HOST:PORT without a login; one with a login belongs in HTTPS_PROXY, in the environment"
        raise PydanticCustomError("SETTINGS-PROXY", what)
    return text


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Credential(_Part):
    """How to sign in. `default` is azure-identity's chain: environment, workload or managed identity, az login."""

    kind: Literal["client_secret", "certificate", "workload_identity", "managed_identity", "default"] = "default"
    client_id: str | None = None
    secret: Reference | None = None
    certificate: Path | None = None
    password: Reference | None = None
    token_file: Path | None = None


class Endpoints(_Part):
    """Addresses other than the cloud's own, without a slash at the end; DNS servers as `ip` or `ip:port`.

    `smtp_submission` and `smtp_mx` are `host:port` of SMTP instead of smtp.office365.com:587 and the MX hosts' port 25.
    """

    authority: str | None = None
    graph: str | None = None
    exchange: str | None = None
    smtp_submission: str | None = None
    smtp_mx: str | None = None
    dns_servers: tuple[Annotated[str, AfterValidator(_name_server)], ...] = ()


class Prologue(_Part):
    """A cmdlet that a management host must run before Exchange's are there, once a runspace.

    A parameter written as `env:NAME` or `file:PATH` is a secret and travels as a SecureString; no other value may be
    one.
    """

    cmdlet: str = "Connect-ExchangeOnline"
    parameters: dict[str, str | int | bool | list[str]] = {}

    @field_validator("parameters")
    @classmethod
    def _no_secrets(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        for name, value in parameters.items():
            if any(word in name.lower() for word in ("password", "secret", "token")):
                reference(str(value))
        return parameters


class Psrp(_Part):
    """Remote PowerShell to a management host (with `exchange = "psrp"`).

    `endpoint` is `https://HOST:5986/wsman`, `configuration` the session configuration (a JEA endpoint's name, or
    `Microsoft.Exchange` on an Exchange Server). The host's certificate is checked against `ca` (by default the
    profile's), or pinned by its SHA-256 `fingerprint`. `runspaces` bounds the sessions, `statements` a pipeline.
    """

    endpoint: str | None = None
    configuration: str = "Microsoft.PowerShell"
    authentication: Literal["basic", "certificate", "negotiate", "ntlm", "kerberos", "credssp"] = "negotiate"
    user: str | None = None
    password: Reference | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    ca: Path | None = None
    fingerprint: Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$")] | None = None
    runspaces: int = Field(4, ge=1, le=16)
    statements: int = Field(50, ge=1, le=200)
    operation_timeout_s: int = Field(20, ge=1, le=600)
    prologue: Prologue | None = None


class Concurrency(_Part):
    """How many requests may be under way at once."""

    reads: int = Field(4, ge=1, le=32)
    writes: int = Field(4, ge=1, le=32)


class Timeouts(_Part):
    """In seconds: for one answer, for all tries of one request together, for a write to show."""

    request_s: float = Field(960.0, gt=0)
    retry_s: float = Field(120.0, ge=0)
    confirm_s: float = Field(120.0, ge=0)


class Profile(BaseSettings):
    """One way to reach one tenant."""

    model_config = SettingsConfigDict(
        env_prefix="PROVISIONER_", env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    tenant: str | None = None
    cloud: Literal["worldwide", "gcc", "gcc_high", "dod", "china"] = "worldwide"
    exchange: Literal["rest", "psrp"] = "rest"
    credential: Credential = Credential()
    endpoints: Endpoints = Endpoints()
    psrp: Psrp = Psrp()
    lock: Annotated[str, AfterValidator(_lock)] | None = None
    ca: Path | None = None
    proxy: Annotated[str, AfterValidator(_proxy)] | None = None
    concurrency: Concurrency = Concurrency()
    timeouts: Timeouts = Timeouts()

    @property
    def writes_at_once(self) -> int:
        """How many writes may be under way: over remote PowerShell as many as fill every runspace's pipeline."""
        return self.psrp.runspaces * self.psrp.statements if self.exchange == "psrp" else self.concurrency.writes

    @property
    def reads_at_once(self) -> int:
        """How many reads may be under way, likewise."""
        return self.psrp.runspaces * self.psrp.statements if self.exchange == "psrp" else self.concurrency.reads

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings names all of them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then what a file says."""
        return env_settings, init_settings


class ExactProfile(Profile):
    """A profile of exactly these values, whatever the environment says: for a test that must reach its own sandbox."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings names all of them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given, and nothing else."""
        return (init_settings,)


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
