"""What the rows of all nouns have in common: directory columns, names they are found by, and Get, Set and Remove.

A noun's own file says its columns and rules. Rows of an export keep exactly the columns that they came with; only
what is made here gets them all.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.sandbox.clock import time_like, wire_time
from provisioner.sandbox.cmdlets import errors, opath
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.parameters import Delta, Parameter, Replace, change_list
from provisioner.sandbox.generated import Listing
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import Row, Tenant, row_key

Rows = Sequence[Row]

DEFAULT_SERVER = "AM0PR07A05DC003.EURPR07A005.PROD.OUTLOOK.COM"
_STAMPS = ("WhenChanged", "WhenChangedUTC")


@dataclass(frozen=True, slots=True)
class Noun:
    """One kind of object.

    `columns` are its own columns with what they hold when nothing was said; `container` is the path in the directory
    from below the organization; `names` gives what a row goes by besides the columns that all rows go by; `derive`
    fills a new row's columns that follow from others; `builtin` are the rows that every tenant has.
    `leaks` marks nouns whose Get is documented to return everything for an identity that does not exist.
    """

    name: str
    columns: Mapping[str, Any]
    container: str = "CN=Transport Settings,CN=Configuration"
    category: str = ""
    object_class: tuple[str, ...] = ("top",)
    exchange_version: str = "0.20 (15.0.0.0)"
    key: str = "Name"
    singleton: bool = False
    leaks: bool = False
    names: Callable[[Row], Iterable[object]] = field(default=lambda _: ())
    derive: Callable[[Tenant, Row], None] = field(default=lambda _, __: None)
    builtin: Callable[[Tenant], Iterable[Mapping[str, Any]]] = field(default=lambda _: ())

    def all_names(self, row: Row) -> Iterable[object]:
        """Everything by which a row can be asked for."""
        own = ("Identity", "Name", "Id", "Guid", "ExchangeObjectId", "DistinguishedName", self.key)
        return [*(row[column] for column in own if row.get(column)), *self.names(row)]


def server(tenant: Tenant) -> str:
    """The domain controller that this tenant's answers name."""
    return str(tenant.settings.get("originating_server", DEFAULT_SERVER))


def _forest(tenant: Tenant) -> str:
    return server(tenant).partition(".")[2]


def new_row(tenant: Tenant, noun: Noun, given: Mapping[str, Any], *, guid: str | None = None) -> Row:
    """A complete row: the noun's columns, then those of the directory, with what is given over them.

    Without `guid` one is made from tenant, noun and name, the same every time: a seed gives the same tenant twice.
    """
    name = str(given.get("Name") or given.get(noun.key) or given.get("Identity") or "")
    guid = guid or stable_guid(tenant.tenant_id, noun.name, name.lower())
    columns = {column: list(v) if isinstance(v, list) else v for column, v in noun.columns.items()}
    row = {**columns, **_directory_columns(tenant, noun, name, guid), **given}
    noun.derive(tenant, row)
    return row


def stable_guid(*parts: str) -> str:
    """A GUID that follows from `parts`. By hand, because a large tenant has tens of thousands of them."""
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"


def _directory_columns(tenant: Tenant, noun: Noun, name: str, guid: str) -> Row:
    forest, organization = _forest(tenant), tenant.initial_domain
    now = wire_time(tenant.clock.now(), whole_seconds=True)
    components = ",".join(f"DC={part}" for part in forest.split("."))
    return {
        "AdminDisplayName": "",
        "ExchangeVersion": noun.exchange_version,
        "Name": name,
        "DistinguishedName": _distinguished_name(noun, name, organization, components),
        "Identity": name,
        "ObjectCategory": f"{forest}/Configuration/Schema/{noun.category}",
        "ObjectClass": list(noun.object_class),
        "WhenChanged": now,
        "WhenCreated": now,
        "WhenChangedUTC": now,
        "WhenCreatedUTC": now,
        "ExchangeObjectId": guid,
        "OrganizationalUnitRoot": organization,
        "OrganizationId": f"{forest}/Microsoft Exchange Hosted Organizations/{organization} - {forest}"
        f"/ConfigurationUnits/{organization}/Configuration",
        "Id": name,
        "Guid": guid,
        "OriginatingServer": server(tenant),
        "IsValid": True,
        "ObjectState": "Unchanged",
    }


def _distinguished_name(noun: Noun, name: str, organization: str, components: str) -> str:
    if noun.container.startswith("OU="):
        return f"CN={name},OU={organization},OU=Microsoft Exchange Hosted Organizations,{components}"
    path = noun.container if noun.singleton else f"CN={name},{noun.container}"
    return f"{path},CN={organization},CN=ConfigurationUnits,{components}"


def ensure_builtin(tenant: Tenant, noun: Noun) -> None:
    """Give the tenant the rows of this noun that every tenant has, where it knows none."""
    if tenant.objects.get(noun.name):
        return
    tenant.objects[noun.name] = [new_row(tenant, noun, given) for given in noun.builtin(tenant)]


def stamp(tenant: Tenant, row: Mapping[str, Any]) -> Row:
    """The columns that tell when a row was changed, in the form in which the row has them already."""
    now = tenant.clock.now()
    return {column: time_like(row[column], now, whole_seconds=True) for column in _STAMPS if column in row}


# --- looking up ------------------------------------------------------------------------------------------------------


def find(tenant: Tenant, noun: Noun, identity: str) -> Row:
    """The one row that goes by `identity`, as it really is. Raises CmdletError."""
    return _one(tenant, tenant.named(noun.name, noun.all_names, identity), identity)


def _one(tenant: Tenant, found: Sequence[Row], identity: str) -> Row:
    if not found:
        raise errors.not_found(identity, server(tenant))
    if len(found) > 1:
        raise errors.matches_many(identity)
    return found[0]


def find_visible(tenant: Tenant, noun: Noun, identity: str) -> list[Row]:
    """Rows that a read finds under `identity`: through the index, and past it where a write does not show yet."""
    wanted, unseen = folded(identity), tenant.unseen(noun.name)
    found = tenant.named(noun.name, noun.all_names, wanted)
    if not unseen:
        return found
    before = [entry.before for entry in unseen.values() if entry.before is not None]
    settled = [row for row in found if row_key(row) not in unseen]
    return settled + [row for row in before if wanted in {folded(str(name)) for name in noun.all_names(row)}]


def get(call: Call, noun: Noun) -> Rows:
    """Get: the row asked for, or all, in an order that nobody may rely on.

    A null identity returns everything, and for some nouns so may one that does not exist (setting
    `get_unknown_identity_returns_all`): Microsoft's pages of these cmdlets warn of it.
    """
    identity = call.get("Identity")
    if identity:
        found = find_visible(call.tenant, noun, identity)
        if found or not (noun.leaks and call.tenant.settings.get("get_unknown_identity_returns_all")):
            return [dict(_one(call.tenant, found, identity))]
    return shuffled(call.tenant, each(call.tenant.visible(noun.name), dict))


def filtered(call: Call, rows: Sequence[Row], properties: Mapping[str, opath.Values]) -> Rows:
    """The rows that -Filter asks for; all of them without one. Raises CmdletError."""
    text = call.get("Filter")
    if not text:
        return rows
    fits = opath.predicate(str(text), properties)
    return [row for row in rows if fits(row)]


def shuffled(tenant: Tenant, rows: Rows) -> Rows:
    """A list in another order at each read; the same orders in each run (settings `shuffle`, `shuffle_seed`)."""
    if len(rows) < 2 or not tenant.settings.get("shuffle", True):
        return rows
    chance = random.Random(f"{tenant.settings.get('shuffle_seed', 0)}/{tenant.next_read()}")  # noqa: S311
    if isinstance(rows, Listing):
        steps = (chance.randrange(len(rows)) for _ in itertools.count())
        return rows.turned(next(step for step in steps if math.gcd(step, len(rows)) == 1), chance.randrange(len(rows)))
    shuffled = list(rows)
    chance.shuffle(shuffled)
    return shuffled


def each(rows: Rows, change: Callable[[Row], Row]) -> Rows:
    """The rows after `change`. Those of generated mailboxes are made when somebody looks at them."""
    return rows.mapped(change) if isinstance(rows, Listing) else [change(row) for row in rows]


# --- changing --------------------------------------------------------------------------------------------------------

Form = Callable[[str], str]


def stored_values(
    call: Call, table: Sequence[Parameter], row: Mapping[str, Any], forms: Mapping[str, Form] | None = None
) -> Row:
    """The columns that the sent parameters set, from what the row holds now; `forms` make lists' stored values."""
    found: Row = {}
    for parameter in table:
        if parameter.stored and call.given(parameter.name):
            value = call.get(parameter.name)
            if isinstance(value, Replace | Delta) or parameter.kind.name == "LIST":
                form = (forms or {}).get(parameter.name, str)
                value = change_list(row.get(parameter.name), value, form)
            elif value is None and parameter.kind.name == "STRING" and not parameter.nullable:
                value = ""
            found[parameter.name] = value
    return found


def differing(row: Mapping[str, Any], values: Mapping[str, Any]) -> Row:
    """Those of `values` that are not in the row already. Order means nothing in a list."""
    return {name: value for name, value in values.items() if name not in row or not _same(row[name], value)}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return sorted(map(str, one)) == sorted(map(str, other))
    return type(one) is type(other) and bool(one == other)


def no_change(call: Call, row: Mapping[str, Any]) -> None:
    """Warn that a Set changed nothing (recorded wording)."""
    # TransportConfig has no Identity in exports; the service then names it by Name or Id.
    identity = row.get("Identity") or row.get("Name") or row.get("Id") or row.get("AdminDisplayName")
    call.warn(f"The command completed successfully but no settings of '{identity}' have been modified.")


def set_row(call: Call, noun: Noun, row: Row, values: Mapping[str, Any]) -> bool:
    """Store what differs and stamp the row; warn where nothing does. Returns whether anything did."""
    changes = differing(row, values)
    if not changes:
        no_change(call, row)
        return False
    names = {"Name", "Identity", "Id", "DistinguishedName"} & set(changes)
    call.update(noun.name, row, {**changes, **stamp(call.tenant, row)}, renames=bool(names))
    return True


def target(call: Call, noun: Noun) -> Row:
    """The row that a Set, Remove or Rotate is about. Raises CmdletError."""
    identity = call.get("Identity")
    if identity is None and noun.singleton:
        return call.tenant.rows(noun.name)[0]
    if not identity:
        raise errors.null_argument("Identity")
    return find(call.tenant, noun, identity)


def remove(call: Call, noun: Noun) -> Rows:
    """Remove."""
    call.remove(noun.name, target(call, noun))
    return []


def create(call: Call, noun: Noun, given: Mapping[str, Any]) -> Rows:
    """New: add a row made from `given` and return it. Raises CmdletError where its name is taken."""
    name = str(given.get("Name") or given[noun.key])
    refuse_duplicate(call.tenant, noun, name)
    row = new_row(call.tenant, noun, given, guid=str(uuid.uuid4()))
    call.add(noun.name, row)
    return [dict(row)]


def refuse_duplicate(tenant: Tenant, noun: Noun, name: str) -> None:
    """Raise CmdletError where a row goes by this name already."""
    if any(str(row.get("Name", "")).lower() == name.lower() for row in tenant.rows(noun.name)):
        raise errors.already_exists(name)


def renamed(row: Mapping[str, Any], name: str) -> Row:
    """The columns that follow a row's new name."""
    old = str(row.get("Name", ""))
    changes: Row = {column: name for column in ("Name", "Identity", "Id") if column in row}
    if "DistinguishedName" in row:
        changes["DistinguishedName"] = str(row["DistinguishedName"]).replace(f"CN={old},", f"CN={name},", 1)
    return changes


def accepted_domains(tenant: Tenant) -> set[str]:
    """Names of the tenant's accepted domains, as they are compared."""
    return {folded(str(row.get("DomainName", ""))) for row in tenant.rows("AcceptedDomain")}
