"""From a path to the desired state, without a tenant: for `validate` and `lint`, and before anybody signs in."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner import rules
from provisioner.changes.scoping import Scope
from provisioner.diagnostics import Diagnostic, InputError, Severity, place_of
from provisioner.mailflow.basic_authentication import with_countdown
from provisioner.model import Address, Desired, Finding, Waiver
from provisioner.model.clouds import cloud_of_mail
from provisioner.model.traffic import Traffic
from provisioner.operations.context import Context
from provisioner.plan import document
from provisioner.resources import TYPES


@dataclass(frozen=True, slots=True)
class Selection:
    """Which resources an operation covers, which guards it waives, and how long a saved change set is valid.

    `traffic` is observed mail that the plan is tried against.
    """

    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    allows: tuple[str, ...] = ()
    expires_s: float = 7 * 86400.0
    traffic: tuple[Traffic, ...] = ()

    def waivers(self) -> Sequence[Waiver]:
        """The waivers of `allows`. Raises InputError for one that names no rule."""
        return [rules.parse_allow(text) for text in self.allows]

    def scope(self) -> Scope:
        """Targets and excludes as patterns over `type/key`, in whichever form they were written."""
        return Scope(tuple(_patterns("--target", self.targets)), tuple(_patterns("--exclude", self.excludes)))


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plan with the resources that its devices need, and what is to be said about it."""

    desired: Desired
    diagnostics: Sequence[Diagnostic] = ()


def load(context: Context, path: Path, waivers: Sequence[Waiver] = ()) -> Loaded:
    """The plan at a path, a file or a folder. Raises InputError with every mistake and its place."""
    desired, warnings = document.load(
        path, TYPES, today=context.today(), waivers=waivers, variables=context.variables, border=context.border
    )
    return Loaded(desired, warnings)


def load_for_tenant(context: Context, path: Path, waivers: Sequence[Waiver] = ()) -> Loaded:
    """As `load`, for the cloud of the profile: a device whose method it does not offer is a mistake too."""
    loaded = load(context, path, waivers)
    desired = loaded.desired
    cloud = cloud_of_mail(context.profile.cloud, desired.tenant)
    found = rules.waive(rules.not_offered(desired, cloud), (*desired.waivers, *waivers))
    lost = [diagnostic(f) for f in found if not f.waived]
    if lost:
        raise InputError(lost)
    return loaded


def validate(context: Context, path: Path, selection: Selection = EVERYTHING, *, cloud: str = "worldwide") -> Loaded:
    """As `load`, with the findings of the rules that need no tenant. Raises InputError for a plan with mistakes.

    `cloud` is that of the profile, where one is chosen.
    """
    waivers = selection.waivers()
    loaded = load(context, path, waivers)
    return _judged(loaded.desired, loaded.diagnostics, waivers, context.today(), cloud)


def lint(
    context: Context,
    path: Path,
    selection: Selection = EVERYTHING,
    *,
    strict_dates: bool = False,
    cloud: str = "worldwide",
) -> Loaded:
    """As `validate`, with mistakes as diagnostics where the rest of the plan can still be judged.

    `strict_dates`: a day that has passed, of a device or a waiver, is an error.
    """
    waivers = selection.waivers()
    desired, found = document.examine(
        path, TYPES, today=context.today(), variables=context.variables, border=context.border
    )
    if strict_dates:
        found = [dataclasses.replace(d, severity=Severity.ERROR) if _has_passed(d) else d for d in found]
    return _judged(desired, found, waivers, context.today(), cloud)


def _judged(
    desired: Desired, found: Sequence[Diagnostic], waivers: Sequence[Waiver], today: datetime.date, cloud: str
) -> Loaded:
    """A plan with everything that was found, in the order of the places."""
    return Loaded(desired, sorted([*found, *_standing(desired, waivers, today, cloud)], key=place_of))


def _has_passed(told: Diagnostic) -> bool:
    return told.id in document.DATES and told.severity is Severity.WARNING


def load_for_devices(context: Context, path: Path) -> Desired:
    """The plan with its warnings reported; a device without a sending method is not an error here."""
    lost = Waiver("DEVICE-NO-METHOD", reason="it is looked at")
    loaded = load(context, path, [lost])
    context.diagnose(loaded.diagnostics)
    return loaded.desired


def _standing(desired: Desired, waivers: Sequence[Waiver], today: datetime.date, cloud: str) -> Sequence[Diagnostic]:
    """The findings that no waiver covers. A guard is for apply to enforce: here it is only shown.

    The end of basic authentication is counted down to: nothing of this is saved, and no exit code rests on the day.
    """
    here = rules.not_offered(desired, cloud_of_mail(cloud, desired.tenant))
    found = rules.waive((*rules.lint(desired), *here), (*desired.waivers, *waivers))
    told = (diagnostic(f) for f in found if not f.waived)
    return [dataclasses.replace(d, summary=with_countdown(d.summary, today)) for d in told]


def diagnostic(finding: Finding) -> Diagnostic:
    """A finding in the form of a mistake in the plan."""
    return Diagnostic(finding.rule, finding.summary, finding.hint, finding.severity, finding.location)


def _patterns(option: str, texts: Sequence[str]) -> Sequence[str]:
    names = [t.name for t in TYPES]
    patterns = []
    for text in texts:
        try:
            address = Address.parse(text)
        except ValueError as error:
            raise InputError([Diagnostic("ADDRESS-INVALID", f"{option}: {error}")]) from None
        if address.type not in names and address.type != "*":
            near = difflib.get_close_matches(address.type, names, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"types: {', '.join(names)}"
            raise InputError([Diagnostic("TYPE-UNKNOWN", f'{option}: there is no type "{address.type}"', hint)])
        patterns.append(address.short)
    return patterns
