"""Every rule is documented, and no page speaks of a rule that is gone."""

from pathlib import Path

import pytest

from provisioner import rules
from provisioner.diagnostics import Severity
from provisioner.model import Rule
from provisioner.rules import RULES, rule_of

PAGES = Path(__file__).parents[2] / "docs" / "rules"


def test_every_rule_has_its_page_and_every_page_its_rule() -> None:
    assert {p.stem for p in PAGES.glob("*.md")} == set(RULES)


def test_a_page_names_its_rule_in_the_title_and_says_what_to_do() -> None:
    for page in PAGES.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.stem}\n")
        assert "\n## What to do\n" in text


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_page_states_the_severity_of_its_rule_and_what_it_stops(rule: Rule) -> None:
    stated = (PAGES / f"{rule.id}.md").read_text(encoding="utf-8").splitlines()[2].strip("*")
    severity = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}[rule.severity]
    assert stated.startswith(severity)
    assert ("stops apply" in stated) is (rule.blocks in {"apply", "precondition"})
    assert ("plan" in stated) is (rule.blocks == "input")
    assert ("cannot be allowed" in stated) is not rule.waivable
    assert ("on the command line only" in stated) is (rule.waivable and not rule.waivable_in_plan)
    assert ("holds a change back" in stated) is (rule.blocks == "change")
    assert rule.blocks in {"", "input", "apply", "precondition", "change"}


def test_a_type_s_own_rule_comes_before_the_general_one_of_its_name() -> None:
    own = Rule("PROTECTED", Severity.INFO, "", "The type's own.")
    assert rule_of((own,), "PROTECTED") is own
    assert rule_of((own,), "CREATE-ONLY") is RULES["CREATE-ONLY"]
    with pytest.raises(KeyError):
        rule_of((own,), "NO-SUCH")


def test_the_rules_are_in_the_order_of_their_names() -> None:
    assert list(RULES) == sorted(RULES)
    assert all(name == rule.id for name, rule in RULES.items())


def test_every_name_that_the_package_offers_exists() -> None:
    assert [name for name in rules.__all__ if not hasattr(rules, name)] == []
    assert rules.__all__ == sorted(rules.__all__)
