"""Runs command lines as on Windows, in one process, and prints what each gave as JSON.

    python -m tests.windows.suite FOLDER < command-lines.json

Needs the folder `site` on PYTHONPATH, or nothing is withheld. Each command writes into pipes in a code page, cp1252,
with Windows' line ends; JSON, which is UTF-8 everywhere, is looked for in the bytes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def run(arguments: Sequence[str]) -> dict[str, Any]:
    from provisioner.cli.main import main
    from provisioner.cli.session import Session

    outputs = io.BytesIO(), io.BytesIO()
    Session._current = None
    out, err = (io.TextIOWrapper(o, encoding="cp1252", errors="strict", newline="\r\n") for o in outputs)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
        out.flush()
        err.flush()
    return {"code": code, "out": outputs[0].getvalue().hex(), "err": outputs[1].getvalue().hex()}


def _named(word: str) -> str:
    """RUN stands for the id of the first run of apply, DIGEST:FILE for that of a change set."""
    if word == "RUN":
        (journal,) = Path(os.environ["PROVISIONER_STATE_DIR"]).glob("*/journal.jsonl")
        return str(json.loads(journal.read_bytes().splitlines()[0])["run"])
    if word.startswith("DIGEST:"):
        return str(json.loads(Path(word.removeprefix("DIGEST:")).read_bytes())["provisioner"]["digest"])
    return word


def withheld() -> Sequence[str]:
    """What a module of the program finds to be absent: the suite proves nothing where this is empty."""
    found: dict[str, Any] = {"__name__": "provisioner.probe"}
    lines = """
        try:
            import fcntl
        except ImportError:
            absent.append("fcntl")
        import os, signal
        absent += [n for n in ("O_NONBLOCK", "WNOHANG", "getuid", "fork") if not hasattr(os, n)]
        absent += [n for n in ("SIGHUP", "SIGKILL", "SIGUSR1") if not hasattr(signal, n)]
    """
    found["absent"] = []
    import textwrap

    exec(textwrap.dedent(lines), found)
    return list(found["absent"])


def main() -> None:
    os.chdir(sys.argv[1])
    lines: list[list[str]] = json.load(sys.stdin)
    sys.stdin = io.StringIO()
    sys.stdout.write(
        json.dumps({"withheld": withheld(), "runs": [run([_named(word) for word in line]) for line in lines]})
    )


if __name__ == "__main__":
    main()
