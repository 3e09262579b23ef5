"""An action of its own: what its journal holds, and when nothing more is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.diagnostics import ChangeSetStale, Locked
from provisioner.engine import journal
from provisioner.model import Cmdlet
from provisioner.operations.acting import Acting, acting
from provisioner.operations.context import Silent
from provisioner.operations.state import journal_path
from provisioner.settings import ExactProfile
from provisioner.tenant.connect import TenantIdentity

IDENTITY = TenantIdentity("11111111-1111-4111-8111-111111111111", "contoso.onmicrosoft.com", frozenset())
REQUEST = Cmdlet("Rotate-DkimSigningConfig", {"Identity": "contoso.com"})


def test_nothing_is_sent_once_the_lock_could_be_another_run_s(tmp_path: Path) -> None:
    with journal.Journal.open(tmp_path / "journal.jsonl", "run") as record:
        lost: list[str] = []
        act = Acting(record, lost)
        act.sending("rotating", REQUEST, address='dkim["contoso.com"]')
        lost.append("the lock is not ours any more")
        with pytest.raises(Locked, match="nothing was sent: the lock is not ours"):
            act.sending("rotating", REQUEST, address='dkim["contoso.com"]')


def test_an_error_ends_the_run_in_the_journal_of_the_lock_s_own_run(tmp_path: Path) -> None:
    context = Silent(ExactProfile(), tmp_path)
    with pytest.raises(ChangeSetStale), acting(context, IDENTITY, 0.0) as act:
        raise ChangeSetStale("it moved")
    begin, end = journal.entries(journal_path(IDENTITY.tenant_id, tmp_path))
    assert (begin["run"], end["run"], end["error"]["text"]) == (act.journal.run, act.journal.run, "it moved")
