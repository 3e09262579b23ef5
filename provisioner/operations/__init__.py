"""The use cases: what a command, a plan test or a program composes from reading, planning and applying.

Each takes a `Context` (profile, variables, clock, where to report) and knows no command line. What talks to a tenant is
a coroutine that signs in by itself, or takes a `Tenant` that is open already; `connection.run` runs one from code
without an event loop. The one composition of the plan pipeline is `planning.plan_prepared`.

The names of `__all__` are loaded when they are first used: what stops a sandbox needs none of the engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioner.operations.applying import apply
    from provisioner.operations.connection import Tenant, run, signed_in
    from provisioner.operations.drifting import drift
    from provisioner.operations.examining import doctor
    from provisioner.operations.exporting import export
    from provisioner.operations.planning import plan
    from provisioner.operations.testing import test
    from provisioner.operations.undoing import rollback

__all__ = ["Tenant", "apply", "doctor", "drift", "export", "plan", "rollback", "run", "signed_in", "test"]

_HOME_OF = {
    "Tenant": "connection",
    "apply": "applying",
    "doctor": "examining",
    "drift": "drifting",
    "export": "exporting",
    "plan": "planning",
    "rollback": "undoing",
    "run": "connection",
    "signed_in": "connection",
    "test": "testing",
}


def __getattr__(name: str) -> object:
    """A use case, from the module that defines it (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
