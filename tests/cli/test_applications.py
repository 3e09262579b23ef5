"""Applications that send with a token of their own: refused, applied, sent over SMTP with XOAUTH2, and taken back."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import Shop, open_shop
from tests.sandbox.mailing import connection, message, token, words, xoauth2

pytestmark = [pytest.mark.one_of("profile"), pytest.mark.part(0.5)]

CLIENT, OBJECT = "6f1c0d1e-0000-4000-8000-000000000001", "6f1c0d1e-0000-4000-8000-000000000002"
ROLE = "SMTP.SendAsApp"
EXCHANGE = "https://outlook.office365.com"
SEED: dict[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com", "Default": True}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
    },
    "mailboxes": ["invoices@contoso.com", "anna@contoso.com"],
    "apps": [
        {
            "displayName": "erp",
            "appId": CLIENT,
            "objectId": OBJECT,
            "appRoles": {EXCHANGE: [ROLE]},
        }
    ],
}
PLAN = f"""
applications:
  erp: {{ client_id: {CLIENT.upper()} }}
devices:
  erp:
    from: invoices@contoso.com
    recipients: anyone
    supports: {{ tls: "1.3", authentication: [oauth] }}
    application: erp
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), SEED) as here:
        yield here


@pytest.fixture(autouse=True)
def anew(shop: Shop) -> Iterator[None]:
    shop.write(PLAN)
    yield
    shop.reset()


def send(shop: Shop, mailbox: str = "invoices@contoso.com") -> str:
    """A message of the application over the submission port, with a token of its own; "" where it was taken."""
    endpoints = shop.tenant.endpoints
    tenant = type(shop.tenant)(shop.tenant.folder, {**endpoints, "erp": endpoints["apps"]["erp"]})
    with connection(tenant, "smtp_submission") as client:
        code, text = client.docmd("AUTH", "XOAUTH2 " + xoauth2(mailbox, token(tenant, "erp")))
        if code != 235:
            return f"{code} {text.decode()}"
        try:
            client.send_message(message(mailbox, "someone@fabrikam.com"))
        except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
            return words(error)
    return ""


def run(shop: Shop, *arguments: str, profile: str = "sandbox", code: int = 0, **environment: str) -> str:
    done = shop.run("--profile", profile, *arguments, PROVISIONER_TIMEOUTS__CONFIRM_S="5", **environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def findings(shop: Shop, code: int = 2) -> dict[str, dict[str, Any]]:
    document = json.loads(run(shop, "plan", "plan.yaml", "--format", "json", "--detailed-exitcode", code=code))
    return {d["rule"]: d for d in document["provisioner"]["findings"]}


@pytest.mark.parametrize("profile", ["sandbox", "sandbox-psrp"])
def test_an_application_that_was_refused_sends_and_a_rollback_takes_it_back(shop: Shop, profile: str) -> None:
    assert send(shop).startswith("535 5.7.3 Authentication unsuccessful")
    before = shop.tenant.seen()
    run(shop, "apply", "plan.yaml", "--auto-approve", profile=profile)
    (principal,) = shop.tenant.rows("ServicePrincipal")
    assert (principal["AppId"], principal["ObjectId"]) == (CLIENT, OBJECT), "the id of the enterprise application"
    (right,) = shop.tenant.rows("MailboxPermission")
    assert right["AccessRights"] == ["FullAccess"]
    (added,) = (r for r in shop.tenant.writes(since=before) if r["cmdlet"] == "Add-MailboxPermission")
    assert added["parameters"]["AutoMapping"] is False
    assert send(shop) == ""
    assert shop.tenant.control("GET", "/mail")[-1]["mail_from"] == "invoices@contoso.com"
    run(shop, "plan", "plan.yaml", "--detailed-exitcode", profile=profile)
    run(shop, "rollback", "last", "-o", "back.json", profile=profile)
    saved = shop.reviewed("back.json")
    run(shop, "apply", *saved, "--auto-approve", profile=profile)
    assert shop.tenant.rows("ServicePrincipal") == shop.tenant.rows("MailboxPermission") == []
    assert send(shop).startswith("535 5.7.")


def test_what_lacks_is_told_with_the_command_for_who_must_give_it(shop: Shop) -> None:
    """Consent is nothing that the plan could give: it is a warning, and everything else is done."""
    shop.tenant.control("POST", "/load", {"sandbox": 1, "apps": [{"appId": CLIENT, "appRoles": {}}]})
    told = findings(shop)["APPLICATION-CONSENT"]
    assert f"-ServicePrincipalId {OBJECT} -PrincipalId {OBJECT}" in told["hint"]
    assert "00000002-0000-0ff1-ce00-000000000000" in told["hint"]
    assert "'SMTP.SendAsApp'" in told["hint"]
    assert f"/contoso.onmicrosoft.com/adminconsent?client_id={CLIENT}" in told["hint"]
    run(shop, "apply", "plan.yaml", "--auto-approve")
    assert send(shop).startswith("535 5.7.3")
    doctor = shop.on_tenant("doctor", "plan.yaml")
    assert (doctor.returncode, "problem  APPLICATION-CONSENT" in doctor.stdout) == (1, True), "its sign-ins are refused"
    shop.tenant.control("POST", "/load", {"sandbox": 1, "apps": [{"appId": CLIENT, "appRoles": {EXCHANGE: [ROLE]}}]})
    assert "APPLICATION-CONSENT" not in findings(shop, code=0)
    assert send(shop) == ""


@pytest.mark.part(1)
def test_a_registration_with_a_wrong_object_id_is_found_and_never_deleted(shop: Shop) -> None:
    wrong = OBJECT.replace("0002", "0009")
    shop.tenant.cmdlet("New-ServicePrincipal", AppId=CLIENT, ObjectId=wrong)
    told = findings(shop)
    assert told["NOT-IN-FORCE"]["severity"] == "warning"
    assert f"Remove-ServicePrincipal -Identity {wrong}" in told["NOT-IN-FORCE"]["hint"]
    assert "does not know the application" in told["SMTP-AUTH-BLOCKED"]["summary"]
    run(shop, "apply", "plan.yaml", "--auto-approve")
    assert [row["ObjectId"] for row in shop.tenant.rows("ServicePrincipal")] == [wrong]
    shop.tenant.cmdlet("Remove-ServicePrincipal", Identity=wrong)
    run(shop, "apply", "plan.yaml", "--auto-approve")
    assert send(shop) == ""


def test_without_the_permission_to_read_applications_nothing_is_registered(shop: Shop) -> None:
    denied = {"status": 403, "body": {"error": {"code": "Authorization_RequestDenied", "message": "no"}}}
    shop.tenant.control("POST", "/faults", [{"front": "graph", "match": {"path": "/v1.0/servicePrincipals"},
                                             "times": 9, "do": denied}])  # fmt: skip
    said = run(shop, "apply", "plan.yaml", "--auto-approve", code=5)
    assert "grant the app the Graph permission Application.Read.All" in said
    assert shop.tenant.rows("ServicePrincipal") == []


def test_what_was_exported_plans_empty(shop: Shop) -> None:
    run(shop, "apply", "plan.yaml", "--auto-approve")
    run(shop, "export", "-o", "live.yaml")
    written = (shop.folder / "live.yaml").read_text()
    assert f"{CLIENT}: {{display_name: erp}}" in written.replace("'", "") or "display_name: erp" in written
    assert "mailbox_permissions:" in written
    assert "- invoices@contoso.com" in written
    run(shop, "plan", "live.yaml", "--detailed-exitcode")
    (shop.folder / "live.yaml").unlink()


@pytest.mark.parametrize("way", ["mailbox_permission", "service_principal"])
def test_what_leaves_the_plan_stays_and_absent_takes_it_away(shop: Shop, way: str) -> None:
    run(shop, "apply", "plan.yaml", "--auto-approve")
    shop.write("owner: mail/prod\n")
    run(shop, "plan", "plan.yaml", "--detailed-exitcode")
    key = CLIENT if way == "service_principal" else f"{CLIENT} on invoices@contoso.com"
    shop.write(f"absent: ['{way}/{key}']\n")
    run(shop, "apply", "plan.yaml", "--auto-approve")
    rows = {"service_principal": "ServicePrincipal", "mailbox_permission": "MailboxPermission"}
    assert shop.tenant.rows(rows[way]) == []
    assert send(shop) != ""


# --- RBAC for Applications -------------------------------------------------------------------------------------------

SCOPED = PLAN.replace(f"{CLIENT.upper()} }}", f"{CLIENT}, access: role_assignment }}")
NOBODY_CONSENTED = {"sandbox": 1, "apps": [{"appId": CLIENT, "appRoles": {}}]}


def test_a_role_lets_an_application_send_as_its_mailboxes_alone(shop: Shop) -> None:
    """Without consent in Entra ID: refused, applied, sent, nobody else's mailbox, and taken back."""
    shop.tenant.control("POST", "/load", NOBODY_CONSENTED)
    shop.write(SCOPED)
    assert send(shop).startswith("535 5.7.3 Authentication unsuccessful")
    assert "APPLICATION-CONSENT" not in findings(shop)
    before = shop.tenant.seen()
    run(shop, "apply", "plan.yaml", "--auto-approve")
    (scope,) = shop.tenant.rows("ManagementScope")
    assert not [r for r in shop.tenant.writes(since=before) if r["cmdlet"].startswith("Test-")], "a test is a read"
    assert scope["RecipientFilter"] == "EmailAddresses -eq 'invoices@contoso.com'"
    assert shop.tenant.rows("MailboxPermission") == []
    assert send(shop) == ""
    shop.tenant.cmdlet("Set-CASMailbox", Identity="anna@contoso.com", SmtpClientAuthenticationDisabled=False)
    assert send(shop, "anna@contoso.com").startswith("535 5.7.3")
    (tested,) = shop.tenant.cmdlet(
        "Test-ServicePrincipalAuthorization", Identity=OBJECT, Resource="invoices@contoso.com"
    )["rows"]
    assert (tested["RoleName"], tested["InScope"]) == ("Application SMTP.SendAsApp", "True")
    run(shop, "plan", "plan.yaml", "--detailed-exitcode")
    shop.write(SCOPED.replace("role_assignment }", "role_assignment, send_as: [anna@contoso.com] }"))
    run(shop, "apply", "plan.yaml", "--auto-approve")
    assert send(shop, "anna@contoso.com") == ""
    run(shop, "rollback", "last", "-o", "back.json")
    run(shop, "apply", *shop.reviewed("back.json"), "--auto-approve")
    assert send(shop, "anna@contoso.com").startswith("535 5.7.3")
    assert send(shop) == ""
    key = f"application_role_assignment/{CLIENT} SMTP.SendAsApp"
    shop.write(f"absent: ['{key}']\n")
    run(shop, "apply", "plan.yaml", "--auto-approve")
    assert shop.tenant.rows("ManagementRoleAssignment") == shop.tenant.rows("ManagementScope") == []


IN_SCOPE = (
    """
applications:
  erp:
    client_id: CLIENT
    access: role_assignment
    scope: { existing: Finance }
""".replace("CLIENT", CLIENT)
    + PLAN.partition("devices:\n")[2].join(("devices:\n", ""))
)


def test_a_scope_of_others_is_used_until_the_service_goes_by_it_and_is_left_as_it_was(shop: Shop) -> None:
    """The service keeps for a while what it found of an application; a mailbox that is not in the scope is told."""
    finance = {"Name": "Finance", "RecipientFilter": "Name -eq 'anna'"}
    settings = {"application_role_cache_s": 1800}
    shop.tenant.control(
        "POST", "/load", {**NOBODY_CONSENTED, "settings": settings, "objects": {"ManagementScope": [finance]}}
    )
    shop.write(IN_SCOPE)
    assert send(shop).startswith("535 5.7.3")
    done = run(shop, "apply", "plan.yaml", "--auto-approve", code=8)
    assert "invoices@contoso.com not in the scope Finance" in done
    assert send(shop).startswith("535 5.7.3")
    assert "NOT-IN-FORCE" in findings(shop, code=0)
    shop.tenant.cmdlet("Set-ManagementScope", Identity="Finance", RecipientRestrictionFilter="Name -eq 'invoices'")
    assert "NOT-IN-FORCE" not in findings(shop, code=0), "the test passes by what is kept"
    assert send(shop).startswith("535 5.7.3"), "what was found before counts for a while"
    shop.tenant.clock.advance(1800)
    assert send(shop) == ""
    shop.write(f"absent: ['application_role_assignment/{CLIENT} SMTP.SendAsApp']\n")
    run(shop, "apply", "plan.yaml", "--auto-approve")
    assert shop.tenant.rows("ManagementRoleAssignment") == []
    assert [row["RecipientFilter"] for row in shop.tenant.rows("ManagementScope")] == ["Name -eq 'invoices'"]


def test_a_permission_for_all_mailboxes_beside_the_role_is_told(shop: Shop) -> None:
    shop.write(SCOPED)
    told = findings(shop)["APPLICATION-UNSCOPED"]
    assert "exchange/SMTP.SendAsApp" in told["summary"]
    assert f"-ServicePrincipalId {OBJECT}" in told["hint"]


def test_software_that_sends_through_graph_gets_a_role_on_its_mailbox(shop: Shop) -> None:
    shop.write(f"""
applications:
  erp: {{ client_id: {CLIENT} }}
devices:
  script: {{ from: invoices@contoso.com, recipients: anyone, method: graph, application: erp }}
""")
    run(shop, "apply", "plan.yaml", "--auto-approve")
    (assignment,) = shop.tenant.rows("ManagementRoleAssignment")
    assert assignment["Role"] == "Application Mail.Send"
    assert shop.tenant.rows("MailboxPermission") == []
    run(shop, "plan", "plan.yaml", "--detailed-exitcode")
    run(shop, "export", "-o", "live.yaml")
    assert "Mail.Send:" in (shop.folder / "live.yaml").read_text()
    run(shop, "plan", "live.yaml", "--detailed-exitcode")
    (shop.folder / "live.yaml").unlink()
