"""Settings of the whole organization that decide about sending: so far, whether it rejects direct send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from provisioner.model import Answer, Cmdlet, Declared, Guard, Query, Row, Send, Step, Unknown
from provisioner.model.picture import Contribution, Contributions, Rejection
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import Flag, answered
from provisioner.resources.rows import organization_config

SETTINGS = "settings"
"""The key of the one resource of this type."""


@dataclass(frozen=True, slots=True)
class Organization:
    """`reject_direct_send`: unauthenticated mail in the name of an accepted domain is refused, connectors excepted."""

    name: str
    reject_direct_send: bool | None = None


@with_config(ConfigDict(extra="forbid"))
class OrganizationSection(TypedDict, total=False):
    """Settings of the whole organization. What is not written is left as it is."""

    reject_direct_send: Annotated[
        Flag,
        Field(description="Refuse mail in the name of our domains that nobody signed in for and no connector names."),
    ]


class OrganizationType(BaseType):
    """organization["settings"]. The organization is always there: nothing is created or deleted."""

    name: ClassVar[str] = "organization"
    section: ClassVar[str] = "organization"
    section_type: ClassVar[Any] = OrganizationSection
    spec: ClassVar[type[Organization]] = Organization
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Rejection,)
    creatable: ClassVar[bool] = False
    deletable: ClassVar[bool] = False
    singletons: ClassVar[tuple[str, ...]] = (SETTINGS,)

    def declare(self, section: OrganizationSection, _owner: str, /) -> Iterable[Declared]:
        yield Declared(SETTINGS, Organization(SETTINGS, section.get("reject_direct_send")), ())

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
        if after is None or after.reject_direct_send is None:
            return ()
        if before is not None and before.reject_direct_send == after.reject_direct_send:
            return ()
        return (Send(Cmdlet("Set-OrganizationConfig", {"RejectDirectSend": after.reject_direct_send})),)

    def written_form(self, spec: Organization) -> tuple[tuple[str, ...], Any] | None:
        return (("reject_direct_send",), True) if spec.reject_direct_send else None

    def contribution(self, spec: Organization) -> Contributions:
        """Whether direct send is rejected; nothing, where the answer did not hold it."""
        return () if spec.reject_direct_send is None else (Rejection(spec.reject_direct_send),)

    def guards(self, _before: Organization | None, _after: Organization | None, /) -> Iterable[Guard]:
        return ()

    def in_force(self, _wanted: Organization, _live: Organization, /) -> str:
        """A setting is in force."""
        return ""


def _decode(rows: Sequence[Row]) -> Organization:
    return Organization(SETTINGS, organization_config.decode(rows).reject_direct_send)
