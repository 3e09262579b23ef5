"""What every output says besides the changes: where, who is affected, what to do, which findings are news."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from provisioner.changes import changeset
from provisioner.diagnostics import Severity
from provisioner.model import Action, Address, Await, Change, ChangeSet, Finding, Record, figures
from provisioner.model.document import ChangeSetDocument
from provisioner.model.paths import SendingPath
from provisioner.render import review, text
from provisioner.render.review import Shown
from provisioner.render.wrapping import columns, wrapped
from provisioner.resources.dkim import Dkim
from provisioner.resources.inbound_connector import InboundConnector
from tests.changes.whole import change_set
from tests.render.documents import document, empty

CHANGED = Change(Address("inbound_connector", "a"), Action.DELETE, InboundConnector("a", comment="x"), None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ChangeSetDocument:
    return changeset.to_document(change_set(tmp_path_factory.mktemp("whole")))


def test_the_terminal_names_the_tenant_the_profile_the_plan_and_the_commit(whole: ChangeSetDocument) -> None:
    first = text.render(whole, Shown(profile="prod")).splitlines()[0]
    file = whole["provisioner"]["plan"]["files"][0]
    assert first == f"Tenant contoso.onmicrosoft.com, profile prod, plan {file}, commit abc123 (modified)"
    assert review.asked_about(whole, "prod").startswith("contoso.onmicrosoft.com (profile prod, plan ")
    assert review.asked_about(empty()) == "contoso.onmicrosoft.com"


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ([], ""),
        (["a/b.yaml"], "a/b.yaml"),
        (["a/b/c.yaml", "a/b/d.yaml"], "a/b (2 files)"),
        (["a/x", "b/x"], ". (2 files)"),
    ],
)
def test_a_plan_of_many_files_is_called_by_its_folder(files: list[str], named: str) -> None:
    found = empty()
    found["provisioner"]["plan"]["files"] = files
    assert review.place(found) == named


def test_changes_come_first_then_what_they_amount_to_then_findings(whole: ChangeSetDocument) -> None:
    shown = text.render(whole)
    places = [
        shown.index(words) for words in ("will be", "Plan: ", whole["provisioner"]["summary"]["sentence"], "[SPF-")
    ]
    assert places == sorted(places)


def path(kind: str, sender: str, state: str, **rest: object) -> SendingPath:
    found = SendingPath(kind, sender, "a", ("x",), "anyone", state, gains=state == "opens", loses=state == "closes")
    return dataclasses.replace(found, **rest)  # type: ignore[arg-type]


NETWORK, OTHER = path("network", "192.0.2.1/32", "opens"), path("mailbox", "a@x.com", "closes")
EVERYBODY = path("inheriting mailboxes", "", "closes", count=63)
MAIL = path("mail", 'outbound_connector["bank"]', "closes")


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        ((), "It admits no new sender and may stop no sender."),
        ((NETWORK,), "It admits 1 new sender and may stop no sender."),
        ((NETWORK, OTHER, path("mailbox", "b@x.com", "closes")), "It admits 1 new sender and may stop 2 senders."),
        ((OTHER, OTHER), "It admits no new sender and may stop 1 sender."),
        ((path("mailbox", "a", "opens", gains=False),), "It admits no new sender and may stop no sender."),
        ((EVERYBODY,), "It admits no new sender and may stop 63 mailboxes that inherit SMTP AUTH."),
        (
            (OTHER, dataclasses.replace(EVERYBODY, count=None)),
            "It admits no new sender and may stop 1 sender and the mailboxes that inherit SMTP AUTH.",
        ),
        ((path("direct send", "", "opens"),), "It admits direct send and may stop no sender."),
        ((MAIL,), "It admits no new sender and may stop mail through 1 object."),
        ((OTHER, MAIL), "It admits no new sender and may stop 1 sender and mail through 1 object."),
    ],
)
def test_one_sentence_counts_senders_and_not_changes(paths: tuple[SendingPath, ...], sentence: str) -> None:
    found = changeset.to_document(ChangeSet("t", "id", "us", (), paths=paths))
    assert found["provisioner"]["summary"]["sentence"] == sentence == figures.summary(found)["sentence"]


def test_the_sentence_counts_deletes_and_dns_records() -> None:
    records = tuple(Record(f"selector{n}._domainkey.x.com", "CNAME", "target") for n in (1, 2, 2))
    waits = Change(Address("dkim", "x.com"), Action.CREATE, None, Dkim("x.com", enabled=True), (Await(records),))
    found = changeset.to_document(ChangeSet("t", "id", "us", (CHANGED, waits)))
    ours = found["provisioner"].pop("summary")
    assert (ours["deletes"], ours["dns_records"]) == (1, 2)
    assert ours["sentence"].endswith(", deletes 1 object and waits for 2 DNS records.")
    assert figures.summary(found) == ours, "as of a change set that an earlier version saved"
    assert [r["name"][:9] for r in review.tasks(found)[0].records] == ["selector1", "selector2"]


def about(address: str | None, rule: str = "DEVICE-RISK", summary: str = "old news", **rest: object) -> Finding:
    at = Address(*address.split("/")) if address else None
    return Finding(rule, Severity.WARNING, summary, "fix it", at, **rest)  # type: ignore[arg-type]


def test_findings_about_what_stays_are_a_count_and_all_are_shown_on_demand() -> None:
    findings = (
        about("inbound_connector/a", summary="about the change"),
        about("inbound_connector/b", known=True),
        about("inbound_connector/c", known=True),
        about("inbound_connector/d", "DEVICE-LIMITS", known=True),
        about("inbound_connector/e", "IP-PRIVATE", blocks="apply"),
    )
    found = changeset.to_document(ChangeSet("t", "id", "us", (CHANGED,), findings))
    shown = text.render(found)
    assert "about the change" in shown
    assert "error" not in shown
    assert shown.count("old news") == 1, "what stops apply is always shown"
    assert "apply refuses until this is fixed, or lift it by name: --allow IP-PRIVATE" in shown
    assert "3 findings about what stays as it is: DEVICE-LIMITS, DEVICE-RISK (2). --all-findings shows them." in shown
    assert text.render(found, Shown(all_findings=True)).count("old news") == 4


def test_without_changes_nothing_but_a_count_stands_above(whole: ChangeSetDocument) -> None:
    found = changeset.to_document(
        ChangeSet("t", "id", "us", (), (about(None, known=True), about(None, waived="CHG-1")))
    )
    assert text.render(found).splitlines()[2:] == [
        "No changes. Your infrastructure matches the configuration.",
        "",
        "1 finding about what stays as it is: DEVICE-RISK. --all-findings shows them.",
        "DEVICE-RISK is allowed: CHG-1",
    ]


def test_a_deletion_shows_the_fields_that_matter() -> None:
    gone = InboundConnector(
        "a",
        type="on_premises",
        enabled=False,
        require_tls=False,
        comment="",
        sender_ip_addresses=frozenset({"1.2.3.4/32"}),
    )
    found = changeset.to_document(ChangeSet("t", "id", "us", (dataclasses.replace(CHANGED, before=gone),)))
    shown = text.render(found)
    assert re.findall(r"- (\w+) +=", shown) == ["name", "type", "enabled", "sender_ip_addresses"]
    assert "# (2 empty or default attributes hidden)" in shown


def test_concise_is_a_line_for_each_change(whole: ChangeSetDocument) -> None:
    shown = text.render(whole, Shown(concise=True)).splitlines()
    changes = [line for line in shown if re.match(r"  [-+~] ", line)]
    assert len(changes) == sum(c["change"]["actions"] != ["no-op"] for c in whole["resource_changes"])
    assert '  - inbound_connector["old"] (deletes)' in changes
    assert whole["provisioner"]["summary"]["sentence"] in shown


def test_each_danger_has_its_own_colour() -> None:
    words = ("deletes", "widens exposure", "can stop mail")
    change = dataclasses.replace(CHANGED, consequences=words)
    shown = text.render(changeset.to_document(ChangeSet("t", "id", "us", (change,))), Shown(color=True))
    colours = {word: re.search(rf"\x1b\[([0-9;]+)m{word}", shown) for word in words}
    assert len({found[1] for found in colours.values() if found}) == 3


@pytest.mark.parametrize("width", [40, 80, 110])
def test_lines_break_between_words_and_never_inside(whole: ChangeSetDocument, width: int) -> None:
    plain, shown = text.render(whole, Shown(color=True)), text.render(whole, Shown(color=True, width=width))
    assert [w for w in shown.split() if w != "#"] == [w for w in plain.split() if w != "#"]
    for line in shown.splitlines():
        assert columns(line) <= width or len(line.split()) <= 3, line


def test_what_stands_beside_a_label_goes_on_beside_it() -> None:
    assert wrapped("\x1b[33mwarning\x1b[0m  one two three four", 20) == (
        "\x1b[33mwarning\x1b[0m  one two\n      three four"
    ), "a third of the width at most"
    assert wrapped("  Server     a name, not an address", 30).splitlines() == [
        "  Server     a name, not an",
        "          address",
    ]
    assert wrapped("ok  one two three", 20) == "ok  one two three"
    assert wrapped("  Authority    https://login.example/x", 24) == "  Authority    https://login.example/x"


def test_a_comment_goes_on_as_a_comment_and_what_is_indented_stays_so() -> None:
    assert wrapped("  # one two three four five six", 24) == "  # one two three four\n  # five six"
    assert wrapped("  = hint: one two three four", 24) == "  = hint: one two three\n        four"
    assert wrapped("a " + "x" * 50 + " b", 20) == "a\n    " + "x" * 50 + "\n    b"
    assert wrapped("日本 日本 日本 日本 日本", 20) == "日本 日本 日本 日本\n    日本"
    assert wrapped("one two", None) == "one two"


def test_the_command_to_apply_is_exact_and_quoted() -> None:
    found = document()
    assert review.apply_command(found, Shown()) == "", "a guard stands"
    found["applyable"] = True
    digest = found["provisioner"]["digest"]
    shown = Shown(profile="prod", file="my changes.json")
    wanted = f"provisioner --profile prod apply 'my changes.json' --expect-digest {digest}"
    assert review.apply_command(found, shown) == wanted


def test_a_rollback_speaks_of_undoing(tmp_path: Path) -> None:
    found = changeset.to_document(change_set(tmp_path))
    found["provisioner"]["basis"]["undoes"] = "43b32c6ce545"  # type: ignore[index]
    found["resource_changes"] = []
    shown = text.render(found)
    assert "Your infrastructure matches" not in shown
