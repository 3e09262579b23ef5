"""What is kept outside the checkout, a folder for each tenant: the journal and the locks of apply.

Two checkouts are one tenant, so neither lies in a checkout.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from provisioner import platforms


def state_folder() -> Path:
    """Where it lies: PROVISIONER_STATE_DIR, or the user's state folder of this system."""
    named = os.environ.get("PROVISIONER_STATE_DIR")
    if named:
        return Path(named)
    return platforms.state_base() / "provisioner"


def tenant_folder(tenant_id: str, folder: Path | None = None) -> Path:
    """The folder of one tenant, in the user's state folder or another one."""
    return (folder or state_folder()) / word(tenant_id)


def journal_path(tenant_id: str, folder: Path | None = None) -> Path:
    """The journal of one tenant."""
    return tenant_folder(tenant_id, folder) / "journal.jsonl"


def journals(folder: Path | None = None) -> Sequence[Path]:
    """The journals of every tenant that was ever applied from here."""
    return sorted((folder or state_folder()).glob("*/journal.jsonl"))


def word(text: str) -> str:
    """A name that is one path component and one part of a git ref."""
    return "".join(c if c.isalnum() or c == "-" else "_" if c != "." else c for c in text).strip(".") or "_"
