"""Where commands write and keep what they need, and the files that a person hands over."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.redteam.attacks.base import LINES, SPECIAL, Made, Make, wrote
from tests.redteam.world import World

# --- the sandbox's folder in a checkout, and places to write to -------------------------------------------------------


def sandbox_folders() -> Made:
    def endpoints(**values: Any) -> Make:
        def make(w: World) -> None:
            real = json.loads((w.shop.folder / ".provisioner" / "sandbox" / "endpoints.json").read_text())
            folder = w.checkout / ".provisioner" / "sandbox"
            folder.mkdir(parents=True)
            put = json.loads(json.dumps(values).replace("OUTSIDE", str(w.outside)))
            (folder / "endpoints.json").write_text(json.dumps({**real, **put}))

        return make

    def content(text: str) -> Make:
        def make(w: World) -> None:
            (w.checkout / ".provisioner" / "sandbox").mkdir(parents=True)
            (w.checkout / ".provisioner" / "sandbox" / "endpoints.json").write_text(text)

        return make

    def place(name: str, target: str) -> Make:
        def make(w: World) -> None:
            path = w.checkout / ".provisioner" / name if name else w.checkout / ".provisioner"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target.replace("OUTSIDE", str(w.outside)).replace("SETTINGS", str(w.own_settings)))

        return make

    start: dict[str, Any] = {"commands": (("sandbox", "start", "--detach"), ("sandbox", "stop"))}
    token = {"control_token_file": "OUTSIDE/id_rsa"}
    yield "endpoints with the process of another program", endpoints(pid=os.getppid())
    yield "endpoints with all processes", endpoints(pid=-1)
    yield "endpoints with the process group", endpoints(pid=0)
    yield "endpoints with a process that is a word", endpoints(pid="x")
    yield "endpoints with a process that is a number too large", endpoints(pid=1 << 70)
    yield "endpoints elsewhere with another file as the token", endpoints(control="https://evil.example", **token)
    yield "endpoints with another file as the token", endpoints(**token)
    yield "endpoints over another protocol", endpoints(control="file:///etc", **token)
    yield "endpoints with a pipe as the token", endpoints(control_token_file="/dev/stdin")
    yield "endpoints with a certificate that is none", endpoints(ca="OUTSIDE/id_rsa")
    yield "endpoints that act on a terminal", endpoints(initial_domain=LINES, started=LINES, x=LINES)
    yield "endpoints that are a list", content("[]")
    yield "endpoints without a process", content("{}")
    yield "endpoints without end", content("[" * 100_000)
    yield "endpoints that are a link", place("sandbox/endpoints.json", "OUTSIDE/far.json")
    yield "endpoints that are a device", place("sandbox/endpoints.json", "/dev/zero")
    yield "the folder is a link outside", place("", "OUTSIDE"), start
    yield "the profiles are a link outside", place("profiles", "OUTSIDE"), start
    yield "a profile is a link to the user's own", place("profiles/sandbox.toml", "SETTINGS"), start
    yield "the list of what git passes over is a link", place(".gitignore", "OUTSIDE/.bashrc"), start
    yield "the log is a link outside", place("sandbox/sandbox.log", "OUTSIDE/.bashrc"), start
    yield "the requests are a link outside", place("sandbox/requests.jsonl", "OUTSIDE/.bashrc"), start
    yield "the tenant is a link outside", place("sandbox/tenant.json", "OUTSIDE/far.json"), start
    yield "the folder of the sandbox is a link outside", place("sandbox", "OUTSIDE"), start


def outputs() -> Made:
    def linked(*names: str, commands: Sequence[tuple[str, ...]]) -> tuple[Make, dict[str, Any]]:
        def make(w: World) -> None:
            for name in names:
                (w.checkout / name).unlink(missing_ok=True)
                (w.checkout / name).symlink_to(w.outside / ".bashrc")

        return make, {"commands": tuple(commands)}

    online = ("--profile", "mine")
    for name in ("json", "markdown", "html", "powershell", "github", "gitlab", "junit", "sarif"):
        run = (*online, "plan", "plans", f"--out-{name}", "report")
        yield f"the {name} report is a link outside", *linked("report", commands=[run])
    yield "the change set is a link outside", *linked("c.json", commands=[(*online, "plan", "plans", "-o", "c.json")])
    yield "the export is a link outside", *linked("e.yaml", commands=[(*online, "export", "-o", "e.yaml")])
    log = ("--log-file", "run.log", *online, "plan", "plans")
    yield "the log is a link outside", *linked("run.log", commands=[log])
    yield "the tests' report is a link outside", _test_report, {"commands": (("test", "plans", "--junit", "report"),)}
    issue = ("sandbox", "certificate", "x.example", "-o", "c.pem", "--state", "../shop/.provisioner/sandbox")
    yield "the certificate is a link outside", *linked("c.pem", commands=[issue])


def _holding(text: str) -> Callable[[Path, World], None]:
    return lambda path, _: wrote(path.write_text(text))


def _test_report(w: World) -> None:
    (w.checkout / "report").symlink_to(w.outside / ".bashrc")
    (w.plans / "x.test.yaml").write_text("provisioner_test: 1\ncases: { a: { plan: none.yaml, expect: {} } }\n")


_HEAD = ("Name", "Sender address", "IP address", "Site", "Authentication", "TLS version", "Message count", "Date")
_LISTS: dict[str, Sequence[Sequence[str]]] = {
    "a list whose cells act on a terminal": [_HEAD, [LINES] * len(_HEAD), ["scan", "scan@contoso.com", *[LINES] * 6]],
    "a list whose header acts on a terminal": [[*_HEAD, LINES], ["scan", "scan@contoso.com", *["x"] * 7]],
    "a list of references": [_HEAD, ["env:CANARY_VARIABLE", "scan@contoso.com", *["file:../outside/id_rsa"] * 6]],
    "a list of tags": [_HEAD, ["!!python/object/apply:os.system ['touch x']", "scan@contoso.com", *["*a"] * 6]],
    "a list of names that are paths": [_HEAD, ["../../outside/x", "scan@contoso.com", *["../../x"] * 6]],
    "a list of numbers too large": [_HEAD, ["scan", "scan@contoso.com", *["9" * 5000] * 6]],
    "a list of many columns": [_HEAD * 5000, ["x"] * 40_000],
}


def _as_csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


# --- what a person hands over -----------------------------------------------------------------------------------------


def handed_over() -> Made:
    def log(make: Callable[[Path, World], None]) -> Make:
        def put(w: World) -> None:
            (w.checkout / "log.txt").unlink()
            make(w.checkout / "log.txt", w)

        return put

    def seed(make: Callable[[Path, World], None]) -> Make:
        def put(w: World) -> None:
            (w.checkout / "seed.yaml").unlink()
            make(w.checkout / "seed.yaml", w)

        return put

    bomb = "sandbox: 1\na0: &a0 [x,x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1},*a{n - 1}]\n" for n in range(1, 60))
    texts = {
        "a mail server's answer that acts on a terminal": f"550 5.7.64 TenantAttribution; {LINES}",
        "an answer without end": "550 5.7.64 " + "x" * 3_000_000,
        "no text": "\0\1\2",
        "a dialogue without sense": "250-\r\n" * 9999,
        "an answer that matches slowly": "550 5.7.1 " + "a@" * 20_000 + "[" * 20_000 + "(" * 20_000,
    }
    for title, text in texts.items():
        yield title, log(_holding(text))
    for title, rows in _LISTS.items():
        yield title, log(_holding(_as_csv(rows)))
    for title, special in SPECIAL.items():
        yield f"a log that is {title}", log(special)
        yield f"a seed that is {title}", seed(special)
    yield "a seed of aliases that double", seed(lambda p, _: wrote(p.write_text(bomb + "objects: { X: *a59 }\n")))
    yield "a seed that holds itself", seed(lambda p, _: wrote(p.write_text("sandbox: 1\nobjects: &a { X: [*a] }\n")))
    yield "a deep seed", seed(lambda p, _: wrote(p.write_text("sandbox: 1\nobjects: " + "[" * 20_000)))
    yield (
        "a seed that acts on a terminal",
        seed(lambda p, _: wrote(p.write_text(f"sandbox: 1\n{json.dumps(LINES)}: 1\n"))),
    )
    yield "a seed with a tag", seed(lambda p, _: wrote(p.write_text("!!python/object/apply:os.system ['touch x']\n")))
