"""An application that Exchange knows: its service principal, by the client id of the application.

Registering takes the object id of the *enterprise application*, which is read from Graph and never written in a plan:
New-ServicePrincipal compares the ids that it is given with nothing, and with the id of the app registration every
token is refused (Learn, "Authenticate an IMAP, POP or SMTP connection using OAuth"). Both ids are fixed once it is
registered, so that a wrong one is a finding: deleting the registration would take its rights along.

Consent to its application permissions is an administrator's affair in Entra ID: it is read, and never granted by us.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from provisioner.model import (
    Absent,
    Answer,
    Cmdlet,
    Declared,
    GraphRequest,
    Guard,
    Parameter,
    Query,
    ReadBack,
    Row,
    Send,
    Step,
)
from provisioner.model.picture import Contribution, Contributions, Registration
from provisioner.resources import fields
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import as_written, client_id, known_names, prose, read_only
from provisioner.resources.fields import Text, column
from provisioner.resources.rows import enterprise_application, service_principal
from provisioner.resources.rows.enterprise_application import EnterpriseApplication

_NAME = Text(prose, "your text", examples=("ERP",), nullable=False)


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    """`object_id` is the one that Exchange has, or will get; `entra_id` that of the enterprise application.

    `entra_id` is "" where Entra ID has no such application. `permissions` are the application permissions with admin
    consent (`rows.enterprise_application`), None where they were not read.
    """

    client_id: str
    display_name: str | None = column("DisplayName", _NAME, "What Exchange shows; the name in Entra ID if not written.")
    object_id: str | None = read_only()
    entra_id: str | None = read_only()
    permissions: frozenset[str] | None = read_only()
    names: frozenset[str] = known_names()


Key = Annotated[str, AfterValidator(as_written(client_id))]


class ServicePrincipalType(BaseType):
    """service_principal["6f1c0d1e-…"], by client id."""

    name: ClassVar[str] = "service_principal"
    section: ClassVar[str] = "service_principals"
    section_type: ClassVar[Any] = fields.section(
        Key,
        fields.entry(ServicePrincipal, "ServicePrincipalBody", "An application that is registered with Exchange."),
        "Applications that Exchange knows, by client id. The section applications declares them with their rights.",
        {"6f1c0d1e-0000-4000-8000-000000000001": {"display_name": "ERP"}},
    )
    spec: ClassVar[type[ServicePrincipal]] = ServicePrincipal
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Registration,)

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        for written, body in section.items():
            key = client_id(written)
            yield Declared(key, fields.declared(ServicePrincipal, key, body), (written,))

    def queries(self, wanted: Mapping[str, ServicePrincipal | None], everything: bool, /) -> Sequence[Query]:
        """All that Exchange knows; of the wanted ones the enterprise application, and what its permissions mean."""
        found = [Query(service_principal.LISTING, frozenset(wanted))] if wanted or everything else []
        if wanted and not everything:
            found += [Query(enterprise_application.look_up(key), frozenset({key})) for key in sorted(wanted)]
            found += [Query(request, frozenset()) for request in enterprise_application.ROLES]
        return found

    def follow_up(
        self,
        wanted: Mapping[str, ServicePrincipal | None],
        _everything: bool,
        answers: Sequence[tuple[Query, Answer]],
        /,
    ) -> Sequence[Query]:
        """The permissions of the enterprise applications; nothing is planned on them."""
        known = _enterprise(answers)
        ids = [known[key].id for key in sorted(wanted) if key in known]
        return [Query(enterprise_application.granted_to(object_id), frozenset()) for object_id in ids]

    def decode(
        self, wanted: Mapping[str, ServicePrincipal | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, ServicePrincipal | Absent]:
        known, asked = _enterprise(answers), _asked(answers)
        found: dict[str, ServicePrincipal | Absent] = {}
        for query, answer in answers:
            if query.request == service_principal.LISTING:
                for row in map(service_principal.decode, answer.rows):
                    entra = known.get(row.client_id)
                    seen = ServicePrincipal(
                        row.client_id, row.display_name, row.id, _entra_id(row.client_id, known, asked), names=row.names
                    )
                    found[row.client_id] = _permitted(seen, entra, answers)
        for key in wanted.keys() - found.keys():
            found[key] = _absent(key, wanted[key], known.get(key), answers)
        return found

    def steps(self, before: ServicePrincipal | None, after: ServicePrincipal | None) -> Sequence[Step]:
        if before is None and after is not None:
            ids = {"AppId": after.client_id, "ObjectId": after.object_id or ""}
            return (Send(Cmdlet("New-ServicePrincipal", {**ids, **fields.creation(after)})),)
        if before is not None and after is None:
            named: dict[str, Parameter] = {"Identity": before.object_id or before.client_id, "Confirm": False}
            return (Send(Cmdlet("Remove-ServicePrincipal", named)),)
        if before is None or after is None or before.display_name == after.display_name:
            return ()
        changed = fields.changes(before, after)
        return (Send(Cmdlet("Set-ServicePrincipal", {"Identity": before.object_id or before.client_id, **changed})),)

    def written_form(self, spec: ServicePrincipal) -> tuple[tuple[str, ...], Any] | None:
        return (spec.client_id,), fields.written_body(spec)

    def contribution(self, spec: ServicePrincipal) -> Contributions:
        """An application that can sign in, with its permissions as far as they were read."""
        works = spec.entra_id is None or spec.entra_id == spec.object_id
        return (Registration(spec.client_id, spec.permissions, spec.entra_id or spec.object_id or ""),) if works else ()

    def guards(self, _before: ServicePrincipal | None, _after: ServicePrincipal | None, /) -> Iterable[Guard]:
        """Registering alone admits no sender: that takes consent in Entra ID and a right on a mailbox."""
        return ()

    def identity(self, spec: ServicePrincipal) -> str:
        return spec.object_id or ""

    def read_back(self, spec: ServicePrincipal) -> ReadBack:
        request = Cmdlet("Get-ServicePrincipal", {"Identity": spec.object_id or spec.client_id})
        return ReadBack(request, {"AppId": spec.client_id})

    def in_force(self, _wanted: ServicePrincipal, live: ServicePrincipal, /) -> str:
        """Why tokens of the application are refused although it is registered."""
        if live.entra_id is None or live.entra_id == live.object_id:
            return ""
        if not live.entra_id:
            return "Entra ID has no enterprise application of this client id, so that it gets no token"
        return (
            f"it is registered with the object id {live.object_id}, and its enterprise application has "
            f"{live.entra_id}, so that its tokens are refused"
        )

    def fix(self, _wanted: ServicePrincipal, live: ServicePrincipal | None, /) -> str:
        """Deleting a registration takes its rights along: that is for a person to decide."""
        if live is None or not live.entra_id:
            return "create the app registration again, or take the application out of the plan"
        return (
            f"Remove-ServicePrincipal -Identity {live.object_id}, then apply: it is registered anew, and the rights "
            "that the plan declares are given again"
        )

    def working(self, live: ServicePrincipal, /) -> ServicePrincipal:
        """As it is once it is registered with the right id."""
        return ServicePrincipal(live.client_id, live.display_name, live.entra_id, live.entra_id, live.permissions)


def _of_graph(answers: Sequence[tuple[Query, Answer]]) -> dict[str, Sequence[Row]]:
    """The rows of each Graph path."""
    return {q.request.path: a.rows for q, a in answers if isinstance(q.request, GraphRequest)}


def _asked(answers: Sequence[tuple[Query, Answer]]) -> frozenset[str]:
    """The client ids whose enterprise application was looked for."""
    return frozenset(key for q, _ in answers for key in q.covers if q.request == enterprise_application.look_up(key))


def _enterprise(answers: Sequence[tuple[Query, Answer]]) -> dict[str, EnterpriseApplication]:
    """The enterprise applications that were found, by client id."""
    rows = _of_graph(answers)
    return enterprise_application.decode(
        row for key in _asked(answers) for row in rows[enterprise_application.look_up(key).path]
    )


def _entra_id(key: str, known: Mapping[str, EnterpriseApplication], asked: frozenset[str]) -> str | None:
    """The object id in Entra ID, "" where there is none; None where nobody looked."""
    if key in known:
        return known[key].id
    return "" if key in asked else None


def _permitted(
    seen: ServicePrincipal, entra: EnterpriseApplication | None, answers: Sequence[tuple[Query, Answer]]
) -> ServicePrincipal:
    """The same with its permissions, where they were read."""
    rows = _of_graph(answers)
    paths = [request.path for request in enterprise_application.ROLES]
    granted = enterprise_application.granted_to(entra.id).path if entra else ""
    if granted not in rows or not all(path in rows for path in paths):
        return seen
    apis = [row for path in paths for row in rows[path]]
    held = enterprise_application.permissions(rows[granted], apis)
    return dataclasses.replace(seen, permissions=held)


def _absent(
    key: str,
    wanted: ServicePrincipal | None,
    entra: EnterpriseApplication | None,
    answers: Sequence[tuple[Query, Answer]],
) -> Absent:
    """What Exchange does not know: the ids with which it would be registered, or why it cannot be."""
    if wanted is None:
        return Absent()
    if entra is None:
        fix = (
            "create the app registration, or let an administrator consent to it where another organization has made "
            'it; the client id is the "Application (client) ID"'
        )
        return Absent(f"Entra ID has no enterprise application of the client id {key}", fix)
    name = None if wanted.display_name is not None else entra.name or None
    return Absent(known=_permitted(ServicePrincipal(key, name, entra.id, entra.id), entra, answers))
