"""The Tenant Allow/Block List: Get, New, Set and Remove.

Columns and parameters: the pages of the cmdlets (office-docs-powershell); `ListType` is mandatory. The entries of a
seed have `Value`, `Action` (Allow, Block) and `ListType` (Sender, Url, FileHash, IP). A new entry expires after
30 days by default (New-TenantAllowBlockListItems, -ExpirationDate); it stays listed here. Refusals are ours.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from provisioner.sandbox.clock import wire_time
from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, new_row, shuffled
from provisioner.sandbox.cmdlets.parameters import Parameter, Replace, array, choice, integer, string, switch, words
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Row

NOUN = Noun(
    "TenantAllowBlockListItems",
    {
        "Value": "",
        "Action": "Block",
        "ListType": "Sender",
        "ListSubType": "Tenant",
        "ExpirationDate": None,
        "LastModifiedDateTime": "2026-11-01T08:00:00.0000000Z",
        "LastUsedDate": None,
        "ModifiedBy": "",
        "Notes": "",
        "SubmissionID": "",
        "SysManaged": False,
    },
    container="CN=Tenant Allow Block List,CN=Configuration",
    key="Value",
)

_TYPES = ("BulkSender", "FileHash", "IP", "Recipient", "Sender", "Url")


def _get(call: Call) -> Rows:
    rows = [row for row in call.tenant.visible(NOUN.name) if row.get("ListType") == call.get("ListType")]
    for action in ("Allow", "Block"):
        if call.get(action):
            rows = [row for row in rows if row.get("Action") == action]
    kinds = call.get("ListSubType")
    if isinstance(kinds, Replace) and kinds.values:
        rows = [row for row in rows if row.get("ListSubType") in kinds.values]
    wanted = call.get("Entry")
    if wanted:
        rows = [row for row in rows if str(row.get("Value")).lower() == str(wanted).lower()]
    return shuffled(call.tenant, rows)


_USUAL_DAYS = 30
_MOST_ENTRIES = 20


def _entries(call: Call) -> list[str]:
    given = call.get("Entries")
    found = list(given.values) if isinstance(given, Replace) else []
    if not found or len(found) > _MOST_ENTRIES:
        raise errors.invalid(f"Entries must have 1 to {_MOST_ENTRIES} values.")
    return found


def _kept(call: Call) -> list[Row]:
    """The rows that a call names by entries or ids. Raises CmdletError where one is not there."""
    ids = call.get("Ids")
    column, wanted = ("Identity", list(ids.values)) if isinstance(ids, Replace) else ("Value", _entries(call))
    rows = [row for row in call.tenant.rows(NOUN.name) if row.get("ListType") == call.get("ListType")]
    found = []
    for name in wanted:
        mine = [row for row in rows if str(row.get(column)).lower() == name.lower()]
        if not mine:
            raise errors.invalid(f"The entry '{name}' isn't in the list.")
        found += mine
    return found


def _given(call: Call) -> Row:
    changes: Row = {name: True for name in ("Allow", "Block") if call.get(name)}
    changes = {"Action": next(iter(changes))} if changes else {}
    if call.get("NoExpiration"):
        changes["ExpirationDate"] = None
    elif call.get("ExpirationDate"):
        changes["ExpirationDate"] = str(call.get("ExpirationDate"))
    if call.given("Notes"):
        changes["Notes"] = call.get("Notes") or ""
    return {**changes, "LastModifiedDateTime": wire_time(call.tenant.clock.now())}


def _new(call: Call) -> Rows:
    entries = _entries(call)
    if bool(call.get("Allow")) is bool(call.get("Block")):
        raise errors.ambiguous_set()
    kind, there = call.get("ListType"), call.tenant.rows(NOUN.name)
    for entry in entries:
        if any(str(row["Value"]).lower() == entry.lower() and row.get("ListType") == kind for row in there):
            raise errors.already_exists(entry)
    end = wire_time(call.tenant.clock.now() + dt.timedelta(days=_USUAL_DAYS))
    given = {
        "ListType": kind,
        "ListSubType": call.get("ListSubType") or "Tenant",
        "ExpirationDate": end,
        **_given(call),
    }
    rows = [new_row(call.tenant, NOUN, {"Value": entry, "Identity": entry, **given}) for entry in entries]
    for row in rows:
        call.add(NOUN.name, row)
    return [dict(row) for row in rows]


def _set(call: Call) -> Rows:
    rows = _kept(call)
    for row in rows:
        call.update(NOUN.name, row, _given(call))
    return [dict(row) for row in rows]


def _remove(call: Call) -> Rows:
    for row in _kept(call):
        call.remove(NOUN.name, row)
    return []


_SPACE = "Microsoft.Exchange.Management.AllowBlockList"
_SUBTYPES = ("AdvancedDelivery", "Submission", "Tenant")
_LIST = choice("ListType", f"{_SPACE}.ListType", *_TYPES, required=True, stored=False)
_SUBTYPE = choice("ListSubType", f"{_SPACE}.ListSubType", *_SUBTYPES, stored=False)
_WHICH = (switch("Allow", stored=False), switch("Block", stored=False))
_ENTRIES = array("Entries", stored=False)
_UNTIL = (string("ExpirationDate", stored=False), switch("NoExpiration", stored=False))
_MORE = (string("Notes", stored=False), integer("RemoveAfter", stored=False), switch("OutputJson", stored=False))


def _cmdlet(verb: str, run: Any, *parameters: Parameter) -> Cmdlet:
    return Cmdlet(f"{verb}-{NOUN.name}", (_LIST, *parameters), run)


CMDLETS = (
    _cmdlet("Get", _get, *_WHICH, string("Entry"), words("ListSubType", f"{_SPACE}.ListSubType", *_SUBTYPES)),
    _cmdlet(
        "New",
        _new,
        array("Entries", required=True, stored=False),
        *_WHICH,
        _SUBTYPE,
        *_UNTIL,
        *_MORE,
        string("SubmissionID", stored=False),
    ),
    _cmdlet("Set", _set, _ENTRIES, array("Ids", stored=False), *_WHICH, _SUBTYPE, *_UNTIL, *_MORE),
    _cmdlet("Remove", _remove, _ENTRIES, array("Ids", stored=False), _SUBTYPE, switch("OutputJson", stored=False)),
)
