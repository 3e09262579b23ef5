"""A fault at every request of `plan` and of an `apply` of 15 changes, over both transports, and what must hold.

    python -m tests.redteam.fault_loop [--all] [--only WORD] [--share N] [--part N/M] [--seconds N]

A sound run is recorded first; then its requests are struck by each deed, in a run of its own on a fresh tenant: one
request of each class (fault_requests.py), drawn by --seed, or with --all every request. What is tried again is also
struck for good. A run is judged by its exit code, its account, the sandbox's own log of requests and the tenant:
nothing that could not be read became a change, nothing was carried out twice, what is called done is done, what is
called left is not, and plan and apply without a fault lead to the plan. It prints the number of cases and each wrong
one.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest import mock

from provisioner.operations.applying import Saved, Terms, load_saved
from provisioner.operations.context import Context
from provisioner.tenant import limits
from tests.cli import in_process
from tests.cli.in_process import Hanging
from tests.cli.shop import Shop, open_shop
from tests.local_tenant import EVERY_GUARD, FRONT_OF, Session, connected
from tests.redteam.fault_deeds import CUT, DEEDS, LASTING, MOST_BYTES, UNCLEAR, is_slow
from tests.redteam.fault_requests import Asked, asked_in, classes

CLIENT, BILLING = "66666666-0000-4000-8000-000000000001", "11111111-1111-4111-8111-111111111111"
SEED: dict[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com"}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
        "BillingPolicy": [{"Id": BILLING, "Name": "Mail"}],
        "InboundConnector": [
            {
                "Name": name,
                "ConnectorType": "OnPremises",
                "SenderDomains": ["smtp:*;1"],
                "SenderIPAddresses": [address],
            }
            for name, address in (("depot", "203.0.113.9"), ("moved", "203.0.113.30"), ("gone", "203.0.113.40"))
        ],
    },
    "mailboxes": [f"{name}@contoso.com" for name in ("erp", "fax")],
    "apps": [{"displayName": "crm", "appId": CLIENT, "objectId": CLIENT}],
    # A client that is cut off leaves its shells to their idle timeout.
    "settings": {"psrp_max_shells_per_user": 100_000},
}
PLAN = f"""\
provisioner: 1
tenant: contoso.onmicrosoft.com
owner: team
domains: {{ contoso.com: {{ verified: true, type: authoritative }} }}
mailboxes: {{ erp@contoso.com: {{ enabled: true }} }}
organization: {{ reject_direct_send: true }}
authentication_policies: {{ devices-basic: {{ allow_basic_smtp: true }} }}
assignments: {{ authentication_policy: {{ mailboxes: {{ erp@contoso.com: devices-basic }} }} }}
smtp_auth: {{ organization: disabled, mailboxes: {{ erp@contoso.com: enabled }} }}
send_as: {{ erp@contoso.com: [fax@contoso.com] }}
inbound_connectors:
  hq: {{ type: on_premises, sender_ip_addresses: [81.2.69.160] }}
  partner: {{ type: partner, sender_domains: [fabrikam.com], require_tls: true }}
  depot: {{ type: on_premises, sender_ip_addresses: [81.2.69.163] }}
  moved: {{ type: on_premises, sender_ip_addresses: [203.0.113.30, 81.2.69.164] }}
absent: [inbound_connector/gone]
dkim: {{ contoso.com: {{ enabled: false, key_size: 2048 }} }}
hve_accounts: {{ digest@contoso.com: {{ password: env:HVE_PASSWORD, billing_policy: {BILLING} }} }}
service_principals: {{ {CLIENT}: {{ display_name: ERP }} }}
mailbox_permissions: {{ {CLIENT}: [erp@contoso.com] }}
application_role_assignments: {{ {CLIENT}: {{ SMTP.SendAsApp: [erp@contoso.com] }} }}
"""
CHANGES = 15
REQUEST_S = 2.0
PLAN_CODES, APPLY_CODES = frozenset({0, 1, 4, 5}), frozenset({0, 1, 4, 5, 8})
UNLIKE = frozenset({6, 7})
"""A precondition that is not met, and a tenant that has moved: what a sound answer without rows may mean."""
STATUSES = frozenset({"done", "already_done", "failed", "skipped", "left", "held_back", "unconfirmed", "waiting"})


@dataclass(frozen=True, slots=True)
class Case:
    """A deed at one request of a command's run. `lasting`: at every request like it from there on."""

    command: str
    transport: str
    asked: Asked
    deed: str
    lasting: bool

    def __str__(self) -> str:
        how = "from" if self.lasting else "at"
        return f"{self.command} over {self.transport}: {self.deed} {how} {self.asked}"


SECRET = {"HVE_PASSWORD": "Only-in-the-environment-1"}


class Wrong(AssertionError):
    """What must hold does not."""


def demand(holds: object, words: str) -> None:
    if not holds:
        raise Wrong(words)


@dataclass
class Loop:
    """A sandbox, and one command after the other in it. Use as a context."""

    folder: Path
    requests: dict[tuple[str, str], Sequence[Asked]] = field(default_factory=dict)
    wanted: dict[str, list[str]] = field(default_factory=dict)
    runs: int = 0
    known: dict[str, dict[str, str]] = field(default_factory=dict)
    """What a plan finds to do in a state of the tenant, of those that were judged already."""
    loaded: dict[str, Saved] = field(default_factory=dict)
    """The saved change sets, verified."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._stack.callback(gc.set_threshold, *gc.get_threshold())
        self._stack.enter_context(mock.patch.object(limits, "MOST_BYTES", MOST_BYTES))
        self._stack.enter_context(
            mock.patch.object(in_process, "_WAIT_S", 3_600)
        )  # of waiting: the machine may be busy
        self._stack.enter_context(mock.patch.dict(os.environ, SECRET))  # of the judge, which applies in this process
        self._stack.enter_context(mock.patch("os.fsync"))  # nothing here pulls a plug
        self._stack.enter_context(mock.patch("provisioner.cli.apply.load_saved", self._load))
        self.shop: Shop = self._stack.enter_context(open_shop(self.folder, SEED))
        (self.folder / "plan.yaml").write_text(PLAN, encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _load(self, context: Context, path: Path, terms: Terms | None = None) -> Saved:
        """`load_saved`, once for each transport: it is done before the first request, so that no fault changes it."""
        if path.name not in self.loaded:
            self.loaded[path.name] = load_saved(context, path, terms)
        return self.loaded[path.name]

    # --- the sound runs -------------------------------------------------------------------------------------------

    def record(self, transport: str) -> None:
        """Plan and apply without a fault: the requests of each, the changes, and the transport's saved change set."""
        self.shop.reset()
        planned, log = self._run(transport, "plan", {}, "-o", f"{transport}.json")
        demand(planned.returncode == 0, f"the sound plan ends with {planned.returncode}: {planned.stderr}")
        self.requests["plan", transport] = asked_in(log)
        self.wanted = pending_of(json.loads((self.folder / "found.json").read_text(encoding="utf-8")))
        demand(len(self.wanted) == CHANGES, f"the plan has {len(self.wanted)} changes: {self.wanted}")
        applied, log = self._run(transport, "apply", {})
        demand(applied.returncode == 0, f"the sound apply ends with {applied.returncode}: {applied.stderr}")
        self.requests["apply", transport] = asked_in(log)
        gc.freeze()  # what is loaded stays
        gc.set_threshold(100_000, 20, 100)  # a run leaves little behind, and looking for it costs a tenth of its time

    def cases(self) -> list[Case]:
        """Every deed at every request of what was recorded, once; and for good where the request is tried again."""
        every = [(c, t, asked) for (c, t), each in self.requests.items() for asked in each]
        return [case for one in every for case in _cases(*one)]

    def representatives(self) -> list[Case]:
        """The cases of one request of each class."""
        return [
            case
            for broad in (True, False)
            for members in classes(self.requests, broad=broad)
            for case in _cases(*random.choice(members))
            if (case.deed in CUT) is broad
        ]

    # --- a run ------------------------------------------------------------------------------------------------------

    def live(self, case: Case) -> str:
        """Go through a case. Raises Wrong; gives the exit code, as text."""
        self.shop.reset()
        asked, do = case.asked, DEEDS[case.asked.front][case.deed]
        times = None if case.lasting else 1
        rule = {"front": asked.front, "match": dict(asked.match), "after": asked.number, "times": times, "do": do}
        self.shop.tenant.control("POST", "/faults", [rule])
        slow = {"PROVISIONER_TIMEOUTS__REQUEST_S": str(REQUEST_S)} if is_slow(do) else {}
        done, log = self._run(case.transport, case.command, slow)
        struck = self.shop.tenant.control("GET", "/faults")[0]["after"] == 0
        self.shop.release()
        for words in ("Traceback", "fault of provisioner", "Exception ignored"):
            demand(words not in done.stderr + done.stdout, f"{words}: {done.stderr[-1500:]}")
        codes = PLAN_CODES if case.command == "plan" else APPLY_CODES
        codes |= UNLIKE if _tells_of_none(case) else frozenset()
        demand(done.returncode in codes, f"it ends with {done.returncode}: {done.stderr[-1500:]}")
        said = (done.stdout + done.stderr).strip()
        demand(done.returncode == 0 or said, f"it ends with {done.returncode} and says nothing")
        if case.command == "plan":
            self._judge_plan(case, done, log)
        else:
            self._judge_apply(case, done, log)
        return str(done.returncode) if struck else f"{done.returncode}, not struck"

    def _run(
        self, transport: str, command: str, more: Mapping[str, str], *options: str
    ) -> tuple[subprocess.CompletedProcess[str], Sequence[Mapping[str, Any]]]:
        """Run a command; with the requests that it made."""
        self.runs += 1
        (self.folder / "found.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        environment = {
            **SECRET,
            "PROVISIONER_TIMEOUTS__CONFIRM_S": "15",
            "PROVISIONER_TIMEOUTS__RETRY_S": "15",
            **more,
        }
        profile = "sandbox" if transport == "rest" else "sandbox-psrp"
        allowed = [part for rule in EVERY_GUARD for part in ("--allow", rule)]
        if command == "plan":
            arguments = ["plan", "plan.yaml", "--out-json", "found.json", *options]
        else:
            arguments = ["apply", f"{transport}.json", "--plan", "plan.yaml", "--auto-approve", "--format", "json"]
        self.shop.tenant.control("DELETE", "/requests")
        done = self.shop.run("--quiet", "--profile", profile, *arguments, *allowed, **environment)
        return done, self.shop.tenant.control("GET", "/requests")

    # --- judging ----------------------------------------------------------------------------------------------------

    def _judge_plan(self, case: Case, done: subprocess.CompletedProcess[str], log: Sequence[Mapping[str, Any]]) -> None:
        demand(not writes(log), f"plan wrote: {writes(log)}")
        found = self.folder / "found.json"
        if not found.exists():
            demand(done.returncode, "it ends with 0 and shows no change set")
            return
        planned = pending_of(json.loads(found.read_text(encoding="utf-8")))
        odd = {a: actions for a, actions in planned.items() if self.wanted.get(a) != actions}
        if _tells_of_none(case):
            demand(all(actions == ["create"] for actions in odd.values()), f"what is not there is changed: {odd}")
            return
        demand(not odd, f"what could not be read became a change: {odd}")
        whole = planned == self.wanted
        demand(whole or done.returncode, f"it ends with 0 and lacks {sorted(set(self.wanted) - set(planned))}")

    def _judge_apply(
        self, case: Case, done: subprocess.CompletedProcess[str], log: Sequence[Mapping[str, Any]]
    ) -> None:
        self._judge_writes(case, log)
        left = self._left()
        if done.returncode in (0, 8) or (done.returncode == 4 and '"results"' in done.stdout):
            self._judge_account(done, left)
        else:
            demand(not writes(log), f"it ends with {done.returncode}, without an account, after {writes(log)}")

    def _left(self) -> dict[str, str]:
        """What a plan without a fault finds to do in the tenant as it is, which the next apply then does."""
        self.shop.tenant.control("POST", "/lag", {"seconds": 0})
        self.shop.tenant.control("POST", "/clock", {"advance": 600})  # every write shows
        state = state_of(self.shop.tenant.control("GET", "/dump"))
        if state not in self.known:
            with (
                tempfile.TemporaryDirectory(dir=self.folder) as folder,
                connected(self.shop.tenant.profile("rest"), Path(folder) / "session") as session,
            ):
                left = self._found(session)
                if left:
                    outcome = session.apply(session.plan(PLAN))
                    demand(outcome.converged, f"the next apply does not converge: {outcome.results}")
                    demand(not self._found(session), "the plan after the next apply is not empty")
            self.known[state] = left
        return self.known[state]

    def _found(self, session: Session) -> dict[str, str]:
        found = session.plan(PLAN)
        demand(not found.unknown and not found.errored, f"the next plan cannot be read: {found.unknown}")
        left = {str(c.address): str(c.action) for c in found.pending}
        odd = [address for address in left if address not in self.wanted]
        demand(not odd, f"the next plan changes {odd}, which were right before")
        return left

    def _judge_account(self, done: subprocess.CompletedProcess[str], left: Mapping[str, str]) -> None:
        account = json.loads(done.stdout)["results"]
        told = {r["address"]: r["status"] for r in account if r["address"] in self.wanted}
        demand(set(told) == set(self.wanted), f"the account lacks {sorted(set(self.wanted) - set(told))}")
        odd = set(told.values()) - STATUSES
        demand(not odd, f"the account has {odd}")
        for address, status in told.items():
            if status in ("done", "already_done"):
                demand(address not in left, f"{address} is {status}, and the tenant does not have it")
            elif status in ("skipped", "left", "held_back", "failed", "waiting"):
                demand(address in left, f"{address} is {status}, and the tenant has it")
        demand(done.returncode or not left, f"it ends with 0 and leaves {sorted(left)}")
        demand(done.returncode != 8 or set(told.values()) - {"done", "already_done"}, "it ends with 8 and all is done")

    def _judge_writes(self, case: Case, log: Sequence[Mapping[str, Any]]) -> None:
        """Nothing is carried out twice but a Set whose answer was not clear: it says what is to be."""
        done = Counter(_key(r) for r in log if is_write(r) and r["executed"])
        for (cmdlet, parameters), count in done.items():
            again = cmdlet.startswith("Set-") and case.deed in UNCLEAR
            demand(count == 1 or again, f"{cmdlet} {parameters} was carried out {count} times")


def is_write(request: Mapping[str, Any]) -> bool:
    return request["front"] in FRONT_OF.values() and bool(request["write"])


def writes(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """The cmdlets that changed something."""
    return [r["cmdlet"] for r in log if is_write(r) and r["executed"]]


def _key(request: Mapping[str, Any]) -> tuple[str, str]:
    return request["cmdlet"], json.dumps(request["parameters"], sort_keys=True, default=str)


def _tells_of_none(case: Case) -> bool:
    """Whether the answer is a sound one, of a tenant without such objects: a pipeline that ends without output."""
    asked = case.asked
    return asked.front == "psrp" and case.deed == "no rows" and dict(asked.match)["cmdlet"].startswith("Get-")


def pending_of(found: Mapping[str, Any]) -> dict[str, list[str]]:
    """The changes of a change set's JSON by address, without those that change nothing."""
    every = {c["address"]: c["change"]["actions"] for c in found["resource_changes"]}
    return {address: actions for address, actions in every.items() if actions != ["no-op"]}


_VOLATILE = re.compile(
    r"guid|when|time|publickey|rotateondate|lastchecked|\bid$|distinguishedname|exchangeversion|objectid", re.IGNORECASE
)


def state_of(dump: Mapping[str, Any]) -> str:
    """The tenant without what differs from run to run: the ids that it gives out, the times, the order of its rows."""
    rows = {
        noun: sorted(
            json.dumps({k: v for k, v in row.items() if not _VOLATILE.search(k)}, sort_keys=True) for row in each
        )
        for noun, each in dump["objects"].items()
    }
    assert not dump["pending"], "a write that does not show yet"
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def _cases(command: str, transport: str, asked: Asked) -> Iterator[Case]:
    for deed in DEEDS[asked.front]:
        yield Case(command, transport, asked, deed, lasting=False)
        if deed in LASTING:
            yield Case(command, transport, asked, deed, lasting=True)


def drawn(
    loop: Loop, transports: Sequence[str], share: float, only: str = "", *, every: bool = False
) -> tuple[int, list[Case]]:
    """How many cases there are, and those to live, in a random order: of the classes, or of `every` request."""
    for transport in transports:
        loop.record(transport)
    known = [case for case in loop.cases() if only in str(case)]
    chosen = known if every else [case for case in loop.representatives() if only in str(case)]
    return len(known), random.sample(chosen, max(1, round(share * len(chosen))))


def main() -> int:
    given = _arguments()
    random.seed(given.seed)
    transports = ["rest", "psrp"] if given.transport == "both" else [given.transport]
    part, parts = map(int, given.part.split("/"))
    ended: Counter[str] = Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Loop(Path(folder)) as loop:
        count, chosen = drawn(loop, transports, given.share, given.only, every=given.all)
        sys.stdout.write(f"{count:,} cases; {len(chosen):,} chosen\n")
        known = Path(given.but).read_text(encoding="utf-8").splitlines() if given.but else ()
        lived = {line.partition(" s: ")[2] for line in known}
        for case in chosen[part - 1 :: parts]:
            if str(case) in lived:
                continue
            if time.monotonic() - began > given.seconds:
                break
            cpu = time.process_time()
            try:
                ended[loop.live(case)] += 1
            except (AssertionError, OSError, Hanging) as error:
                ended["WRONG"] += 1
                sys.stdout.write(f"WRONG {case}: {error}\n")
            if given.verbose:
                sys.stdout.write(f"{time.process_time() - cpu:.2f} s: {case}\n")
            sys.stdout.flush()
        states = len(loop.known)
    codes = ", ".join(f"{code}: {n:,}" for code, n in sorted(ended.items()))
    sys.stdout.write(
        f"{ended.total():,} cases lived, {ended['WRONG']} wrong; {states} states of the tenant; by exit code {codes}; "
        f"{time.process_time():.0f} s of processor time without the sandbox's\n"
    )
    return 1 if ended["WRONG"] else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.redteam.fault_loop")
    parser.add_argument("--all", action="store_true", help="Strike every request, not one of each class.")
    parser.add_argument("--only", default="", help="Only cases whose description holds this word.")
    parser.add_argument("--transport", choices=["rest", "psrp", "both"], default="both")
    parser.add_argument("--share", type=float, default=1.0, help="This share of the cases, drawn by --seed.")
    parser.add_argument("--part", default="1/1", help="N/M: every M-th case from the N-th, for M processes.")
    parser.add_argument("--but", default="", metavar="FILE", help="Pass over the cases of an output of --verbose.")
    parser.add_argument("--verbose", action="store_true", help="Print each case with its processor time.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="Stop after this time.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
