"""The service's own codes are kept and explained, and prove no cause."""

from __future__ import annotations

from provisioner.diagnosis.codes import codes_in
from provisioner.diagnosis.diagnose import diagnose


def test_a_server_tells_region_time_and_session() -> None:
    (code,) = codes_in(
        "550 5.7.64 x [AM0PR10CA0042.EURPRD10.PROD.OUTLOOK.COM 2026-02-03T10:11:12.131Z 08DE61F0A1B2C3D4]"
    )
    assert code.code == "AM0PR10CA0042.EURPRD10.PROD.OUTLOOK.COM 2026-02-03T10:11:12.131Z 08DE61F0A1B2C3D4"
    assert code.meaning == "the server that answered, in Europe; at 2026-02-03T10:11:12.131Z; session 08DE61F0A1B2C3D4"
    (bare,) = codes_in("[Hostname=VE1EUR01FT035.eop-nam01.prod.protection.outlook.com]")
    assert bare.meaning == "the server that answered, in North America"
    (china,) = codes_in("504 5.7.4 x [BJXPR01CA011.CHNPR01.prod.partner.outlook.cn]")
    assert china.meaning == "the server that answered, in China"


def test_the_part_that_refused_and_its_exception_are_named() -> None:
    text = (
        "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process "
        "message due to a permanent exception with message Cannot submit message. 0.35250:0A007C85, 1.36674:0A000000"
    )
    assert [code.code for code in codes_in(text)] == [
        "STOREDRV.Submission", "SendAsDeniedException", "MapiExceptionSendAsDenied", "0.35250:0A007C85",
    ]  # fmt: skip
    assert codes_in(text)[0].meaning.startswith("the sending mailbox refused to submit")


def test_an_exception_of_the_program_that_sends_is_not_named_as_of_exchange() -> None:
    for text in (
        "javax.mail.MessagingException: javax.net.ssl.SSLHandshakeException: No appropriate protocol",
        "System.Net.Mail.SmtpException: The SMTP server requires a secure connection",
        "Exception: MailKit.Security.AuthenticationException: 535: 5.7.3 Authentication unsuccessful",
        "com.atlassian.mail.MailException: com.sun.mail.smtp.SMTPSendFailedException: 554 5.2.0",
    ):
        assert codes_in(text) == ()
    assert [code.code for code in codes_in("Actual verdict is RefuseQuota. OutboundSpamException: WASCL User")] == [
        "OutboundSpamException"
    ]


def test_numbers_of_filters_and_of_attribution_are_explained() -> None:
    text = (
        "451 4.7.500 Server busy (S77719) 4.4.62 ATTR35 AS(7555) Temporary server error. Please try again later. PRX4"
    )
    assert [(c.code, c.meaning.partition(":")[0]) for c in codes_in(text)] == [
        ("AS(7555)", "rule 7555 of the filter for spam and abuse"),
        ("S77719", "rule 77719 of the filter for the sender's reputation"),
        ("ATTR35", "step 35 of attribution"),
        ("PRX4", "the front end could not pass the session on (4)"),
    ]


def test_ordinary_text_has_no_codes() -> None:
    assert codes_in("Exception in thread main: error 1102; S: 250 OK [10.0.0.5] AS400 printer") == ()


def test_a_diagnosis_keeps_them() -> None:
    found = diagnose("550 5.1.8 Access denied, bad outbound sender. AS(9333)")
    assert (found.cause, [code.code for code in found.codes]) == ("account-restricted", ["AS(9333)"])


def test_a_text_of_codes_ends_soon() -> None:
    assert len(codes_in(" ".join(f"AS({n})" for n in range(1000, 9000)))) == 12
