"""What a reviewer of a change set needs besides its changes, once for every output.

Where it stands, who is affected, what a person must do, which findings are news: all of it from the document.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from provisioner.model import figures
from provisioner.model.document import (
    ChangeDocument,
    ChangeSetDocument,
    FindingDocument,
    PathDocument,
    RecordDocument,
)
from provisioner.model.listing import listed
from provisioner.render.changes import action, pending, worst_first
from provisioner.render.escape import visible


@dataclass(frozen=True, slots=True)
class Shown:
    """How a document is shown, beyond what it holds: the profile, the saved file, and what of it a reader wants.

    `width` is that of the terminal in columns, None for a stream without one. `rules` is the address of the pages of
    the rules, "" where it is not known.
    """

    profile: str = ""
    file: str = ""
    unmanaged: bool = False
    all_findings: bool = False
    concise: bool = False
    color: bool = False
    width: int | None = None
    rules: str = ""


PLAIN = Shown()


def place(document: ChangeSetDocument) -> str:
    """The plan's files in a few words: the file, or their folder and how many there are. "" for a rollback."""
    files = document["provisioner"]["plan"]["files"]
    if len(files) < 2:
        return visible(files[0]) if files else ""
    parts = [PurePosixPath(f).parent.parts for f in files]
    common = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    return visible(f"{PurePosixPath(*common)} ({len(files)} files)")


def where(document: ChangeSetDocument, profile: str = "") -> list[tuple[str, str]]:
    """What a reader must know before anything else: tenant, profile, plan, commit. Names and values."""
    ours = document["provisioner"]
    facts = [("tenant", ours["tenant"]), ("profile", profile), ("plan", place(document))]
    facts.append(("commit", ours["plan"]["commit"]))
    return [(name, visible(value)) for name, value in facts if value]


def asked_about(document: ChangeSetDocument, profile: str = "") -> str:
    """The same in one phrase, for a question."""
    (_, tenant), *rest = where(document, profile)
    return f"{tenant} ({', '.join(f'{name} {value}' for name, value in rest)})" if rest else tenant


def apply_command(document: ChangeSetDocument, shown: Shown) -> str:
    """The command that applies exactly this change set; "" where nothing is to be applied."""
    if not document["applyable"]:
        return ""
    profile = ["--profile", shown.profile] if shown.profile else []
    file = shown.file or "FILE"
    words = ["provisioner", *profile, "apply", file, "--expect-digest", document["provisioner"]["digest"]]
    return visible(shlex.join(words))


# --- findings --------------------------------------------------------------------------------------------------------

_SEVERITIES = {"error": 0, "warning": 1, "info": 2}


def ranked(findings: Iterable[FindingDocument]) -> list[FindingDocument]:
    """What stops apply first, what is waived last."""
    return sorted(
        findings,
        key=lambda f: (
            bool(f["waived"]),
            not f["blocks"],
            _SEVERITIES.get(f["severity"], 3),
            f["rule"],
            f["address"] or "",
        ),
    )


def news(document: ChangeSetDocument) -> tuple[list[FindingDocument], list[FindingDocument]]:
    """The findings about the tenant and what changes, and those about the plan that stays as it is; no waived ones.

    The second kind stands above every plan until somebody acts on it: a reader of the changes wants its count.
    """
    shown = shown_at_their_change(document)
    findings = [f for f in ranked(document["provisioner"]["findings"]) if not f["waived"] and f["summary"] not in shown]
    return [f for f in findings if not f.get("known")], [f for f in findings if f.get("known")]


_MISSING = "DKIM-CNAME-MISSING"


def unpublished(document: ChangeSetDocument) -> frozenset[str]:
    """The names of the records that a change waits for and DNS lacks: said where the change names them."""
    return frozenset(_unpublished(document).values())


def shown_at_their_change(document: ChangeSetDocument) -> frozenset[str]:
    """The summaries of the findings that would only repeat what `unpublished` says."""
    return frozenset(_unpublished(document))


def _unpublished(document: ChangeSetDocument) -> Mapping[str, str]:
    """The record of each finding about a missing record that a change waits for, by the finding's summary."""
    names = [record["name"] for record in figures.records(pending(document))]
    missing = (f["summary"] for f in document["provisioner"]["findings"] if f["rule"] == _MISSING)
    return {told: name for told in missing for name in names if told.startswith(f"{name} ")}


def waived(document: ChangeSetDocument) -> list[tuple[str, str, int]]:
    """The waived findings: rule, reason and how many of each."""
    counted = Counter((f["rule"], f["waived"]) for f in document["provisioner"]["findings"] if f["waived"])
    return [(rule, reason, count) for (rule, reason), count in sorted(counted.items())]


def by_rule(findings: Iterable[FindingDocument]) -> str:
    """Findings as rules with their counts: DEVICE-RISK (3), UNMANAGED-RELAY."""
    counts = Counter(f["rule"] for f in findings)
    return ", ".join(f"{rule} ({count})" if count > 1 else rule for rule, count in counts.items())


def rule_page(rule: str, base: str) -> str:
    """The address of the page of a rule below `base`; "" where that is not known, or the name is not a rule's."""
    return f"{base}/{rule}.md" if base and rule.replace("-", "").isalnum() and rule.isascii() else ""


# --- who is affected, and what to do ---------------------------------------------------------------------------------


def devices_of(document: ChangeSetDocument) -> Mapping[str, Sequence[str]]:
    """The devices that need each declared object."""
    basis = document["provisioner"]["basis"] or {}
    return {item["address"]: item["devices"] for item in basis.get("declared", ()) if item.get("devices")}


def site_of(document: ChangeSetDocument, device: str) -> str:
    """The site of a device, "" for none."""
    basis = document["provisioner"]["basis"] or {}
    return str(basis.get("devices", {}).get(device, {}).get("site") or "")


def paths_of(document: ChangeSetDocument) -> Mapping[str, list[PathDocument]]:
    """The sending paths that change, by the address of the object that gives them."""
    found: dict[str, list[PathDocument]] = {}
    for path in document["provisioner"].get("paths", ()):
        if path["state"] in {"opens", "closes"}:
            found.setdefault(path["through"], []).append(path)
    return found


def affected(paths: Sequence[PathDocument]) -> Iterator[str]:
    """Who gains or loses a path by one change, in a phrase each."""
    for verb, side in (("admits", "gains"), ("may stop", "loses")):
        senders = [_sender(p) for p in paths if p[side] and p["kind"] != "mail"]  # type: ignore[literal-required]
        if senders:
            yield f"{verb} {listed(list(dict.fromkeys(senders)))}"


def _sender(path: PathDocument) -> str:
    kind, sender = path["kind"], path["sender"]
    if kind == "inheriting mailboxes":
        count = path["count"]
        return f"{count:,} mailboxes that inherit it" if count is not None else "the mailboxes that inherit it"
    words = {
        "network": sender.removesuffix("/32"),
        "certificate": f"the certificate {sender}",
        "domain": f"mail of {sender} from elsewhere",
        "direct send": "direct send",
        "application": f"the application {sender}",
    }
    return words.get(kind, sender)


@dataclass(frozen=True, slots=True)
class Task:
    """What a person must do besides approving: a sentence, with the DNS records or the command that it takes."""

    what: str
    records: tuple[RecordDocument, ...] = ()
    command: str = ""


_CONSENT = "APPLICATION-CONSENT"


def tasks(document: ChangeSetDocument) -> list[Task]:
    """DNS records to publish and consents to grant, in this order."""
    found = []
    records = tuple(figures.records(pending(document)))
    if records:
        found.append(Task("Publish these DNS records. The changes that need them wait until DNS has them.", records))
    consents = (f for f in document["provisioner"]["findings"] if f["rule"] == _CONSENT and not f["waived"])
    return [*found, *(Task(f"Grant admin consent: {f['summary']}", command=f["hint"]) for f in consents)]


# --- groups ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """Changes that belong together: of the devices of one site, of one device, or of one type."""

    title: str
    changes: tuple[ChangeDocument, ...]


def groups(document: ChangeSetDocument) -> list[Group]:
    """The changes by site and device, then by type; each group and the list of groups worst first."""
    users = devices_of(document)
    found: dict[str, list[ChangeDocument]] = {}
    for change in worst_first(document):
        found.setdefault(_title(document, change, users.get(change["address"], ())), []).append(change)
    return [Group(title, tuple(changes)) for title, changes in found.items()]


def _title(document: ChangeSetDocument, change: ChangeDocument, devices: Sequence[str]) -> str:
    sites = sorted({site_of(document, name) for name in devices})
    if len(sites) == 1 and sites[0]:
        return f"Site {sites[0]}"
    if len(devices) == 1:
        return f"Device {devices[0]}"
    return f"{change['type']}"


# --- deletes ---------------------------------------------------------------------------------------------------------


def telling(change: ChangeDocument) -> tuple[list[str], int]:
    """The names of the fields that are shown, and how many are not: of a deletion those that are empty or off."""
    fields = change["provisioner"]["fields"]
    if action(change) != "delete":
        return [f["name"] for f in fields], 0
    shown = [f["name"] for f in fields if f["name"] == "enabled" or f["before"] not in ("", None, False, [])]
    return shown, len(fields) - len(shown)
