"""The option that rewrites the files under tests/golden/, and the fixture that compares with them."""

from __future__ import annotations

import contextlib
import gc
import importlib
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.generated import drawn, register_profiles

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"

register_profiles()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden/ with what comes out now")
    parser.addoption("--draw", action="store_true", help="of tests marked one_of or part run what the seed draws")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect no garbage among the modules and tests, which all stay to the end."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--draw"):
        kept = drawn(items, config.getoption("randomly_seed"))
        config.hook.pytest_deselected(items=sorted(set(items) - set(kept), key=lambda item: item.nodeid))
        items[:] = kept


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C reaches what the tests start, even where they run in the background of a shell, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = getattr(config, "workerinput", None)
    if worker and config.args_source is config.ArgsSource.TESTPATHS:
        _load_tests(int(worker["workerid"].removeprefix("gw")), worker["workercount"])


def _load_tests(worker: int, workers: int) -> None:
    """Import all test modules, each worker from another one on: where they are not compiled yet, each compiles a part.

    Otherwise all would compile each module at the same time. What cannot be imported is told when it is collected.
    """
    names = [".".join(p.relative_to(HERE.parent).with_suffix("").parts) for p in sorted(HERE.rglob("test_*.py"))]
    first = len(names) * worker // workers
    for name in names[first:] + names[:first]:
        with warnings.catch_warnings(), contextlib.suppress(Exception, pytest.skip.Exception):
            warnings.simplefilter("error")
            importlib.import_module(name)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)` fails unless `text` is what tests/golden/<name> holds; the option writes it there."""

    def compare(name: str, text: str) -> None:
        file = GOLDEN / name
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="")
        assert file.exists(), f"{file} is missing: write it with --update-golden, and read it"
        assert text == file.read_text(encoding="utf-8")

    return compare
