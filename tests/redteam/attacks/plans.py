"""What a plan says, its variables and its tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.cli.shop import HEADER
from tests.redteam.attacks.base import ESCAPES, LINES, Made, Make, wrote
from tests.redteam.world import PLAN, World

# --- what a plan says -------------------------------------------------------------------------------------------------


def plan_texts() -> Made:
    bodies: dict[str, str | bytes] = {
        "a tag that names a function": PLAN + "protect: !!python/object/apply:os.system ['touch marker']\n",
        "aliases that double": "a0: &a0 [x,x]\n"
        + "".join(f"a{n}: &a{n} [*a{n - 1},*a{n - 1}]\n" for n in range(1, 60)),
        "nesting without end": "a: " + "[" * 100_000,
        "mappings without end": "{a: " * 50_000,
        "one long line of mistakes": HEADER + f"protect: [{','.join(f'x{n}' for n in range(5000))}]\n",
        "one line of five megabytes": HEADER + "owner: " + "x" * 5_000_000,
        "many keys": HEADER + "".join(f"key{n}: 1\n" for n in range(20_000)),
        "many addresses that are none": HEADER
        + "inbound_connectors: { x: { sender_ip_addresses: ["
        + ",".join(f"x{n}" for n in range(5000))
        + "] } }\n",
        "references in the place of values": PLAN + "inbound_connectors:\n  relay:\n    comment: env:CANARY_VARIABLE\n"
        "    sender_ip_addresses: [203.0.113.9]\n  other:\n    comment: file:../outside/id_rsa\n"
        "    sender_ip_addresses: [203.0.113.8]\n",
        "templates in the place of values": PLAN + "inbound_connectors:\n  relay:\n    comment: '${CANARY_VARIABLE} "
        "{{ env.CANARY_VARIABLE }} $(cat ../outside/id_rsa) %CANARY_VARIABLE% <%= x %>'\n"
        "    sender_ip_addresses: [203.0.113.9]\n",
        "variables named as the environment's": PLAN + "variables: { CANARY_VARIABLE: { type: string } }\n"
        "inbound_connectors: { r: { comment: 'var:CANARY_VARIABLE', sender_ip_addresses: [203.0.113.9] } }\n",
        "a variable whose default is a reference": PLAN
        + "variables: { x: { type: string, default: 'env:CANARY_VARIABLE' } }\n"
        "inbound_connectors: { r: { comment: 'var:x', sender_ip_addresses: [203.0.113.9] } }\n",
        "numbers without end": HEADER + f"provisioner: {'9' * 100_000}\n",
        "zero bytes": HEADER.encode() + b"owner: a\0b\n",
        "UTF-16": HEADER.encode("utf-16"),
        "no UTF-8": HEADER.encode() + b"owner: \xff\xfe\n",
        "surrogates": HEADER + 'owner: "\\ud800"\ninbound_connectors: { "\\udfff": { comment: "\\ud800" } }\n',
        "nothing": "",
        "a byte order mark": "\ufeff",
        "a list": "[1, 2]",
        "a word": "x",
        "two documents": f"{HEADER}---\n{HEADER}",
        "names that act on a terminal": _names(ESCAPES),
        "names with line ends": _names(LINES),
        "names with commands at their beginning": _names("::error::x"),
        "a tenant that acts on a terminal": "".join(
            f"{name}: {json.dumps(LINES)}\n" for name in ("provisioner", "tenant", "owner")
        ),
        "keys that act on a terminal": HEADER + f"{json.dumps(LINES)}: 1\n",
        "comments that act on a terminal": PLAN + f"# {ESCAPES}\nx: [\n",
        "a mistake beside escapes": PLAN + f"protect: {json.dumps([ESCAPES])} x\n",
        "carriage returns alone": PLAN.replace("\n", "\r") + "x: [\r",
        "line ends of Unicode": PLAN + "x: '\u2028\u2029\x85\x0b\x0c'\n",
        "a waiver of everything": PLAN + "allow: [{ rule: '*', reason: x }, { rule: CHANGESET, reason: x }]\n",
        "merge keys": PLAN + "x: &x { a: 1 }\n<<: *x\n",
        "an owner as long as a book": HEADER + f"owner: {'x' * 100_000}\n",
        "a device that matches slowly": PLAN + f"ignore: ['inbound_connector/{'*a' * 40}b']\n",
        "a domain of many labels": PLAN + f"dkim: {{ {'a.' * 5000}com: {{ enabled: true }} }}\n",
        "an address of many parts": PLAN
        + f"smtp_auth: {{ mailboxes: {{ '{'a' * 100_000}@contoso.com': enabled }} }}\n",
        "a key of a million": PLAN + f"? {'k' * 1_000_000}\n: 1\n",
        "a year of billions": PLAN + "allow: [{ rule: BLAST-RADIUS, reason: x, until: '99999-99-99' }]\n",
    }
    for title, body in bodies.items():
        content = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
        yield title, lambda w, content=content: wrote((w.plans / "plan.yaml").write_bytes(content))


def _names(text: str) -> str:
    """A plan that writes a text wherever a text of its author's own goes."""
    connector = {"sender_ip_addresses": ["203.0.113.10"], "comment": text}
    supports = {"tls": "1.2", "authentication": []}
    body = {
        "owner": "contoso/test",
        "inbound_connectors": {text: connector},
        "sites": {text: {"egress_ip_addresses": ["203.0.113.11"]}},
        "devices": {
            "mfp": {"from": "erp@contoso.com", "recipients": "anyone", "site": text, "supports": supports},
            text: {"from": "fax@contoso.com", "recipients": "anyone", "site": text, "supports": supports},
        },
        "absent": [f"inbound_connector/{text}3"],
        "allow": [{"rule": "BLAST-RADIUS", "reason": text}],
        "variables": {"x": {"type": "string", "default": text, "description": text}},
    }
    return HEADER + "".join(f"{section}: {json.dumps(content)}\n" for section, content in body.items())


# --- variables and tests of plans -------------------------------------------------------------------------------------


def variables() -> Made:
    def file(make: Callable[[Path, World], None]) -> Make:
        def put(w: World) -> None:
            (w.checkout / "vars.yaml").unlink()
            make(w.checkout / "vars.yaml", w)

        return put

    for title, make in {
        "a link outside": lambda p, w: p.symlink_to(w.outside / "far.yaml"),
        "a link to a key": lambda p, w: p.symlink_to(w.outside / "id_rsa"),
        "a link to the environment": lambda p, _: p.symlink_to("/proc/self/environ"),
        "a link to a device": lambda p, _: p.symlink_to("/dev/zero"),
        "a pipe": lambda p, _: os.mkfifo(p),
        "a folder": lambda p, _: p.mkdir(),
        "a list": lambda p, _: wrote(p.write_text("[1]\n")),
        "deep": lambda p, _: wrote(p.write_text("a: " + "[" * 100_000)),
        "no text": lambda p, _: wrote(p.write_bytes(b"\xff\xfe\x00")),
        "names that act on a terminal": lambda p, _: wrote(p.write_text(f"{json.dumps(LINES)}: {json.dumps(LINES)}\n")),
        "a reference": lambda p, _: wrote(p.write_text("x: file:../outside/id_rsa\n")),
    }.items():
        yield f"the file of variables is {title}", file(make)
    yield "the environment's variables act on a terminal", wrote, {"environment": {"PROVISIONER_VAR_x": ESCAPES}}


def plan_tests() -> Made:
    def cases(**bodies: str) -> Make:
        def make(w: World) -> None:
            lines = "".join(
                f"  {name}: {{ {body.replace('OUTSIDE', str(w.outside))}, expect: {{ applies: true }} }}\n"
                for name, body in bodies.items()
            )
            (w.plans / "x.test.yaml").write_text(f"provisioner_test: 1\ncases:\n{lines}")

        return make

    def seed(content: str, name: str = "seed.json") -> Make:
        def make(w: World) -> None:
            (w.plans / name).write_text(content)
            cases(one=f"plan: plan.yaml, given: {{ seeds: [{name}] }}")(w)

        return make

    yield "a test file that is a link outside", lambda w: (w.plans / "x.test.yaml").symlink_to(w.outside / "far.yaml")
    yield "a test file that is a pipe", lambda w: os.mkfifo(w.plans / "x.test.yaml")
    yield "a test file of a device", lambda w: (w.plans / "x.test.yaml").symlink_to("/dev/zero")
    yield "a plan outside", cases(one="plan: OUTSIDE/far.yaml")
    yield "a plan of the kernel", cases(one="plan: /proc/self/environ")
    yield (
        "a plan whose text includes a file outside",
        cases(one='plan: "provisioner: 1\\ntenant: contoso.onmicrosoft.com\\ninclude: [OUTSIDE/far.yaml]\\n"'),
    )
    yield "a seed outside", cases(one="plan: plan.yaml, given: { seeds: [OUTSIDE/far.yaml] }")
    yield "a seed of the kernel", cases(one="plan: plan.yaml, given: { seeds: [/proc/self/environ] }")
    yield "a seed that is an option", cases(one="plan: plan.yaml, given: { seeds: [--help] }")
    yield "names that act on a terminal", cases(**{json.dumps(LINES): f"plan: {json.dumps(LINES)}"})
    yield (
        "cmdlets that act on a terminal",
        cases(one=f"plan: plan.yaml, given: {{ run: [{{ cmdlet: {json.dumps(LINES)} }}] }}"),
    )
    bomb = "sandbox: 1\na0: &a0 [x,x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1},*a{n - 1}]\n" for n in range(1, 60))
    yield "a seed of aliases that double", seed(bomb + "objects: { AcceptedDomain: *a59 }\n", "seed.yaml")
    yield "a seed that holds itself", seed("sandbox: 1\nobjects: &a { AcceptedDomain: [*a] }\n", "seed.yaml")
    yield "a deep seed", seed('{"sandbox": 1, "objects": ' + "[" * 100_000)
    yield "a deep seed in YAML", seed("sandbox: 1\nobjects: " + "[" * 20_000, "seed.yaml")
    yield (
        "a seed of a billion mailboxes",
        seed('{"sandbox": 1, "mailboxes": [{"count": 1000000000, "domain": "a.example"}]}'),
    )
    yield "a seed with a tag", seed("!!python/object/apply:os.system ['touch marker']\n", "seed.yaml")
    yield "a seed that is a number", seed("9" * 100_000)
