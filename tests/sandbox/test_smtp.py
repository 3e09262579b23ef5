"""The two SMTP ports of the sandbox as a whole: mail is delivered, faults are scripted, nothing secret is logged."""

from __future__ import annotations

import smtplib

import pytest

from tests.local_tenant import LocalTenant
from tests.sandbox.mailing import connection, refusal, submit, xoauth2


def test_a_mailbox_that_may_sign_in_sends_to_anyone(tenant: LocalTenant) -> None:
    submit(tenant)
    (mail,) = tenant.control("GET", "/mail")
    assert (mail["route"], mail["subject"]) == ("client_submission", "Scan 17")
    assert mail["recipients"] == {"someone@fabrikam.com": "external"}


def test_no_password_is_in_the_log(tenant: LocalTenant) -> None:
    refusal(tenant, password="hunter2-canary")
    log = tenant.requests("smtp")
    assert any(r["method"] == "AUTH" and r["status"] == 535 for r in log)
    assert "hunter2-canary" not in str(log)


def test_the_greeting_names_the_address_that_the_server_sees(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_mx", "127.0.0.10", tls=False) as client:
        assert b"Hello [203.0.113.10]" in client.ehlo("scanner")[1]


def test_a_scripted_answer_comes_once_and_the_next_try_goes_through(tenant: LocalTenant) -> None:
    rule = {
        "front": "smtp",
        "match": {"method": "RCPT", "path": "submission"},
        "do": {"status": 451, "body": "4.7.500 Server busy"},
    }
    tenant.control("POST", "/faults", rule)
    assert refusal(tenant) == "451 4.7.500 Server busy"
    assert tenant.control("GET", "/mail") == []
    submit(tenant)
    assert len(tenant.control("GET", "/mail")) == 1


@pytest.mark.parametrize(("deed", "delivered"), [("close", 0), ("run_then_close", 1)])
def test_a_connection_can_be_cut_before_and_after_a_message_is_taken(
    tenant: LocalTenant, deed: str, delivered: int
) -> None:
    tenant.control("POST", "/faults", {"front": "smtp", "match": {"method": "DATA"}, "do": {deed: True}})
    with pytest.raises(smtplib.SMTPServerDisconnected):
        submit(tenant)
    assert len(tenant.control("GET", "/mail")) == delivered


def test_a_token_that_nobody_issued_is_refused_and_not_logged(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_submission") as client:
        code, text = client.docmd("AUTH", "XOAUTH2 " + xoauth2("erp@contoso.com", "not-a-token"))
    assert (code, text[:5]) == (535, b"5.7.3")
    assert "not-a-token" not in str(tenant.requests("smtp"))


def test_a_scripted_answer_may_stand_before_a_sign_in(tenant: LocalTenant) -> None:
    do = {"status": 454, "body": "4.7.0 Temporary authentication failure"}
    tenant.control("POST", "/faults", {"front": "smtp", "match": {"method": "AUTH"}, "do": do})
    assert refusal(tenant) == "454 4.7.0 Temporary authentication failure"
    submit(tenant)
