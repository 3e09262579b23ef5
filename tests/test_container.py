"""The container image's definition: what it copies is there, and the program takes its command line."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from pathlib import Path

import click

from provisioner.cli.main import cli
from provisioner.sandbox.listening import parsed

ROOT = Path(__file__).parents[1]
LINES = (ROOT / ".container" / "Containerfile").read_text(encoding="utf-8").splitlines()
IGNORED = (ROOT / ".container" / "Containerfile.dockerignore").read_text(encoding="utf-8").split()


def instructions(name: str) -> list[str]:
    return [line.removeprefix(f"{name} ") for line in LINES if line.startswith(f"{name} ")]


def test_the_program_takes_the_command_line_and_the_ports_are_exposed() -> None:
    (entry,) = map(json.loads, instructions("ENTRYPOINT"))
    program, group, name, *arguments = entry
    assert (program, group, name) == ("provisioner", "sandbox", "start")
    start = cli.get_command(click.Context(cli), "sandbox").commands["start"]  # type: ignore[union-attr]
    given = start.make_context("start", list(arguments)).params
    assert given["address"] == "0.0.0.0"
    ports = [f"{front}={port}" for front, port in given["ports"].items()]
    assert parsed(given["address"], ports, []).ports == given["ports"], "the sandbox knows each front"
    (exposed,) = instructions("EXPOSE")
    assert {int(port) for port in re.findall(r"\d+", exposed)} == set(given["ports"].values())
    assert "control" not in given["ports"]
    (health,) = re.findall(r"CMD (\[.*\])", instructions("HEALTHCHECK")[0])
    assert json.loads(health) == ["provisioner", "sandbox", "status"]


def test_the_build_needs_nothing_that_the_lock_file_does_not_have() -> None:
    """The project is built without isolation: with the build backend from the lock file, on the image's Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    locked = (ROOT / "requirements-sandbox.lock").read_text(encoding="utf-8")
    for requirement in project["build-system"]["requires"]:
        name = re.split(r"[<>=~! ]", requirement)[0]
        assert re.search(rf"^{re.escape(name)}==", locked, re.MULTILINE), name
    assert any("--no-build-isolation" in line for line in instructions("RUN"))
    (python,) = {re.search(r"python:(\d+\.\d+)", image)[1] for image in instructions("FROM")}  # type: ignore[index]
    assert f"Programming Language :: Python :: {python}" in project["project"]["classifiers"]


def test_it_runs_as_an_ordinary_user_from_pinned_packages_with_hashes() -> None:
    assert instructions("USER") == ["10001"]
    assert all(re.search(r":\d[\w.-]+$", image.partition(" AS ")[0]) for image in instructions("FROM"))
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[1]


def test_what_the_build_needs_is_in_its_context_and_nothing_private() -> None:
    kept = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}
    assert IGNORED[0] == "*"
    for name in kept:
        assert (ROOT / name).exists(), name
    assert {"provisioner", "docs", "scripts/hatch_build.py", "requirements-sandbox.lock", "README.md"} <= kept
    private = (".git", ".provisioner", "provisioner.toml", ".venv", "tests")
    assert not [name for name in private if any(fnmatch.fnmatch(name, pattern) for pattern in kept)]
    sources = [word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]]
    assert all((ROOT / source).exists() for source in sources)
