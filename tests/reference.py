"""The reference pages of docs/, made from the code: commands, exit codes, sections of a plan, rules, causes, settings.

`python -m tests.reference` (scripts/reference) writes them; tests/test_reference.py compares them with the code. What a
person writes about these things stands on pages of its own, to which these lead.
"""

from __future__ import annotations

import importlib
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from provisioner import __version__, diagnostics
from provisioner.cli.main import COMMANDS, cli
from provisioner.diagnosis.causes import CAUSES
from provisioner.plan.schema import schema
from provisioner.resources import TYPES
from provisioner.rules import RULES
from provisioner.settings import Profile

DOCS = Path(__file__).resolve().parents[1] / "docs"
_WRITTEN = "<!-- Written by scripts/reference -->\n\n"

_COMMANDS_HEAD = """# The command line

Every command has `--help`. What a command was asked for goes to standard output and nothing else does; notes, progress,
findings and errors go to standard error.

| exit code | what |
|---|---|
| 0 | done; for `plan`: made, whether or not there are changes |
| 1 | an error; with `--detailed-exitcode` any |
| 2 | changes are present (`plan --detailed-exitcode`, `drift`) |
| 3 | the plan (any error of `validate`, `lint`), the settings or the command line are wrong, or an extra is missing |
| 4 | sign-in refused, or a permission is missing |
| 5 | the tenant could not be read completely |
| 6 | blocked by a guard or an unmet precondition; for `plan`: shown and saved, and `apply` would refuse it |
| 7 | the change set is stale: nothing was written |
| 8 | partly applied, unconfirmed, held back, or waiting for DNS; the account was printed, and the next apply goes on |
| 9 | another apply holds the tenant |
| 10 | declined |
| 130 | interrupted (Ctrl-C) |
| 141 | output pipe closed (SIGPIPE) |
| 129, 143 | ended by SIGHUP or SIGTERM; the first (or Ctrl-C) lets an `apply` finish what is in flight: 8 |

Which error ends with which code: [exit codes](reference/exit-codes.md).

<!-- Below: written by scripts/reference -->

"""


def pages() -> Iterator[tuple[Path, str]]:
    """Each generated page with its text."""
    yield DOCS / "command-line.md", commands_page()
    yield DOCS / "reference" / "exit-codes.md", exit_codes_page()
    yield DOCS / "reference" / "plan-sections.md", sections_page(schema(TYPES))
    yield DOCS / "reference" / "rules.md", rules_page()
    yield DOCS / "reference" / "causes.md", causes_page()
    yield DOCS / "reference" / "settings.md", settings_page()
    yield DOCS / "reference" / "provisioner.1", man_page()


# --- commands --------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Command]]:
    """The program itself, and each command and subcommand, with what is typed for it."""
    yield "", cli
    for name in COMMANDS:
        command: click.Command = importlib.import_module(f"provisioner.cli.{name}").command
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {n}", c) for n, c in command.commands.items())


def usage(typed: str, command: click.Command) -> str:
    pieces = " ".join(command.collect_usage_pieces(click.Context(command, info_name=f"provisioner {typed}")))
    return " ".join(filter(None, ["provisioner", typed, pieces]))


def options(typed: str, command: click.Command) -> Iterator[tuple[str, str]]:
    """The names of each option that is shown, with its help on one line."""
    context = click.Context(command, info_name=f"provisioner {typed}")
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            names, text = option.get_help_record(context) or ("", "")
            yield names, " ".join(text.split())


def paragraphs(text: str) -> str:
    """A help text with each paragraph on one line, as Markdown renders it anyway."""
    return "\n\n".join(" ".join(part.split()) for part in text.replace("\b", "").strip().split("\n\n"))


def commands_page() -> str:
    parts = [_COMMANDS_HEAD]
    for typed, command in commands():
        parts.append(f"## {typed or 'provisioner'}\n\n```\n{usage(typed, command)}\n```\n\n")
        parts.append(f"{paragraphs(command.help or '')}\n")
        if rows := list(options(typed, command)):
            parts.append("\n" + _table("option", "what", rows=[(f"`{n}`", text) for n, text in rows]))
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


# --- the page for man(1) ---------------------------------------------------------------------------------------------

_EXIT_STATUS = {
    "0": "Done.",
    "1": "An error that is none of the others.",
    "2": "Changes are present (drift; plan --detailed-exitcode).",
    "3": "The plan, the settings or the command line are wrong, or an extra is missing.",
    "4": "Sign-in refused, or a permission is missing.",
    "5": "The tenant could not be read completely.",
    "6": "Blocked by a guard or an unmet precondition.",
    "7": "The change set is stale.",
    "8": "Partly applied, waiting or unconfirmed.",
    "9": "Another apply holds the tenant.",
    "10": "Declined, not asked (no terminal, or CI), or approved by too few people.",
    "129, 130, 141, 143": "Ended by a closed terminal, Ctrl-C, a closed pipe, SIGTERM.",
}


def man_page() -> str:
    """One page for the program and all of its commands, in the macros of man(7)."""
    parts = [
        '.\\" Written by scripts/reference\n',
        f'.TH PROVISIONER 1 "" "provisioner {__version__}" "User Commands"\n',
        ".SH NAME\nprovisioner \\- manage what may send mail through Exchange Online, from a plan\n",
        f".SH SYNOPSIS\n.B {_roff(usage('', cli))}\n",
        f".SH DESCRIPTION\n{_roff(paragraphs(cli.help or ''))}\n",
        f".SH OPTIONS\n{_man_options('', cli)}",
        ".SH COMMANDS\n",
    ]
    for typed, command in list(commands())[1:]:
        parts.append(f".SS {_roff(usage(typed, command))}\n{_roff(paragraphs(command.help or ''))}\n")
        parts.append(_man_options(typed, command))
    parts.append(".SH EXIT STATUS\n")
    parts.extend(f".TP\n.B {code}\n{_roff(text)}\n" for code, text in _EXIT_STATUS.items())
    parts.append(
        ".SH ENVIRONMENT\n.TP\n.B PROVISIONER_PROFILE\nThe profile to use.\n"
        ".TP\n.B PROVISIONER_*\nThe keys of a profile, such as PROVISIONER_TIMEOUTS_\\|_CONFIRM_S.\n"
        ".TP\n.B PROVISIONER_VAR_*\nThe variables of a plan.\n"
        ".SH FILES\n.TP\n.I ~/.config/provisioner/provisioner.toml\nYour own profiles.\n"
        ".TP\n.I provisioner.toml\nThe profiles of a checkout.\n.TP\n.I plans/\nThe plan, if no path is given.\n"
        ".SH SEE ALSO\n.B provisioner explain\n.I RULE\nprints the page of a rule or cause.\n"
    )
    return "".join(parts)


def _man_options(typed: str, command: click.Command) -> str:
    return "".join(f".TP\n.B {_roff(names)}\n{_roff(text)}\n" for names, text in options(typed, command))


def _roff(text: str) -> str:
    """Text in which nothing is a request or an escape of roff, with its paragraphs."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").split("\n")
    lines = [re.sub(r"[^\x00-\x7f]", lambda found: f"\\[u{ord(found[0]):04X}]", line) for line in lines]
    return "\n".join(".PP" if not line else f"\\&{line}" if line[0] in ".'" else line for line in lines)


# --- exit codes ------------------------------------------------------------------------------------------------------


def exit_codes_page() -> str:
    """The tree of errors: their codes, their words in JSON, and what their classes say."""
    found = [
        e for e in vars(diagnostics).values() if isinstance(e, type) and issubclass(e, diagnostics.ProvisionerError)
    ]
    rows = [
        (f"{error.exit_code}", f"`{error.kind}`", _sentence(error))
        for error in sorted(found, key=lambda e: e.exit_code)
    ]
    return (
        f"# Exit codes\n\n{_WRITTEN}"
        "An error that ends a command has an exit code and a word, `kind`. With JSON output the word is\n"
        "`error.kind`. What each code means for a command: [the command line](../command-line.md).\n\n"
        + _table("code", "kind", "what", rows=rows)
        + "\nCode 0 means done. Code 2 means that changes are present: `drift`, and `plan --detailed-exitcode`.\n"
        "With `--detailed-exitcode` every error ends with 1. A signal ends a command with 128 and its number:\n"
        "129 (SIGHUP), 130 (Ctrl-C), 141 (the reader of the output has gone), 143 (SIGTERM).\n"
    )


def _sentence(thing: type) -> str:
    """The first sentences of a docstring, up to its first blank line."""
    return " ".join((thing.__doc__ or "").strip().split("\n\n")[0].split())


# --- sections of a plan ----------------------------------------------------------------------------------------------


def sections_page(schema: Mapping[str, Any]) -> str:
    """Every key that a plan can have, from the JSON Schema that editors use."""
    bodies: Mapping[str, Any] = schema["$defs"]
    parts = [
        f"# Sections and fields of a plan\n\n{_WRITTEN}"
        "Every key of the plan language, from its JSON Schema (`provisioner schema`). Meaning, forms and examples:\n"
        "[the plan language](../plan-language.md), [devices and sites](../devices.md), [the header](../plan.md).\n\n"
        "A value may also be a [variable](../plan-language.md#variables), written `var:NAME` or `${NAME}`.\n\n"
    ]
    required = set(schema.get("required", ())) | {"provisioner", "tenant"}
    for name, section in schema["properties"].items():
        body = _resolved(section, bodies)
        needed = " Required." if name in required else ""
        parts.append(f"## `{name}`\n\n{_text(section) or _text(body)}{needed}\n\n*Value:* {form(section, bodies)}\n\n")
        if rows := list(_fields(section, bodies, "")):
            parts.append(_table("field", "value", "what", rows=rows) + "\n")
    return "".join(parts).rstrip() + "\n"


def _fields(part: Mapping[str, Any], bodies: Mapping[str, Any], above: str) -> Iterator[tuple[str, str, str]]:
    """The keys below a section: KEY stands for a name that the plan chooses."""
    body = _resolved(part, bodies)
    for name, field in body.get("properties", {}).items():
        needed = " Required." if name in body.get("required", ()) else ""
        yield (
            f"`{above}{name}`",
            form(field, bodies),
            f"{_text(field) or _text(_resolved(field, bodies))}{needed}".strip(),
        )
        yield from _fields(field, bodies, f"{above}{name}.")
    inside = body.get("additionalProperties")
    if isinstance(inside, Mapping):
        yield from _fields(inside, bodies, f"{above}KEY.")
    for choice in (*body.get("anyOf", ()), *body.get("oneOf", ())):
        yield from _fields(choice, bodies, above)
    if isinstance(items := body.get("items"), Mapping):
        yield from _fields(items, bodies, f"{above.removesuffix('.')}[].")


def _resolved(part: Mapping[str, Any], bodies: Mapping[str, Any]) -> Mapping[str, Any]:
    return bodies[part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def _text(part: Mapping[str, Any]) -> str:
    return str(part.get("description", ""))


def form(part: Mapping[str, Any], bodies: Mapping[str, Any]) -> str:
    """What a value is, in words."""
    body = _resolved(part, bodies)
    choices = [c for c in (*body.get("anyOf", ()), *body.get("oneOf", ())) if "var:" not in str(c.get("pattern"))]
    if choices:
        return " or ".join(dict.fromkeys(form(choice, bodies) for choice in choices))
    if "const" in body:
        return f"`{_yaml(body['const'])}`"
    if "enum" in body:
        shown = [f"`{_yaml(value)}`" for value in body["enum"][:12]]
        return ", ".join([*shown, *(["…"] if len(body["enum"]) > 12 else [])])
    kind = body.get("type")
    if kind == "array":
        return f"list of {form(body.get('items', {}), bodies)}"
    if kind == "object":
        inside = body.get("additionalProperties")
        return (
            f"mapping: KEY to {form(inside, bodies)}" if isinstance(inside, Mapping) else "mapping of the fields below"
        )
    low, high = body.get("minimum"), body.get("maximum")
    if low is not None and high is not None:
        return f"{kind}, {low} to {high}"
    words = {"string": "text", "integer": "number", "number": "number", "boolean": "`true`, `false`"}
    return words.get(str(kind), "any value")


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- rules and causes ------------------------------------------------------------------------------------------------

_STOPS = {
    "": "",
    "input": "the plan is not valid",
    "apply": "stops `apply`",
    "precondition": "stops `apply`",
    "change": "holds single changes back",
}


def rules_page() -> str:
    rows = [
        (
            f"[{rule.id}](../rules/{rule.id}.md)",
            str(rule.severity),
            _STOPS[rule.blocks],
            "in the plan" if rule.waivable_in_plan else "for one run" if rule.waivable else "no",
            rule.sentence,
        )
        for rule in RULES.values()
    ]
    return (
        f"# Rules\n\n{_WRITTEN}"
        "A rule is a named check of a plan, the tenant and the changes together. `provisioner explain RULE` prints\n"
        "its page. *Waivable* says whether `allow` in the [header](../plan.md) can waive it, or only\n"
        "`--allow RULE` for one run.\n\n" + _table("rule", "severity", "effect", "waivable", "what", rows=rows)
    )


_RETRY = {"no": "do not", "later": "later", "after-fix": "after the fix", "fresh-token": "with a new token"}


def causes_page() -> str:
    rows = [
        (f"[{c.id}](../causes.md#{c.id})", c.summary, f"`{c.section}`" if c.section else "", _RETRY[c.retry], c.source)
        for c in CAUSES
    ]
    return (
        f"# Causes\n\n{_WRITTEN}"
        "What `provisioner diagnose` and `probe` can find behind the answer of a mail server.\n"
        "`provisioner explain CAUSE` prints the fix.\n\n"
        + _table("cause", "what", "part of the plan", "retry", "source", rows=rows)
    )


# --- settings --------------------------------------------------------------------------------------------------------


def settings_page() -> str:
    """Every key of a profile, its values, its default and its environment variable."""
    parts = [
        f"# Keys of a profile\n\n{_WRITTEN}"
        "The keys of `[profiles.NAME]` in `provisioner.toml`. Where that file is looked for, which of its keys a\n"
        "checkout may set and which permissions a run needs: [settings](../settings.md).\n\n"
        "An environment variable wins over the file. Its name is `PROVISIONER_` and the key in capitals, with two\n"
        "underscores for a dot: `PROVISIONER_TENANT`, `PROVISIONER_CREDENTIAL__CLIENT_ID`.\n\n"
    ]
    tables: list[tuple[str, type[BaseModel]]] = [("", Profile), *_tables(Profile, "")]
    for path, model in tables:
        rows = [
            (f"`{field.alias or name}`", field.description or "", _kind(field.annotation), _default(field.default))
            for name, field in model.model_fields.items()
            if _model(field.annotation) is None
        ]
        title = f"`[profiles.NAME{'.' + path if path else ''}]`"
        parts.append(f"## {title}\n\n{paragraphs(model.__doc__ or '')}\n\n")
        parts.append(_table("key", "what", "value", "default", rows=rows) + "\n")
    return "".join(parts).rstrip() + "\n"


def _tables(model: type[BaseModel], above: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        if inner := _model(field.annotation):
            keyed = typing.get_origin(field.annotation) is dict
            path = f"{above}{name}{'.KEY' if keyed else ''}"
            yield path, inner
            yield from _tables(inner, f"{path}.")


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation holds: itself, optional, or as the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    origin = typing.get_origin(annotation)
    if origin in {types.UnionType, typing.Union, dict}:
        return next(filter(None, map(_model, typing.get_args(annotation))), None)
    return None


def _default(value: object) -> str:
    return "" if value in (None, PydanticUndefined, "", (), {}) else f"`{_yaml(value)}`"


def _kind(annotation: Any) -> str:
    """A value of the settings, in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is typing.Annotated:
        named = "a reference: `env:NAME` or `file:PATH`" if "reference" in repr(arguments[1]) else ""
        return named or _kind(arguments[0])
    if origin in {types.UnionType, typing.Union}:
        return " or ".join(dict.fromkeys(_kind(a) for a in arguments if a is not type(None)))
    if origin in {tuple, list}:
        return f"list of {_kind(arguments[0])}"
    if origin is dict:
        return f"table: name to {_kind(arguments[1])}"
    words = {str: "text", int: "number", float: "number", bool: "`true`, `false`", Path: "path of a file"}
    return words.get(annotation, "text")


# --- Markdown --------------------------------------------------------------------------------------------------------


def _table(*titles: str, rows: Sequence[tuple[str, ...]]) -> str:
    head = "|" + "---|" * len(titles) + "\n"
    lines = ["| " + " | ".join(cell.replace("|", "&#124;") for cell in line) + " |\n" for line in (titles, *rows)]
    return "".join([lines[0], head, *lines[1:]])


if __name__ == "__main__":
    for page, content in pages():
        page.parent.mkdir(exist_ok=True)
        page.write_text(content, encoding="utf-8", newline="")
