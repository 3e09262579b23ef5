"""The command line: which commands there are, what all of them share, and how every command ends.

Commands are loaded when they are called, since the libraries that they need take longer to load than `--help` may
take. Nothing but this room prints; an error ends in a message and an exit code, never in a traceback.
"""

from __future__ import annotations

import errno
import gc
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from provisioner import __version__, platforms
from provisioner.border import about_its_file
from provisioner.cli.groups import enter_folder, unknown
from provisioner.cli.session import Session, crash_file, settings_files
from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import ProvisionerError
from provisioner.render.escape import whole

SECTIONS = {
    "Plan and apply": {
        "init": "Create a folder: settings, a plan, its schema, .gitignore, a pipeline.",
        "validate": "Check a plan without a tenant: every mistake, with its place and a hint.",
        "fmt": "Rewrite plan files in the standard layout.",
        "lint": "Check a plan with the rules that need no tenant.",
        "test": "Run the tests of plans, each case on a sandbox of its own.",
        "plan": "Show what would change in the tenant, and save it for apply.",
        "show": "Show a saved change set.",
        "graph": "Draw the sending paths, as they are today and as the plan leaves them.",
        "approve": "Approve a saved change set: sign its digest with an SSH key.",
        "apply": "Apply a plan, or exactly a saved change set.",
    },
    "Operate": {
        "export": "Write what the tenant has as a plan.",
        "drift": "Show where the tenant has drifted from the plan.",
        "doctor": "Check that everything a run needs is in place, and that the plan's mailboxes can sign in.",
        "history": "Show, verify and export the journal of runs.",
        "rollback": "Create the change set that undoes a run of apply.",
        "lock": "Show and release the locks of a tenant.",
        "fleet": "Plan, apply and check many tenants in one run, which can be resumed after a crash.",
    },
    "Devices and senders": {
        "devices": "List the plan's devices, print settings sheets, report basic authentication.",
        "senders": "List who sends mail through a tenant, from logs, reports and settings.",
        "explain": "Explain a rule, how a device sends and why, or what a resource is for.",
        "probe": "Test over SMTP whether a device of the plan can send, and explain a refusal.",
        "diagnose": "Explain a mail server's reply, and how to fix the cause.",
    },
    "Domains": {
        "dns": "Check the mail records of the plan's domains, and write those to publish.",
        "dkim": "Rotate the DKIM keys of a domain.",
        "dane": "Enable or disable inbound SMTP DANE of a domain, step by step.",
    },
    "Tools": {
        "sandbox": "Start, stop and inspect a local tenant that speaks Microsoft's protocols.",
        "schema": "Print the JSON Schema of the plan language.",
        "completion": "Print the completion script for bash, zsh, fish or PowerShell.",
        "version": "Print the version.",
    },
}
"""The commands as the help lists them: what each is for, in one line."""

COMMANDS = {name: text for section in SECTIONS.values() for name, text in section.items()}

_ELSEWHERE = {
    "import": '"export" writes the objects of a tenant as a plan; "devices import" reads a list of devices (CSV).',
    "destroy": 'To delete an object, list its address under "absent" in the plan, and run "apply".',
    "refresh": 'There is no state to refresh: every "plan" reads the tenant. "drift" shows what differs.',
    "state": 'There is no state file: every "plan" reads the tenant. "export" shows what it has.',
    "workspace": '"--profile NAME" chooses the tenant, and plans/environments/NAME its plan.',
    "force-unlock": '"lock release" releases a shared lock whose run has died.',
}
"""What Terraform calls otherwise, or has and this program does not need."""

USAGE = 3
"""A usage error. Click would say 2, which means "changes present" here."""


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class _ReaderGone(Exception):
    """Anyone who read our output has gone. No OSError, since click ends those with an exit code of its own."""


class _Commands(click.Group):
    """Loads a command's module when the command is named; the list of them needs none of the modules."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _ReaderGone from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"provisioner.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands and the options that all of them share, by the list alone: click would load every command."""
        names = [CompletionItem(n, help=h) for n, h in COMMANDS.items() if n.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in _ELSEWHERE:
            raise click.UsageError(f'There is no command "{args[0]}". {_ELSEWHERE[args[0]]}', ctx)
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise unknown(args[0], list(COMMANDS), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        longest = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(longest), text) for name, text in commands.items()])


def _profiles(ctx: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """For completion: the profiles that count in the working folder."""
    enter_folder(ctx)
    names = settings_files().profile_names(Path.cwd())
    return [name for name in names if name.startswith(incomplete) and name.isprintable()]


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 error, 2 changes present (drift, --detailed-exitcode), 3 input, 4 sign-in or "
    "permission, 5 tenant not completely readable, 6 refused by a guard, 7 stale change set, 8 partly applied or "
    "unconfirmed, 9 locked, 10 declined.",
)
@click.option(
    "-C",
    "--chdir",
    "folder",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Work as if started in this folder.",
)
@click.option(
    "--profile",
    metavar="NAME",
    help="Reach the tenant by this profile of provisioner.toml.",
    shell_complete=_profiles,
)
@click.option(
    "--trust-settings",
    is_flag=True,
    envvar="PROVISIONER_TRUST_SETTINGS",
    help="Accept endpoints, certificates and other sensitive settings from the checkout's settings file.",
)
@click.option("--no-color", is_flag=True, help="No colours, as with NO_COLOR in the environment.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no notes on standard error.")
@click.option("-v", "--verbose", count=True, help="Log each request. Twice (-vv): with parameters and request ids.")
@click.option(
    "--log-file", type=click.Path(path_type=Path), metavar="FILE", help="Append a record of every request to this file."
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="The format of that record; without --log-file it goes to standard error.",
)
@click.version_option(__version__, "-V", "--version", message="provisioner %(version)s")
@click.pass_context
def cli(
    ctx: click.Context,
    folder: str | None,
    profile: str | None,
    trust_settings: bool,
    no_color: bool,
    quiet: bool,
    verbose: int,
    log_file: Path | None,
    log_format: str | None,
) -> None:
    """Terraform's flow for who may send mail through Exchange Online: a plan in git, a change set, an apply."""
    if folder:
        try:
            os.chdir(folder)
        except OSError as error:
            raise click.UsageError(f"-C {folder}: {error.strerror}", ctx) from None
    clock: Clock = ctx.obj or SYSTEM
    color = False if no_color else None
    ctx.obj = Session(
        profile,
        color,
        quiet=quiet,
        verbose=verbose,
        clock=clock,
        trusting=trust_settings,
        log_file=log_file.absolute() if log_file else None,
        log_format=log_format,
    )
    ctx.obj.begin(ctx.invoked_subcommand or "")


_NEVER_NEEDED = ("h2", "httpx._main", "trio")
"""What httpx loads where it is installed: HTTP/2, its own command line with rich, and another event loop."""

_ALLOCATIONS = 1_000_000
"""So many objects more than before, instead of 700, start the garbage collector: what is imported is not garbage, nor
is a plan. One of 10,000 mailboxes makes half a million objects, and each search of them costs a tenth of a second."""


def run() -> None:
    """The console script. The process is ours alone, so that it may load less than its libraries would."""
    platforms.open_streams()
    gc.set_threshold(_ALLOCATIONS, 10, 10)
    for name in _NEVER_NEEDED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # an import of it fails as where it is missing
    code = main(sys.argv[1:])
    gc.freeze()  # before it ends, the interpreter would search all that is left for garbage, several times
    sys.exit(code)


def main(arguments: Sequence[str], clock: Clock = SYSTEM) -> int:
    """Run a command line, which waits and tells the time by `clock`, and give its exit code."""
    code = _main(arguments, clock)
    Session.current().end(code)
    return code


def _main(arguments: Sequence[str], clock: Clock) -> int:
    # Libraries log to nowhere: what is to be said is said by us, and their lines may repeat what was sent.
    logging.getLogger().addHandler(logging.NullHandler())
    platforms.lenient(sys.stdout, sys.stderr)
    if "_PROVISIONER_COMPLETE" in os.environ:
        importlib.import_module("provisioner.cli.completion")
    try:
        code = cli.main(list(arguments), prog_name="provisioner", standalone_mode=False, obj=clock)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except ProvisionerError as error:
        return Session.current().fail(error)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)  # the whole help, which has the usage in it
        return USAGE
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        click.echo(whole(f"Error: {error.format_message()}"), err=True)
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return 130
    except (_ReaderGone, BrokenPipeError):
        return _reader_gone()
    except OSError as error:
        if platforms.reader_gone(error):
            return _reader_gone()
        if (about := about_its_file(error)) is not None:
            return Session.current().fail(about)
        if error.filename is not None or error.errno not in _NO_ROOM:
            return _crash(error)
        click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the last resort: whatever it was, the user gets a sentence
        return _crash(error)


def _reader_gone() -> int:
    """Anyone who read our output has gone: nothing is wrong, and nothing more can be said."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _usage(error: click.UsageError) -> int:
    if error.ctx:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"Try '{error.ctx.command_path} --help' for help.\n", err=True)
    click.echo(whole(f"Error: {error.format_message()}"), err=True)
    return USAGE


def _crash(error: Exception) -> int:
    """Say that this is our fault, and where the traceback is; it never reaches the terminal."""
    kind, place = type(error).__name__, crash_file(error)
    click.echo(whole(f"Error: this is a fault of provisioner, not yours: {kind}. Details: {place}"), err=True)
    return 1
