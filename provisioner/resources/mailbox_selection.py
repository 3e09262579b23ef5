"""Mailboxes that are selected by what they are, instead of listed: their SMTP AUTH switch.

Who is selected is read from the tenant whenever something is planned. The object of a selection is the switch of each
selected mailbox, so that a change shows every mailbox that it sets, and a mailbox that comes into the selection is a
change by itself. One that leaves it keeps its switch. A mailbox that `smtp_auth` lists is not in any selection.

Sources: Get-Recipient and its filterable properties; Get-DistributionGroupMember (direct members); Set-CASMailbox;
Learn, "Additional OPATH syntax information" ($null is an empty property, a quote in a text is doubled).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from provisioner.diagnostics import Severity
from provisioner.model import (
    Absent,
    Address,
    Advice,
    Answer,
    Cmdlet,
    Declared,
    Guard,
    Links,
    Query,
    Row,
    Rule,
    Send,
    Step,
    Unknown,
    request_key,
)
from provisioner.model.listing import counted, listed
from provisioner.model.picture import Contribution, Contributions, SignIn
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import DomainText, EmailText, guid, refusal, text_of
from provisioner.resources.rows import batches, cas_mailbox, recipient
from provisioner.resources.rows.transport_config import SWITCH, WORDS
from provisioner.resources.smtp_auth import SmtpAuth

_VALUES = {text: value for value, text in WORDS.items()}
_TYPES = {
    "user": "UserMailbox",
    "shared": "SharedMailbox",
    "room": "RoomMailbox",
    "equipment": "EquipmentMailbox",
}
_MEMBERS = "Get-DistributionGroupMember"
_COLUMNS = recipient.COLUMNS | {f"CustomAttribute{number}" for number in range(1, 16)}
_NUMBER = re.compile(r"[1-9]|1[0-5]")


def _attribute(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise refusal("ATTRIBUTE-INVALID", f'"{text}" is not a custom attribute', "write a number from 1 to 15")
    return text


@with_config(ConfigDict(extra="forbid"))
class SelectionBody(TypedDict, total=False):
    """Mailboxes that meet every condition, and their switch. At least one condition."""

    domain: Annotated[DomainText, Field(description="The domain of the primary address.")]
    type: Annotated[Literal["user", "shared", "room", "equipment"], Field(description="The kind of mailbox.")]
    custom_attributes: Annotated[
        dict[Annotated[str, AfterValidator(_attribute)], str],
        Field(description="Values of custom attributes, by number.", examples=[{"1": "printer"}]),
    ]
    group: Annotated[EmailText, Field(description="The address of a group; its direct members are meant.")]
    smtp_auth: Annotated[
        Literal["enabled", "disabled", "inherit"], Field(description="The SMTP AUTH switch of each selected mailbox.")
    ]


def _complete(body: dict[str, Any]) -> dict[str, Any]:
    if "smtp_auth" not in body:
        what = "a selection without smtp_auth sets nothing"
        raise refusal("SELECTION-SETS-NOTHING", what, "write smtp_auth: enabled, disabled or inherit")
    if not any(value for name, value in body.items() if name != "smtp_auth"):
        what = "a selection without a condition would be every mailbox"
        raise refusal("SELECTION-UNLIMITED", what, "write domain, type, custom_attributes or group")
    return body


@dataclass(frozen=True, slots=True)
class MailboxSelection:
    """`mailboxes` are the selected ones with their switches, "scan@contoso.com enabled", once the tenant was read.

    `listed` are those that `smtp_auth` lists, which are left out; it follows from the plan. `contested` are those to
    which another selection gives another switch, with its name. `live` has the mailboxes of the tenant, and is neither
    shown nor saved.
    """

    name: str
    smtp_auth: str | None = None
    domain: str | None = None
    type: str | None = None
    custom_attributes: frozenset[str] | None = None
    group: str | None = None
    mailboxes: frozenset[str] | None = None
    listed: frozenset[str] | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    contested: frozenset[str] | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    live: frozenset[str] = dataclasses.field(default=frozenset(), compare=False, repr=False, metadata={"names": True})


class MailboxSelectionType(BaseType):
    """mailbox_selection["printers"]. Mailboxes are never created or deleted."""

    name: ClassVar[str] = "mailbox_selection"
    section: ClassVar[str] = "mailbox_selections"
    section_type: ClassVar[Any] = Annotated[
        dict[str, Annotated[SelectionBody, AfterValidator(_complete)]],
        Field(
            description="Mailboxes selected by conditions. The key is a name of your choice.",
            examples=[{"printers": {"custom_attributes": {"1": "printer"}, "smtp_auth": "enabled"}}],
        ),
    ]
    spec: ClassVar[type[MailboxSelection]] = MailboxSelection
    contributes: ClassVar[tuple[type[Contribution], ...]] = (SignIn,)
    creatable: ClassVar[bool] = False
    deletable: ClassVar[bool] = False
    more_nouns: ClassVar[frozenset[str]] = frozenset({"CASMailbox"})
    governs: ClassVar[str] = "smtp_auth"
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "SELECTION-CONTRADICTS",
            Severity.ERROR,
            "precondition",
            "Two selections give a mailbox different switches.",
        ),
        Rule("SELECTION-ENABLES", Severity.ERROR, "apply", "SMTP AUTH would be enabled for selected mailboxes."),
        Rule("SELECTION-MEMBERS", Severity.INFO, "", "The mailboxes that a selection means now are listed."),
    )

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        for key, body in section.items():
            written = dict(body)
            attributes = written.pop("custom_attributes", None)
            pairs = None if attributes is None else frozenset(f"{n}={value}" for n, value in attributes.items())
            yield Declared(key, MailboxSelection(key, custom_attributes=pairs, **written), (key,))

    def linked(self, spec: MailboxSelection, links: Links, /) -> MailboxSelection:
        """With the switch that each selected mailbox is to have, and without those that `smtp_auth` lists."""
        own = {a.key: s for a, s in links.declared.items() if a.type == "smtp_auth"}
        named = {name for key, one in own.items() for name in (key, getattr(one, "mailbox", None)) if name}
        spec = dataclasses.replace(spec, listed=(frozenset(named) | (spec.listed or frozenset())) or None)
        there = links.object(Address(self.name, spec.name))
        if there is None or not there.live:
            return spec
        selected = _mailboxes(there.live) - (spec.listed or frozenset())
        wanted = frozenset(f"{mailbox} {spec.smtp_auth}" for mailbox in selected)
        others = [s for a, s in links.declared.items() if a.type == self.name and s.smtp_auth != spec.smtp_auth]
        contested = frozenset(f"{m} ({other.name})" for other in others for m in selected & _mailboxes(other.live))
        return dataclasses.replace(spec, mailboxes=wanted, contested=contested or None)

    def queries(self, wanted: Mapping[str, MailboxSelection | None], _everything: bool, /) -> Sequence[Query]:
        """For each selection its mailboxes, and the members of its group."""
        return [q for key, spec in wanted.items() if spec is not None for q in _asked(key, spec)]

    def follow_up(
        self,
        wanted: Mapping[str, MailboxSelection | None],
        _everything: bool,
        answers: Sequence[tuple[Query, Answer]],
        /,
    ) -> Sequence[Query]:
        """The switches of those who are selected."""
        owners: dict[str, set[str]] = {}
        for key, spec in wanted.items():
            for one in _members(spec, answers) if spec else ():
                owners.setdefault(guid(one), set()).add(key)
        parts = ((part, frozenset().union(*(owners[one] for one in part))) for part in batches(owners))
        return [Query(cas_mailbox.by_guid(part), keys) for part, keys in parts]

    def decode(
        self, wanted: Mapping[str, MailboxSelection | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, MailboxSelection | Absent | Unknown]:
        rows = [row for q, a in answers if str(q.request) == cas_mailbox.NAME for row in a.rows]
        switches = {guid(row): row for row in rows}
        return {k: _seen(spec, answers, switches) for k, spec in wanted.items() if spec is not None and answers}

    def steps(self, before: MailboxSelection | None, after: MailboxSelection | None) -> Sequence[Step]:
        """One write for each mailbox whose switch differs."""
        if before is None or after is None or after.mailboxes is None:
            return ()
        return tuple(
            Send(Cmdlet("Set-CASMailbox", {"Identity": mailbox, SWITCH: _VALUES[state]}))
            for mailbox, _, state in (e.rpartition(" ") for e in sorted(after.mailboxes - (before.mailboxes or set())))
        )

    def touches(self, before: MailboxSelection | None, after: MailboxSelection | None, /) -> int:
        """The mailboxes whose switch differs."""
        return len(_switches(after) - _switches(before))

    def governed(
        self, before: MailboxSelection | None, after: MailboxSelection | None, /
    ) -> Mapping[Address, tuple[SmtpAuth, SmtpAuth]]:
        """The switch of each mailbox that was set, also of one that is not selected any more."""
        earlier, later = (_by_mailbox(_switches(spec)) for spec in (before, after))
        return {
            Address(self.governs, mailbox): (SmtpAuth(mailbox, earlier[mailbox]), SmtpAuth(mailbox, state))
            for mailbox, state in later.items()
            if earlier.get(mailbox, state) != state
        }

    def written_form(self, _spec: MailboxSelection) -> tuple[tuple[str, ...], Any] | None:
        """A tenant has mailboxes, and no selections."""
        return None

    def mail_domains(self, spec: MailboxSelection, /) -> Collection[str]:
        """That which the conditions name; others follow from the tenant."""
        return () if spec.domain is None else (spec.domain,)

    def contribution(self, spec: MailboxSelection) -> Contributions:
        """The switch of each selected mailbox."""
        return tuple(SignIn(mailbox, state) for mailbox, state in _by_mailbox(spec.mailboxes).items())

    def guards(self, before: MailboxSelection | None, after: MailboxSelection | None) -> Iterable[Guard]:
        """Anyone who may change an attribute or a group decides who is selected."""
        if before is None or after is None:
            return
        if after.contested:
            summary = f"another selection gives these mailboxes another switch: {listed(after.contested)}"
            hint = "narrow the conditions of one of the two, or list the mailboxes under smtp_auth"
            yield Guard("SELECTION-CONTRADICTS", summary, hint)
        entries = _switches(after) - _switches(before)
        new = frozenset(mailbox for mailbox, _, state in (e.rpartition(" ") for e in entries) if state == "enabled")
        if new:
            count = counted(len(new), "mailbox", "mailboxes")
            summary = f"SMTP AUTH would be enabled for {count} that the conditions select: {listed(new)}"
            yield Guard(
                "SELECTION-ENABLES",
                summary,
                "check that each of them should sign in with SMTP AUTH, or narrow the conditions",
            )

    def advice(self, _wanted: MailboxSelection, live: MailboxSelection) -> Iterable[Advice]:
        """Who is selected, also where nothing changes."""
        found = _mailboxes(live.mailboxes)
        if not found:
            hint = "correct the conditions, if a mailbox should meet them"
            yield Advice("SELECTION-MEMBERS", "no mailbox is selected", hint)
            return
        count = "1 mailbox is" if len(found) == 1 else f"{len(found):,} mailboxes are"
        summary = f"{count} selected: {listed(found, 10)}"
        yield Advice("SELECTION-MEMBERS", summary, "to set a mailbox apart, list it under smtp_auth")

    def in_force(self, _wanted: MailboxSelection, _live: MailboxSelection, /) -> str:
        """A switch is in force."""
        return ""


def _switches(spec: MailboxSelection | None) -> frozenset[str]:
    return (spec.mailboxes if spec else None) or frozenset()


def _by_mailbox(states: frozenset[str] | None) -> dict[str, str]:
    """The switches by their mailboxes."""
    return {mailbox: state for mailbox, _, state in (entry.rpartition(" ") for entry in sorted(states or ()))}


def _mailboxes(states: frozenset[str] | None) -> frozenset[str]:
    return frozenset(_by_mailbox(states))


# --- who is selected -------------------------------------------------------------------------------------------------


def _asked(key: str, spec: MailboxSelection) -> Iterator[Query]:
    conditions = ["RecipientType -eq 'UserMailbox'"]
    if spec.type:
        conditions.append(f"RecipientTypeDetails -eq '{_TYPES[spec.type]}'")
    for pair in sorted(spec.custom_attributes or ()):
        number, _, value = pair.partition("=")
        quoted = "'{}'".format(value.replace("'", "''"))
        conditions.append(f"CustomAttribute{number} -eq {quoted if value else '$null'}")
    text = " -and ".join(conditions)
    yield Query(Cmdlet(recipient.NAME, {"Filter": text, "ResultSize": "Unlimited"}, _COLUMNS), frozenset({key}))
    if spec.group:
        yield Query(_of_group(spec.group), frozenset({key}), may_be_missing=True)


def _of_group(group: str) -> Cmdlet:
    return Cmdlet(_MEMBERS, {"Identity": group, "ResultSize": "Unlimited"}, recipient.COLUMNS)


def _members(spec: MailboxSelection, answers: Sequence[tuple[Query, Answer]]) -> Sequence[Row]:
    """The mailboxes of a selection. Raises ValueError for a row without its Guid or what the conditions look at."""
    asked = list(_asked(spec.name, spec))
    told = {request_key(query.request): answer.rows for query, answer in answers}
    found = [told.get(request_key(query.request)) for query in asked]
    if any(rows is None for rows in found):
        return ()
    rows, *groups = found
    if any(not guid(row) for part in found for row in part or ()):
        raise ValueError("a mailbox has no Guid")
    members = {guid(row) for row in groups[0] or ()} if groups else None
    return [row for row in rows or () if _fits(spec, row) and (members is None or guid(row) in members)]


def _fits(spec: MailboxSelection, row: Row) -> bool:
    """Whether a row meets the conditions: the filter leaves out the domain; the others are checked once more."""
    address = _primary(row)
    pairs = (pair.partition("=") for pair in spec.custom_attributes or ())
    return (
        (spec.domain is None or address.rpartition("@")[2] == spec.domain)
        and (spec.type is None or _told(row, "RecipientTypeDetails") == _TYPES[spec.type])
        and all(_told(row, f"CustomAttribute{n}").lower() == value.lower() for n, _, value in pairs)
    )


def _told(row: Row, column: str) -> str:
    """A column as text. Raises ValueError where it is missing or not text: whether the mailbox is meant is unknown."""
    text = text_of(row, column)
    if text is None:
        raise ValueError(f"{column} of a mailbox was not returned")
    return text


def _primary(row: Row) -> str:
    """The primary address. Raises ValueError for what is not text."""
    text_of(row, "PrimarySmtpAddress")
    return cas_mailbox.primary(row)


def _seen(
    spec: MailboxSelection, answers: Sequence[tuple[Query, Answer]], switches: Mapping[str, Row]
) -> MailboxSelection | Absent | Unknown:
    """The selected mailboxes with their switches, without those that the plan lists; why there can be none."""
    ours = (answer for query, answer in answers if spec.name in query.covers)
    if any(answer.missing for answer in ours):  # only a query of a group may be missing
        hint = "write the address of a distribution group or a mail-enabled security group"
        return Absent(f"the tenant has no group {spec.group} whose members can be listed", hint)
    states: set[str] = set()
    for row in _members(spec, answers):
        own = switches.get(guid(row))
        address = _primary(row)
        if own is None or SWITCH not in own or not (own[SWITCH] is None or isinstance(own[SWITCH], bool)):
            return Unknown(f"the switch of {address} was not returned", "incomplete")
        if (spec.listed or frozenset()).isdisjoint({address, *recipient.addresses(row)}):
            states.add(f"{address} {WORDS[own[SWITCH]]}")
    live = frozenset(states)
    return dataclasses.replace(spec, mailboxes=live, live=live)
