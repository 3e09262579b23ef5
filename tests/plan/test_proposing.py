"""What is proposed, as text of the plan language: it validates, and asks for what is not known."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from provisioner.model import Desired
from provisioner.plan import document
from provisioner.plan.proposing import Entry, Proposal, beside, text, unanswered
from provisioner.resources import TYPES

KNOWN = {"from": "a@contoso.com", "recipients": "anyone", "supports": {"tls": "1.2", "authentication": ["basic"]}}
SITE = Entry("hq", {"egress_ip_addresses": ["203.0.113.10"]})


def loaded(folder: Path, *texts: str) -> Desired:
    for number, content in enumerate(texts):
        (folder / f"{number}.yaml").write_text(content, encoding="utf-8")
    desired, told = document.read(folder, TYPES, today=datetime.date(2026, 11, 26))
    assert not [d for d in told if str(d.severity) == "error"]
    return desired


def test_a_proposal_validates_and_an_answered_device_stands(tmp_path: Path) -> None:
    open_ = Entry("b", {"from": "b@contoso.com", "supports": {"tls": "1.2"}}, ("seen",), ("owner: who?",))
    written = text(Proposal("Made.", (SITE,), (Entry("a", {**KNOWN, "site": "hq"}), open_)), tenant="contoso.com")
    assert list(loaded(tmp_path, written).devices) == ["a"]
    assert [q.partition(":")[0] for q in unanswered(open_)] == ["recipients", "supports.authentication"]
    # A person removes the marks of comment, and writes the two lines that are asked for.
    stood, of_b = re.sub(r"(?m)^  # ", "  ", written).split("  b:\n")
    of_b = of_b.replace("    from:", "    recipients: organization\n    from:")
    answered = f"{stood}  b:\n{of_b}      authentication: [oauth]\n"
    assert set(loaded(tmp_path, answered).devices) == {"a", "b"}


def test_a_file_without_anything_answered_validates_beside_another(tmp_path: Path) -> None:
    one = text(Proposal("Made.", (), (Entry("b", {"from": "b@contoso.com"}),)))
    other = text(Proposal("Made.", (SITE,), ()), tenant="contoso.com")
    assert not loaded(tmp_path, one, other).devices


def test_what_a_plan_declares_is_left_out_and_its_sites_are_used(tmp_path: Path) -> None:
    declared = loaded(
        tmp_path,
        text(Proposal("", (Entry("york", SITE.body),), (Entry("a", {**KNOWN, "site": "york"}),)), tenant="contoso.com"),
    )
    new = Entry("c", {**KNOWN, "from": ["c@contoso.com"], "site": "hq"})
    again = Entry("other", {**KNOWN, "from": ["z@contoso.com", "a@contoso.com"], "site": "hq"})
    found = beside(Proposal("", (SITE,), (new, again, Entry("A", KNOWN))), declared)
    assert [(d.name, d.body["site"]) for d in found.devices] == [("c", "york")]
    assert not found.sites
    assert found.passed_over == ("other: the plan declares device/a already", "A: the plan declares device/a already")


def test_another_site_of_the_same_name_gets_another_name(tmp_path: Path) -> None:
    declared = loaded(tmp_path, text(Proposal("", (SITE,), ()), tenant="contoso.com"))
    elsewhere = Entry("HQ", {"egress_ip_addresses": ["203.0.113.99"]})
    found = beside(Proposal("", (elsewhere,), (Entry("a", {**KNOWN, "site": "HQ"}),)), declared)
    assert [s.name for s in found.sites] == [found.devices[0].body["site"]] == ["HQ-2"]


def test_words_of_others_act_on_nothing(tmp_path: Path) -> None:
    nasty = "##[group]x\n::error::\x1b[31m"
    written = text(
        Proposal(nasty, (), (Entry("a", {**KNOWN, "description": nasty}, (nasty,), (nasty,)),)), tenant="c.com"
    )
    assert "##[" not in written
    assert "\x1b" not in written
    assert not re.search(r"(?m)^\s*::", written)
    assert loaded(tmp_path, written).devices["a"].description == nasty
