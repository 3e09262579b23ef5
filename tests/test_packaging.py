"""The metadata of the distribution: classifiers, and links and URLs that lead somewhere (scripts/hatch_build.py)."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from provisioner import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HOME = "https://git.example/mail/provisioner"
FILES = f"{HOME}/blob/v1.2.3"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "scripts" / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def targets(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", text)


def hook(build: ModuleType) -> dict[str, object]:
    metadata: dict[str, object] = {}
    build.CustomMetadataHook(str(ROOT), {}).update(metadata)
    return metadata


def test_the_links_of_the_readme_lead_to_files() -> None:
    inside = [target for target in targets(README) if not target.startswith(("https://", "#"))]
    assert len(inside) > 20
    assert [target for target in inside if not (ROOT / target.partition("#")[0]).exists()] == []


def anchors(page: Path) -> set[str]:
    """The headings of a page as a link names them."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_links_of_the_pages_lead_to_pages_and_headings() -> None:
    """A site made of docs/ has nothing else: a link that leaves the folder leads nowhere there."""
    folder, wrong, seen = ROOT / "docs", [], 0
    for page in folder.rglob("*.md"):
        for target in targets(page.read_text(encoding="utf-8")):
            if target.startswith(("https://", "http://")):
                continue
            path, _, anchor = target.partition("#")
            to = (page.parent / path).resolve() if path else page
            seen += 1
            there = to.is_relative_to(folder) and to.exists()
            if not there or (anchor and anchor not in anchors(to)):
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
    assert wrong == []
    assert seen > 50


def test_links_become_absolute_and_others_stay(build: ModuleType) -> None:
    text = "[a](docs/a.md#b) [c](https://c.example/d) [e](#f) ![g](h.png)"
    absolute = build.absolute(text, FILES)
    assert absolute == f"[a]({FILES}/docs/a.md#b) [c](https://c.example/d) [e](#f) ![g]({FILES}/h.png)"
    assert build.absolute("[a](docs/a.md), [c](https://c.example/d)", "") == "a, [c](https://c.example/d)"


def test_a_release_has_urls_and_no_relative_link(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_URL", f"{HOME}/")
    metadata = hook(build)
    files = f"{HOME}/blob/v{__version__}"
    assert metadata["urls"] == {
        "Source": HOME,
        "Documentation": f"{files}/docs",
        "Changelog": f"{files}/CHANGELOG.md",
        "Issues": f"{HOME}/issues",
    }
    readme = metadata["readme"]
    assert isinstance(readme, dict)
    assert readme["content-type"] == "text/markdown"
    assert len(targets(readme["text"])) == len(targets(README))
    assert all(target.startswith("https://") for target in targets(readme["text"]))


def test_without_a_home_nothing_is_invented(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROJECT_URL", raising=False)
    metadata = hook(build)
    assert set(metadata) == {"readme"}
    readme = metadata["readme"]
    assert isinstance(readme, dict)
    assert [target for target in targets(readme["text"]) if not target.startswith("https://")] == []
    assert "Each has a page among the rules." in readme["text"]


@pytest.mark.parametrize(
    "home", ["http://git.example/a/b", "https://git.example", "git@git.example:a/b", "https://x/a b/c"]
)
def test_a_home_that_is_none_is_refused(build: ModuleType, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("PROJECT_URL", home)
    with pytest.raises(ValueError, match="PROJECT_URL"):
        hook(build)


def test_the_classifiers_name_the_pythons_that_the_workflow_runs() -> None:
    named = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)}
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    assert named == set(workflow["jobs"]["suite"]["strategy"]["matrix"]["python"])
    assert min(named, key=lambda version: int(version.partition(".")[2])) == PROJECT["requires-python"].lstrip(">=")
