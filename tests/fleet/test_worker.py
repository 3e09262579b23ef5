"""Workers on a store: what they begin by schedule, and what becomes of the work of one that died."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import datetime as dt
import errno
import json
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa
from dbos._serialization import deserialize_args

from provisioner.diagnostics import InputError
from provisioner.fleet import description, desk, liveness
from provisioner.fleet.durable import DBOS, QUEUE, Json, Works
from provisioner.fleet.liveness import FilePulse, PostgresPulse
from provisioner.fleet.runs import run_over
from provisioner.fleet.store import Place, Store, StoreGone
from provisioner.fleet.waves import Approved, Run, Work, look
from provisioner.fleet.work import Hands, Stops
from provisioner.fleet.worker import Worker
from provisioner.model.fleet import FleetReport, Kind, Outcome
from provisioner.settings import Profile
from tests import postgres
from tests.clocks import FastClock, until

REASON = postgres.missing()
served = [pytest.mark.long, pytest.mark.skipif(bool(REASON), reason=REASON)]


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.server() as running:
        yield running


@pytest.fixture
def fleet(tmp_path: Path) -> description.Fleet:
    tenants = {name: {"plan": "plan.yaml", "profile": name} for name in ("a", "b")}
    (tmp_path / "fleet.yaml").write_text(json.dumps({"fleet": 1, "tenants": tenants}), encoding="utf-8")
    return description.load(tmp_path / "fleet.yaml")


def nobody(name: str) -> Profile:
    raise InputError([])


# --- signs of life ---------------------------------------------------------------------------------------------------


def test_a_worker_is_alive_until_its_process_lets_go(tmp_path: Path) -> None:
    one, two = FilePulse(tmp_path, "one"), FilePulse(tmp_path, "two")
    assert (one.beat(), one.beat(), two.beat()) == (True, True, True)
    with one.declared_dead("two") as dead:
        assert not dead
    two.end()
    with one.declared_dead("two") as dead:
        assert dead
        assert not FilePulse(tmp_path, "two").beat(), "one that is declared dead does not come back meanwhile"
    assert one.alone()
    three = FilePulse(tmp_path, "three")
    assert three.beat()
    assert not one.alone()
    assert one.silent(["one", "two", "three"]) == {"two"}
    three.end()
    one.end()
    assert list(tmp_path.iterdir()) == []


class TestPostgresPulse:
    pytestmark = served

    def test_a_worker_is_dead_once_its_lock_was_free_for_the_grace(self, server: postgres.Server) -> None:
        clock, place = FastClock(), Place(server.url)
        one, two = PostgresPulse(place, "one", clock), PostgresPulse(place, "two", clock)
        assert (one.beat(), two.beat()) == (True, True)
        assert not self.dead(one, "two")
        assert one.silent(["one", "two", "other"]) == {"other"}
        two.end()
        until(lambda: not self.dead(one, "two") and "two" in one._free_since)  # the server notices the end
        clock.pause(liveness.GRACE_S)
        assert self.dead(one, "two")
        one.end()

    def test_after_a_restart_nobody_is_dead_who_takes_the_lock_again(self, server: postgres.Server) -> None:
        clock, place = FastClock(), Place(server.url)
        one, two = PostgresPulse(place, "three", clock), PostgresPulse(place, "four", clock)
        assert (one.beat(), two.beat()) == (True, True)
        server.stop()
        assert one.beat(), "nobody is declared dead by a server that does not answer"
        server.start()
        assert one.beat()
        assert not self.dead(one, "four")
        assert two.beat()
        clock.pause(liveness.GRACE_S)
        assert not self.dead(one, "four")
        one.end()
        two.end()

    def dead(self, pulse: PostgresPulse, worker: str) -> bool:
        with pulse.declared_dead(worker) as dead:
            return dead


# --- the work of one that died ---------------------------------------------------------------------------------------


@contextmanager
def left_behind(folder: Path, fleet: description.Fleet, machine: str, journal: str) -> Iterator[desk.Desk]:
    """A store in which a worker of some machine died in the middle of the apply of tenant a."""
    with desk.opened(f"sqlite:{folder / 'store.sqlite'}", folder / "state") as here:
        around = desk.Surroundings(nobody, folder / "state")
        run = here.begin(fleet, "apply", (), desk.Terms())
        here.work(fleet, run, 1, around)  # nobody signs in: both plans fail, and the tables are there
        run = dataclasses.replace(run, id="cut", tenants=("a",))
        here.store.add(run)
        _record(here.works, run.id, {"machine": machine, "journal": journal})
        yield here


def _record(works: Works, run: str, begun: dict[str, str]) -> None:
    """What the engine has of an apply whose worker died after it began."""
    planned = {"state": "planned", "seconds": 0.0, "digest": "sha256:0"}
    engine = works.client._sys_db.engine
    for number, output in ((0, planned), (1, None)):
        name = "apply" if number else "plan"
        works.client.enqueue(
            {"workflow_name": name, "queue_name": QUEUE, "workflow_id": f"{run}/a/{number}", "app_version": "fleet-1",
             "queue_partition_key": "a"},
            *([run, "a", "sha256:0"] if number else [run, "a", "apply"]),
        )  # fmt: skip
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE workflow_status SET status = ?, executor_id = 'dead', output = ?, serialization = ? "
                "WHERE workflow_uuid = ?",
                (
                    "PENDING" if number else "SUCCESS",
                    output and json.dumps(output),
                    "provisioner_json",
                    f"{run}/a/{number}",
                ),
            )
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO operation_outputs (workflow_uuid, function_id, function_name, output, serialization) "
            "VALUES (?, 1, 'begin', ?, 'provisioner_json')",
            (f"{run}/a/1", json.dumps(begun)),
        )


@pytest.mark.parametrize(
    ("where", "journal", "state"),
    [
        pytest.param("here", "own", "failed", marks=pytest.mark.long),
        ("elsewhere", "shared", "failed"),
        ("elsewhere", "own", "cut_off"),
    ],
)
def test_an_apply_that_was_cut_off_goes_on_elsewhere_only_with_a_shared_journal(
    tmp_path: Path, fleet: description.Fleet, where: str, journal: str, state: str
) -> None:
    """What goes on fails at once here, since the store has no such change set; what may not is never begun."""
    here_is = liveness.machine(tmp_path / "state")
    begun: list[str] = []

    def profiles(name: str) -> Profile:
        begun.append(name)
        raise InputError([])

    with left_behind(tmp_path, fleet, here_is if where == "here" else "another", journal) as here:
        run = here.store.run("cut")
        (tenant,) = here.report("cut")["tenants"]
        assert tenant["state"] == "cut_off", "who only looks sees that its worker is dead"
        assert tenant["error"]
        assert "Run `provisioner fleet resume cut` on the machine where the apply began" in tenant["error"]["message"]
        found = here.work(fleet, run, 1, desk.Surroundings(profiles, tmp_path / "state"))
        (tenant,) = found["tenants"]
        assert tenant["state"] == state
        again = here.works.of_run(run)["a"][-1]
        assert (again.status == "PENDING") == (state == "cut_off")
        assert bool(begun) == (state != "cut_off")


class Opened:
    """Leaves a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.file,)


def test_a_pickled_row_of_the_store_is_refused_and_not_opened(tmp_path: Path, fleet: description.Fleet) -> None:
    pickled = base64.b64encode(pickle.dumps(Opened(tmp_path / "opened"))).decode()
    with left_behind(tmp_path, fleet, "another", "own") as here:
        with here.works.client._sys_db.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE workflow_status SET inputs = ?, output = ?, serialization = 'py_pickle'", (pickled, pickled)
            )
        assert {t["state"] for t in here.report(here.store.run().id)["tenants"]} <= {"failed", "cut_off"}
        here.works.client.list_workflows()
    with pytest.raises(ValueError, match="is not read"):
        deserialize_args(pickled, "py_pickle", Json())
    assert not (tmp_path / "opened").exists()
    pickle.loads(base64.b64decode(pickled))
    assert (tmp_path / "opened").exists(), "it would have been"


# --- how much at once ------------------------------------------------------------------------------------------------


def test_a_worker_bounds_itself_while_it_is_alone_and_all_share_the_bound_otherwise(
    tmp_path: Path, fleet: description.Fleet
) -> None:
    other = FilePulse(tmp_path / "workers", "other")
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        around, bounds = desk.Surroundings(nobody, tmp_path / "state"), []
        for _ in range(2):
            here.work(fleet, here.begin(fleet, "plan", (), desk.Terms()), 3, around)
            queue = here.works.client._sys_db.get_queue(QUEUE)
            assert queue is not None
            bounds.append((queue._concurrency, queue._worker_concurrency))
            assert other.beat()
    other.end()
    assert bounds == [(None, 48), (fleet.at_once, 3)]


def test_a_worker_that_is_alone_asks_for_tenants_as_often_as_it_needs_to(
    tmp_path: Path, fleet: description.Fleet
) -> None:
    other, said = FilePulse(tmp_path / "workers", "other"), list[float]()
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        worker = Worker(Hands(fleet, here.store, nobody, tmp_path / "state"), here.works, 1)
        queue = SimpleNamespace(set_polling_interval_sec=said.append)
        works: Any = SimpleNamespace(client=SimpleNamespace(retrieve_queue=lambda _: queue))
        worker.works = works
        for rarely in (False, True, True, False):
            worker._ask(rarely=rarely)
        assert other.beat()
        worker._ask(rarely=True)
    other.end()
    assert said == [1.0, 0.02]


def test_on_a_new_store_the_queue_is_known_before_the_engine_starts(
    tmp_path: Path, fleet: description.Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, launch = list[bool](), DBOS.launch  # the engine looks for new queues once a second
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:

        def launched() -> None:
            known.append(here.works.client.retrieve_queue(QUEUE) is not None)
            launch()

        monkeypatch.setattr(DBOS, "launch", launched)
        assert not here.works.made()
        with Worker(Hands(fleet, here.store, nobody, tmp_path / "state"), here.works, 1).working():
            assert here.works.made()
    assert known == [True]


@pytest.mark.parametrize("kind", ["plan", "drift"])
def test_a_worker_reads_its_tenants_in_one_event_loop(
    kind: Kind, tmp_path: Path, fleet: description.Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def refuse(*_: object) -> None:
        loops.append(asyncio.get_running_loop())
        raise InputError([])

    monkeypatch.setattr(f"provisioner.fleet.work.{kind}", refuse)
    around = desk.Surroundings(lambda _: Profile(), tmp_path / "state")
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        here.work(fleet, here.begin(fleet, kind, (), desk.Terms()), 2, around)
    assert len(loops) == 2
    assert loops[0] is loops[1]


def test_of_two_runs_of_one_second_the_later_is_the_newest(tmp_path: Path, fleet: description.Fleet) -> None:
    second = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        for name in ("m", "z", "a", "n"):
            second += dt.timedelta(microseconds=1)
            here.store.add(run_over(fleet, "plan", (), second, id_=name))
            assert here.store.run().id == name


def test_a_run_that_goes_on_waits_as_it_is_told_and_otherwise_as_before(
    tmp_path: Path, fleet: description.Fleet
) -> None:
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        run = here.begin(fleet, "apply", (), desk.Terms(wait_s=60.0))
        again = here.resume(run.id, desk.Terms(), retry=False)
        other = here.resume(run.id, desk.Terms(wait_s=0.0, lock_wait_s=5.0), retry=False)
    assert [(r.wait_s, r.lock_wait_s) for r in (run, again, other)] == [(60.0, 300.0), (60.0, 300.0), (0.0, 5.0)]


@pytest.mark.parametrize(
    ("approved", "retry", "expected"),
    [
        (Approved(everything=True), False, Approved(tenants=frozenset("c"), digests={"a": "sha256:1"})),
        (Approved(everything=True), True, Approved(tenants=frozenset("bc"), digests={"a": "sha256:1"})),
        (Approved(tenants=frozenset("ab")), False, Approved(digests={"a": "sha256:1"})),
        (Approved(digests={"a": "sha256:2"}), False, Approved(digests={"a": "sha256:2"})),
        (Approved(), True, Approved()),
    ],
)
def test_a_run_that_goes_on_approves_the_change_sets_that_there_are(
    approved: Approved, retry: bool, expected: Approved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: Outcome = {"state": "planned", "seconds": 1.0, "digest": "sha256:1"}
    works = {"a": [Work(0, "SUCCESS", planned)], "b": [Work(0, "ERROR")], "c": [Work(0, "PENDING")]}
    monkeypatch.setattr(Works, "made", lambda _: True)
    monkeypatch.setattr(Works, "of_run", lambda *_: works)
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        here.store.add(Run("r", "apply", "2026-01-01T00:00:00Z", tuple("abc")))
        assert here.resume("r", desk.Terms(approved), retry=retry).approved == expected


def test_a_retry_plans_again_what_could_not_be_planned(tmp_path: Path, fleet: description.Fleet) -> None:
    around = desk.Surroundings(nobody, tmp_path / "state")
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        run = here.begin(fleet, "drift", (), desk.Terms())
        here.work(fleet, run, 2, around)
        for retry, expected in ((False, [0]), (True, [0, 1]), (True, [0, 1, 2])):
            run = here.resume(run.id, desk.Terms(), retry=retry)
            assert here.work(fleet, run, 2, around)["counts"] == {"failed": 2}
            found = here.works.of_run(run)
            assert {name: [work.number for work in works] for name, works in found.items()} == dict.fromkeys(
                "ab", expected
            )
            assert not any(work.applies for works in found.values() for work in works)


def test_a_worker_says_now_and_then_how_far_its_run_is(tmp_path: Path, fleet: description.Fleet) -> None:
    clock, notes = FastClock(), list[str]()
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        worker = Worker(Hands(fleet, here.store, nobody, tmp_path / "state", clock), here.works, 1, notes.append)
        run = here.begin(fleet, "plan", (), desk.Terms())
        for _ in range(4):
            worker._tell(run, look(run, {"a": [Work(0, "PENDING")]}))
            clock.pause(20)
    assert notes == [f"run {run.id}: 2 tenants: 1 queued, 1 running."]


@pytest.mark.parametrize(
    ("begun", "goes_on", "says"),
    [
        (None, True, ""),
        ({"machine": "here", "journal": "own"}, True, ""),
        ({"machine": "elsewhere", "journal": "own"}, False, ""),
        ({"machine": "elsewhere", "journal": "shared"}, True, "until the lock of the dead worker has expired, 90 s"),
    ],
)
def test_the_work_of_a_dead_worker_goes_on_where_the_journal_is(
    begun: dict[str, str] | None, goes_on: bool, says: str, tmp_path: Path, fleet: description.Fleet
) -> None:
    given, notes = list[str](), list[str]()
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        worker = Worker(Hands(fleet, here.store, nobody, tmp_path / "state"), here.works, 1, notes.append)
        works: Any = SimpleNamespace(begun=lambda _: begun, give_back=lambda id_, _: given.append(id_))
        worker.works, worker._machine = works, "here"
        worker._take_over("run/contoso/1", "dead")
    assert (given, worker._cut_off) == ((["run/contoso/1"], set()) if goes_on else ([], {"run/contoso/1"}))
    assert bool(notes) is bool(says)
    assert all(note.startswith("contoso: ") and says in note for note in notes)


def test_what_was_claimed_before_its_run_was_cancelled_does_not_begin(tmp_path: Path, fleet: description.Fleet) -> None:
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        run = dataclasses.replace(here.begin(fleet, "apply", (), desk.Terms()), cancelled=True)
        hands = Hands(fleet, here.store, nobody, tmp_path)
        states = {hands.apply(run, "a", "sha256:0")["state"], hands.plan(run, "a", "plan")["state"]}
    assert states == {"cancelled"}


def test_what_was_claimed_and_not_begun_when_the_worker_ends_is_done_by_the_next(
    tmp_path: Path, fleet: description.Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, stopped, begun, stop = [], threading.Event(), [], Stops.stop

    @contextmanager
    def stopping(ended: threading.Event) -> Iterator[None]:
        asked.append(ended)
        yield

    def stops(self: Stops, run: str = "") -> None:
        stop(self, run)
        stopped.set()

    def profiles(name: str) -> Profile:
        begun.append(name)
        asked[-1].set()
        assert stopped.wait(30)
        raise InputError([])

    monkeypatch.setattr(Stops, "stop", stops)
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        run = here.begin(fleet, "plan", (), desk.Terms())
        left = here.work(fleet, run, 1, desk.Surroundings(profiles, tmp_path / "state", stopping=stopping))
        assert (len(begun), sorted(t["state"] for t in left["tenants"])) == (1, ["failed", "queued"])
        done = here.work(fleet, run, 1, desk.Surroundings(nobody, tmp_path / "state"))
        assert {t["state"] for t in done["tenants"]} == {"failed"}


def test_a_store_that_goes_away_in_the_middle_of_a_question_is_waited_for(
    tmp_path: Path, fleet: description.Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        run, ask, asked = here.begin(fleet, "plan", (), desk.Terms()), here.works.client.list_workflows, [0]

        def list_workflows(**options: Any) -> Any:
            asked[0] += 1
            if asked[0] == 3:
                raise sa.exc.OperationalError("SELECT", {}, Exception("server closed the connection unexpectedly"))
            return ask(**options)

        monkeypatch.setattr(here.works.client, "list_workflows", list_workflows)
        done = here.work(fleet, run, 1, desk.Surroundings(nobody, tmp_path / "state", note=notes.append))
    assert {t["state"] for t in done["tenants"]} == {"failed"}
    assert [note.rpartition("; ")[2] for note in notes] == ["trying again"]


def test_a_work_that_is_a_worker_s_own_and_not_done_there_returns_to_the_queue(
    tmp_path: Path, fleet: description.Fleet
) -> None:
    clock, given = FastClock(), list[tuple[str, str]]()
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        worker = Worker(Hands(fleet, here.store, nobody, tmp_path / "state", clock), here.works, 1)
        works: Any = SimpleNamespace(give_back=lambda id_, by: given.append((id_, by)))
        worker.works = works
        worker._doing.add("run/a/1")
        for _ in range(2):
            worker._take_up(["run/a/1", "run/b/1"])
            assert given == [], "the engine may be about to begin it"
            clock.pause(liveness.GRACE_S / 2)
        worker._take_up(["run/a/1", "run/b/1"])
    assert given == [("run/b/1", worker.id)]


def test_a_step_waits_for_a_store_that_cannot_be_reached(tmp_path: Path, fleet: description.Fleet) -> None:
    clock, place = FastClock(), Place("", tmp_path / "store.sqlite")
    gone = StoreGone(place, sa.exc.OperationalError("SELECT", {}, Exception("the server is starting up")))
    answers: list[Any] = [gone, gone, "sha256:0"]

    def question() -> str:
        answer = answers.pop(0)
        if isinstance(answer, StoreGone):
            raise answer
        return str(answer)

    hands = Hands(fleet, cast("Store", None), nobody, tmp_path, clock)
    assert (hands.ask(question), clock.monotonic()) == ("sha256:0", 2.0)


def test_a_plan_that_no_file_can_be_is_the_mistake_of_its_tenant(tmp_path: Path, fleet: description.Fleet) -> None:
    long = dataclasses.replace(fleet.tenants["a"], plan=tmp_path / ("x" * 300))
    faults: list[Exception] = []

    def fault(error: Exception) -> str:
        faults.append(error)
        return "crash.txt"

    def profile(name: str) -> Profile:
        raise OSError(errno.ENAMETOOLONG, "File name too long", str(long.plan)) if name == "a" else ZeroDivisionError

    hands = Hands(fleet, cast("Store", None), profile, tmp_path, fault=fault)
    run = Run("r", "plan", "", ("a", "b"))
    told = hands.plan(run, "a", "plan")["error"]
    assert (told["kind"], told["exit_code"]) == ("input", 3)
    assert told["message"] == f"{long.plan} cannot be used: File name too long"
    assert hands.plan(run, "b", "plan")["error"]["message"].startswith("a fault of provisioner, ZeroDivisionError")
    assert [type(error) for error in faults] == [ZeroDivisionError]


# --- by schedule -----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_drift_is_looked_for_by_the_schedule_and_each_run_is_told_once(
    tmp_path: Path, fleet: description.Fleet
) -> None:
    told: list[FleetReport] = []
    stop: list[threading.Event] = []

    @contextmanager
    def stopping(ended: threading.Event) -> Iterator[None]:
        stop.append(ended)
        yield

    def tell(found: FleetReport) -> None:
        told.append(found)
        if len(told) == 2:
            stop[0].set()

    every_second = dataclasses.replace(fleet, schedule="* * * * * *", timezone="UTC")
    with desk.opened(f"sqlite:{tmp_path / 'store.sqlite'}", tmp_path / "state") as here:
        here.serve(every_second, (), 1, desk.Surroundings(nobody, tmp_path / "state", stopping=stopping), tell)
    assert [found["kind"] for found in told] == ["drift", "drift"]
    assert len({found["run"] for found in told}) == 2
    assert all(found["run"].startswith("drift-") for found in told)


def test_without_a_schedule_nothing_is_waited_for(tmp_path: Path, fleet: description.Fleet) -> None:
    store, around = f"sqlite:{tmp_path / 'store.sqlite'}", desk.Surroundings(nobody, tmp_path / "state")
    with desk.opened(store, tmp_path / "state") as here, pytest.raises(InputError, match="has no schedule for drift"):
        here.serve(fleet, (), 1, around, lambda _: None)
