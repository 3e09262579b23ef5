"""A stranger's checkout: nothing that it names is run, and nothing outside of it is read or quoted.

Each hostile file is made at run time, and every command that reads a plan goes over it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.operations.checkout import commit_of
from tests.cli.shop import HEADER, Shop, open_shop

SECRET = "canary-7Qx-not-for-the-log"
PLAN = HEADER + "smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n"
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "x@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


@pytest.fixture
def plans(shop: Shop) -> Iterator[Path]:
    """A plan folder in a checkout, empty before and gone afterwards."""
    checkout = shop.folder / "checkout"
    (checkout / "plans").mkdir(parents=True)
    (checkout / ".git").mkdir()
    yield checkout / "plans"
    shutil.rmtree(checkout)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], env={**os.environ, **GIT}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def everything(shop: Shop, plan: str, *options: str) -> list[subprocess.CompletedProcess[str]]:
    """Each command that reads a plan."""
    offline = [("validate", plan), ("validate", plan, "--format", "json"), ("lint", plan, "--format", "sarif")]
    offline += [("devices", "list", plan), ("test", plan)]
    online = [("plan", plan, "-o", "c.json"), ("plan", plan, "--format", "json"), ("drift", plan), ("doctor", plan)]
    runs = [shop.run(*arguments, *options) for arguments in offline]
    online.append(("apply", plan, "--auto-approve"))
    return [*runs, *(shop.run("--profile", "sandbox", *arguments, *options) for arguments in online)]


def told(*runs: subprocess.CompletedProcess[str]) -> str:
    return "".join(run.stdout + run.stderr for run in runs)


# --- programs --------------------------------------------------------------------------------------------------------


def hostile_configuration(marker: Path, bare: str) -> str:
    """Everything in git-config that names a program and that a read-only command obeys."""
    touch = f"touch {marker}"
    return f"""[core]
\trepositoryformatversion = 0
\tbare = {bare}
\tfsmonitor = "{touch}; false"
\thooksPath = {marker.parent}/hooks
\tpager = "{touch}"
[diff]
\texternal = "{touch}"
[filter "x"]
\tclean = "{touch}; cat"
\tsmudge = "{touch}; cat"
\tprocess = "{touch}"
\trequired = true
[diff "x"]
\ttextconv = "{touch}; cat"
"""


def test_a_bare_repository_among_the_plans_is_not_asked(shop: Shop, plans: Path, tmp_path: Path) -> None:
    """The files of a repository without `.git` are ordinary files, and `worktree` makes git look at the folder."""
    (plans / "plan.yaml").write_text(PLAN)
    git(shop.folder, "init", "-q", str(tmp_path / "other"))
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "x")
    for part in ("HEAD", "objects", "refs", "index"):
        there = tmp_path / "other" / ".git" / part
        if there.exists():
            (shutil.copytree if there.is_dir() else shutil.copy)(there, plans / part)
    marker = tmp_path / "marker"
    configuration = hostile_configuration(marker, "false").replace("[core]", "[core]\n\tworktree = .")
    (plans / "config").write_text(configuration)
    subprocess.run(["git", "-C", str(plans), "status"], env={**os.environ, **GIT}, capture_output=True)
    assert marker.exists(), "the material is blunt: git itself did not run it"
    marker.unlink()
    runs = everything(shop, "checkout/plans")
    assert {r.args[-1]: r.returncode for r in runs if "apply" in r.args} == {"--auto-approve": 0}
    assert not marker.exists()
    assert '"commit": ""' in (shop.folder / "c.json").read_text()


def test_a_checkout_with_programs_in_its_configuration_is_only_read(shop: Shop, plans: Path, tmp_path: Path) -> None:
    """fsmonitor, hooks, filters and textconv of a real checkout, as an unpacked archive may bring them."""
    (plans.parent / ".git").rmdir()
    git(plans, "init", "-q", str(plans.parent))
    (plans / "plan.yaml").write_text(PLAN)
    git(plans, "add", "-A")
    git(plans, "commit", "-q", "-m", "x")
    head = git(plans, "rev-parse", "HEAD")
    marker = tmp_path / "marker"
    (tmp_path / "hooks").mkdir()
    for name in ("post-index-change", "pre-commit", "reference-transaction"):
        (tmp_path / "hooks" / name).write_text(f"#!/bin/sh\ntouch {marker}\n")
        (tmp_path / "hooks" / name).chmod(0o755)
    (plans / ".gitattributes").write_text("* filter=x diff=x\n")
    (plans.parent / ".git" / "config").write_text(hostile_configuration(marker, "false"))
    (plans / "plan.yaml").write_text(PLAN + "# other\n")
    subprocess.run(["git", "-C", str(plans), "status"], env={**os.environ, **GIT}, capture_output=True)
    assert marker.exists(), "the material is blunt: git itself did not run it"
    marker.unlink()
    everything(shop, "checkout/plans")
    assert not marker.exists()
    assert f'"commit": "{head} (modified)"' in (shop.folder / "c.json").read_text()


def test_a_module_in_the_working_folder_is_not_imported(shop: Shop, plans: Path, tmp_path: Path) -> None:
    """`python -m` imports from the working folder first: the sandbox of `test` is started with -P."""
    checkout, marker = plans.parent, tmp_path / "marker"
    for name in ("json.py", "click.py", "provisioner.py", "sitecustomize.py"):
        (checkout / name).write_text(f"open({str(marker)!r}, 'w').close()\nraise SystemExit(9)\n")
    (plans / "plan.yaml").write_text(PLAN)
    (plans / "x.test.yaml").write_text(
        "provisioner_test: 1\ncases:\n  one: { plan: plan.yaml, expect: { changes: {}, applies: false } }\n"
    )
    tool = tmp_path / "provisioner"  # as pip installs it: its folder, not the working folder, comes first
    tool.write_text("from provisioner.cli.main import run\nrun()\n")
    command = [shutil.which("python") or "python", str(tool), "test", "plans"]
    done = subprocess.run(command, cwd=checkout, env=shop.environment, capture_output=True, text=True, timeout=120)
    assert not marker.exists(), done.stderr
    assert "1 passed" in done.stdout


# --- the commit, read without git ------------------------------------------------------------------------------------


def committed(folder: Path) -> str:
    git(folder.parent, "init", "-q", str(folder))
    (folder / "plans").mkdir()
    (folder / "plans" / "a.yaml").write_text("a: 1\n")
    (folder / "plans" / "link.yaml").symlink_to("a.yaml")
    (folder / "plans" / "a.test.yaml").write_text("x: 1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


def of(folder: Path) -> str:
    names = sorted(p for p in (folder / "plans").iterdir() if not p.name.endswith(".test.yaml"))
    return commit_of(folder / "plans", [str(p) for p in names])


@pytest.mark.parametrize("packed", [False, True])
def test_the_commit_is_read_from_loose_and_packed_objects(tmp_path: Path, packed: bool) -> None:
    head = committed(tmp_path / "a")
    if packed:
        git(tmp_path / "a", "gc", "-q")
        git(tmp_path / "a", "pack-refs", "--all")
    assert of(tmp_path / "a") == head
    (tmp_path / "a" / "plans" / "a.yaml").write_bytes(b"a: 1\r\n")
    assert of(tmp_path / "a") == head


def test_a_worktree_and_a_shallow_clone_have_their_own_commit(tmp_path: Path) -> None:
    first = committed(tmp_path / "a")
    git(tmp_path / "a", "commit", "-q", "--allow-empty", "-m", "y")
    git(tmp_path / "a", "worktree", "add", "-q", "--detach", str(tmp_path / "b"), first)
    assert of(tmp_path / "b") == first
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{tmp_path}/a", str(tmp_path / "c"))
    assert of(tmp_path / "c") == git(tmp_path / "a", "rev-parse", "HEAD") != first


@pytest.mark.parametrize("change", ["content", "new file", "deleted file", "link", "outside"])
def test_what_the_commit_does_not_hold_is_told(tmp_path: Path, change: str) -> None:
    head, plans = committed(tmp_path / "a"), tmp_path / "a" / "plans"
    files = [str(plans / "a.yaml"), str(plans / "link.yaml")]
    match change:
        case "content":
            (plans / "a.yaml").write_text("a: 2\n")
        case "new file":
            (plans / "b.yaml").write_text("b: 2\n")
            files.append(str(plans / "b.yaml"))
        case "deleted file":
            (plans / "link.yaml").unlink()
            files.pop()
        case "link":
            (plans / "link.yaml").unlink()
            (plans / "link.yaml").write_text("a: 1\n")
        case _:
            (tmp_path / "far.yaml").write_text("b: 2\n")
            files.append(str(tmp_path / "far.yaml"))
    assert commit_of(plans, files) == f"{head} (modified)"


def test_a_submodule_has_its_own_commit(tmp_path: Path) -> None:
    inner = committed(tmp_path / "inner")
    committed(tmp_path / "a")
    git(tmp_path / "a", "commit", "-q", "--allow-empty", "-m", "another")
    git(
        tmp_path / "a",
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        str(tmp_path / "inner"),
        "sub",
    )
    assert (tmp_path / "a" / "sub" / ".git").is_file()
    assert of(tmp_path / "a" / "sub") == inner != git(tmp_path / "a", "rev-parse", "HEAD")


def test_a_git_file_names_no_other_repository(tmp_path: Path) -> None:
    """Its commit would be told as that of the plan."""
    other = committed(tmp_path / "other")
    (tmp_path / "a" / "plans").mkdir(parents=True)
    (tmp_path / "a" / ".git").write_text(f"gitdir: {tmp_path}/other/.git\n")
    assert commit_of(tmp_path / "a" / "plans") == ""
    git(tmp_path / "other", "worktree", "add", "-q", "--detach", str(tmp_path / "b"), other)
    (tmp_path / "a" / ".git").write_text((tmp_path / "b" / ".git").read_text())
    assert commit_of(tmp_path / "a" / "plans") == ""


@pytest.mark.parametrize(
    "name", ["HEAD", "packed-refs", "refs/heads/x", "objects/pack/p.idx", "objects/info/alternates"]
)
@pytest.mark.parametrize("special", ["pipe", "link"])
def test_a_repository_of_special_files_is_not_read(tmp_path: Path, name: str, special: str) -> None:
    committed(tmp_path / "a")
    path = tmp_path / "a" / ".git" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path) if special == "pipe" else path.symlink_to("/dev/zero")
    assert of(tmp_path / "a") == ""


def test_alternates_are_looked_at_as_well(tmp_path: Path) -> None:
    committed(tmp_path / "a")
    git(tmp_path, "clone", "-q", "--shared", str(tmp_path / "a"), str(tmp_path / "b"))
    assert of(tmp_path / "b") == git(tmp_path / "a", "rev-parse", "HEAD")
    os.mkfifo(tmp_path / "a" / ".git" / "objects" / "pack" / "x.pack")
    assert of(tmp_path / "b") == ""
    (tmp_path / "b" / ".git" / "objects" / "info" / "alternates").write_text("../objects\n")
    assert commit_of(tmp_path / "b" / "plans") == ""


@pytest.mark.parametrize("content", [b"", b"x" * 40, bytes(range(256)), b"ref: refs/heads/\xff", b"ref: ../../../x"])
def test_a_head_without_sense_is_no_commit(tmp_path: Path, content: bytes) -> None:
    committed(tmp_path / "a")
    (tmp_path / "a" / ".git" / "HEAD").write_bytes(content)
    assert of(tmp_path / "a") == ""


def test_no_commit_is_told_where_there_is_none(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == ""
    git(tmp_path, "init", "-q", str(tmp_path / "a"))
    assert commit_of(tmp_path / "a") == ""
    (tmp_path / "a" / ".git" / "HEAD").unlink()
    os.mkfifo(tmp_path / "a" / ".git" / "commondir")
    assert commit_of(tmp_path / "a") == ""


# --- files outside of the checkout -----------------------------------------------------------------------------------

LINES = {
    "a word": f"{SECRET}\n",
    "a key": f"{SECRET}: 1\n",
    "a value": f"smtp_auth: {{ organization: {SECRET} }}\n",
    "no YAML": f"[{SECRET}\n",
    "an address": f"inbound_connectors: {{ {SECRET}: {{ type: {SECRET} }} }}\n",
}


def hostile_plan(plans: Path, way: str, target: Path) -> None:
    """A plan that leads to a file outside, each way that there is."""
    match way:
        case "include":
            (plans / "plan.yaml").write_text(PLAN + f"include: [{target}]\n")
        case "relative include":
            (plans / "plan.yaml").write_text(PLAN + f"include: [{os.path.relpath(target, plans)}]\n")
        case "folder":
            (plans / "plan.yaml").write_text(PLAN + f"include: [{target.parent}]\n")
        case "link":
            (plans / "plan.yaml").write_text(PLAN)
            (plans / "z.yaml").symlink_to(target)
        case "link to a folder":
            (plans / "inner").symlink_to(target.parent)
            (plans / "plan.yaml").write_text(PLAN + f"include: [inner/{target.name}]\n")
        case "included link":
            (plans / "z.txt").symlink_to(target)
            (plans / "plan.yaml").write_text(PLAN + "include: [z.txt]\n")


WAYS = ["include", "relative include", "folder", "link", "link to a folder", "included link"]


@pytest.mark.parametrize("way", WAYS)
def test_what_leads_out_of_the_checkout_is_refused_and_not_quoted(
    shop: Shop, plans: Path, tmp_path: Path, way: str
) -> None:
    target = tmp_path / "far.yaml"
    target.write_text(LINES["a word"])
    hostile_plan(plans, way, target)
    before = shop.tenant.seen()
    runs = (
        everything(shop, "checkout/plans") if way in {"include", "link"} else [shop.run("validate", "checkout/plans")]
    )
    doctor = [r for r in runs if "doctor" in r.args]
    assert {r.returncode for r in runs if r not in doctor} == {3}
    assert all(r.returncode for r in doctor)
    assert "PLAN-OUTSIDE" in told(*runs)
    assert SECRET not in told(*runs)
    assert shop.tenant.writes(since=before) == []


@pytest.mark.parametrize("line", LINES)
def test_the_option_reads_it_and_still_quotes_nothing(shop: Shop, plans: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "far.yaml").write_text(LINES[line])
    hostile_plan(plans, "include", tmp_path / "far.yaml")
    runs = [
        shop.run("validate", "checkout/plans", *rest, "--allow-outside-files") for rest in ((), ("--format", "json"))
    ]
    assert {r.returncode for r in runs} == {3}
    assert "PLAN-OUTSIDE" not in told(*runs)
    assert "far.yaml" in told(*runs)
    assert SECRET not in told(*runs)


def test_the_option_lets_a_plan_share_a_file_with_another(shop: Shop, plans: Path, tmp_path: Path) -> None:
    (tmp_path / "far.yaml").write_text("smtp_auth: { organization: disabled }\n")
    (plans / "plan.yaml").write_text(HEADER + f"include: [{tmp_path}/far.yaml]\n")
    assert shop.run("validate", "checkout/plans", "--allow-outside-files").returncode == 0


@pytest.mark.parametrize("option", [(), ("--allow-outside-files",)])
@pytest.mark.parametrize("special", ["/proc/self/environ", "/proc/self/mem", "/dev/zero", "pipe"])
def test_what_is_no_ordinary_file_is_never_read(shop: Shop, plans: Path, special: str, option: tuple[str, ...]) -> None:
    if special == "pipe":
        os.mkfifo(plans / "pipe")
    (plans / "plan.yaml").write_text(PLAN + f"include: [{special}]\n")
    done = shop.run("validate", "checkout/plans", "--format", "json", *option, CANARY=SECRET)
    assert done.returncode == 3
    assert SECRET not in told(done)


def test_a_name_outside_is_refused_alike_whether_it_exists_or_not(shop: Shop, plans: Path, tmp_path: Path) -> None:
    (tmp_path / "secret-name.yaml").write_text("a: 1\n")
    said = []
    for name in ("secret-name.yaml", "secret-nam.yaml"):
        (plans / "plan.yaml").write_text(PLAN + f"include: [{tmp_path / name}]\n")
        said.append(told(shop.run("validate", "checkout/plans")).replace(name, "NAME"))
    assert said[0].replace("^", "") == said[1].replace("^", "")


def test_a_plan_folder_or_file_that_is_a_link_of_the_checkout_may_not_leave_it(shop: Shop, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / ".git").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "plan.yaml").write_text(LINES["a word"])
    (checkout / "plans").symlink_to(tmp_path / "far")
    (checkout / "vars.yaml").symlink_to(tmp_path / "far" / "plan.yaml")
    (checkout / "own.yaml").write_text(PLAN)
    for arguments in (["plans"], ["plans/plan.yaml"], ["own.yaml", "--var-file", "vars.yaml"]):
        done = shop.run("-C", str(checkout), "validate", *arguments)
        assert (done.returncode, "PLAN-OUTSIDE" in done.stderr, SECRET in told(done)) == (3, True, False)


def test_a_link_of_ones_own_to_a_checkout_is_followed(shop: Shop, plans: Path, tmp_path: Path) -> None:
    (plans / "plan.yaml").write_text(PLAN)
    (tmp_path / "mine").symlink_to(plans)
    (tmp_path / "values.yaml").write_text(f"{SECRET}\n")
    assert shop.run("validate", str(tmp_path / "mine")).returncode == 0
    done = shop.run("validate", "checkout/plans", "--var-file", str(tmp_path / "values.yaml"))
    assert SECRET not in told(done)


def test_tests_of_plans_stay_inside_too(shop: Shop, plans: Path, tmp_path: Path) -> None:
    far = tmp_path / "far.yaml"
    far.write_text(LINES["a word"])
    (plans / "plan.yaml").write_text(PLAN)
    (plans / "link.test.yaml").symlink_to(far)
    done = shop.run("test", "checkout/plans")
    assert (done.returncode, SECRET in told(done)) == (3, False)
    (plans / "link.test.yaml").unlink()
    cases = {
        "plan": f"plan: {far}",
        "inline": f'plan: "provisioner: 1\\ntenant: contoso.onmicrosoft.com\\ninclude: [{far}]\\n"',
        "seed": f"plan: plan.yaml, given: {{ seeds: [{far}] }}",
        "option": "plan: plan.yaml, given: { seeds: [--help] }",
    }
    lines = "".join(f"  {name}: {{ {body}, expect: {{ applies: true }} }}\n" for name, body in cases.items())
    (plans / "x.test.yaml").write_text(f"provisioner_test: 1\ncases:\n{lines}")
    done = shop.run("test", "checkout/plans")
    assert (done.returncode, "4 failed" in done.stdout) == (1, True)
    assert done.stdout.count("PLAN-OUTSIDE") == 3
    assert SECRET not in told(done)
