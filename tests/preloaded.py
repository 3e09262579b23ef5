"""The program without its start: a process that has loaded the libraries forks once for each command line.

    with preloaded(folder) as tool: subprocess.run([str(tool), "plan", ...])

The tool is a program as any other, with arguments, environment, working folder, streams and exit code of its own; what
is spared is importing the same libraries again, which costs a second each time. Tests of the start itself, of signals
and of what is imported start the real program.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect(sys.argv[1])
    said = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(line, [len(said).to_bytes(4, "big")], [0, 1, 2])
    line.sendall(said)
    code = line.recv(1)
sys.exit(code[0] if code else 70)
"""
_LOADED = (
    "provisioner.cli.main", "provisioner.cli.apply", "provisioner.cli.plan", "provisioner.cli.show",
    "provisioner.cli.drift", "provisioner.cli.test", "provisioner.operations.applying",
    "provisioner.operations.planning", "provisioner.tenant.credentials", "azure.identity.aio",
    "msgraph.generated.models.o_data_errors.o_data_error", "msgraph.graph_request_adapter",
    "provisioner.tenant.exchange_rest", "provisioner.tenant.graph", "provisioner.cli.notes", "provisioner.cli.progress",
    "provisioner.cli.tally", "provisioner.render.graph", "provisioner.render.markdown", "aiohttp", "httpcore",
)  # fmt: skip


@contextmanager
def preloaded(folder: Path) -> Iterator[Path]:
    """The path of a `provisioner` in this folder."""
    place, client, tool = folder / "program.socket", folder / "client.py", folder / "provisioner"
    client.write_text(_CLIENT, encoding="utf-8")
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{client}" "{place}" "$@"\n', encoding="utf-8")
    tool.chmod(0o755)
    with subprocess.Popen([sys.executable, "-m", __name__, str(place)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        try:
            yield tool
        finally:
            server.terminate()


def serve(place: str) -> None:
    for module in _LOADED:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(place)
        server.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            line, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _run(line)
            line.close()


def _run(line: socket.socket) -> None:
    """One command line, in a process of its own, which ends here."""
    import json

    from provisioner.cli.main import main

    code = 70
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        length, streams, _, _ = socket.recv_fds(line, 4, 3)
        said = b""
        while len(said) < int.from_bytes(length, "big"):
            said += line.recv(2**16)
        arguments, folder, environment = json.loads(said)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        code = main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        line.sendall(bytes([code]))
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
