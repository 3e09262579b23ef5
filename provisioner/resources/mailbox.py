"""A mailbox that the plan takes for granted: its user is there, may sign in, and has a licence for Exchange.

Read from the directory, whose users are not ours to make: a precondition, checked and never created or changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
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
from provisioner.resources import fields, identities
from provisioner.resources.base import PreconditionType
from provisioner.resources.canonical import (
    RecipientIdKey,
    answered,
    domains_of,
    flag,
    identifier,
    is_guid,
    lenient,
    only,
    recipient_id,
    texts,
)
from provisioner.resources.fields import REQUIRED, column
from provisioner.resources.identities import Directory
from provisioner.resources.rows import FEW, user
from provisioner.resources.rows.recipient import Recipient

_COLUMNS = frozenset({"id", "userPrincipalName", "mail", "proxyAddresses", "accountEnabled", "assignedPlans"})
# Graph, assignedPlan.capabilityStatus: Warning is the grace period, in which the service still works.
_IN_FORCE = frozenset({"enabled", "warning"})


@dataclass(frozen=True, slots=True)
class Mailbox:
    """`enabled`: the user may sign in. `licensed`: a plan of the service Exchange is in force for it.

    Observed only: `sign_in` is the name that its user signs in with, often another than the address; `user_id` is the
    user's id in the directory; `kind` is the kind of the mailbox, where its user does not fit.
    """

    address: str
    enabled: bool | None = column("accountEnabled", REQUIRED, "The user may sign in.")
    licensed: bool | None = column("assignedPlans", REQUIRED, "The user has a licence that holds Exchange Online.")
    sign_in: str | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    user_id: str | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    kind: str | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})


_DESCRIPTION = "What must be true of a mailbox's user. An empty mapping asks only that it is there."


class MailboxType(PreconditionType):
    """mailbox["erp@contoso.com"]."""

    name: ClassVar[str] = "mailbox"
    section: ClassVar[str] = "mailboxes"
    section_type: ClassVar[Any] = fields.section(
        RecipientIdKey,
        fields.entry(Mailbox, "MailboxBody", _DESCRIPTION),
        "Mailboxes that must be there. Checked before anything is done, never created or changed.",
        {"erp@contoso.com": {"enabled": True, "licensed": True}},
    )
    spec: ClassVar[type[Mailbox]] = Mailbox
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Account,)

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        for written, body in section.items():
            key = recipient_id(written)
            yield Declared(key, fields.declared(Mailbox, key, body), (written,))

    def queries(self, wanted: Mapping[str, Mailbox | None], _everything: bool, /) -> Sequence[Query]:
        """A few users one by one, by sign-in name, any address or id; more of them by one listing."""
        if len(wanted) > FEW:
            return (Query(GraphRequest("GET", "/users?$top=999", columns=_COLUMNS), frozenset(wanted)),)
        return [Query(GraphRequest("GET", _look_up(key), columns=_COLUMNS), frozenset({key})) for key in wanted]

    def follow_up(
        self, wanted: Mapping[str, Mailbox | None], _everything: bool, answers: Sequence[tuple[Query, Answer]], /
    ) -> Sequence[Query]:
        """Of which kind a mailbox is whose user may not sign in or has no licence: for the advice alone."""
        seen = self.decode(wanted, answers)
        unfit = [k for k, s in seen.items() if isinstance(s, Mailbox) and False in (s.enabled, s.licensed)]
        return identities.look_ups({_form(key): () for key in unfit}, recipients_only=True)

    def decode(
        self, wanted: Mapping[str, Mailbox | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, Mailbox | Unknown]:
        by_form = {_form(key): key for key in wanted}
        directory = Directory(answers)
        holders: dict[str, list[Row]] = {}
        others: dict[str, list[Row]] = {}
        for row in (row for query, answer in answers if isinstance(query.request, GraphRequest) for row in answer.rows):
            addresses = _addresses(row)
            for name in (addresses | _other_names(row)) & by_form.keys():
                (holders if name in addresses else others).setdefault(by_form[name], []).append(row)
        found = {**others, **holders}  # an address is not taken for the sign-in name of another
        seen: dict[str, Mailbox | Unknown] = {}
        for key, rows in found.items():
            one = only(rows)
            seen[key] = one if isinstance(one, Unknown) else answered(wanted[key], _decode(key, one, directory))
        return seen

    def fix(self, wanted: Mailbox, live: Mailbox | None, /) -> str:
        """An account that is not for signing in should stay blocked (Learn, "About shared mailboxes")."""
        if live is None:
            return f'create "{wanted.address}" first'
        if not live.kind or live.kind == "a user mailbox":
            lacks = [user.ENABLE] if wanted.enabled and live.enabled is False else []
            lacks += [user.LICENSE] if wanted.licensed and live.licensed is False else []
            return " and ".join(lacks) or super().fix(wanted, live)
        return (
            f"it is {live.kind}, whose account should stay blocked. For a password or a person's token, let the device "
            "sign in to another mailbox (mailbox: …) that may send as this address; Send As is then planned. An "
            "application (client credentials) needs no account that may sign in: write oauth: { sign_in: application } "
            "for the device"
        )

    def written_form(self, spec: Mailbox) -> None:
        """A plan names the mailboxes that it rests on, and nobody's else."""

    def mail_domains(self, spec: Mailbox, /) -> Collection[str]:
        """That of the mailbox's address."""
        return domains_of(spec.address)

    def contribution(self, spec: Mailbox) -> Contributions:
        """The account that a sign-in needs."""
        return (Account(spec.address, spec.enabled, spec.licensed, spec.user_id or "", spec.sign_in or ""),)


_form = lenient(recipient_id)


def _look_up(address: str) -> str:
    """The path of one user, by sign-in name, any address or id; a quote is doubled, as OData has it.

    Graph filters on all of them (Learn, user resource type, "$filter"); text compares without case.
    """
    literal = "'" + address.replace("'", "''") + "'"
    alias = "'smtp:" + literal[1:]
    condition = f"userPrincipalName eq {literal} or mail eq {literal} or proxyAddresses/any(p:p eq {alias})"
    if is_guid(address):
        condition = f"id eq {literal}"
    condition = quote(condition, safe="'@")
    return f"/users?$filter={condition}"


def _addresses(row: Row) -> set[str]:
    """Every SMTP address of a user."""
    proxies = (p.partition(":") for p in texts(row, "proxyAddresses") or ())
    names = {_form(address) for kind, _, address in proxies if kind.lower() == "smtp"}
    return names | ({_form(str(row["mail"]))} if row.get("mail") else set())


def _other_names(row: Row) -> set[str]:
    """Sign-in name and id of a user. Raises ValueError for one without a sign-in name."""
    return {_form(identifier(row, "userPrincipalName")), str(row.get("id") or "").lower()}


def _decode(key: str, row: Row, directory: Directory) -> Mailbox:
    plans = row.get("assignedPlans")
    licensed = None if not isinstance(plans, list) else any(map(_holds_exchange, plans))
    user_id = str(row.get("id") or "").lower() or None
    sign_in = _form(identifier(row, "userPrincipalName"))
    owner = directory.meant(_form(key))
    kind = owner.kind if isinstance(owner, Recipient) else None
    return Mailbox(key, flag(row, "accountEnabled"), licensed, sign_in, user_id, kind)


def _holds_exchange(plan: Any) -> bool:
    if not isinstance(plan, Mapping) or str(plan.get("service", "")).lower() != "exchange":
        return False
    return str(plan.get("capabilityStatus", "")).lower() in _IN_FORCE
