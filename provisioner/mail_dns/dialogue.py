"""Questions to DNS and answers to them, as values; and the two ways to carry a dialogue on.

`model.Answer` has rows only. SPF must tell four cases apart (RFC 7208, 2.6.6, 4.4 and 4.6.4), so a resolver that feeds
these generators has to say which one it met: rows, the name without such rows, no such name, or a failure (SERVFAIL,
REFUSED, time-out, garbage). CNAMEs are followed by the resolver, except where CNAME itself is asked for.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from provisioner.model import DnsQuery


class Status(enum.StrEnum):
    """What kind of answer it was."""

    ROWS = "rows"
    NO_ROWS = "no rows"
    NO_NAME = "no such name"
    FAILED = "failed"
    REFUSED = "refused"
    """A failure too: no server wants to answer for that name, as one that answers for its own zones alone (RFC 1035,
    4.1.1, RCODE 5)."""


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """The answer to one question.

    `values`: an address for A and AAAA, `10 mx.example.com` for MX, the target for CNAME and PTR, the strings glued
    together for TXT; names without the trailing dot (null MX is `0 .`). TXT bytes beyond ASCII may be decoded in any
    way that leaves them outside ASCII. `strings` (TXT only, optional) has the single strings of each value. `reason` is
    why it failed. `validated`: a resolver that may be believed says that DNSSEC proves the values; None where none
    may be. `ttl_s` is how long others may keep them.
    """

    status: Status
    values: tuple[str, ...] = ()
    strings: tuple[tuple[str, ...], ...] = ()
    reason: str = ""
    validated: bool | None = field(default=None, compare=False)
    ttl_s: int = field(default=0, compare=False)

    @property
    def failed(self) -> bool:
        return self.status in (Status.FAILED, Status.REFUSED)

    @property
    def void(self) -> bool:
        """RFC 7208's "void lookup": answered, and nothing in it."""
        return self.status in (Status.NO_ROWS, Status.NO_NAME)


NO_NAME = DnsAnswer(Status.NO_NAME)
NO_ROWS = DnsAnswer(Status.NO_ROWS)


def rows(*values: str) -> DnsAnswer:
    """An answer with these values."""
    return DnsAnswer(Status.ROWS, values)


Questions = tuple[DnsQuery, ...]
Answers = Mapping[DnsQuery, DnsAnswer]

LONGEST_NAME = 253
"""Characters of a name, without the trailing dot (RFC 1035, 2.3.4)."""

T = TypeVar("T")
Dialogue = Generator[Questions, Answers, T]
"""Yields questions that may be asked at once, is sent an answer for each of them, returns the result."""


def ask(name: str, kind: str) -> Dialogue[DnsAnswer]:
    """One question as a dialogue of its own."""
    question = DnsQuery(name, kind)
    answers = yield (question,)
    return answers[question]


def replay(dialogue: Dialogue[T], answer: Callable[[DnsQuery], DnsAnswer]) -> T:
    """Carry a dialogue on with a plain function (a dictionary's `get`, a blocking resolver)."""
    try:
        questions = next(dialogue)
        while True:
            questions = dialogue.send({question: answer(question) for question in questions})
    except StopIteration as end:
        result: T = end.value
        return result


async def pursue(dialogue: Dialogue[T], answer_all: Callable[[Questions], Awaitable[Answers]]) -> T:
    """Carry a dialogue on over the network. `answer_all` may ask its questions at once, and ought to remember them."""
    try:
        questions = next(dialogue)
        while True:
            questions = dialogue.send(await answer_all(questions))
    except StopIteration as end:
        result: T = end.value
        return result
