"""Causes from lines: recorded ones, ours, and each of them in the wrappings that clients and logs put around it."""

from __future__ import annotations

import hashlib
import html
import json
import quopri
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.diagnosis.causes import BY_ID, CAUSES
from provisioner.diagnosis.diagnose import FOREIGN_CAUSE, UNKNOWN, diagnose
from provisioner.diagnosis.questions import (
    AskAcceptedDomain,
    AskConnectorFor,
    AskRejectDirectSend,
    AskSendAs,
    AskSmtpAuth,
    AskSpf,
)
from provisioner.diagnosis.table import SIGNS
from provisioner.model.clouds import CLOUDS
from tests.clocks import costs
from tests.generated import whole
from tests.recordings import entries, load, recordings

ROOT = Path(__file__).resolve().parents[2]
RECORDED = recordings("smtp/*.jsonl")
OWN = [json.loads(line) for line in (ROOT / "tests/rows/diagnosis-lines.jsonl").read_text("utf-8").splitlines()]
HOST = "[AM0PR10CA0042.EURPRD10.PROD.OUTLOOK.COM 2026-02-03T10:11:12.131Z 08DE61F0A1B2C3D4]"


def _recorded(path: Path) -> list[tuple[str, str]]:
    """Recorded texts and the id of their cause: ours name it, for the others it is in `diagnosis-recorded.jsonl`."""
    rows = load(ROOT / "tests/rows/diagnosis-recorded.jsonl")
    ids = {(row["file"], row["digest"]): row["cause"] for row in rows}
    found = []
    for row in load(path):
        text = row.get("line") or f"{row['code']} {row['text']}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        cause = row["cause"] if ROOT in path.parents else ids.get((path.stem, digest))
        if cause:
            found.append((text, cause))
    return found


KNOWN = [pair for file in RECORDED for pair in _recorded(file.values[0])] + [(row["line"], row["cause"]) for row in OWN]


@pytest.mark.parametrize("path", RECORDED)
def test_recorded_lines_have_their_recorded_causes(path: Path) -> None:
    known = _recorded(path)
    assert [(text, cause, found) for text, cause in known if (found := diagnose(text).cause) != cause] == []
    assert len(known) >= 2


@pytest.mark.one_of("row", cases=40)
@pytest.mark.parametrize("row", OWN, ids=lambda row: f"{row['cause']}: {row['line'][:60]}")
def test_lines_of_our_own_have_their_causes(row: dict[str, str]) -> None:
    assert diagnose(row["line"]).cause == row["cause"]


def _accepted(path: Path) -> list[Any]:
    """The rows of a file that names the causes which a reader accepts for each line; skips where it is missing."""
    if not path.exists():
        return [pytest.param(None, marks=pytest.mark.skip(f"{path.name} is missing"))]
    return [pytest.param(row, id=f"{row['source']}: {row['line'][:40]}"[:80]) for row in load(path)]


FIELD = ROOT.parent / "shared" / "cases" / "field" / "lines.json"
OURS = [ROOT / "tests/rows" / f"diagnosis-{name}.jsonl" for name in ("unseen", "later")]
READ = [row for path in (FIELD, *OURS) for row in _accepted(path)]


@pytest.mark.one_of("row", cases=40)
@pytest.mark.parametrize("row", READ)
def test_a_line_from_the_field_has_a_cause_that_a_reader_accepts(row: dict[str, Any]) -> None:
    assert diagnose(row["line"]).cause in row["expect"]


def _folded(text: str) -> str:
    return "\n    ".join(text[i : i + 34] for i in range(0, len(text), 34))


def _soft_broken(text: str) -> str:
    return quopri.encodestring(text.encode(), quotetabs=False).decode().replace("5.7", "5.=\n7", 1)


WRAPPINGS: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "lower case": str.lower,
    "HTML": lambda text: f"<p>The server said:<br><b>{html.escape(text)}</b></p>",
    "quoted-printable": _soft_broken,
    "folded": _folded,
    "JSON": lambda text: json.dumps({"level": "error", "message": text}),
    "syslog": lambda text: f"<3>Feb  3 10:11:12 mfp-3f scan2mail[77]: send failed: {text}".replace("\n", "#012"),
    "Python bytes": lambda text: f"smtplib.SMTPException: ({text!r})",
    "Windows lines": lambda text: f"log start\r\n{text}\r\nlog end\r\n".replace("\n", "\r\n"),
    "a German prefix": lambda text: f"Fehler beim Senden der Nachricht. Serverantwort: {text}",
    "doubled spaces": lambda text: text.replace(" ", "  "),
}


def _some_known() -> Sequence[tuple[str, str]]:
    """A quarter of the known lines, those that the seed of this run draws; all of them in the long profile."""
    return KNOWN if whole() else random.sample(KNOWN, len(KNOWN) // 4)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_wrapped_line_never_gets_a_wrong_cause_and_mostly_its_own(wrapping: str) -> None:
    same, wrong = 0, []
    for text, cause in _some_known():
        found = diagnose(WRAPPINGS[wrapping](text)).cause
        same += found == cause
        quiet = (UNKNOWN, FOREIGN_CAUSE) if cause in (UNKNOWN, FOREIGN_CAUSE) else (UNKNOWN,)
        if found != cause and found not in quiet:
            wrong.append((cause, found, WRAPPINGS[wrapping](text)))
    assert wrong == []
    assert same >= 0.95 * len(KNOWN) or not whole()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Error: connect ETIMEDOUT smtp.offi\n    ce365.com:587", "port-587-blocked"),
        ("554 5.7.1 <ann@fabrikam.com>: Rela\n    y access denied", FOREIGN_CAUSE),
        ("Le nom distant n'a pas pu être rés\n\tolu: 'smtp.office365.com'", "host-not-found"),
        ("nach einer bestimmten Zeitspanne nicht richtig\n     reagiert hat 52.101.73.8:25", "port-25-blocked"),
        ("panel:\n  535 5.7.8 Er\n  ror: authen\n  tication failed", FOREIGN_CAUSE),
        ("the weather is fi\n    ne", UNKNOWN),
    ],
)
def test_a_fold_may_stand_in_a_word(text: str, cause: str) -> None:
    assert diagnose(text).cause == cause


VAGUE = {"login-refused", "smtp-auth-off", "not-logged-in", "recipient-unknown", "recipient-unavailable"}


@pytest.mark.parametrize("share", [0.9, 0.75, 0.6, 0.45])
def test_a_cut_line_never_gets_a_wrong_cause(share: float) -> None:
    for text, cause in _some_known():
        found = diagnose(text[: int(len(text) * share)]).cause
        family = {cause, UNKNOWN, FOREIGN_CAUSE, *VAGUE}
        assert found in family, (cause, found, text[: int(len(text) * share)])


# --- sessions and bounces --------------------------------------------------------------------------------------------


def test_the_first_refusal_of_a_session_matters() -> None:
    session = f"""
    S: 220 AM0PR10CA0042.outlook.office365.com Microsoft ESMTP MAIL Service ready at Tue, 3 Feb 2026
    C: EHLO mfp-3f
    S: 250-AM0PR10CA0042.outlook.office365.com Hello [203.0.113.8]
    S: 250-STARTTLS
    S: 250 SMTPUTF8
    C: AUTH LOGIN
    S: 334 VXNlcm5hbWU6
    C: c2Nhbm5lckBjb250b3NvLmNvbQ==
    S: 334 UGFzc3dvcmQ6
    C: aHVudGVyMg==
    S: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. {HOST}
    C: MAIL FROM:<info@contoso.com>
    S: 530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM {HOST}
    """
    session = "\n".join(line.strip() for line in session.splitlines())
    found = diagnose(session)
    assert found.cause == "smtp-auth-off-mailbox"
    assert (found.facts.mailbox, found.facts.ip) == ("scanner@contoso.com", "203.0.113.8")
    assert yaml.safe_load(found.plan) == {"smtp_auth": {"mailboxes": {"scanner@contoso.com": "enabled"}}}
    assert found.questions == (AskSmtpAuth("scanner@contoso.com"),)
    assert "hunter2" not in repr(found)
    assert "aHVudGVyMg" not in repr(found)


@pytest.mark.parametrize("session", entries("smtp/sessions.json", "what"))
def test_a_session_without_a_refusal_has_none(session: dict[str, Any]) -> None:
    found = diagnose("\n".join(session["server_lines"]))
    assert (found.cause, found.evidence) == (UNKNOWN, ())


BOUNCE = """Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.contoso.com>
To: info@contoso.com
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

RGllIE5hY2hyaWNodCBrb25udGUgbmljaHQgenVnZXN0ZWxsdCB3ZXJkZW4u

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.contoso.com

Final-Recipient: rfc822; ann@fabrikam.com
Action: failed
Status: 5.7.64
Remote-MTA: dns; contoso-com.mail.protection.outlook.com
Diagnostic-Code: smtp; 550 5.7.64 TenantAttribution; Relay Access
    Denied [VE1EUR01FT035.eop-EUR01.prod.protection.outlook.com]

--b1
Content-Type: message/rfc822

From: info@contoso.com
Subject: what does 550 5.7.606 Access denied, banned sending IP [203.0.113.9] mean

--b1--
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_bounce_is_read_and_what_came_back_with_it_is_not(newline: str) -> None:
    found = diagnose(BOUNCE.replace("\n", newline))
    assert (found.cause, found.status, found.confidence) == ("relay-denied", "5.7.64", "certain")
    assert found.facts.recipient == "ann@fabrikam.com"


def test_a_hand_copied_half_of_a_bounce_is_enough() -> None:
    found = diagnose(BOUNCE[BOUNCE.index("Final-Recipient") : BOUNCE.index("--b1\nContent-Type: message/rfc822")])
    assert found.cause == "relay-denied"


# --- facts, plans, questions -----------------------------------------------------------------------------------------


def test_a_throttled_address_goes_into_a_connector() -> None:
    found = diagnose(f"451 4.7.500 Server busy. Please try again later from [203.0.113.9]. (AS77712344) {HOST}")
    connector = yaml.safe_load(found.plan)["inbound_connectors"]["NAME"]
    assert connector["sender_ip_addresses"] == ["203.0.113.9"]
    assert [text.partition(":")[0] for text in found.fill_in] == ["NAME"]
    assert (found.retry, found.questions) == ("later", (AskConnectorFor("203.0.113.9"),))


def test_what_the_text_does_not_tell_is_to_be_filled_in() -> None:
    found = diagnose("550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization")
    assert [text.partition(":")[0] for text in found.fill_in] == ["NAME", "ADDRESS"]
    assert found.questions == (AskConnectorFor(""), AskRejectDirectSend())


def test_send_as_names_both_sides() -> None:
    found = diagnose("554 5.2.252 SendAsDenied; Scanner@contoso.com not allowed to send as Info@fabrikam.com; STOREDRV")
    assert (found.facts.mailbox, found.facts.sender) == ("scanner@contoso.com", "info@fabrikam.com")
    assert found.questions == (
        AskSendAs("scanner@contoso.com", "info@fabrikam.com"),
        AskAcceptedDomain("fabrikam.com"),
    )


def test_dmarc_names_the_domain() -> None:
    found = diagnose("550 5.7.509 Access denied, sending domain [CONTOSO.COM] does not pass DMARC verification")
    assert yaml.safe_load(found.plan) == {"dkim": {"contoso.com": {"enabled": True, "key_size": 2048}}}
    assert AskSpf("contoso.com", "") in found.questions


@pytest.mark.parametrize("ip", ["192.168.1.9", "10.1.2.3", "127.0.0.1", "999.1.1.1", "::1"])
def test_an_address_of_the_inside_is_no_egress_address(ip: str) -> None:
    assert diagnose(f"451 4.7.500 Server busy. Please try again later from [{ip}]. (AS777)").facts.ip == ""


FOREIGN_CLOUDS = {
    "worldwide": ("office365.us", "outlook.cn"),
    "gcc_high": ("office365.com", "outlook.com", "outlook.cn", "mx.microsoft"),
    "dod": ("office365.com", "outlook.com", "outlook.cn", "mx.microsoft"),
    "china": ("office365.com", "outlook.com", "office365.us", "mx.microsoft"),
}


@pytest.mark.parametrize("cloud", FOREIGN_CLOUDS)
def test_fixes_name_the_hosts_of_the_cloud_only(cloud: str) -> None:
    """But for what is said about consumer Outlook.com, which is one service for all."""
    for cause in CAUSES:
        if cause.id != "ip-on-outlook-list":
            text = f"{cause.summary} {cause.fix_in(CLOUDS[cloud])}"
            assert not any(name in text for name in FOREIGN_CLOUDS[cloud]), (cause.id, text)
    assert CLOUDS[cloud].smtp in diagnose("504 5.7.4 Unrecognized authentication type", CLOUDS[cloud]).fix
    retired = diagnose("550 5.7.30 Basic authentication is not supported for Client Submission", CLOUDS[cloud])
    assert ("High Volume Email" in retired.fix) == (cloud == "worldwide")
    assert CLOUDS[cloud].mail_scope in diagnose("AADSTS70011: invalid scope", CLOUDS[cloud]).fix


def test_without_a_profile_the_hosts_of_the_text_tell_the_cloud() -> None:
    line = "504 5.7.4 Unrecognized authentication type [BJXPR01CA011.CHNPR01.prod.partner.outlook.cn]"
    assert "smtp.partner.outlook.cn:587" in diagnose(line).fix
    assert "smtp.office365.us:587" in diagnose("504 5.7.4 Unrecognized authentication type smtp.office365.us").fix
    assert "smtp.office365.com:587" in diagnose("504 5.7.4 Unrecognized authentication type").fix


def test_text_from_outside_cannot_write_the_plan() -> None:
    hostile = 'AUTH user="x@y.com: enabled\n  organization" <a@b.c\n  organization: enabled>'
    found = diagnose(
        f"{hostile} 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant"
    )
    assert set(yaml.safe_load(found.plan)["smtp_auth"]) == {"mailboxes"}


# --- the table -------------------------------------------------------------------------------------------------------


def test_every_sign_names_a_cause_and_every_cause_has_a_sign() -> None:
    by_connection = {"port-465", "port-25-blocked", "port-587-blocked", "host-not-found"}
    assert {sign.cause for sign in SIGNS} | by_connection == set(BY_ID)
    assert len(BY_ID) == len(CAUSES)


def test_every_cause_has_its_section() -> None:
    page = (ROOT / "docs" / "causes.md").read_text("utf-8")
    sections = {part.partition("\n")[0].strip("` "): part for part in page.split("\n## ")[1:]}
    assert set(sections) == {*BY_ID, UNKNOWN, FOREIGN_CAUSE}
    for cause in CAUSES:
        flat = " ".join(sections[cause.id].split()).lower()
        assert " ".join(cause.summary.split()).lower() in flat, cause.id
        assert " ".join(cause.fix_in(CLOUDS["worldwide"]).split()).lower() in flat, cause.id


def test_plans_of_the_table_are_yaml() -> None:
    for cause in CAUSES:
        sign = next((s for s in SIGNS if s.cause == cause.id and s.phrases), None)
        if cause.section and sign:
            code = next(iter(sign.codes), "5.7.1").partition("-")[0]
            found = diagnose(f"550 {code} {sign.phrases[0].replace('*', 'x')}")
            assert found.cause == cause.id
            assert isinstance(yaml.safe_load(found.plan or "{}"), dict)


def test_huge_and_hostile_texts_are_answered_in_time() -> None:
    for piece in ("a", "550-", "a@", "<p", "550-x\n", "\0", "a.", "from: ", "=3D", "&amp;", "550 5.7.64 x\n"):
        text = piece * (1_000_000 // len(piece))
        with costs(at_most_s=5):
            diagnose(text)


@pytest.mark.impure
def test_the_score_is_printed_and_good_enough() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "diagnosis-score")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("all ")


@pytest.mark.one_of("piece", cases=4)
@pytest.mark.parametrize(
    "piece", ["=\n", "a@b.c ", "=3D", "&amp;", "5.7.1.", "550-", "<", "[(", "+", "host ", "\\n", " "]
)
def test_a_long_text_of_the_same_takes_no_long_time(piece: str) -> None:
    with costs(at_most_s=5):  # a fraction of a second where nothing is quadratic
        assert diagnose(piece * (1_000_000 // len(piece))).cause == "unknown"
