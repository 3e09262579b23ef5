"""One call of a cmdlet: who calls, with what, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.sandbox.tenant import Row, Tenant

# Which cmdlets a directory role may run in Exchange: prefixes of names, "*" for all. Administrators hold every
# management role; the readers hold View-Only roles; the Security Administrator holds Transport Hygiene
# (https://learn.microsoft.com/exchange/permissions-exo). Other roles run nothing here.
_ROLE_CMDLETS: Mapping[str, tuple[str, ...]] = {
    "Global Administrator": ("*",),
    "Exchange Administrator": ("*",),
    # Holds Recipient Management, and with it the role Mail Recipients.
    "Exchange Recipient Administrator": (
        "get-",
        "set-casmailbox",
        "set-mailbox",
        "add-recipientpermission",
        "remove-recipientpermission",
        "add-mailboxpermission",
        "remove-mailboxpermission",
        "add-mailboxfolderpermission",
        "set-mailboxfolderpermission",
        "remove-mailboxfolderpermission",
    ),
    "Global Reader": ("get-",),
    "Security Reader": ("get-",),
    "Security Administrator": (
        "get-",
        "new-dkimsigningconfig",
        "set-dkimsigningconfig",
        "rotate-dkimsigningconfig",
        "set-hostedconnectionfilterpolicy",
        "set-hostedoutboundspamfilterpolicy",
        "new-tenantallowblocklistitems",
        "set-tenantallowblocklistitems",
        "remove-tenantallowblocklistitems",
        "remove-blockedsenderaddress",
    ),
    "Compliance Administrator": ("get-",),
    "Helpdesk Administrator": ("get-mailbox", "get-casmailbox"),
}

# No View-Only role holds these (office-docs-powershell issues 9428 and 7365): the role Mail Recipients is needed.
_MAIL_RECIPIENTS = frozenset({"get-recipientpermission"})
_HOLD_MAIL_RECIPIENTS = frozenset({
    "Global Administrator", "Exchange Administrator", "Exchange Recipient Administrator",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `exchange_cmdlets` are the cmdlets that Exchange role groups allow, None for no role group."""

    app_id: str
    display_name: str = ""
    directory_roles: tuple[str, ...] = ()
    exchange_cmdlets: tuple[str, ...] | None = None
    delegated_upn: str | None = None

    def may_run(self, cmdlet: str) -> bool:
        """Whether any role of the caller has this cmdlet."""
        name = cmdlet.lower()
        if name in {allowed.lower() for allowed in self.exchange_cmdlets or ()}:
            return True
        roles = _HOLD_MAIL_RECIPIENTS.intersection if name in _MAIL_RECIPIENTS else frozenset
        prefixes = [prefix for role in roles(self.directory_roles) for prefix in _ROLE_CMDLETS.get(role, ())]
        return any(prefix == "*" or name.startswith(prefix) for prefix in prefixes)


@dataclass(slots=True)
class CmdletResult:
    """What a cmdlet gave. `errors` are non-terminating.

    `beyond` are rows that ResultSize cut off, `confirmation` is the question of a call that only validated.
    """

    rows: Sequence[Row]
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    beyond: Sequence[Row] = ()
    confirmation: str | None = None


class Call:
    """The bound parameters of one call, and the only way by which a cmdlet changes the tenant.

    A call that only validates (`WhatIf`, or `Confirm` that nobody has answered) changes nothing.
    """

    def __init__(self, tenant: Tenant, cmdlet: str, values: Mapping[str, Any], *, dry: bool = False) -> None:
        self.tenant, self.cmdlet, self.values, self.dry = tenant, cmdlet, values, dry
        self.warnings: list[str] = []

    def given(self, name: str) -> bool:
        """Whether the parameter was sent, be it as null."""
        return name in self.values

    def get(self, name: str, default: Any = None) -> Any:
        """The parameter's value; `default` where it was not sent."""
        return self.values.get(name, default)

    def warn(self, text: str) -> None:
        """Give a warning: the cmdlet succeeds nevertheless."""
        self.warnings.append(text)

    def add(self, noun: str, row: Row) -> None:
        """Add a row to the tenant."""
        if not self.dry:
            self.tenant.add(noun, row)

    def update(self, noun: str, row: Row, values: Mapping[str, Any], *, renames: bool = True) -> None:
        """Change a row of the tenant."""
        if not self.dry:
            self.tenant.update(noun, row, values, renames=renames)

    def remove(self, noun: str, row: Row) -> None:
        """Take a row out of the tenant."""
        if not self.dry:
            self.tenant.remove(noun, row)
