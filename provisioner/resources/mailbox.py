"""A mailbox that the plan takes for granted: its user is there, may sign in, and has a licence for Exchange.

Read from the directory, whose users are not ours to make: a precondition, checked and never created or changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

from provisioner.model import (
    Answer,
    Declared,
    GraphRequest,
    Query,
    Row,
    Unknown,
)
from provisioner.model.picture import Account, Contribution, Contributions
from provisioner.resources import fields
from provisioner.resources.base import PreconditionType
from provisioner.resources.canonical import EmailKey, answered, email_address, flag, identifier, lenient, only, texts
from provisioner.resources.fields import REQUIRED, column
from provisioner.resources.rows import FEW

_COLUMNS = frozenset({"id", "userPrincipalName", "mail", "proxyAddresses", "accountEnabled", "assignedPlans"})
# Graph, assignedPlan.capabilityStatus: Warning is the grace period, in which the service still works.
_IN_FORCE = frozenset({"enabled", "warning"})


@dataclass(frozen=True, slots=True)
class Mailbox:
    """`enabled`: the user may sign in. `licensed`: a plan of the service Exchange is in force for it.

    Observed only: `sign_in` is the name that its user signs in with, often another than the address; `user_id` is the
    user's id in the directory.
    """

    address: str
    enabled: bool | None = column("accountEnabled", REQUIRED, "The user may sign in.")
    licensed: bool | None = column("assignedPlans", REQUIRED, "The user has a licence that holds Exchange Online.")
    sign_in: str | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    user_id: str | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})


_DESCRIPTION = "What must be true of a mailbox's user. An empty mapping asks only that it is there."


class MailboxType(PreconditionType):
    """mailbox["erp@contoso.com"]."""

    name: ClassVar[str] = "mailbox"
    section: ClassVar[str] = "mailboxes"
    section_type: ClassVar[Any] = fields.section(
        EmailKey,
        fields.entry(Mailbox, "MailboxBody", _DESCRIPTION),
        "Mailboxes that must be there. Checked before anything is done, never created or changed.",
        {"erp@contoso.com": {"enabled": True, "licensed": True}},
    )
    spec: ClassVar[type[Mailbox]] = Mailbox
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Account,)

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        for written, body in section.items():
            key = email_address(written)
            yield Declared(key, fields.declared(Mailbox, key, body), (written,))

    def queries(self, wanted: Mapping[str, Mailbox | None], _everything: bool, /) -> Sequence[Query]:
        """A few users one by one, by sign-in name or primary address; more of them by one listing."""
        if len(wanted) > FEW:
            return (Query(GraphRequest("GET", "/users?$top=999", columns=_COLUMNS), frozenset(wanted)),)
        return [Query(GraphRequest("GET", _look_up(key), columns=_COLUMNS), frozenset({key})) for key in wanted]

    def decode(
        self, wanted: Mapping[str, Mailbox | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, Mailbox | Unknown]:
        by_form = {_form(key): key for key in wanted}
        found: dict[str, list[Row]] = {}
        for _, answer in answers:
            for row in answer.rows:
                for name in _names(row) & by_form.keys():
                    found.setdefault(by_form[name], []).append(row)
        seen: dict[str, Mailbox | Unknown] = {}
        for key, rows in found.items():
            one = only(rows)
            seen[key] = one if isinstance(one, Unknown) else answered(wanted[key], _decode(key, one))
        return seen

    def written_form(self, spec: Mailbox) -> None:
        """A plan names the mailboxes that it rests on, and nobody's else."""

    def contribution(self, spec: Mailbox) -> Contributions:
        """The account that a sign-in needs."""
        return (Account(spec.address, spec.enabled, spec.licensed, spec.user_id or ""),)


_form = lenient(email_address)


def _look_up(address: str) -> str:
    """The path of one user; a quote in the address is doubled, as OData has it."""
    literal = "'" + address.replace("'", "''") + "'"
    condition = quote(f"userPrincipalName eq {literal} or mail eq {literal}", safe="'@")
    return f"/users?$filter={condition}"


def _names(row: Row) -> set[str]:
    """Sign-in name and every SMTP address of a user. Raises ValueError for one without a sign-in name."""
    proxies = (p.partition(":") for p in texts(row, "proxyAddresses") or ())
    names = {_form(address) for kind, _, address in proxies if kind.lower() == "smtp"}
    mail = {_form(str(row["mail"]))} if row.get("mail") else set()
    return names | mail | {_form(identifier(row, "userPrincipalName"))}


def _decode(key: str, row: Row) -> Mailbox:
    plans = row.get("assignedPlans")
    licensed = None if not isinstance(plans, list) else any(map(_holds_exchange, plans))
    user_id = str(row.get("id") or "").lower() or None
    return Mailbox(key, flag(row, "accountEnabled"), licensed, _form(identifier(row, "userPrincipalName")), user_id)


def _holds_exchange(plan: Any) -> bool:
    if not isinstance(plan, Mapping) or str(plan.get("service", "")).lower() != "exchange":
        return False
    return str(plan.get("capabilityStatus", "")).lower() in _IN_FORCE
