"""From an answer of a mail server to its cause: a device's log line, a bounce, an SMTP dialogue, as text of any kind.

Precision comes before recall: a line that is not known is said to be unknown, and one that another server wrote is said
to be that server's. `reading` takes the wrappings off a text, `matching` finds the sign that a line shows (from
`table`), `facts` the addresses, `questions` what a tenant could answer and what to write into a plan. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from provisioner.diagnosis.causes import BY_ID
from provisioner.diagnosis.facts import EMAIL, NOTHING_TOLD, Facts, facts_of
from provisioner.diagnosis.matching import Candidate, of_line
from provisioner.diagnosis.questions import Question, plan_for, questions_for
from provisioner.diagnosis.reading import ENHANCED, MOST_IN_A_LINE, REFUSAL, readable, short, squash
from provisioner.diagnosis.table import EXPLICIT, FOREIGN, FOREIGN_WORDING, HOME

UNKNOWN = "unknown"
FOREIGN_CAUSE = "not-exchange-online"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an answer means.

    `cause` is an id of docs/causes.md, "unknown" or "not-exchange-online". `confidence`: "certain" (the words name the
    cause), "likely" (a family of causes, a cut text, or a number alone) or "none". `evidence` quotes what it rests on.
    `plan` is YAML for the plan, `fill_in` names what it lacks. `retry`: no, later, after-fix, fresh-token, unknown.
    """

    cause: str
    confidence: str
    summary: str
    status: str = ""
    evidence: tuple[str, ...] = ()
    fix: str = ""
    plan: str = ""
    fill_in: tuple[str, ...] = ()
    retry: str = "unknown"
    source: str = ""
    questions: tuple[Question, ...] = ()
    facts: Facts = NOTHING_TOLD

    @property
    def known(self) -> bool:
        return self.cause not in (UNKNOWN, FOREIGN_CAUSE)


def diagnose(text: str) -> Diagnosis:
    """Say what the first refusal in `text` that matters means. Never raises, whatever the text holds."""
    lines = readable(text)
    facts = facts_of(lines)
    best = _best(lines)
    refused = tuple(short(line) for line in lines if REFUSAL.search(line))[:1]
    if isinstance(best, str):
        summary = f"this answer was written by another mail server ({best}), not by Exchange Online"
        status = _status(lines)
        return Diagnosis(FOREIGN_CAUSE, "certain", summary, status, refused, "look at that server", facts=facts)
    if best is None:
        summary = "this text is not known" if refused else "there is no refusal in this text"
        return Diagnosis(UNKNOWN, "none", summary, _status(lines), refused, facts=facts)
    cause = BY_ID[best.cause]
    plan, fill_in = plan_for(cause, facts)
    return Diagnosis(
        cause.id,
        "certain" if best.tier == EXPLICIT and not best.cut else "likely",
        cause.summary,
        best.status or _status(lines),
        (short(best.line),),
        cause.fix,
        plan,
        fill_in,
        cause.retry,
        cause.source,
        questions_for(cause, facts),
        facts,
    )


def _status(lines: Sequence[str]) -> str:
    for line in lines:
        found = [code for code in ENHANCED.findall(line) if code[0] in "45"]
        if found and REFUSAL.search(line):
            return str(found[0])
    return ""


_MICROSOFT_MARK = re.compile(
    r"\.prod\.(?:protection\.)?(?:outlook\.com|exchangelabs\.com)|\bas\(?\d{4,}\)?"
    # What Exchange Online says of a server outside, whose own words follow.
    r"|remote server returned (?:unknown|an error|message|not|access|invalid)|\b5\.(?:1\.351|0\.350|7\.350|7\.367)\b"
)


def _best(lines: Sequence[str]) -> Candidate | str | None:
    """The first refusal of the best kind; another server's name where that one speaks; None when nothing is known."""
    found: list[Candidate] = []
    foreign = ""
    for line in lines:
        other = _foreign(line)
        if other:
            foreign = foreign or (other if not found else "")
            continue
        candidate = of_line(line)
        if candidate is not None:
            found.append(candidate)
    if foreign and not any(c.tier == EXPLICIT for c in found):
        return foreign
    whole = of_line(" ".join(lines)[: 4 * MOST_IN_A_LINE]) if len(lines) > 1 and not foreign else None
    best = min(found, key=lambda c: c.tier, default=None)
    if whole is not None and (best is None or whole.tier < best.tier):
        return whole
    return best


def _foreign(line: str) -> str:
    """Who else wrote this line, or "". Addresses in it say nothing about the speaker; a host that "said" it does."""
    if not REFUSAL.search(line):
        return ""
    lower = re.sub(EMAIL, "@", line).lower()
    said = re.search(r"\bhost ([\w.\- ]{3,120}?)\[[^\]]{0,60}\] (?:said|refused)", lower)
    if said:
        speaker = said[1].replace(" ", "")
        return "" if any(name in speaker for name in HOME) else speaker
    if _MICROSOFT_MARK.search(lower) or "protectionoutlookcom" in squash(lower):  # a fold may stand inside the name
        return ""
    mark = next((who for name, who in FOREIGN if name in lower), "")
    return mark or next((who for pattern, who in FOREIGN_WORDING if re.search(pattern, lower)), "")
