"""Terraform's flow for the mail-sending part of Exchange Online: a plan in git, a change set, an apply.

What `__all__` names is the public API (docs/python-api.md). A name is loaded when it is first used, so that `import
provisioner` costs nothing. The functions are for code without an event loop; the coroutines behind them, for code with
one, are `plan`, `apply`, `drift`, `export`, `rollback` and `doctor` of `provisioner.operations`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from provisioner.clock import SYSTEM, Clock
    from provisioner.diagnostics import (
        ChangeSetStale,
        Declined,
        Diagnostic,
        GuardRefused,
        InputError,
        Locked,
        NotFound,
        PermissionMissing,
        ProvisionerError,
        SignInRefused,
        TenantError,
        TenantIncomplete,
    )
    from provisioner.engine import Event, Outcome, Result
    from provisioner.model import Address, Change, ChangeSet, Finding
    from provisioner.operations.applying import Applied, ApplyOptions, Saved, Terms
    from provisioner.operations.context import Context, Silent
    from provisioner.operations.drifting import Drift, Drifted
    from provisioner.operations.examining import Check, Examination
    from provisioner.operations.loading import Loaded, Selection
    from provisioner.operations.program import (
        apply_changes,
        doctor,
        export_plan,
        find_drift,
        load_changes,
        load_plan,
        load_profile,
        plan_changes,
        plan_rollback,
        render_changes,
        run_tests,
        save_changes,
    )
    from provisioner.operations.sandboxes import Sandbox, open_sandbox
    from provisioner.operations.testing import Verdict
    from provisioner.operations.undoing import Rollback
    from provisioner.plan.export import Export
    from provisioner.plan.variables import Given
    from provisioner.settings import Profile

__all__ = [
    "SYSTEM",
    "Address",
    "Applied",
    "ApplyOptions",
    "Change",
    "ChangeSet",
    "ChangeSetStale",
    "Check",
    "Clock",
    "Context",
    "Declined",
    "Diagnostic",
    "Drift",
    "Drifted",
    "Event",
    "Examination",
    "Export",
    "Finding",
    "Given",
    "GuardRefused",
    "InputError",
    "Loaded",
    "Locked",
    "NotFound",
    "Outcome",
    "PermissionMissing",
    "Profile",
    "ProvisionerError",
    "Result",
    "Rollback",
    "Sandbox",
    "Saved",
    "Selection",
    "SignInRefused",
    "Silent",
    "TenantError",
    "TenantIncomplete",
    "Terms",
    "Verdict",
    "__version__",
    "apply_changes",
    "doctor",
    "export_plan",
    "find_drift",
    "load_changes",
    "load_plan",
    "load_profile",
    "open_sandbox",
    "plan_changes",
    "plan_rollback",
    "render_changes",
    "run_tests",
    "save_changes",
]

_HOMES = {
    "clock": ("Clock", "SYSTEM"),
    "diagnostics": (
        "ChangeSetStale",
        "Declined",
        "Diagnostic",
        "GuardRefused",
        "InputError",
        "Locked",
        "NotFound",
        "PermissionMissing",
        "ProvisionerError",
        "SignInRefused",
        "TenantError",
        "TenantIncomplete",
    ),
    "engine": ("Event", "Outcome", "Result"),
    "model": ("Address", "Change", "ChangeSet", "Finding"),
    "operations.applying": ("Applied", "ApplyOptions", "Saved", "Terms"),
    "operations.context": ("Context", "Silent"),
    "operations.drifting": ("Drift", "Drifted"),
    "operations.examining": ("Check", "Examination"),
    "operations.loading": ("Loaded", "Selection"),
    "operations.program": (
        "apply_changes",
        "doctor",
        "export_plan",
        "find_drift",
        "load_changes",
        "load_plan",
        "load_profile",
        "plan_changes",
        "plan_rollback",
        "render_changes",
        "run_tests",
        "save_changes",
    ),
    "operations.sandboxes": ("Sandbox", "open_sandbox"),
    "operations.testing": ("Verdict",),
    "operations.undoing": ("Rollback",),
    "plan.export": ("Export",),
    "plan.variables": ("Given",),
    "settings": ("Profile",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """A public name, from the module that defines it (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
