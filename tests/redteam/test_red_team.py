"""A seeded share of the attacks of scripts/red-team, each with a share of the commands."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import click
import pytest

from tests import reference
from tests.generated import whole
from tests.redteam.attacking import NEEDS_NO_TENANT, ON_TENANT, READERS, attack, reading
from tests.redteam.attacks import all_attacks
from tests.redteam.world import WRONG, World, commands, open_world, raw

ATTACKS, RUNS = 3, 4
"""How many of each in the normal suite."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("world")) as here:
        yield here


def test_an_attack_does_nothing(world: World) -> None:
    every = list(all_attacks())
    told: list[str] = []
    world.tell = told.append
    for one in every if whole() else random.sample(every, ATTACKS):
        drawn = random.sample([*NEEDS_NO_TENANT, *ON_TENANT], RUNS)
        attack(world, one, _chosen(drawn))
    assert [line for line in told if not line.startswith("note: ")] == []
    assert world.counts["runs"] >= ATTACKS
    assert sum(world.counts[name] for name in WRONG) == 0


def _chosen(drawn: Sequence[tuple[str, ...]]) -> Callable[[Sequence[str]], bool]:
    return lambda arguments: whole() or any(set(one) <= set(arguments) for one in drawn)


def test_every_command_is_run() -> None:
    lines = [f" {' '.join(arguments)} " for arguments in (*NEEDS_NO_TENANT, *ON_TENANT)]
    single = [typed for typed, command in reference.commands() if not isinstance(command, click.Group)]
    assert [typed for typed in single if not any(f" {typed} " in line for line in lines)] == []


def test_the_lines_that_read_a_kind_are_chosen() -> None:
    lines = [*NEEDS_NO_TENANT, *ON_TENANT]
    assert set(READERS) <= {one.kind for one in all_attacks()}
    for kind, words in READERS.items():
        chosen = list(filter(reading(kind), lines))
        assert all(line in chosen for line in lines if words & set(line)), kind
        assert words <= {word for line in lines for word in line}, kind
    assert list(filter(reading("settings"), lines)) == lines


def test_attacks_are_told_apart() -> None:
    names = Counter((one.kind, one.name) for one in all_attacks())
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) >= 24 + 50


# --- the watch sees what it is there for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "code", "counted"),
    [
        ("canary7Qx-of-another-file", 0, "bytes leaked"),
        ("\x1b[0m", 0, "raw characters"),
        ("##[group]", 0, "raw characters"),
        ("Traceback (most recent call last)", 1, "tracebacks"),
        ("this is a fault of provisioner", 1, "tracebacks"),
        ("", 77, "odd exits"),
    ],
)
def test_what_goes_wrong_is_counted(world: World, output: str, code: int, counted: str) -> None:
    world.anew()
    before = world.counts[counted]
    told: list[str] = []
    world.tell = told.append
    world.judge("a test", ("x",), output, code)
    assert (world.counts[counted] - before, len(told)) == (1, 1)
    world.counts[counted] -= 1


def test_a_program_and_a_file_outside_are_seen(world: World) -> None:
    world.anew()
    told: list[str] = []
    world.tell = told.append
    world.marker.touch()
    (world.outside / "id_rsa").write_text("other")
    world.judge("a test", ("x",), "", 0)
    assert [line.partition(":")[0] for line in told] == ["programs run", "written outside"]
    for name in ("programs run", "written outside"):
        world.counts[name] -= 1


def test_secrets_are_known_in_disguise() -> None:
    from tests.redteam.world import forms_of

    forms = list(forms_of("a-secret-text"))
    assert "612d7365637265742d74657874" in forms
    assert any(form in "eGEtc2VjcmV0LXRleHR4" for form in forms)  # base64 of xa-secret-textx


def test_raw_characters_and_commands_are_found() -> None:
    assert [bool(raw(text)) for text in ("a\x1b", "\u202e", "grün\n\t")] == [True, True, False]
    told = [bool(commands(text)) for text in (" ::error::x", "##vso[x", "##[x", "a::b")]
    assert told == [True, True, True, False]
    assert not commands("::error file=x::y", github=True)
