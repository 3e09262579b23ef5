"""Mail through Microsoft Graph: POST /users/{id}/sendMail and /me/sendMail, a message as JSON or as MIME in base64.

Learn, "user: sendMail". Who may send is answered at once; what Exchange Online refuses later (limits, a domain that may
not send, a recipient that does not exist) comes back as a notice, as the page says: 202 "does not indicate that the
request processing has completed". An application sends as every mailbox with the permission Mail.Send, or as those of
its scope with the role "Application Mail.Send" (RBAC for Applications). Not modelled: application access policies,
drafts and upload sessions, the folder Sent Items.
"""

from __future__ import annotations

import base64
import binascii
import email
import email.policy
from collections.abc import Iterable, Iterator, Mapping
from email.message import EmailMessage
from email.utils import formataddr, getaddresses, make_msgid, parseaddr
from typing import TYPE_CHECKING, Any

from provisioner.sandbox import authentication_results, delivery, mail_rules, submission_rules
from provisioner.sandbox.cmdlets import management_role
from provisioner.sandbox.graph_calls import Call, GraphError, Reply, bad_request, not_allowed
from provisioner.sandbox.mail_directory import addresses, owner_of, primary, user_of
from provisioner.sandbox.message_traces import Taken
from provisioner.sandbox.tenant import Row, Tenant

if TYPE_CHECKING:
    from provisioner.sandbox.mail_store import MailStore

_SEND = frozenset({"Mail.Send", "Mail.Send.Shared"})
_SERVER = "SBX0PR01MB0063.eurprd01.prod.outlook.com"


class Sending:
    """Takes messages into the mail that was delivered. Without a store (a tenant without ports) nothing is kept."""

    def __init__(self, tenant: Tenant, store: MailStore | None) -> None:
        self._tenant, self._store = tenant, store

    def send(self, call: Call) -> Reply:
        """Reply to sendMail of a user: 202 without a body. Raises GraphError."""
        if call.method != "POST":
            raise not_allowed(call)
        owner = owner_of(self._tenant, call.path[1]) or self._mailbox_of(call.path[1])
        if owner is None:
            raise GraphError(404, "ErrorInvalidUser", f"The requested user '{call.path[1]}' is invalid.")
        self._need(call, owner)
        message = _message(call.body)
        author = parseaddr(str(message.get("From", "")))[1] or primary(owner)
        recipients = _recipients(message)
        if not recipients or not all("@" in name for name in recipients):
            raise bad_request("At least one recipient is not valid.", "ErrorInvalidRecipients")
        own = addresses(owner)
        if author.lower() not in own and submission_rules.send_as_refusal(self._tenant, primary(owner), author):
            # Learn, "Send Outlook messages from another user", with the stray ".," (microsoft-graph-docs issue 3996).
            text = (
                "The user account which was used to submit this request does not have the right to send mail on "
                "behalf of the specified sending account., Cannot submit message."
            )
            raise GraphError(403, "ErrorSendAsDenied", text)
        self._take(owner, message, author, recipients)
        return Reply(202)

    def _mailbox_of(self, name: str) -> Row | None:
        """The mailbox of a user by the id of the directory."""
        found = self._tenant.rows("Mailbox")
        return next((row for row in found if str(row.get("ExternalDirectoryObjectId")).lower() == name.lower()), None)

    def _need(self, call: Call, owner: Row) -> None:
        own = {str(user_of(self._tenant, owner).get("id")).lower()}
        if call.user:  # a person: as themselves, or as another with the permission for shared mailboxes
            wanted = _SEND if call.user.lower() in own else {"Mail.Send.Shared"}
            allowed = not call.roles.isdisjoint(wanted)
        else:
            allowed = "Mail.Send" in call.roles or self._assigned(call, owner)
        if not allowed:
            raise GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")

    def _assigned(self, call: Call, owner: Row) -> bool:
        """Whether the application has the role to send as the mailbox, in Exchange."""
        return any(
            row["Role"] == "Application Mail.Send" and management_role.in_scope(self._tenant, row, owner)
            for principal in self._tenant.visible("ServicePrincipal")
            if str(principal.get("AppId", "")).lower() == call.application.lower()
            for row in management_role.assigned(self._tenant, principal)
        )

    def _take(self, owner: Row, message: EmailMessage, author: str, recipients: list[str]) -> None:
        tenant, mailbox = self._tenant, primary(owner)
        if not message.get("Message-ID"):
            message["Message-ID"] = make_msgid(domain=_SERVER)
        if not message.get("From"):
            message["From"] = author
        del message["Bcc"]
        content = message.as_bytes(policy=email.policy.SMTP)
        inside = "quarantine" if mail_rules.quarantined(tenant, author, author) else "inbox"
        folders = {name: delivery.folder_of(tenant, name, inside, len(content)) for name in recipients}
        reasons = dict(delivery.kept_by_rules(tenant, author, author, recipients, folders))
        notice = next(self._later(owner, author, len(content), len(recipients)), "")
        if notice:
            folders, reasons = dict.fromkeys(recipients, "bounced"), dict.fromkeys(recipients, notice)
        taken = Taken(
            sender=author,
            folders=folders,
            from_ip="",
            message_id=str(message["Message-ID"]),
            subject=str(message.get("Subject", "")),
            size=len(content),
            login=mailbox,
            reasons=reasons,
            results=authentication_results.of_tenant(author),
        )
        if self._store is not None:
            unclear = delivery.undecided(tenant, author, author, recipients)
            delivery.keep(tenant, self._store, taken, content, message, "graph", unclear)

    def _later(self, owner: Row, author: str, size_bytes: int, recipients: int) -> Iterator[str]:
        """Notices about a message that was accepted and is not delivered."""
        tenant = self._tenant
        candidates = (
            mail_rules.SENDING_DISABLED if mail_rules.sending_disabled(tenant, author) else None,
            submission_rules.size_refusal(owner, size_bytes),
            submission_rules.restricted_refusal(tenant, owner, recipients),
            submission_rules.quota_refusal(tenant, primary(owner), recipients),
        )
        yield from (text for text in candidates if text)


def _recipients(message: EmailMessage) -> list[str]:
    lines = [str(line) for name in ("To", "Cc", "Bcc") for line in message.get_all(name, [])]
    return list(dict.fromkeys(address for _, address in getaddresses(lines) if address))


def _message(body: object) -> EmailMessage:
    """The message of a request: a JSON object with `message`, or MIME in base64. Raises GraphError."""
    if isinstance(body, bytes):
        try:
            content = base64.b64decode(b"".join(body.split()), validate=True)
        except binascii.Error:
            content = b""
        if not content:
            raise bad_request("Invalid base64 string for MIME content.", "ErrorMimeContentInvalidBase64String")
        parsed = email.message_from_bytes(content, policy=email.policy.default)
        return parsed if isinstance(parsed, EmailMessage) else EmailMessage()
    message = _as_graph_spells(body).get("message") if isinstance(body, dict) else None
    if not isinstance(message, dict):  # the wording is the OData library's for a missing parameter
        raise bad_request("Missing parameter 'Message' in action 'sendMail'.", "ErrorInvalidRequest")
    return _from_json(message)


def _as_graph_spells(value: Any) -> Any:
    """Names of properties begin with a small letter; Outlook takes the capital ones of PowerShell's scripts too."""
    if isinstance(value, Mapping):
        return {f"{str(key)[:1].lower()}{str(key)[1:]}": _as_graph_spells(own) for key, own in value.items()}
    return [_as_graph_spells(one) for one in value] if isinstance(value, list) else value


def _from_json(given: Mapping[str, Any]) -> EmailMessage:
    """Learn, "message resource type", as far as it decides what a recipient gets."""
    message = EmailMessage()
    message["Subject"] = " ".join(str(given.get("subject") or "").split())
    for header, people in (
        ("From", [given["from"]] if given.get("from") else []),
        ("To", given.get("toRecipients")),
        ("Cc", given.get("ccRecipients")),
        ("Bcc", given.get("bccRecipients")),
        ("Reply-To", given.get("replyTo")),
    ):
        line = ", ".join(_people(people or ()))
        if line:
            message[header] = line
    for line in given.get("internetMessageHeaders") or ():
        if not str(line.get("name", "")).lower().startswith("x-"):
            text = f"The internet message header name '{line.get('name')}' should start with 'x-' or 'X-'."
            raise bad_request(text, "InvalidInternetMessageHeader")
        message[str(line["name"])] = str(line.get("value", ""))
    body = given.get("body") or {}
    kind = "html" if str(body.get("contentType", "text")).lower() == "html" else "plain"
    message.set_content(str(body.get("content") or ""), subtype=kind)
    for attached in given.get("attachments") or ():
        main, _, sub = str(attached.get("contentType") or "application/octet-stream").partition("/")
        content = base64.b64decode(str(attached.get("contentBytes") or ""))
        message.add_attachment(content, maintype=main, subtype=sub or "octet-stream", filename=attached.get("name"))
    return message


def _people(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        address = row.get("emailAddress") or {}
        yield formataddr((str(address.get("name") or ""), str(address.get("address") or "")))
