"""The program as users run it: every exit code, what goes to which stream, and what stays unloaded."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shop import Shop, open_shop
from tests.clocks import costs


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


@pytest.fixture(autouse=True)
def calm(shop: Shop) -> Iterator[None]:
    """Every test begins with the tenant of the seed."""
    yield
    shop.reset()


def error_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)["error"]
    return found


# --- 0, 1, 2 ---------------------------------------------------------------------------------------------------------


def test_plan_apply_plan(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n")
    assert shop.on_tenant("plan", plan).returncode == 0
    first = shop.on_tenant("plan", plan, "--detailed-exitcode", "-o", "changes.json")
    assert first.returncode == 2
    assert "Plan: 0 to add, 1 to change, 0 to destroy." in first.stdout
    assert "\x1b" not in first.stdout
    shown = shop.on_tenant("show", "changes.json")
    assert shown.stdout == first.stdout, "what is saved is what was shown"
    applied = shop.on_tenant("apply", *shop.reviewed("changes.json"))
    assert (applied.returncode, applied.stdout) == (0, "Apply complete! Resources: 0 added, 1 changed, 0 destroyed.\n")
    assert 'smtp_auth["erp@contoso.com"]: Modifying...' in applied.stderr
    again = shop.on_tenant("plan", plan, "--detailed-exitcode")
    assert again.returncode == 0
    assert "No changes. Your infrastructure matches the configuration." in again.stdout


def test_json_is_all_that_stands_on_standard_output(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { mailboxes: { fax@contoso.com: disabled } }\n")
    document = json.loads(shop.on_tenant("plan", plan, "--format", "json").stdout)
    assert document["resource_changes"][0]["address"] == 'smtp_auth["fax@contoso.com"]'
    outcome = json.loads(shop.on_tenant("apply", plan, "--auto-approve", "--format", "json").stdout)
    assert [(r["address"], r["status"]) for r in outcome["results"]] == [('smtp_auth["fax@contoso.com"]', "done")]


def test_under_detailed_exitcode_an_error_is_1_and_its_class_stands_in_the_json(shop: Shop) -> None:
    done = shop.on_tenant("plan", shop.write("nonsense: 1\n"), "--detailed-exitcode", "--format", "json")
    assert done.returncode == 1
    assert (error_of(done)["kind"], error_of(done)["exit_code"]) == ("input", 3)


def test_targets_and_excludes_take_either_form_of_an_address(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { mailboxes: { a@contoso.com: enabled, b@contoso.com: enabled } }\n")
    one = shop.on_tenant("plan", plan, "--target", 'smtp_auth["a@contoso.com"]')
    other = shop.on_tenant("plan", plan, "--exclude", "smtp_auth/b@contoso.com")
    for done in (one, other):
        assert "Plan: 0 to add, 1 to change, 0 to destroy." in done.stdout
        assert "only a part of the plan" in done.stdout


# --- 3: input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plna"], 'Did you mean "plan"?'),
        (["history", "lst"], 'Did you mean "list"?'),
        (["plan", "--tagret", "x"], "No such option"),
        (["plan", "--format", "xml"], "xml"),
        (["validate", "nowhere.yaml"], "nowhere.yaml"),
        (["show", "nowhere.json"], "cannot be read"),
        (["plan", "--target", "smtp_aut/x"], 'did you mean "smtp_auth"?'),
        (["plan", "--allow", "NO-SUCH-RULE"], "there is no such rule"),
        (["--profile", "sandbx", "plan"], 'did you mean "sandbox"?'),
        (["-C", "nowhere", "version"], "nowhere"),
        (["sandbox", "start", "--seed", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_what_is_typed_wrong_ends_with_3_and_a_hint(shop: Shop, arguments: list[str], words: str) -> None:
    shop.write("smtp_auth: { organization: disabled }\n")
    if arguments[:1] == ["plan"] or "plan" in arguments:
        arguments = [*arguments, "plan.yaml"]
    done = shop.run(*arguments)
    assert done.returncode == 3, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_every_mistake_of_a_plan_is_told_at_once_with_its_place(shop: Shop) -> None:
    shop.write(
        "inbound_connectors:\n  hq:\n    type: onprem\n    sender_ip_addresses: [10.0.0.0/8, fe80::1]\nsmtp_aut: {}\n",
        "bad.yaml",
    )
    done = shop.run("validate", "bad.yaml")
    assert done.returncode == 3
    for words in (
        "bad.yaml:5:11: error[VALUE-NOT-ALLOWED]",
        "error[IP-RANGE-WIDE]",
        "bad.yaml:6:39: error[IP-VERSION-6]",
        "bad.yaml:7:1: error[KEY-UNKNOWN]",
        'did you mean "smtp_auth"?',
        "^^^^^^",
    ):
        assert words in done.stderr, words


@pytest.mark.parametrize("content", [b"", b"\x89PNG\0\xff", b"[1]", b"a: &x\nb: *x", b"a:\n\tb: 1", b"x" * 50_000_000])
def test_a_file_that_is_no_plan_is_refused_fast_and_without_a_traceback(shop: Shop, content: bytes) -> None:
    (shop.folder / "odd.yaml").write_bytes(content)
    with costs(at_most_s=5):
        done = shop.run("validate", "odd.yaml")
    assert done.returncode == 3
    assert "error[" in done.stderr
    assert "Traceback" not in done.stderr


# --- 4 and 5: the tenant ---------------------------------------------------------------------------------------------


def test_a_wrong_secret_and_another_tenants_plan_are_4(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { organization: disabled }\n")
    (shop.folder / "wrong").write_text("wrong-secret-7Q~x")
    wrong = shop.on_tenant("plan", plan, PROVISIONER_CREDENTIAL__SECRET=f"file:{shop.folder / 'wrong'}")
    assert wrong.returncode == 4, wrong.stderr
    assert "AADSTS7000215" in wrong.stderr
    assert "wrong-secret" not in wrong.stderr + wrong.stdout
    (shop.folder / "other.yaml").write_text("provisioner: 1\ntenant: fabrikam.onmicrosoft.com\n")
    foreign = shop.on_tenant("plan", "other.yaml")
    assert foreign.returncode == 4
    assert "the plan is for fabrikam.onmicrosoft.com" in foreign.stderr


def test_an_apply_that_may_not_write_is_4_after_one_refusal(shop: Shop) -> None:
    mailboxes = ", ".join(f"{name}@contoso.com: enabled" for name in ("erp", "fax", "a"))
    plan = shop.write(f"smtp_auth: {{ organization: disabled, mailboxes: {{ {mailboxes} }} }}\n")
    before, since = shop.tenant.rows("CASMailbox"), shop.tenant.seen()
    done = shop.run("--profile", "sandbox-reader", "apply", plan, "--auto-approve", "--format", "json")
    assert done.returncode == 4, done.stdout + done.stderr
    tried = [r["cmdlet"] for r in shop.tenant.requests("exchange", since) if r["write"]]
    assert tried == ["Set-CASMailbox"]
    assert shop.tenant.rows("CASMailbox") == before
    said = error_of(done)
    assert (said["kind"], said["exit_code"]) == ("permission", 4)
    assert "Exchange Administrator" in json.dumps(said)
    told = Counter(result["status"] for result in json.loads(done.stdout)["results"])
    assert told.pop("failed") == 1
    assert told.keys() <= {"left", "skipped"}


def test_what_cannot_be_read_is_5_and_never_absent(shop: Shop) -> None:
    plan = shop.write("inbound_connectors: { hq: { require_tls: true } }\n")
    shop.fault("Get-InboundConnector", {"html": True})
    done = shop.on_tenant("plan", plan)
    assert done.returncode == 5
    assert "could not be read completely" in done.stdout
    assert "will be created" not in done.stdout
    applied = shop.on_tenant("apply", plan, "--auto-approve")
    assert applied.returncode == 5
    assert not shop.tenant.rows("InboundConnector")


def test_a_missing_role_is_4_and_named(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { mailboxes: { c@contoso.com: disabled } }\n")
    done = shop.run("--profile", "sandbox-reader", "apply", plan, "--auto-approve")
    assert done.returncode == 4, "the plan could be made, and nothing was written"
    assert "give the app a role that holds Set-CASMailbox" in done.stdout


# --- 6 to 10 ---------------------------------------------------------------------------------------------------------


def test_a_guard_is_6_until_its_name_lifts_it(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { organization: enabled }\n")
    planned = shop.on_tenant("plan", plan)
    assert (planned.returncode, "will be updated" in planned.stdout) == (6, True), "guards never stop plan from showing"
    refused = shop.on_tenant("apply", plan, "--auto-approve")
    assert refused.returncode == 6
    assert "SMTP-TENANT-WIDE" in refused.stderr
    assert shop.on_tenant("apply", plan, "--auto-approve", "--allow", "IP-PRIVATE").returncode == 6
    assert shop.on_tenant("apply", plan, "--auto-approve", "--allow", "SMTP-TENANT-WIDE").returncode == 0
    assert (
        shop.on_tenant("apply", shop.write("smtp_auth: { organization: disabled }\n"), "--auto-approve").returncode == 0
    )


def test_a_mailbox_that_is_not_there_is_6_and_the_rest_is_shown(shop: Shop) -> None:
    done = shop.on_tenant("plan", shop.write("smtp_auth: { mailboxes: { no@contoso.com: enabled } }\n"))
    assert done.returncode == 6
    assert "RESOURCE-MISSING" in done.stdout


def test_stale_edited_and_foreign_change_sets_are_7_and_write_nothing(shop: Shop) -> None:
    plan = shop.write("inbound_connectors: { stale: { comment: ours } }\n")
    shop.on_tenant("plan", plan, "-o", "stale.json")
    shop.tenant.cmdlet("New-InboundConnector", Name="stale", ConnectorType="Partner", SenderDomains=["x.example"])
    writes = len(shop.tenant.writes())
    stale = shop.on_tenant("apply", *shop.reviewed("stale.json"))
    assert stale.returncode == 7
    assert 'inbound_connector["stale"]: it is there now' in stale.stderr or "comment is" in stale.stderr
    text = (shop.folder / "stale.json").read_text()
    (shop.folder / "edited.json").write_text(text.replace('"ours"', '"theirs"'))
    assert shop.on_tenant("apply", *shop.reviewed("edited.json")).returncode == 7
    (shop.folder / "cut.json").write_text(text[: len(text) // 2])
    assert shop.on_tenant("apply", "cut.json", "--expect-digest", "0").returncode == 3
    assert len(shop.tenant.writes()) == writes


def test_a_refused_write_is_8_and_named_and_the_others_are_done(shop: Shop) -> None:
    plan = shop.write("inbound_connectors: { fine: {} }\nsmtp_auth: { mailboxes: { a@contoso.com: disabled } }\n")
    shop.fault("New-InboundConnector", {"status": 400, "body": {"error": {"code": "x", "message": "no such luck"}}})
    done = shop.on_tenant("apply", plan, "--auto-approve")
    assert done.returncode == 8
    assert "Failed:" in done.stdout
    assert 'inbound_connector["fine"]' in done.stdout
    assert "no such luck" in done.stdout
    assert "Apply incomplete. Resources: 0 added, 1 changed, 0 destroyed." in done.stdout


def test_dkim_without_dns_is_8_and_says_what_to_publish(shop: Shop) -> None:
    done = shop.on_tenant("apply", shop.write("dkim: { contoso.com: { enabled: true } }\n"), "--auto-approve")
    assert done.returncode == 8
    assert "Waiting" in done.stdout
    assert "selector1._domainkey.contoso.com CNAME selector1-contoso-com" in done.stdout


@pytest.mark.one_of("how")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_write_in_flight_end_and_tells_the_rest(shop: Shop, how: signal.Signals) -> None:
    shop.reset()
    mailboxes = ", ".join(f"{name}@contoso.com: enabled" for name in ("a", "b", "c", "fax"))
    plan = shop.write(f"smtp_auth: {{ mailboxes: {{ {mailboxes} }} }}\n")
    shop.hold("Set-CASMailbox")
    process = shop.begin("--profile", "sandbox", "apply", plan, "--auto-approve", PROVISIONER_CONCURRENCY__WRITES="1")
    assert process.stderr is not None
    while "Modifying..." not in process.stderr.readline():
        assert process.poll() is None
    shop.wait_until_held()
    process.send_signal(how)
    while "finishing what is in flight" not in process.stderr.readline():
        assert process.poll() is None
    shop.release()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 8
    assert "1 changed" in out
    assert "the run was interrupted" in out
    assert out.count("interrupted before it was begun") == 3


def test_a_disk_that_is_full_ends_an_apply_with_its_account(shop: Shop) -> None:
    """`ulimit -f` bounds the size of a file: the write that goes over it takes a part, and the next is an error."""
    shop.reset()
    body = "".join(
        f"  relay-{n}: {{ type: on_premises, sender_ip_addresses: [203.0.113.{n}] }}\n" for n in range(1, 16)
    )
    plan = shop.write(f"inbound_connectors:\n{body}")
    state = shop.folder / "small"
    environment = {**shop.environment, "PROVISIONER_STATE_DIR": str(state), "PYTHONDONTWRITEBYTECODE": "1"}
    program = f"ulimit -f 16; exec {sys.executable} -m provisioner --profile sandbox apply {plan} --auto-approve"
    done = subprocess.run(
        ["bash", "-c", program], cwd=shop.folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 8, done.stdout + done.stderr
    assert "Nothing more was sent: the journal" in done.stdout
    assert "cannot be written: File too large" in done.stdout
    made = len(shop.tenant.rows("InboundConnector"))
    assert 0 < made < 15
    assert f"{made} added" in done.stdout or "Sent, but not confirmed" in done.stdout
    again = shop.on_tenant("apply", plan, "--auto-approve", PROVISIONER_STATE_DIR=str(state))
    assert again.returncode == 0, again.stderr
    assert f"{15 - made} added" in again.stdout
    assert shop.on_tenant("history", "verify", PROVISIONER_STATE_DIR=str(state)).returncode == 0
    assert shop.on_tenant("drift", plan, PROVISIONER_STATE_DIR=str(state)).returncode == 0
    shop.reset()


def test_a_strange_line_in_the_journal_stops_no_command(shop: Shop) -> None:
    shop.reset()
    plan = shop.write("smtp_auth: { mailboxes: { a@contoso.com: enabled } }\n")
    state = {"PROVISIONER_STATE_DIR": str(shop.folder / "strange")}
    assert shop.on_tenant("apply", plan, "--auto-approve", **state).returncode == 0
    (path,) = (shop.folder / "strange").glob("*/journal.jsonl")
    with path.open("a") as file:
        file.write('{}\n{"kind": "finished", "run": 7}\n' + "[" * 100_000 + "\n")
    for arguments in (["plan", plan], ["drift", plan], ["apply", plan, "--auto-approve"], ["doctor", plan]):
        done = shop.on_tenant(*arguments, **state)
        assert done.returncode == (1 if arguments[0] == "doctor" else 0), done.stdout + done.stderr
        assert "passed over" in done.stderr
    assert shop.on_tenant("history", "list", **state).returncode == 0
    assert shop.on_tenant("rollback", "last", "-o", "back.json", **state).returncode in (0, 3)
    shop.reset()


def test_a_second_apply_is_9_while_the_first_holds_the_tenant(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { mailboxes: { b@contoso.com: disabled } }\n")
    shop.hold("Set-CASMailbox")
    first = shop.begin("--profile", "sandbox", "apply", plan, "--auto-approve")
    shop.wait_until_held()
    second = shop.on_tenant("apply", plan, "--auto-approve")
    assert second.returncode == 9, second.stderr
    assert "the tenant is being changed by" in second.stderr
    shop.release()
    first.communicate(timeout=60)
    assert first.returncode == 0


def test_with_nobody_to_ask_apply_is_declined_with_10(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { mailboxes: { erp@contoso.com: disabled } }\n")
    done = shop.on_tenant("apply", plan)
    assert done.returncode == 10
    assert "--auto-approve" in done.stderr
    assert "will be updated in-place" in done.stdout


# --- start-up --------------------------------------------------------------------------------------------------------

SLOW = (
    "msgraph",
    "azure",
    "aiohttp",
    "httpx",
    "pypsrp",
    "opentelemetry",
    "provisioner.sandbox",
    "provisioner.cli.telemetry",
)


NOT_FOR_A_SMALL_PLAN = (
    "aiosmtplib", "dbos", "dns", "dulwich", "filelock", "h2", "jinja2", "jsonschema", "opentelemetry.sdk",
    "provisioner.engine.locking", "provisioner.engine.postgres", "provisioner.render.html",
    "provisioner.render.markdown", "provisioner.render.powershell", "provisioner.render.reports",
    "provisioner.sandbox", "provisioner.senders", "psrpcore", "pygments", "pypsrp", "rich", "ruamel", "segno",
    "sqlalchemy", "trio",
)  # fmt: skip
"""What a plan of a few objects with a client secret over REST has no use for: a cold process pays for each at once."""


@pytest.mark.one_of("arguments", "unloaded", cases=2)
@pytest.mark.parametrize(
    ("arguments", "unloaded"),
    [
        (["--help"], (*SLOW, "pydantic", "yaml", "provisioner.settings")),
        (["version"], (*SLOW, "pydantic", "yaml", "provisioner.settings")),
        (["completion", "bash"], (*SLOW, "pydantic", "yaml", "provisioner.settings")),
        (["validate", "plan.yaml"], SLOW),
        (["--profile", "sandbox", "plan", "plan.yaml"], NOT_FOR_A_SMALL_PLAN),
    ],
)
def test_slow_libraries_are_loaded_only_where_they_are_needed(
    shop: Shop, arguments: list[str], unloaded: tuple[str, ...]
) -> None:
    shop.write("smtp_auth: { organization: disabled }\n")
    code = (
        "import gc, sys, provisioner.cli.main as m\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try:\n"
        "    m.run()\n"
        "finally:\n"
        "    assert gc.get_freeze_count(), 'the interpreter searches what is left for garbage'\n"
        "    assert not gc.get_stats()[2]['collections'], 'all objects were searched for garbage'\n"
        "    print('\\nLOADED', *(n for n, module in sys.modules.items() if module), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=shop.folder, env=shop.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stderr.rpartition("LOADED")[2].split()
    assert not [m for m in loaded if any(m == u or m.startswith(f"{u}.") for u in unloaded)]
    if "plan" in arguments:
        assert {"msgraph", "azure.identity", "aiohttp"} <= set(loaded), "the real client libraries are what talks"


def test_completing_the_name_of_a_command_loads_no_command(shop: Shop) -> None:
    code = (
        "import sys, provisioner.cli.main as m\ncode = m.main([])\nprint('\\nLOADED', *sys.modules, file=sys.stderr)\n"
    )
    completing = {"_PROVISIONER_COMPLETE": "bash_complete", "COMP_WORDS": "provisioner d", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**shop.environment, **completing}, capture_output=True, text=True
    )
    found = {line.removeprefix("plain,") for line in done.stdout.split()}
    assert found == {"drift", "devices", "diagnose", "doctor", "dns", "dkim", "dane"}
    loaded = done.stderr.rpartition("LOADED")[2].split()
    assert not {"pydantic", "yaml", "provisioner.cli.plan", "provisioner.cli.drift"} & set(loaded)


@pytest.mark.one_of("typed", "offered")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("provisioner pl", "plan"),
        ("provisioner sandbox st", "start stop status"),
        ("provisioner plan --det", "--detailed-exitcode"),
    ],
)
def test_bash_completes_commands_and_options(shop: Shop, tmp_path: Path, typed: str, offered: str) -> None:
    program = tmp_path / "provisioner"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m provisioner "$@"\n')
    program.chmod(0o755)
    words = typed.split()
    script = (
        'eval "$(provisioner completion bash)"\n'
        f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; COMP_LINE='{typed}'; COMP_POINT={len(typed)}\n"
        f"_provisioner_completion provisioner {words[-1]}\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    path = f"{tmp_path}:{shop.environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env={**shop.environment, "PATH": path}, capture_output=True, text=True, timeout=60
    )
    assert sorted(done.stdout.split()) == sorted(offered.split()), done.stderr


def test_on_a_terminal_it_asks_takes_only_yes_and_uses_colours_unless_told_not_to(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { mailboxes: { c@contoso.com: enabled } }\n")
    declined, said = on_a_terminal(shop, ["--profile", "sandbox", "apply", plan], "y\n")
    assert declined == 10
    assert "Only 'yes' will be accepted" in said
    assert "\x1b[33m~" in said
    stopped, said = on_a_terminal(shop, ["--profile", "sandbox", "apply", plan], "\x03")
    assert (stopped, said.endswith("Interrupted.\r\n")) == (130, True), said
    done, said = on_a_terminal(shop, ["--profile", "sandbox", "apply", plan], "yes\n", NO_COLOR="1")
    assert done == 0
    assert "Apply complete!" in said
    assert "\x1b[3" not in said


def on_a_terminal(shop: Shop, arguments: list[str], typed: str, **environment: str) -> tuple[int, str]:
    """Run the program on a pseudo-terminal and type; its exit code and everything that it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(shop.folder)
        place = {**shop.environment, "TERM": "xterm", **environment}
        os.execve(sys.executable, [sys.executable, "-m", "provisioner", *arguments], place)
    shown = b""
    asked = False
    stopping = threading.Timer(60, os.kill, (pid, signal.SIGKILL))  # one that does not end by itself
    stopping.start()
    with contextlib.suppress(OSError):  # the terminal ends with the program
        while part := os.read(terminal, 65536):
            shown += part
            if not asked and b"Enter a value" in shown:
                asked = True
                # Ctrl-C between the prompt and the reading is seen after the reading only (CPython, builtin_input).
                threading.Timer(0.5 if typed == "\x03" else 0, os.write, (terminal, typed.encode())).start()
    _, status = os.waitpid(pid, 0)
    stopping.cancel()
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode("utf-8", "replace")
