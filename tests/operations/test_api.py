"""The public API: every name is documented and loaded when it is used, and the page's example runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import provisioner
from provisioner import operations

PAGE = Path(__file__).parents[2] / "docs" / "python-api.md"
SLOW = ("msgraph", "azure", "aiohttp", "httpx", "pypsrp", "provisioner.sandbox")


def test_every_name_of_all_can_be_had_and_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    documented = set(re.findall(r"`(\w+)[`(]", page)) | set(re.findall(r"`\w+\([^`]*\)`, `(\w+)\(", page))
    assert [name for name in provisioner.__all__ if getattr(provisioner, name, None) is None] == []
    assert sorted(set(provisioner.__all__) - documented) == []
    assert set(provisioner.__all__) <= set(dir(provisioner))


def test_every_use_case_of_operations_can_be_had() -> None:
    assert [name for name in operations.__all__ if not callable(getattr(operations, name, None))] == []


@pytest.mark.parametrize("module", [provisioner, operations])
def test_another_name_is_an_attribute_error(module: object) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'entomb'"):
        _ = module.entomb  # type: ignore[attr-defined]


def test_importing_the_package_loads_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import provisioner; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "provisioner" in done.stdout
    assert not [name for name in ("provisioner.", "pydantic", "yaml", "click") if name in done.stdout]


def test_planning_functions_load_no_client_library_before_they_connect() -> None:
    code = "import provisioner, sys; provisioner.plan_changes, provisioner.open_sandbox; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [m for m in done.stdout.split() if any(m == s or m.startswith(f"{s}.") for s in SLOW)]


def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    program = tmp_path / "example.py"
    program.write_text(example, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert 'inbound_connector["hq"] will be created' in done.stdout
