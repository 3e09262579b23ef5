"""What an application needs to sign in to a mailbox over SMTP with a token of its own (client credentials). Pure.

Exchange knows it by the object id of its enterprise application; an administrator has consented to its application
permission SMTP.SendAsApp; and it holds FullAccess to the mailbox (Learn, "Authenticate an IMAP, POP or SMTP connection
using OAuth"). Without the first two the sign-in is refused (535 5.7.3), without the third the message (430 4.2.0). In
place of consent and FullAccess it may have the role Application SMTP.SendAsApp on the mailbox (MC1158911): what either
of the two gives, the lack of the other does not take away (Learn, "Role Based Access Control for Applications").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from provisioner.mailflow.attempt import Attempt, Doubt, Refusal
from provisioner.model.picture import AppRole, MailboxRight, Picture, Registration, holds
from provisioner.resources.rows.enterprise_application import EXCHANGE_API, GRAPH_API, PERMISSION, SEND_AS_APP

_DECLARE = "declare the application under applications, with the mailbox under send_as"
NO_CONSENT = "no_consent"
SMTP_ROLE = "SMTP.SendAsApp"


def refusals(picture: Picture, attempt: Attempt) -> Iterator[Refusal]:
    """Every reason for which an application is refused; nothing for a person, or an application that nobody names."""
    if not _concerns(attempt):
        return
    who, known = attempt.client_id, _registered(picture, attempt)
    if _unregistered(picture, attempt):
        what = f"Exchange does not know the application {who} by the object id of its enterprise application"
        yield Refusal("application_unregistered", "535 5.7.3", what, hint=_DECLARE)
    if _has_role(picture, attempt) or _role_unread(picture, attempt) or _may_be_in_scope(picture, attempt):
        return
    if _out_of_scope(picture, attempt):
        what = f"the role Application {SMTP_ROLE} of the application {who} is not about {attempt.mailbox}"
        yield Refusal("not_in_scope", "535 5.7.3", what, hint=_DECLARE)
        return
    if known is not None and _consented(picture, attempt) is False:
        what = f"nobody has consented to SMTP.SendAsApp for the application {who}"
        yield Refusal(NO_CONSENT, "535 5.7.3", what, hint=consent_command(SEND_AS_APP, known.object_id))
    if _may_open(picture, attempt) is False:
        what = f"the application {who} may not open {attempt.mailbox} (FullAccess)"
        yield Refusal("no_mailbox_right", "430 4.2.0", what, hint=_DECLARE)


def doubts(picture: Picture, attempt: Attempt) -> Iterator[Doubt]:
    """What was not read of an application."""
    if not _concerns(attempt):
        return
    known = _registered(picture, attempt)
    if known is None and not _unregistered(picture, attempt):
        yield Doubt("whether Exchange knows the application", ("application_unregistered", NO_CONSENT), _READ)
    if _has_role(picture, attempt) or _out_of_scope(picture, attempt):
        return
    both = _consented(picture, attempt) and _may_open(picture, attempt)
    if _role_unread(picture, attempt) and not both:
        what = f"whether the application has the role Application {SMTP_ROLE}"
        yield Doubt(what, (NO_CONSENT, "no_mailbox_right", "not_in_scope"), _READ_ROLES)
        return
    where = _may_be_in_scope(picture, attempt)
    if where and not both:
        what = f"whether {attempt.mailbox} is in {where}"
        yield Doubt(what, ("not_in_scope", "no_mailbox_right"), "write it under mailboxes of the role")
        return
    if known is not None and _consented(picture, attempt) is None:
        yield Doubt("whether somebody has consented to SMTP.SendAsApp", (NO_CONSENT,), _READ)
    if _may_open(picture, attempt) is None:
        what = f"whether the application may open {attempt.mailbox}"
        yield Doubt(what, ("no_mailbox_right",), "give the application a role that may run Get-MailboxPermission")


_READ_ROLES = "give the application a role that may run Get-ManagementRoleAssignment"
_READ = f"grant the application that runs this tool the Graph permission {PERMISSION}"


def consent_command(permission: str, object_id: str) -> str:
    """What an administrator runs to consent; the API and the role are found by their names.

    For permissions of Microsoft Graph that takes a Privileged Role Administrator, for those of Exchange a Cloud
    Application Administrator is enough (Learn, "Grant tenant-wide admin consent to an application").
    """
    api, _, role = permission.partition("/")
    app_id = EXCHANGE_API if api == "exchange" else GRAPH_API
    principal = object_id or "<object id of the enterprise application>"
    who = "a Cloud Application Administrator" if api == "exchange" else "a Privileged Role Administrator"
    return (
        f"{who} consents: Connect-MgGraph -Scopes Application.Read.All,AppRoleAssignment.ReadWrite.All; "
        f"$api = Get-MgServicePrincipal -Filter \"appId eq '{app_id}'\"; "
        f"New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId {principal} -PrincipalId {principal} "
        f"-ResourceId $api.Id -AppRoleId ($api.AppRoles | Where-Object Value -eq '{role}').Id"
    )


def _concerns(attempt: Attempt) -> bool:
    """Whether an application signs in over SMTP. High Volume Email takes other rights."""
    application = attempt.authentication == "oauth" and attempt.application is True
    return application and bool(attempt.client_id) and not attempt.hve


def _registered(picture: Picture, attempt: Attempt) -> Registration | None:
    return next((r for _, r in picture.every(Registration) if r.application == attempt.client_id), None)


def _unregistered(picture: Picture, attempt: Attempt) -> bool:
    return _registered(picture, attempt) is None and picture.lacks(Registration, attempt.client_id)


def _consented(picture: Picture, attempt: Attempt) -> bool | None:
    """Whether somebody has consented to SMTP.SendAsApp; None for not known."""
    known = _registered(picture, attempt)
    return None if known is None or known.permissions is None else SEND_AS_APP in known.permissions


def _may_open(picture: Picture, attempt: Attempt) -> bool | None:
    """Whether the application holds FullAccess to the mailbox; None for not known."""
    wanted = MailboxRight(attempt.client_id, attempt.mailbox)
    if any(right == wanted for _, right in picture.every(MailboxRight)):
        return True
    return False if picture.lacks(MailboxRight, f"{attempt.client_id} on {attempt.mailbox}") else None


def _roles(picture: Picture, attempt: Attempt) -> Sequence[AppRole]:
    return [r for _, r in picture.every(AppRole) if (r.application, r.role) == (attempt.client_id, SMTP_ROLE)]


def _has_role(picture: Picture, attempt: Attempt) -> bool:
    """Whether a role of Exchange lets the application sign in as the mailbox."""
    return any(holds(held.mailboxes, attempt.mailbox) for held in _roles(picture, attempt))


def _role_unread(picture: Picture, attempt: Attempt) -> bool:
    """Whether roles could not be read, and none is known."""
    lacks = picture.lacks(AppRole, f"{attempt.client_id} {SMTP_ROLE}")
    return AppRole in picture.unread and not lacks and not _roles(picture, attempt)


def _may_be_in_scope(picture: Picture, attempt: Attempt) -> str:
    """Where mailboxes may be that a role is about, and that nobody named; "" for nowhere."""
    return next((role.others for role in _roles(picture, attempt) if role.others), "")


def _out_of_scope(picture: Picture, attempt: Attempt) -> bool:
    """Whether the role is not about the mailbox, and consent does not take its place."""
    lacks = picture.lacks(AppRole, f"{attempt.client_id} {SMTP_ROLE}")
    known = bool(_roles(picture, attempt)) and not _may_be_in_scope(picture, attempt)
    if not (lacks or known) or _has_role(picture, attempt):
        return False
    consented = _consented(picture, attempt)
    return _unregistered(picture, attempt) if consented is None else not consented
