"""Runs every command against attacks, and prints what was counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tests.redteam.attacks.base import Attack, real_change_set, tenant_of
from tests.redteam.world import WRONG, World

NEEDS_NO_TENANT: Sequence[tuple[str, ...]] = (
    ("validate", "plans"),
    ("validate", "plans", "--format", "json"),
    ("validate", "plans", "--var-file", "vars.yaml", "--allow-outside-files"),
    ("lint", "plans", "--format", "sarif"),
    ("lint", "plans", "--format", "github"),
    ("fleet", "status", "--store", "sqlite:fleet.sqlite"),
    ("fleet", "report", "--store", "sqlite:fleet.sqlite", "--format", "html", "-o", "../out/fleet.html"),
    ("fleet", "report", "--store", "sqlite:fleet.sqlite", "--format", "prometheus"),
    ("devices", "list", "plans"),
    ("devices", "show", "mfp", "plans", "--format", "html"),
    ("devices", "import", "log.txt", "-o", "plans/imported.yaml"),
    ("test", "plans"),
    ("show", "changes.json"),
    ("show", "changes.json", "--format", "markdown"),
    ("graph", "changes.json", "--format", "svg"),
    ("history", "list"),
    ("history", "show"),
    ("history", "verify"),
    ("history", "export"),
    ("sandbox", "status"),
    ("sandbox", "dump"),
    ("sandbox", "requests"),
    ("sandbox", "mail"),
    ("sandbox", "environment"),
    ("sandbox", "reset"),
    ("sandbox", "stop"),
    ("sandbox", "start", "--detach"),
    ("sandbox", "certificate", "x.example", "-o", "../out/x.pem"),
    ("sandbox", "run", "Get-InboundConnector"),
    ("sandbox", "dns", "contoso.com", "txt", "x"),
    ("schema",),
    ("init", "--tenant", "contoso.com", "--owner", "us", "--ci", "github"),
    ("explain", "IP-PRIVATE"),
    ("fmt", "plans", "--check"),
    ("fmt", "plans"),
    ("version",),
    ("completion", "bash"),
)
ON_TENANT: Sequence[tuple[str, ...]] = (
    ("plan", "plans", "--out-json", "../out/p.json", "--out-markdown", "../out/p.md", "--out-html", "../out/p.html",
     "--out-powershell", "../out/p.ps1", "--out-github", "../out/github.txt", "--out-gitlab", "../out/gitlab.json",
     "--out-junit", "../out/p.xml", "--out-sarif", "../out/p.sarif"),
    ("-v", "plan", "plans", "--format", "json-lines"),
    ("plan", "plans", "--var-file", "vars.yaml"),
    ("--log-file", "../out/run.log", "--log-format", "json", "drift", "plans"),
    ("drift", "plans", "--format", "json"),
    ("graph", "plans", "-o", "../out/graph.dot", "--format", "dot"),
    ("doctor", "plans"),
    ("explain", "device/mfp", "plans"),
    ("devices", "report", "plans"),
    ("senders", "discover", "--days", "1", "--out", "../out/senders.html", "--format", "html"),
    ("senders", "discover", "--report", "log.txt"),
    ("senders", "discover", "--inventory", "log.txt", "--propose", "../out/senders.yaml"),
    ("senders", "discover", "--inventory", "log.txt", "--out", "../out/senders.html", "--format", "html"),
    ("plan", "plans", "--replay", "log.txt"),
    ("devices", "report", "plans", "--inventory", "log.txt"),
    ("senders", "rehearse", "--ring", "log.txt", "--format", "json"),
    ("senders", "discover", "--days", "1", "--format", "csv"),
    ("dns", "check", "plans"),
    ("dns", "export", "plans"),
    ("dkim", "rotate", "contoso.com", "--auto-approve"),
    ("dane", "enable", "contoso.com", "--auto-approve"),
    ("dane", "disable", "contoso.com", "--auto-approve"),
    ("dane", "status", "contoso.com"),
    ("probe", "mfp", "plans", "--timeout", "3"),
    ("diagnose", "--file", "log.txt"),
    ("export", "-o", "../out/export.yaml"),
    ("lock", "status"),
    ("lock", "status", "--tenant-id", "ID", "--format", "json"),
    ("lock", "release", "i", "--tenant-id", "ID"),
    ("rollback", "last", "-o", "../out/back.json"),
    ("apply", "changes.json"),
    ("apply", "changes.json", "--plan", "plans", "--format", "json"),
    ("apply", "plans", "--auto-approve", "--format", "json-lines"),
    ("approve", "changes.json", "--key", "key"),
    ("sandbox", "load", "seed.yaml", "--state", "../shop/.provisioner/sandbox"),
    ("fleet", "resume", "--store", "sqlite:fleet.sqlite", "--approve", "all", "--format", "json"),
    ("fleet", "cancel", "--store", "sqlite:fleet.sqlite"),
    ("fleet", "plan", "--store", "sqlite:fleet.sqlite"),
    ("fleet", "apply", "--store", "sqlite:fleet.sqlite", "--approved", "approved.yaml"),
    ("fleet", "drift", "--textfile", "../out/drift.prom"),
    ("-vv", "plan", "plans"),
)  # fmt: skip
"""With the profile of the attack. Where `changes.json` is not the attack's, it is that of the plan."""

READERS: Mapping[str, frozenset[str]] = {
    "text of a plan": frozenset({"plans"}),
    "includes and links": frozenset({"plans"}),
    "variables": frozenset({"plans"}),
    "tests of plans": frozenset({"test", "validate", "lint"}),
    "sandbox's folder": frozenset({"sandbox"}),
    "places to write to": frozenset({"--out-json", "--log-file", "-o", "approve", "apply"}),
    "change sets": frozenset({"changes.json"}),
    "fleets": frozenset({"fleet"}),
    "inventories": frozenset({"--inventory", "--replay"}),
    "journals": frozenset({"history", "rollback", "plan", "drift", "apply", "doctor"}),
    "records of domains": frozenset({"dns", "plan", "doctor", "explain", "test"}),
    "locks": frozenset({"lock", "apply", "doctor"}),
}
"""By kind of attack, words of the command lines that read what it attacks. What every command reads (settings, the
checkout's git, the answers of servers, files handed over) has no entry: there every command line is one of them."""
_OTHERS = 0.1


def reading(kind: str) -> Callable[[Sequence[str]], bool]:
    """Chooses the command lines that read what a kind of attack makes hostile, and a drawn tenth of the others."""
    words = READERS.get(kind)
    return lambda line: words is None or not words.isdisjoint(line) or random.random() < _OTHERS


def attack(world: World, one: Attack, chosen: Callable[[Sequence[str]], bool] = lambda _: True) -> None:
    """One attack: the world made hostile, and every command run in it, or those that are chosen."""
    world.anew()
    real = real_change_set(world)
    world.anew()
    (world.checkout / "changes.json").write_text(world.as_saved(real))
    try:
        one.make(world)
    except OSError as error:  # this file system takes no such name
        world.tell(f"note: {one.name}: {error}")
        return
    world.settle()
    name = f"{one.kind}: {one.name}"
    lines = [*filter(chosen, _commands(world, one)), *one.commands]  # its own are always run
    for arguments in lines:
        for rule in one.faults:
            world.shop.tenant.control("POST", "/faults", [dict(rule)])
        world.run(name, arguments, one.environment)
        if one.faults:
            world.shop.release()
    world.requests_told(name)


def _commands(world: World, one: Attack) -> Iterator[Sequence[str]]:
    """The command lines that are tried with every attack."""
    profile = () if one.profile == "default" else ("--profile", one.profile)
    yield from NEEDS_NO_TENANT
    for arguments in ON_TENANT:
        known = [tenant_of(world) if word == "ID" else word for word in arguments]
        yield (*profile, *known)


def table(counts: dict[str, Counter[str]]) -> Iterator[str]:
    """A line for each kind of attack, and the sums."""
    names = ("attacks", "runs", *WRONG)
    width = max(map(len, counts)) + 2
    yield " " * width + "  ".join(names)
    sums: Counter[str] = Counter()
    for kind, found in counts.items():
        sums.update(found)
        yield _line(kind, found, names, width)
    yield _line("all", sums, names, width)


def _line(title: str, found: Counter[str], names: Sequence[str], width: int) -> str:
    return f"{title:<{width}}" + "  ".join(f"{found[name]:>{len(name)}}" for name in names)


def all_of(world: World, attacks: Iterable[Attack], *, every_line: bool = True) -> dict[str, Counter[str]]:
    """The counts by kind, of every command line or of those that read what is attacked."""
    found: dict[str, Counter[str]] = {}
    for one in attacks:
        world.counts = found.setdefault(one.kind, Counter())
        world.counts["attacks"] += 1
        attack(world, one, (lambda _: True) if every_line else reading(one.kind))
    return found


def wrong(counts: dict[str, Counter[str]]) -> int:
    """How much went wrong in all."""
    return sum(found[name] for found in counts.values() for name in WRONG)
