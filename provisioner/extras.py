"""Extras of the distribution: which modules each of them brings, and the error of a command that lacks them.

`pyproject.toml` declares the extras; tests/test_extras.py compares. pip does not record which extras were installed, so
the modules decide.
"""

from __future__ import annotations

import importlib.util
import sys

from provisioner import __version__
from provisioner.diagnostics import Diagnostic, InputError

DISTRIBUTION = "exchange-provisioner"

MODULES = {
    "sandbox": ("aiosmtpd", "httptools", "jwt", "psrpcore", "starlette", "trustme", "uvicorn"),
    # pyspnego uses SSPI on Windows, and there its extra installs nothing (its setup metadata).
    "kerberos": () if sys.platform == "win32" else ("gssapi",),
    "credssp": ("requests_credssp",),
    "dns": ("octodns",),
    "fleet": ("dbos", "psycopg", "sqlalchemy"),
    "otel": ("opentelemetry.exporter",),  # the SDK comes with msgraph-sdk
}
"""By extra, the modules that nothing else is certain to install."""


def need(extra: str, what: str) -> None:
    """Raise InputError (exit code 3) unless the extra is installed. `what` is the subject of the message."""
    missing = [name for name in MODULES[extra] if importlib.util.find_spec(name) is None]
    if missing:
        summary = f"{what} needs the extra [{extra}], which is not installed (missing: {', '.join(missing)})"
        raise InputError([Diagnostic("EXTRA-MISSING", summary, f"run {installation(extra)}")])


def installation(extra: str) -> str:
    """The command that adds an extra to this installation.

    With the version pinned, pip takes the installed distribution as it is and asks the index for the extra's libraries
    only (pip, "Dependency Resolution": an installed version that satisfies the requirement is preferred).
    """
    return f'pip install "{DISTRIBUTION}[{extra}]=={__version__}"'
