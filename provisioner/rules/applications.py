"""What the changes, and the tenant as it is, mean for applications: consent that is missing, and who must give it.

Consent is an administrator's decision in Entra ID. It is checked here, and never given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.mailflow import applications
from provisioner.mailflow import picture as pictures
from provisioner.model import Action, Address, Change, Desired, Finding, Observed, ResourceType, goal_of
from provisioner.model.clouds import cloud_of_mail
from provisioner.model.picture import AppRole, MailboxRight, Picture, Registration
from provisioner.resources.rows.enterprise_application import SEND_AS_APP
from provisioner.rules.catalogue import RULES

Types = Mapping[str, ResourceType[Any]]


def application_findings(
    desired: Desired, observed: Observed, changes: Sequence[Change], types: Types
) -> Iterator[Finding]:
    """All findings about the applications that the plan mentions."""
    pending = [c for c in changes if c.action is not Action.NO_OP]
    kinds = tuple(types.values())
    if any(_declares(desired, word, types) for word in (Registration, MailboxRight, AppRole)):
        then = pictures.after(pictures.of_observed(observed, kinds), pending, kinds)
        yield from _without_consent(desired, then)
        yield from _unscoped(desired, then)
    yield from _unregistered(desired, pending, types)


def _declares(desired: Desired, word: type[Any], types: Types) -> bool:
    return any(word in types[a.type].contributes for a in desired.resources if a.type in types)


def _without_consent(desired: Desired, picture: Picture) -> Iterator[Finding]:
    """Applications that may open a mailbox, and get no token that counts."""
    opens: dict[str, list[str]] = {}
    for _, right in picture.every(MailboxRight):
        opens.setdefault(right.application, []).append(right.mailbox)
    scoped = {held.application for _, held in picture.every(AppRole) if held.role == applications.SMTP_ROLE}
    for address, known in picture.every(Registration):
        lacks = known.permissions is not None and SEND_AS_APP not in known.permissions
        if lacks and known.application in opens.keys() - scoped:
            what = f"nobody has consented to SMTP.SendAsApp for {_called(address, desired)}: its sign-ins are refused"
            authority = cloud_of_mail("worldwide", desired.tenant).authority
            page = f"{authority}/{desired.tenant}/adminconsent?client_id={known.application}"
            command = applications.consent_command(SEND_AS_APP, known.object_id)
            fix = f"{command}; where its app registration asks for it, {page} does the same"
            yield _finding("APPLICATION-CONSENT", what, fix, address, desired)


def _unscoped(desired: Desired, picture: Picture) -> Iterator[Finding]:
    """Applications whose role is limited to some mailboxes, and that have the permission in Entra ID without a limit.

    The two add up: what Entra ID grants, no scope takes away (Learn, "Role Based Access Control for Applications").
    """
    for address, known in picture.every(Registration):
        for _, held in picture.every(AppRole):
            both = {f"exchange/{held.role}", f"graph/{held.role}"} & (known.permissions or frozenset())
            if held.application != known.application or not both:
                continue
            granted = " and ".join(sorted(both))
            what = f"{_called(address, desired)} has {granted} in Entra ID too, which its scope does not limit"
            fix = (
                "once the application gets on without it, an administrator takes it away: Get-MgServicePrincipal"
                f"AppRoleAssignment -ServicePrincipalId {known.object_id}, then Remove-MgServicePrincipalAppRole"
                f"Assignment -ServicePrincipalId {known.object_id} -AppRoleAssignmentId <its id>"
            )
            yield _finding("APPLICATION-UNSCOPED", what, fix, address, desired)


def _unregistered(desired: Desired, pending: Sequence[Change], types: Types) -> Iterator[Finding]:
    """Changes that need an application which Exchange does not know, and which the plan does not register."""
    for change in pending:
        goal = goal_of(change)
        needs = types[change.address.type].needs(goal) if goal is not None else ()
        for need in (n for n in needs if Registration in types[n.type].contributes and n not in desired.resources):
            what = f"{change.address} needs the application {need.key}, which is not registered with Exchange"
            fix = f"declare it: applications, or service_principals: {{ {need.key}: {{}} }}"
            yield _finding("APPLICATION-UNREGISTERED", what, fix, change.address, desired)


def _called(address: Address, desired: Desired) -> str:
    """The application by the name that Exchange shows, where the plan writes one."""
    resource = desired.resources.get(address)
    name = getattr(resource.spec, "display_name", None) if resource else None
    return f'the application "{name}" ({address.key})' if name else f"the application {address.key}"


def _finding(identifier: str, what: str, fix: str, address: Address, desired: Desired) -> Finding:
    rule, resource = RULES[identifier], desired.resources.get(address)
    location = resource.location if resource else None
    return Finding(rule.id, rule.severity, what, fix, address, rule.blocks, location=location)
