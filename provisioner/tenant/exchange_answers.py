"""What Exchange's own words mean, whichever transport carried them: errors, cut listings, questions to answer."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from provisioner.diagnostics import Malformed, NotFound, Refused, TenantError, Throttled, Unavailable, Unclear
from provisioner.model import Cmdlet, Parameter, Row
from provisioner.tenant import limits

TRUNCATED = "There are more results available than are currently displayed"
"""The warning of a listing that ResultSize cut."""

OWN_QUOTA = "surpassed the permitted limit"
"""Of message traces alone (100 queries in five minutes: Learn, Get-MessageTraceV2)."""

BUSY = ("maximum number of concurrent requests", "Too Many Requests", "Too many requests", OWN_QUOTA)
"""Of all cmdlets (Too Many Requests is what 429 means: RFC 6585, 4), and of message traces."""

# Errors that Microsoft's module repeats: the cmdlet did not run.
_TRANSIENT = (
    "DCOverloadedException",
    "SuitabilityDirectoryException",
    "ServerInMMException",
    "ADServerSettingsChangedException",
    "StorageTransientException",
)
# Other temporary problems of the service. That the cmdlet did not run is not told: the directory was not there when it
# was read, or when the object was saved (office-docs-powershell issue 10972; ErrorADOperation in exchangelib issue 439;
# ADTransientException and ADOperationException of a domain controller that is not available).
_PASSING = re.compile(
    r"TransientException|TimeoutException|try again (?:later|after some time)|retry at a later time"
    r"|operation (?:has )?timed out",
    re.IGNORECASE,
)
_CONFIRMING = frozenset({"Set", "Remove", "Disable", "Enable"})

# One of these is in every row of a Get cmdlet. Exports of real tenants (ScubaGear reports, 2023 to 2026) have all four
# for connectors, DKIM, domains and the transport configuration, and Name alone for the organization.
_IDENTIFIERS = ("Identity", "Name", "Guid", "Id")

# Records are not objects of the directory, and have an id of their own.
_RECORD_IDS = {
    "Get-MessageTraceV2": ("MessageTraceId",),
    "Get-MessageTraceDetailV2": ("MessageTraceId",),
    "Get-HistoricalSearch": ("JobId",),
}
# The row of one account or domain that was asked for by its identity: no source shows an identifier in it.
_UNNAMED = frozenset({
    "Get-HVEAccountSettings", "Get-HVEAccountBillingPolicy", "Get-IPv6StatusForAcceptedDomain",
    "Get-LimitsEnforcementStatus", "Get-DnssecStatusForVerifiedDomain",
})  # fmt: skip

# Every row has these, null or empty where the object has no such value: with them it is told who is meant, and what is
# not found is concluded to be absent. A tri-state that is not set comes as null, and what objects of one kind do not
# have (columns of inbound connectors) is not listed here: a type that lacks it says so itself. (Rows of real tenants;
# Learn, "Property sets in Exchange Online PowerShell module cmdlets"; Test-ServicePrincipalAuthorization, examples.)
_ADDRESSED = frozenset({"EmailAddresses", "PrimarySmtpAddress", "RecipientType"})
_TOLD_BY_EVERY_ROW = {
    "Get-Recipient": _ADDRESSED | {"WindowsLiveID"},
    "Get-Mailbox": _ADDRESSED,
    "Get-MailUser": _ADDRESSED,
    "Get-CASMailbox": frozenset({"EmailAddresses", "PrimarySmtpAddress"}),
    "Get-User": frozenset({"UserPrincipalName", "WindowsEmailAddress"}),
    "Get-ServicePrincipal": frozenset({"AppId", "ObjectId", "Sid", "DisplayName"}),
    "Test-ServicePrincipalAuthorization": frozenset({"RoleName", "InScope"}),
}

# One object in every tenant, which no permission hides in part (Get-TransportConfig, Get-OrganizationConfig).
_SINGLETONS = frozenset({"Get-TransportConfig", "Get-OrganizationConfig"})

# At least one in every tenant: the initial domain (onmicrosoft.com) can't be removed.
_NEVER_EMPTY = frozenset({"Get-AcceptedDomain"})


def confirmed(cmdlet: Cmdlet) -> Mapping[str, Parameter]:
    """The parameters with the question "are you sure?" answered: nobody is there to be asked."""
    if cmdlet.name.partition("-")[0] in _CONFIRMING and "Confirm" not in cmdlet.parameters:
        return {**cmdlet.parameters, "Confirm": False}
    return cmdlet.parameters


def wanted_columns(cmdlet: Cmdlet) -> frozenset[str]:
    """The columns that its rows are cut to; none for all. What a row is known by always stays."""
    return cmdlet.columns | frozenset(_known_by(cmdlet)) if cmdlet.columns and cmdlet.reads else frozenset()


def _known_by(cmdlet: Cmdlet) -> tuple[str, ...]:
    return _RECORD_IDS.get(cmdlet.name, _IDENTIFIERS)


class Reduced:
    """The rows of one answer, reduced while they arrive: to those that are needed, with the columns that are decoded.

    `decode` makes a column's value of what the wire has. What is not kept is checked and counted all the same.
    """

    def __init__(self, cmdlet: Cmdlet, decode: Callable[[Any], Any] = lambda value: value) -> None:
        self._cmdlet, self._decode = cmdlet, decode
        self._columns = wanted_columns(cmdlet)
        self._known_by = _known_by(cmdlet)
        self._needed = cmdlet.needed if cmdlet.reads else None
        self._told = _TOLD_BY_EVERY_ROW.get(cmdlet.name, frozenset()) & cmdlet.columns
        self._nameless = 0
        self._lacking: Counter[str] = Counter()
        self.rows: list[Row] = []
        self.passed = 0

    def take(self, rows: Sequence[Any]) -> None:
        """Some more rows, as the wire has them: names with an `@` are not columns. Raises Malformed."""
        known_by, told = self._known_by, self._told
        for row in rows:
            if row.__class__ is not dict and not isinstance(row, Mapping):
                raise Malformed(f"a row is not an object but {type(row).__name__}", self._cmdlet.name)
            for column in known_by:
                if row.get(column):
                    break
            else:
                self._nameless += 1
            if not told <= row.keys():
                self._lacking.update(told - row.keys())
        kept = self._needed.of(rows) if self._needed else rows
        self.rows += map(self._cut, kept)
        self.passed += len(rows) - len(kept)
        if self.count > limits.MOST_ROWS:
            raise Malformed(f"the answer has more than {limits.MOST_ROWS:,} rows", self._cmdlet.name)

    @property
    def count(self) -> int:
        """How many rows came."""
        return len(self.rows) + self.passed

    def _cut(self, row: Row) -> Row:
        names = (name for name in self._columns if name in row) if self._columns else (n for n in row if "@" not in n)
        return {name: self._decode(row[name]) for name in names}

    def check(self) -> None:
        """Raise Malformed where the rows of a read can't be the whole answer: nothing may be concluded from it.

        A row without any identifier is not an object; one object that every tenant has can't be missing or come twice.
        Where rows lack a column that was asked for, what they are searched for may be there all the same.
        """
        name, count = self._cmdlet.name, self.count
        if self._lacking:
            most, columns = max(self._lacking.values()), ", ".join(sorted(self._lacking))
            raise Malformed(f"{most:,} of {count:,} rows lack {columns}, which every row has", name)
        if not name.startswith("Get-") or name in _UNNAMED:
            return
        if self._nameless:
            what = f"{self._nameless:,} of {count:,} rows have none of {', '.join(self._known_by)}"
            raise Malformed(what, name)
        if name in _SINGLETONS and count != 1:
            raise Malformed(f"the answer has {count:,} rows, and every tenant has exactly one", name)
        if name in _NEVER_EMPTY and not count:
            raise Malformed("the answer has no rows, and every tenant has at least one", name)


def error_by_type(
    cmdlet: Cmdlet, type_: str, message: str, *, status: int | None = None, request_id: str = "", reason: str = ""
) -> TenantError:
    """The exception by the service's own type of error; by its text where there is no type."""
    facts = (message or reason or "refused without a reason", cmdlet.name, type_, status, request_id)
    both = f"{type_} {message}"
    if any(text in message for text in BUSY) or "ThrottlingException" in type_:
        return Throttled(*facts, own_quota=OWN_QUOTA in message)
    if (
        "ManagementObjectNotFoundException" in both
        or "couldn't be found on" in message
        or "couldn't be read from" in message
    ):
        return NotFound(*facts)
    if "The specified mailbox" in message and "doesn't exist" in message:
        return NotFound(*facts)
    if any(name in both for name in _TRANSIENT):
        return Unavailable(*facts)
    if "pagination request" in message:
        return Malformed(*facts)
    if (status in (500, 502, 504) and not type_) or _PASSING.search(both):
        return Unclear(*facts)
    return Refused(*facts)


def beside_success(error: TenantError) -> TenantError:
    """An error that the service gave beside a success. A write may have been carried out all the same."""
    return dataclasses.replace(error, beside_success=True) if isinstance(error, Refused) else error


_NOT_VIEW_ONLY = frozenset({"Get-RecipientPermission"})
"""What no View-Only role may run although it only reads (office-docs-powershell issue 9428)."""


def role_hint(cmdlet: Cmdlet) -> str:
    """Which role to give to anyone who may not run a cmdlet."""
    read = "Global Reader (Entra) or View-Only Configuration and View-Only Recipients (Exchange)"
    if cmdlet.name in _NOT_VIEW_ONLY:
        read = "Exchange Recipient Administrator (Entra) or Mail Recipients (Exchange); Global Reader does not hold it"
    write = "Exchange Administrator (Entra), or an Exchange role group with the roles that hold it"
    recent = "after a change of roles a new token is needed, and up to some hours"
    return f"give the app a role that holds {cmdlet.name}: {read if cmdlet.reads else write}; {recent}"
