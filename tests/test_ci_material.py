"""The material for pipelines: every command line in it is one that the program takes, and the action's steps run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from provisioner.cli.main import cli
from tests.cli.shop import Shop, open_shop
from tests.preloaded import preloaded

ROOT = Path(__file__).parents[1]
ACTION = ROOT / ".github" / "actions" / "provisioner" / "action.yml"
STARTERS = ROOT / "provisioner" / "operations" / "starters"
GITHUB = STARTERS / "github.yml"
GITLAB = STARTERS / "gitlab.yml"
FILES = [ACTION, GITHUB, GITLAB, ROOT / ".pre-commit-hooks.yaml"]
SERVICE = ROOT / "docs" / "offline-tests" / "github.yml"
WORKFLOWS = [GITHUB, SERVICE, *sorted((ROOT / ".github" / "workflows").glob("*.yml"))]


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def command_lines() -> list[str]:
    found = []
    examples = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "approvals.md").read_text(), re.DOTALL)
    for content in (*(file.read_text() for file in FILES), *examples):
        for text in texts(yaml.safe_load(content)):
            joined = text.replace("\\\n", " ")
            found += [line.strip() for line in joined.splitlines() if re.match(r"\s*provisioner ", line)]
    return sorted(set(found))


def test_there_is_something_to_check() -> None:
    assert len(command_lines()) >= 10


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_is_one_that_the_program_takes(line: str) -> None:
    plain = re.split(r" (?:\|\||&&|>|;)", line.replace('\\"', '"').replace(' "${given[@]}"', ""))[0]
    arguments = shlex.split(plain)[1:]
    context = cli.make_context("provisioner", list(arguments), resilient_parsing=True)
    rest = [*context._protected_args, *context.args]
    command = cli.get_command(context, rest[0])
    assert command is not None, rest[0]
    if rest[0] != "validate" or len(rest) > 1:
        command.make_context(rest[0], rest[1:], parent=context, resilient_parsing=False)


def test_an_option_that_is_not_there_would_be_found() -> None:
    command = cli.get_command(click.Context(cli), "plan")
    assert command is not None
    with pytest.raises(click.UsageError):
        command.make_context("plan", ["--out-markdwon", "x"])


# --- what is installed -----------------------------------------------------------------------------------------------

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = {re.split(r"[^\w.-]", r)[0] for r in PROJECT["dependencies"]}
OURS = re.compile(r"\.|PROVISIONER|/opt/provisioner|\$source")
"""How the examples write a checkout of this repository."""
PINNED = re.compile(rf"{PROJECT['name']}(\[\w+\])?==(\{{__version__\}}|\d+(\.\d+)+)")
"""This distribution at a version: pip takes the one that is installed, whatever an index may have under its name."""


def installations() -> list[tuple[str, str]]:
    """Every `pip install` that somebody may copy or that runs in a pipeline, with the file that it stands in."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*"), *(ROOT / ".github").rglob("*"), *ROOT.glob(".*.yaml")]
    files += [*(ROOT / "provisioner").rglob("*.py"), *STARTERS.iterdir()]
    found = []
    for file in (f for f in files if f.is_file() and f.suffix != ".png"):
        text = file.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            found += [(str(file.relative_to(ROOT)), part) for part in re.findall(r"pip3? install\b[^`;|&]*", line)]
    return found


def installed(line: str) -> Iterator[str]:
    """What a `pip install` names: requirements and lock files. Braces of a Python text stand for an extra."""
    plain = line.replace("{DISTRIBUTION}", PROJECT["name"]).replace("{extra}", "kerberos")
    words = [word.strip("\"'") for word in re.findall(r"\"[^\"]+\"|'[^']+'|[^\s\"')]+", plain)]
    yield from (word for word in words[2:] if not word.startswith("-"))


def foreign(word: str) -> bool:
    """Whether it is neither this project nor one of its dependencies. Its own name is too, until it is registered."""
    if re.search(r"(^|/)(requirements(-sandbox|-fleet|-dev)?\.lock|\$LOCK|\$lock)$", word) or PINNED.fullmatch(word):
        return False
    name = re.sub(r"\[[\w,-]+\]$", "", word)
    return not OURS.fullmatch(name) and name not in DEPENDENCIES


def test_the_name_of_the_distribution_is_our_own_and_told() -> None:
    """`provisioner` on PyPI is a project of 2016 that is not ours (pypi.org/project/provisioner)."""
    assert PROJECT["name"] == "exchange-provisioner"
    assert PROJECT["scripts"] == {"provisioner": "provisioner.cli.main:run"}
    assert f"`{PROJECT['name']}`" in (ROOT / "README.md").read_text()
    assert f"`{PROJECT['name']}`" in (ROOT / "docs" / "installation.md").read_text()


def test_examples_install_nothing_that_is_not_ours() -> None:
    found = installations()
    assert {"README.md", str(GITLAB.relative_to(ROOT)), ".github/actions/provisioner/action.yml"} <= {
        f for f, _ in found
    }
    assert [(file, word) for file, line in found for word in installed(line) if foreign(word)] == []


@pytest.mark.parametrize(
    "word",
    [
        "provisioner",
        "provisioner[kerberos]",
        "provisioner==0.1.2",
        "exchange-provisioner",
        "exchange-provisioner[sandbox]",
    ],
)
def test_a_name_that_an_index_would_answer_is_found(word: str) -> None:
    assert [w for w in installed(f"pip install --quiet '{word}'") if foreign(w)] == [word]


def test_python_in_a_pipeline_imports_nothing_from_the_checkout() -> None:
    """`python -m` and `python -c` put the working directory in front of the standard library, unless -P is given."""
    texts_ = [text for file in FILES for text in texts(yaml.safe_load(file.read_text()))]
    calls = [call for text in texts_ for call in re.findall(r"\bpython3? +(.*)", text)]
    assert len(calls) >= 5
    assert [call for call in calls if not call.startswith("-P ")] == []


# --- the action ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "bin").mkdir()
    with preloaded(folder / "bin"), open_shop(folder) as here:
        yield here


def act(shop: Shop, command: str, profile: str, **inputs: str) -> tuple[int, dict[str, str], str]:
    """The action's second step, as the runner would run it: exit code, outputs, summary."""
    step = yaml.safe_load(ACTION.read_text())["runs"]["steps"][1]
    output, summary = shop.folder / "output", shop.folder / "summary"
    for file in (output, summary):
        file.write_text("")
    place = {
        **shop.environment,
        "CI": "true",
        "PATH": f"{shop.folder / 'bin'}:{os.environ['PATH']}",
        "COMMAND": command, "PLAN": "plan.yaml", "PROFILE": profile, "FILE": "changes.json", "EXPECT": "",
        "VAR_FILES": "", "ALLOW": "", "MAX_AGE": "24h", "WAIT": "0", "LOCK_WAIT": "0",
        "JOURNAL": "", "JOURNAL_TOKEN": "",
        "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary), **inputs,
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", step["run"]], cwd=shop.folder, env=place, capture_output=True, text=True, timeout=120
    )
    outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    return done.returncode, outputs, summary.read_text()


def test_the_action_plans_as_a_reader_and_applies_what_was_approved(shop: Shop) -> None:
    shop.write("smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n")
    code, outputs, summary = act(shop, "plan", "sandbox-reader")
    assert (code, outputs["changes"]) == (0, "true")
    assert "1 to change" in summary
    assert act(shop, "apply", "sandbox", EXPECT="sha256:" + "0" * 64)[0] == 7
    assert act(shop, "apply", "sandbox", EXPECT=outputs["digest"])[0] == 0
    code, outputs, _ = act(shop, "plan", "sandbox-reader")
    assert (code, outputs["changes"]) == (0, "false")


def test_the_jobs_of_the_action_share_a_journal(shop: Shop, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "journal")], check=True)
    shared = {"JOURNAL": f"git:{tmp_path / 'journal'}", "JOURNAL_TOKEN": "canary-token"}
    shop.write("smtp_auth: { mailboxes: { a@contoso.com: enabled } }\n")
    assert act(shop, "plan", "sandbox-reader", **shared, PROVISIONER_STATE_DIR=str(tmp_path / "one"))[0] == 0
    assert act(shop, "apply", "sandbox", **shared, PROVISIONER_STATE_DIR=str(tmp_path / "two"))[0] == 0
    place = {"PROVISIONER_JOURNAL": shared["JOURNAL"], "PROVISIONER_STATE_DIR": str(tmp_path / "three")}
    (run,) = json.loads(shop.on_tenant("history", "list", "--format", "json", **place).stdout)
    assert (run["ended"], run["results"]) == (True, {"done": 1})
    held = [f for f in tmp_path.rglob("*") if f.is_file() and b"canary-token" in f.read_bytes()]
    assert held == []


@pytest.mark.parametrize("source", ["action", "gitlab"])
def test_git_gets_the_token_of_the_journal_for_its_server_alone(source: str, tmp_path: Path) -> None:
    """As git reads them: `git credential fill` asks the helper of the server, and no other."""
    if source == "action":
        (run,) = [s["run"] for s in yaml.safe_load(ACTION.read_text())["runs"]["steps"] if s["name"] == "Run"]
        script = run[run.index('if [ -n "$JOURNAL"') :].partition("\nfi\n")[0] + "\nfi\n"
    else:
        lines = yaml.safe_load(GITLAB.read_text())[".provisioner"]["before_script"]
        (script,) = [line for line in lines if "GIT_CONFIG_COUNT" in line]
    for host, wanted in (("git.example.com", True), ("evil.example.com", False)):
        place = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "JOURNAL": "git:x", "JOURNAL_TOKEN": "a-token",
            "GITHUB_SERVER_URL": "https://git.example.com", "CI_SERVER_URL": "https://git.example.com",
            "GIT_TERMINAL_PROMPT": "0",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", "-c", f"set -u\n{script}\ngit credential fill"],
            input=f"protocol=https\nhost={host}\n\n", env=place, cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert ("password=a-token" in done.stdout) == wanted, done.stderr


def test_the_action_gives_var_files_and_lifted_guards_to_plan_and_apply(shop: Shop) -> None:
    (shop.folder / "a.yaml").write_text("who: fax@contoso.com\n", encoding="utf-8")
    (shop.folder / "b.yaml").write_text("to: enabled\n", encoding="utf-8")
    variables = "variables: { who: { type: string }, to: { type: string } }\n"
    shop.write(variables + "smtp_auth: { organization: var:to, mailboxes: { fax@contoso.com: var:to } }\n")
    given = {"VAR_FILES": "a.yaml\nb.yaml\n", "ALLOW": "SMTP-TENANT-WIDE\n"}
    assert act(shop, "plan", "sandbox-reader", **given)[0] == 0
    assert act(shop, "apply", "sandbox", **given, LOCK_WAIT="1s", WAIT="1s")[0] == 0
    (row,) = shop.tenant.rows("TransportConfig")
    assert row["SmtpClientAuthenticationDisabled"] is False


def test_without_a_digest_the_action_applies_what_the_plan_of_the_checkout_leads_to(shop: Shop) -> None:
    shop.write("smtp_auth: { mailboxes: { fax@contoso.com: enabled } }\n")
    assert act(shop, "plan", "sandbox-reader")[0] == 0
    shop.write("smtp_auth: { mailboxes: { fax@contoso.com: disabled } }\n")
    assert act(shop, "apply", "sandbox")[0] == 7
    shop.write("smtp_auth: { mailboxes: { fax@contoso.com: enabled } }\n")
    assert act(shop, "apply", "sandbox")[0] == 0


def test_in_a_pipeline_every_saved_change_set_is_tied_to_its_review() -> None:
    applied = [line for line in command_lines() if re.search(r" apply (\S*changes\.json|\"\$FILE\")", line)]
    assert len(applied) >= 3
    assert [line for line in applied if not re.search(r" --(expect-digest|plan|require-approval) ", line)] == []


def test_the_action_tells_drift_and_passes_errors_on(shop: Shop) -> None:
    shop.write("smtp_auth: { mailboxes: { erp@contoso.com: disabled } }\n")
    code, outputs, summary = act(shop, "drift", "sandbox-reader")
    assert (code, outputs["changes"], "erp@contoso.com" in summary) == (0, "true", True)
    shop.write("smtp_auth: { mailboxes: { erp@contoso.com: perhaps } }\n")
    assert act(shop, "plan", "sandbox-reader")[0] != 0
    assert act(shop, "sing", "sandbox-reader")[0] == 3


def test_files_of_the_checkout_are_not_taken_for_those_of_the_action(shop: Shop) -> None:
    (shop.folder / "annotations.txt").write_text("::error::from the checkout\n", encoding="utf-8")
    (shop.folder / "comment.md").unlink(missing_ok=True)
    (shop.folder / "comment.md").symlink_to(shop.folder / "seed.json")
    shop.write("smtp_auth: { mailboxes: { nobody@contoso.com: perhaps } }\n")
    assert act(shop, "plan", "sandbox-reader")[0] == 3
    assert not (shop.folder / "annotations.txt").exists()
    assert not (shop.folder / "comment.md").is_symlink()
    assert (shop.folder / "seed.json").exists()


def test_the_action_tests_the_plans_of_a_folder_that_has_tests(shop: Shop) -> None:
    folder = shop.folder / "tested"
    folder.mkdir()
    shop.write("smtp_auth: { mailboxes: { erp@contoso.com: disabled } }\n", "tested/plan.yaml")
    (folder / "bad.test.yaml").write_text("provisioner_test: 1\ncases: 7\n", encoding="utf-8")
    assert act(shop, "test", "", PLAN="tested")[0] == 3


class _Issuer(BaseHTTPRequestHandler):
    """GitHub's endpoint of the job's token: it answers for the right audience and bearer."""

    def do_GET(self) -> None:
        audience = "&audience=api%3A%2F%2FAzureADTokenExchange" in self.path
        self.send_response(200 if audience and self.headers["Authorization"] == "Bearer asked" else 401)
        self.end_headers()
        self.wfile.write(b'{"value": "a.job.token"}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


def test_the_job_s_token_becomes_a_file_that_only_its_account_reads(shop: Shop) -> None:
    with HTTPServer(("127.0.0.1", 0), _Issuer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        given = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{server.server_port}/token?a=1",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "asked",
            "RUNNER_TEMP": str(shop.folder),
            "NO_PROXY": "127.0.0.1",
        }
        taken = act(shop, "drift", "sandbox-reader", PLAN="no-such-plan", **given)[0]
        file = shop.folder / "provisioner-token"
        kept = file.read_text(), file.stat().st_mode & 0o777
        given["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "another's"
        refused = act(shop, "drift", "sandbox-reader", PLAN="no-such-plan", **given)[0]
        server.shutdown()
        thread.join()
    assert (taken, kept) == (3, ("a.job.token", 0o600))
    assert refused == 4


# --- the workflows ---------------------------------------------------------------------------------------------------

_SHA = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)+$")


def jobs() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for file in WORKFLOWS:
        workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
        for name, job in workflow["jobs"].items():
            yield f"{file.name}: {name}", workflow, job


def test_every_job_has_a_time_limit_and_names_what_it_may() -> None:
    found = list(jobs())
    assert len(found) >= 7
    assert [name for name, _, job in found if not 0 < job.get("timeout-minutes", 0) <= 120] == []
    for name, workflow, job in found:
        may = job.get("permissions", workflow.get("permissions"))
        assert may is not None, name
        assert {k for k, v in may.items() if v == "write"} <= {"id-token", "pull-requests"}, name
        signs_in = any(s["with"]["command"] != "test" for s in job["steps"] if "command" in s.get("with", {}))
        assert ("id-token" in may) == signs_in, name
        assert ("pull-requests" in may) == name.endswith("comment"), name


def test_every_action_is_pinned_to_a_commit_and_leaves_no_credential_behind() -> None:
    for file in WORKFLOWS:
        used = [line.strip(" -") for line in file.read_text(encoding="utf-8").splitlines() if "uses: " in line]
        assert used
        assert [line for line in used if not _SHA.fullmatch(line) and not line.startswith("uses: ./")] == []
    for name, _, job in jobs():
        checkouts = [s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout@")]
        assert all(s["with"]["persist-credentials"] is False for s in checkouts), name
        assert bool(checkouts) != name.endswith("comment"), name


def test_gitlab_gives_a_token_only_to_the_jobs_that_sign_in() -> None:
    pipeline = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))
    uses = {name: job["extends"] for name, job in pipeline.items() if "extends" in job and not name.startswith(".")}
    assert uses == {"check": ".provisioner", **dict.fromkeys(("plan", "apply", "drift"), ".signed-in")}
    assert "id_tokens" not in pipeline[".provisioner"]
    assert pipeline["default"]["timeout"]


GH = """#!{python}
import json, os, subprocess, sys
from pathlib import Path
here, words = Path(os.environ["FAKE"]), sys.argv[1:]
method = words[words.index("--method") + 1] if "--method" in words else "GET"
path = next(w for w in words if w.startswith("repos/"))
if method == "GET":
    for page in json.loads((here / "pages.json").read_text()):
        subprocess.run(["jq", "-r", words[words.index("--jq") + 1]], input=json.dumps(page), text=True, check=True)
else:
    assert words[words.index("--field") + 1] == "body=@comment.md"
    (here / "sent").write_text(method + " " + path)
"""
"""As much of GitHub's program as the step uses; its --jq takes jq's language, with the environment."""


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize(
    ("comments", "sent"),
    [
        ([], "POST repos/o/r/issues/7/comments"),
        ([(1, "github-actions[bot]", "coverage"), (2, "mallory", "MARKER")], "POST repos/o/r/issues/7/comments"),
        ([(3, "github-actions[bot]", "said: MARKER")], "POST repos/o/r/issues/7/comments"),
        (
            [(4, "mallory", "MARKER"), (5, "github-actions[bot]", "MARKER\nold"), (6, "github-actions[bot]", "MARKER")],
            "PATCH repos/o/r/issues/comments/5",
        ),
    ],
)
def test_the_comment_is_found_by_its_own_marker(
    tmp_path: Path, comments: list[tuple[int, str, str]], sent: str
) -> None:
    marker = "<!-- provisioner:plan:contoso.onmicrosoft.com -->"
    rows = [
        {"id": id_, "user": {"login": login}, "body": body.replace("MARKER", marker)} for id_, login, body in comments
    ]
    (tmp_path / "pages.json").write_text(json.dumps([[row] for row in rows] or [[]]))
    (tmp_path / "comment.md").write_text(f"{marker}\n## 1 to add\n")
    (tmp_path / "gh").write_text(GH.format(python=sys.executable))
    (tmp_path / "gh").chmod(0o755)
    (step,) = [s for s in yaml.safe_load(GITHUB.read_text())["jobs"]["comment"]["steps"] if "run" in s]
    place = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FAKE": str(tmp_path), "REPOSITORY": "o/r", "NUMBER": "7"}
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]  # GitHub's, for `shell: bash`
    done = subprocess.run(shell, cwd=tmp_path, env=place, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sent").read_text() == sent


@pytest.mark.long
def test_gitlab_s_jobs_plan_as_a_reader_and_apply_what_was_reviewed(shop: Shop) -> None:
    profiles = shop.folder / ".provisioner" / "profiles"
    for name, source in (("prod", "sandbox"), ("prod-reader", "sandbox-reader")):
        text = (profiles / f"{source}.toml").read_text().replace(f'"{source}"', f'"{name}"')
        (profiles / f"sandbox-{name}.toml").write_text(text)
    (shop.folder / "plans").mkdir()
    shop.write("smtp_auth: { mailboxes: { b@contoso.com: enabled } }\n", "plans/plan.yaml")
    pipeline = yaml.safe_load(GITLAB.read_text())
    place = {**shop.environment, "CI": "true", "PATH": f"{shop.folder / 'bin'}:{os.environ['PATH']}"}

    def job(name: str) -> int:
        script = "set -e\n" + "\n".join(pipeline[name]["script"])
        return subprocess.run(["bash", "-c", script], cwd=shop.folder, env=place, timeout=120, check=False).returncode

    assert job("plan") == 0
    place |= dict(line.split("=", 1) for line in (shop.folder / "plan.env").read_text().splitlines())
    assert place["PLAN_DIGEST"].startswith("sha256:")
    before = len(shop.tenant.writes())
    assert job("apply") == 0
    assert len(shop.tenant.writes()) == before + 1
