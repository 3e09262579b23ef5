"""Transport rules (mail flow rules): Get, New, Set, Remove, Enable and Disable, as mail from devices needs them.

A rule is switched by New alone or by Enable and Disable; Get shows `State`. Priorities are the places in the list, from
0: a new rule goes last, or where Priority puts it, and the others move (New-TransportRule, -Priority). Conditions,
actions and exceptions are also listed as .NET class names, some of which are ours. 300 rules at most (recorded
TransportRuleLimit). Sentences of refusals are ours where no source stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioner.sandbox.cmdlets import errors, outbound_connector
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import (
    Noun,
    Rows,
    create,
    differing,
    find,
    get,
    no_change,
    refuse_duplicate,
    remove,
    renamed,
    set_row,
    stored_values,
    target,
)
from provisioner.sandbox.cmdlets.parameters import array, boolean, choice, identity, integer, string, values
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Row, Tenant

_CLASSES = "Microsoft.Exchange.MessagingPolicies.Rules.Tasks"
_CONDITIONS = {
    "From": "FromPredicate",
    "FromScope": "FromScopePredicate",
    "SenderDomainIs": "SenderDomainIsPredicate",
    "SenderIpRanges": "SenderIpRangesPredicate",
    "RecipientDomainIs": "RecipientDomainIsPredicate",
    "SentToScope": "SentToScopePredicate",
}
_EXCEPTIONS = {f"ExceptIf{column}": name for column, name in _CONDITIONS.items()}
_ACTIONS = {
    "RejectMessageReasonText": "RejectMessageAction",
    "DeleteMessage": "DeleteMessageAction",
    "Quarantine": "QuarantineAction",
    "RedirectMessageTo": "RedirectMessageAction",
    "SetHeaderName": "SetHeaderAction",
    "SetSCL": "SetSclAction",
    "RouteMessageOutboundConnector": "RouteMessageOutboundConnectorAction",
    "RouteMessageOutboundRequireTls": "RouteMessageOutboundRequireTlsAction",
    "StopRuleProcessing": "StopRuleProcessingAction",
}
_MOST = 300


def _derive(_: Tenant, row: Row) -> None:
    _listed(row)


NOUN = Noun(
    "TransportRule",
    {
        "Priority": 0,
        "DlpPolicy": None,
        "Comments": "",
        "State": "Enabled",
        "Mode": "Enforce",
        "RuleErrorAction": "Ignore",
        "SenderAddressLocation": "Header",
        "RuleVersion": {"Major": 15, "Minor": 0, "Build": 0, "Revision": 0},
        "Conditions": [],
        "Actions": [],
        "Exceptions": [],
        **dict.fromkeys((*_CONDITIONS, *_EXCEPTIONS)),
        "RejectMessageReasonText": None,
        "RejectMessageEnhancedStatusCode": None,
        "DeleteMessage": False,
        "Quarantine": False,
        "RedirectMessageTo": None,
        "SetHeaderName": None,
        "SetHeaderValue": None,
        "SetSCL": None,
        "RouteMessageOutboundConnector": None,
        "RouteMessageOutboundRequireTls": False,
        "StopRuleProcessing": False,
    },
    container="CN=TransportVersioned,CN=Rules,CN=Transport Settings,CN=Configuration",
    category="ms-Exch-Transport-Rule",
    object_class=("top", "msExchTransportRule"),
    derive=_derive,
)

_FROM = ("InOrganization", "NotInOrganization")
_TO = (*_FROM, "ExternalPartner", "ExternalNonPartner")


def _predicates(prefix: str = "") -> tuple[Any, ...]:
    """The parameters of what a rule looks at, or of its exceptions."""
    return (
        array(f"{prefix}From"),
        choice(f"{prefix}FromScope", f"{_CLASSES}.FromUserScope", *_FROM, nullable=True),
        array(f"{prefix}SenderDomainIs"),
        values(f"{prefix}SenderIpRanges"),
        array(f"{prefix}RecipientDomainIs"),
        choice(f"{prefix}SentToScope", f"{_CLASSES}.ToUserScope", *_TO, nullable=True),
    )


_TABLE = (
    string("Comments", nullable=True, max_length=1024),
    choice("Mode", f"{_CLASSES}.RuleMode", "Audit", "AuditAndNotify", "Enforce"),
    choice("RuleErrorAction", f"{_CLASSES}.RuleErrorAction", "Ignore", "Defer"),
    choice("SenderAddressLocation", f"{_CLASSES}.SenderAddressLocation", "Header", "Envelope", "HeaderOrEnvelope"),
    *_predicates(),
    *_predicates("ExceptIf"),
    string("RejectMessageReasonText", nullable=True),
    string("RejectMessageEnhancedStatusCode", nullable=True),
    boolean("DeleteMessage"),
    boolean("Quarantine"),
    array("RedirectMessageTo"),
    string("SetHeaderName", nullable=True, max_length=64),
    string("SetHeaderValue", nullable=True),
    integer("SetSCL", nullable=True, range=(-1, 9)),
    string("RouteMessageOutboundConnector", nullable=True),
    boolean("RouteMessageOutboundRequireTls"),
    boolean("StopRuleProcessing"),
    integer("Priority", stored=False),
)
# Recorded (KelvinTegelaar/CIPP issue 5379).
_NO_ACTION = errors.CmdletError(
    "System.ArgumentException",
    "To be valid, all rules have to include at least one action. Please specify an action. (Parameter 'Actions')",
)
_NEW = (string("Name", required=True, max_length=64), boolean("Enabled", stored=False), *_TABLE)
_SET = (identity(), string("Name", max_length=64), *_TABLE)


def _is_set(value: object) -> bool:
    """Whether a part of a rule is one: a SetSCL of 0 is."""
    return value is not None and value is not False and value != []


def _listed(row: Row) -> None:
    """The class names of what a rule looks at and does."""
    for column, names in (("Conditions", _CONDITIONS), ("Exceptions", _EXCEPTIONS), ("Actions", _ACTIONS)):
        row[column] = [f"{_CLASSES}.{name}" for part, name in names.items() if _is_set(row.get(part))]


def _changes(call: Call, row: Mapping[str, Any]) -> Row:
    """The columns that a call sets. Raises CmdletError for what does not hold together."""
    changes = {n: (None if v == [] else v) for n, v in stored_values(call, call_table(call), row).items()}
    connector = changes.get("RouteMessageOutboundConnector")
    if connector:
        changes["RouteMessageOutboundConnector"] = find(call.tenant, outbound_connector.NOUN, connector)["Name"]
    after = {**row, **changes}
    if bool(after.get("SetHeaderName")) != bool(after.get("SetHeaderValue")):
        raise errors.invalid("SetHeaderName and SetHeaderValue have to be used together.")
    if not any(_is_set(after.get(part)) for part in _ACTIONS):
        raise _NO_ACTION
    listed = dict(after)
    _listed(listed)
    return {**changes, **{column: listed[column] for column in ("Conditions", "Exceptions", "Actions")}}


def call_table(call: Call) -> tuple[Any, ...]:
    """The parameters of the call's own cmdlet that are stored."""
    return _NEW if call.cmdlet.startswith("New-") else _SET


def _ordered(call: Call) -> list[Row]:
    return sorted(call.tenant.rows(NOUN.name), key=lambda row: int(row.get("Priority") or 0))


def _renumber(call: Call, rows: list[Row]) -> None:
    for place, row in enumerate(rows):
        if row.get("Priority") != place:
            call.update(NOUN.name, row, {"Priority": place}, renames=False)


def _place(call: Call, most: int) -> int | None:
    place = call.get("Priority")
    if place is not None and not 0 <= place <= most:
        raise errors.invalid(f"The priority {place} isn't valid. Valid values are 0 to {most}.")
    return None if place is None else int(place)


def _new(call: Call) -> Rows:
    rows = _ordered(call)
    if len(rows) >= _MOST:
        raise errors.invalid(f"An organization can't have more than {_MOST} transport rules.")
    refuse_duplicate(call.tenant, NOUN, str(call.get("Name")))
    place = _place(call, len(rows))
    given = {**_changes(call, {}), "State": "Disabled" if call.get("Enabled") is False else "Enabled"}
    made = create(call, NOUN, {**given, "Priority": len(rows) if place is None else place})
    if place is not None and not call.dry:
        own = find(call.tenant, NOUN, str(call.get("Name")))
        _renumber(call, [*rows[:place], own, *rows[place:]])
    return made


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    changes = _changes(call, row)
    name = changes.pop("Name", None)
    if name and name != row.get("Name"):
        refuse_duplicate(call.tenant, NOUN, name)
        changes |= renamed(row, name)
    others = [other for other in _ordered(call) if other is not row]
    place = _place(call, len(others))
    moved = place is not None and place != row.get("Priority")
    if not moved or differing(row, changes):
        set_row(call, NOUN, row, changes)
    if place is not None and moved:
        _renumber(call, [*others[:place], row, *others[place:]])
    return []


def _remove(call: Call) -> Rows:
    row = target(call, NOUN)
    others = [other for other in _ordered(call) if other is not row]
    remove(call, NOUN)
    _renumber(call, others)
    return []


def _switch(state: str) -> Any:
    def run(call: Call) -> Rows:
        row = target(call, NOUN)
        if row.get("State") == state:
            no_change(call, row)
        else:
            set_row(call, NOUN, row, {"State": state})
        return []

    return run


_STATE = choice("State", "Microsoft.Exchange.MessagingPolicies.Rules.RuleState", "Enabled", "Disabled", stored=False)


def _get(call: Call) -> Rows:
    rows = get(call, NOUN)
    return [row for row in rows if row.get("State") == call.get("State")] if call.get("State") else rows


CMDLETS = (
    Cmdlet("Get-TransportRule", (identity(required=False), _STATE), _get),
    Cmdlet("New-TransportRule", _NEW, _new),
    Cmdlet("Set-TransportRule", _SET, _set),
    Cmdlet("Remove-TransportRule", (identity(),), _remove),
    Cmdlet("Enable-TransportRule", (identity(),), _switch("Enabled")),
    Cmdlet("Disable-TransportRule", (identity(),), _switch("Disabled")),
)
