"""The plan's section `applications`: what sends with a token of its own, and what that takes in the tenant.

An application is written once, with the mailboxes that it sends as, and devices name it. What it takes are resources:
its service principal in Exchange, and FullAccess to each mailbox or a role on them. Consent in Entra ID is checked and
never granted.

Source: Learn, "Authenticate an IMAP, POP or SMTP connection using OAuth", client credentials.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Required

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from provisioner.diagnostics import Location
from provisioner.model import Address, Resource
from provisioner.model.devices import MAILBOX_PERMISSION, ROLE_ASSIGNMENT, Application
from provisioner.model.names import caseless
from provisioner.resources.application_role_assignment import ScopeText, assignment_of
from provisioner.resources.canonical import EmailText, client_id, prose, refusal
from provisioner.resources.hve_account import HveAccount
from provisioner.resources.mailbox_permission import permission_of
from provisioner.resources.service_principal import ServicePrincipal


@with_config(ConfigDict(extra="forbid"))
class ApplicationBody(TypedDict, total=False):
    """An application that sends with client credentials."""

    client_id: Required[
        Annotated[
            str,
            AfterValidator(client_id),
            Field(
                description="The Application (client) ID of its app registration.",
                examples=["6f1c0d1e-0000-4000-8000-000000000001"],
            ),
        ]
    ]
    send_as: Annotated[
        list[EmailText],
        Field(description="The mailboxes that it signs in as. Those of its devices need not be listed."),
    ]
    access: Annotated[
        Literal["mailbox_permission", "role_assignment"],
        Field(
            description="How it gets at them: FullAccess to each mailbox, with consent in Entra ID (as if not "
            "written), or a role of Exchange on these mailboxes alone (RBAC for Applications), without consent."
        ),
    ]
    scope: Annotated[
        ScopeText,
        Field(
            description="With role_assignment: the group, or the existing management scope, that limits the role. "
            "Without it a scope is made of the mailboxes."
        ),
    ]
    display_name: Annotated[str, AfterValidator(prose), Field(description="What Exchange shows of it.")]


def _agree(body: ApplicationBody) -> ApplicationBody:
    if "scope" in body and body.get("access") != ROLE_ASSIGNMENT:
        raise refusal(
            "SCOPE-WITHOUT-ROLE", "scope limits a role, and access is not one", "write access: role_assignment"
        )
    return body


ApplicationText = Annotated[ApplicationBody, AfterValidator(_agree)]


def application(name: str, body: Mapping[str, Any], location: Location | None) -> Application:
    """A validated entry of `applications`."""
    return Application(
        name,
        body["client_id"],
        tuple(dict.fromkeys(body.get("send_as", ()))),
        body.get("access", MAILBOX_PERMISSION),
        body.get("display_name"),
        tuple(body.get("scope", {}).items()),
        location,
    )


def called_by_id(declared: Mapping[Address, Resource], known: Mapping[str, Application]) -> Mapping[Address, Resource]:
    """The declared accounts of High Volume Email whose `applications` name entries of the section, with their ids."""
    by_name = {caseless(name): one.client_id for name, one in known.items()}
    found: dict[Address, Resource] = {}
    for address, resource in declared.items():
        if isinstance(resource.spec, HveAccount) and resource.spec.applications and by_name:
            ids = frozenset(by_name.get(caseless(app), app) for app in resource.spec.applications)
            spec = dataclasses.replace(resource.spec, applications=ids)
            found[address] = dataclasses.replace(resource, spec=spec)
    return found


def resources(one: Application) -> Iterator[Resource]:
    """What an application takes, whatever devices use it."""
    principal = ServicePrincipal(one.client_id, one.display_name)
    yield Resource(Address("service_principal", one.client_id), principal, one.location)
    if one.access == ROLE_ASSIGNMENT and (one.send_as or one.scope):
        role = assignment_of(one.client_id, "SMTP.SendAsApp", one.send_as, dict(one.scope))
        yield Resource(Address("application_role_assignment", role.assignment), role, one.location)
    for mailbox in one.send_as if one.access == MAILBOX_PERMISSION else ():
        right = permission_of(one.client_id, mailbox)
        yield Resource(Address("mailbox_permission", right.pair), right, one.location)
