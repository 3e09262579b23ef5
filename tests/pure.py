"""A pytest plugin for the pure unit tests (`-p tests.pure`): a socket or a process in one of them is an error.

Pure are the tests of the packages that do no input or output by the import contract, in the folders of those names.
What in these folders needs a tenant or a program is marked `impure`.
"""

from __future__ import annotations

import sys

import pytest

PACKAGES = ("changes", "devices", "diagnosis", "mail_dns", "mailflow", "model", "plan", "render", "resources", "rules")
_FORBIDDEN = frozenset({"socket.bind", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.fork"})


def pytest_configure(config: pytest.Config) -> None:
    sys.addaudithook(_refuse)
    config.option.markexpr = "not long and not impure"


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _FORBIDDEN:
        raise RuntimeError(f"a pure test did {event}{arguments}")
