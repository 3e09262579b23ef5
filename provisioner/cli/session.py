"""What all commands share: the profile, how to print, what to say about progress and of errors."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import click

from provisioner import platforms
from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import Diagnostic, InputError, ProvisionerError
from provisioner.render.escape import json_text, visible, whole
from provisioner.render.wrapping import wrapped

if TYPE_CHECKING:
    from provisioner.border import Border
    from provisioner.cli.log import Log
    from provisioner.cli.progress import Progress
    from provisioner.cli.tally import Tally
    from provisioner.cli.telemetry import Telemetry
    from provisioner.engine import Event, Observer
    from provisioner.plan.variables import Given
    from provisioner.settings import Profile
    from provisioner.settings.files import Found


def settings_files() -> ModuleType:
    """`provisioner.settings.files`, loaded when a profile is asked for: pydantic takes its time."""
    from provisioner.settings import files

    return files


@dataclass(eq=False)
class Session:
    """One run of the program. `clock` tells the time that a decision rests on, and waits."""

    profile_name: str | None = None
    color: bool | None = None
    quiet: bool = False
    verbose: int = 0
    format: str = "text"
    all_findings: bool = False
    concise: bool = False
    detailed: bool = False
    files: list[str] = field(default_factory=list)
    variables: Mapping[str, Given] = field(default_factory=dict)
    clock: Clock = SYSTEM
    border: Border | None = None
    trusting: bool = False
    log_file: Path | None = None
    log_format: str | None = None
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    telemetry: Telemetry | None = None
    _log: Log | None = None
    _progress: Progress | None = None
    _tally: Tally | None = None
    _began_s: float = field(default_factory=time.monotonic)
    _readers: dict[Border, Callable[[str, int], str | None]] = field(default_factory=dict)
    _streaming: bool = False

    _current: ClassVar[Session | None] = None

    def __post_init__(self) -> None:
        Session._current = self

    @classmethod
    def current(cls) -> Session:
        """The session of this process; a plain one before the command line was understood."""
        return cls._current or Session()

    def today(self) -> dt.date:
        """The day by the user's clock: what `until` of a waiver is measured by, and nothing else that decides."""
        return self.clock.now().date()

    def moment(self, later_s: float = 0.0) -> str:
        """This moment, or a later one, in RFC 3339."""
        from provisioner.operations.context import rfc3339

        return rfc3339(self.clock.now() + dt.timedelta(seconds=later_s))

    @property
    def state_folder(self) -> Path:
        from provisioner.operations.state import state_folder

        return state_folder()

    def observe(self, event: Event) -> None:
        """An event of reading or applying, for everybody who follows the run."""
        for observer in self.observers:
            observer(event)

    @cached_property
    def observers(self) -> list[Observer]:
        """Who follows the run: notes, and on a terminal a bar; a command may add its own output."""
        from provisioner.cli.notes import notes
        from provisioner.cli.progress import Progress
        from provisioner.cli.tally import Tally

        self._tally = Tally()
        found = [notes(self.note, self.verbose, lambda: self.profile.timeouts.retry_s), self._tally.observe]
        if self.telemetry:
            self.telemetry.hosts, self.telemetry.over_http = self._hosts, self.profile.exchange == "rest"
            found.append(self.telemetry.observe)
        if self.log_file or self.log_format:
            self._log = self._new_log()
            found.append(self._log.observe)
        if not self.quiet and sys.stderr.isatty() and not self.automated:
            self._progress = Progress(lambda text: click.echo(text, err=True, nl=False), terminal_width)
            found.append(self._progress.observe)
        return found

    def _new_log(self) -> Log:
        from provisioner.cli.log import Log, appending, trace_of

        write = appending(self.log_file) if self.log_file else self.say
        trace = self.telemetry.trace if self.telemetry else trace_of()
        return Log(write, moment, self.log_format or "text", self._hosts, self.run, trace)

    @cached_property
    def _hosts(self) -> Mapping[str, str]:
        from provisioner.tenant.connect import hosts_of

        return hosts_of(self.profile)

    def begin(self, command: str) -> None:
        """A command begins; where the environment names a collector of OpenTelemetry, its span does too."""
        if any(name.startswith("OTEL_EXPORTER_OTLP_") for name in os.environ):
            from provisioner.cli.telemetry import begin

            self.telemetry = begin(command, self.run, self.note)

    def end(self, code: int) -> None:
        """The command has ended: what it cost goes to the log, to `-v` and to the collector."""
        with contextlib.suppress(OSError, ValueError):  # nobody reads standard error any more
            if self._progress:
                self._progress.close()
            if self._log and self._tally:
                self._log.end(code, self._tally, time.monotonic() - self._began_s)
            if self.verbose and self._tally:
                self.note(f"{self._tally} (run {self.run})")
            if self.telemetry:
                self.telemetry.end(code)

    def new_run(self) -> str:
        return self.run

    @property
    def chosen(self) -> str:
        """The name of the profile that the command line or the environment chooses; empty for the default one."""
        return self.profile_name or os.environ.get("PROVISIONER_PROFILE", "")

    @cached_property
    def profile(self) -> Profile:
        found: Found = settings_files().find_profile(self.profile_name, Path.cwd(), trusting=self.trusting)
        for text in found.notes:
            self.note(text)
        if self.verbose:
            for key, place in found.profile.sources.items():
                self.note(f"setting {key}: {place}")
        return found.profile

    @property
    def cloud(self) -> str:
        """The cloud of the profile that is chosen by name, for a command that needs no profile; else "worldwide"."""
        if not self.chosen:
            return "worldwide"
        try:
            found: Found = settings_files().find_profile(self.chosen, Path.cwd(), trusting=self.trusting)
        except InputError:  # a name may choose the plan alone
            return "worldwide"
        return found.profile.cloud

    def read_line(self, file: str, line: int) -> str | None:
        """A line of a plan's file, as it was when the first line of the file was quoted."""
        from provisioner.border import Border
        from provisioner.plan.files import line_reader

        border = self.border or Border.of(Path.cwd())
        if border not in self._readers:
            self._readers[border] = line_reader(border)
        return self._readers[border](file, line)

    def colored(self, stream: Any) -> bool:
        """Whether a stream takes colours: a terminal, unless NO_COLOR (no-color.org), TERM=dumb or --no-color."""
        if self.color is not None:
            return self.color
        return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def width(self, stream: Any) -> int | None:
        """The columns of a terminal; None for a stream that is none, whose lines stay whole."""
        return shutil.get_terminal_size().columns if stream.isatty() else None

    @property
    def profile_label(self) -> str:
        """The name of the profile as it was asked for; "" for the default one."""
        return self.profile_name or os.environ.get("PROVISIONER_PROFILE", "")

    def says_yes(self) -> bool:
        """Whether the person who is asked answers "yes"; Ctrl-C and the end of the input raise click.Abort."""
        with platforms.interruptible():
            answer = click.prompt("  Enter a value", default="", show_default=False, err=True)
        return bool(answer.strip() == "yes")

    @property
    def interactive(self) -> bool:
        """Whether somebody is there to be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty() and not self.automated

    @property
    def automated(self) -> bool:
        """Whether a CI service runs this: most set CI (GitHub, GitLab, Bitbucket), Azure Pipelines sets TF_BUILD.

        docs.github.com, "Variables reference"; docs.gitlab.com, "Predefined CI/CD variables"; learn.microsoft.com,
        "Use predefined variables".
        """
        values = (os.environ.get(name, "") for name in ("CI", "TF_BUILD"))
        return any(value.lower() not in {"", "0", "false", "no"} for value in values)

    def result(self, text: str, *, commands: bool = False, data: bool = False) -> None:
        """What the command was asked for: standard output, and nothing else goes there.

        `commands`: it is made of a runner's workflow commands. `data`: a program reads it.
        """
        self._make_room()
        shown = whole(text, color=self.colored(sys.stdout), commands=commands)
        _data(shown) if data else click.echo(shown, nl=False)

    def text(self, text: str) -> None:
        """A result for a person: on a terminal, long lines break between words at its width.

        A line with a DNS record to publish or to remove stays whole, to be copied.
        """
        width = self.width(sys.stdout)
        self.result("\n".join(line if _RECORD.match(line) else wrapped(line, width) for line in text.split("\n")))

    def json(self, document: Any, *, indent: int | None = 1) -> None:
        """The same, as JSON; without `indent` on one line."""
        _data(json_text(document, indent=indent) + "\n")

    def line(self, line: dict[str, Any]) -> None:
        """One line of a stream, out at once; the first is the version's."""
        if not self._streaming:
            from provisioner import __version__
            from provisioner.render import stream

            self._streaming = True
            self.line(stream.version(line["@timestamp"], __version__))
        _data(json_text(line, indent=None) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Something on the way, in one line: standard error, unless --quiet."""
        if not self.quiet:
            self.say(text)

    def say(self, text: str) -> None:
        """One line on standard error. Whatever it quotes comes out as text on that line."""
        self._make_room()
        click.echo(whole(visible(text)), err=True)

    def _make_room(self) -> None:
        """The line of progress goes before anything is printed."""
        if self._progress:
            self._progress.hide()

    def diagnose(self, diagnostics: Sequence[Diagnostic]) -> None:
        from provisioner.render.diagnostics import render_diagnostics

        self._make_room()
        text = render_diagnostics(diagnostics, read_line, self.colored(sys.stderr), self.width(sys.stderr))
        click.echo(whole(text, color=self.colored(sys.stderr)), err=True, nl=False)

    def fail(self, error: ProvisionerError) -> int:
        """Print an error, as JSON too where that was asked for, and give the exit code."""
        code = 1 if self.detailed else error.exit_code
        if self._progress:
            self._progress.close()
        if self.format == "json":
            self.json(error_document(error))
        if self.format == "json-lines":
            from provisioner.render import stream

            for said in stream.diagnostics(error.diagnostics, moment()):
                self.line(said)
        self.diagnose(error.diagnostics)
        for line in getattr(error, "moved", ()):
            self.say(f"  {line}")
        return code


_RECORD = re.compile(r" *[+-] \S+ [A-Z]+ ")


def terminal_width() -> int:
    """The columns of the terminal."""
    return shutil.get_terminal_size().columns


def _data(text: str) -> None:
    """What a program reads is UTF-8, also where the terminal's encoding is a code page that lacks most characters."""
    click.echo(text if platforms.unicode(sys.stdout) else text.encode("utf-8"), nl=False)


def error_document(error: ProvisionerError) -> dict[str, Any]:
    """`{"error": {"kind", "exit_code", "diagnostics"}}`: the class of an error, whatever the process's exit code."""
    from provisioner.render.diagnostics import diagnostics_json

    found = diagnostics_json(error.diagnostics, read_line)
    facts: dict[str, Any] = {
        "kind": error.kind,
        "exit_code": error.exit_code,
        "message": str(error),
        "diagnostics": found,
    }
    moved = getattr(error, "moved", None)
    return {"error": {**facts, "moved": list(moved)} if moved else facts}


def read_line(file: str, line: int) -> str | None:
    """A line of a plan for an excerpt, with its end; None where it cannot be had or lies outside of the border."""
    return Session.current().read_line(file, line)


def moment() -> str:
    """This moment in RFC 3339, for a line of a stream."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def crash_file(error: Exception) -> str:
    """Keep the traceback of a fault of ours, for anyone who fixes it, and say where. It holds no local variables."""
    import traceback

    from provisioner import __version__
    from provisioner.border import make_private
    from provisioner.operations.state import state_folder

    text = "".join(traceback.format_exception(error))
    place = state_folder() / f"crash-{os.getpid()}.txt"
    try:
        make_private(place.parent)
        file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(f"provisioner {__version__}\n{text}")
    except OSError:
        return "(it could not be written)"
    return str(place)
