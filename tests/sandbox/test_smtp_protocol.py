"""The protocol of both ports over real sockets, held against a recorded session of the service."""

from __future__ import annotations

import base64
import re
import smtplib
import socket
from typing import Any

import pytest

from tests.local_tenant import LocalTenant
from tests.recordings import entries
from tests.sandbox.mailing import connection, message

TAIL = re.compile(r" \[SBX\S+\.PROD\.OUTLOOK\.COM \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [0-9A-F]{16}\]")
BEFORE_TLS = "SIZE 157286400,PIPELINING,DSN,ENHANCEDSTATUSCODES,STARTTLS,8BITMIME,BINARYMIME,CHUNKING,SMTPUTF8"


def said(answer: tuple[int, bytes]) -> str:
    """An answer without the host, time and id that a refusal ends in."""
    return TAIL.sub("", f"{answer[0]} {answer[1].decode()}")


def ehlo(client: smtplib.SMTP) -> list[str]:
    return client.ehlo("scanner.contoso.com")[1].decode().splitlines()


@pytest.mark.parametrize("session", entries("smtp/sessions.json", "what", "client submission"))
def test_the_submission_port_speaks_as_the_recorded_session_does(tenant: LocalTenant, session: dict[str, Any]) -> None:
    recorded = [_unmarked(line) for line in session["server_lines"]]
    with connection(tenant, "smtp_submission", tls=False) as client:
        spoken = [f"250-{line}" for line in ehlo(client)]
        spoken.append(said(client.docmd("STARTTLS")))
        client.close()
    with connection(tenant, "smtp_submission") as client:
        spoken += [f"250-{line}" for line in ehlo(client)]
        spoken += [f"334 {client.docmd('AUTH LOGIN')[1].decode()}", f"334 {client.docmd(_base64('erp'))[1].decode()}"]
        client.docmd("*")
    assert spoken[0] == spoken[11]
    without_hosts = [line for line in spoken if " Hello [" not in line]
    assert without_hosts == [line for line in recorded[1:] if " Hello [" not in line]


def _unmarked(line: str) -> str:
    """A recorded line without the note of what it answers, and with each line of EHLO as one of several."""
    return re.sub(r"^250 ", "250-", re.sub(r"^\([A-Z ]+\) ", "", line))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("port", ["smtp_submission", "smtp_mx"])
def test_the_greeting_is_the_services(tenant: LocalTenant, port: str) -> None:
    host, _, number = tenant.endpoints[port].partition(":")
    with socket.create_connection((host, int(number)), timeout=60) as raw:
        line = raw.recv(1000).decode()
    when = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000"
    assert re.fullmatch(rf"220 SBX\S+\.com Microsoft ESMTP MAIL Service ready at {when} \[[0-9A-F]{{16}}\]\r\n", line)


def test_the_mx_port_never_offers_to_sign_in(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_mx", tls=False) as client:
        assert ehlo(client)[1:] == BEFORE_TLS.split(",")
        assert said(client.docmd("AUTH LOGIN")) == "504 5.7.4 Unrecognized authentication type"
    with connection(tenant, "smtp_mx") as client:
        assert ehlo(client)[1:] == [line for line in BEFORE_TLS.split(",") if line != "STARTTLS"]
        for kind in ("LOGIN", "PLAIN", "XOAUTH2"):
            assert said(client.docmd(f"AUTH {kind}")) == "504 5.7.4 Unrecognized authentication type"


def test_before_tls_the_submission_port_wants_tls(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_submission", tls=False) as client:
        assert ehlo(client)[1:] == BEFORE_TLS.split(",")
        assert said(client.docmd("MAIL FROM:<erp@contoso.com>")) == "451 5.7.3 STARTTLS is required to send mail"
        assert said(client.docmd("AUTH LOGIN")) == "504 5.7.4 Unrecognized authentication type"


def test_without_a_sign_in_nothing_is_taken(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_submission") as client:
        code, text = client.docmd("MAIL FROM:<erp@contoso.com>")
        assert said((code, text)) == "530 5.7.57 Client not authenticated to send mail."
        assert TAIL.search(text.decode())


def test_who_goes_on_after_a_refused_sign_in_reads_why(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_submission") as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("erp@contoso.com", "wrong-once")
        assert said(client.docmd("MAIL FROM:<erp@contoso.com>")) == (
            "530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, the "
            "user credentials were incorrect."
        )


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("AUTH PLAIN AGVycABwYXNz", "504 5.7.4 Unrecognized authentication type"),
        ("AUTH CRAM-MD5", "504 5.7.4 Unrecognized authentication type"),
        ("AUTH", "501 5.5.4 Invalid arguments"),
        ("AUTH LOGIN no-base64!", "501 5.5.4 Invalid arguments"),
        ("AUTH XOAUTH2 no-base64!", "501 5.5.4 Invalid arguments"),
        ("AUTH LOGIN \N{SNOWMAN}", "501 5.5.4 Invalid arguments"),
        ("AUTH login", "334 VXNlcm5hbWU6"),
        ("STARTTLS", "503 5.5.1 Bad sequence of commands"),
        ("RCPT TO:<a@b.example>", "503 5.5.2 Need mail command"),
        ("DATA", "503 5.5.2 Need rcpt command"),
        ("FROB", "500 5.3.3 Unrecognized command"),
        ("NOOP", "250 2.0.0 OK"),
        ("RSET", "250 2.0.0 Resetting"),
        ("QUIT", "221 2.0.0 Service closing transmission channel"),
    ],
)
def test_each_command_is_answered_in_the_services_words(tenant: LocalTenant, command: str, answer: str) -> None:
    with connection(tenant, "smtp_submission") as client:
        client.send(f"{command}\r\n".encode())
        assert said(client.getreply()) == answer
        client.close()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("MAIL FROM:<erp@contoso.com> RET=HDRS ENVID=Q1 AUTH=<> BODY=BINARYMIME SIZE=10", "250 2.1.0 Sender OK"),
        ("MAIL FROM:<erp@contoso.com> BODY=8BITMIME SMTPUTF8", "250 2.1.0 Sender OK"),
        ("MAIL FROM:<erp@contoso.com> RET=SOME", "501 5.5.4 Unrecognized parameter"),
        ("MAIL FROM:<erp@contoso.com> XOORG=a.example", "501 5.5.4 Unrecognized parameter"),
        ("MAIL FROM:<erp@contoso.com> SIZE=157286401", "552 5.3.4 Message size exceeds fixed maximum message size"),
        ("MAIL FROM:<noreply@#{config.fqdn}>", "501 5.1.7 Invalid address"),
        ("MAIL TO:<erp@contoso.com>", "501 5.5.4 Invalid arguments"),
    ],
)
def test_mail_takes_the_parameters_that_ehlo_offers(tenant: LocalTenant, command: str, answer: str) -> None:
    with connection(tenant, "smtp_mx", tls=False) as client:
        assert said(client.docmd(command)) == answer


def test_recipients_take_the_keys_of_dsn(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_mx", tls=False) as client:
        client.mail("erp@contoso.com")
        wanted = "RCPT TO:<anna@contoso.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;anna@contoso.com"
        assert said(client.docmd(wanted)) == "250 2.1.5 Recipient OK"
        assert said(client.docmd("RCPT TO:<anna@contoso.com> X=Y")) == "501 5.5.4 Unrecognized parameter"
        assert said(client.docmd("RCPT TO:<@>")) == "501 5.1.3 Invalid address"
        assert said(client.docmd("MAIL FROM:<erp@contoso.com>")) == "503 5.5.2 Sender already specified"


def test_a_command_before_hello_is_out_of_order(tenant: LocalTenant) -> None:
    host, _, number = tenant.endpoints["smtp_mx"].partition(":")
    with smtplib.SMTP(host, int(number), timeout=60) as client:
        assert said(client.docmd("MAIL FROM:<erp@contoso.com>")) == "503 5.5.2 Send hello first"
        assert said(client.helo("scanner")).endswith("Hello [127.0.0.1]")
        assert said(client.docmd("MAIL FROM:<erp@contoso.com>")) == "250 2.1.0 Sender OK"


def test_too_many_errors_end_the_connection(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_mx", tls=False) as client:
        answers = [said(client.docmd("GET / HTTP/1.1")) for _ in range(5)]
        assert set(answers[:4]) == {"500 5.3.3 Unrecognized command"}
        assert answers[4] == "421 4.7.0 Too many errors on this connection, closing transmission channel"
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.docmd("NOOP")


def test_a_message_is_taken_in_the_services_words(tenant: LocalTenant) -> None:
    mail = message("erp@contoso.com", "anna@contoso.com")
    mail["Message-ID"] = "<17@scanner.contoso.com>"
    taken: dict[str, Any] = {}
    for port, source in (("smtp_submission", "127.0.0.1"), ("smtp_mx", "127.0.0.10")):
        with connection(tenant, port, source) as client:
            if port == "smtp_submission":
                client.login("erp@contoso.com", "right")
            client.mail("erp@contoso.com")
            client.rcpt("anna@contoso.com")
            assert said(client.docmd("DATA")) == "354 Start mail input; end with <CRLF>.<CRLF>"
            client.send(mail.as_bytes().replace(b"\n", b"\r\n") + b"\r\n.\r\n")
            taken[port] = said(client.getreply())
    assert re.fullmatch(r"250 2.0.0 OK <17@scanner.contoso.com> \[Hostname=SBX\S+]", taken["smtp_submission"])
    assert re.fullmatch(
        r"250 2\.6\.0 <17@scanner\.contoso\.com> \[InternalId=\d+, Hostname=SBX\S+\] \d+ bytes in [\d.]+, "
        r"[\d.]+ KB/sec Queued mail for delivery",
        taken["smtp_mx"],
    )


# --- chunks (RFC 3030) -----------------------------------------------------------------------------------------------


def test_a_message_comes_in_chunks_of_any_bytes(tenant: LocalTenant) -> None:
    raw = b"From: erp@contoso.com\r\nSubject: chunks\r\n\r\nbare \n and \r\n.\r\n and QUIT\r\n"
    with connection(tenant, "smtp_mx", "127.0.0.10") as client:
        client.docmd("MAIL FROM:<erp@contoso.com> BODY=BINARYMIME")
        client.rcpt("anna@contoso.com")
        client.send(b"BDAT 30\r\n" + raw[:30])
        assert client.getreply()[0] == 250
        assert said(client.docmd("DATA")) == "503 5.5.1 Bad sequence of commands"
        client.send(f"BDAT {len(raw) - 30} LAST\r\n".encode() + raw[30:])
        assert said(client.getreply()).startswith("250 2.6.0 ")
        assert said(client.docmd("NOOP")) == "250 2.0.0 OK"
    (mail,) = tenant.control("GET", "/mail")
    assert (mail["subject"], mail["content"]) == ("chunks", raw.decode())


def test_a_reset_and_a_delivery_forget_the_chunks(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_mx", "127.0.0.10") as client:
        for last in (
            b"BDAT 5\r\nlost\n",
            b"BDAT 25 LAST\r\nFrom: erp@contoso.com\r\n\r\n",
            b"BDAT 25 LAST\r\nFrom: sap@contoso.com\r\n\r\n",
        ):
            client.mail("erp@contoso.com")
            client.rcpt("anna@contoso.com")
            client.send(last)
            assert client.getreply()[0] == 250
            client.docmd("RSET")
        client.mail("erp@contoso.com")
        client.rcpt("anna@contoso.com")
        assert client.docmd("DATA")[0] == 354
        client.close()
    first, second = (mail["content"] for mail in tenant.control("GET", "/mail"))
    assert (first, second) == ("From: erp@contoso.com\r\n\r\n", "From: sap@contoso.com\r\n\r\n")


def test_a_refused_chunk_is_read_so_that_the_next_command_is_one(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_mx", "127.0.0.10") as client:
        client.send(b"BDAT 8 LAST\r\nRSET\r\n\r\n")
        assert said(client.getreply()) == "503 5.5.2 Need rcpt command"
        assert said(client.docmd("BDAT many")) == "501 5.5.4 Invalid arguments"
        assert said(client.docmd("BDAT 3 FIRST")) == "501 5.5.4 Invalid arguments"
        assert said(client.docmd("NOOP")) == "250 2.0.0 OK"
    assert tenant.control("GET", "/mail") == []


def test_commands_may_come_all_at_once(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_mx", "127.0.0.10", tls=False) as client:
        client.send(
            b"MAIL FROM:<erp@contoso.com>\r\nRCPT TO:<nobody@contoso.com>\r\nRCPT TO:<anna@contoso.com>\r\nNOOP\r\n"
        )
        assert [client.getreply()[0] for _ in range(4)] == [250, 550, 250, 250]


def test_a_client_that_gives_up_can_go_on(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_submission") as client:
        assert client.docmd("AUTH LOGIN")[0] == 334
        assert client.docmd("*")[0] == 501
        client.login("erp@contoso.com", "right")
        assert said(client.docmd("AUTH LOGIN")) == "503 5.5.1 Bad sequence of commands"


def test_bytes_that_are_no_text_make_no_address(tenant: LocalTenant) -> None:
    with connection(tenant, "smtp_mx", tls=False) as client:
        client.send(b"MAIL FROM:<\xff\xfe@contoso.com>\r\n")
        assert said(client.getreply()) == "501 5.1.7 Invalid address"
        client.send("MAIL FROM:<\N{LATIN SMALL LETTER E WITH ACUTE}va@contoso.com> SMTPUTF8\r\n".encode())
        assert said(client.getreply()) == "250 2.1.0 Sender OK"
