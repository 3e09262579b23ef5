"""Settings of the whole organization that decide about sending: direct send, and aliases that mailboxes send from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from provisioner.model import Guard
from provisioner.model.picture import Contribution, Contributions, FromAlias, Rejection
from provisioner.resources import fields
from provisioner.resources.fields import BOOLEAN, column
from provisioner.resources.tenant_settings import TenantSettingsType


@dataclass(frozen=True, slots=True)
class Organization:
    """`reject_direct_send`: unauthenticated mail in the name of an accepted domain is refused, connectors excepted."""

    name: str
    reject_direct_send: bool | None = column(
        "RejectDirectSend",
        BOOLEAN,
        "Refuse mail in the name of our domains that nobody signed in for and no connector names.",
        default=False,
    )
    send_from_alias_enabled: bool | None = column(
        "SendFromAliasEnabled",
        BOOLEAN,
        "Keep an alias that a mailbox sends from; else Exchange rewrites it to the primary address.",
        default=False,
    )


_DESCRIPTION = "Settings of the whole organization. What is not written is left as it is."


class OrganizationType(TenantSettingsType[Organization]):
    """organization["settings"]."""

    name: ClassVar[str] = "organization"
    section: ClassVar[str] = "organization"
    section_type: ClassVar[Any] = fields.entry(Organization, "OrganizationSection", _DESCRIPTION)
    spec: ClassVar[type[Organization]] = Organization
    noun: ClassVar[str] = "OrganizationConfig"
    alone: ClassVar[frozenset[str]] = frozenset({"RejectDirectSend"})
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Rejection, FromAlias)

    def contribution(self, spec: Organization) -> Contributions:
        """Whether direct send is rejected, and an alias stays in From; nothing of what the answer did not hold."""
        rejection = () if spec.reject_direct_send is None else (Rejection(spec.reject_direct_send),)
        alias = () if spec.send_from_alias_enabled is None else (FromAlias(spec.send_from_alias_enabled),)
        return (*rejection, *alias)

    def guards(self, _before: Organization | None, _after: Organization | None, /) -> Iterable[Guard]:
        return ()
