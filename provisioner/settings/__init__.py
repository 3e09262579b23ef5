"""How to reach a tenant: named profiles, which credential, which cloud. Never a secret, only where it is.

`files` finds a profile and says where each of its values comes from. Environment variables (`PROVISIONER_TENANT`,
`PROVISIONER_CREDENTIAL__KIND`, …) win over the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from provisioner.model.name_server import parse_server


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


def shared_place(text: str) -> tuple[str, str, str]:
    """The parts of `folder:PATH` (or `path:PATH`), `git:REMOTE[#REF]` and `postgresql://…`: kind, place and ref.

    The kind is "folder", "git" or "postgresql"; the place of the last is the whole address.
    """
    kind, _, place = text.partition(":")
    if kind == "postgresql":
        return kind, text, ""
    place, _, ref = place.partition("#") if kind == "git" else (place, "", "")
    return ("folder" if kind == "path" else kind), place, ref


_POSTGRES = re.compile(rf"postgresql://{_USER}(?:{_HOST}(?::\d+)?)?/[A-Za-z0-9_.-]+(?:\?\S*)?")
_POSTGRES_PARAMETERS = frozenset({"connect_timeout", "host", "port", "sslmode", "sslrootcert", "user"})


def postgres_fault(text: str) -> str:
    """What is wrong with the address of a PostgreSQL database, "" for nothing. It is never repeated.

    Its other parameters name files and programs to load, or set what the server trusts (postgresql.org, "Parameter Key
    Words").
    """
    fault = "write postgresql://[USER@]HOST[:PORT]/DATABASE, without a password: libpq reads PGPASSWORD and PGPASSFILE"
    if not _POSTGRES.fullmatch(text):
        return fault
    unknown = set(dict(parse_qsl(urlsplit(text).query, keep_blank_values=True))) - _POSTGRES_PARAMETERS
    return f"of the parameters only {', '.join(sorted(_POSTGRES_PARAMETERS))} are taken" if unknown else ""


def _shared(text: str, id_: str) -> tuple[str, str, str]:
    """The parts of a shared place: a folder, or a git remote by https, ssh or an absolute path. Raises for another.

    A remote that begins with "-" is an option to git, and `ext::` names a command (gitremote-ext(1), CVE-2017-1000117).
    """
    kind, place, ref = shared_place(text)
    if kind == "postgresql":
        if reason := postgres_fault(text):
            raise PydanticCustomError(id_, "{reason}", {"reason": reason})
        return kind, place, ref
    if kind not in {"folder", "git"} or not place or not text.isprintable():
        raise PydanticCustomError(id_, "write folder:PATH, git:REMOTE or postgresql://HOST/DATABASE")
    if kind == "git" and not _REMOTE.fullmatch(place):
        what = (
            "the remote must be https://HOST/PATH, ssh://HOST/PATH, HOST:PATH or an absolute path, without a password"
        )
        raise PydanticCustomError(id_, what)
    return kind, place, ref


def _lock(text: str) -> str:
    """`folder:PATH`, `git:REMOTE` or `postgresql://…`. Raises SETTINGS-LOCK for anything else."""
    if _shared(text, "SETTINGS-LOCK")[0] == "git" and "#" in text:
        raise PydanticCustomError("SETTINGS-LOCK", "a lock has a ref of its own: write git:REMOTE without #")
    return text


_REF = re.compile(r"refs(?:/(?!\.)(?:(?!\.\.|\.lock(?:/|$))[A-Za-z0-9._-])+)+")
"""A part of what git-check-ref-format(1) allows."""


def _journal(text: str) -> str:
    """`folder:PATH` (absolute), `git:REMOTE[#REF]` or `postgresql://…`. Raises SETTINGS-JOURNAL for anything else."""
    kind, place, ref = _shared(text, "SETTINGS-JOURNAL")
    if kind == "folder" and not Path(place).expanduser().is_absolute():
        raise PydanticCustomError("SETTINGS-JOURNAL", "the path of the folder must be absolute")
    if "#" in text and kind == "git" and not _REF.fullmatch(ref):
        raise PydanticCustomError("SETTINGS-JOURNAL", "after # write a ref, as refs/heads/journal")
    return text


def _address(text: str) -> str:
    """`https://HOST`, with a port or a path. Raises SETTINGS-ENDPOINT for anything else.

    Over http anyone who listens on the way has the token (RFC 6750, 5.3).
    """
    if not re.fullmatch(rf"https://{_HOST}(?::\d+)?(?:/[^\s?#]*)?", text):
        raise PydanticCustomError("SETTINGS-ENDPOINT", "write https://HOST or https://HOST:PORT")
    return text


def _host_and_port(text: str) -> str:
    """`HOST:PORT`. Raises SETTINGS-ENDPOINT for anything else."""
    if not re.fullmatch(rf"{_HOST}:\d+", text):
        raise PydanticCustomError("SETTINGS-ENDPOINT", "write HOST:PORT")
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
    """How to sign in to the tenant."""

    kind: Literal["client_secret", "certificate", "workload_identity", "managed_identity", "default"] = Field(
        "default",
        description=(
            "How to sign in. `default` is azure-identity's chain: environment, workload or managed identity, az login."
        ),
    )
    client_id: str | None = Field(
        None, description="The application's id; for a managed identity only where it is user-assigned."
    )
    secret: Reference | None = Field(None, description="Where the client secret is.")
    certificate: Path | None = Field(None, description="A PEM file with key and certificate (RSA).")
    password: Reference | None = Field(None, description="Where the password of the key is.")
    token_file: Path | None = Field(
        None, description="The token of a workload identity; from the environment if it is not written."
    )


BaseAddress = Annotated[str, AfterValidator(_address)]
HostAndPort = Annotated[str, AfterValidator(_host_and_port)]


class Endpoints(_Part):
    """Addresses other than the cloud's own, without a slash at the end."""

    authority: BaseAddress | None = Field(
        None, description="Where tokens come from, instead of the cloud's sign-in, `https://HOST`."
    )
    graph: BaseAddress | None = Field(None, description="Microsoft Graph, `https://HOST`.")
    exchange: BaseAddress | None = Field(None, description="The Exchange admin API, `https://HOST`.")
    smtp_submission: HostAndPort | None = Field(
        None, description="`HOST:PORT` instead of the cloud's host for client submission."
    )
    smtp_hve: HostAndPort | None = Field(None, description="`HOST:PORT` instead of the host of High Volume Email.")
    smtp_mx: HostAndPort | None = Field(None, description="`HOST:PORT` instead of the MX hosts.")
    mta_sts: HostAndPort | None = Field(
        None,
        description=(
            "`HOST:PORT` of HTTPS instead of every host of an MTA-STS policy; the certificate must be for "
            "`mta-sts.DOMAIN`."
        ),
    )
    dns_servers: tuple[Annotated[str, AfterValidator(_name_server)], ...] = Field(
        (), description="Name servers, `ip` or `ip:port`; the system's if none is written."
    )


class Prologue(_Part):
    """A cmdlet that a management host must run before Exchange's are there, once a runspace.

    A parameter written as `env:NAME` or `file:PATH` is a secret and travels as a SecureString; no other value may be
    one.
    """

    cmdlet: str = Field("Connect-ExchangeOnline", description="The cmdlet.")
    parameters: dict[str, str | int | bool | list[str]] = Field(default_factory=dict, description="Its parameters.")

    @field_validator("parameters")
    @classmethod
    def _no_secrets(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        for name, value in parameters.items():
            if any(word in name.lower() for word in ("password", "secret", "token")):
                reference(str(value))
        return parameters


class Psrp(_Part):
    """Remote PowerShell to a management host (with `exchange = "psrp"`)."""

    endpoint: str | None = Field(
        None, description="`https://HOST:5986/wsman`; `http` only with an authentication that encrypts its messages."
    )
    configuration: str = Field(
        "Microsoft.PowerShell",
        description=(
            "The session configuration: the name of a JEA endpoint, or `Microsoft.Exchange` on an Exchange Server."
        ),
    )
    authentication: Literal["basic", "certificate", "negotiate", "ntlm", "kerberos", "credssp"] = Field(
        "negotiate",
        description=(
            "How to sign in to the host. Kerberos (except on Windows) and CredSSP need an extra, `[kerberos]` "
            "or `[credssp]`."
        ),
    )
    user: str | None = Field(None, description="The user.")
    password: Reference | None = Field(None, description="Where the user's password is.")
    certificate: Path | None = Field(None, description="A PEM file, for the authentication `certificate`.")
    certificate_key: Path | None = Field(None, description="Its key, where that is in another file.")
    ca: Path | None = Field(
        None,
        description=(
            "A PEM file to check the host's certificate with; by default the profile's `ca`, else the system's."
        ),
    )
    fingerprint: Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$")] | None = Field(
        None, description="Accept the certificate with this SHA-256 fingerprint, and no other."
    )
    runspaces: int = Field(4, ge=1, le=16, description="Sessions side by side, opened as there is work for them.")
    statements: int = Field(50, ge=1, le=200, description="The largest number of cmdlets in one pipeline.")
    operation_timeout_s: int = Field(
        20,
        ge=1,
        le=600,
        description="Seconds that one Receive waits for output; the HTTP timeout is ten seconds longer.",
    )
    prologue: Prologue | None = None


class Concurrency(_Part):
    """How many requests may be under way at once. How many are, and how many start in a second, a run learns from the
    service: it begins with four, and goes slower when it is asked to wait (HTTP 429 or 503) or answers take longer.
    """

    reads: int = Field(16, ge=1, le=64, description="Reads under way at once at most.")
    writes: int = Field(16, ge=1, le=64, description="Writes under way at once at most.")


_DAY_S = 86400.0


class Timeouts(_Part):
    """In seconds, a day at most."""

    request_s: float = Field(
        960.0, gt=0, le=_DAY_S, description="For one answer, and for one pipeline of remote PowerShell."
    )
    retry_s: float = Field(120.0, ge=0, le=_DAY_S, description="For the waits of one request, all tries together.")
    confirm_s: float = Field(120.0, ge=0, le=_DAY_S, description="For a write to show in the tenant.")


class Approval(_Part):
    """How many people must have signed a change set (`provisioner approve`), and whose signatures count.

    ssh-keygen(1), "ALLOWED SIGNERS" and "KEY REVOCATION LISTS", describes the files.
    """

    require: int = Field(0, ge=0, le=16, description="How many people must have approved a change set.")
    allowed_signers: Path | None = Field(
        None, description="Whose SSH signatures count: a file as ssh-keygen reads it, outside of the checkout."
    )
    revoked_keys: Path | None = Field(None, description="Which keys do not count, likewise.")
    key: Path | None = Field(None, description="The SSH key that `approve` signs with.")


class DeviceSecrets(_Part):
    """Where the secrets of a device are, for a program that signs in in its place (`provisioner probe`)."""

    client_id: str | None = Field(
        None, description="The id of the device's own application; by default `oauth.client_id` of the plan."
    )
    secret: Reference | None = Field(None, description="Where the client secret of that application is.")
    password: Reference | None = Field(None, description="Where the password of the device is.")
    token: Reference | None = Field(None, description="Where an access token is that a person got for the device.")


_SECRET_WORDS = frozenset({"apikey", "credentials", "key", "passphrase", "password", "secret", "token"})
_CLASS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


class DnsProvider(_Part):
    """Where DNS records are published: by DNS UPDATE (RFC 2136, RFC 8945), or by a provider of octoDNS.

    `server`, `key_name`, `algorithm` and `secret` are of the kind `rfc2136`, `class`, `options` and `whole_file` of
    `octodns`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    kind: Literal["rfc2136", "octodns"] = Field(
        "rfc2136",
        description="`rfc2136`: DNS UPDATE with TSIG. `octodns`: a provider of octoDNS, with the extra `[dns]`.",
    )
    server: Annotated[str, AfterValidator(_name_server)] | None = Field(
        None, description="The primary of the zones, `ip` or `ip:port`."
    )
    key_name: str = Field("", description="The name of the TSIG key.")
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = Field(
        "hmac-sha256", description="The algorithm of the TSIG key."
    )
    secret: Reference | None = Field(None, description="Where the TSIG key is, in Base64. Only `apply` needs it.")
    provider_class: str = Field(
        "", alias="class", description="The class of an installed package, `octodns_cloudflare.CloudflareProvider`."
    )
    options: dict[str, str | bool | int | float | list[str]] = Field(
        default_factory=dict,
        description=(
            "The options of the class, as octoDNS names them. A secret among them is `env:NAME` or "
            "`file:PATH`; only `apply` needs it."
        ),
    )
    whole_file: bool = Field(
        False, description="Accept a provider that writes the whole zone as a file, as YamlProvider."
    )
    zones: tuple[str, ...] = Field(
        (), description="The zones that it may be used for; any that its server has, if none is written."
    )
    read_from: tuple[Annotated[str, AfterValidator(_name_server)], ...] | None = Field(
        None,
        description=(
            "The other authoritative servers that must show a record; by default those of the zone's NS records."
        ),
    )

    @field_validator("options")
    @classmethod
    def _secrets_are_references(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, value in options.items():
            if _SECRET_WORDS & {name.lower().replace("-", "_").rpartition("_")[2], name.lower().replace("_", "")}:
                reference(str(value))
        return options

    @model_validator(mode="after")
    def _belongs_together(self) -> DnsProvider:
        needed, foreign = ("server", _OF_OCTODNS) if self.kind == "rfc2136" else ("provider_class", _OF_RFC2136)
        named = {"provider_class": "class"}
        if not getattr(self, needed):
            what = {"key": named.get(needed, needed), "kind": self.kind}
            raise PydanticCustomError("SETTINGS-DNS", 'the kind "{kind}" needs {key}', what)
        for name in foreign:
            if name in self.model_fields_set:
                what = {"key": named.get(name, name), "kind": self.kind}
                raise PydanticCustomError("SETTINGS-DNS", '{key} does not belong to the kind "{kind}"', what)
        if self.kind == "octodns" and not _CLASS.fullmatch(self.provider_class):
            raise PydanticCustomError("SETTINGS-DNS", "class: write MODULE.CLASS, as octodns_bind.Rfc2136Provider")
        return self


_OF_RFC2136 = ("server", "key_name", "algorithm", "secret")
_OF_OCTODNS = ("provider_class", "options", "whole_file")


class Profile(BaseSettings):
    """One way to reach one tenant."""

    model_config = SettingsConfigDict(
        env_prefix="PROVISIONER_", env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    tenant: str | None = Field(None, description="The tenant's initial domain or id.")
    cloud: Literal["worldwide", "gcc", "gcc_high", "dod", "china"] = Field(
        "worldwide", description="The cloud that the tenant is in."
    )
    exchange: Literal["rest", "psrp"] = Field(
        "rest", description="The transport to Exchange: its admin API, or remote PowerShell (`psrp`)."
    )
    credential: Credential = Credential()
    endpoints: Endpoints = Endpoints()
    psrp: Psrp = Psrp()
    lock: Annotated[str, AfterValidator(_lock)] | None = Field(
        None,
        description=(
            "A lock that several machines share: `folder:PATH`, `git:REMOTE` (outside of the checkout) or "
            "`postgresql://…`. By default it is where `journal` is."
        ),
    )
    journal: Annotated[str, AfterValidator(_journal)] | None = Field(
        None,
        description=(
            "A journal that several machines or CI jobs share: `folder:PATH` (absolute), `git:REMOTE[#REF]` "
            "or `postgresql://…`."
        ),
    )
    ca: Path | None = Field(
        None,
        description="A PEM file of certificates to trust, instead of those of the platform (and of `SSL_CERT_FILE`).",
    )
    proxy: Annotated[str, AfterValidator(_proxy)] | None = Field(
        None,
        description=(
            "`http://HOST:PORT` for sign-in, Graph, Exchange and MTA-STS policies; by default `HTTPS_PROXY` "
            "and the platform's settings. `NO_PROXY` excludes hosts. A proxy with a login belongs in "
            "`HTTPS_PROXY`. A managed identity, credentials of kind `default` and SMTP of `probe` do not use "
            "it."
        ),
    )
    approval: Approval = Approval()
    devices: dict[str, DeviceSecrets] = {}
    dns: dict[str, DnsProvider] = {}
    concurrency: Concurrency = Concurrency()
    timeouts: Timeouts = Timeouts()
    _sources: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value that was written comes from: a file with its line, or an environment variable, by key."""
        return self._sources

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
