"""The SMTP AUTH switch: one for the organization, one for each mailbox that overrides it.

Its words on the wire are those of `rows.transport_config`. Nothing is created or deleted: the switch lives and dies
with the mailbox.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from provisioner.diagnostics import Severity
from provisioner.model import (
    Advice,
    Answer,
    Cmdlet,
    Declared,
    Guard,
    Query,
    Row,
    Rule,
    Send,
    Step,
    Undeclared,
    Unknown,
    picture,
)
from provisioner.model.picture import Contribution, Contributions, SignIn
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    EmailKey,
    Flag,
    email_address,
    guid,
    known_names,
    lenient,
    only,
    read_only,
)
from provisioner.resources.rows import FEW, cas_mailbox, transport_config, user
from provisioner.resources.rows.transport_config import SWITCH, WORDS

ORGANIZATION = "organization"
"""The key of the organization's switch; the others are addresses of mailboxes."""

_VALUES = {text: value for value, text in WORDS.items()}


@dataclass(frozen=True, slots=True)
class SmtpAuth:
    """`identity` is the plan's word for the mailbox (any of its addresses); `mailbox` its primary address, observed."""

    identity: str
    smtp_auth: str | None = None
    mailbox: str | None = read_only()
    names: frozenset[str] = known_names()


@with_config(ConfigDict(extra="forbid"))
class SmtpAuthSection(TypedDict, total=False):
    """Who may send with a user name and a password or token (SMTP AUTH, client submission)."""

    organization: Annotated[
        Literal["enabled", "disabled"],
        Field(description="What holds for every mailbox that says nothing else. Disabled is what Microsoft advises."),
    ]
    exclusive: Annotated[
        Flag,
        Field(description="true: an override of any mailbox that is not listed here goes back to inherit."),
    ]
    mailboxes: Annotated[
        dict[EmailKey, Literal["enabled", "disabled", "inherit"]],
        Field(
            description="By address: enabled or disabled whatever the organization says, or inherit to follow it.",
            examples=[{"erp@contoso.com": "enabled", "old-fax@contoso.com": "disabled"}],
        ),
    ]


_TENANT_WIDE = "SMTP-TENANT-WIDE"
_ONE_BY_ONE = "leave the organization disabled and enable the mailboxes that need it, one by one"


class SmtpAuthType(BaseType):
    """smtp_auth["organization"] and smtp_auth["erp@contoso.com"]."""

    name: ClassVar[str] = "smtp_auth"
    section: ClassVar[str] = "smtp_auth"
    section_type: ClassVar[Any] = SmtpAuthSection
    spec: ClassVar[type[SmtpAuth]] = SmtpAuth
    contributes: ClassVar[tuple[type[Contribution], ...]] = (SignIn,)
    creatable: ClassVar[bool] = False
    deletable: ClassVar[bool] = False
    singletons: ClassVar[tuple[str, ...]] = (ORGANIZATION,)
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(_TENANT_WIDE, Severity.ERROR, "apply", "SMTP AUTH would be switched on for every mailbox."),
    )

    def declare(self, section: SmtpAuthSection, _owner: str, /) -> Iterable[Declared]:
        """A mailbox written in two spellings comes twice with one key, for the caller to refuse."""
        if "organization" in section:
            yield Declared(ORGANIZATION, SmtpAuth(ORGANIZATION, section["organization"]), ("organization",))
        for address, value in section.get("mailboxes", {}).items():
            key = email_address(address)
            yield Declared(key, SmtpAuth(key, value), ("mailboxes", address))

    def exclusive(self, section: SmtpAuthSection) -> bool:
        return section.get("exclusive", False)

    def queries(self, wanted: Mapping[str, SmtpAuth | None], everything: bool) -> Sequence[Query]:
        """The organization's switch if it is wanted; a few mailboxes one by one, more of them by one listing."""
        asked = []
        if ORGANIZATION in wanted:
            asked.append(Query(transport_config.REQUEST, frozenset({ORGANIZATION})))
        mailboxes = [key for key in wanted if key != ORGANIZATION]
        if everything or len(mailboxes) > FEW:
            asked.append(Query(cas_mailbox.LISTING, frozenset(mailboxes)))
        else:
            asked += [Query(cas_mailbox.look_up(k), frozenset({k}), True) for k in mailboxes]
        return asked

    def decode(
        self, wanted: Mapping[str, SmtpAuth | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, SmtpAuth | Unknown]:
        """Wanted switches under their wanted keys; other mailboxes, where all were listed, under their primary address.

        Get-CASMailbox may return every mailbox for an identity that does not exist: rows are matched by address here.
        """
        seen: dict[str, SmtpAuth | Unknown] = {}
        sign_ins = _sign_ins(answers)
        for query, answer in answers:
            request = query.request
            if not isinstance(request, Cmdlet):
                continue
            if request == transport_config.REQUEST:
                seen[ORGANIZATION] = _organization(answer.rows)
                continue
            if request.name != cas_mailbox.NAME:
                continue
            listed = [_named(row, sign_ins) for row in answer.rows]
            found = _match(query.covers, listed)
            seen.update({key: _mailbox(key, rows) for key, rows in found.items()})
            if "Identity" not in request.parameters:
                claimed = {id(row) for rows in found.values() for row in rows}
                others: dict[str, list[Row]] = {}
                for row in listed:
                    if id(row) not in claimed:
                        others.setdefault(cas_mailbox.primary(row), []).append(row)
                seen.update({primary: _mailbox(primary, rows) for primary, rows in others.items()})
        return {key: spec for key, spec in seen.items() if key in wanted or key != ORGANIZATION}

    def follow_up(
        self, wanted: Mapping[str, SmtpAuth | None], everything: bool, answers: Sequence[tuple[Query, Answer]]
    ) -> Sequence[Query]:
        """The sign-in names, which rows of Get-CASMailbox do not have.

        Asked for where they decide: of a wanted mailbox that no row has as an address, and of the overrides that an
        exclusive section would take back.
        """
        asked = [(q, a) for q, a in answers if isinstance(q.request, Cmdlet) and q.request.name == cas_mailbox.NAME]
        missing = {k for q, a in asked if a.rows for k in q.covers - _match(q.covers, a.rows).keys()}
        queries = [Query(user.look_up(key), frozenset({key}), may_be_missing=True) for key in sorted(missing)]
        if everything:
            keys = frozenset(k for k in wanted if k != ORGANIZATION)
            claimed = {id(row) for _, a in asked for rows in _match(keys, a.rows).values() for row in rows}
            overrides = [r for _, a in asked for r in a.rows if id(r) not in claimed and r.get(SWITCH) is not None]
            queries += [Query(user.look_up(guid(r)), frozenset(), may_be_missing=True) for r in overrides if guid(r)]
        if len(queries) <= FEW:
            return queries
        return (Query(user.LISTING, frozenset(missing)),)

    def undeclared(self, observed: SmtpAuth, _owner: str, exclusive: bool, /) -> SmtpAuth | Undeclared:
        overrides = observed.identity != ORGANIZATION and observed.smtp_auth in {"enabled", "disabled"}
        return dataclasses.replace(observed, smtp_auth="inherit") if exclusive and overrides else Undeclared.KEEP

    def steps(self, before: SmtpAuth | None, after: SmtpAuth | None) -> Sequence[Step]:
        if after is None or after.smtp_auth is None or (before and before.smtp_auth == after.smtp_auth):
            return ()
        value = _VALUES[after.smtp_auth]
        if after.identity == ORGANIZATION:
            return (Send(Cmdlet("Set-TransportConfig", {SWITCH: value})),)
        return (Send(Cmdlet("Set-CASMailbox", {"Identity": after.identity, SWITCH: value})),)

    def written_form(self, spec: SmtpAuth) -> tuple[tuple[str, ...], Any] | None:
        if spec.identity == ORGANIZATION:
            return ("organization",), spec.smtp_auth
        return None if spec.smtp_auth in (None, "inherit") else (("mailboxes", spec.identity), spec.smtp_auth)

    def contribution(self, spec: SmtpAuth) -> Contributions:
        """The switch of a mailbox, or of the organization."""
        mailbox = picture.ORGANIZATION if spec.identity == ORGANIZATION else spec.identity
        return () if spec.smtp_auth is None else (SignIn(mailbox, spec.smtp_auth, spec.names),)

    def guards(self, before: SmtpAuth | None, after: SmtpAuth | None) -> Iterable[Guard]:
        """The organization's switch is meant to stay off; a mailbox that has to sign in overrides it."""
        if _for_all(after) and not _for_all(before):
            summary = "SMTP AUTH would be switched on for every mailbox of the tenant that does not override it"
            yield Guard(_TENANT_WIDE, summary, _ONE_BY_ONE)

    def advice(self, wanted: SmtpAuth, live: SmtpAuth) -> Iterable[Advice]:
        if _for_all(wanted) and _for_all(live):
            summary = "SMTP AUTH is on for every mailbox of the tenant that does not override it"
            yield Advice(_TENANT_WIDE, summary, _ONE_BY_ONE)

    def identity(self, spec: SmtpAuth) -> str:
        """The primary address: a plan may write any address of a mailbox."""
        return spec.mailbox or ""

    def in_force(self, _wanted: SmtpAuth, _live: SmtpAuth, /) -> str:
        """A switch is in force."""
        return ""


_form = lenient(email_address)


def _for_all(spec: SmtpAuth | None) -> bool:
    return spec is not None and spec.identity == ORGANIZATION and spec.smtp_auth == "enabled"


def _organization(rows: Sequence[Row]) -> SmtpAuth | Unknown:
    """The one row of the organization; no row is no answer, for every organization has one."""
    switch = transport_config.smtp_auth(rows)
    if switch is None:
        return Unknown(f"Get-TransportConfig did not tell {SWITCH}", "malformed")
    return SmtpAuth(ORGANIZATION, switch)


def _mailbox(key: str, rows: Sequence[Row]) -> SmtpAuth | Unknown:
    """Null is inherit; a row without the column says nothing (Get-EXOCasMailbox leaves it out unless asked)."""
    row = only(rows)
    if isinstance(row, Unknown):
        return row
    if SWITCH not in row or not (row[SWITCH] is None or isinstance(row[SWITCH], bool)):
        return Unknown(f"the answer for {key} did not tell {SWITCH}", "malformed")
    return SmtpAuth(key, WORDS[row[SWITCH]], cas_mailbox.primary(row), cas_mailbox.names(row))


def _match(keys: Iterable[str], rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each key, by primary or other SMTP address; by sign-in name where no mailbox has such an address."""
    by_form = {_form(key): key for key in keys}
    by_address: dict[str, list[Row]] = {}
    by_sign_in: dict[str, list[Row]] = {}
    for row in rows if by_form else ():
        for address in cas_mailbox.addresses(row) & by_form.keys():
            by_address.setdefault(by_form[address], []).append(row)
        sign_in = _form(str(row.get(cas_mailbox.SIGN_IN) or ""))
        if sign_in in by_form:
            by_sign_in.setdefault(by_form[sign_in], []).append(row)
    return {**by_sign_in, **by_address}


def _sign_ins(answers: Sequence[tuple[Query, Answer]]) -> Mapping[str, str]:
    """The sign-in names of users by Guid."""
    asked = [a for q, a in answers if isinstance(q.request, Cmdlet) and q.request.name == "Get-User"]
    users = (user.decode(row) for answer in asked for row in answer.rows)
    return {account.id: account.sign_in for account in users if account.id}


def _named(row: Row, sign_ins: Mapping[str, str]) -> Row:
    """The row with its user's sign-in name, where that was asked for."""
    sign_in = sign_ins.get(guid(row)) if sign_ins else None
    return {**row, cas_mailbox.SIGN_IN: sign_in} if sign_in else row
