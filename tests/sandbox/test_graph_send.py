"""Mail through Microsoft Graph; without HTTP, and once by sockets."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from provisioner.sandbox.cmdlets import Caller, run_cmdlet
from provisioner.sandbox.graph import GraphService
from provisioner.sandbox.graph_calls import NOT_MODELLED, Call, GraphError
from provisioner.sandbox.graph_front import _split_path
from provisioner.sandbox.mail_store import MailStore
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

APP, PRINCIPAL = "00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2"
ERP, ANN, OUTSIDE = "erp@contoso.com", "ann@contoso.com", "customer@fabrikam.example"


class Mail:
    """A tenant, and what was delivered in it."""

    def __init__(self, folder: Path, **seed: Any) -> None:
        self.tenant = Tenant()
        objects = {"AcceptedDomain": [{"DomainName": "contoso.com", "Default": True}], **seed.pop("objects", {})}
        self.tenant.merge(load_seed({"sandbox": 1, "mailboxes": [ERP, ANN], "objects": objects, **seed}))
        self.store = MailStore(folder / "mail.jsonl", self.tenant.clock)

    def send(self, body: Any, *, sender: str = ERP, roles: tuple[str, ...] = ("Mail.Send",), user: str = "") -> Any:
        call = Call(
            "POST", ("users", sender, "sendMail"), {}, {}, body, "https://graph/v1.0", frozenset(roles), APP, user
        )
        return GraphService(self.tenant, self.store).answer(call)

    def user_id(self, address: str) -> str:
        return next(str(row["id"]) for row in self.tenant.rows("users") if row["userPrincipalName"] == address)


@pytest.fixture
def mail(tmp_path: Path) -> Mail:
    return Mail(tmp_path)


def message(*recipients: str, **rest: Any) -> dict[str, Any]:
    to = [{"emailAddress": {"address": name}} for name in recipients]
    text = {"contentType": "Text", "content": "Invoice 4711."}
    return {"message": {"subject": "Invoice", "body": text, "toRecipients": to, **rest}, "saveToSentItems": "false"}


def refusal(mail: Mail, *arguments: Any, **rest: Any) -> GraphError:
    with pytest.raises(GraphError) as refused:
        mail.send(*arguments, **rest)
    assert mail.store.all() == []
    return refused.value


def test_a_message_is_accepted_and_delivered(mail: Mail) -> None:
    reply = mail.send(
        message(
            ANN,
            OUTSIDE,
            bccRecipients=[{"emailAddress": {"address": "nobody@contoso.com"}}],
            attachments=[{"name": "a.pdf", "contentType": "application/pdf", "contentBytes": "JVBERg=="}],
            internetMessageHeaders=[{"name": "x-tool", "value": "erp"}],
        )
    )
    assert [reply.status, reply.body] == [202, None]
    (kept,) = mail.store.all()
    assert kept["recipients"] == {ANN: "inbox", OUTSIDE: "external", "nobody@contoso.com": "bounced"}
    assert [kept["route"], kept["mail_from"], kept["subject"]] == ["graph", ERP, "Invoice"]
    for part in ("Invoice 4711.", 'filename="a.pdf"', "x-tool: erp"):
        assert part in kept["content"]
    assert "Bcc" not in kept["content"]
    assert {row["RecipientAddress"] for row in mail.tenant.kept("MessageTrace")} >= {ANN, OUTSIDE}


def test_names_with_capital_letters_are_taken(mail: Mail) -> None:
    """As PowerShell scripts write them: @{ Message = @{ Subject = …; ToRecipients = @(@{ EmailAddress = … }) } }."""
    to = [{"EmailAddress": {"Address": ANN}}]
    body = {"ContentType": "HTML", "Content": "<p>Invoice</p>"}
    assert mail.send({"Message": {"Subject": "Capital", "Body": body, "ToRecipients": to}}).status == 202
    (kept,) = mail.store.all()
    assert [kept["subject"], kept["recipients"]] == ["Capital", {ANN: "inbox"}]
    assert "text/html" in kept["content"]


def test_the_action_may_be_named_with_its_namespace(mail: Mail) -> None:
    path = _split_path(f"users/{ERP}/microsoft.graph.sendMail")
    assert path == ("users", ERP, "sendMail")
    assert _split_path("groups/x/members/microsoft.graph.user") == ("groups", "x", "members", "microsoft.graph.user")
    call = Call("GET", path, {}, {}, None, "https://graph/v1.0", frozenset({"Mail.Send"}), APP)
    with pytest.raises(GraphError) as refused:
        GraphService(mail.tenant, mail.store).answer(call)
    assert refused.value.status == 405


def test_mime_is_taken_as_it_is(mail: Mail) -> None:
    text = f"From: {ERP}\r\nTo: {ANN}\r\nSubject: As MIME\r\nMessage-ID: <1@contoso.com>\r\n\r\nHello.\r\n"
    assert mail.send(base64.encodebytes(text.encode())).status == 202
    (kept,) = mail.store.all()
    assert [kept["subject"], kept["recipients"]] == ["As MIME", {ANN: "inbox"}]


@pytest.mark.parametrize(
    ("body", "rest", "status", "code"),
    [
        (message(ANN), {"roles": ("User.Read.All",)}, 403, "ErrorAccessDenied"),
        (message(ANN), {"sender": "nobody@contoso.com"}, 404, "ErrorInvalidUser"),
        (message(), {}, 400, "ErrorInvalidRecipients"),
        (message("ann"), {}, 400, "ErrorInvalidRecipients"),
        (message(ANN, **{"from": {"emailAddress": {"address": ANN}}}), {}, 403, "ErrorSendAsDenied"),
        (b"no base64 at all!", {}, 400, "ErrorMimeContentInvalidBase64String"),
        ({"subject": "no message"}, {}, 400, "ErrorInvalidRequest"),
        (message(ANN, internetMessageHeaders=[{"name": "Sender", "value": "x"}]), {}, 400,
         "InvalidInternetMessageHeader"),
    ],
)  # fmt: skip
def test_what_the_service_refuses_at_once(body: Any, rest: Any, status: int, code: str, mail: Mail) -> None:
    refused = refusal(mail, body, **rest)
    assert [refused.status, refused.code, NOT_MODELLED in refused.headers] == [status, code, False]


def test_a_person_sends_as_themselves_and_not_as_another(mail: Mail) -> None:
    ann = mail.user_id(ANN)
    refused = refusal(mail, message(ANN), user=ann)
    assert refused.message == "Access is denied. Check credentials and try again."
    assert mail.send(message(ERP), sender=ANN, user=ann).status == 202


def test_send_as_lets_a_mailbox_send_in_the_name_of_another(tmp_path: Path) -> None:
    right = {"Identity": ANN, "Trustee": ERP, "AccessRights": ["SendAs"]}
    mail = Mail(tmp_path, objects={"RecipientPermission": [right]})
    assert mail.send(message(OUTSIDE, **{"from": {"emailAddress": {"address": ANN}}})).status == 202
    assert mail.store.all()[0]["mail_from"] == ANN


def test_an_application_with_the_role_in_exchange_needs_no_permission_in_its_token(tmp_path: Path) -> None:
    objects = {
        "ServicePrincipal": [{"AppId": APP, "ObjectId": PRINCIPAL, "DisplayName": "erp"}],
        "ManagementScope": [{"Name": "senders", "RecipientFilter": "CustomAttribute1 -eq 'mail'"}],
        "ManagementRoleAssignment": [
            {"Name": "a", "Role": "Application Mail.Send", "RoleAssignee": PRINCIPAL, "CustomResourceScope": "senders"}
        ],
    }
    mail = Mail(tmp_path, objects=objects)
    administrator = Caller("admin", directory_roles=("Exchange Administrator",))
    run_cmdlet(mail.tenant, administrator, "Set-Mailbox", {"Identity": ERP, "CustomAttribute1": "mail"})
    assert refusal(mail, message(OUTSIDE), sender=ANN, roles=()).code == "ErrorAccessDenied"
    assert mail.send(message(OUTSIDE), roles=()).status == 202


def test_what_is_refused_later_is_accepted_and_comes_back(tmp_path: Path) -> None:
    domain = {"DomainName": "contoso.com", "Default": True, "SendingFromDomainDisabled": True}
    mail = Mail(tmp_path, objects={"AcceptedDomain": [domain]})
    assert mail.send(message(ANN)).status == 202
    assert mail.store.all()[0]["recipients"] == {ANN: "bounced"}


def test_writes_that_are_not_modelled_are_marked(mail: Mail) -> None:
    call = Call("POST", ("groups",), {}, {}, {}, "https://graph/v1.0", frozenset({"Group.ReadWrite.All"}))
    with pytest.raises(GraphError) as refused:
        GraphService(mail.tenant).answer(call)
    assert [refused.value.status, refused.value.headers[NOT_MODELLED]] == [405, "POST of groups"]
