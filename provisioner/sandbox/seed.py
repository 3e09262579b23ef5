"""Seeds: what a tenant starts from. Our own YAML or JSON, a dump of a sandbox, or an export of a real tenant.

Seeds are merged one over the other: rows that name the same object become one. Rows of our own form may be partial
and get the service's defaults; rows of an export stay exactly as they are (exports.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.sandbox import exports, listings, message_traces, seed_files, sign_in_log, throttle
from provisioner.sandbox.clock import wire_time
from provisioner.sandbox.cmdlets.objects import new_row
from provisioner.sandbox.cmdlets.running import NOUNS, complete
from provisioner.sandbox.seed_deriving import (
    derive_accepted_domains,
    derive_graph_domains,
    derive_users,
    domain_defaults,
    pair_mailboxes,
)
from provisioner.sandbox.seed_mailboxes import (
    assign_roles,
    keep_passwords,
    mailbox_row,
    merge_mailboxes,
    merge_specs,
    specs,
)
from provisioner.sandbox.seed_merging import (
    add_default_zones,
    customers_domains,
    merge_apps,
    merge_dns,
    merge_graph,
    merge_rows,
)
from provisioner.sandbox.tenant import FORMAT, Row, Seed, Tenant

_KEYS = frozenset({
    "sandbox", "tenant", "objects", "mailboxes", "graph", "dns", "settings", "apps", "lag_s", "clock_offset_s",
})  # fmt: skip
_NO_SEED = (
    "a seed is a mapping with sandbox: 1; this is neither that, nor a dump, nor an export of a tenant (ScubaGear, "
    "Microsoft365DSC), nor what one cmdlet returned (Get-InboundConnector | ConvertTo-Json, or | Export-Clixml)"
)


def load_seed(source: Any) -> Seed:
    """A seed from a file (a Path), what `seed_files` read, or a document. Raises OSError or ValueError."""
    document = seed_files.read(source) if isinstance(source, Path) else source
    converted = document if isinstance(document, seed_files.Converted) else seed_files.report(document)
    if converted is not None:
        return _Document(converted.document, exact=converted.exact)
    if isinstance(document, list):
        if (rows := listings.converted(document)) is not None:
            return _Document({"sandbox": FORMAT, **rows}, exact=True)
        if not document:
            raise ValueError("it is an empty list: the cmdlet returned nothing, so there is nothing to load")
        raise ValueError(
            "the columns of these rows do not say which cmdlet returned them: "
            'write {"sandbox": 1, "objects": {"InboundConnector": [...]}} around them'
        )
    if not isinstance(document, Mapping):
        raise ValueError(_NO_SEED)
    if document.get("dump"):
        return _Dump(document)
    if "sandbox" in document:
        return _Document(_checked(document))
    document = exports.raw_of(document)
    if exports.is_export(document):
        return _Document({"sandbox": FORMAT, **exports.convert(document)}, exact=True)
    if (rows := listings.converted(document)) is not None:
        return _Document({"sandbox": FORMAT, **rows}, exact=True)
    raise ValueError(_NO_SEED)


def _checked(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document, after a look at its keys and their kinds. Raises ValueError."""
    if document["sandbox"] != FORMAT:
        raise ValueError(f"sandbox: {document['sandbox']!r} is not a format that is known; it must be {FORMAT}")
    unknown = sorted(set(map(str, document)) - _KEYS)
    if unknown:
        raise ValueError(f"unknown keys: {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    for key in ("tenant", "objects", "graph", "dns", "settings"):
        if document.get(key) is not None and not isinstance(document[key], Mapping):
            raise ValueError(f"{key} must be a mapping")
    throttle.checked((document.get("settings") or {}).get("throttle") or {})
    for noun, rows in (document.get("objects") or {}).items():
        entries = rows if isinstance(rows, list) else [rows]
        if not all(isinstance(entry, Mapping) for entry in entries):
            raise ValueError(f"objects of {noun} must be a row or a list of rows")
    for owner, records in (document.get("dns") or {}).items():
        if not isinstance(records, Mapping | None):
            raise ValueError(f"dns of {owner} must be a mapping of record types to lists, or null")
    apps = document.get("apps") or []
    if not isinstance(apps, list) or not all(isinstance(app, Mapping) for app in apps):
        raise ValueError("apps must be a list of mappings")
    # Looked at here as well as when merging: a seed that is refused must not be half taken.
    for spec in specs(document.get("mailboxes")):
        if "count" not in spec:
            mailbox_row(spec)
    return {str(key): value for key, value in document.items()}


@dataclass(frozen=True, slots=True)
class _Dump:
    document: Mapping[str, Any]

    def merge_into(self, tenant: Tenant) -> None:
        try:
            tenant.load_json(self.document)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the dump is damaged: {error}") from None


@dataclass(frozen=True, slots=True)
class _Document:
    """A seed's document. `exact`: rows are whole and replace what they name."""

    document: Mapping[str, Any]
    exact: bool = False

    def merge_into(self, tenant: Tenant) -> None:
        seed = self.document
        self._merge_identity(tenant)
        tenant.settings.update(seed.get("settings") or {})
        tenant.lag = float(seed.get("lag_s", tenant.lag))
        tenant.clock.offset_s = float(seed.get("clock_offset_s", tenant.clock.offset_s))
        known = customers_domains(tenant)
        merge_dns(tenant, seed.get("dns") or {})
        merge_graph(tenant, seed.get("graph") or {})
        merge_apps(tenant, seed.get("apps") or [])
        for name, rows in (seed.get("objects") or {}).items():
            merge_rows(tenant, str(name), exports.rows_of(rows), exact=self.exact)
        if self.exact and not tenant.objects.get("CASMailbox"):
            admin = {"PrimarySmtpAddress": f"admin@{tenant.initial_domain}", "DisplayName": "Administrator"}
            merge_mailboxes(tenant, [admin])
        merge_specs(tenant, seed.get("mailboxes"))
        keep_passwords(tenant, seed.get("mailboxes"))
        _complete_records(tenant)
        complete(tenant)
        self._derive(tenant)
        add_default_zones(tenant, known, seed)
        assign_roles(tenant, seed.get("mailboxes"))

    def _merge_identity(self, tenant: Tenant) -> None:
        given = self.document.get("tenant") or {}
        if given:
            _forget_untouched(tenant)
        tenant.tenant_id = str(given.get("id", tenant.tenant_id))
        tenant.initial_domain = str(given.get("initial_domain", tenant.initial_domain)).lower()
        tenant.display_name = str(given.get("display_name", tenant.display_name))

    def _derive(self, tenant: Tenant) -> None:
        """What follows from what was said: a mailbox has a user, a domain that is accepted is one of Graph's."""
        listed = "AcceptedDomain" in (self.document.get("objects") or {})
        domains = self.document.get("domains")
        if domains is not None:
            verified = [] if listed else domains
        else:
            given = exports.rows_of((self.document.get("graph") or {}).get("domains"))
            verified = [row for row in given if row.get("isVerified")]
        pair_mailboxes(tenant)
        derive_accepted_domains(tenant, verified, only_used=self.exact and listed)
        derive_graph_domains(tenant, complete_all=self.exact)
        derive_users(tenant)
        tenant.forget_indexes()


def _complete_records(tenant: Tenant) -> None:
    """Message traces and sign-ins with all their columns. `_DaysAgo` (a number) stands for their time."""
    now = tenant.clock.now()
    for rows, column, whole in (
        (tenant.objects.get(message_traces.KEPT_AS), "Received", message_traces.complete),
        (tenant.graph.get(sign_in_log.KEPT_AS), "createdDateTime", sign_in_log.complete),
    ):
        for row in rows or ():
            if "_DaysAgo" in row:
                row[column] = wire_time(now - dt.timedelta(days=float(row.pop("_DaysAgo"))), whole_seconds=True)
            row.update(whole(tenant, dict(row)))


def _forget_untouched(tenant: Tenant) -> None:
    """Before the tenant gets another identity: drop what it had from birth and nobody has changed.

    Otherwise a tenant that was made for a moment would leave its initial domain behind in the next.
    """
    for name, noun in NOUNS.items():
        born = [_without_dates(new_row(tenant, noun, given)) for given in noun.builtin(tenant)]
        tenant.objects[name] = [row for row in tenant.kept(name) if _without_dates(row) not in born]
    domains: list[Row] = tenant.graph.get("domains", [])
    initial = tenant.initial_domain
    derived = {**domain_defaults(initial, initial), "isDefault": True, "isInitial": True, "id": initial}
    tenant.graph["domains"] = [row for row in domains if row != derived]
    organization = tenant.graph.get("organization")
    if isinstance(organization, Mapping) and organization.get("id") == tenant.tenant_id:
        del tenant.graph["organization"]


def _without_dates(row: Row) -> Row:
    return {column: value for column, value in row.items() if not column.startswith("When")}
