"""Every rule is documented, and no page speaks of a rule that is gone."""

from pathlib import Path

from provisioner.rules import RULES

PAGES = Path(__file__).parents[2] / "docs" / "rules"


def test_every_rule_has_its_page_and_every_page_its_rule() -> None:
    assert {p.stem for p in PAGES.glob("*.md")} == set(RULES)


def test_a_page_names_its_rule_in_the_title_and_says_what_to_do() -> None:
    for page in PAGES.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.stem}\n")
        assert "\n## What to do\n" in text
