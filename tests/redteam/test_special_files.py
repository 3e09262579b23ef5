"""Pipes, devices and files of the kernel are refused wherever a file is named, and never waited for.

Some are named by the checkout (settings, change sets, seeds), some by a person through a link that the checkout holds.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.in_process import run_in_process
from tests.cli.shop import HEADER
from tests.clocks import costs

CANARY = "canary-8Lm"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / ".git").mkdir(parents=True)
    (folder / "plan.yaml").write_text(HEADER)
    (tmp_path / "far").write_text(f"{CANARY}: [\n")
    return folder


def run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PROVISIONER_")}
    nowhere = {
        "PROVISIONER_TENANT": "contoso.onmicrosoft.com",
        "PROVISIONER_STATE_DIR": str(checkout.parent / "state"),
        "XDG_CONFIG_HOME": str(checkout.parent / "none"),
    }
    return run_in_process(arguments, checkout, {**kept, **nowhere, "CANARY": CANARY}, limit_s=60)


SPECIAL = ["pipe", "/dev/zero", "/proc/self/environ", "far"]
NAMED = {
    "show": (("show", "x"), 3),
    "apply": (("apply", "x", "--auto-approve"), 3),
    "diagnose": (("diagnose", "--file", "x"), 3),
    "load": (("sandbox", "load", "x", "--state", "none"), 3),
    "list": (("devices", "import", "x"), 3),
    "report": (("senders", "discover", "--report", "x"), 3),
    "ring": (("senders", "rehearse", "--ring", "x"), 3),
    "approved": (("fleet", "apply", "plan.yaml", "--approved", "x"), 3),
    "seed": (("sandbox", "start", "--seed", "x", "--state", "st"), 3),
    "replay": (("plan", "plan.yaml", "--replay", "x"), 3),
}


def special(path: Path, what: str) -> None:
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path.parent.parent / "far" if what == "far" else what)


@pytest.mark.parametrize("what", SPECIAL)
@pytest.mark.parametrize("command", NAMED)
def test_a_file_that_is_named_is_an_ordinary_one_of_the_checkout(checkout: Path, command: str, what: str) -> None:
    arguments, code = NAMED[command]
    special(checkout / "x", what)
    done = run(checkout, *arguments)
    assert (done.returncode, CANARY in done.stdout + done.stderr) == (code, False), done.stderr


@pytest.mark.parametrize("what", [*SPECIAL, "big"])
def test_settings_are_an_ordinary_file_of_a_sensible_size(checkout: Path, what: str) -> None:
    file = checkout / "provisioner.toml"
    if what == "big":
        file.write_bytes(b"#" * (2 << 20))
    else:
        special(file, what)
    done = run(checkout, "--profile", "p", "lock", "status", "--tenant-id", "T")
    said = done.stdout + done.stderr
    assert (done.returncode, CANARY in said) == (3, False), said
    assert "SETTINGS-" in said


@pytest.mark.parametrize("text", ["x = " + "[" * 50_000, "[" + "a." * 5000 + "a]", f"x = {'9' * 10_000}", "\xff"])
def test_settings_without_sense_are_refused_in_one_sentence(checkout: Path, text: str) -> None:
    (checkout / "provisioner.toml").write_bytes(text.encode("latin-1"))
    done = run(checkout, "--profile", "p", "lock", "status", "--tenant-id", "T")
    assert (done.returncode, "SETTINGS-" in done.stderr) == (3, True), done.stderr
    assert len(done.stderr) < 2000


@pytest.mark.parametrize("key", ["request_s", "retry_s", "confirm_s"])
@pytest.mark.parametrize("value", ["inf", "nan", "1e9"])
def test_no_time_of_the_settings_is_without_end(checkout: Path, key: str, value: str) -> None:
    (checkout / "provisioner.toml").write_text(f"[profiles.p.timeouts]\n{key} = {value}\n")
    done = run(checkout, "--profile", "p", "lock", "status", "--tenant-id", "T")
    assert (done.returncode, f"timeouts.{key}" in done.stderr) == (3, True), done.stderr


@pytest.mark.parametrize("what", SPECIAL)
@pytest.mark.parametrize(
    "credential",
    [
        'kind = "client_secret"\nclient_id = "c"\nsecret = "file:x"',
        'kind = "certificate"\nclient_id = "c"\ncertificate = "x"',
        'kind = "workload_identity"\nclient_id = "c"\ntoken_file = "x"',
    ],
)
def test_a_secret_is_an_ordinary_file(checkout: Path, credential: str, what: str) -> None:
    if what == "far":
        pytest.skip("settings may name a secret outside of the checkout")
    special(checkout / "x", what)
    (checkout / "provisioner.toml").write_text(
        f'[profiles.p]\ntenant = "contoso.onmicrosoft.com"\n[profiles.p.credential]\n{credential}\n'
    )
    done = run(checkout, "--profile", "p", "lock", "status")
    assert (done.returncode, "SETTINGS-" in done.stderr) == (3, True), done.stderr
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "sandbox: 1\na: &a [x]\nb: *a\n",
        "sandbox: 1\na: &a { b: *a }\n",
        "sandbox: 1\na: " + "[" * 5000,
        '{"a": ' + "[" * 100_000,
    ],
)
def test_a_seed_stands_for_what_it_shows(checkout: Path, text: str) -> None:
    """Aliases of aliases stand for more than any memory holds, and depth for more than any stack."""
    from provisioner.sandbox.seed import load_seed

    (checkout / "seed.yaml").write_text(text)
    done = run(checkout, "sandbox", "load", "seed.yaml", "--state", "none")
    assert (done.returncode, "SEED-UNREADABLE" in done.stderr) == (3, True), done.stderr
    with pytest.raises(ValueError, match=r"alias|deep|YAML"):
        load_seed(checkout / "seed.yaml")


def test_a_seed_of_a_billion_mailboxes_is_refused(checkout: Path) -> None:
    from provisioner.sandbox.seed import load_seed

    with pytest.raises(ValueError, match="up to 1,000,000"):
        load_seed({"sandbox": 1, "mailboxes": [{"count": 10**9, "domain": "a.example"}]})


def test_a_long_chain_of_includes_is_read(checkout: Path) -> None:
    for number in range(1200):
        (checkout / f"{number}.txt").write_text(f"include: [{number + 1}.txt]\n")
    (checkout / "1200.txt").write_text("protect: [x]\n")
    (checkout / "plan.yaml").write_text(f"{HEADER}include: [0.txt]\n")
    done = run(checkout, "validate", "plan.yaml")
    assert (done.returncode, "1200.txt:1" in done.stderr) == (3, True), done.stderr[-500:]


def test_capitals_make_no_plan_of_a_test(checkout: Path) -> None:
    (checkout / "plans").mkdir()
    (checkout / "plans" / "plan.yaml").write_text(HEADER)
    (checkout / "plans" / "X.Test.YAML").write_text("provisioner_test: 1\ncases: {}\n")
    assert run(checkout, "validate", "plans").returncode == 0
    done = run(checkout, "test", "plans")
    assert (done.returncode, "0 passed" in done.stdout) == (0, True), done.stderr


def test_tests_are_looked_for_inside_only(checkout: Path) -> None:
    (checkout.parent / "home").mkdir()
    (checkout.parent / "home" / f"{CANARY}.test.yaml").write_text("x")
    (checkout / "plans").symlink_to(checkout.parent / "home")
    done = run(checkout, "test", "plans")
    assert (done.returncode, "PLAN-OUTSIDE" in done.stderr, CANARY in done.stderr) == (3, True, False), done.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_long_line_of_mistakes_costs_no_square(checkout: Path, form: str) -> None:
    """Each message would repeat the whole line; the first are told, the rest is counted."""
    (checkout / "plan.yaml").write_text(HEADER + f"protect: [{','.join(f'x{n}' for n in range(800))}]\n")
    with costs(at_most_s=3):
        done = run(checkout, "validate", "plan.yaml", "--format", form)
    said = done.stdout + done.stderr
    assert (done.returncode, len(said) < 60_000) == (3, True)
    assert all(f'"x{n}' in said.replace("\\", "") for n in (0, 19))
    assert "780 more of the same in this line" in said


@pytest.mark.parametrize("what", [*SPECIAL, "folder", "nothing"])
def test_certificates_to_trust_are_an_ordinary_file_of_them(checkout: Path, what: str) -> None:
    if what == "folder":
        (checkout / "x").mkdir()
    elif what != "nothing":
        special(checkout / "x", what)
    local = "".join(f'{name} = "https://127.0.0.1:9"\n' for name in ("authority", "graph", "exchange"))
    (checkout / "provisioner.toml").write_text(
        '[profiles.p]\ntenant = "contoso.onmicrosoft.com"\nca = "x"\n[profiles.p.credential]\nkind = "client_secret"\n'
        f'client_id = "c"\nsecret = "env:CANARY"\n[profiles.p.endpoints]\n{local}'
    )
    done = run(checkout, "--profile", "p", "lock", "status")
    assert (done.returncode, "SETTINGS-CA" in done.stderr) == (3, True), done.stderr
    assert CANARY not in done.stdout + done.stderr
