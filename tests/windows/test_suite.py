"""Every command works where nothing of POSIX is left, pipes have a code page, and files that are open stay in place."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from provisioner.cli.main import COMMANDS

HERE = Path(__file__).parent
IMITATED = () if os.name == "nt" else (HERE / "site",)
NAME = "日本 Überseestraße"
SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com"}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
    },
    "mailboxes": ["erp@contoso.com"],
    "dns": {
        "contoso.com": {
            "MX": ["0 contoso-com01e.mail.protection.outlook.com."],
            "TXT": ["v=spf1 include:spf.protection.outlook.com ip4:203.0.113.10 -all"],
        },
        "spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:40.92.0.0/15 -all"]},
    },
}
PLAN = f"""provisioner: 1
tenant: contoso.onmicrosoft.com
owner: us
sites: {{ hq: {{ egress_ip_addresses: [203.0.113.10] }} }}
allow: [{{ rule: IP-DOCUMENTATION, reason: "an example → {NAME}" }}]
inbound_connectors:
  "{NAME}":
    type: on_premises
    sender_ip_addresses: [198.51.100.7]
    sender_domains: ["*"]
    require_tls: true
devices:
  scanner:
    site: hq
    from: scanner@contoso.com
    recipients: anyone
    supports: {{ tls: "1.2", authentication: [] }}
  erp:
    from: erp@contoso.com
    recipients: anyone
    method: client_submission
    supports: {{ tls: "1.2", authentication: [basic] }}
"""
CASE = """provisioner_test: 1
cases:
  it:
    given:
      tenant: { tenant: { initial_domain: contoso.onmicrosoft.com }, mailboxes: [a@contoso.onmicrosoft.com] }
    plan: |
      provisioner: 1
      tenant: contoso.onmicrosoft.com
      smtp_auth: { mailboxes: { a@contoso.onmicrosoft.com: enabled } }
    expect: { changes: { smtp_auth/a@contoso.onmicrosoft.com: update } }
"""
REFUSED = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."
REPORTS = {
    "json": "r.json", "markdown": "r.md", "html": "r.html", "powershell": "r.ps1", "gitlab": "r.gitlab.json",
    "junit": "r.xml", "sarif": "r.sarif", "github": "-",
}  # fmt: skip
LINES: Sequence[tuple[int, str]] = (
    (0, "sandbox start --seed seed.json --detach --lag 0"),
    (0, "sandbox status"),
    (0, "version"),
    (0, "init begun --tenant contoso.com --owner us --ci gitlab"),
    (0, "schema"),
    (0, "completion powershell"),
    (0, "validate plans"),
    (0, "fmt plans"),
    (0, "lint plans --format sarif"),
    (0, "devices list plans"),
    (0, "devices show scanner plans"),
    (0, "devices report plans --format csv"),
    (0, "devices import list.csv -o imported/devices.yaml --tenant contoso.com"),
    (0, "test tests --junit tests.xml"),
    (0, "sandbox load seed.json"),
    (0, "sandbox run Get-AcceptedDomain"),
    (0, "sandbox dns _dmarc.contoso.com TXT v=DMARC1;p=none"),
    (0, "sandbox certificate mail.contoso.com -o device.pem"),
    (2, "@ plan plans --detailed-exitcode"),
    (0, "@ plan plans -o changes.json " + " ".join(f"--out-{form} {file}" for form, file in REPORTS.items())),
    (0, "show changes.json"),
    (0, "graph changes.json --format dot"),
    (0, "show changes.json --format json"),
    (1, "@ probe erp plans --password env:NOBODYS"),
    (0, "@ apply plans --auto-approve"),
    (0, "@ doctor plans"),
    (0, "@ drift plans"),
    (0, "@ senders discover --days 1 --format csv --out senders.csv"),
    (0, "@ senders rehearse --ring ring.txt -o ring.json"),
    (0, "@ explain device/scanner plans"),
    (0, "@ export --owner us"),
    (0, "@ export --owner us -o exported.yaml"),
    (0, "@ export --owner us -o exported.yaml"),
    (0, "@ dns check plans"),
    (0, "@ dns export plans"),
    (3, "@ dkim rotate contoso.com --auto-approve"),
    (3, "@ dane enable nobody.example --auto-approve"),
    (3, "@ dane disable nobody.example"),
    (3, "@ dane status nobody.example"),
    (0, "fleet drift fleet.yaml"),
    (0, "fleet plan --select ring=1"),
    (0, "fleet apply --approve all"),
    (0, "fleet resume --retry"),
    (0, "fleet status"),
    (0, "fleet report --format html -o fleet.html"),
    (3, "fleet cancel"),
    (0, "history list"),
    (0, "history show RUN"),
    (0, "history verify"),
    (0, "history export"),
    (0 if shutil.which("ssh-keygen") else 3, "approve changes.json --key key --expect-digest DIGEST:changes.json"),
    (0, "@ lock status"),
    (3, "@ lock release 0123456789ab"),
    (0, "@ rollback RUN -o back.json"),
    (0, "@ apply back.json --auto-approve --expect-digest DIGEST:back.json"),
    (0, "@ diagnose --file refused.log"),
    (0, "sandbox dump"),
    (0, "sandbox mail"),
    (0, "sandbox requests"),
    (0, "sandbox environment --format json"),
    (0, "sandbox reset"),
    (0, "sandbox stop"),
    (1, "sandbox status"),
)
"""The exit code and the command line; `@` stands for the sandbox's profile."""


@dataclass(frozen=True)
class Done:
    wanted: int
    code: int
    out: bytes
    err: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("windows")
    (folder / "seed.json").write_text(json.dumps(SEED), encoding="utf-8")
    (folder / "ring.txt").write_text("\ufefferp@contoso.com\r\n", encoding="utf-8", newline="")
    (folder / "list.csv").write_text("Device;E-Mail\r\nmfp;mfp@contoso.com\r\n", encoding="utf-16")
    (folder / "plans").mkdir()
    (folder / "tests").mkdir()
    files = {"plans/mail.yaml": PLAN, "tests/it.test.yaml": CASE, "refused.log": f"{REFUSED}\n"}
    files["fleet.yaml"] = "fleet: 1\ntenants: { east: { plan: plans, profile: sandbox, labels: { ring: 1 } } }\n"
    files["provisioner.toml"] = '[profiles.other]\ntenant = "contoso.onmicrosoft.com"\n'
    for name, text in files.items():
        (folder / name).write_bytes(text.replace("\n", "\r\n").encode())
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (folder / "key").touch(mode=0o600)
    (folder / "key").write_bytes(key)
    return folder


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with programs by the names that they have on Windows."""
    folder = tmp_path_factory.mktemp("programs")
    for name in ("git", "ssh-keygen"):
        if (program := shutil.which(name)) and os.name != "nt":
            (folder / f"{name}.exe").symlink_to(program)
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path, programs: Path) -> Sequence[tuple[str, Done]]:
    """What each command line gave, in a process that is as on Windows."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PROVISIONER_") and k not in {"CI", "TF_BUILD"}}
    place = {
        **kept,
        "PROVISIONER_STATE_DIR": str(folder / "state"),
        "LOGNAME": "",
        "USER": "",
        "USERNAME": "",
        "NOBODYS": "password",
    }
    place["PYTHONPATH"] = os.pathsep.join(map(str, (*IMITATED, HERE.parents[1])))
    place |= {"PYTHONWARNDEFAULTENCODING": "1", "PATH": os.pathsep.join((str(programs), os.environ["PATH"]))}
    lines = [line.replace("@", "--profile sandbox").split() for _, line in LINES]
    program = [sys.executable, "-m", "tests.windows.suite", str(folder)]
    ran = subprocess.run(program, input=json.dumps(lines), env=place, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert {"fcntl", "O_NONBLOCK", "SIGHUP"} <= set(report["withheld"]), "nothing was withheld"
    found = []
    for (wanted, line), run in zip(LINES, report["runs"], strict=True):
        err = bytes.fromhex(run["err"]).decode("cp1252")
        found.append((line, Done(wanted, run["code"], bytes.fromhex(run["out"]), err)))
    return found


@pytest.fixture(scope="module")
def done(runs: Sequence[tuple[str, Done]]) -> dict[str, Done]:
    return dict(runs)


def test_every_command_gives_its_exit_code(runs: Sequence[tuple[str, Done]]) -> None:
    wrong = [(line, one.code, one.err, one.out[:500]) for line, one in runs if one.code != one.wanted]
    assert wrong == []
    sys.stdout.write(f"{len(LINES)} command lines ran as on Windows\n")


def test_every_command_and_subcommand_is_among_them() -> None:
    names = set()
    for name in COMMANDS:
        command: click.Command = importlib.import_module(f"provisioner.cli.{name}").command
        names |= {f"{name} {n}" for n in command.commands} if isinstance(command, click.Group) else {name}
    ran = [line.removeprefix("@ ") for _, line in LINES]
    assert {n for n in names if not any(f"{line} ".startswith(f"{n} ") for line in ran)} == set()


def test_what_a_person_reads_is_in_the_code_page_with_replacements(done: dict[str, Done]) -> None:
    for line in ("show changes.json", "history show RUN", "@ plan plans --detailed-exitcode"):
        assert "?? Überseestraße" in done[line].out.decode("cp1252"), line
    assert b"\r\n" in done["show changes.json"].out


def test_what_a_program_reads_is_utf8_and_whole(done: dict[str, Done], folder: Path) -> None:
    document = json.loads(done["show changes.json --format json"].out.decode("utf-8"))
    assert f'inbound_connector["{NAME}"]' in {c["address"] for c in document["resource_changes"]}
    assert NAME in done["@ export --owner us"].out.decode("utf-8")
    assert done["@ export --owner us"].out.replace(b"\r\n", b"\n") == (folder / "exported.yaml").read_bytes()
    entries = [json.loads(line) for line in done["history export"].out.decode("utf-8").splitlines()]
    assert any(NAME in str(entry.get("address")) for entry in entries)
    for form, file in REPORTS.items():
        if file != "-":
            assert "Überseestraße" in (folder / file).read_text(encoding="utf-8") or form in {
                "gitlab",
                "junit",
                "sarif",
            }


def test_places_in_reports_are_written_with_slashes(done: dict[str, Done], folder: Path) -> None:
    saved = next(line for line in done if line.startswith("@ plan plans -o"))
    assert b"::warning file=plans/mail.yaml,line=" in done[saved].out
    for text in (done["lint plans --format sarif"].out.decode(), (folder / "r.sarif").read_text(encoding="utf-8")):
        results = json.loads(text)["runs"][0]["results"]
        places = [place for r in results for place in r.get("locations", ())]
        assert {p["physicalLocation"]["artifactLocation"]["uri"] for p in places} == {"plans/mail.yaml"}
    assert "tests/it.test.yaml" in (folder / "tests.xml").read_text(encoding="utf-8")
    kept = [folder / "changes.json", folder / "tests.xml", *folder.glob("state/*/journal.jsonl")]
    assert len(kept) == 3
    for file in kept:
        assert rb"plans\\" not in file.read_bytes(), file
        assert b"\r" not in file.read_bytes(), file


def test_nothing_is_left_behind(done: dict[str, Done], folder: Path) -> None:
    assert list((folder / ".provisioner" / "profiles").iterdir()) == []
    assert not (folder / ".provisioner" / "sandbox" / "endpoints.json").exists()
    drafts = [p for p in folder.rglob(".*") if p.name not in {".provisioner", ".gitignore", ".gitlab-ci.yml"}]
    assert drafts == []
