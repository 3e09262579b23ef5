"""How a diagnosis quotes a line: without the credentials that logs hold beside a refusal, and cut where it is long.

Pure: a text in, a text out.
"""

from __future__ import annotations

import re

_LONGEST = 400
_WORDS = (
    r"password|passwd|passwort|mot de passe|contraseña|\bpass|\bpwd|secret|(?:access|refresh|id)_?token|api_?key"
    r"|assertion"
)
_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # What a client sends to sign in (RFC 4954), and a token (RFC 6750, RFC 7519); `dXNlcj` is "user" of XOAUTH2.
        r"(\bAUTH (?:PLAIN|LOGIN|XOAUTH2|OAUTHBEARER|CRAM-MD5|NTLM)\s+)[A-Za-z0-9+/=]{8,}",
        r"(\bBearer )[\w\-+/=.~]{8,}",
        r"()\beyJ[\w\-]{8,}\.[\w\-.]{8,}",
        r"(\b334 UGFzc3dvcmQ6\W{1,10}(?:[A-Z]{1,8}\W{1,6}){0,3})[A-Za-z0-9+/]{4,}={0,2}",
        r"()\bdXNlcj[A-Za-z0-9+/]{20,}={0,2}",
        # The password of a URL (RFC 3986, 3.2.1), and of curl.
        r"(://[^\s/:@]{1,320}:)[^\s/@]{1,320}(?=@)",
        r"((?:--user|-u)[ =][\"']?[^\s:\"']{1,320}:)[^\s\"']{1,320}",
        # A value beside a word for a secret: JSON, a query, an option; not the reply after "... or password: 535".
        rf"((?:{_WORDS})[\"']?\s?(?:=>|[:=])\s?)(?![245]\d\d[ \-])(?:\"[^\"]+\"?|'[^']+'?|[^\s,;&}})\]\"']+)",
    )
)


def short(line: str) -> str:
    """A line to quote: without credentials, and cut where it is long."""
    for secret in _SECRETS:
        line = secret.sub(r"\1…", line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
