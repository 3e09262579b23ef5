"""The stages of an SMTP dialogue, and which of its refusals a later success overcame. Pure.

A refusal ends an attempt unless the server takes the same step, or a later one, afterwards (RFC 5321, 4.3): a login
that succeeds at the second try, a message that a second connection delivers. What is refused to one recipient, and a
message that is refused for good, stay refused whatever follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Stage(IntEnum):
    CONNECTION = 0
    GREETING = 1
    TLS = 2
    LOGIN = 3
    SENDER = 4
    RECIPIENT = 5
    MESSAGE = 6


_VERBS = {
    "EHLO": Stage.GREETING,
    "HELO": Stage.GREETING,
    "STARTTLS": Stage.TLS,
    "AUTH": Stage.LOGIN,
    "MAIL": Stage.SENDER,
    "RCPT": Stage.RECIPIENT,
    "DATA": Stage.MESSAGE,
    "BDAT": Stage.MESSAGE,
}
_VERB = re.compile(
    r"(?:^|[\s>:\]'\"])(EHLO|HELO|STARTTLS|AUTH(?= )|MAIL(?= FROM:)|RCPT(?= TO:)|DATA|BDAT)(?=[\s'\"\\]|$)",
    re.IGNORECASE,
)
_FROM = re.compile(r"\bMAIL FROM:\s*<?([^\s<>]{1,320})", re.IGNORECASE)
_IN_REPLY = re.compile(
    r"(?:in reply to|after|during|response to|command:|in response to) (?:the )?[\"']?"
    r"(EHLO|HELO|STARTTLS|AUTH|MAIL|RCPT|end of DATA|DATA|sending the message)",
    re.IGNORECASE,
)
_REPLY = re.compile(r"(?<![\w.:=/\-])(220|221|235|250|251|354)(?=[ \-]\S)[ \-](.{0,300})")
_REFUSED = re.compile(r"(?<![\w.:=/\-])([45])\d\d(?=[ \-:,)])|(?<![\w.\-])#?([45])\.\d{1,3}\.\d{1,3}(?![\w]|\.\d)")
_CODED = re.compile(r"(?:^|[\s>:\]'\"(])[45]\d\d[ \-](?:[45]\.\d{1,3}\.\d{1,3} )?[A-Za-z<\"'(]")
_CODE_STAGES = (
    (re.compile(r"\b(?:535|534|504)\b|5\.7\.139|5\.7\.3\b|\b454 4\.7\.0|5\.7\.14[234]|AADSTS"), Stage.LOGIN),
    (re.compile(r"\b503 5\.5\.2|send hello first", re.IGNORECASE), Stage.GREETING),
    (re.compile(r"\b530\b|5\.7\.57|STARTTLS (?:is required|command first)", re.IGNORECASE), Stage.SENDER),
    (re.compile(r"\b452 4\.5\.3|5\.1\.10|5\.1\.1\b|5\.4\.1\b|5\.7\.64|RcptTo", re.IGNORECASE), Stage.RECIPIENT),
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A line with a refusal: where it stands in the dialogue, and whether something later overcame it."""

    line: str
    stage: Stage
    permanent: bool
    overcome: bool


@dataclass(frozen=True, slots=True)
class _Event:
    stage: Stage
    success: bool
    sender: str
    permanent: bool = False
    line: str = ""


def coded(line: str) -> bool:
    """Whether a line holds the code of a refusal, as a server's reply does."""
    return _REPLY.search(line) is None and _CODED.search(line) is not None


def refusals(lines: Sequence[str], refusing: Sequence[bool]) -> list[Refused | None]:
    """What each line refuses; None for a line that `refusing` does not mark."""
    events = list(_events(lines, refusing))
    found: list[Refused | None] = []
    for index, event in enumerate(events):
        if event is None or event.success:
            found.append(None)
            continue
        later = [e for e in events[index + 1 :] if e is not None and e.success]
        found.append(Refused(event.line, event.stage, event.permanent, any(_overcomes(e, event) for e in later)))
    return found


def accepted(lines: Sequence[str]) -> bool:
    """Whether the last thing that the text shows is a message that was taken."""
    events = [event for event in _events(lines, [False] * len(lines)) if event is not None]
    return bool(events) and events[-1].stage == Stage.MESSAGE


def _overcomes(later: _Event, refused: _Event) -> bool:
    if later.stage < refused.stage:
        return False
    if refused.permanent and refused.stage >= Stage.RECIPIENT:
        return False
    return not (refused.permanent and refused.stage == Stage.SENDER and later.sender != refused.sender)


def _events(lines: Sequence[str], refusing: Sequence[bool]) -> Iterator[_Event | None]:
    """What each line is: a success or a refusal at a stage, or neither."""
    stage, sender = Stage.CONNECTION, ""
    commanded = False
    for line, refused in zip(lines, refusing, strict=True):
        if refused:
            yield _Event(_stage_of(line, stage if commanded else None), False, sender, _permanent(line), line)
            continue
        reply = _REPLY.search(line)
        if reply is None:
            verb = _VERB.search(line)
            if verb:
                stage, commanded = _VERBS[verb[1].upper()], True
                address = _FROM.search(line)
                sender = address[1].lower() if address else sender
            yield None
            continue
        taken = _success(reply[1], reply[2].lower(), stage)
        if taken == Stage.CONNECTION:
            stage, commanded = Stage.CONNECTION, False
        yield _Event(taken, True, sender) if taken is not None else None


def _success(code: str, text: str, stage: Stage) -> Stage | None:
    """The stage that a reply of success ends; None for one that ends none (a farewell, RSET)."""
    fixed = {"235": Stage.LOGIN, "354": Stage.RECIPIENT, "221": None}
    if code in fixed:
        return fixed[code]
    if code == "220":
        return Stage.CONNECTION if re.match(r"[\w\-]+\.[\w.\-]*[a-z]", text) else Stage.TLS
    if "queued" in text or text.startswith(("2.6.0", "2.0.0 ok <")):
        return Stage.MESSAGE
    if text.startswith("2.1.5") or "recipient ok" in text:
        return Stage.RECIPIENT
    if text.startswith("2.1.0") or "sender ok" in text:
        return Stage.SENDER
    return stage if stage in (Stage.GREETING, Stage.MESSAGE) else None


def _stage_of(line: str, commanded: Stage | None) -> Stage:
    """Where a refusal belongs: as the line says, as its code says, or after the last command."""
    told = _IN_REPLY.search(line)
    if told:
        word = told[1].upper()
        return _VERBS.get(word, Stage.MESSAGE)
    for pattern, stage in _CODE_STAGES:
        if pattern.search(line):
            return stage
    if commanded is not None:
        return commanded
    return Stage.MESSAGE if _permanent(line) else Stage.CONNECTION


def _permanent(line: str) -> bool:
    """Whether a refusal is for good: its code begins with 5, or it has none and is not trouble of the connection."""
    found = _REFUSED.search(line)
    return (found[1] or found[2]) == "5" if found else "AADSTS" in line or "certificate" in line.lower()
