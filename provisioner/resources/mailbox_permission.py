"""FullAccess of an application to a mailbox: what lets it sign in as that mailbox over SMTP (client credentials).

One resource for each pair; the right has no place for an ownership mark, so pairs that the plan does not list are left
alone, and one that leaves the plan is taken away by `absent`. The application is written by its client id, resolved to
its service principal, and the right is read and written by ids. AutoMapping, which would open the mailbox in a person's
Outlook, is sent as false; Exchange does not return it (Add-MailboxPermission).

Source: Learn, "Authenticate an IMAP, POP or SMTP connection using OAuth".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from provisioner.model import (
    Absent,
    Address,
    Answer,
    Cmdlet,
    Declared,
    Guard,
    Query,
    ReadBack,
    Row,
    Send,
    Step,
    Unknown,
)
from provisioner.model.picture import Contribution, Contributions, MailboxRight
from provisioner.resources import identities, pairs
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    RecipientText,
    client_id,
    domains_of,
    known_names,
    lenient,
    read_only,
    recipient_id,
)
from provisioner.resources.identities import Directory
from provisioner.resources.pairs import HOLDER, OBJECT, Pairs
from provisioner.resources.rows import enterprise_application, mailbox_permission, recipient, service_principal
from provisioner.resources.rows.mailbox_permission import FULL_ACCESS, FullAccess
from provisioner.resources.rows.recipient import MAILBOX, Recipient
from provisioner.resources.rows.service_principal import ServicePrincipal
from provisioner.resources.service_principal import Key

MOST_LISTED = 200
"""The rights on so many mailboxes are listed for an export, each by a request; of more the export says that it has not
asked."""


@dataclass(frozen=True, slots=True)
class MailboxPermission:
    """The application of a client id may open `mailbox`. The key is `6f1c0d1e-… on invoices@contoso.com`.

    Observed: the object id of the application, the Guid of the mailbox; `registered` says that Exchange knows the
    application already.
    """

    pair: str
    application: str | None = dataclasses.field(default=None, metadata={"of_key": True})
    mailbox: str | None = dataclasses.field(default=None, metadata={"of_key": True})
    object_id: str | None = read_only()
    mailbox_id: str | None = read_only()
    registered: bool | None = read_only()
    names: frozenset[str] = known_names()


def permission_of(application: str, mailbox: str) -> MailboxPermission:
    """The right of one pair, both in canonical form."""
    return MailboxPermission(f"{application} on {mailbox}", application, mailbox)


Section = dict[Key, Annotated[list[RecipientText], Field(description="The mailboxes that it may open.")]]


class MailboxPermissionType(BaseType):
    """mailbox_permission["6f1c0d1e-… on invoices@contoso.com"]."""

    name: ClassVar[str] = "mailbox_permission"
    section: ClassVar[str] = "mailbox_permissions"
    key_form: ClassVar[str] = "CLIENT_ID on MAILBOX"
    section_type: ClassVar[Any] = Annotated[
        Section,
        Field(
            description="Which application may open which mailbox (FullAccess): a client id, then mailboxes.",
            examples=[{"6f1c0d1e-0000-4000-8000-000000000001": ["invoices@contoso.com"]}],
        ),
    ]
    spec: ClassVar[type[MailboxPermission]] = MailboxPermission
    contributes: ClassVar[tuple[type[Contribution], ...]] = (MailboxRight,)
    privileged: ClassVar[bool] = True
    listed_in_parts: ClassVar[bool] = True
    more_nouns: ClassVar[frozenset[str]] = frozenset({"MailboxPermission"})

    def declare(self, section: Section, _owner: str, /) -> Iterable[Declared]:
        for written, mailboxes in section.items():
            for index, mailbox in enumerate(mailboxes):
                right = permission_of(client_id(written), mailbox)
                yield Declared(right.pair, right, (written, index))

    def queries(self, wanted: Mapping[str, MailboxPermission | None], everything: bool, /) -> Sequence[Query]:
        """Who the two parties of every pair are; all of both kinds for an export."""
        keys = frozenset(wanted)
        applications = Query(service_principal.LISTING, keys)
        if everything:
            return [applications, Query(recipient.LISTING, keys)]
        look_ups = identities.look_ups(_PAIRS.keys_by(wanted, OBJECT), recipients_only=True)
        return [applications, *look_ups] if wanted else []

    def follow_up(
        self,
        wanted: Mapping[str, MailboxPermission | None],
        everything: bool,
        answers: Sequence[tuple[Query, Answer]],
        /,
    ) -> Sequence[Query]:
        """The rights on each mailbox, by its Guid; the ids of applications that Exchange does not know yet; then whom
        the rows mean by a name that several may have.
        """
        directory = Directory(answers)
        rights = [
            Query(mailbox_permission.look_up(mailbox), frozenset(keys), may_be_missing=True)
            for mailbox, keys in sorted(_asked_mailboxes(wanted, everything, directory).items())
        ]
        missing = {key: keys for key, keys in _PAIRS.keys_by(wanted, HOLDER).items() if not directory.applications(key)}
        entra = [Query(enterprise_application.look_up(key), frozenset(keys)) for key, keys in sorted(missing.items())]
        seen = [right for _, answer in _answers(answers) for right in mailbox_permission.decode(answer.rows)]
        names = {right.user: () for right in seen if not right.sid and directory.applications(right.user)}
        return [*rights, *entra, *identities.look_ups(names, recipients_only=True)]

    def decode(
        self, wanted: Mapping[str, MailboxPermission | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, MailboxPermission | Absent | Unknown]:
        directory = Directory(answers)
        rows = {mailbox: answer.rows for mailbox, answer in _answers(answers)}
        covered = {key for query, _ in answers for key in query.covers}
        entra = enterprise_application.decode(
            row for query, answer in answers for row in answer.rows if _is_look_up(query)
        )
        found: dict[str, MailboxPermission | Absent | Unknown] = {}
        for key in wanted.keys() & covered:
            pair = _Pair(key, directory, {c: a.id for c, a in entra.items()}, revoked=wanted[key] is None)
            found[key] = pair.judge(rows)
        taken = {(spec.object_id, spec.mailbox_id) for spec in found.values() if isinstance(spec, MailboxPermission)}
        others = _listed(rows, directory)
        found.update({k: s for k, s in others.items() if k not in found and (s.object_id, s.mailbox_id) not in taken})
        if directory.listed and not wanted:
            found.update(_too_many(directory))
        return found

    def steps(self, before: MailboxPermission | None, after: MailboxPermission | None) -> Sequence[Step]:
        if (before is None) == (after is None):
            return ()
        right: MailboxPermission = after or before  # type: ignore[assignment]
        application, mailbox = _PAIRS.checked(right.pair, right.application, right.mailbox)
        named = pairs.named(right.mailbox_id or mailbox, ("User", right.object_id or application))
        named["AccessRights"] = (FULL_ACCESS,)
        if after:
            return (Send(Cmdlet("Add-MailboxPermission", {**named, "AutoMapping": False, "Confirm": False})),)
        return (Send(Cmdlet("Remove-MailboxPermission", {**named, "Confirm": False})),)

    def needs(self, spec: MailboxPermission, /) -> Sequence[Address]:
        """The application, unless Exchange knows it already."""
        return () if spec.registered else (Address("service_principal", _parties(spec.pair)[0]),)

    def written_form(self, spec: MailboxPermission) -> tuple[tuple[str, ...], Any] | None:
        """One entry in the list of its application."""
        application, mailbox = _parties(spec.pair)
        return (application,), [mailbox]

    def mail_domains(self, spec: MailboxPermission, /) -> Collection[str]:
        """That of the mailbox as which the application signs in."""
        return domains_of(_parties(spec.pair)[1])

    def contribution(self, spec: MailboxPermission) -> Contributions:
        """One more mailbox as which the application may sign in."""
        return (MailboxRight(*_parties(spec.pair)),) if spec.application is not None else ()

    def identity(self, spec: MailboxPermission) -> str:
        """The ids of its two parties."""
        return pairs.identities((spec.object_id, spec.mailbox_id), _PAIRS.word)

    def guards(self, _before: MailboxPermission | None, _after: MailboxPermission | None, /) -> Iterable[Guard]:
        """An application uses it within the permissions that an administrator consented to."""
        return ()

    def read_back(self, spec: MailboxPermission) -> ReadBack:
        application, mailbox = _parties(spec.pair)
        names = pairs.named(spec.mailbox_id or mailbox, ("User", spec.object_id or application))
        return ReadBack(Cmdlet("Get-MailboxPermission", names), {"AccessRights": (FULL_ACCESS,)})

    def in_force(self, _wanted: MailboxPermission, _live: MailboxPermission, /) -> str:
        """A right that exists is in force; one beside a denial is not taken for one."""
        return ""


_form = lenient(recipient_id)
_PAIRS = Pairs("on", _form)
_parties = _PAIRS.parties


def _asked_mailboxes(
    wanted: Mapping[str, Any], everything: bool, directory: Directory
) -> Mapping[str, Collection[str]]:
    """The Guids of the mailboxes whose rights are read, each with the keys that rest on it."""
    found: dict[str, Collection[str]] = {}
    if everything and directory.listed and directory.every_application():
        listed = [party.id for party in directory.recipients() if party.type == MAILBOX]
        found = {guid: frozenset() for guid in listed} if len(listed) <= MOST_LISTED else {}
    for name, keys in _PAIRS.keys_by(wanted, OBJECT).items():
        owner = directory.meant(name)
        if isinstance(owner, Recipient) and owner.type == MAILBOX:
            found[owner.id] = {*found.get(owner.id, ()), *keys}
    return found


def _answers(answers: Iterable[tuple[Query, Answer]]) -> Iterator[tuple[str, Answer]]:
    return pairs.answers_of(mailbox_permission.NAME, answers)


def _is_look_up(query: Query) -> bool:
    """Whether a query asked for an enterprise application."""
    return any(query.request == enterprise_application.look_up(_parties(key)[0]) for key in query.covers)


def _holds(right: FullAccess, application: ServicePrincipal, directory: Directory) -> bool | None:
    """Whether a right is the application's; None where its row names it by what may be another's name too."""
    if right.user in application.own or right.sid in application.own:
        return True
    if right.sid or right.user not in application.names:
        return False
    alone = len(directory.applications(right.user)) == 1 and directory.asked(right.user)
    return True if alone and not directory.named_recipients(right.user) else None


class _Pair:
    """One wanted right: who the two parties are, and what the rows of the mailbox say about it."""

    def __init__(self, key: str, directory: Directory, entra: Mapping[str, str], *, revoked: bool) -> None:
        self._key, self._directory, self._revoked = key, directory, revoked
        self._name, self._mailbox = _parties(key)
        self._applications = directory.applications(self._name)
        self._entra = entra.get(self._name)
        self._owner = directory.meant(self._mailbox)

    def judge(self, rows: Mapping[str, Sequence[Row]]) -> MailboxPermission | Absent | Unknown:
        if isinstance(self._owner, Unknown):
            return self._owner
        if len(self._applications) > 1:
            return Unknown(f"{self._name} is the client id of several registered applications", "ambiguous")
        missing = self._no_party()
        if missing is not None:
            return missing
        assert isinstance(self._owner, Recipient)  # noqa: S101 - `_no_party` told
        if not self._applications:
            return Absent(known=self._spec(self._entra))
        application = self._applications[0]
        rights = mailbox_permission.decode(rows.get(self._owner.id, ()))
        verdicts = [(right, _holds(right, application, self._directory)) for right in rights]
        if any(verdict and right.denied for right, verdict in verdicts):
            fix = f"remove the denial: Remove-MailboxPermission -Identity {self._mailbox} -User {application.id} -Deny"
            return Unknown(f"FullAccess to {self._mailbox} is denied to {application.called}: {fix}", "ambiguous")
        if any(verdict for _, verdict in verdicts):
            found = self._spec(application.id, registered=True)
            return dataclasses.replace(found, application=self._name, mailbox=self._mailbox)
        doubtful = sorted(right.user for right, verdict in verdicts if verdict is None)
        if doubtful:
            what = f"{self._mailbox} has a right of {', '.join(doubtful)}, which is a name of several"
            return Unknown(f"{what}: it may be {application.called}; rename one of them", "ambiguous")
        return Absent(known=self._spec(application.id, registered=True))

    def _no_party(self) -> Absent | None:
        """Why there can be no such right."""
        nothing = self._revoked and not (self._applications and isinstance(self._owner, Recipient))
        if nothing:
            return Absent()
        if not isinstance(self._owner, Recipient):
            fix = "create the mailbox first, or correct the name"
            return Absent(f"the tenant has no mailbox {self._mailbox}", fix)
        if self._owner.type != MAILBOX:
            fix = "write the address of a mailbox, such as a shared mailbox"
            return Absent(f"{self._mailbox} is {self._owner.kind}, not a mailbox that an application can open", fix)
        if not self._applications and not self._entra:
            fix = "create the app registration, or correct the client id"
            return Absent(f"Entra ID has no enterprise application of the client id {self._name}", fix)
        return None

    def _spec(self, object_id: str | None, *, registered: bool | None = None) -> MailboxPermission:
        owner = self._owner if isinstance(self._owner, Recipient) else None
        others = {f"{self._name} on {address}" for address in (owner.own if owner else ())} - {self._key}
        names = frozenset(others)
        guid = owner.id if owner else None
        return MailboxPermission(self._key, object_id=object_id, mailbox_id=guid, registered=registered, names=names)


# --- export ----------------------------------------------------------------------------------------------------------


def _listed(rows: Mapping[str, Sequence[Row]], directory: Directory) -> dict[str, MailboxPermission]:
    """The rights of every application on the mailboxes that were read, under the names that a plan would write."""
    found: dict[str, MailboxPermission] = {}
    for mailbox, mine in rows.items():
        owner = directory.recipient(mailbox)
        for right in mailbox_permission.decode(mine) if owner else ():
            for application in directory.every_application():
                if owner and not right.denied and application.client_id and _holds(right, application, directory):
                    pair = permission_of(application.client_id, identities.written(owner))
                    found[pair.pair] = dataclasses.replace(
                        pair, object_id=application.id, mailbox_id=owner.id, registered=True
                    )
    return found


def _too_many(directory: Directory) -> dict[str, Unknown]:
    """That the rights were not listed, where a tenant has more mailboxes than are asked."""
    count = sum(party.type == MAILBOX for party in directory.recipients())
    if count <= MOST_LISTED or not directory.every_application():
        return {}
    reason = f"Exchange lists the rights of one mailbox at a time, and the tenant has {count:,}"
    return {"": Unknown(reason, "incomplete")}
