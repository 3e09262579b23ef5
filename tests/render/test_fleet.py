"""The report of a fleet in its formats. Names of tenants are plain; everything else may be hostile."""

from __future__ import annotations

import re
from typing import Any

import pytest

from provisioner.model.fleet import STATES, FleetReport, TenantDocument
from provisioner.render import fleet
from tests.redteam.test_escaping import HOSTILE, commands, raw

DIGEST = "sha256:" + "a" * 64


def tenant(name: str, **values: Any) -> TenantDocument:
    found: dict[str, Any] = {
        "name": name, "labels": {}, "wave": "rest", "state": "applied", "digest": DIGEST, "changes": {}, "results": {},
        "drifted": [], "outside": 0, "run": "", "seconds": 0.5, "error": None,
    }  # fmt: skip
    found.update(values)
    return found  # type: ignore[return-value]


def report(*tenants: TenantDocument, **values: Any) -> FleetReport:
    counts = {state: n for state in STATES if (n := sum(t["state"] == state for t in tenants))}
    found: dict[str, Any] = {
        "format": 1, "run": "abc", "kind": "apply", "created": "2026-01-02T03:04:05Z", "state": "finished",
        "stopped": "", "counts": counts, "tenants": list(tenants),
    }  # fmt: skip
    found.update(values)
    return found  # type: ignore[return-value]


SOME = report(
    tenant("contoso", wave="canary", results={"done": 2}, labels={"region": "eu"}),
    tenant("fabrikam", state="waiting_for_approval", changes={"create": 1, "delete": 2}),
    tenant("tailspin", state="failed", error={"kind": "sign_in", "exit_code": 4, "message": "no token"}),
    tenant("wingtip", state="drifted", drifted=["a", "b", "c", "d"], outside=1),
    stopped="50% of the canary wave was not applied, and 0% may fail",
)


def test_the_text_has_a_line_for_each_tenant_and_what_waits_has_its_digest() -> None:
    assert fleet.text(SOME).splitlines() == [
        "Fleet apply, run abc of 2026-01-02T03:04:05Z: finished",
        "",
        "contoso   applied  (canary): 2 done",
        "fabrikam  waiting for approval: 1 to add, 2 to destroy",
        f"          {DIGEST}",
        "tailspin  failed: no token",
        "wingtip   drifted: a, b, c and 1 more; 1 changed from outside",
        "",
        "4 tenants: 1 waiting for approval, 1 applied, 1 drifted, 1 failed.",
        "Stopped: 50% of the canary wave was not applied, and 0% may fail.",
    ]


def test_a_plan_shows_the_digests_that_can_be_approved() -> None:
    lines = fleet.text(report(tenant("contoso", state="planned", changes={"create": 1}), kind="plan")).splitlines()
    assert lines[2:] == ["contoso  planned: 1 to add", f"         {DIGEST}", "", "1 tenant: 1 planned."]


@pytest.mark.parametrize(
    ("states", "state", "expected"),
    [
        (["planned"], "finished", ["1 change set waits for approval"]),
        (["waiting_for_approval", "waiting_for_approval"], "waiting", ["2 change sets wait for approval"]),
        (["incomplete", "not_begun"], "stopped", ["To try again what failed"]),
        (
            ["cut_off"],
            "waiting",
            ["To continue what was cut off, on the machine where it began or with a shared journal"],
        ),
        (["failed", "planned"], "running", []),
        (["failed", "cancelled"], "cancelled", []),
        (["applied"], "finished", []),
    ],
)
def test_the_commands_that_go_on_are_named(states: list[str], state: str, expected: list[str]) -> None:
    lines = list(fleet.next_steps(report(*(tenant("t", state=s) for s in states), state=state)))
    assert [line.partition(": provisioner fleet resume abc")[0] for line in lines] == expected


def test_the_page_fetches_nothing_and_has_a_row_for_each_tenant() -> None:
    page = fleet.html(SOME)
    assert re.findall(r"\ssrc=|href=|@import|url\(", page) == []
    assert re.findall(r'<tr data-state="(\w+)" data-wave="(\w+)">', page) == [
        ("applied", "canary"), ("waiting_for_approval", "rest"), ("failed", "rest"), ("drifted", "rest"),
    ]  # fmt: skip
    assert 'name="state" value="waiting_for_approval" checked> waiting for approval (1)' in page
    assert 'type="search"' in page


def test_the_metrics_have_every_state_and_each_tenant_once() -> None:
    lines = fleet.prometheus(SOME).splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r'\w+\{(?:\w+="[^"]*",?)+\} [0-9.]+', line) for line in samples)
    assert 'provisioner_fleet_tenants{kind="apply",state="failed"} 1' in samples
    assert 'provisioner_fleet_tenants{kind="apply",state="cut_off"} 0' in samples
    assert 'provisioner_fleet_tenant_state{kind="apply",tenant="tailspin",wave="rest",state="failed"} 1' in samples
    assert 'provisioner_fleet_tenant_changes{kind="apply",tenant="fabrikam",action="delete"} 2' in samples


HOSTILE_ONE = report(
    tenant("contoso", error={"kind": "tenant", "exit_code": 1, "message": f'"\\{HOSTILE}<script>x</script>'},
           labels={"x": f'{HOSTILE}"><img src=x>'}, drifted=[HOSTILE]),
    stopped=HOSTILE,
)  # fmt: skip


@pytest.mark.parametrize("render", [fleet.text, fleet.html, fleet.prometheus])
def test_hostile_words_stay_words_in_every_format(render: Any) -> None:
    content = render(HOSTILE_ONE)
    assert raw(content) == commands(content) == []
    assert "<script>x" not in content or render is fleet.text
    assert "<img" not in content


def test_a_label_of_a_metric_cannot_end_its_value_or_its_line() -> None:
    hostile = report(tenant('a"} 1\nevil{x="\\'))
    for line in fleet.prometheus(hostile).splitlines():
        assert line.startswith(("#", "provisioner_fleet_")), line
    assert 'tenant="a\\"} 1' in fleet.prometheus(hostile)
