"""`fleet.yaml`: which tenants there are, where their plans lie, and in which order they are applied.

It lies in a checkout and may come from a stranger: it selects profiles by name and plans inside of its checkout, and
nothing else.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioner.border import Border, read_named
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.plan.files import outside
from provisioner.plan.mistakes import unknown_word
from provisioner.plan.yaml_nodes import LARGEST_BYTES, Node, parse

MOST_TENANTS = 10_000

NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
"""What a tenant of a fleet can be called."""

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")


@dataclass(frozen=True, slots=True)
class FleetTenant:
    """One tenant: its plan, the profile that says how to reach it, its labels, and the values of its variables."""

    name: str
    plan: Path
    profile: str
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether it has all of these labels."""
        return all(self.labels.get(name) == value for name, value in labels.items())


@dataclass(frozen=True, slots=True)
class Canary:
    """The tenants that are applied first, by labels or names, and the share of them that may fail (0 to 1)."""

    labels: Mapping[str, str] = field(default_factory=dict)
    tenants: tuple[str, ...] = ()
    failures: float = 0.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet.yaml that was read. `at_once` is how many tenants all workers together may have under way."""

    file: Path
    tenants: Mapping[str, FleetTenant]
    at_once: int = 8
    canary: Canary | None = None
    schedule: str = ""
    timezone: str = ""

    @property
    def border(self) -> Border:
        """Inside of which the plans are read."""
        return Border.of(self.file)

    def selected(self, selectors: Sequence[str]) -> Sequence[FleetTenant]:
        """The tenants with all labels of `NAME=VALUE` selectors. Raises InputError where there are none."""
        labels = dict(_selector(text) for text in selectors)
        found = [tenant for tenant in self.tenants.values() if tenant.has(labels)]
        if not found:
            known = sorted({f"{n}={v}" for t in self.tenants.values() for n, v in t.labels.items()})
            hint = f"labels in {self.file.name}: {', '.join(known[:20]) or 'none'}"
            raise InputError([Diagnostic("FLEET-SELECT", f"--select {' '.join(selectors)} matches no tenant", hint)])
        return found

    def canaries(self, tenants: Sequence[FleetTenant]) -> frozenset[str]:
        """Which of these tenants are in the canary wave."""
        if self.canary is None:
            return frozenset()
        chosen, labels = self.canary.tenants, self.canary.labels
        return frozenset(t.name for t in tenants if t.name in chosen or (labels and t.has(labels)))


def _selector(text: str) -> tuple[str, str]:
    name, equals, value = text.removeprefix("label=").partition("=") if text.count("=") > 1 else text.partition("=")
    if not equals or not name:
        raise InputError([Diagnostic("FLEET-SELECT", f'--select "{text}": write a label as NAME=VALUE')])
    return name, value


# --- reading ---------------------------------------------------------------------------------------------------------


def load(file: Path) -> Fleet:
    """Read a fleet.yaml. Raises InputError with every mistake and its place."""
    try:
        parsed = parse(read_named(file, LARGEST_BYTES + 1), file.as_posix())
    except (OSError, ValueError) as error:
        what = f"{file} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InputError([Diagnostic("FLEET-FILE", what, "name a fleet.yaml, which lists the tenants")]) from error
    if parsed.root is None or parsed.diagnostics:
        raise InputError(parsed.diagnostics or [Diagnostic("FLEET-FILE", f"{file} holds nothing")])
    reading = _Reading(file)
    fleet = reading.fleet(parsed.root)
    if reading.found:
        raise InputError(reading.found)
    return fleet


@dataclass(slots=True)
class _Reading:
    """One pass over the file, which collects what is wrong with it."""

    file: Path
    found: list[Diagnostic] = field(default_factory=list)

    def wrong(self, node: Node, summary: str, hint: str = "", id_: str = "FLEET-VALUE") -> None:
        at = node.head
        self.found.append(Diagnostic(id_, summary, hint, location=at.location, length=at.length))

    def fleet(self, root: Node) -> Fleet:
        keys = self.mapping(root, ("fleet", "tenants", "at_once", "canary", "drift"))
        version = keys.get("fleet")
        if version is None or version.content() != 1:
            self.wrong(version or root, "the file does not say that it is a fleet", "begin it with `fleet: 1`")
        tenants = dict(self.tenants(keys["tenants"])) if "tenants" in keys else {}
        if not tenants and not self.found:
            self.wrong(root, "the fleet has no tenants", "list them under `tenants`")
        return Fleet(
            self.file,
            tenants,
            self.value(keys, "at_once", int, 8, "a whole number from 1 to 64", lambda n: 1 <= n <= 64),
            self.canary(keys["canary"], tenants) if "canary" in keys else None,
            *(self.schedule(keys["drift"]) if "drift" in keys else ()),
        )

    def mapping(self, node: Node, known: Sequence[str] = ()) -> dict[str, Node]:
        """The entries of a mapping, with each key that is not known as a mistake."""
        if not isinstance(node.children, dict):
            self.wrong(node, "a mapping is expected here", "write NAME: VALUE")
            return {}
        for name, child in node.children.items():
            if known and name not in known:
                self.wrong(child, f'"{name}" is not known here', unknown_word(name, known), "FLEET-KEY")
        return node.children

    def value(
        self,
        keys: Mapping[str, Node],
        name: str,
        kind: type,
        default: Any,
        expected: str,
        fits: Callable[[Any], bool] = bool,
    ) -> Any:
        """The scalar under a key, checked; the default where it is missing or wrong."""
        node = keys.get(name)
        if node is None:
            return default
        content = node.content()
        if type(content) is not kind or not fits(content):
            self.wrong(node, f"{name} must be {expected}")
            return default
        return content

    def texts(self, node: Node | None, what: str) -> dict[str, str]:
        """A mapping of labels."""
        entries = self.mapping(node) if node else {}
        for name, child in entries.items():
            if not _LABEL.fullmatch(name) or not isinstance(child.content(), str | int):
                self.wrong(child, f"{what}: write NAME: VALUE with letters, digits and . _ / -")
        return {name: str(child.content()) for name, child in entries.items()}

    def tenants(self, node: Node) -> Iterator[tuple[str, FleetTenant]]:
        entries = self.mapping(node)
        if len(entries) > MOST_TENANTS:
            self.wrong(node, f"the fleet has {len(entries):,} tenants, and at most {MOST_TENANTS:,} are read")
            return
        border = Border.of(self.file)
        for name, child in entries.items():
            if not re.fullmatch(NAME, name):
                self.wrong(child, f'"{name}" is not a name for a tenant', "use letters, digits and . _ -")
                continue
            yield name, self.tenant(name, child, border)

    def tenant(self, name: str, node: Node, border: Border) -> FleetTenant:
        keys = self.mapping(node, ("plan", "profile", "labels", "variables"))
        for wanted in ("plan", "profile"):
            if isinstance(node.children, dict) and wanted not in keys:
                self.wrong(node, f"tenants.{name} has no {wanted}", f"write {wanted}: …")
        plan = self.file.parent / self.value(keys, "plan", str, ".", "a path, from the folder of this file")
        if "plan" in keys and not border.admits(plan):
            self.found.append(outside(plan, border))
        variables = self.mapping(keys["variables"]) if "variables" in keys else {}
        return FleetTenant(
            name,
            plan,
            self.value(keys, "profile", str, "", "the name of a profile"),
            self.texts(keys.get("labels"), "labels"),
            {key: child.content() for key, child in variables.items()},
        )

    def canary(self, node: Node, tenants: Mapping[str, FleetTenant]) -> Canary:
        keys = self.mapping(node, ("labels", "tenants", "failures"))
        named = keys["tenants"].content() if "tenants" in keys else []
        if not isinstance(named, list) or not all(isinstance(n, str) for n in named):
            self.wrong(keys["tenants"], "canary.tenants must be a list of names")
            named = []
        for name in named:
            if name not in tenants:
                self.wrong(
                    keys["tenants"], f'canary.tenants: there is no tenant "{name}"', unknown_word(name, list(tenants))
                )
        text = self.value(keys, "failures", str, "0%", "a percentage from 0% to 99%", _is_percentage)
        canary = Canary(self.texts(keys.get("labels"), "canary.labels"), tuple(named), float(text[:-1]) / 100)
        if not canary.labels and not canary.tenants:
            self.wrong(node, "canary chooses no tenants", "write canary.labels or canary.tenants")
        return canary

    def schedule(self, node: Node) -> tuple[str, str]:
        """When drift is looked for, and in which time zone (UTC where none is named)."""
        keys = self.mapping(node, ("schedule", "timezone"))
        zone = self.value(keys, "timezone", str, "UTC", "the name of a time zone, as Europe/Berlin", _is_zone)
        return self.value(keys, "schedule", str, "", 'five fields of cron, as "0 3 * * *"', _is_cron), zone


def _is_percentage(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,2}%", text))


def _is_zone(text: str) -> bool:
    try:
        return bool(zoneinfo.ZoneInfo(text))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _is_cron(text: str) -> bool:
    """Five fields (crontab(5)); the engine checks their content."""
    return len(text.split()) == 5 and bool(re.fullmatch(r"[0-9A-Za-z*/, -]+", text))
