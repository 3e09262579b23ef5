"""What a diagnosis quotes holds no credential, and what is no credential stays."""

from __future__ import annotations

import pytest

from provisioner.diagnosis.diagnose import diagnose
from provisioner.diagnosis.quoting import short

SECRET = "Hunter2Hunter2"
REFUSED = "535 5.7.3 Authentication unsuccessful [AM0PR10CA0042.EURPRD10.PROD.OUTLOOK.COM]"


@pytest.mark.parametrize(
    "beside",
    [
        f'{{"smtp": {{"user": "scan@fabrikam.example", "password": "{SECRET}"}}}}',
        f"client_secret={SECRET}&grant_type=client_credentials",
        f"{{'passwd': '{SECRET}'}}",
        f"spring.mail.password={SECRET}",
        f"GF_SMTP_PASSWORD: {SECRET}",
        f"['pass' => '{SECRET}']",
        f"smtp://scan%40fabrikam.example:{SECRET}@smtp.office365.com:587",
        f"curl --user 'scan@fabrikam.example:{SECRET}' smtp://smtp.office365.com:587",
        f"AUTH PLAIN {SECRET}",
        f"C: AUTH LOGIN c2Nhbg== S: 334 UGFzc3dvcmQ6 C: {SECRET}==",
        f"AUTH XOAUTH2 {SECRET}==",
        f"Authorization: Bearer {SECRET}.{SECRET}",
        f"token eyJ0eXAiOiJKV1Qi.{SECRET}.{SECRET}",
        f"dXNlcj1zY2FuQGZhYnJpa2Ft{SECRET}",
    ],
)
def test_a_credential_beside_a_refusal_is_not_quoted(beside: str) -> None:
    found = diagnose(f"{beside} {REFUSED}")
    assert found.cause == "login-refused"
    assert SECRET not in str(found)
    assert "535 5.7.3 Authentication unsuccessful" in found.evidence[0]


@pytest.mark.parametrize(
    "line",
    [
        f"wrong user name or password: {REFUSED}",
        "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.",
        "DEBUG SMTP: AUTH LOGIN failed",
        "C: AUTH LOGIN",
        "https://aka.ms/smtp_auth_disabled for more information.",
        "MAIL FROM:<scan@fabrikam.example> SIZE=1024",
        "AADSTS7000215: Invalid client secret provided.",
    ],
)
def test_what_is_no_credential_is_quoted_as_it_is(line: str) -> None:
    assert short(line) == line


def test_a_long_line_is_cut() -> None:
    assert short("x" * 500) == "x" * 399 + "…"
