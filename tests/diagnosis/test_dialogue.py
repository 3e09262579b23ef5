"""Whole dialogues and logs: what was overcome, what ended the attempt, and that every refusal is listed."""

from __future__ import annotations

import itertools

import pytest

from provisioner.diagnosis.diagnose import UNKNOWN, Diagnosis, diagnose

WRONG_SENDER = "550 5.7.60 SMTP; Client does not have permissions to send as this sender"
NO_LOGIN_YET = "530 5.7.57 Client not authenticated to send mail."
LOGIN_REFUSED = "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect."
LOCKED = "535 5.7.139 Authentication unsuccessful, account is locked. Contact your administrator."
NO_RELAY = "550 5.7.64 TenantAttribution; Relay Access Denied"
BUSY = "451 4.7.500 Server busy. Please try again later from [203.0.113.9]."
GREETING = "220 AM0PR10CA0042.outlook.office365.com Microsoft ESMTP MAIL Service ready"
LOGGED_IN, SENDER, RECIPIENT = "235 2.7.0 Authentication successful", "250 2.1.0 Sender OK", "250 2.1.5 Recipient OK"
DELIVERED = (
    "250 2.0.0 OK <1@contoso.example> [Hostname=AM8PR01MB1.eurprd01.prod.exchangelabs.com] Queued mail for delivery"
)
MAIL, TO = "MAIL FROM:<scan@contoso.example>", "RCPT TO:<ann@fabrikam.example>"


def of(*lines: str) -> Diagnosis:
    return diagnose("\n".join(lines))


def causes(found: Diagnosis) -> list[tuple[str, bool]]:
    return [(refusal.cause, refusal.overcome) for refusal in found.refusals]


def test_a_login_that_succeeds_later_is_not_the_cause() -> None:
    found = of("454 4.7.0 Temporary authentication failure", "AUTH LOGIN", LOGGED_IN, MAIL, SENDER, WRONG_SENDER)
    assert (found.cause, found.confidence) == ("send-as-denied", "certain")
    assert causes(found) == [("temporary-login-failure", True), ("send-as-denied", False)]


def test_a_message_that_was_accepted_has_no_cause() -> None:
    found = of(
        "AUTH LOGIN", LOGIN_REFUSED, "AUTH LOGIN", LOGGED_IN, MAIL, SENDER, TO, RECIPIENT, "DATA", "354 Go", DELIVERED
    )
    assert (found.cause, found.confidence, found.fix, found.plan) == (UNKNOWN, "none", "", "")
    assert found.summary == "every refusal in this text was overcome later; the message was accepted"
    assert causes(found) == [("wrong-credentials", True)]


def test_a_login_on_a_new_connection_overcomes_the_old_ones_refusal() -> None:
    found = of(
        GREETING, "AUTH LOGIN", LOGIN_REFUSED, "QUIT", GREETING, "AUTH LOGIN", LOGGED_IN, MAIL, SENDER, TO, NO_RELAY
    )
    assert (found.cause, causes(found)[0]) == ("relay-denied", ("wrong-credentials", True))


def test_a_refused_login_without_a_later_success_stays_the_cause() -> None:
    found = of(
        GREETING, "AUTH LOGIN", LOGIN_REFUSED, "QUIT", "221 2.0.0 Service closing transmission channel", GREETING
    )
    assert (found.cause, causes(found)) == ("wrong-credentials", [("wrong-credentials", False)])


def test_what_only_follows_from_a_refusal_gives_way_to_it() -> None:
    found = of("AUTH LOGIN", LOGIN_REFUSED, MAIL, NO_LOGIN_YET)
    assert found.cause == "wrong-credentials"
    assert causes(found) == [("wrong-credentials", False), ("not-logged-in", False)]
    cut = "535 5.7.139 Authentication unsuccessful, the request did not meet the crit"
    assert diagnose(f"{cut}\n{NO_LOGIN_YET}").cause == "conditional-access"


def test_a_temporary_refusal_gives_way_to_one_for_good() -> None:
    for lines in itertools.permutations((BUSY, NO_RELAY)):
        assert of(*lines).cause == "relay-denied"


def test_of_two_refusals_at_one_stage_the_last_counts() -> None:
    found = of("AUTH LOGIN", LOGIN_REFUSED, "AUTH LOGIN", LOCKED)
    assert (found.cause, [c for c, _ in causes(found)]) == ("account-locked", ["wrong-credentials", "account-locked"])


def test_a_later_stage_counts_before_an_earlier_one() -> None:
    assert of(MAIL, SENDER, TO, NO_RELAY, MAIL, SENDER, TO, RECIPIENT, "DATA", WRONG_SENDER).cause == "send-as-denied"


def test_what_one_recipient_is_refused_another_does_not_overcome() -> None:
    unknown = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient x@contoso.example not found by SMTP address lookup"
    found = of(MAIL, SENDER, TO, unknown, "RCPT TO:<bob@fabrikam.example>", RECIPIENT, "DATA", "354 Go", DELIVERED)
    assert (found.cause, causes(found)) == ("recipient-unknown", [("recipient-unknown", False)])


def test_a_recipient_who_was_put_off_and_then_taken_is_no_cause() -> None:
    assert (
        of(MAIL, SENDER, TO, "452 4.5.3 Too many recipients", TO, RECIPIENT, "DATA", WRONG_SENDER).cause
        == "send-as-denied"
    )


def test_another_senders_success_does_not_overcome_a_senders_refusal() -> None:
    other = "MAIL FROM:<other@contoso.example>"
    found = of(MAIL, WRONG_SENDER, "RSET", other, SENDER, TO, RECIPIENT, "DATA", "354 Go", DELIVERED)
    assert (found.cause, causes(found)) == ("send-as-denied", [("send-as-denied", False)])
    again = of(MAIL, NO_LOGIN_YET, "AUTH LOGIN", LOGGED_IN, MAIL, SENDER, TO, RECIPIENT, "DATA", "354 Go", DELIVERED)
    assert (again.cause, causes(again)) == (UNKNOWN, [("not-logged-in", True)])


def test_a_message_that_is_refused_for_good_stays_refused_when_the_next_one_is_taken() -> None:
    content = "554 5.2.252 SendAsDenied; scan@contoso.example not allowed to send as boss@contoso.example"
    log = [
        MAIL,
        SENDER,
        TO,
        RECIPIENT,
        "DATA",
        "354 Go",
        content,
        MAIL,
        SENDER,
        TO,
        RECIPIENT,
        "DATA",
        "354 Go",
        DELIVERED,
    ]
    assert of(*log).cause == "send-as-denied"
    passing = [line if line != content else BUSY for line in log]
    assert of(*passing).cause == UNKNOWN


@pytest.mark.parametrize(
    ("server", "client"),
    [
        ("S: ", "C: "), ("<- ", " -> "), ("SERVER -> CLIENT: ", "CLIENT -> SERVER: "), ("< ", "> "),
        ("2026-05-04 10:00:01 <- ", "2026-05-04 10:00:01 -> "), ("    ", "    "),
        ("[10:00:01] DEBUG [aB3] S: ", "[10:00:01] DEBUG [aB3] C: "),
        ("< smtp.office365.com[52.97.1.2]:587: ", "> smtp.office365.com[52.97.1.2]:587: "),
    ],
)  # fmt: skip
def test_the_signs_of_a_log_do_not_hide_the_order(server: str, client: str) -> None:
    talk = [(client, "AUTH LOGIN"), (server, "504 5.7.4 Unrecognized authentication type"), (client, "AUTH LOGIN"),
            (server, LOGGED_IN), (client, MAIL), (server, SENDER), (client, TO), (server, NO_RELAY)]  # fmt: skip
    found = of(*(who + what for who, what in talk))
    assert causes(found) == [("auth-type-unknown", True), ("relay-denied", False)]


def test_words_after_a_code_that_is_not_known_are_listed_too() -> None:
    found = of(MAIL, SENDER, TO, NO_RELAY, "RSET", "550 5.7.999 Something that nobody has written down yet")
    assert found.cause == "relay-denied"
    assert causes(found) == [("relay-denied", False), (UNKNOWN, False)]
    assert found.refusals[1].status == "5.7.999"


def test_two_causes_in_one_line_are_not_certain() -> None:
    both = "550 5.7.64 TenantAttribution; Relay Access Denied, tenant has exceeded threshold"
    assert diagnose(both).confidence == "likely"
    assert diagnose("550 5.7.64 TenantAttribution; Relay Access Denied").confidence == "certain"


@pytest.mark.parametrize(
    ("line", "usually"),
    [
        ("550 5.1.10 the sender address does not exist", "recipient-unknown"),
        ("550 5.7.64 The sending certificate has expired", "relay-denied"),
        ("550 5.7.705 Access denied, outbound connector of the organization is restricted", "tenant-over-threshold"),
        ("550 5.7.509 SPF check failed", "dmarc-failed"),
    ],
)
def test_the_text_outweighs_the_code(line: str, usually: str) -> None:
    found = diagnose(line)
    assert (found.cause, found.confidence, found.plan, found.questions) == (UNKNOWN, "none", "", ())
    assert f"usually means ({usually})" in found.summary
    assert found.evidence == (line,)


def test_a_code_beside_words_of_another_language_keeps_its_meaning() -> None:
    assert diagnose("550 5.1.10 Empfänger nicht gefunden").cause == "recipient-unknown"


def test_authentication_results_of_a_receiver_tell_what_failed() -> None:
    """RFC 8601, as Exchange writes it into the headers of a message that it took."""
    spf = "Authentication-Results: spf=fail (sender IP is 203.0.113.9) smtp.mailfrom=contoso.com; dkim=none"
    assert (diagnose(spf).cause, diagnose(spf).confidence) == ("spf-failed", "likely")
    assert diagnose(f"{spf}; dmarc=fail action=oreject header.from=contoso.com").cause == "dmarc-failed"
