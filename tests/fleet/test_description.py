"""fleet.yaml: what it says, and each mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.diagnostics import InputError
from provisioner.fleet.description import Fleet, load

WHOLE = """fleet: 1
at_once: 3
canary: { labels: { ring: canary }, tenants: [fabrikam], failures: 10% }
drift: { schedule: "0 3 * * *", timezone: Europe/Berlin }
tenants:
  contoso:
    plan: contoso/plan.yaml
    profile: contoso-prod
    labels: { ring: canary, region: eu }
    variables: { egress: 203.0.113.10, sites: [hq, plant] }
  fabrikam: { plan: fabrikam, profile: fabrikam, labels: { region: us } }
  tailspin: { plan: tailspin, profile: tailspin }
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "fleet.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def fleet(folder: Path, text: str = WHOLE) -> Fleet:
    return load(written(folder, text))


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as refused:
        fleet(folder, text)
    return [f"{d.location.line if d.location else 0}: {d.id}: {d.summary}" for d in refused.value.diagnostics]


def test_a_whole_file(tmp_path: Path) -> None:
    found = fleet(tmp_path)
    assert (found.at_once, found.schedule, found.timezone) == (3, "0 3 * * *", "Europe/Berlin")
    assert list(found.tenants) == ["contoso", "fabrikam", "tailspin"]
    contoso = found.tenants["contoso"]
    assert (contoso.plan, contoso.profile) == (tmp_path / "contoso/plan.yaml", "contoso-prod")
    assert contoso.variables == {"egress": "203.0.113.10", "sites": ["hq", "plant"]}
    assert found.canary is not None
    assert found.canary.failures == pytest.approx(0.1)


def test_tenants_are_selected_by_all_of_the_labels(tmp_path: Path) -> None:
    found = fleet(tmp_path)
    chosen = [[t.name for t in found.selected(s)] for s in ([], ["region=eu"], ["label=region=eu"], ["region=us"])]
    assert chosen == [["contoso", "fabrikam", "tailspin"], ["contoso"], ["contoso"], ["fabrikam"]]
    with pytest.raises(InputError, match="matches no tenant"):
        found.selected(["region=eu", "ring=x"])
    with pytest.raises(InputError, match="write a label as NAME=VALUE"):
        found.selected(["region"])


def test_the_canary_wave_is_chosen_by_labels_and_by_names(tmp_path: Path) -> None:
    found = fleet(tmp_path)
    assert found.canaries(found.selected([])) == {"contoso", "fabrikam"}
    assert found.canaries(found.selected(["region=us"])) == {"fabrikam"}


def test_every_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    text = """fleet: 1
at_once: many
canary: { failures: 100% }
tenant: {}
tenants:
  a: { plan: a }
  "b c": { plan: b, profile: b }
  d: { plan: d, profile: d, labels: { x: [1] }, wave: 1 }
"""
    assert mistakes(tmp_path, text) == [
        '4: FLEET-KEY: "tenant" is not known here',
        "6: FLEET-VALUE: tenants.a has no profile",
        '7: FLEET-VALUE: "b c" is not a name for a tenant',
        '8: FLEET-KEY: "wave" is not known here',
        "8: FLEET-VALUE: labels: write NAME: VALUE with letters, digits and . _ / -",
        "2: FLEET-VALUE: at_once must be a whole number from 1 to 64",
        "3: FLEET-VALUE: failures must be a percentage from 0% to 99%",
        "3: FLEET-VALUE: canary chooses no tenants",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tenants: { a: { plan: a, profile: a } }\n", "the file does not say that it is a fleet"),
        ("fleet: 2\ntenants: { a: { plan: a, profile: a } }\n", "the file does not say that it is a fleet"),
        ("fleet: 1\n", "the fleet has no tenants"),
        ("fleet: 1\ntenants: [a]\n", "a mapping is expected here"),
        ("fleet: 1\ncanary: { tenants: [b] }\ntenants: { a: { plan: a, profile: a } }\n", 'there is no tenant "b"'),
        ("fleet: 1\ndrift: { schedule: daily }\ntenants: { a: { plan: a, profile: a } }\n", "five fields of cron"),
        ("fleet: 1\ntenants: { a: { plan: ../other, profile: a } }\n", "is outside of"),
        ("fleet: 1\ntenants: { a: { plan: /etc, profile: a } }\n", "is outside of"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "fleet").mkdir()
    assert any(said in found for found in mistakes(tmp_path / "fleet", text))


def test_a_link_leads_no_plan_out_of_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "here" / ".git").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here" / "a").symlink_to(tmp_path / "elsewhere")
    found = mistakes(tmp_path / "here", "fleet: 1\ntenants: { a: { plan: a, profile: a } }\n")
    assert "PLAN-OUTSIDE" in found[0]


def test_a_file_that_is_not_there_is_one_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "fleet.yaml")
