"""Options that several commands take."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from provisioner.border import Border, read_ordinary
from provisioner.cli.groups import enter_folder
from provisioner.cli.output import STREAM
from provisioner.clock import SYSTEM
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.model import Desired
from provisioner.operations.history import runs_of
from provisioner.operations.state import journals
from provisioner.plan import document
from provisioner.plan.files import outside
from provisioner.plan.variables import Given
from provisioner.plan.yaml_nodes import LARGEST_BYTES, parse
from provisioner.render.formats import FORMATS
from provisioner.resources import TYPES
from provisioner.rules import RULES

output_format = click.option(
    "--format", "format_", type=click.Choice(["text", "json"]), default="text", help="How to print the result."
)
plan_format = click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="text", help="How to print the change set."
)
live_plan_format = click.option(
    "--format", "format_", type=click.Choice((*FORMATS, STREAM)), default="text", help="How to print the change set."
)
apply_format = click.option(
    "--format", "format_", type=click.Choice(["text", "json", STREAM]), default="text", help="How to print the result."
)
detailed_exitcode = click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit 0 without changes, 2 with changes, 1 on any error (its class is in the JSON).",
)


def _addresses(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """For completion: the resources of the plan."""
    desired = _declared(context)
    found = (f"{address.type}/{address.key}" for address in desired.resources) if desired else ()
    return _fitting(found, incomplete)


def _declared(context: click.Context) -> Desired | None:
    """The plan of a line that is not whole: the one that it names, or that of the profile's environment, or plans/."""
    enter_folder(context)
    profile = context.find_root().params.get("profile") or os.environ.get("PROVISIONER_PROFILE", "")
    named = context.get_parameter_source("path") not in {None, ParameterSource.DEFAULT}
    path = context.params["path"] if named else _environment(Path("plans"), profile)
    with contextlib.suppress(InputError):
        return document.load(path, TYPES, today=SYSTEM.now().date(), border=Border.of(path))[0]
    return None


def _fitting(found: Iterable[str], incomplete: str) -> list[str]:
    return sorted(text for text in found if text.startswith(incomplete) and text.isprintable())


def complete_devices(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """For completion: the devices of the plan."""
    desired = _declared(context)
    return _fitting(desired.devices, incomplete) if desired else []


def complete_subjects(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """For completion: what `explain` explains."""
    devices = (f"device/{name}" for name in complete_devices(context, parameter, ""))
    return _fitting([*RULES, *devices, *_addresses(context, parameter, "")], incomplete)


def complete_runs(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """For completion: the runs of this machine's journals."""
    runs = ["last"]
    with contextlib.suppress(InputError, OSError, ValueError):
        for journal in journals():
            runs += runs_of(journal)
    return _fitting(runs, incomplete)


def _rules(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For completion: the rules that can be waived, each with what it says."""
    found = (rule for rule in RULES.values() if rule.waivable and rule.id.startswith(incomplete))
    return [CompletionItem(rule.id, help=rule.sentence) for rule in found]


targets = click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="ADDRESS",
    help="Take only this resource and what it needs (repeatable).",
    shell_complete=_addresses,
)
excludes = click.option(
    "--exclude",
    "excludes",
    multiple=True,
    metavar="ADDRESS",
    help="Leave this resource out (repeatable).",
    shell_complete=_addresses,
)
allows = click.option(
    "--allow",
    "allows",
    multiple=True,
    metavar="RULE[:PATTERN]",
    help="Lift the guard RULE; with PATTERN only for resources that match it (repeatable).",
    shell_complete=_rules,
)


allow_outside = click.option(
    "--allow-outside-files",
    "outside",
    is_flag=True,
    help="Also read files outside of the checkout that the plan includes or links to; messages do not quote them.",
)


def plan_path(function: Any) -> Any:
    """The argument PATH of a plan (plans/ where nothing is said), and what gives its variables their values."""

    @functools.wraps(function)
    def given(*arguments: Any, **options: Any) -> Any:
        files, pairs = options.pop("var_files"), options.pop("vars_")
        context = click.get_current_context()
        session = context.obj
        if context.get_parameter_source("path") is ParameterSource.DEFAULT:
            plans, options["path"] = options["path"], _environment(options["path"], session.chosen)
        else:
            plans = options["path"]
        session.border = Border.of(plans, lifted=options.pop("outside"))
        session.variables = _given(files, pairs, session.border)
        return function(*arguments, **options)

    decorated = click.argument("path", type=click.Path(path_type=Path), default=Path("plans"), required=False)(given)
    for option in (
        allow_outside,
        click.option("--var", "vars_", multiple=True, metavar="NAME=VALUE", help="Set a variable (repeatable)."),
        click.option(
            "--var-file", "var_files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
            help="Set variables from a YAML file of NAME: VALUE (repeatable).",
        ),
    ):  # fmt: skip
        decorated = option(decorated)
    return decorated


def _environment(plans: Path, profile: str) -> Path:
    """The plan of the environment that is called like the profile: a folder or a file below plans/environments.

    Without one, plans/ is the plan.
    """
    place = plans / ENVIRONMENTS
    found = (place / profile, place / f"{profile}.yaml", place / f"{profile}.yml") if _NAME.fullmatch(profile) else ()
    return next((path for path in found if path.exists()), plans)


replay = click.option(
    "--replay",
    "replay",
    metavar="FILE|TIME",
    help="Try the plan against observed mail: an inventory file (senders discover), or the mail of the last TIME (30d, "
    "90d).",
)
ENVIRONMENTS = "environments"
_NAME = re.compile(r"[\w-]+")
_ENVIRONMENT = "PROVISIONER_VAR_"


def _given(files: tuple[Path, ...], pairs: tuple[str, ...], border: Border) -> dict[str, Given]:
    """The values from outside: the environment, then files, then the command line; the later wins."""
    given = {
        name.removeprefix(_ENVIRONMENT): Given(value, f"the environment's {name}", loose=True)
        for name, value in os.environ.items()
        if name.startswith(_ENVIRONMENT)
    }
    for file in files:
        given |= {name: Given(value, f"--var-file {file}") for name, value in _variables_of(file, border).items()}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f'--var "{pair}" gives nothing a value: write NAME=VALUE')
        given[name] = Given(value, f"--var {name}")
    return given


def _variables_of(file: Path, border: Border) -> dict[str, Any]:
    """The values of a file. It may lie anywhere, since a person names it; a link may not lead out of its checkout."""
    own = Border.of(file, lifted=border.lifted)
    if not own.admits(file):
        raise InputError([outside(file, own)])
    try:
        parsed = parse(read_ordinary(file, LARGEST_BYTES + 1), file.as_posix())
    except OSError as error:
        what = f"--var-file {file} cannot be read: {error.strerror or error}"
        raise InputError([Diagnostic("VARIABLE-FILE", what, "name a YAML file of NAME: VALUE")]) from error
    if parsed.diagnostics and not border.holds(file):
        what = f"--var-file {file} has mistakes; it is outside of the checkout and not quoted"
        raise InputError(
            [dataclasses.replace(d, summary=what, hint="", address=None, related=()) for d in parsed.diagnostics]
        )
    if parsed.diagnostics or parsed.root is None:
        raise InputError(parsed.diagnostics or [Diagnostic("VARIABLE-FILE", f"{file} holds nothing")])
    content = parsed.root.content()
    return content if isinstance(content, dict) else {}


class ResultFile(click.Path):
    """Where a result is written. Not over a file of YAML: none of the results is YAML, and a plan would be lost."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(value)
        if path.suffix in {".yaml", ".yml"} and os.path.exists(path):  # noqa: PTH110 - a name may be too long
            self.fail(f"{path} exists and is YAML, as a plan is: choose another file", param, ctx)
        return super().convert(value, param, ctx)


def reports(function: Any) -> Any:
    """`--out-markdown FILE` and the like, as one argument `reports`: format -> path. Each place takes one result."""

    @functools.wraps(function)
    def gathered(*arguments: Any, **options: Any) -> Any:
        wanted = {name: options.pop(f"out_{name}") for name in _REPORTS}
        found = {n: p for n, p in wanted.items() if p is not None}
        places = [*found.values(), *filter(None, [options.get("out")])]
        twice = next((place for place in places if places.count(place) > 1), None)
        if twice is not None:
            raise click.UsageError(f"{twice} is named for two results: write each to a place of its own")
        return function(*arguments, reports=found, **options)

    for name in reversed(_REPORTS):
        help_ = f"Also write the change set as {_REPORT_NAMES.get(name, name)} (- for standard output)."
        gathered = click.option(f"--out-{name}", type=ResultFile(), metavar="FILE", help=help_)(gathered)
    return gathered


_REPORTS = tuple(name for name in FORMATS if name != "text")
_REPORT_NAMES = {
    "json": "Terraform's plan JSON",
    "markdown": "Markdown for a pull request's comment",
    "html": "one HTML page",
    "powershell": "a PowerShell script",
    "github": "GitHub workflow annotations",
    "gitlab": "GitLab's Terraform report",
    "junit": "JUnit XML",
    "sarif": "SARIF",
}


def viewing(function: Any) -> Any:
    """How much of a change set is printed as text: `--concise`, `--all-findings`."""

    @functools.wraps(function)
    def given(*arguments: Any, **options: Any) -> Any:
        session = click.get_current_context().obj
        session.concise, session.all_findings = options.pop("concise"), options.pop("all_findings")
        return function(*arguments, **options)

    for option in (
        click.option("--all-findings", is_flag=True, help="Print every finding, not only those about the changes."),
        click.option("--concise", is_flag=True, help="Print one line for each change."),
    ):
        given = option(given)
    return given


def duration(text: str) -> float:
    """Seconds of `90`, `90s`, `30m`, `12h` or `7d`. Raises UsageError for anything else."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    if not number.replace(".", "", 1).isdecimal():
        raise click.UsageError(f'"{text}" is not a length of time: write 90s, 30m, 12h or 7d')
    return float(number) * unit


def pair(option: str, text: str) -> tuple[str, str]:
    """NAME and VALUE of an option NAME=VALUE; a header may hold an equals sign itself. Raises UsageError."""
    name, equals, value = text.rpartition("=") if option == "--map" else text.partition("=")
    if not equals or not name:
        raise click.UsageError(f'{option} "{text}": write NAME=VALUE')
    return name.strip(), value.strip()
