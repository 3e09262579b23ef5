"""Text of a tenant, a server, a plan or a lock reaches no output as anything but text.

Every command is run in every format over names that move a cursor, turn the writing direction or command a CI runner.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator

import pytest
import yaml

from provisioner.model import yaml_text
from provisioner.render.escape import json_text, visible, whole
from tests.cli.shop import SEED, Shop, open_shop

pytestmark = pytest.mark.part(0.5)

LINK, TURN, OLD, AZURE = "\x1b]8;;http://x\x1b\\", "\u202e", "##[stop-commands]x", "##vso[task.setvariable]x"
NEW = "\n::error::x"
HOSTILE = f"{LINK}{TURN}{OLD}{AZURE}{NEW}"
NAME = f"{LINK}{TURN}{OLD}{AZURE}"

HARMLESS = ("plain", "grün – 漢字", "# not a command", "a::b", '[provisioner: "x"]')


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    objects = {
        **json.loads(json.dumps(SEED["objects"])),
        "InboundConnector": [
            {"Name": name, "ConnectorType": "OnPremises", "SenderIPAddresses": ["203.0.113.9"], "Comment": HOSTILE,
             "SenderDomains": ["smtp:*;1"], "RequireTls": False, "Enabled": True}
            for name in (NAME, f"{OLD}9")
        ],
        "MessageTrace": [
            {"_DaysAgo": 0.1, "SenderAddress": "erp@contoso.com", "RecipientAddress": "a@contoso.com", "Subject": name,
             "FromIP": "203.0.113.9", "_Connector": name} for name in (NAME, "=cmd|x")
        ],
    }  # fmt: skip
    sign_in = {"_DaysAgo": 0.1, "userPrincipalName": "erp@contoso.com", "userAgent": HOSTILE, "status": {"errorCode": 9,
               "failureReason": HOSTILE}}  # fmt: skip
    seed = {**SEED, "objects": objects, "graph": {"signIns": [sign_in]}}
    with open_shop(tmp_path_factory.mktemp("shop"), seed) as here:
        yield here


@pytest.fixture(scope="module")
def plan(shop: Shop) -> str:
    connector = {"sender_ip_addresses": ["203.0.113.10"], "comment": HOSTILE}
    supports = {"tls": "1.2", "authentication": []}
    device = {"from": "erp@contoso.com", "recipients": "anyone", "site": OLD, "supports": supports}
    body: dict[str, object] = {
        "owner": "contoso/test",
        "inbound_connectors": {OLD: connector, AZURE: connector},
        "sites": {OLD: {"egress_ip_addresses": ["203.0.113.11"]}},
        "devices": {"mfp": device},
        "absent": [f"inbound_connector/{OLD}3"],
    }
    tenants = {"east": {"plan": "plan.yaml", "profile": NAME, "labels": {"x": f"{NAME}{NEW}"}}}
    fleet = _flow({"fleet": 1, "tenants": {"west": {"plan": "plan.yaml", "profile": "sandbox"}, **tenants}})
    (shop.folder / "fleet.yaml").write_text(fleet, encoding="utf-8")
    return shop.write(_flow(body))


def _flow(body: dict[str, object]) -> str:
    """The sections, one a line, their content as JSON: it is YAML, and holds every character as an escape."""
    return "".join(f"{section}: {json.dumps(content)}\n" for section, content in body.items())


COMMANDS = [
    *(("plan", "PLAN", "--format", f) for f in
      ("text", "json", "markdown", "html", "powershell", "github", "gitlab", "junit", "sarif", "json-lines")),
    ("fmt", "PLAN"), ("fmt", f"{NAME}.yaml"), ("explain", f"{NAME}{NEW}"),
    ("plan", "PLAN", "--unmanaged"), ("plan", "PLAN", "--all-findings"), ("plan", "PLAN", "--concise"),
    *(("graph", "PLAN", "--format", f) for f in ("mermaid", "dot", "svg")),
    ("validate", "PLAN"), ("validate", "PLAN", "--format", "json"),
    *(("lint", "PLAN", "--format", f) for f in ("text", "json", "github", "sarif")),
    *(("drift", "PLAN", "--format", f) for f in ("text", "json")),
    *(("doctor", "PLAN", "--format", f) for f in ("text", "json")),
    *(("explain", "device/mfp", "PLAN", "--format", f) for f in ("text", "json")),
    *(("devices", "list", "PLAN", "--format", f) for f in ("text", "json")),
    *(("devices", "show", "mfp", "PLAN", "--format", f) for f in ("text", "json", "html", "csv")),
    *(("diagnose", f"550 5.7.64 TenantAttribution; {NAME}", "--format", f) for f in ("text", "json")),
    ("-vv", "plan", "PLAN"),
    ("plan", f"{NAME}.yaml"),
    (f"{NAME}{NEW}",),
    ("plan", "PLAN", f"--{NAME}{NEW}"),
    ("plan", "PLAN", "--target", f"{NAME}{NEW}"),
    ("apply", "PLAN", "--auto-approve", "--format", "json-lines"),
    ("apply", "PLAN", "--auto-approve"),
    ("history",), ("history", "--format", "json"),
    ("lock", "status"), ("dkim", "rotate", f"{NAME}{NEW}", "--auto-approve"),
    ("dane", "enable", f"{NAME}{NEW}", "--auto-approve"), ("dane", "disable", f"{NAME}{NEW}"),
    ("dane", "status", f"{NAME}{NEW}"),
    ("fleet", "drift", "FLEET"),
    ("fleet", "drift", f"{NAME}{NEW}"),
    ("fleet", "plan", "--select", f"{NAME}{NEW}=x"),
    *(("fleet", "report", "--format", f) for f in ("text", "json", "html", "prometheus")),
    ("init", "begun", "--tenant", NAME, "--owner", "us"), ("init", NAME, "--from-tenant", "--owner", "us"),
    *(("senders", "discover", "--days", "1", "--no-search", "--format", f) for f in ("text", "csv", "json", "html")),
]  # fmt: skip


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda a: " ".join(map(ascii, a))[:60])
def test_every_command_prints_hostile_names_as_text(shop: Shop, plan: str, arguments: tuple[str, ...]) -> None:
    words = {"PLAN": plan, "FLEET": "fleet.yaml"}
    done = shop.on_tenant(*(words.get(a, a) for a in arguments))
    assert "Traceback" not in done.stderr
    github = "github" in arguments
    for output in (done.stdout, done.stderr):
        assert raw(output) == [], output
        assert commands(output, github=github and output is done.stdout) == [], output


@pytest.mark.part(1)
def test_a_servers_refusal_and_its_retries_are_printed_as_text(shop: Shop, plan: str) -> None:
    refusal = {"status": 503, "body": {"error": {"code": "x", "message": HOSTILE}}}
    shop.fault("Get-InboundConnector", refusal, times=2)
    done = shop.on_tenant("-vv", "plan", plan)
    shop.release()
    assert raw(done.stdout + done.stderr) == []
    assert commands(done.stdout + done.stderr) == []


@pytest.mark.part(1)
def test_an_export_holds_the_names_and_nothing_that_a_runner_obeys(shop: Shop) -> None:
    """Neither on standard output nor in a file, which a job may show."""
    shown = shop.on_tenant("export", CI="true")
    done = shop.on_tenant("export", "-o", "export.yaml", CI="true")
    assert (shown.returncode, done.returncode) == (0, 0), done.stderr
    text = (shop.folder / "export.yaml").read_text(encoding="utf-8")
    assert shown.stdout == text
    assert f"{OLD}9" in yaml.safe_load(text)["inbound_connectors"]
    assert raw(text) == commands(text) == []
    again = shop.on_tenant("export", "-o", "export.yaml", CI="true")
    assert (again.returncode, (shop.folder / "export.yaml").read_text(encoding="utf-8")) == (0, text)
    assert "No changes" in shop.on_tenant("plan", "export.yaml").stdout


def raw(text: str) -> list[str]:
    """What does not print, but for the ends of lines and tabs."""
    return [c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs"} and c not in "\n\t"]


def commands(text: str, *, github: bool = False) -> list[str]:
    """What a runner of GitHub or Azure would obey."""
    found = [word for word in ("##[", "##vso[") if word in text]
    own = re.compile(r"::(?:error|warning|notice) ")
    return found + [
        line for line in text.splitlines() if line.lstrip().startswith("::") and not (github and own.match(line))
    ]


# --- pure ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HARMLESS)
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert (visible(text), whole(f"{text}\n"), json.loads(json_text(text))) == (text, f"{text}\n", text)


def test_json_keeps_its_values() -> None:
    text = json_text({HOSTILE: [HOSTILE, "\U000e0001", 1]})
    assert json.loads(text) == {HOSTILE: [HOSTILE, "\U000e0001", 1]}
    assert raw(text) == commands(text) == []


def test_yaml_keeps_its_values() -> None:
    text = yaml_text.write({"a": HOSTILE, "b": "grün"})
    assert yaml.safe_load(text) == {"a": HOSTILE, "b": "grün"}
    assert raw(text) == commands(text) == []
    assert "grün" in yaml_text.write({"b": "grün"})


@pytest.mark.parametrize(
    "text", [OLD, AZURE, "::error::x", "a\n::error::x", "  ::x", "a\n\n  ::warning::y", "##vso", "a::b"]
)
def test_yaml_is_nothing_that_a_runner_obeys(text: str) -> None:
    content = {text: text, "a": [text, {text: [1, text]}], "z": {"x": text}}
    for written in (yaml_text.write(content), yaml_text.write(content, quoted=True)):
        assert list(yaml.safe_load(written).items()) == list(content.items())
        assert commands(written) == []
        assert yaml_text.dump(yaml_text.round_trip().load(written)) == written


def test_a_comment_of_the_plans_author_stays_as_it_is() -> None:
    text = f"a: 1  # {OLD}\nb: '{OLD}'\n"
    written = yaml_text.dump(yaml_text.round_trip().load(text))
    assert written == f'a: 1  # {OLD}\nb: "\\x23#[stop-commands]x"\n'


def test_colours_pass_only_where_they_are_wanted() -> None:
    text = f"\x1b[1mbold\x1b[0m {LINK}\n"
    assert whole(text, color=True) == "\x1b[1mbold\x1b[0m \\u{1b}]8;;http://x\\u{1b}\\\n"
    assert "\x1b" not in whole(text)


def test_what_was_escaped_stays_as_it_is() -> None:
    once = visible(HOSTILE)
    assert visible(once) == whole(once) == once
    assert whole("::error::x\n  ::y\n") == "\\u{3a}:error::x\n  \\u{3a}:y\n"
    assert whole("::error::x\n", commands=True) == "::error::x\n"
