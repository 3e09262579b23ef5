"""A role of RBAC for Applications: what an application may do, on some mailboxes alone.

"Application SMTP.SendAsApp" lets it sign in as them over SMTP, "Application Mail.Send" send as them through Microsoft
Graph, without a permission in Entra ID, which would be for every mailbox. The mailboxes are those of a management
scope. Assignment and scope belong together and bear one name, by which they are known; others are left alone. A scope
that exists already can be named instead: it is used, and never written or deleted.

A change takes up to two hours until the service goes by it, depending on how recently the application was active.
`Test-ServicePrincipalAuthorization` passes by that cache: it tells whether a mailbox is in the scope.

Sources: Learn, "Role Based Access Control for Applications in Exchange Online"; MC1158911 (SMTP, November 2025).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Required

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, with_config
from typing_extensions import TypedDict

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
    request_key,
)
from provisioner.model.names import caseless
from provisioner.model.picture import AppRole, Contribution, Contributions
from provisioner.resources import identities
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    EmailText,
    client_id,
    domains_of,
    lenient,
    prose,
    read_only,
    recipient_id,
    refusal,
)
from provisioner.resources.identities import Directory
from provisioner.resources.rows import enterprise_application, management_role, service_principal
from provisioner.resources.rows.management_role import PREFIX, Assignment
from provisioner.resources.rows.recipient import MAILBOX, Recipient
from provisioner.resources.service_principal import Key

PERMISSIONS = ("SMTP.SendAsApp", "Mail.Send")


@dataclass(frozen=True, slots=True)
class ApplicationRoleAssignment:
    """`permission` of an application, for `mailboxes`. The key is `6f1c0d1e-… SMTP.SendAsApp`.

    Of a `group` the direct members are in the scope, and `scope` names one that exists; `mailboxes` are then those that
    must be in it. None of the two: the scope is made for the mailboxes.

    Observed: the object id of the application, the distinguished name of the group; `scoped` says that the management
    scope exists already, `registered` that Exchange knows the application; `outside` are the mailboxes that are not in
    the scope, None where that was not tested.
    """

    assignment: str
    mailboxes: frozenset[str] | None = None
    group: str | None = None
    scope: str | None = None
    application: str | None = field(default=None, metadata={"of_key": True})
    permission: str | None = field(default=None, metadata={"of_key": True})
    object_id: str | None = read_only()
    scoped: bool | None = read_only()
    registered: bool | None = read_only()
    group_name: str | None = read_only()
    outside: frozenset[str] | None = read_only()

    @property
    def others(self) -> str:
        """Where mailboxes are that nobody named."""
        return f"the scope {self.scope}" if self.scope else f"the group {self.group}" if self.group else ""


def assignment_of(
    application: str, permission: str, mailboxes: Iterable[str], scope: Mapping[str, Any] = MappingProxyType({})
) -> ApplicationRoleAssignment:
    """The role of one application on some mailboxes, or on those of a `ScopeBody`."""
    key = f"{application} {permission}"
    group, existing = scope.get("group"), scope.get("existing")
    return ApplicationRoleAssignment(key, frozenset(mailboxes), group, existing, application, permission)


@with_config(ConfigDict(extra="forbid"))
class ScopeBody(TypedDict, total=False):
    """Which mailboxes a role is about: one of the two."""

    group: Annotated[
        str,
        AfterValidator(recipient_id),
        Field(description="A group: its direct members, as far as they are mailboxes."),
    ]
    existing: Annotated[
        str,
        AfterValidator(prose),
        Field(min_length=1, description="A management scope that exists. It is used, and never changed or deleted."),
    ]


def _one_of_both(body: Mapping[str, str]) -> Mapping[str, str]:
    if len(body) != 1:
        raise refusal("SCOPE-AMBIGUOUS", "a scope is a group or an existing one", "write either group or existing")
    return body


ScopeText = Annotated[ScopeBody, AfterValidator(_one_of_both)]


@with_config(ConfigDict(extra="forbid"))
class _ScopedRole(TypedDict, total=False):
    """A role on the mailboxes of a group or of an existing scope."""

    scope: Required[Annotated[ScopeText, Field(description="The mailboxes that it is limited to.")]]
    mailboxes: Annotated[list[EmailText], Field(description="Mailboxes that must be in the scope: that is checked.")]


_Mailboxes = Annotated[list[EmailText], Field(min_length=1, description="The mailboxes that it is limited to.")]
_Limit = Annotated[
    Annotated[_Mailboxes, Tag("mailboxes")] | Annotated[_ScopedRole, Tag("scope")],
    Discriminator(lambda value: "scope" if isinstance(value, Mapping) else "mailboxes"),
]
Section = dict[Key, dict[Literal["SMTP.SendAsApp", "Mail.Send"], _Limit]]


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
            for permission, limit in roles.items():
                if isinstance(limit, list):
                    spec = assignment_of(client_id(written), permission, limit)
                else:
                    spec = assignment_of(client_id(written), permission, limit.get("mailboxes", ()), limit["scope"])
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
            group = [spec.group] if spec and spec.group else []
            for name in (*((spec.mailboxes if spec else None) or ()), *group):
                names.setdefault(name, set()).add(key)
        return [*found, *identities.look_ups(names, recipients_only=True)]

    def follow_up(
        self,
        wanted: Mapping[str, ApplicationRoleAssignment | None],
        _everything: bool,
        answers: Sequence[tuple[Query, Answer]],
        /,
    ) -> Sequence[Query]:
        """Whether the mailboxes of assignments that exist are in their scopes.

        A role that lacks the cmdlet plans without it. A test that failed otherwise might have said that a mailbox is
        not in its scope: the assignment is then unknown, and nothing closes because of it.
        """
        seen = _Seen(answers)
        found = {key: seen.judge(key, spec) for key, spec in wanted.items() if spec is not None}
        return [
            Query(request, frozenset({key}), may_be_missing=True, may_be_refused=True)
            for key, there in found.items()
            if isinstance(there, ApplicationRoleAssignment)
            for request in _tests(wanted[key], there)
        ]

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
        scope = {"RecipientRestrictionFilter": _filter(spec)}
        if after is None:
            gone = ("Remove-ManagementRoleAssignment", *(() if spec.scope else ("Remove-ManagementScope",)))
            return tuple(Send(Cmdlet(cmdlet, {"Identity": name, "Confirm": False})) for cmdlet in gone)
        change = Send(Cmdlet("Set-ManagementScope", {"Identity": name, **scope}))
        if before is not None:
            return (change,) if not after.scope and _filter(before) != _filter(after) else ()
        new = Send(Cmdlet("New-ManagementScope", {"Name": name, **scope}))
        assigned = {
            "Name": name,
            "App": spec.object_id or application,
            "Role": f"{PREFIX}{permission}",
            "CustomResourceScope": spec.scope or name,
        }
        own = () if spec.scope else (change if spec.scoped else new,)
        return (*own, Send(Cmdlet("New-ManagementRoleAssignment", assigned)))

    def needs(self, spec: ApplicationRoleAssignment, /) -> Sequence[Address]:
        """The application, unless Exchange knows it already."""
        return () if spec.registered else (Address("service_principal", _parties(spec.assignment)[0]),)

    def written_form(self, spec: ApplicationRoleAssignment) -> tuple[tuple[str, ...], Any] | None:
        """A list of mailboxes, or the scope that it has."""
        if not spec.others:
            return _parties(spec.assignment), sorted(spec.mailboxes or ())
        scope = {"existing": spec.scope} if spec.scope else {"group": spec.group}
        return _parties(spec.assignment), {"scope": scope}

    def mail_domains(self, spec: ApplicationRoleAssignment, /) -> Collection[str]:
        """Those of the mailboxes as which the application sends."""
        return domains_of(*(spec.mailboxes or ()))

    def contribution(self, spec: ApplicationRoleAssignment) -> Contributions:
        """What the application may do as each of the mailboxes."""
        mailboxes = (spec.mailboxes or frozenset()) - (spec.outside or frozenset())
        role = AppRole(*_parties(spec.assignment), mailboxes, spec.others)
        return (role,) if mailboxes or spec.others else ()

    def guards(
        self, _before: ApplicationRoleAssignment | None, _after: ApplicationRoleAssignment | None, /
    ) -> Iterable[Guard]:
        """It is limited to the mailboxes that are written."""
        return ()

    def read_back(self, spec: ApplicationRoleAssignment) -> ReadBack:
        request = Cmdlet("Get-ManagementRoleAssignment", {"Identity": scope_name(spec.assignment)})
        return ReadBack(request, {"CustomResourceScope": spec.scope or scope_name(spec.assignment)})

    def in_force(self, _wanted: ApplicationRoleAssignment, live: ApplicationRoleAssignment, /) -> str:
        """Every mailbox is in the scope, as far as that can be tested; in one that others fill it must be."""
        if live.outside:
            where = live.others or "its scope"
            return (
                f"{', '.join(sorted(live.outside))} not in {where} (Test-ServicePrincipalAuthorization: InScope False)"
            )
        if live.others and live.mailboxes and live.outside is None:
            return (
                f"whether its mailboxes are in {live.others} could not be tested (Test-ServicePrincipalAuthorization)"
            )
        return ""

    def fix(self, _wanted: ApplicationRoleAssignment, live: ApplicationRoleAssignment | None, /) -> str:
        """What brings a mailbox into the scope, and what tells."""
        box = min((live.outside if live else None) or (live.mailboxes if live else None) or ("<mailbox>",))
        who = (live.object_id if live else None) or "<object id>"
        test = f"Test-ServicePrincipalAuthorization -Identity {who} -Resource {box}"
        return f"make it a member of the group, or let the scope find it; it shows within two hours: {test}"

    def working(self, live: ApplicationRoleAssignment) -> ApplicationRoleAssignment:
        """As if every mailbox were in the scope."""
        return dataclasses.replace(live, outside=frozenset())


_form = lenient(client_id)


def scope_name(key: str) -> str:
    """The name of an assignment and of its scope, which has 64 characters at most (New-ManagementRoleAssignment)."""
    application, permission = _parties(key)
    return f"{permission} {application}"


def _filter(spec: ApplicationRoleAssignment) -> str:
    """What finds the mailboxes of a scope of its own."""
    if spec.group:
        return management_role.members_of(spec.group_name or spec.group)
    return management_role.filter_of(spec.mailboxes or ())


def _tests(wanted: ApplicationRoleAssignment | None, live: ApplicationRoleAssignment) -> Iterator[Cmdlet]:
    """What tells whether the mailboxes that the plan names are in the scope."""
    for mailbox in sorted(((wanted and wanted.mailboxes) or frozenset()) & (live.mailboxes or frozenset()))[
        : management_role.MOST_TESTED
    ]:
        if live.object_id:
            yield management_role.test_of(live.object_id, mailbox)


def _parties(key: str) -> tuple[str, str]:
    """Application and permission of a key."""
    application, _, permission = key.partition(" ")
    return _form(application), next((p for p in PERMISSIONS if p.lower() == permission.lower()), permission)


def _is_test(query: Query) -> bool:
    return isinstance(query.request, Cmdlet) and query.request.name == management_role.TEST


Limit = tuple[frozenset[str] | None, str | None, str | None]
"""Mailboxes, group and scope."""


class _Seen:
    """What the answers hold."""

    def __init__(self, answers: Sequence[tuple[Query, Answer]]) -> None:
        def rows(name: str) -> list[Row]:
            return [r for q, a in answers if isinstance(q.request, Cmdlet) and q.request.name == name for r in a.rows]

        self._assignments = management_role.assignments(rows(management_role.ASSIGNMENTS))
        self._scopes = management_role.scopes(rows(management_role.SCOPES))
        self._called = management_role.called(rows(management_role.SCOPES))
        self._groups = management_role.groups(rows(management_role.SCOPES))
        self._tested = {request_key(query.request): answer.rows for query, answer in answers if _is_test(query)}
        self._directory = Directory(answers)
        self._entra = enterprise_application.decode(
            row
            for query, answer in answers
            for row in answer.rows
            if any(query.request == enterprise_application.look_up(_parties(key)[0]) for key in query.covers)
        )

    def judge(self, key: str, wanted: ApplicationRoleAssignment | None) -> ApplicationRoleAssignment | Absent | Unknown:
        application, permission = _parties(key)
        name = caseless(scope_name(key))
        there = self._assignments.get(name)
        lacks = self._no_mailbox(wanted) or self._no_scope(wanted)
        if lacks is not None:
            return lacks
        if there is None:
            return self._absent(key, wanted)
        known = next(iter(self._directory.applications(application)), None)
        if there.permission != permission or (known and there.assignee and not there.assignee & known.names):
            what = f'the role assignment "{there.name}" is of another application or role: remove or rename it'
            return Unknown(what, "ambiguous")
        limit = self._limit(there, wanted)
        if isinstance(limit, str):
            return Unknown(f'the role assignment "{there.name}" {limit}', "ambiguous")
        object_id, registered = (known.id, True) if known else (None, None)
        live = ApplicationRoleAssignment(key, *limit, application, permission, object_id, True, registered)
        wanted_group = self._group_name(wanted.group) if wanted and wanted.group else None
        group_name = wanted_group or self._groups.get(there.scope)
        return dataclasses.replace(live, group_name=group_name, outside=self._outside(wanted, live))

    def _limit(self, there: Assignment, wanted: ApplicationRoleAssignment | None) -> Limit | str:
        """The mailboxes, group and scope of an assignment; or why it is none that the plan could mean."""
        called, own = self._called.get(there.scope, there.scope), caseless(there.name)
        expected = caseless(wanted.scope or own) if wanted else there.scope
        if not there.scope or expected != there.scope:
            what = f"has the scope {called or 'of all mailboxes'}, which only a new assignment can change"
            return f"{what}: write scope: {{ existing: {called} }}, or let absent remove the assignment first"
        if there.scope != own:
            return (wanted.mailboxes, None, wanted.scope) if wanted else (frozenset(), None, called)
        return self._own_limit(there, wanted)

    def _own_limit(self, there: Assignment, wanted: ApplicationRoleAssignment | None) -> Limit | str:
        """The same of an assignment whose scope is its own."""
        group, mailboxes = self._groups.get(there.scope), self._scopes.get(there.scope)
        if group is not None and wanted and wanted.group is None:
            return (
                f"is limited to the group {group}: write that as its scope, or let absent remove the assignment first"
            )
        if group is not None:
            same = wanted is not None and wanted.group and group == self._group_name(wanted.group)
            return (wanted.mailboxes, wanted.group, None) if wanted and same else (frozenset(), group, None)
        if mailboxes is None:
            return f'has a scope that no plan can say ("{there.scope}"): give it a filter of EmailAddresses -eq …'
        if wanted and wanted.group:
            return wanted.mailboxes, "", None
        return mailboxes, wanted.group if wanted else None, None

    def _outside(
        self, wanted: ApplicationRoleAssignment | None, live: ApplicationRoleAssignment
    ) -> frozenset[str] | None:
        """The mailboxes that were tested and are not in the scope; None where nobody could tell."""
        tests = list(_tests(wanted, live))
        _, permission = _parties(live.assignment)
        told = [(t.parameters["Resource"], self._tested[k]) for t in tests if (k := request_key(t)) in self._tested]
        if len(told) < len(tests) or not tests:
            return None
        return frozenset(str(box) for box, rows in told if not management_role.in_scope(rows, permission))

    def _group_name(self, group: str) -> str:
        """The distinguished name of a group, in lower case; "" where it is not known."""
        owner = self._directory.meant(group)
        names = owner.own if isinstance(owner, Recipient) and "group" in owner.type else ()
        return next((name for name in names if name.startswith("cn=")), "")

    def _no_scope(self, wanted: ApplicationRoleAssignment | None) -> Absent | Unknown | None:
        """Why there is no such group, or no such scope."""
        if wanted and wanted.scope and caseless(wanted.scope) not in self._scopes:
            fix = "create it first (New-ManagementScope), or correct the name"
            return Absent(f"the tenant has no management scope {wanted.scope}", fix)
        if wanted and wanted.group and not self._group_name(wanted.group):
            owner = self._directory.meant(wanted.group)
            if isinstance(owner, Unknown):
                return owner
            what = f"{wanted.group} is {owner.called}" if owner else f"the tenant has no group {wanted.group}"
            return Absent(what, "write a mail-enabled group whose direct members are the mailboxes")
        return None

    def _absent(self, key: str, wanted: ApplicationRoleAssignment | None) -> Absent:
        if wanted is None:
            return Absent()
        application, _ = _parties(key)
        known = next(iter(self._directory.applications(application)), None)
        entra = self._entra.get(application)
        if known is None and entra is None:
            fix = "create the app registration, or correct the client id"
            return Absent(f"Entra ID has no enterprise application of the client id {application}", fix)
        scoped = True if caseless(scope_name(key)) in self._scopes else None
        object_id = known.id if known else entra.id if entra else None
        registered = True if known else None
        group_name = self._group_name(wanted.group) if wanted.group else None
        known_ = ApplicationRoleAssignment(key, object_id=object_id, scoped=scoped, registered=registered)
        return Absent(known=dataclasses.replace(known_, group_name=group_name))

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
