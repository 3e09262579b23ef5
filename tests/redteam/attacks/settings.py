"""The settings file of a checkout."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.redteam.attacks.base import ESCAPES, Made, Make, sparse, wrote
from tests.redteam.world import World

# --- settings ---------------------------------------------------------------------------------------------------------


def settings_files() -> Made:
    def theirs(text: str, **more: Any) -> tuple[Make, dict[str, Any]]:
        def make(w: World) -> None:
            body = text
            for word, place in (("OUTSIDE", w.outside), ("CHECKOUT", w.checkout), ("MARKER", w.marker)):
                body = body.replace(word, str(place))
            (w.checkout / "provisioner.toml").write_bytes(body.encode("utf-8", "surrogatepass"))

        return make, {"profile": "theirs", **more}

    def profile(lines: str, **more: Any) -> tuple[Make, dict[str, Any]]:
        return theirs(f'[profiles.theirs]\ntenant = "contoso.onmicrosoft.com"\n{lines}', **more)

    def file(make: Callable[[Path, World], None]) -> Make:
        return lambda w: make(w.checkout / "provisioner.toml", w)

    credential = '[profiles.theirs.credential]\nkind = "client_secret"\nclient_id = "c"\nsecret = '
    for title, remote in {
        "an option": "--upload-pack=touch MARKER; false",
        "a short option": "-u",
        "a command": "ext::sh -c touch% MARKER",
        "a descriptor": "fd::3",
        "an option of ssh": "ssh://-oProxyCommand=touch%20MARKER/x",
        "scp with an option": "-oProxyCommand=x:y",
        "http": "http://example.com/x.git",
        "a folder of the checkout": "CHECKOUT/evil.git",
        "a line end": "/srv/a\\n.git",
    }.items():
        yield f"a lock that is {title}", *profile(f'lock = "git:{remote}"\n')
    yield "a lock folder outside", *profile('lock = "path:OUTSIDE"\n')
    yield "a lock that acts on a terminal", *profile(f"lock = {json.dumps('path:/x' + ESCAPES)}\n")
    for key in ("authority", "graph", "exchange"):
        for scheme in ("http", "https", "file", "ftp"):
            yield (
                f"{key} over {scheme} elsewhere",
                *profile(
                    f'{credential}"env:CANARY_VARIABLE"\n[profiles.theirs.endpoints]\n{key} = "{scheme}://evil.example"\n'
                ),
            )
        yield (
            f"{key} with another host behind a user",
            *profile(
                f'{credential}"env:CANARY_VARIABLE"\n[profiles.theirs.endpoints]\n{key} = "https://127.0.0.1@evil.example"\n'
            ),
        )
        yield (
            f"{key} that resembles loopback",
            *profile(
                f'{credential}"env:CANARY_VARIABLE"\n[profiles.theirs.endpoints]\n{key} = "https://localhost.evil.example"\n'
            ),
        )
    yield (
        "the user's profile defined anew",
        *theirs(
            '[profiles.mine]\ntenant = "contoso.onmicrosoft.com"\n[profiles.mine.endpoints]\n'
            'authority = "https://evil.example"\n',
            profile="mine",
        ),
    )
    yield (
        "a default profile",
        *theirs(
            '[profiles.default]\ntenant = "contoso.onmicrosoft.com"\n[profiles.default.endpoints]\n'
            'authority = "https://evil.example"\n',
            profile="default",
        ),
    )
    for title, where in {
        "a file outside": "file:OUTSIDE/id_rsa",
        "a device": "file:/dev/zero",
        "the environment": "file:/proc/self/environ",
        "a pipe": "file:pipe",
        "a folder": "file:plans",
        "a value": "plain-text",
        "nothing": "env:",
        "a link": "file:link",
    }.items():
        yield f"a secret that is {title}", _with_pipe(profile(f'{credential}"{where}"\n')[0]), {"profile": "theirs"}
    for key in ("certificate", "token_file"):
        kind = {"certificate": "certificate", "token_file": "workload_identity"}[key]
        for path in ("/dev/zero", "pipe", "OUTSIDE/id_rsa", "/proc/self/environ", "plans"):
            lines = f'[profiles.theirs.credential]\nkind = "{kind}"\nclient_id = "c"\n{key} = "{path}"\n'
            yield f"{key} {path}", _with_pipe(profile(lines)[0]), {"profile": "theirs"}
    for path in ("pipe", "/dev/zero", "OUTSIDE/id_rsa", "/proc/self/environ"):
        lines = (
            f'ca = "{path}"\n{credential}"env:CANARY_VARIABLE"\n[profiles.theirs.endpoints]\nauthority = "https://127.0.0.1:9"\n'
            'graph = "https://127.0.0.1:9"\nexchange = "https://127.0.0.1:9"\n'
        )
        yield f"a ca {path}", _with_pipe(profile(lines)[0]), {"profile": "theirs"}
    psrp = f'exchange = "psrp"\n{credential}"env:CANARY_VARIABLE"\n[profiles.theirs.psrp]\n'
    yield "PowerShell elsewhere", *profile(f'{psrp}endpoint = "https://evil.example:5986/wsman"\nuser = "x"\n')
    yield (
        "PowerShell with a prologue",
        *profile(
            f'{psrp}endpoint = "https://127.0.0.1:9/wsman"\nuser = "x"\npassword = "file:OUTSIDE/id_rsa"\n'
            '[profiles.theirs.psrp.prologue]\ncmdlet = "Invoke-Expression"\n'
            'parameters = { Password = "file:OUTSIDE/id_rsa" }\n'
        ),
    )
    yield "a proxy elsewhere", *profile('proxy = "http://evil.example:8080"\n')
    yield "a proxy with a login", *profile('proxy = "http://user:password@evil.example:8080"\n')
    yield (
        "a name server elsewhere",
        *profile('[profiles.theirs.endpoints]\ndns_servers = ["evil.example", "127.0.0.1:0"]\n'),
    )
    yield "keys that act on a terminal", *theirs(f"[profiles.theirs]\n{json.dumps(ESCAPES)} = 1\n")
    yield "a profile that acts on a terminal", *theirs(f"[profiles.{json.dumps(ESCAPES)}]\nx = 1\n")
    yield "values that act on a terminal", *profile(f"cloud = {json.dumps(ESCAPES)}\n")
    yield "deep settings", *theirs("x = " + "[" * 50_000)
    yield "deep tables", *theirs("[" + "a." * 5000 + "a]\n")
    yield "settings of another shape", *theirs("profiles = 5\n")
    yield "a profile of another shape", *theirs("[profiles]\ntheirs = 5\n")
    yield "numbers without end", *theirs(f"[profiles.theirs.timeouts]\nrequest_s = {'9' * 10_000}\n")
    yield "numbers that are none", *theirs("[profiles.theirs.timeouts]\nrequest_s = nan\nretry_s = inf\n")
    yield "settings that are not text", file(lambda p, _: wrote(p.write_bytes(b"\xff\xfe\x00"))), {"profile": "theirs"}
    for title, make in {
        "a link outside": lambda p, w: p.symlink_to(w.outside / "far.toml"),
        "a link to the environment": lambda p, _: p.symlink_to("/proc/self/environ"),
        "a link to a device": lambda p, _: p.symlink_to("/dev/zero"),
        "a pipe": lambda p, _: os.mkfifo(p),
        "a folder": lambda p, _: p.mkdir(),
        "a link to itself": lambda p, _: p.symlink_to(p),
        "as big as a disk": lambda p, _: sparse(p),
    }.items():
        yield f"settings that are {title}", file(make), {"profile": "theirs"}


def _with_pipe(make: Make) -> Make:
    def put(w: World) -> None:
        make(w)
        os.mkfifo(w.checkout / "pipe")
        (w.checkout / "link").symlink_to(w.outside / "id_rsa")

    return put
