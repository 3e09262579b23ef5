"""Where commands write: never through a link of the checkout, and what tells of a tenant for its owner only."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.border import leads_out, make_private, write_file
from provisioner.operations import sandboxes
from tests.cli.shop import HEADER, Shop, open_shop

FORMATS = ("json", "markdown", "html", "powershell", "github", "gitlab", "junit", "sarif")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


@pytest.fixture
def checkout(shop: Shop, tmp_path: Path) -> Iterator[Path]:
    """A checkout below the shop, whose every place to write to is a link to a file of the user's."""
    folder = shop.folder / "checkout"
    (folder / ".git").mkdir(parents=True)
    (folder / "plan.yaml").write_text(HEADER + "smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n")
    (tmp_path / "profile").write_text("mine\n")
    (folder / "out").symlink_to(tmp_path)
    (folder / "link").symlink_to(tmp_path / "profile")
    yield folder
    shutil.rmtree(folder)


def in_(shop: Shop, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = folder.parent / ".provisioner" / "profiles" / "sandbox.toml"
    (folder / "provisioner.toml").write_text(settings.read_text())
    return shop.run("-C", str(folder), "--profile", "sandbox", *arguments)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_reports_are_for_their_owner_only_and_replace_a_link(shop: Shop, checkout: Path, tmp_path: Path) -> None:
    names = [f"link-{name}" for name in FORMATS]
    for name in names:
        (checkout / name).symlink_to(tmp_path / "profile")
    options = [part for name in FORMATS for part in (f"--out-{name}", f"link-{name}")]
    done = in_(shop, checkout, "plan", "plan.yaml", *options, "-o", "link")
    assert done.returncode == 0, done.stderr
    for name in (*names, "link"):
        assert ((checkout / name).is_symlink(), mode(checkout / name)) == (False, 0o600)
    assert (tmp_path / "profile").read_text() == "mine\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "plan.yaml", "--out-json", "out/profile"),
        ("plan", "plan.yaml", "-o", "out/profile"),
        ("export", "-o", "out/profile"),
        ("export", "-o", "link"),
        ("--log-file", "link", "plan", "plan.yaml"),
        ("--log-file", "out/profile", "plan", "plan.yaml"),
        ("sandbox", "certificate", "x.example", "-o", "out/profile", "--state", "../.provisioner/sandbox"),
    ],
)
def test_a_link_of_the_checkout_leads_no_output_out_of_it(
    shop: Shop, checkout: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = in_(shop, checkout, *arguments)
    assert done.returncode == 3, done.stdout
    assert "out of" in done.stderr or "outside of" in done.stderr
    assert (tmp_path / "profile").read_text() == "mine\n"
    assert os.listdir(tmp_path) == ["profile"]


def test_an_export_is_a_file_of_the_checkout_like_any_other(shop: Shop, checkout: Path) -> None:
    assert in_(shop, checkout, "export", "-o", "plans.yaml").returncode == 0
    (checkout / "touched").touch()
    assert mode(checkout / "plans.yaml") == mode(checkout / "touched")


def test_the_tests_report_replaces_a_link(shop: Shop, checkout: Path, tmp_path: Path) -> None:
    (checkout / "x.test.yaml").write_text("provisioner_test: 1\ncases: {}\n")
    assert in_(shop, checkout, "test", ".", "--junit", "link").returncode == 0
    assert (mode(checkout / "link"), (tmp_path / "profile").read_text()) == (0o600, "mine\n")


def test_what_the_sandbox_and_a_run_keep_is_for_their_owner_only(shop: Shop, checkout: Path) -> None:
    assert in_(shop, checkout, "apply", "plan.yaml", "--auto-approve").returncode == 0
    kept = [*(shop.folder / ".provisioner" / "sandbox").rglob("*"), *(shop.folder / "state").rglob("*")]
    kept += [shop.folder / "state", *(shop.folder / ".provisioner" / "profiles").iterdir()]
    assert {p.name for p in kept} >= {"requests.jsonl", "sandbox.log", "journal.jsonl", "sandbox.toml", "state"}
    loose = {str(p): oct(mode(p)) for p in kept if mode(p) & 0o077}
    assert loose == {}


@pytest.mark.parametrize("name", ["", "sandbox", "profiles", "sandbox/sandbox.log", "sandbox/requests.jsonl"])
def test_a_sandbox_keeps_nothing_behind_a_link(shop: Shop, checkout: Path, tmp_path: Path, name: str) -> None:
    place = checkout / ".provisioner" / name if name else checkout / ".provisioner"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(tmp_path / "profile" if "." in name else tmp_path)
    done = in_(shop, checkout, "sandbox", "start", "--detach")
    if name == "profiles":  # it runs, and its profiles have no place
        in_(shop, checkout, "sandbox", "stop")
    assert (done.returncode, "SANDBOX-STATE" in done.stderr) == (3, True), done.stderr
    assert (os.listdir(tmp_path), (tmp_path / "profile").read_text()) == (["profile"], "mine\n")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_file(tmp_path / "a", "one\n")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_file(tmp_path / "folder", "two\n")
    assert sorted(os.listdir(tmp_path)) == ["a", "folder"]


def test_a_pipe_without_a_reader_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        write_file(tmp_path / "pipe", "x")
    write_file(Path("/dev/null"), "x")


def test_folders_that_are_made_are_private_and_those_that_exist_stay(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o755)
    make_private(tmp_path / "shared" / "a" / "b")
    modes = [mode(tmp_path / "shared" / name) for name in ("", "a", "a/b")]
    assert modes == [0o755, 0o700, 0o700]


def test_a_link_counts_only_where_the_checkout_holds_it(tmp_path: Path) -> None:
    (tmp_path / "checkout" / ".git").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    (tmp_path / "checkout" / "out").symlink_to(tmp_path / "far")
    (tmp_path / "mine").symlink_to(tmp_path / "far")
    assert leads_out(tmp_path / "checkout" / "out" / "x")
    assert not leads_out(tmp_path / "checkout" / "x")
    assert not leads_out(tmp_path / "mine" / "x")


@pytest.mark.parametrize(
    "forged",
    [
        {"control": "https://evil.example"}, {"control": "https://127.0.0.1.evil.example:1"}, {"control": "file:///etc"},
        {"control": "http://127.0.0.1:1"}, {"control": "https://127.0.0.1@evil.example:1"}, {"control": 5},
        {"control_token_file": "/home/x/.ssh/id_rsa"}, {"control_token_file": "../../../far"}, {"ca": "/etc/passwd"},
        {"ca": None}, {"app": {"client_id": "c", "secret_file": "/home/x/.ssh/id_rsa"}}, {"pid": -1}, {"pid": 0},
        {"pid": "1"}, {"pid": 1 << 70}, {"pid": True}, {"started": ...}, {"pid": ...},
    ],
)  # fmt: skip
def test_a_sandbox_of_a_checkout_is_one_that_a_sandbox_wrote(
    shop: Shop, tmp_path: Path, forged: dict[str, object]
) -> None:
    """Its addresses are local, its files beside it, and its process is a process."""
    real = shop.folder / ".provisioner" / "sandbox"
    shutil.copytree(real, tmp_path / "forged")
    text = (real / "endpoints.json").read_text().replace(str(real), str(tmp_path / "forged"))
    found = json.loads(text)
    (tmp_path / "forged" / "endpoints.json").write_text(text)
    assert sandboxes.find(tmp_path / "forged") == found
    edited = {**found, **{name: value for name, value in forged.items() if value is not ...}}
    for name in (name for name, value in forged.items() if value is ...):
        del edited[name]
    (tmp_path / "forged" / "endpoints.json").write_text(json.dumps(edited))
    assert sandboxes.find(tmp_path / "forged") is None


@pytest.mark.parametrize("content", ["[]", "{}", "[" * 100_000, "x", "9" * 10_000])
def test_endpoints_without_sense_are_no_sandbox(tmp_path: Path, content: str) -> None:
    (tmp_path / "endpoints.json").write_text(content)
    assert sandboxes.find(tmp_path) is None
    (tmp_path / "endpoints.json").unlink()
    (tmp_path / "endpoints.json").symlink_to("/dev/zero")
    assert sandboxes.find(tmp_path) is None
