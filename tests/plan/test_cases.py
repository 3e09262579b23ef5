"""Test files of plans: what they may hold, and how a case is judged by what its plan did."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from provisioner.border import Border
from provisioner.diagnostics import Diagnostic, InputError, Severity
from provisioner.model import Action, Address, Change, ChangeSet, Finding
from provisioner.plan.cases import Case, CaseBody, Result, judge, load

CHECKOUT = """provisioner_test: 1
cases:
  a relay is made:
    given:
      seeds: [seed.json]
      run:
        - { cmdlet: Set-CASMailbox, parameters: { Identity: a@contoso.com } }
    plan: ../prod
    variables: { hq: 198.51.100.7 }
    allow: [IP-DOCUMENTATION]
    expect:
      changes: { inbound_connector/hq: create }
      after:
        - { cmdlet: Get-InboundConnector, has: { Enabled: true } }
  nothing is expected:
    plan: "provisioner: 1"
    expect: {}
"""


def written(folder: Path, text: str, name: str = "relay.test.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def mistakes_of(file: Path, border: Border) -> list[Diagnostic]:
    with pytest.raises(InputError) as refusal:
        load(file, border)
    return list(refusal.value.diagnostics)


def test_the_cases_of_a_file_come_in_its_order(tmp_path: Path) -> None:
    file = written(tmp_path, CHECKOUT)
    first, second = load(file, Border((tmp_path,)))
    assert (first.file, first.name, second.name) == (file, "a relay is made", "nothing is expected")
    assert first.body["given"]["run"] == [{"cmdlet": "Set-CASMailbox", "parameters": {"Identity": "a@contoso.com"}}]
    assert first.body["expect"]["changes"] == {"inbound_connector/hq": "create"}
    assert first.body["variables"] == {"hq": "198.51.100.7"}
    assert second.body == {"plan": "provisioner: 1", "expect": {}}


CASE = "provisioner_test: 1\ncases:\n  c:\n    plan: p\n    expect: "


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("provisioner_test: 2\ncases: {}\n", 1, "provisioner_test"),
        ("provisioner_test: 1\n", 1, "cases"),
        (CASE + "{ changes: { inbound_connector/hq: replace } }\n", 5, "replace"),
        (CASE + "{ finding: [IP-PRIVATE] }\n", 5, "finding"),
        (CASE + '{ applies: "no" }\n', 5, "applies"),
        (CASE + "{ after: [{ has: { Enabled: true } }] }\n", 5, "cmdlet"),
        (CASE + "{ after: [{ cmdlet: Get-X, none: false }] }\n", 5, "none"),
        ("provisioner_test: 1\ncases:\n  c: { expect: {} }\n", 3, "plan"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, line: int, word: str) -> None:
    file = written(tmp_path, text)
    (told,) = mistakes_of(file, Border((tmp_path,)))
    assert word in told.summary
    assert told.location is not None
    assert (told.location.file, told.location.line) == (str(file), line)


def test_every_mistake_is_told_in_one_pass(tmp_path: Path) -> None:
    file = written(tmp_path, CASE + "{ finding: [] }\n  d: { expect: {} }\nextra: 1\n")
    assert len(mistakes_of(file, Border((tmp_path,)))) == 3


def test_what_is_no_yaml_and_what_is_empty_is_refused(tmp_path: Path) -> None:
    border = Border((tmp_path,))
    (broken,) = mistakes_of(written(tmp_path, "cases: [\n"), border)
    assert broken.location is not None
    (empty,) = mistakes_of(written(tmp_path, ""), border)
    assert empty.id == "YAML-EMPTY"


def test_a_file_that_does_not_exist_or_is_a_folder_is_told_with_what_to_name(tmp_path: Path) -> None:
    border = Border((tmp_path,))
    for path, reason in ((tmp_path / "no.test.yaml", "No such file"), (tmp_path, "directory")):
        (told,) = mistakes_of(path, border)
        assert told.id == "TEST-FILE"
        assert told.summary.startswith(f"{path} cannot be read: ")
        assert reason in told.summary or "ordinary" in told.summary
        assert "*.test.yaml" in told.hint


def test_a_file_outside_of_the_checkout_is_not_read_unless_it_is_allowed(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    file = written(tmp_path, CHECKOUT)
    (told,) = mistakes_of(file, Border((inside,)))
    assert (told.id, "--allow-outside-files" in told.hint) == ("PLAN-OUTSIDE", True)
    assert len(load(file, Border((inside,), lifted=True))) == 2


@pytest.mark.parametrize("text", ["password: [hunter2\n", "provisioner_test: hunter2\n"])
def test_what_lies_outside_is_not_quoted_even_where_it_may_be_read(tmp_path: Path, text: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (told,) = mistakes_of(written(tmp_path, text), Border((inside,), lifted=True))
    assert "not quoted" in told.summary
    assert "hunter2" not in repr(told)


# --- how a case is judged --------------------------------------------------------------------------------------------

HQ, ERP = Address("inbound_connector", "hq"), Address("smtp_auth", "erp@contoso.com")
GUARD = Finding("IP-PRIVATE", Severity.ERROR, "a private address", blocks="apply")
WAIVED = Finding("IP-DOCUMENTATION", Severity.WARNING, "a documentation address", waived="a test")
PLANNED = ChangeSet(
    "contoso.onmicrosoft.com",
    "id",
    "",
    (
        Change(HQ, Action.CREATE, None, None),
        Change(ERP, Action.UPDATE, None, None),
        Change(Address("smtp_auth", "organization"), Action.NO_OP, None, None),
    ),
    (GUARD, WAIVED),
)
BOTH = {"inbound_connector/hq": "create", "smtp_auth/erp@contoso.com": "update"}


def judged(expect: dict[str, Any], **result: Any) -> list[str]:
    case = Case(Path("a.test.yaml"), "a", cast("CaseBody", {"plan": "p", "expect": expect}))
    return list(judge(case, Result(PLANNED, **result)))


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ({}, []),
        ({"changes": BOTH}, []),
        (
            {"changes": {**BOTH, "inbound_connector/hq": "delete"}},
            ["inbound_connector/hq: delete was expected, create is planned"],
        ),
        (
            {"changes": {**BOTH, "smtp_auth/organization": "update"}},
            ["smtp_auth/organization: update was expected, no change is planned"],
        ),
        (
            {"changes": {"inbound_connector/hq": "create"}},
            ["smtp_auth/erp@contoso.com: update is planned and was not expected"],
        ),
        ({"findings": ["IP-PRIVATE"]}, []),
        (
            {"findings": ["IP-DOCUMENTATION"]},
            ["IP-DOCUMENTATION was expected and not found (found: IP-PRIVATE)"],
        ),
        ({"applies": False}, ["it can be applied, and it was expected that it cannot"]),
        ({"applies": True}, []),
    ],
)
def test_what_was_planned_is_compared_with_what_was_expected(expect: dict[str, Any], told: list[str]) -> None:
    assert judged(expect) == told


def test_where_nothing_was_found_it_says_so() -> None:
    case = Case(Path("a.test.yaml"), "a", {"plan": "p", "expect": {"findings": ["X"]}})
    planned = ChangeSet("contoso.onmicrosoft.com", "id", "", ())
    assert list(judge(case, Result(planned))) == ["X was expected and not found (found: nothing)"]


def test_a_refusal_is_expected_or_it_is_not() -> None:
    assert judged({"applies": False}, refused=("IP-PRIVATE",)) == []
    assert judged({}, refused=("IP-PRIVATE", "X")) == ["it cannot be applied: IP-PRIVATE, X"]


def test_an_apply_that_did_not_finish_or_left_changes_fails_every_case() -> None:
    told = judged({}, unfinished=("inbound_connector/hq: failed",), left=("smtp_auth/x",))
    assert told == ["not finished: inbound_connector/hq: failed", "still planned after the apply: smtp_auth/x"]


@pytest.mark.parametrize(
    ("wanted", "rows", "told"),
    [
        ({"none": True}, [], []),
        ({"none": True}, [{"Name": "hq"}], ["Get-X returns 1 rows where none was expected"]),
        ({}, [], ["Get-X returns nothing"]),
        ({}, [{"Name": "hq"}], []),
        ({"has": {"Enabled": True}}, [], ["Get-X returns nothing"]),
        ({"has": {"Enabled": True}}, [{"Enabled": True, "Name": "hq"}], []),
        ({"has": {"Enabled": True}}, [{"Enabled": False}], ["Get-X: Enabled is False, and True was expected"]),
        ({"has": {"Comment": "a", "Name": "hq"}}, [{"Name": "hq"}], ["Get-X: Comment is None, and 'a' was expected"]),
        ({"has": {"Enabled": True}}, [{"Enabled": True}, {"Enabled": False}], []),
    ],
)
def test_the_rows_after_the_apply_are_compared(
    wanted: dict[str, Any], rows: list[dict[str, Any]], told: list[str]
) -> None:
    assert judged({"after": [{"cmdlet": "Get-X", **wanted}]}, rows=[rows]) == told


def test_each_expectation_is_judged_by_its_own_rows() -> None:
    after = [{"cmdlet": "Get-X"}, {"cmdlet": "Get-Y", "none": True}]
    assert judged({"after": after}, rows=[[{"Name": "x"}], []]) == []
    assert judged({"after": after}, rows=[[], [{"Name": "y"}]]) == [
        "Get-X returns nothing",
        "Get-Y returns 1 rows where none was expected",
    ]
