"""The first files of a folder: settings, a plan, its schema, what git ignores, a pipeline. Nothing is overwritten."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pydantic_core import PydanticCustomError

from provisioner.border import write_result
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.plan.header import owner_name, tenant_name
from provisioner.plan.schema import schema
from provisioner.resources import TYPES
from provisioner.resources.canonical import refusal

PIPELINES = {"github": ".github/workflows/mail.yml", "gitlab": ".gitlab-ci.yml"}
"""Where each service looks for a pipeline."""

NO_APPLICATION = "00000000-0000-0000-0000-000000000000"
"""Stands for the id of an application that is not registered yet."""

_SETTINGS = """\
# How to reach the tenant. Secrets are named here (env:NAME or file:PATH), never written.
"""
_BY_HAND = """\

[profiles.{name}]
tenant = "{tenant}"

[profiles.{name}.credential]
kind = "client_secret"
client_id = "{client_id}"
secret = "env:EXCHANGE_CLIENT_SECRET"
"""
_IN_A_JOB = """\

[profiles.{name}]                        # {use}
tenant = "{tenant}"

[profiles.{name}.credential]
kind = "workload_identity"               # the job's own token: no secret
client_id = "{client_id}"
"""
_PLAN = """\
# yaml-language-server: $schema=plan.schema.json
# What is not written here is not managed: nothing in the tenant changes until a section is added.
provisioner: 1
tenant: {tenant}
owner: {owner}

# For example:
#
# smtp_auth:
#   mailboxes:
#     erp@contoso.com: enabled
#
# sites:
#   hq: {{ egress_ip_addresses: [203.0.113.10] }}
# devices:
#   scanner-3f:
#     site: hq
#     from: scanner-3f@contoso.com
#     recipients: anyone
#     supports: {{ tls: "1.2", authentication: [basic] }}
"""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_IGNORED = ("changes.json", "review.html", "comment.md", ".provisioner/")
"""Change sets hold addresses of people; the last is the state of a sandbox, with keys."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a new folder is for. `plan` is the text of an exported plan, or empty.

    `settings`: whether a settings file is written. Not where the profile exists already: a second one of its name would
    hide it, or would itself be passed over.
    """

    tenant: str
    owner: str
    profile: str = "prod"
    client_id: str = ""
    pipeline: str = ""
    plan: str = ""
    settings: bool = True


@dataclass(frozen=True, slots=True)
class Started:
    """Paths below the folder, with `/`: what was written, and what was there and is kept as it is."""

    written: tuple[str, ...]
    kept: tuple[str, ...]


def start(folder: Path, wanted: Wanted) -> Started:
    """Write the files that are not there yet.

    Raises InputError for a tenant, owner or application that is none, and for a place that cannot be written; files
    that were written before it stay.
    """
    _checked("--tenant", tenant_name, wanted.tenant)
    _checked("--owner", owner_name, wanted.owner)
    if wanted.client_id:
        _checked("--client-id", _application, wanted.client_id)
    files = _files(wanted)
    kept = [name for name in files if (folder / name).exists()]
    for name, text in files.items():
        if name not in kept:
            write_result(folder / name, text, private=False, folders=True)
    return Started(tuple(name for name in files if name not in kept), tuple(kept))


def _checked(option: str, check: Callable[[str], str], text: str) -> None:
    try:
        check(text)
    except PydanticCustomError as error:
        told = error.context or {}
        raise InputError([Diagnostic(error.type, f"{option}: {told['what']}", told["hint"])]) from None


def _application(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        what, hint = f'"{text}" is not the id of an application', "write its client id, a GUID, or leave it out"
        raise refusal("CLIENT-ID-INVALID", what, hint) from None


def _files(wanted: Wanted) -> dict[str, str]:
    plan = wanted.plan or _PLAN.format(tenant=wanted.tenant, owner=json.dumps(wanted.owner, ensure_ascii=False))
    files = {
        "provisioner.toml": _settings(wanted),
        "plans/tenant.yaml": plan,
        "plans/plan.schema.json": json.dumps(schema(TYPES), indent=1, ensure_ascii=False) + "\n",
        ".gitignore": "\n".join(_IGNORED) + "\n",
    }
    if not wanted.settings:
        del files["provisioner.toml"]
    if wanted.pipeline:
        place = resources.files("provisioner.operations") / "starters" / f"{wanted.pipeline}.yml"
        files[PIPELINES[wanted.pipeline]] = place.read_text(encoding="utf-8")
    return files


def _settings(wanted: Wanted) -> str:
    """With a pipeline the two identities that it names: one that reads, one that applies."""
    given = {"tenant": wanted.tenant, "client_id": wanted.client_id or NO_APPLICATION}
    if not wanted.pipeline:
        name = wanted.profile if _BARE_KEY.fullmatch(wanted.profile) else json.dumps(wanted.profile)
        return _SETTINGS + _BY_HAND.format(name=name, **given)
    reader = _IN_A_JOB.format(name="prod-reader", use="plan, drift", **{**given, "client_id": NO_APPLICATION})
    return _SETTINGS + reader + _IN_A_JOB.format(name="prod", use="apply", **given)
