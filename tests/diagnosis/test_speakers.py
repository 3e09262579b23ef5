"""Who wrote an answer, and what is said where it was not Exchange Online."""

from __future__ import annotations

import pytest

from provisioner.diagnosis.diagnose import FOREIGN_CAUSE, UNKNOWN, diagnose
from provisioner.diagnosis.speakers import EXCHANGE, PERSONAL, speakers

REFUSED = "535 5.7.3 Authentication unsuccessful"


def test_a_line_that_names_its_speaker_outweighs_the_greeting() -> None:
    greeting = "220 relay.fabrikam.example ESMTP Postfix"
    (_, own) = speakers([greeting, f"{REFUSED} [AM0PR10CA0042.EURPRD10.PROD.OUTLOOK.COM]"])
    (_, other) = speakers([greeting, REFUSED])
    assert (own, other) == (EXCHANGE, "relay.fabrikam.example")


def test_each_connection_has_its_greeting() -> None:
    lines = [
        "220 mx.fabrikam.example ESMTP",
        REFUSED,
        "220 AM0.outlook.office365.com Microsoft ESMTP MAIL Service",
        REFUSED,
    ]
    assert list(speakers(lines)) == [None, "mx.fabrikam.example", None, EXCHANGE]


def test_a_reply_of_220_without_a_name_is_no_greeting() -> None:
    lines = ["220 AM0.outlook.office365.com Microsoft ESMTP MAIL Service", "220 2.0.0 SMTP server ready", REFUSED]
    assert list(speakers(lines))[-1] == EXCHANGE


def test_addresses_of_people_tell_nothing_about_the_speaker() -> None:
    assert list(speakers(["550 5.7.64 Relay Access Denied, from ann@gmail.com to bob@outlook.com"])) == [None]


def test_the_host_that_a_client_was_set_to_counts_where_no_line_says_more() -> None:
    assert (
        list(speakers(["host = smtp.azurecomm.net", REFUSED]))[1] == "Azure Communication Services, not Exchange Online"
    )
    assert list(speakers(["host = smtp.office365.com", REFUSED]))[1] == EXCHANGE
    assert list(speakers(["smtp.office365.com or smtp.sendgrid.net", REFUSED]))[1] is None


@pytest.mark.parametrize(
    ("text", "who", "fix"),
    [
        (f"smtp.azurecomm.net {REFUSED}", "Azure Communication Services", "Entra application"),
        (f"login pat@hotmail.com {REFUSED}", PERSONAL, "OAuth (XOAUTH2)"),
        (f"220 ex01.corp.example Microsoft ESMTP MAIL Service ready\n{REFUSED}", "on premises, ex01.corp.example",
         "receive connectors"),
        (f"220 smtp.corp.example ESMTP Exim 4.96\n{REFUSED}", "smtp.corp.example", "look at that server"),
    ],
)  # fmt: skip
def test_another_service_gets_advice_of_its_own_and_no_entry_of_the_plan(text: str, who: str, fix: str) -> None:
    found = diagnose(text)
    assert (found.cause, found.plan, found.questions) == (FOREIGN_CAUSE, "", ())
    assert who in found.summary
    assert fix in found.fix


def test_a_recipient_at_outlook_com_makes_no_personal_account() -> None:
    text = f"user=erp@contoso.example RCPT TO:<pat@hotmail.com>\n{REFUSED} [AM0PR10CA0042.EURPRD10.PROD.OUTLOOK.COM]"
    assert diagnose(text).cause == "login-refused"


STOCK = """500 Syntax error, command unrecognized
501 Syntax error in parameters or arguments
502 Command not implemented
503 Bad sequence of commands
504 Command parameter not implemented
421 mx.example Service not available, closing transmission channel
450 Requested mail action not taken: mailbox unavailable
451 Requested action aborted: local error in processing
452 Requested action not taken: insufficient system storage
455 Server unable to accommodate parameters
550 Requested action not taken: mailbox unavailable
551 User not local; please try <a@b.example>
552 Requested mail action aborted: exceeded storage allocation
553 Requested action not taken: mailbox name not allowed
554 Transaction failed
555 MAIL FROM/RCPT TO parameters not recognized or not implemented"""


@pytest.mark.parametrize("reply", STOCK.splitlines())
def test_stock_words_of_the_standard_are_nobodys(reply: str) -> None:
    """RFC 5321, 4.2.2 and 4.2.3: every server may use them."""
    assert diagnose(reply).cause in (UNKNOWN, FOREIGN_CAUSE)


def test_an_address_in_angle_brackets_is_no_markup() -> None:
    for local in ("a.b", "b-c", "i.j", "p.q", "li.wang", "td.x", "br.y", "code-z", "u.v"):
        found = diagnose(f"554 5.7.1 <{local}@fabrikam.example>: Relay access denied")
        assert (found.cause, local in found.evidence[0]) == (FOREIGN_CAUSE, True)
    assert (
        diagnose("<b>550 5.7.64</b> <br/>TenantAttribution; <a href='x'>Relay</a> Access Denied").cause
        == "relay-denied"
    )


def test_an_ampersand_in_ordinary_text_stays() -> None:
    assert diagnose("550 5.7.999 see https://x.example/?a=1&copy=2&lt=3").evidence[0].endswith("?a=1&copy=2&lt=3")
