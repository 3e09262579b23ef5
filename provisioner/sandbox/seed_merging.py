"""Merging a seed: rows of cmdlets, DNS records, entities of Graph and applications over those that a tenant has.

Rows that name the same object become one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from provisioner.sandbox import exports
from provisioner.sandbox.cmdlets.mailbox import directory_id
from provisioner.sandbox.cmdlets.objects import Noun, new_row, stable_guid
from provisioner.sandbox.cmdlets.running import NOUNS
from provisioner.sandbox.generated import USERS, Made
from provisioner.sandbox.public_dns import default_zone, of_the_service
from provisioner.sandbox.tenant import Row, Tenant

# --- rows ------------------------------------------------------------------------------------------------------------


def merge_rows(tenant: Tenant, name: str, given: Iterable[Row], *, exact: bool) -> None:
    """Rows of one noun over those that are there. Nouns that no cmdlet knows are kept as they come."""
    noun = NOUNS.get(name)
    rows = tenant.kept(name)
    known = {label: row for row in rows for label in _labels(row, noun)}
    for row in given:
        found = rows[0] if noun and noun.singleton and rows else _matching(known, row, noun)
        found = found if found is not None else _generated(tenant, row, noun)
        if found is not None and exact:
            found.clear()
        if found is None:
            found = row if exact or noun is None else whole_row(tenant, noun, row, known)
            rows.append(found)
        else:
            found.update(row)
        known.update(dict.fromkeys(_labels(found, noun), found))


def _generated(tenant: Tenant, row: Row, noun: Noun | None) -> Row | None:
    """The row of a generated mailbox that `row` names, to be kept from now on."""
    if noun is None or not tenant.generated:
        return None
    found = (made for label in _labels(row, noun) for made in made_rows(tenant, noun.name, label))
    first = next(found, None)
    return None if first is None else tenant.own(noun.name, first)


def made_rows(tenant: Tenant, kind: str, label: tuple[str, str]) -> Iterator[Made]:
    """The rows of generated mailboxes that have a value in a column; those that were changed are among them."""
    column, value = label
    for source in tenant.generated:
        changed = source.changed.get(kind, {})
        for number in source.numbers(value) if kind in source.templates else ():
            made = changed[number] if number in changed else source.made(kind, number)
            if made is not None and str(made.get(column)).lower() == value:
                yield made


def _labels(row: Row, noun: Noun | None) -> Iterator[tuple[str, str]]:
    holder = _holder(row, noun)
    if holder:  # one mailbox has a row for each of those who hold a right on it
        yield "Trustee", f"{row.get('Identity')}\n{holder}".lower()
        return
    for column in ("Guid", "Identity", "Name", *([noun.key] if noun else [])):
        if row.get(column):
            yield column, str(row[column]).lower()


def _holder(row: Row, noun: Noun | None) -> str:
    """Who holds the right that a row gives; "" for a row of another kind."""
    rights = noun is None or noun.name == "MailboxPermission"
    return str(row.get("Trustee") or (rights and row.get("User")) or "")


def _matching(known: Mapping[tuple[str, str], Row], row: Row, noun: Noun | None) -> Row | None:
    return next((known[label] for label in _labels(row, noun) if label in known), None)


def whole_row(tenant: Tenant, noun: Noun, row: Row, known: Mapping[tuple[str, str], Row]) -> Row:
    """A complete row. A mailbox is named after its address; where that name is taken, something is put behind it."""
    if holder := _holder(row, noun):
        return {**noun.columns, **row, "Guid": stable_guid(noun.name, str(row.get("Identity")), holder)}
    if noun.singleton:  # the row that every tenant has, with what the seed says
        return new_row(tenant, noun, {**next(iter(noun.builtin(tenant)), {}), **row})
    if noun.key != "PrimarySmtpAddress":
        return new_row(tenant, noun, row)
    address = str(row.get("PrimarySmtpAddress") or row.get("UserPrincipalName") or row.get("Name") or "")
    if "@" not in address:
        address = f"{address}@{tenant.initial_domain}"
    name, local = row.get("Name") or row.get("Identity"), address.partition("@")[0]
    if not name:
        label = "Name", local.lower()
        taken = label in known or any(made_rows(tenant, noun.name, label))
        name = f"{local}-{directory_id(tenant, address)[:8]}" if taken else local
    guid = str(row.get("Guid") or stable_guid(tenant.tenant_id, "mailbox", address.lower()))
    return new_row(tenant, noun, {**row, "Name": name, "PrimarySmtpAddress": address}, guid=guid)


# --- DNS, Graph, applications ----------------------------------------------------------------------------------------


def merge_dns(tenant: Tenant, given: Mapping[str, Any]) -> None:
    """The seed's records. A zone of a seed counts whole: what is left of the domain's default zone goes."""
    zone = {_owner(name): records for name, records in given.items()}
    domains = customers_domains(tenant)
    for domain in {_zone_of(owner, domains) for owner in zone} - {""}:
        default = default_zone(tenant, domain)
        tenant.dns = {owner: records for owner, records in tenant.dns.items() if default.get(owner) != records}
    for name, records in zone.items():
        for kind, texts in (records or {}).items():
            values = texts if isinstance(texts, list) else [texts]
            tenant.dns.setdefault(name, {})[str(kind).upper()] = [str(text) for text in values]


def add_default_zones(tenant: Tenant, known: Collection[str], seed: Mapping[str, Any]) -> None:
    """A zone for each domain that is new (not `known`) and of which neither this seed nor DNS says anything.

    It has the CNAMEs of DKIM where signing is enabled, unless the seed's row says that they are missing.
    """
    domains = customers_domains(tenant)
    spoken = {_zone_of(owner, domains) for owner in (*map(_owner, seed.get("dns") or {}), *tenant.dns)}
    configurations = exports.rows_of((seed.get("objects") or {}).get("DkimSigningConfig"))
    stale = {str(row.get("Domain", "")).lower() for row in configurations if row.get("Status") not in {None, "Valid"}}
    for domain in domains:
        if domain not in known and domain not in spoken:
            for row in tenant.rows("DkimSigningConfig"):
                if str(row.get("Domain", "")).lower() == domain and row.get("Enabled") is True and domain not in stale:
                    row["Status"] = "Valid"
            tenant.dns |= default_zone(tenant, domain)


def _owner(name: object) -> str:
    return str(name).lower().rstrip(".")


def customers_domains(tenant: Tenant) -> list[str]:
    """The accepted domains whose zones are the customer's."""
    found = (str(row.get("DomainName", "")).lower() for row in tenant.rows("AcceptedDomain"))
    return [name for name in found if name and not of_the_service(name)]


def _zone_of(owner: str, domains: Iterable[str]) -> str:
    """The longest of the domains that a name is or lies below; "" for a name elsewhere."""
    return max((name for name in domains if f".{owner}".endswith(f".{name}")), key=len, default="")


_ENTITIES = frozenset({
    "conditionalAccessPolicies", "domains", "groups", "namedLocations", "oauth2PermissionGrants", "roleAssignments",
    "subscribedSkus", "users",
})  # fmt: skip

# What the directory gives an id, which a seed may leave to it.
_WITH_IDS = _ENTITIES - {"domains", "subscribedSkus", "users"}


def merge_graph(tenant: Tenant, graph: Mapping[str, Any]) -> None:
    for name, value in graph.items():
        if name in _ENTITIES:
            merge_entities(tenant, name, exports.rows_of(value))
        elif isinstance(value, Mapping) and isinstance(tenant.graph.get(name), Mapping):
            tenant.graph[name] = {**tenant.graph[name], **value}
        else:
            tenant.graph[name] = value


def merge_entities(tenant: Tenant, kind: str, given: Iterable[Row]) -> None:
    """By id; users by their sign-in name as well, which is what a person knows of them."""
    rows: list[Row] = tenant.graph.setdefault(kind, [])

    def labels(row: Row) -> list[tuple[str, str]]:
        return [(column, str(row[column]).lower()) for column in ("id", "userPrincipalName") if row.get(column)]

    known = {label: row for row in rows for _, label in labels(row)}
    for row in given:
        found = next((known[label] for _, label in labels(row) if label in known), None)
        if found is None and kind == USERS:
            made = next((user for label in labels(row) for user in made_rows(tenant, kind, label)), None)
            found = None if made is None else tenant.own(kind, made)
        if found is None:
            if kind in _WITH_IDS and not row.get("id"):
                row = {"id": stable_guid(kind, json.dumps(row, sort_keys=True, default=str)), **row}
            rows.append(row)
        else:
            found.update(row)
        known.update(dict.fromkeys((label for _, label in labels(row)), found if found is not None else row))


def merge_apps(tenant: Tenant, apps: Iterable[Any]) -> None:
    for app in apps:
        same = [a for a in tenant.apps if any(app.get(k) and app[k] == a.get(k) for k in ("appId", "displayName"))]
        if same:
            same[0].update(app)
        else:
            tenant.apps.append(dict(app))
