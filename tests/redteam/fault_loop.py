"""A fault at every request of `plan` and of an `apply` of 15 changes, over both transports, and what must hold.

    python -m tests.redteam.fault_loop [--only WORD] [--share N] [--seconds N]

A sound run is recorded first; then each of its requests is struck by each deed, in a run of its own on a fresh tenant.
What is tried again is also struck for good. A run is judged by its exit code, its account, the sandbox's own log of
requests and the tenant: nothing that could not be read became a change, nothing was carried out twice, what is called
done is done, what is called left is not, and plan and apply without a fault lead to the plan. It prints the number of
cases and each wrong one.
"""

from __future__ import annotations

import argparse
import json
import random
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

from provisioner.tenant import limits
from tests.cli.shop import Shop, open_shop
from tests.local_tenant import EVERY_GUARD, FRONT_OF, Session, connected

SEED: dict[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com"}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
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
    "mailboxes": [f"{name}@contoso.com" for name in ("erp", "fax", "a", "b", "c")],
    # A client that is cut off leaves its shells to their idle timeout.
    "settings": {"psrp_max_shells_per_user": 100_000},
}
PLAN = """\
provisioner: 1
tenant: contoso.onmicrosoft.com
owner: team
domains: { contoso.com: { verified: true, type: authoritative } }
mailboxes: { erp@contoso.com: { enabled: true } }
organization: { reject_direct_send: true }
smtp_auth:
  organization: disabled
  mailboxes: { erp@contoso.com: enabled, a@contoso.com: enabled, b@contoso.com: disabled }
send_as: { erp@contoso.com: [fax@contoso.com, a@contoso.com], b@contoso.com: [c@contoso.com] }
inbound_connectors:
  hq: { type: on_premises, sender_ip_addresses: [81.2.69.160] }
  lab: { type: on_premises, sender_ip_addresses: [81.2.69.161] }
  leeds: { type: on_premises, sender_ip_addresses: [81.2.69.162] }
  partner: { type: partner, sender_domains: [fabrikam.com], require_tls: true }
  depot: { type: on_premises, sender_ip_addresses: [81.2.69.163] }
  moved: { type: on_premises, sender_ip_addresses: [203.0.113.30, 81.2.69.164] }
absent: [inbound_connector/gone]
dkim: { contoso.com: { enabled: false, key_size: 2048 } }
"""
CHANGES = 15
REQUEST_S = 3.0
MOST_BYTES = 2**20
"""The limit of an answer in these runs: a true one is far below, and a bomb need not be large."""
Do = dict[str, Any]

_ANSWERS: dict[str, Do] = {
    "close": {"close": True},
    "carried out, then closed": {"run_then_close": True},
    "cut short": {"truncate": 25},
    "empty body": {"status": 200},
    "HTML": {"html": True},
    "text": {"status": 200, "body": "OK"},
    "not JSON": {"status": 200, "body": '{"value": ['},
    "a list": {"status": 200, "body": []},
    "null": {"status": 200, "body": "null"},
    "nothing in it": {"status": 200, "body": {}},
    "no rows": {"status": 200, "body": {"@odata.context": "x"}},
    "rows are null": {"status": 200, "body": {"value": None}},
    "rows are text": {"status": 200, "body": {"value": "x"}},
    "a row without its key": {"status": 200, "body": {"value": [{}]}},
    "a row is a number": {"status": 200, "body": {"value": [1]}},
    "a row of odd values": {"status": 200, "body": '{"value": [{"Name": {"a": 1}, "id": [], "Guid": "\\ud800"}]}'},
    "a row of half a character": {"status": 200, "body": '{"value": [{"Name": "\\ud800", "id": "x", "Guid": "y"}]}'},
    "pages of another host": {"status": 200, "body": {"value": [], "@odata.nextLink": "https://elsewhere.example/x"}},
    "a link that is not text": {"status": 200, "body": {"value": [], "@odata.nextLink": {"a": 1}}},
    "deep": {"status": 200, "body": "[" * 100_000},
    "bomb": {"inflate": 8 * MOST_BYTES},
    "byte by byte": {"drip": 0.2},
    "redirected": {"status": 307, "headers": {"Location": "https://elsewhere.example/x"}},
    "redirected over http": {"status": 302, "headers": {"Location": "http://127.0.0.1/x"}},
    "odd error": {"status": 400, "body": {"error": {"details": ["text"], "innererror": "x", "message": {}}}},
    "error of text": {"status": 418, "body": {"error": "text"}},
    "401": {"status": 401},
    "403": {"status": 403},
    "404": {"status": 404},
    "429": {"status": 429, "headers": {"Retry-After": "3"}},
    "500": {"status": 500},
    "502": {"status": 502, "body": "Bad Gateway"},
    "503 until a date": {"status": 503, "headers": {"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}},
    "504": {"status": 504},
}
_OUTPUTS: dict[str, Do] = {
    "close": {"close": True},
    "carried out, then closed": {"run_then_close": True},
    "failed without an error": {"end": "Failed"},
    "stopped without an error": {"end": "Stopped"},
    "429": {"status": 429},
    "an error beside the rows": {"adminapi_errors": ["Something went wrong."]},
    "a row without its key": {"rows": [{}]},
    "a row is text": {"rows": ["text"]},
    "a row is a number": {"rows": [1]},
    "a row is null": {"rows": [None]},
    "a row of odd values": {"rows": [{"Name": {"a": 1}, "Guid": []}]},
}
_BESIDE: dict[str, Do] = {
    "an error beside the rows": {"adminapi_errors": ["Something went wrong."]},
    "read misses it for a while": {"read_after_write_404": 2},
}
_PACKETS: dict[str, Do] = {"SERVFAIL": {"status": 2}, "REFUSED": {"status": 5}, "silence": {"close": True}}
DEEDS: Mapping[str, Mapping[str, Do]] = {
    "exchange": {**_ANSWERS, **_BESIDE},
    "graph": _ANSWERS,
    "entra": _ANSWERS,
    "wsman": _ANSWERS,
    "psrp": _OUTPUTS,
    "dns": _PACKETS,
}
_UNCLEAR = frozenset({
    "close", "carried out, then closed", "cut short", "byte by byte", "504", "500", "502", "bomb", "deep",
    "failed without an error", "stopped without an error",
})  # fmt: skip
_RETRIED = frozenset({"close", "429", "500", "503 until a date", "504"})
PLAN_CODES, APPLY_CODES = frozenset({0, 1, 4, 5}), frozenset({0, 1, 4, 5, 8})
STATUSES = frozenset({"done", "already_done", "failed", "skipped", "left", "held_back", "unconfirmed", "waiting"})


@dataclass(frozen=True, slots=True)
class Case:
    """A deed at one request of a command's run. `lasting`: at every request from there on."""

    command: str
    transport: str
    front: str
    number: int
    deed: str
    lasting: bool

    def __str__(self) -> str:
        how = "from" if self.lasting else "at"
        return f"{self.command} over {self.transport}: {self.deed} {how} request {self.number} of {self.front}"


class Wrong(AssertionError):
    """What must hold does not."""


def demand(holds: object, words: str) -> None:
    if not holds:
        raise Wrong(words)


@dataclass
class Loop:
    """A sandbox, and one command after the other in it. Use as a context."""

    folder: Path
    counts: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    wanted: dict[str, list[str]] = field(default_factory=dict)
    runs: int = 0

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._stack.enter_context(mock.patch.object(limits, "MOST_BYTES", MOST_BYTES))
        self.shop: Shop = self._stack.enter_context(open_shop(self.folder, SEED))
        (self.folder / "plan.yaml").write_text(PLAN, encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    # --- the sound runs -------------------------------------------------------------------------------------------

    def record(self, transport: str) -> None:
        """Plan and apply without a fault: the requests of each, the changes, and the transport's saved change set."""
        self.shop.reset()
        planned, log = self._run(transport, "plan", {})
        demand(planned.returncode == 0, f"the sound plan ends with {planned.returncode}: {planned.stderr}")
        self.counts[transport, "plan"] = Counter(r["front"] for r in log)
        self.wanted = pending_of(json.loads((self.folder / "found.json").read_text(encoding="utf-8")))
        demand(len(self.wanted) == CHANGES, f"the plan has {len(self.wanted)} changes: {self.wanted}")
        (self.folder / "changes.json").rename(self.folder / f"{transport}.json")
        applied, log = self._run(transport, "apply", {})
        demand(applied.returncode == 0, f"the sound apply ends with {applied.returncode}: {applied.stderr}")
        self.counts[transport, "apply"] = Counter(r["front"] for r in log)

    def cases(self, transport: str) -> Iterator[Case]:
        """Every deed at every request of both commands, once; and for good where the request is tried again."""
        for command in ("plan", "apply"):
            for front, count in sorted(self.counts[transport, command].items()):
                for number in range(count):
                    for deed in DEEDS[front]:
                        yield Case(command, transport, front, number, deed, lasting=False)
                        if deed in _RETRIED:
                            yield Case(command, transport, front, number, deed, lasting=True)

    # --- a run ------------------------------------------------------------------------------------------------------

    def live(self, case: Case) -> str:
        """Go through a case. Raises Wrong; gives the exit code, as text."""
        self.shop.reset()
        do = DEEDS[case.front][case.deed]
        times = None if case.lasting else 1
        rule = {"front": case.front, "after": case.number, "times": times, "do": do}
        self.shop.tenant.control("POST", "/faults", [rule])
        slow = {"PROVISIONER_TIMEOUTS__REQUEST_S": str(REQUEST_S)} if "drip" in do else {}
        done, log = self._run(case.transport, case.command, slow)
        struck = self.shop.tenant.control("GET", "/faults")[0]["after"] == 0
        self.shop.release()
        for words in ("Traceback", "fault of provisioner", "Exception ignored"):
            demand(words not in done.stderr + done.stdout, f"{words}: {done.stderr[-1500:]}")
        codes = PLAN_CODES if case.command == "plan" else APPLY_CODES
        demand(done.returncode in codes, f"it ends with {done.returncode}: {done.stderr[-1500:]}")
        said = (done.stdout + done.stderr).strip()
        demand(done.returncode == 0 or said, f"it ends with {done.returncode} and says nothing")
        if case.command == "plan":
            self._judge_plan(done, log)
        else:
            self._judge_apply(case, done, log)
        return str(done.returncode) if struck else f"{done.returncode}, not struck"

    def _run(
        self, transport: str, command: str, more: Mapping[str, str]
    ) -> tuple[subprocess.CompletedProcess[str], Sequence[Mapping[str, Any]]]:
        """Run a command; with the requests that it made."""
        self.runs += 1
        for name in ("found.json", "changes.json"):
            (self.folder / name).unlink(missing_ok=True)
        environment = {
            "PROVISIONER_STATE_DIR": str(self.folder / f"state-{self.runs}"),
            "PROVISIONER_TIMEOUTS__CONFIRM_S": "15",
            "PROVISIONER_TIMEOUTS__RETRY_S": "15",
            **more,
        }
        profile = "sandbox" if transport == "rest" else "sandbox-psrp"
        allowed = [part for rule in EVERY_GUARD for part in ("--allow", rule)]
        if command == "plan":
            arguments = ["plan", "plan.yaml", "-o", "changes.json", "--out-json", "found.json", "--format", "text"]
        else:
            arguments = ["apply", f"{transport}.json", "--plan", "plan.yaml", "--auto-approve", "--format", "json"]
        since = self.shop.tenant.seen()
        done = self.shop.run("--quiet", "--profile", profile, *arguments, *allowed, **environment)
        return done, self.shop.tenant.control("GET", f"/requests?since={since}")

    # --- judging ----------------------------------------------------------------------------------------------------

    def _judge_plan(self, done: subprocess.CompletedProcess[str], log: Sequence[Mapping[str, Any]]) -> None:
        demand(not writes(log), f"plan wrote: {writes(log)}")
        found = self.folder / "found.json"
        if not found.exists():
            demand(done.returncode, "it ends with 0 and shows no change set")
            return
        planned = pending_of(json.loads(found.read_text(encoding="utf-8")))
        odd = {a: actions for a, actions in planned.items() if self.wanted.get(a) != actions}
        demand(not odd, f"what could not be read became a change: {odd}")
        whole = planned == self.wanted
        demand(whole or done.returncode, f"it ends with 0 and lacks {sorted(set(self.wanted) - set(planned))}")

    def _judge_apply(
        self, case: Case, done: subprocess.CompletedProcess[str], log: Sequence[Mapping[str, Any]]
    ) -> None:
        self._judge_writes(case, log)
        with connected(self.shop.tenant.profile("rest"), self.folder / f"session-{self.runs}") as session:
            self.shop.tenant.control("POST", "/lag", {"seconds": 0})
            left = self._left(session)
            if done.returncode in (0, 8):
                self._judge_account(case, done, left)
            else:
                demand(not writes(log), f"it ends with {done.returncode}, without an account, after {writes(log)}")
            if left:
                outcome = session.apply(session.plan(PLAN))
                demand(outcome.converged, f"the next apply does not converge: {outcome.results}")
                demand(not self._left(session), "the plan after the next apply is not empty")

    def _left(self, session: Session) -> dict[str, str]:
        """What a plan without a fault still finds to do."""
        found = session.plan(PLAN)
        demand(not found.unknown and not found.errored, f"the next plan cannot be read: {found.unknown}")
        left = {str(c.address): str(c.action) for c in found.pending}
        odd = [address for address in left if address not in self.wanted]
        demand(not odd, f"the next plan changes {odd}, which were right before")
        return left

    def _judge_account(self, case: Case, done: subprocess.CompletedProcess[str], left: Mapping[str, str]) -> None:
        account = json.loads(done.stdout)["results"]
        told = {r["address"]: r["status"] for r in account if r["address"] in self.wanted}
        demand(set(told) == set(self.wanted), f"the account lacks {sorted(set(self.wanted) - set(told))}")
        odd = set(told.values()) - STATUSES
        demand(not odd, f"the account has {odd}")
        for address, status in told.items():
            if status in ("done", "already_done"):
                demand(address not in left, f"{address} is {status}, and the tenant does not have it")
            elif status in ("skipped", "left", "held_back", "failed", "waiting"):
                if status == "failed" and case.front == "psrp" and case.deed in _BESIDE:
                    continue  # PowerShell does not tell an error that ended a statement from one beside its output
                demand(address in left, f"{address} is {status}, and the tenant has it")
        demand(done.returncode or not left, f"it ends with 0 and leaves {sorted(left)}")
        demand(done.returncode != 8 or set(told.values()) - {"done", "already_done"}, "it ends with 8 and all is done")

    def _judge_writes(self, case: Case, log: Sequence[Mapping[str, Any]]) -> None:
        """Nothing is carried out twice but a Set whose answer was not clear: it says what is to be."""
        done = Counter(_key(r) for r in log if is_write(r) and r["executed"])
        for (cmdlet, parameters), count in done.items():
            again = cmdlet.startswith("Set-") and case.deed in _UNCLEAR
            demand(count == 1 or again, f"{cmdlet} {parameters} was carried out {count} times")


def is_write(request: Mapping[str, Any]) -> bool:
    return request["front"] in FRONT_OF.values() and bool(request["write"])


def writes(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """The cmdlets that changed something."""
    return [r["cmdlet"] for r in log if is_write(r) and r["executed"]]


def _key(request: Mapping[str, Any]) -> tuple[str, str]:
    return request["cmdlet"], json.dumps(request["parameters"], sort_keys=True, default=str)


def pending_of(found: Mapping[str, Any]) -> dict[str, list[str]]:
    """The changes of a change set's JSON by address, without those that change nothing."""
    every = {c["address"]: c["change"]["actions"] for c in found["resource_changes"]}
    return {address: actions for address, actions in every.items() if actions != ["no-op"]}


def drawn(loop: Loop, transports: Sequence[str], share: float, only: str = "") -> tuple[int, list[Case]]:
    """How many cases there are, and those to live, in a random order."""
    for transport in transports:
        loop.record(transport)
    every = [case for transport in transports for case in loop.cases(transport) if only in str(case)]
    return len(every), random.sample(every, max(1, round(share * len(every))))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.redteam.fault_loop")
    parser.add_argument("--only", default="", help="Only cases whose description holds this word.")
    parser.add_argument("--transport", choices=["rest", "psrp", "both"], default="both")
    parser.add_argument("--share", type=float, default=1.0, help="This share of the cases, drawn by --seed.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="Stop after this time.")
    given = parser.parse_args()
    random.seed(given.seed)
    transports = ["rest", "psrp"] if given.transport == "both" else [given.transport]
    ended: Counter[str] = Counter()
    wrong = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Loop(Path(folder)) as loop:
        count, chosen = drawn(loop, transports, given.share, given.only)
        for case in chosen:
            if time.monotonic() - began > given.seconds:
                break
            try:
                ended[loop.live(case)] += 1
            except (AssertionError, OSError) as error:
                wrong += 1
                ended["WRONG"] += 1
                sys.stdout.write(f"WRONG {case}: {error}\n")
                sys.stdout.flush()
    codes = ", ".join(f"{code}: {n:,}" for code, n in sorted(ended.items()))
    sys.stdout.write(f"{ended.total():,} of {count:,} cases, {wrong} wrong; by exit code {codes}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
