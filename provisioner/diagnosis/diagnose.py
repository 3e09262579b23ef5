"""From an answer of a mail server to its cause: a device's log line, a bounce, an SMTP dialogue, as text of any kind.

Precision comes before recall: a line that is not known is said to be unknown, and one that another server wrote is said
to be that server's. `reading` takes the wrappings off a text, `speakers` tells who wrote each line, `matching` finds
the sign that a line shows (from `table`), `dialogue` what was overcome later, `facts` the addresses, `questions` what a
tenant could answer and what to write into a plan, `quoting` strikes credentials out of what is shown. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provisioner.diagnosis.causes import BY_ID
from provisioner.diagnosis.codes import Code, codes_in
from provisioner.diagnosis.dialogue import Refused, accepted, coded, refusals
from provisioner.diagnosis.facts import NOTHING_TOLD, Facts, facts_of
from provisioner.diagnosis.matching import Candidate, of_line, unanswered
from provisioner.diagnosis.questions import Question, plan_for, questions_for
from provisioner.diagnosis.quoting import short
from provisioner.diagnosis.reading import ENHANCED, MOST_IN_A_LINE, REFUSAL, has_folds, readable
from provisioner.diagnosis.services import AZURE
from provisioner.diagnosis.speakers import EXCHANGE, ON_PREMISES, PERSONAL, is_personal, speakers
from provisioner.diagnosis.table import FOLLOWS
from provisioner.model.clouds import Cloud, cloud_of_host

UNKNOWN = "unknown"
FOREIGN_CAUSE = "not-exchange-online"

_OF_ACCOUNTS = frozenset({
    "smtp-auth-off-tenant", "smtp-auth-off-mailbox", "smtp-auth-off", "security-defaults", "basic-auth-off",
    "basic-auth-retired", "conditional-access", "wrong-credentials", "account-locked", "login-refused",
    "auth-not-allowed-by-organization", "entra-mfa-required",
})  # fmt: skip
"""What is said to an account that signs in, and means something else where the account belongs to no tenant."""

_ELSEWHERE = {
    PERSONAL: "sign in with OAuth (XOAUTH2): a personal account takes no password over SMTP and belongs to no tenant, "
    "so no setting of Exchange Online changes that; or send from a mailbox of the organization",
    AZURE: "check the SMTP user name, the Entra application and its role on the Communication Services resource; no "
    "mailbox and no setting of Exchange Online is involved",
    ON_PREMISES: "look at that server's receive connectors and its accounts; no setting of Exchange Online is involved",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal that a text holds. `cause` is an id, or "unknown"; `overcome` means that a later success ended it."""

    line: str
    cause: str
    status: str
    overcome: bool


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an answer means.

    `cause` is an id of docs/causes.md, "unknown" or "not-exchange-online". `confidence`: "certain" (the words name the
    cause), "likely" (a family of causes, a cut text, or a number alone) or "none". `evidence` quotes what it rests on.
    `plan` is YAML for the plan, `fill_in` names what it lacks. `retry`: no, later, after-fix, fresh-token, unknown.
    `refusals` are all that the text holds, in their order; `codes` what the service's own codes say.
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
    refusals: tuple[Refusal, ...] = ()
    codes: tuple[Code, ...] = ()

    @property
    def known(self) -> bool:
        return self.cause not in (UNKNOWN, FOREIGN_CAUSE)


@dataclass(frozen=True, slots=True)
class _Finding:
    """One line that refuses: what it shows, where it stands, and who else wrote it ("" where nobody else did)."""

    refused: Refused
    candidate: Candidate | None
    foreign: str = ""


def diagnose(text: str, cloud: Cloud | None = None) -> Diagnosis:
    """Say what the refusal that ended the attempt in `text` means, and list all that it holds.

    Fixes name the hosts of `cloud`: the profile's, else the one that the text's hosts are in. Never raises, whatever
    the text holds.
    """
    found = _of_lines(readable(text), cloud)
    if found.cause == UNKNOWN and has_folds(text):
        whole_words = _of_lines(readable(text, words_cut=True), cloud)
        return found if whole_words.cause == UNKNOWN else whole_words
    return found


def _of_lines(lines: Sequence[str], cloud: Cloud | None) -> Diagnosis:
    facts = facts_of(lines)
    findings = _findings(lines)
    best = _best(lines, findings)
    of_cloud = cloud or cloud_of_host(facts.host)
    listed, codes = _listed(findings), codes_in("\n".join(lines))
    if isinstance(best, Candidate) and not best.contradicted:
        personal = best.cause in _OF_ACCOUNTS and is_personal(lines, facts)
        return (
            _elsewhere(PERSONAL, lines, facts, listed, codes)
            if personal
            else _known(best, facts, of_cloud, listed, codes)
        )
    if isinstance(best, str):
        return _elsewhere(best, lines, facts, listed, codes)
    return _unknown(best, lines, facts, listed, codes)


def _known(
    best: Candidate, facts: Facts, cloud: Cloud, listed: tuple[Refusal, ...], codes: tuple[Code, ...]
) -> Diagnosis:
    cause = BY_ID[best.cause]
    plan, fill_in = plan_for(cause, facts)
    return Diagnosis(
        cause.id,
        "certain" if best.certain else "likely",
        cause.summary,
        best.status,
        (short(best.line),),
        cause.fix_in(cloud),
        plan,
        fill_in,
        cause.retry,
        cause.source,
        questions_for(cause, facts),
        facts,
        listed,
        codes,
    )


def _elsewhere(
    who: str, lines: Sequence[str], facts: Facts, listed: tuple[Refusal, ...], codes: tuple[Code, ...]
) -> Diagnosis:
    """An answer that is not Exchange Online's, with what to do there instead."""
    about = next((fix for name, fix in _ELSEWHERE.items() if who.startswith(name)), "look at that server")
    summary = f"this answer was written by another mail server ({who}), not by Exchange Online"
    if who == PERSONAL:
        summary = f"this is an answer to {who}, not to a mailbox of Exchange Online"
    quoted = tuple(short(line) for line in lines if REFUSAL.search(line))[:1]
    return Diagnosis(
        FOREIGN_CAUSE, "certain", summary, _status(lines), quoted, about, facts=facts, refusals=listed, codes=codes
    )


def _unknown(
    best: Candidate | None, lines: Sequence[str], facts: Facts, listed: tuple[Refusal, ...], codes: tuple[Code, ...]
) -> Diagnosis:
    quoted = tuple(short(line) for line in lines if REFUSAL.search(line))[:1]
    if best is not None:
        quoted, fix = (short(best.line),), ""
        summary = f"the text says something else than {best.status} usually means ({best.cause}): go by the text"
    elif listed and all(refusal.overcome for refusal in listed):
        fix, end = "", "; the message was accepted" if accepted(lines) else ""
        summary = f"every refusal in this text was overcome later{end}"
    elif any(map(unanswered, lines)):
        summary, fix = "the connection got no answer, and the text names no mail host of Microsoft", _REACH
    elif quoted:
        summary, fix = "this text is not known", _WHOLE
    else:
        summary, fix = "there is no refusal in this text", _WHOLE
    return Diagnosis(UNKNOWN, "none", summary, _status(lines), quoted, fix, facts=facts, refusals=listed, codes=codes)


_WHOLE = (
    "give the whole reply of the mail server, which begins with a number such as 550 5.7.64, or reproduce it: "
    "provisioner probe DEVICE"
)
_REACH = (
    "check that a firewall or the provider lets the device reach its mail host on port 587 (client submission) or 25 "
    "(relay): provisioner probe DEVICE"
)


def _status(lines: Sequence[str]) -> str:
    for line in lines:
        found = [code for code in ENHANCED.findall(line) if code[0] in "45"]
        if found and REFUSAL.search(line):
            return str(found[0])
    return ""


def _listed(findings: Sequence[_Finding]) -> tuple[Refusal, ...]:
    """All refusals; what another server said, and what is not known, have no cause of ours."""
    found = []
    for finding in findings:
        candidate, line = finding.candidate, finding.refused.line
        cause = FOREIGN_CAUSE if finding.foreign else UNKNOWN if candidate is None else candidate.cause
        found.append(Refusal(short(line), cause, _status([line]), finding.refused.overcome))
    return tuple(found)


def _findings(lines: Sequence[str]) -> list[_Finding]:
    who = list(speakers(lines))
    candidates = [
        None if speaker else of_line(line, home=speaker == EXCHANGE) for line, speaker in zip(lines, who, strict=True)
    ]
    refusing = [
        bool(speaker) or candidate is not None or coded(line)
        for line, speaker, candidate in zip(lines, who, candidates, strict=True)
    ]
    return [
        _Finding(refused, candidate, speaker or "")
        for refused, candidate, speaker in zip(refusals(lines, refusing), candidates, who, strict=True)
        if refused is not None
    ]


def _best(lines: Sequence[str], findings: Sequence[_Finding]) -> Candidate | str | None:
    """The refusal that ended the attempt; another server's name where that one spoke; None when nothing is known."""
    standing = [f for f in findings if not f.refused.overcome]
    ours = [f for f in standing if f.candidate is not None]
    foreign = next((f.foreign for f in standing if f.foreign), "")
    if foreign and not any(f.candidate.certain for f in ours if f.candidate):
        return foreign
    best = _ending(ours)
    if foreign or len(lines) < 2:
        return best
    whole = of_line(" ".join(lines)[: 4 * MOST_IN_A_LINE], home=_is_home(lines))
    gone = {f.candidate.cause for f in findings if f.candidate and f.refused.overcome}
    if whole is not None and whole.cause not in gone and (best is None or whole.tier < best.tier):
        return whole
    return best


def _is_home(lines: Sequence[str]) -> bool:
    return EXCHANGE in list(speakers(lines))


def _ending(ours: Sequence[_Finding]) -> Candidate | None:
    """Of the refusals that stand, the one that ended the attempt.

    What only follows from another gives way to it, a temporary refusal to one for good, an earlier stage to the last;
    at one stage the one that says most counts, and among those the last.
    """
    leading = [f for f in ours if f.candidate and f.candidate.tier != FOLLOWS] or list(ours)
    for_good = [f for f in leading if f.refused.permanent] or leading
    if not for_good:
        return None
    stage = for_good[-1].refused.stage
    of_stage = [f.candidate for f in for_good if f.refused.stage == stage and f.candidate is not None]
    return min(reversed(of_stage), key=lambda candidate: candidate.tier)
