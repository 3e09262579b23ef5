"""The lines of a text without its wrappings: mail, quoted-printable, HTML, escapes, folds, split replies. Pure."""

from __future__ import annotations

import email
import email.policy
import html
import quopri
import re
import textwrap
from collections.abc import Iterator, Sequence
from email.message import Message

MOST_IN_A_LINE = 8_192
_MOST_LINES = 1_500
_MOST_CHARACTERS = 262_144  # a bounce with its attachment cut off; a log's tail

ENHANCED = re.compile(r"(?<![\w.\-])#?([245]\.\d{1,3}\.\d{1,3})(?![\w]|\.\d)")
REFUSAL = re.compile(
    r"(?<![\w.])[45]\d\d[ \-:]+[A-Za-z#<\"'(]|(?<![\w.\-])#?[45]\.\d{1,3}\.\d{1,3}(?![\w]|\.\d)"
    r"|AADSTS\d{5,}|\b(?:refused|denied|rejected|failed|unsuccessful|timed out|ETIMEDOUT|ECONNREFUSED|error)\b",
    re.IGNORECASE,
)
_CONTINUED = re.compile(r"^(.*?)\b([245]\d\d)-((?:[245]\.\d{1,3}\.\d{1,3} )?)(.*)$")
# A tag holds a name and attributes, so no address in angle brackets is one: `<li.wang@fabrikam.example>`.
_TAG = re.compile(
    r"</?(?:p|br|div|span|b|i|u|a|td|tr|th|table|tbody|font|strong|em|li|ul|ol|pre|code|html|body|head|h[1-6])"
    r"""(?:\s+[a-z][a-z\-]{0,30}(?:\s?=\s?(?:"[^"<>]{0,2000}"|'[^'<>]{0,2000}'|[^\s"'<>@]{1,2000}))?){0,12}\s?/?>""",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#\d{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE)
_MAIL_HEADER = re.compile(
    r"^(?:MIME-Version|Content-Type|Return-Path|Received|Message-ID):", re.IGNORECASE | re.MULTILINE
)

# A line of quoted-printable that goes on; not one of Base64, as logins have it, which ends so too.
_SOFT_BREAK = re.compile(r"^(?![^\w\n]{0,40}(?:[CS]\b[^\w\n]{0,40})?[A-Za-z0-9+/]+={1,2}\r?$)(.*)=\r?\n", re.MULTILINE)


def readable(text: str, *, words_cut: bool = False) -> list[str]:
    """The lines of a text without its wrappings: mail, quoted-printable, HTML, escapes, folds, split replies.

    A fold stands for a space; `words_cut`: for nothing, as where a panel or a terminal breaks a line in a word.
    """
    text = re.sub(r"\r\n?", "\n", text[:_MOST_CHARACTERS])
    if _MAIL_HEADER.search(text[:4000]):
        text = _mail_text(text)
    text = _SOFT_BREAK.sub(r"\1", text)
    if re.search(r"=3D|=E2=80|=C3=[89AB]|=20$", text, re.MULTILINE):
        text = quopri.decodestring(text.encode("utf-8", "replace")).decode("utf-8", "replace")
    text = _TAG.sub(" ", text)
    for _ in range(2):  # escaped once by the mail, and once by the page that shows it
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    text = re.sub(r"#015|\\r(?=\\n|$)", "", text)
    text = re.sub(r"#012|\\r\\n|\\n(?![a-z]{3,})|\u2028", "\n", text)
    text = re.sub(r"\\u(?!d[89a-f])([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), text, flags=re.IGNORECASE)
    text = text.replace("\\'", "'").replace('\\"', '"').translate(_TYPOGRAPHY)
    folded = _unfolded(text.split("\n"), words_cut=words_cut)
    lines = [re.sub(r"[ \t\x00-\x08\x0b-\x1f]+", " ", line[:MOST_IN_A_LINE]).strip() for line in folded]
    return list(_joined([line for line in lines if line][:_MOST_LINES]))


_TYPOGRAPHY = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u00b4": "'", "\u00a0": " "})

# What begins a line of a dialogue: a sign for who speaks, a reply's code, a command.
_SPOKEN = re.compile(
    r"(?:<[-~*]{0,2}\s|[-~*]{0,2}>\s|[CS]:|SERVER\b|CLIENT\b|[2-5]\d\d[ \-]"
    r"|(?:EHLO|HELO|MAIL FROM|RCPT TO|AUTH|STARTTLS|DATA|QUIT|RSET)\b)"
)


def has_folds(text: str) -> bool:
    """Whether a line of a text goes on in the next, which is indented."""
    return _FOLD.search(text[:_MOST_CHARACTERS]) is not None


_FOLD = re.compile(r"\S[ \t\r]*\n[ \t]+\S")


def _unfolded(lines: Sequence[str], *, words_cut: bool) -> Iterator[str]:
    """Lines with those that go on after a space; an indented line of a dialogue is one of its own.

    A reply below "host x said:" belongs to that line, which names who gave it.
    """
    gathered: list[str] = []
    for line in lines:
        text = line.strip()
        goes_on = line[:1] in " \t" and bool(text) and bool(gathered)
        if goes_on and (not _SPOKEN.match(text) or gathered[-1].rstrip().endswith(":")):
            gathered.append(line if words_cut else text)
            continue
        if gathered:
            yield _one_line(gathered, words_cut=words_cut)
        gathered = [line]
    if gathered:
        yield _one_line(gathered, words_cut=words_cut)


def _one_line(parts: Sequence[str], *, words_cut: bool) -> str:
    """A line from its parts; of those below the first, only the indentation that all have is the fold's."""
    return parts[0] + textwrap.dedent("\n".join(parts[1:])).replace("\n", "") if words_cut else " ".join(parts)


def _mail_text(text: str) -> str:
    """Headers and readable parts of a bounce, decoded, without the message that came back with it.

    A text that is not a proper mail comes back as it is.
    """
    try:
        message = email.message_from_string(text.lstrip(), policy=email.policy.default)
        found = "\n".join([f"From: {message['from'] or ''}", *_parts(message)])
    except (ValueError, LookupError, TypeError, AttributeError):
        return text  # the parser of mail gives up in many ways
    return found if REFUSAL.search(found) else text


def _parts(part: Message) -> Iterator[str]:
    kind = part.get_content_type()
    if kind in ("message/rfc822", "text/rfc822-headers"):
        return
    if kind == "message/delivery-status":
        yield part.as_string()
    elif part.is_multipart():
        for below in part.get_payload():
            if isinstance(below, Message):
                yield from _parts(below)
    elif part.get_content_maintype() == "text":
        raw = part.get_payload(decode=True)
        if isinstance(raw, bytes):
            yield raw.decode(part.get_content_charset("utf-8") or "utf-8", "replace")


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """Multi-line replies as one line: `550-5.7.26 one` and `550 5.7.26 two` become `550 5.7.26 one two`."""
    gathered: list[str] = []
    code = ""
    for line in lines:
        found = _CONTINUED.match(line)
        if found and found[2][0] != "2" and (not code or found[2] == code):
            gathered.append(line if not gathered else found[4])
            code = found[2]
            continue
        if code and (last := re.match(rf"^(?:.*?\b)?{code}[ ]((?:[245]\.\d+\.\d+ )?)(.*)$", line)):
            yield " ".join([*gathered, last[2]]).replace(f"{code}-", f"{code} ", 1)
            gathered, code = [], ""
            continue
        if gathered:
            yield " ".join(gathered).replace(f"{code}-", f"{code} ", 1)
            gathered, code = [], ""
        yield line
    if gathered:
        yield " ".join(gathered).replace(f"{code}-", f"{code} ", 1)


_CONTRACTIONS = (
    (re.compile(r"\b(?:can't|can not)\b"), "cannot"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\b(does|did|is|are|was|were|has|have|had|could|would|should)nt\b"), r"\1 not"),
    (re.compile(r"\b(it|that|there|what)'s\b"), r"\1 is"),
)


def squash(text: str) -> str:
    """Letters and digits only, in lower case and without contractions: what survives every wrapping."""
    lower = text.lower().translate(_TYPOGRAPHY)
    for pattern, whole in _CONTRACTIONS:
        lower = pattern.sub(whole, lower)
    return re.sub(r"[^a-z0-9]+", "", lower)
