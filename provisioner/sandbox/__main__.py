"""`python -m provisioner.sandbox serve --state DIR`: the sandbox in the foreground, until it is told to end.

Exit codes: 0 ended as asked, 1 could not start or run, 3 the arguments or a seed are wrong, or libraries are missing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from pathlib import Path
from typing import NoReturn

_ALLOCATIONS = 50_000
"""So many objects more than before, instead of 700, start the garbage collector: rows and libraries are not garbage."""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose usage errors exit 3: 2 means "changes present" in this family of commands."""

    def error(self, message: str) -> NoReturn:
        self.exit(3, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m provisioner.sandbox", description="A local tenant with Microsoft's protocols.")
    serve = parser.add_subparsers(dest="command", required=True).add_parser("serve", help="run in the foreground")
    serve.add_argument("--state", type=Path, required=True, metavar="DIR", help="folder that keeps the tenant")
    serve.add_argument(
        "--seed", type=Path, action="append", default=[], metavar="FILE", help="tenant to begin with; repeatable"
    )
    serve.add_argument("--lag", type=float, metavar="SECONDS", help="delay until a write shows in reads")
    serve.add_argument("--fast", action="store_true", help="no lag and no reordered lists")
    serve.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS", help="IPv4 address to listen on")
    serve.add_argument("--ports", action="append", default=[], metavar="NAME=PORT,...", help="fixed ports")
    serve.add_argument("--hostname", action="append", default=[], metavar="NAME", help="further name in certificates")
    return parser


def _announce(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    gc.set_threshold(_ALLOCATIONS, 10, 10)
    given = _parser().parse_args(arguments)
    try:
        return _serve(given)
    except ModuleNotFoundError as error:
        _announce(f"error: {error.name} is not installed; the extra [sandbox] of exchange-provisioner installs it")
        return 3


def _serve(given: argparse.Namespace) -> int:
    """Serve until the end, and return the exit code."""
    # Imported late: `--help` and usage errors need none of it.
    from provisioner.sandbox.listening import parsed
    from provisioner.sandbox.server import Options, StartError, serve

    try:
        listening = parsed(given.listen, given.ports, given.hostname)
    except ValueError as error:
        _announce(f"error: {error}")
        return 3
    options = Options(given.state.resolve(), tuple(given.seed), given.lag, given.fast, listening)
    try:
        asyncio.run(serve(options, _announce))
    except StartError as error:
        _announce(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
