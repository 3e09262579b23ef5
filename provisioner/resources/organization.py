"""Settings of the whole organization that decide about sending: so far, whether it rejects direct send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from provisioner.model import Answer, Cmdlet, Declared, Guard, Query, ReadBack, Row, Send, Step, Unknown
from provisioner.model.picture import Contribution, Contributions, Rejection
from provisioner.resources import fields
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import answered
from provisioner.resources.fields import BOOLEAN, column
from provisioner.resources.rows import organization_config

SETTINGS = "settings"
"""The key of the one resource of this type."""


@dataclass(frozen=True, slots=True)
class Organization:
    """`reject_direct_send`: unauthenticated mail in the name of an accepted domain is refused, connectors excepted."""

    name: str
    reject_direct_send: bool | None = column(
        "RejectDirectSend",
        BOOLEAN,
        "Refuse mail in the name of our domains that nobody signed in for and no connector names.",
    )


_DESCRIPTION = "Settings of the whole organization. What is not written is left as it is."


class OrganizationType(BaseType):
    """organization["settings"]. The organization is always there: nothing is created or deleted."""

    name: ClassVar[str] = "organization"
    section: ClassVar[str] = "organization"
    section_type: ClassVar[Any] = fields.entry(Organization, "OrganizationSection", _DESCRIPTION)
    spec: ClassVar[type[Organization]] = Organization
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Rejection,)
    creatable: ClassVar[bool] = False
    deletable: ClassVar[bool] = False
    singletons: ClassVar[tuple[str, ...]] = (SETTINGS,)

    def declare(self, section: Mapping[str, Any], _owner: str, /) -> Iterable[Declared]:
        yield Declared(SETTINGS, fields.declared(Organization, SETTINGS, section), ())

    def queries(self, wanted: Mapping[str, Organization | None], _everything: bool, /) -> Sequence[Query]:
        return (Query(organization_config.REQUEST, frozenset(wanted)),) if wanted else ()

    def decode(
        self, wanted: Mapping[str, Organization | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, Organization | Unknown]:
        """No row is no answer, for every tenant has an organization."""
        rows = [row for _, answer in answers for row in answer.rows]
        if not answers:
            return {}
        if not rows:
            return {SETTINGS: Unknown("Get-OrganizationConfig told nothing", "malformed")}
        return {SETTINGS: answered(wanted.get(SETTINGS), _decode(rows))}

    def steps(self, before: Organization | None, after: Organization | None) -> Sequence[Step]:
        """RejectDirectSend belongs to a parameter set of its own, so it is sent alone."""
        changes = fields.changes(before or Organization(SETTINGS), after) if after else {}
        return (Send(Cmdlet("Set-OrganizationConfig", changes)),) if changes else ()

    def written_form(self, spec: Organization) -> tuple[tuple[str, ...], Any] | None:
        return (("reject_direct_send",), True) if spec.reject_direct_send else None

    def contribution(self, spec: Organization) -> Contributions:
        """Whether direct send is rejected; nothing, where the answer did not hold it."""
        return () if spec.reject_direct_send is None else (Rejection(spec.reject_direct_send),)

    def guards(self, _before: Organization | None, _after: Organization | None, /) -> Iterable[Guard]:
        return ()

    def read_back(self, spec: Organization) -> ReadBack:
        return ReadBack(Cmdlet("Get-OrganizationConfig"), fields.sent(spec, {"reject_direct_send"}))

    def in_force(self, _wanted: Organization, _live: Organization, /) -> str:
        """A setting is in force."""
        return ""


def _decode(rows: Sequence[Row]) -> Organization:
    return Organization(SETTINGS, organization_config.decode(rows).reject_direct_send)
