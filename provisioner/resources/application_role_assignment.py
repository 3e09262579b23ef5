"""A role of RBAC for Applications: what an application may do, on some mailboxes alone.

"Application SMTP.SendAsApp" lets it sign in as them over SMTP, "Application Mail.Send" send as them through Microsoft
Graph, without a permission in Entra ID, which would be for every mailbox. The mailboxes are those of a management
scope. Assignment and scope belong together and bear one name, by which they are known; others are left alone. A change
takes up to two hours until the service goes by it; `Test-ServicePrincipalAuthorization` tells it at once.

Sources: Learn, "Role Based Access Control for Applications in Exchange Online"; MC1158911 (SMTP, November 2025).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

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
from provisioner.model.picture import AppRole, Contribution, Contributions
from provisioner.resources import identities
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import EmailText, client_id, lenient, read_only
from provisioner.resources.identities import Directory
from provisioner.resources.rows import enterprise_application, management_role, service_principal
from provisioner.resources.rows.management_role import PREFIX
from provisioner.resources.rows.recipient import MAILBOX, Recipient
from provisioner.resources.service_principal import Key

PERMISSIONS = ("SMTP.SendAsApp", "Mail.Send")


@dataclass(frozen=True, slots=True)
class ApplicationRoleAssignment:
    """`permission` of an application, for `mailboxes`. The key is `6f1c0d1e-… SMTP.SendAsApp`.

    Observed: the object id of the application; `scoped` says that the management scope exists already, `registered`
    that Exchange knows the application.
    """

    assignment: str
    mailboxes: frozenset[str] | None = None
    application: str | None = field(default=None, metadata={"of_key": True})
    permission: str | None = field(default=None, metadata={"of_key": True})
    object_id: str | None = read_only()
    scoped: bool | None = read_only()
    registered: bool | None = read_only()


def assignment_of(application: str, permission: str, mailboxes: Iterable[str]) -> ApplicationRoleAssignment:
    """The role of one application on some mailboxes."""
    return ApplicationRoleAssignment(f"{application} {permission}", frozenset(mailboxes), application, permission)


_Mailboxes = Annotated[list[EmailText], Field(min_length=1, description="The mailboxes that it is limited to.")]
Section = dict[Key, dict[Literal["SMTP.SendAsApp", "Mail.Send"], _Mailboxes]]


class ApplicationRoleAssignmentType(BaseType):
    """application_role_assignment["6f1c0d1e-… SMTP.SendAsApp"]."""

    name: ClassVar[str] = "application_role_assignment"
    section: ClassVar[str] = "application_role_assignments"
    section_type: ClassVar[Any] = Annotated[
        Section,
        Field(
            description="Roles of applications (RBAC for Applications): a client id, then the role and its mailboxes.",
            examples=[{"6f1c0d1e-0000-4000-8000-000000000001": {"SMTP.SendAsApp": ["invoices@contoso.com"]}}],
        ),
    ]
    spec: ClassVar[type[ApplicationRoleAssignment]] = ApplicationRoleAssignment
    contributes: ClassVar[tuple[type[Contribution], ...]] = (AppRole,)
    privileged: ClassVar[bool] = True

    def declare(self, section: Section, _owner: str, /) -> Iterable[Declared]:
        for written, roles in section.items():
            for permission, mailboxes in roles.items():
                spec = assignment_of(client_id(written), permission, mailboxes)
                yield Declared(spec.assignment, spec, (written, permission))

    def queries(self, wanted: Mapping[str, ApplicationRoleAssignment | None], everything: bool, /) -> Sequence[Query]:
        """The assignments of the roles, all scopes and applications; the wanted mailboxes, and ids in Entra ID."""
        keys = frozenset(wanted)
        roles = PERMISSIONS if everything else sorted({_parties(key)[1] for key in keys})
        found = [Query(management_role.of_role(role), keys, may_be_missing=True) for role in roles]
        if found:
            found += [Query(management_role.SCOPE_LISTING, keys), Query(service_principal.LISTING, keys)]
        entra = {_parties(key)[0]: {key} for key in keys}
        found += [Query(enterprise_application.look_up(app), frozenset(mine)) for app, mine in sorted(entra.items())]
        names: dict[str, set[str]] = {}
        for key, spec in wanted.items():
            for mailbox in (spec.mailboxes if spec else None) or ():
                names.setdefault(mailbox, set()).add(key)
        return [*found, *identities.look_ups(names, recipients_only=True)]

    def decode(
        self,
        wanted: Mapping[str, ApplicationRoleAssignment | None],
        answers: Sequence[tuple[Query, Answer]],
    ) -> Mapping[str, ApplicationRoleAssignment | Absent | Unknown]:
        seen = _Seen(answers)
        covered = {key for query, _ in answers for key in query.covers}
        found = {key: seen.judge(key, wanted[key]) for key in wanted.keys() & covered}
        return {**seen.listed(), **found}

    def steps(
        self, before: ApplicationRoleAssignment | None, after: ApplicationRoleAssignment | None
    ) -> Sequence[Step]:
        spec: ApplicationRoleAssignment = after or before  # type: ignore[assignment]
        application, permission = _parties(spec.assignment)
        name = scope_name(spec.assignment)
        scope = {"RecipientRestrictionFilter": management_role.filter_of(spec.mailboxes or ())}
        if after is None:
            gone = ("Remove-ManagementRoleAssignment", "Remove-ManagementScope")
            return tuple(Send(Cmdlet(cmdlet, {"Identity": name, "Confirm": False})) for cmdlet in gone)
        change = Send(Cmdlet("Set-ManagementScope", {"Identity": name, **scope}))
        if before is not None:
            return (change,) if before.mailboxes != after.mailboxes else ()
        new = Send(Cmdlet("New-ManagementScope", {"Name": name, **scope}))
        assigned = {
            "Name": name,
            "App": spec.object_id or application,
            "Role": f"{PREFIX}{permission}",
            "CustomResourceScope": name,
        }
        return (change if spec.scoped else new, Send(Cmdlet("New-ManagementRoleAssignment", assigned)))

    def needs(self, spec: ApplicationRoleAssignment, /) -> Sequence[Address]:
        """The application, unless Exchange knows it already."""
        return () if spec.registered else (Address("service_principal", _parties(spec.assignment)[0]),)

    def written_form(self, spec: ApplicationRoleAssignment) -> tuple[tuple[str, ...], Any] | None:
        return _parties(spec.assignment), sorted(spec.mailboxes or ())

    def contribution(self, spec: ApplicationRoleAssignment) -> Contributions:
        """What the application may do as each of the mailboxes."""
        return (AppRole(*_parties(spec.assignment), spec.mailboxes),) if spec.mailboxes else ()

    def guards(
        self, _before: ApplicationRoleAssignment | None, _after: ApplicationRoleAssignment | None, /
    ) -> Iterable[Guard]:
        """It is limited to the mailboxes that are written."""
        return ()

    def read_back(self, spec: ApplicationRoleAssignment) -> ReadBack:
        request = Cmdlet("Get-ManagementRoleAssignment", {"Identity": scope_name(spec.assignment)})
        return ReadBack(request, {"CustomResourceScope": scope_name(spec.assignment)})

    def in_force(self, _wanted: ApplicationRoleAssignment, _live: ApplicationRoleAssignment, /) -> str:
        """What is assigned is in force, for new sessions within two hours."""
        return ""


_form = lenient(client_id)


def scope_name(key: str) -> str:
    """The name of an assignment and of its scope, which has 64 characters at most (New-ManagementRoleAssignment)."""
    application, permission = _parties(key)
    return f"{permission} {application}"


def _parties(key: str) -> tuple[str, str]:
    """Application and permission of a key."""
    application, _, permission = key.partition(" ")
    return _form(application), next((p for p in PERMISSIONS if p.lower() == permission.lower()), permission)


class _Seen:
    """What the answers hold."""

    def __init__(self, answers: Sequence[tuple[Query, Answer]]) -> None:
        def rows(name: str) -> list[Row]:
            return [r for q, a in answers if isinstance(q.request, Cmdlet) and q.request.name == name for r in a.rows]

        self._assignments = management_role.assignments(rows(management_role.ASSIGNMENTS))
        self._scopes = management_role.scopes(rows(management_role.SCOPES))
        self._directory = Directory(answers)
        self._entra = enterprise_application.decode(
            row
            for query, answer in answers
            for row in answer.rows
            if any(query.request == enterprise_application.look_up(_parties(key)[0]) for key in query.covers)
        )

    def judge(self, key: str, wanted: ApplicationRoleAssignment | None) -> ApplicationRoleAssignment | Absent | Unknown:
        application, permission = _parties(key)
        name = scope_name(key).lower()
        there = self._assignments.get(name)
        lacks = self._no_mailbox(wanted)
        if lacks is not None:
            return lacks
        if there is None:
            return self._absent(key, wanted)
        known = next(iter(self._directory.applications(application)), None)
        if there.permission != permission or (known and there.assignee and not there.assignee & known.names):
            what = f'the role assignment "{there.name}" is of another application or role: remove or rename it'
            return Unknown(what, "ambiguous")
        mailboxes = self._scopes.get(there.scope)
        if mailboxes is None:
            what = f'the role assignment "{there.name}" has a scope that no plan can say ("{there.scope or "none"}")'
            return Unknown(f"{what}: give it a filter of EmailAddresses -eq …, or remove it", "ambiguous")
        return ApplicationRoleAssignment(
            key, mailboxes, application, permission, known.id if known else None, True, known is not None or None
        )

    def _absent(self, key: str, wanted: ApplicationRoleAssignment | None) -> Absent:
        if wanted is None:
            return Absent()
        application, _ = _parties(key)
        known = next(iter(self._directory.applications(application)), None)
        entra = self._entra.get(application)
        if known is None and entra is None:
            fix = "create the app registration, or correct the client id"
            return Absent(f"Entra ID has no enterprise application of the client id {application}", fix)
        scoped = True if scope_name(key).lower() in self._scopes else None
        object_id = known.id if known else entra.id if entra else None
        registered = True if known else None
        return Absent(known=ApplicationRoleAssignment(key, object_id=object_id, scoped=scoped, registered=registered))

    def _no_mailbox(self, wanted: ApplicationRoleAssignment | None) -> Absent | Unknown | None:
        """Why a mailbox cannot be in the scope."""
        for mailbox in sorted((wanted.mailboxes if wanted else None) or ()):
            owner = self._directory.meant(mailbox)
            if isinstance(owner, Unknown):
                return owner
            if not isinstance(owner, Recipient) or owner.type != MAILBOX:
                fix = "create the mailbox first, or correct the name"
                return Absent(f"the tenant has no mailbox {mailbox}", fix)
        return None

    def listed(self) -> dict[str, ApplicationRoleAssignment]:
        """Every assignment of ours, under the key that a plan would write."""
        found: dict[str, ApplicationRoleAssignment] = {}
        for application in self._directory.every_application():
            for permission in PERMISSIONS:
                key = f"{application.client_id} {permission}"
                spec = self.judge(key, None)
                if isinstance(spec, ApplicationRoleAssignment):
                    found[key] = spec
        return found
