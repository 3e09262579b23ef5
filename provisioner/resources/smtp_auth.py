"""The SMTP AUTH switch: one for the organization, one for each mailbox that overrides it.

Its words on the wire are those of `rows.transport_config`. Nothing is created or deleted: the switch lives and dies
with the mailbox.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from provisioner.diagnostics import Severity
from provisioner.model import (
    Absent,
    Advice,
    Answer,
    Cmdlet,
    Declared,
    Guard,
    Query,
    ReadBack,
    Row,
    Rule,
    Send,
    Step,
    Undeclared,
    Unknown,
    picture,
)
from provisioner.model.picture import Contribution, Contributions, SignIn
from provisioner.resources import mailbox_settings
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    Flag,
    RecipientKey,
    domains_of,
    guid,
    known_names,
    only,
    read_only,
    recipient_name,
)
from provisioner.resources.identities import Directory, Party
from provisioner.resources.rows import FEW, cas_mailbox, recipient, transport_config
from provisioner.resources.rows.recipient import Recipient
from provisioner.resources.rows.service_principal import ServicePrincipal
from provisioner.resources.rows.transport_config import SWITCH, WORDS

ORGANIZATION = "organization"
"""The key of the organization's switch; the others are addresses of mailboxes."""

_VALUES = {text: value for value, text in WORDS.items()}


@dataclass(frozen=True, slots=True)
class SmtpAuth:
    """`identity` is the plan's word for the mailbox: any of its names. Observed: its primary address and its Guid."""

    identity: str
    smtp_auth: str | None = None
    mailbox: str | None = read_only()
    names: frozenset[str] = known_names()
    id: str | None = read_only()


@with_config(ConfigDict(extra="forbid"))
class SmtpAuthSection(TypedDict, total=False):
    """Who may send with a user name and a password or token (SMTP AUTH, client submission)."""

    organization: Annotated[
        Literal["enabled", "disabled"],
        Field(description="The value for every mailbox that does not override it. Microsoft advises disabled."),
    ]
    exclusive: Annotated[
        Flag,
        Field(description="true: an override of any mailbox that is not listed here goes back to inherit."),
    ]
    mailboxes: Annotated[
        dict[RecipientKey, Literal["enabled", "disabled", "inherit"]],
        Field(
            description="By name: enabled or disabled whatever the organization says, or inherit to follow it.",
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
            key = recipient_name(address)
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
            found = () if everything else cas_mailbox.look_ups(mailboxes)
            parts = tuple(Query(request, frozenset(names)) for names, request in found)
            asked.append(Query(cas_mailbox.listing(map(_form, mailboxes)), frozenset(mailboxes), parts=parts))
        else:
            asked += [Query(cas_mailbox.look_up(k), frozenset({k})) for k in mailboxes]
        return asked

    def follow_up(
        self, wanted: Mapping[str, SmtpAuth | None], everything: bool, answers: Sequence[tuple[Query, Answer]]
    ) -> Sequence[Query]:
        """Whom the names mean that no mailbox has as an address, and the switches of those who sign in by them.

        Of the overrides that an exclusive section would take back the other names are asked for too: one of them may be
        declared, ignored or protected.
        """
        if _settled(wanted, answers):
            return ()
        seen = _Seen(wanted, answers)
        queries = mailbox_settings.names_of(seen.unmatched, seen.resolved, seen.rows, cas_mailbox.by_guid)
        if everything:
            overrides = [guid for guid, row in seen.rows.items() if guid and row.get(SWITCH) is not None]
            others = sorted(set(overrides) - {guid(row) for rows in seen.matched.values() for row in rows})
            queries += mailbox_settings.other_names(others, seen.unmatched)
        return queries

    def passed_over(self, answers: Sequence[tuple[Query, Answer]], /) -> int:
        """The mailboxes that inherit the switch."""
        return sum(answer.passed for query, answer in answers if query.request == cas_mailbox.LISTING)

    def decode(
        self, wanted: Mapping[str, SmtpAuth | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, SmtpAuth | Absent | Unknown]:
        """Wanted switches under their wanted keys; where all were listed, the others under their primary address."""
        found: dict[str, SmtpAuth | Absent | Unknown] = {}
        seen = _Seen(wanted, answers)
        for query, answer in answers:
            if query.request == transport_config.REQUEST and ORGANIZATION in wanted:
                found[ORGANIZATION] = _organization(answer.rows)
        found.update({key: seen.mailbox(key, rows) for key, rows in seen.matched.items()})
        found.update({key: seen.unresolved(key) for key in seen.unmatched})
        if seen.listed:
            claimed = {id(row) for rows in seen.matched.values() for row in rows}
            others: dict[str, list[Row]] = {}
            for row in seen.mailboxes:
                if id(row) not in claimed:
                    others.setdefault(cas_mailbox.primary(row), []).append(row)
            found.update({key: seen.mailbox(key, rows) for key, rows in others.items()})
        return found

    def undeclared(self, observed: SmtpAuth, _owner: str, exclusive: bool, /) -> SmtpAuth | Undeclared:
        overrides = observed.identity != ORGANIZATION and observed.smtp_auth in {"enabled", "disabled"}
        return dataclasses.replace(observed, smtp_auth="inherit") if exclusive and overrides else Undeclared.KEEP

    def steps(self, before: SmtpAuth | None, after: SmtpAuth | None) -> Sequence[Step]:
        if after is None or after.smtp_auth is None or (before and before.smtp_auth == after.smtp_auth):
            return ()
        value = _VALUES[after.smtp_auth]
        if after.identity == ORGANIZATION:
            return (Send(Cmdlet("Set-TransportConfig", {SWITCH: value})),)
        known = after.id or (before.id if before else None)
        return (Send(Cmdlet("Set-CASMailbox", {"Identity": known or after.identity, SWITCH: value})),)

    def written_form(self, spec: SmtpAuth) -> tuple[tuple[str, ...], Any] | None:
        if spec.identity == ORGANIZATION:
            return ("organization",), spec.smtp_auth
        return None if spec.smtp_auth in (None, "inherit") else (("mailboxes", spec.identity), spec.smtp_auth)

    def mail_domains(self, spec: SmtpAuth, /) -> Collection[str]:
        """That of the mailbox's address."""
        return domains_of(spec.identity)

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

    def read_back(self, spec: SmtpAuth) -> ReadBack | None:
        if spec.smtp_auth is None:
            return None
        shows = {SWITCH: _VALUES[spec.smtp_auth]}
        if spec.identity == ORGANIZATION:
            return ReadBack(Cmdlet("Get-TransportConfig"), shows)
        return ReadBack(Cmdlet("Get-CASMailbox", {"Identity": spec.id or spec.identity}), shows)

    def in_force(self, _wanted: SmtpAuth, _live: SmtpAuth, /) -> str:
        """A switch is in force."""
        return ""


_form = mailbox_settings.form


def _for_all(spec: SmtpAuth | None) -> bool:
    return spec is not None and spec.identity == ORGANIZATION and spec.smtp_auth == "enabled"


def _organization(rows: Sequence[Row]) -> SmtpAuth | Unknown:
    """The one row of the organization; no row is not an answer, for every organization has one."""
    switch = transport_config.smtp_auth(rows)
    if switch is None:
        return Unknown(f"Get-TransportConfig did not return {SWITCH}", "malformed")
    return SmtpAuth(ORGANIZATION, switch)


def _of_mailboxes(answers: Sequence[tuple[Query, Answer]]) -> Sequence[tuple[Cmdlet, Answer]]:
    """The answers that hold mailboxes."""
    asked = ((query.request, answer) for query, answer in answers)
    return [(q, a) for q, a in asked if isinstance(q, Cmdlet) and q.name == cas_mailbox.NAME]


def _asked_for(wanted: Iterable[str], answers: Sequence[tuple[Query, Answer]]) -> Sequence[str]:
    """The wanted mailboxes that the answers could tell."""
    covered = {key for query, _ in answers for key in query.covers}
    return [key for key in wanted if key != ORGANIZATION and key in covered]


def _settled(wanted: Iterable[str], answers: Sequence[tuple[Query, Answer]]) -> bool:
    """Whether every mailbox is wanted by its primary address, and each that overrides the organization is wanted.

    Then no name is left to ask for, as in most plans, and their other names need not be worked out to know it.
    """
    rows = [row for _, answer in _of_mailboxes(answers) for row in answer.rows]
    names = set(map(_form, _asked_for(wanted, answers)))
    overriding = {cas_mailbox.primary(row) for row in rows if row.get(SWITCH) is not None}
    return overriding <= names <= set(map(cas_mailbox.primary, rows))


class _Seen:
    """The mailboxes of the answers, and which of them the wanted names mean.

    An address means the mailbox that has it. A name that none has as an address is resolved by the lookups, where they
    were made already: it may be a sign-in name, an id or a display name.
    """

    def __init__(self, wanted: Iterable[str], answers: Sequence[tuple[Query, Answer]]) -> None:
        mine = _of_mailboxes(answers)
        self.listed = any("Filter" not in request.parameters for request, _ in mine)
        self.mailboxes: list[Row] = [row for _, answer in mine for row in answer.rows]
        self.rows = {guid(row): row for row in self.mailboxes}
        self._names: dict[int, frozenset[str]] = {}
        self.directory = Directory(answers)
        keys = _asked_for(wanted, answers)
        self.matched = self._match(keys)
        self.resolved = {key: party.id for key in keys if isinstance(party := self._meant(key), Recipient)}
        for key, identity in self.resolved.items():
            if key not in self.matched and identity in self.rows:
                self.matched[key] = [self.rows[identity]]
        self.unmatched = [key for key in keys if key not in self.matched]

    def _match(self, keys: Iterable[str]) -> dict[str, list[Row]]:
        """The rows of each key, by address or id; by display name where the key is one."""
        by_form = {_form(key): key for key in keys}
        shared = {name for name in by_form if "@" not in name}
        found: dict[str, list[Row]] = {}
        for row in self.mailboxes if by_form else ():
            names = by_form.keys() & self._called(row)
            for name in names | (shared & cas_mailbox.shared_names(row)) if shared else names:
                found.setdefault(by_form[name], []).append(row)
        return found

    def _called(self, row: Row) -> frozenset[str]:
        """The names that mean this mailbox alone, worked out once."""
        names = self._names.get(id(row))
        if names is None:
            names = self._names[id(row)] = cas_mailbox.names(row)
        return names

    def mailbox(self, key: str, rows: Sequence[Row]) -> SmtpAuth | Unknown:
        """The mailbox of rows that a key means, or of one primary address.

        Null is inherit; a row without the column says nothing (Get-EXOCasMailbox leaves it out unless asked).
        """
        if len(rows) > 1 and len({guid(row) for row in rows}) > 1:
            several = ", ".join(sorted(map(cas_mailbox.primary, rows)))
            return Unknown(f"{key} is a name of several mailboxes ({several}): write the primary address", "ambiguous")
        row = only(rows)
        if isinstance(row, Unknown):
            return row
        if SWITCH not in row or not (row[SWITCH] is None or isinstance(row[SWITCH], bool)):
            return Unknown(f"the answer for {key} lacks {SWITCH}", "malformed")
        identity = guid(row)
        person = self.directory.recipient(identity)
        names = self._called(row) | person.own if person else self._called(row)
        return SmtpAuth(key, WORDS[row[SWITCH]], cas_mailbox.primary(row), names, identity or None)

    def _meant(self, key: str) -> object:
        return None if key in self.matched else self.directory.meant(_form(key))

    def unresolved(self, key: str) -> Absent | Unknown:
        """Why a name means no mailbox, as far as it was looked up."""
        party = mailbox_settings.meant(key, self.directory)
        if isinstance(party, Absent | Unknown):
            return party
        kind = party.kind if isinstance(party, Recipient) else "an application"
        return Absent(f"{_form(key)} is {kind}, not a mailbox: SMTP AUTH is a setting of mailboxes", _fitting(party))


def _fitting(party: Party) -> str:
    """What to do instead for what is not a mailbox."""
    kind = party.type if isinstance(party, Recipient) else ""
    if kind == recipient.MAIL_USER:
        return (
            "a High Volume Email account is a mail user, and this setting does not hold for it: send to "
            "the host of High Volume Email without it; otherwise give the user a mailbox"
        )
    if kind == recipient.CONTACT:
        return "a contact cannot sign in: write the address of the mailbox that the device signs in to"
    if kind in {recipient.GROUP, recipient.SECURITY_GROUP}:
        return "a group cannot sign in: enable the mailbox of one user, and let it send as the group under send_as"
    if isinstance(party, ServicePrincipal):
        return (
            "an application signs in to a mailbox: write that mailbox, and give the application its right under send_as"
        )
    return "write the address of a mailbox"
