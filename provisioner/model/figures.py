"""What a change set amounts to, in figures and one sentence. Every output takes them from here.

Senders are counted by what the tenant knows them by: a mailbox, a network, a certificate, an account, an application. A
sender that keeps its way by another object is neither admitted nor stopped. Mail that is stopped for every sender, as
where an outbound connector goes, is counted by the objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from provisioner.model.document import ChangeDocument, ChangeSetDocument, PathDocument, RecordDocument, SummaryDocument
from provisioner.model.listing import counted

_INHERITING, _DIRECT, _MAIL = "inheriting mailboxes", "direct send", "mail"


def records(changes: Iterable[ChangeDocument]) -> list[RecordDocument]:
    """The DNS records that the changes wait for, each once."""
    found: dict[tuple[str, str], RecordDocument] = {}
    for change in changes:
        awaits = (step["await"] for step in change["provisioner"]["steps"] if "await" in step)
        found |= {(record["name"], record["type"]): record for some in awaits for record in some}
    return list(found.values())


def summary_of(changes: Sequence[ChangeDocument], paths: Sequence[PathDocument]) -> SummaryDocument:
    """The figures of a change set."""
    gained, lost = ([p for p in paths if p[side]] for side in ("gains", "loses"))
    inherit = [p["count"] for p in paths if p["kind"] == _INHERITING]
    direct = {**{p["sender"]: "admits" for p in gained if p["kind"] == _DIRECT}}
    direct |= {p["sender"]: "stops" for p in lost if p["kind"] == _DIRECT}
    found: SummaryDocument = {
        "admits": len(_senders(gained)),
        "may_stop": len(_senders(lost)),
        "mail_may_stop": sum(p["kind"] == _MAIL for p in lost),
        "inheriting_admitted": any(p["kind"] == _INHERITING for p in gained),
        "inheriting_may_stop": any(p["kind"] == _INHERITING for p in lost),
        "inheriting": next((count for count in inherit if count is not None), None),
        "direct_send": next(iter(direct.values()), ""),
        "deletes": sum(c["change"]["actions"] == ["delete"] for c in changes),
        "dns_records": len(records(changes)),
        "sentence": "",
    }
    found["sentence"] = _sentence(found)
    return found


def summary(document: ChangeSetDocument) -> SummaryDocument:
    """The figures of a document, also of one that was saved without them."""
    ours = document["provisioner"]
    return ours.get("summary") or summary_of(document["resource_changes"], ours.get("paths", []))


def _senders(paths: Iterable[PathDocument]) -> set[tuple[str, str]]:
    return {(p["kind"], p["sender"]) for p in paths if p["kind"] not in {_INHERITING, _DIRECT, _MAIL}}


def _sentence(found: SummaryDocument) -> str:
    """One sentence, such as: It admits 9 new senders, may stop 5, deletes 1 object and waits for 8 DNS records."""
    inheriting = _inheriting(found["inheriting"])
    admits = [counted(found["admits"], "new sender")] if found["admits"] else []
    admits += [inheriting] if found["inheriting_admitted"] else []
    admits += ["direct send"] if found["direct_send"] == "admits" else []
    stops = [counted(found["may_stop"], "sender")] if found["may_stop"] else []
    stops += [inheriting] if found["inheriting_may_stop"] else []
    stops += ["direct send"] if found["direct_send"] == "stops" else []
    stops += [f"mail through {counted(found['mail_may_stop'], 'object')}"] if found["mail_may_stop"] else []
    parts = [f"admits {' and '.join(admits) or 'no new sender'}", f"may stop {' and '.join(stops) or 'no sender'}"]
    parts += [f"deletes {counted(found['deletes'], 'object')}"] if found["deletes"] else []
    parts += [f"waits for {counted(found['dns_records'], 'DNS record')}"] if found["dns_records"] else []
    *first, last = parts
    return f"It {', '.join(first)} and {last}."


def _inheriting(count: int | None) -> str:
    if count is None:
        return "the mailboxes that inherit SMTP AUTH"
    return f"{counted(count, 'mailbox', 'mailboxes')} that inherit{'s' if count == 1 else ''} SMTP AUTH"
