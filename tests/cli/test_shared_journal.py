"""CI jobs that keep nothing but a shared journal: what one has done, the next one knows.

Every job has a home folder, a folder for temporary files and a checkout of its own, all of them new. Between two jobs
there is only the shared place: a folder, or a bare git repository.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine import sharing
from provisioner.engine.journal import Journal
from provisioner.engine.sharing import FolderJournal, FolderShare, GitJournal, GitShare, Share
from tests.cli.in_process import said_so_far
from tests.cli.shop import HEADER, Shop, open_shop
from tests.clocks import until
from tests.local_tenant import LocalTenant

pytestmark = pytest.mark.one_of("jobs", "kind")

BOTH = "smtp_auth: { mailboxes: { erp@contoso.com: enabled, fax@contoso.com: enabled } }\n"
NONE = "smtp_auth: { organization: disabled }\n"
KINDS = ["folder", "git"]
FOLDER_FIRST = pytest.mark.parametrize("jobs", ["folder", pytest.param("git", marks=pytest.mark.long)], indirect=True)
"""For what git does the same way: each of its requests is several processes."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


@dataclass
class Jobs:
    """Jobs of one pipeline, which share a journal in `place`."""

    shop: Shop
    folder: Path
    place: Path
    setting: str
    count: int = 0

    def job(self, body: str = BOTH, **environment: str) -> Shop:
        """A new runner with a checkout of the plan. The profile comes from the runner's own settings."""
        self.count += 1
        place = self.folder / f"job-{self.count}"
        home, checkout = place / "home", place / "checkout"
        for folder in (home / ".config" / "provisioner", checkout, place / "tmp"):
            folder.mkdir(parents=True)
        profile = (self.shop.folder / ".provisioner" / "profiles" / "sandbox.toml").read_text()
        (home / ".config" / "provisioner" / "provisioner.toml").write_text(profile)
        own = {"HOME": str(home), "TMPDIR": str(place / "tmp"), "PROVISIONER_JOURNAL": self.setting}
        ours = {"PROVISIONER_STATE_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"}
        kept = {name: value for name, value in self.shop.environment.items() if name not in ours}
        found = _Job(checkout, {**kept, **own, **environment}, self.shop)
        (checkout / "plan.yaml").write_text(HEADER + body)
        return found

    def held(self, job: Shop) -> subprocess.Popen[str]:
        """An apply, as a program, whose first write waits for an answer until `shop.release`."""
        self.shop.hold("Set-CASMailbox")
        process = job.begin("--profile", "sandbox", "apply", "plan.yaml", "--auto-approve")
        self.shop.wait_until_held()
        return process

    @property
    def is_git(self) -> bool:
        return self.setting.startswith("git:")


class _Job(Shop):
    """A runner that reaches the tenant of a shop."""

    def __init__(self, folder: Path, environment: dict[str, str], shop: Shop) -> None:
        self._shop = shop
        super().__init__(folder, environment)

    @property
    def tenant(self) -> LocalTenant:
        return self._shop.tenant


@pytest.fixture(params=KINDS)
def jobs(request: pytest.FixtureRequest, shop: Shop, tmp_path: Path) -> Iterator[Jobs]:
    shop.reset()
    place = tmp_path / "shared"
    if request.param == "git":
        subprocess.run(["git", "init", "-q", "--bare", str(place)], check=True)
    yield Jobs(shop, tmp_path, place, f"{request.param}:{place}")
    shop.release()


def switches(shop: Shop) -> tuple[bool | None, bool | None]:
    rows = {r["PrimarySmtpAddress"]: r["SmtpClientAuthenticationDisabled"] for r in shop.tenant.rows("CASMailbox")}
    return rows["erp@contoso.com"], rows["fax@contoso.com"]


def released(job: Shop) -> None:
    """Release the lock that a killed job still holds. To see it stand still takes git a hundred looks."""
    held = json.loads(job.on_tenant("lock", "status", "--format", "json").stdout)
    (id_,) = {facts["id"] for facts in held.values() if facts}
    assert job.on_tenant("lock", "release", id_).returncode == 0


# --- one after the other ---------------------------------------------------------------------------------------------


def test_what_one_job_applied_the_next_ones_know(jobs: Jobs, shop: Shop) -> None:
    planning = jobs.job()
    planned = planning.on_tenant("plan", "plan.yaml", "-o", "changes.json")
    assert planned.returncode == 0, planned.stderr
    name, *digest = planning.reviewed("changes.json")

    applying = jobs.job()
    (applying.folder / name).write_bytes((planning.folder / name).read_bytes())
    applied = applying.on_tenant("apply", name, *digest)
    assert applied.returncode == 0, applied.stderr
    assert switches(shop) == (False, False)

    shop.tenant.cmdlet("Set-CASMailbox", Identity="fax@contoso.com", SmtpClientAuthenticationDisabled=True)
    nightly = jobs.job()
    drift = nightly.on_tenant("drift", "plan.yaml", "--format", "json")
    assert drift.returncode == 2, drift.stderr
    (item,) = json.loads(drift.stdout)["drift"]
    (run,) = json.loads(nightly.on_tenant("history", "list", "--format", "json").stdout)
    assert (item["address"], item["outside"]) == ('smtp_auth["fax@contoso.com"]', True)
    assert item["last_applied"]["run"] == run["run"]
    assert (run["ended"], run["results"]) == (True, {"done": 2})
    verified = nightly.on_tenant("history", "verify")
    assert (verified.returncode, "as they were written" in verified.stdout) == (0, True), verified.stderr

    other = jobs.job(NONE).on_tenant("plan", "plan.yaml")
    assert "No longer declared, still live" in other.stdout
    assert "erp@contoso.com" in other.stdout

    undoing = jobs.job()
    back = undoing.on_tenant("rollback", "last", "-o", "back.json")
    assert back.returncode == 0, back.stderr
    assert "fax@contoso.com" in back.stderr, "somebody has changed it since the run"
    undone = jobs.job()
    (undone.folder / "back.json").write_bytes((undoing.folder / "back.json").read_bytes())
    undo = undone.on_tenant("apply", *undone.reviewed("back.json"))
    assert undo.returncode == 0, undo.stderr
    assert switches(shop) == (None, True)
    listed = json.loads(jobs.job().on_tenant("history", "list", "--format", "json").stdout)
    assert [r["results"] for r in listed] == [{"done": 1}, {"done": 2}]


@FOLDER_FIRST
def test_the_run_of_a_job_that_was_killed_counts_as_begun(jobs: Jobs, shop: Shop) -> None:
    killed = jobs.held(jobs.job(PROVISIONER_CONCURRENCY__WRITES="1"))
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    before = shop.tenant.seen()
    shop.release()
    until(lambda: shop.tenant.writes("exchange", before - 1))
    after = jobs.job()
    (run,) = json.loads(after.on_tenant("history", "list", "--format", "json").stdout)
    assert (run["ended"], run["results"]) == (False, {"begun": 2})
    shown = json.loads(after.on_tenant("history", "show", "--format", "json").stdout)
    assert {(c["address"], c["status"], c["after"]["smtp_auth"]) for c in shown["changes"]} == {
        ('smtp_auth["erp@contoso.com"]', "begun", "enabled"),
        ('smtp_auth["fax@contoso.com"]', "begun", "enabled"),
    }
    assert "no end" in after.on_tenant("history", "list").stdout

    undoing = jobs.job()
    back = undoing.on_tenant("rollback", "last", "-o", "back.json")
    assert back.returncode == 0, back.stderr
    document = json.loads((undoing.folder / "back.json").read_text())
    assert [c["address"] for c in document["resource_changes"]] == ['smtp_auth["erp@contoso.com"]']
    released(undoing)
    undo = undoing.on_tenant("apply", *undoing.reviewed("back.json"))
    assert undo.returncode == 0, undo.stderr
    assert switches(shop) == (None, None)


@FOLDER_FIRST
def test_what_a_killed_job_wrote_is_not_called_changed_by_others(jobs: Jobs, shop: Shop) -> None:
    first = jobs.job("smtp_auth: { mailboxes: { erp@contoso.com: disabled } }\n")
    assert first.on_tenant("apply", "plan.yaml", "--auto-approve").returncode == 0
    one = "smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n"
    killed = jobs.held(jobs.job(one))
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    shop.release()
    until(lambda: switches(shop)[0] is False)
    job = jobs.job(one)
    seen = json.loads(job.on_tenant("plan", "plan.yaml", "--format", "json").stdout)
    assert seen.get("resource_drift", []) == []
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=None)
    seen = json.loads(job.on_tenant("plan", "plan.yaml", "--format", "json").stdout)
    assert [d["address"] for d in seen["resource_drift"]] == ['smtp_auth["erp@contoso.com"]']


# --- at the same time ------------------------------------------------------------------------------------------------


@FOLDER_FIRST
def test_of_two_jobs_at_once_one_is_refused_or_waits(jobs: Jobs, shop: Shop) -> None:
    first = jobs.held(jobs.job())
    refused = jobs.job().on_tenant("apply", "plan.yaml", "--auto-approve")
    assert refused.returncode == 9, refused.stderr
    assert "is being changed by" in refused.stderr

    def finish() -> None:
        shop.release()
        first.communicate(timeout=120)

    second = jobs.job()
    second.clock.after(5, finish)
    waited = second.on_tenant("apply", "plan.yaml", "--auto-approve", "--lock-wait", "5m")
    assert (waited.returncode, first.returncode) == (0, 0), waited.stderr
    runs = json.loads(jobs.job().on_tenant("history", "list", "--format", "json").stdout)
    assert [r["ended"] for r in runs] == [True, True]
    assert {"done": 2} in [r["results"] for r in runs]
    assert jobs.job().on_tenant("history", "verify").returncode == 0


OPEN_THEN_CLOSE = "smtp_auth: { organization: disabled, mailboxes: { erp@contoso.com: enabled } }\n"
"""The organization is switched off once the mailbox has been seen to be switched on."""


def slowly(shop: Shop, after_begin: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have something happen once a run's beginning is in the journal.

    The tenant shows writes late, and time stands still until the run has noticed what happened to its journal.
    """
    shop.tenant.cmdlet("Set-TransportConfig", SmtpClientAuthenticationDisabled=False)
    shop.tenant.control("POST", "/load", {"sandbox": 1, "settings": {"lag_by_noun": {"CASMailbox": 30.0}}})
    monkeypatch.setattr(sharing, "_BETWEEN_S", 0.0)
    monkeypatch.setattr(sharing, "_TRIES", 1)
    happened: list[bool] = []
    for kind in (FolderJournal, GitJournal):

        def append(remote: Any, lines: bytes, kept: Any = kind.append) -> None:
            kept(remote, lines)
            if not happened:
                happened.append(True)
                after_begin()

        monkeypatch.setattr(kind, "append", append)


def apply_slowly(job: Shop) -> subprocess.CompletedProcess[str]:
    job.clock.still_until(lambda: "JOURNAL-LOST" in said_so_far())
    return job.on_tenant("apply", "plan.yaml", "--auto-approve", PROVISIONER_CONCURRENCY__WRITES="1")


def test_a_run_stops_where_another_has_written_to_the_journal(
    jobs: Jobs, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_entry() -> None:
        share: Share = GitShare(str(jobs.place)) if jobs.is_git else FolderShare(jobs.place)
        (name,) = share.names()
        with share.journal(name) as remote:
            remote.fetch()
            remote.append(b'{"kind": "note", "run": "other", "time": "2026-11-25T00:00:00Z"}\n')

    slowly(shop, other_entry, monkeypatch)
    before = shop.tenant.seen()
    done = apply_slowly(jobs.job(OPEN_THEN_CLOSE))
    assert done.returncode == 8, done.stderr
    assert "another run has written to the shared journal" in done.stdout
    assert "smtp_auth" in done.stdout
    assert {w["cmdlet"] for w in shop.tenant.writes("exchange", before)} <= {"Set-CASMailbox"}
    (run,) = json.loads(jobs.job().on_tenant("history", "list", "--format", "json").stdout)
    assert (run["ended"], run["results"]) == (False, {"begun": 2})


# --- a place that cannot be used -------------------------------------------------------------------------------------


@FOLDER_FIRST
def test_without_the_journal_nothing_is_planned_or_written(jobs: Jobs, shop: Shop) -> None:
    if jobs.is_git:
        jobs.place.rename(jobs.folder / "gone")
    else:
        jobs.place.write_text("a file where the folder should be")
    before = shop.tenant.seen()
    job = jobs.job()
    for command in (["plan", "plan.yaml"], ["apply", "plan.yaml", "--auto-approve"], ["history", "list"]):
        done = job.on_tenant(*command)
        assert done.returncode == 3, (command, done.stderr)
        assert "error[JOURNAL-" in done.stderr
    assert shop.tenant.writes("exchange", before) == []


def test_nothing_is_written_before_the_beginning_has_been_sent(
    jobs: Jobs, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Any, lines: bytes) -> None:
        raise InputError([Diagnostic("JOURNAL-GIT", "the network is gone")])

    monkeypatch.setattr(sharing, "_TRIES", 1)
    for kind in (FolderJournal, GitJournal):
        monkeypatch.setattr(kind, "append", refused)
    before = shop.tenant.seen()
    done = jobs.job().on_tenant("apply", "plan.yaml", "--auto-approve")
    assert (done.returncode, "nothing was changed: the shared journal" in done.stderr) == (8, True), done.stderr
    assert shop.tenant.writes("exchange", before) == []


@FOLDER_FIRST
def test_what_could_not_be_sent_is_kept_and_sent_by_the_next_apply(
    jobs: Jobs, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = jobs.folder / "gone"

    def vanish() -> None:
        """The journal alone: the lock in the same folder stays."""
        if jobs.is_git:
            jobs.place.rename(gone)
        else:
            (journal,) = jobs.place.glob("*.journal")
            journal.rename(gone)
            journal.write_text("a file where the folder should be")

    slowly(shop, vanish, monkeypatch)
    job = jobs.job(OPEN_THEN_CLOSE)
    before = shop.tenant.seen()
    done = apply_slowly(job)
    assert done.returncode == 8, done.stderr
    assert "the shared journal" in done.stdout
    assert "unsent" in done.stderr
    assert {w["cmdlet"] for w in shop.tenant.writes("exchange", before)} <= {"Set-CASMailbox"}
    if jobs.is_git:
        gone.rename(jobs.place)
    else:
        (journal,) = jobs.place.glob("*.journal")
        journal.unlink()
        gone.rename(journal)
    (run,) = json.loads(jobs.job().on_tenant("history", "list", "--format", "json").stdout)
    assert not run["ended"]
    same = _Job(job.folder, dict(job.environment), shop)  # with a clock that does not stand still
    if jobs.is_git:  # the lock went with the repository
        released(same)
    again = same.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert again.returncode == 0, again.stderr
    elsewhere = jobs.job()
    runs = json.loads(elsewhere.on_tenant("history", "list", "--format", "json").stdout)
    assert [r["ended"] for r in runs] == [True, True]
    assert elsewhere.on_tenant("history", "verify").returncode == 0
    assert not list((job.folder.parent / "home").rglob("unsent/*"))


# --- which journal ---------------------------------------------------------------------------------------------------

TENANTS = {"contoso.onmicrosoft.com": "11111111-aaaa", "fabrikam.onmicrosoft.com": "22222222-bbbb"}


@pytest.fixture(params=["state", "folder", "git"])
def several(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """A folder with settings of two tenants, each with a journal: of this machine, or in a shared place."""
    place = tmp_path / "shared"
    if request.param == "git":
        subprocess.run(["git", "init", "-q", "--bare", str(place)], check=True)
    share: Share = GitShare(str(place)) if request.param == "git" else FolderShare(place)
    for tenant, id_ in TENANTS.items():
        path = tmp_path / "state" / id_ / "journal.jsonl"
        with Journal.open(path, f"run-{id_[0]}") as record:
            record.begin([], digest="sha256:x", actor="anna", tenant=tenant, tenant_id=id_)
            record.record("end", converged=True)
        if request.param != "state":
            with share.journal(id_) as remote:
                remote.append(path.read_bytes())
            path.unlink()
    own = tmp_path / "config" / "provisioner"
    own.mkdir(parents=True)
    profiles = {"one": "contoso.onmicrosoft.com", "two": TENANTS["fabrikam.onmicrosoft.com"], "three": "x.example"}
    text = "".join(f'[profiles.{name}]\ntenant = "{tenant}"\n' for name, tenant in profiles.items())
    (own / "provisioner.toml").write_text(text)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PROVISIONER_")}
    ours = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "PROVISIONER_STATE_DIR": str(tmp_path / "state")}
    shared = {} if request.param == "state" else {"PROVISIONER_JOURNAL": f"{request.param}:{place}"}
    (tmp_path / "work").mkdir()
    return Shop(tmp_path / "work", {**kept, **ours, **shared})


def test_history_shows_the_journal_of_the_profiles_tenant(several: Shop) -> None:
    for arguments, run in [
        (("--profile", "one", "history", "list"), "run-1"),
        (("--profile", "two", "history", "list"), "run-2"),
        (("--profile", "one", "history", "list", "--tenant-id", "22222222-bbbb"), "run-2"),
        (("history", "list", "--tenant-id", "11111111-aaaa"), "run-1"),
    ]:
        done = several.run(*arguments)
        assert (done.returncode, done.stdout.split()[:1]) == (0, [run]), (arguments, done.stderr)
    for command in ("show", "verify", "export"):
        done = several.run("--profile", "two", "history", command)
        assert done.returncode == 0, done.stderr
        assert "run-1" not in done.stdout
    done = several.run("history", "list")
    assert (done.returncode, "JOURNAL-SEVERAL" in done.stderr, "--profile" in done.stderr) == (3, True, True)
    done = several.run("--profile", "three", "history", "list")
    assert (done.returncode, "no apply to x.example is recorded here" in done.stderr) == (3, True)


@FOLDER_FIRST
def test_what_others_have_put_into_a_shared_journal_is_passed_over_and_told(jobs: Jobs, shop: Shop) -> None:
    assert jobs.job().on_tenant("apply", "plan.yaml", "--auto-approve").returncode == 0
    share: Share = GitShare(str(jobs.place)) if jobs.is_git else FolderShare(jobs.place)
    (name,) = share.names()
    strange = [b"\xff\x00\n", b"[" * 10_000 + b"\n", b'{"kind": "begin"}\n', b"::error::\x1b[2J\n", b"{}\n"]
    with share.journal(name) as remote:
        remote.fetch()
        remote.append(b"".join(strange))
    job = jobs.job()
    planned = job.on_tenant("plan", "plan.yaml")
    assert planned.returncode == 0, planned.stderr
    assert "passed over" in planned.stderr
    assert "\x1b" not in planned.stdout + planned.stderr
    assert job.on_tenant("history", "verify").returncode == 1
    shop.tenant.cmdlet("Set-CASMailbox", Identity="fax@contoso.com", SmtpClientAuthenticationDisabled=True)
    applied = job.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert applied.returncode == 0, applied.stderr
    assert len(json.loads(jobs.job().on_tenant("history", "list", "--format", "json").stdout)) == 2
