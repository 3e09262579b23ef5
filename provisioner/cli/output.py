"""Printing a change set in the format that was asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from provisioner.cli.session import Session


def print_plan(session: Session, document: Mapping[str, Any]) -> None:
    """The document itself, or its text."""
    if session.format == "json":
        session.result(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    else:
        from provisioner.render import text

        session.result(text.render(document, color=session.colored(sys.stdout)))
