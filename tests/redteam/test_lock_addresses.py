"""Settings of a stranger's checkout: the address of a lock or journal runs nothing, and is refused when it is read."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from provisioner.diagnostics import InputError
from provisioner.engine.locking import GitLock, Holder
from provisioner.engine.sharing import GitShare
from provisioner.settings import Profile, shared_place
from provisioner.settings.files import load_settings
from tests.cli.shop import Shop

MARKER = "marker"
HOSTILE = [
    "--upload-pack=touch marker; false",
    "--upload-pack=touch marker; false x",
    "-u",
    "ext::sh -c touch% marker",
    "ext::sh -c 'touch marker'",
    "fd::3",
    "http://locks.example/x.git",
    "git://locks.example/x.git",
    "ftp://locks.example/x.git",
    "ssh://-oProxyCommand=touch%20marker/x",
    "ssh://user@-oProxyCommand=touch%20marker/x",
    "-oProxyCommand=touch marker:x",
    "user@-oProxyCommand=touch:x",
    "host:-x",
    "host::x",
    "https://user:password@locks.example/x.git",
    "locks.git",
    "../locks.git",
    "/srv/locks\n.git",
]
FINE = [
    "git@example.com:platform/locks.git",
    "example.com:platform/locks.git",
    "https://example.com/platform/locks.git",
    "https://token@example.com:8443/platform/locks.git",
    "ssh://git@example.com:2222/platform/locks.git",
    "ssh://git@[2001:db8::1]/platform/locks.git",
    "/srv/locks of all/x.git",
    "file:///srv/locks.git",
]


KEYS = ["lock", "journal"]


def settings(folder: Path, remote: str, key: str = "lock") -> None:
    text = remote.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    (folder / "provisioner.toml").write_text(f'[profiles.default]\n{key} = "git:{text}"\n')


def shop_at(folder: Path) -> Shop:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PROVISIONER_")}
    root = str(Path(__file__).parents[2])
    return Shop(folder, {**kept, "PROVISIONER_STATE_DIR": str(folder / "state"), "PYTHONPATH": root})


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("remote", HOSTILE)
def test_a_hostile_address_is_refused_where_settings_are_read(
    remote: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    settings(tmp_path, remote, key)
    with pytest.raises(InputError) as caught:
        load_settings(None, tmp_path)
    assert [d.id for d in caught.value.diagnostics] == [f"SETTINGS-{key.upper()}"]


@pytest.mark.parametrize("remote", FINE)
def test_an_ordinary_address_is_taken(remote: str) -> None:
    assert Profile(lock=f"git:{remote}").lock == f"git:{remote}"
    journal = f"git:{remote}#refs/heads/mail"
    assert Profile(journal=journal).journal == journal
    assert shared_place(journal) == ("git", remote, "refs/heads/mail")


@pytest.mark.parametrize(
    "ref", ["", "main", "-x", "refs", "refs/", "refs/heads/", "refs/../x", "refs/heads/a..b", "refs/x.lock",
            "refs/x.lock/y", "refs/.x", "refs/heads/a b", "refs/heads/x:y", "refs/heads/*", "refs/x#refs/y"]
)  # fmt: skip
def test_a_ref_of_another_form_is_refused(ref: str) -> None:
    with pytest.raises(ValidationError, match="SETTINGS-JOURNAL"):
        Profile(journal=f"git:/srv/x.git#{ref}")


@pytest.mark.parametrize("place", ["folder:", "folder:shared", "path:./x", "dir:/x", "git:", "/srv/x"])
def test_a_journal_in_another_place_is_refused(place: str) -> None:
    with pytest.raises(ValidationError, match="SETTINGS-JOURNAL"):
        Profile(journal=place)


def test_a_lock_has_a_ref_of_its_own() -> None:
    with pytest.raises(ValidationError, match="SETTINGS-LOCK"):
        Profile(lock="git:/srv/x.git#refs/heads/x")


@pytest.mark.parametrize("command", [("lock", "status"), ("lock", "release", "x")])
@pytest.mark.parametrize("remote", HOSTILE[:5])
def test_no_command_runs_what_the_address_says(remote: str, command: tuple[str, ...], tmp_path: Path) -> None:
    settings(tmp_path, remote)
    done = shop_at(tmp_path).run(*command, "--tenant-id", "T")
    assert (done.returncode, "SETTINGS-LOCK" in done.stderr) == (3, True), done.stderr
    assert not (tmp_path / MARKER).exists()


def test_a_repository_in_the_checkout_is_no_remote(tmp_path: Path) -> None:
    """A push runs the hooks of the repository that receives it, and these come with the checkout."""
    (tmp_path / ".git").mkdir()
    evil = tmp_path / "evil.git"
    subprocess.run(["git", "init", "-q", "--bare", str(evil)], check=True)
    hook = evil / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/{MARKER}\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    environment = {"PROVISIONER_JOURNAL": f"git:{evil}"}
    (tmp_path / "provisioner.toml").write_text("[profiles.default]\n")
    done = shop_at(tmp_path).run("history", "list", **environment)
    assert (done.returncode, "SETTINGS-JOURNAL" in done.stderr) == (3, True), done.stderr
    for remote in (evil, tmp_path / "evil", f"file://{evil}", f"file://{str(evil).replace('evil', '%65vil')}"):
        settings(tmp_path, str(remote))
        done = shop_at(tmp_path).run("lock", "status", "--tenant-id", "T")
        assert (done.returncode, "SETTINGS-LOCK" in done.stderr) == (3, True), done.stderr
    assert not (tmp_path / MARKER).exists()


@pytest.mark.parametrize("remote", HOSTILE[:5])
def test_git_itself_gets_no_option_and_no_other_transport(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall: a lock that was made without the settings' check."""
    monkeypatch.chdir(tmp_path)
    lock = GitLock(remote.replace("marker", str(tmp_path / MARKER)), "tenant")
    for work in (lock.status, lambda: lock.try_acquire(Holder.me("run", "anna")), lambda: lock.break_("x")):
        with pytest.raises(InputError):
            work()
    share = GitShare(remote.replace("marker", str(tmp_path / MARKER)))
    with share.journal("tenant") as journal:
        for look in (share.names, journal.fetch, lambda: journal.append(b"x\n")):
            with pytest.raises(InputError):
                look()
    assert not (tmp_path / MARKER).exists()


def test_a_git_of_the_working_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "git").write_text(f"#!/bin/sh\ntouch {tmp_path}/{MARKER}\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["git", "init", "-q", "--bare", "remote"], check=True, env={**os.environ, "PATH": os.defpath})
    assert GitLock(str(tmp_path / "remote"), "tenant").status() is None
    assert not (tmp_path / MARKER).exists()


def test_settings_that_are_a_link_out_of_the_checkout_are_refused(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / ".git").mkdir(parents=True)
    (tmp_path / "far.toml").write_text('[canary-5Zt]\ncanary-5Zt = "canary-5Zt"\n')
    (checkout / "provisioner.toml").symlink_to(tmp_path / "far.toml")
    done = shop_at(checkout).run("lock", "status", "--tenant-id", "T")
    assert (done.returncode, "SETTINGS-OUTSIDE" in done.stderr) == (3, True)
    assert "canary" not in done.stdout + done.stderr


def test_a_checkout_does_not_send_a_secret_elsewhere(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / ".git").mkdir(parents=True)
    (checkout / "provisioner.toml").write_text(
        '[profiles.prod]\ntenant = "contoso.onmicrosoft.com"\n'
        '[profiles.prod.endpoints]\nauthority = "https://login.evil.example"\n'
        '[profiles.prod.credential]\nkind = "client_secret"\nclient_id = "c"\nsecret = "env:CANARY"\n'
    )
    (checkout / "plan.yaml").write_text("provisioner: 1\ntenant: contoso.onmicrosoft.com\n")
    for arguments in (["plan", "plan.yaml"], ["drift", "plan.yaml"], ["export"], ["doctor", "plan.yaml"]):
        done = shop_at(checkout).run("--profile", "prod", *arguments)
        said = done.stdout + done.stderr
        assert done.returncode == (1 if arguments[0] == "doctor" else 3), said
        assert "endpoints.authority would send credentials to https://login.evil.example" in said
