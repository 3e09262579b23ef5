"""Four eyes through the command line: whose signatures count, of which change set, and what an apply without them does.

Keys are made by the real ssh-keygen; what must not count is made with it too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.operations.approving import NAMESPACE
from tests.cli.shop import Shop, open_shop
from tests.cli.test_exit_codes import on_a_terminal

pytestmark = [
    pytest.mark.part(0.5),
    pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen (openssh-client) is not installed"),
]

PLAN = "smtp_auth: {{ mailboxes: {{ {mailbox}@contoso.com: enabled }} }}\n"
PEOPLE = ("ada", "bob", "eve", "old", "gone")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Private keys by name, and the lists that the settings of a user name: outside of every checkout."""
    folder = tmp_path_factory.mktemp("keys")
    for name in PEOPLE:
        keygen("-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name))
    allowed(folder, "ada@x.example", "ada")
    allowed(folder, "bob@x.example", "bob")
    allowed(folder, "old@x.example", "old", 'valid-before="20200101"')
    allowed(folder, "gone@x.example", "gone")
    (folder / "revoked").write_text(public(folder, "gone") + "\n")
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        here.environment = {
            **here.environment,
            "PROVISIONER_APPROVAL__ALLOWED_SIGNERS": str(keys / "allowed"),
            "PROVISIONER_APPROVAL__REVOKED_KEYS": str(keys / "revoked"),
        }
        yield here


@pytest.fixture(scope="module")
def document(shop: Shop) -> str:
    save(shop, "a")
    return (shop.folder / "c.json").read_text()


@pytest.fixture(autouse=True)
def saved(shop: Shop, document: str) -> Iterator[None]:
    """A change set without an approval, and a tenant where it was not applied."""
    shop.reset()
    shop.write(PLAN.format(mailbox="a"))
    (shop.folder / "c.json").write_text(document)
    yield
    for left in (*shop.folder.glob("*.approval"), *(shop.folder / "state").glob("*/journal.jsonl")):
        left.unlink()
    shutil.rmtree(shop.folder / ".git", ignore_errors=True)


def keygen(*arguments: str, text: str = "") -> str:
    done = subprocess.run(["ssh-keygen", *arguments], input=text, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def public(keys: Path, name: str) -> str:
    return " ".join((keys / f"{name}.pub").read_text().split()[:2])


def allowed(keys: Path, principals: str, name: str, options: str = "", file: str = "allowed") -> None:
    with (keys / file).open("a") as stream:
        stream.write(f"{principals} {options} {public(keys, name)}\n")


def save(shop: Shop, mailbox: str, *options: str, file: str = "c.json") -> None:
    done = shop.on_tenant("plan", shop.write(PLAN.format(mailbox=mailbox)), "-o", file, *options)
    assert done.returncode == 0, done.stderr


def approve(shop: Shop, key: Path, file: str = "c.json") -> Path:
    done = shop.run("approve", *shop.reviewed(file), "--key", str(key))
    assert done.returncode == 0, done.stderr
    return shop.folder / done.stdout.strip()


def apply(shop: Shop, *options: str, code: int = 0, **environment: str) -> str:
    """Apply, which must end with this code; where it is not 0, before the tenant is asked anything."""
    since = shop.tenant.seen()
    done = shop.on_tenant("apply", "c.json", *options, **environment)
    assert done.returncode == code, done.stderr
    assert code == 0 or shop.tenant.seen() == since
    return done.stderr if code or "json" not in options else done.stdout


def journal(shop: Shop) -> list[dict[str, Any]]:
    (file,) = (shop.folder / "state").glob("*/journal.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def is_applied(shop: Shop) -> bool:
    rows = {r["PrimarySmtpAddress"]: r for r in shop.tenant.rows("CASMailbox")}
    return rows["a@contoso.com"]["SmtpClientAuthenticationDisabled"] is False


TWO = ("--require-approval", "2")
ONE = ("--require-approval", "1")


# --- what counts -----------------------------------------------------------------------------------------------------


@pytest.mark.part(1)
def test_two_people_approve_and_the_run_names_them_everywhere(shop: Shop, keys: Path) -> None:
    first, second = approve(shop, keys / "ada"), approve(shop, keys / "bob")
    assert {first.suffix, second.suffix} == {".approval"}
    told = json.loads(apply(shop, *TWO, "--format", "json", CI="true"))
    assert is_applied(shop)
    assert sorted(a["principal"] for a in told["approved_by"]) == ["ada@x.example", "bob@x.example"]
    begun = next(e for e in journal(shop) if e["kind"] == "begin")
    assert begun["approved_by"] == told["approved_by"]
    key = keygen("-l", "-f", str(keys / "ada.pub")).split()[1]
    assert f"  approved by ada@x.example ({key})" in shop.run("history", "show").stdout
    (run,) = json.loads(shop.run("history", "list", "--format", "json").stdout)
    assert run["approved_by"] == told["approved_by"]


def test_the_stream_names_the_approvers(shop: Shop, keys: Path) -> None:
    approve(shop, keys / "ada")
    done = shop.on_tenant("apply", "c.json", *ONE, "--format", "json-lines")
    (line,) = [ln for ln in map(json.loads, done.stdout.splitlines()) if ln["type"] == "log"]
    assert [text.split()[0] for text in line["provisioner"]["approved_by"]] == ["ada@x.example"]


@pytest.mark.part(1)
def test_one_of_two_is_not_enough(shop: Shop, keys: Path) -> None:
    approve(shop, keys / "ada")
    said = apply(shop, *TWO, code=10)
    assert "NOT-APPROVED" in said
    assert "c.json is approved by 1 of the 2 people who must" in said
    assert "provisioner approve c.json" in said
    assert not is_applied(shop)


def test_an_approval_may_lie_anywhere(shop: Shop, keys: Path, tmp_path: Path) -> None:
    place = approve(shop, keys / "ada").rename(tmp_path / "-signed")
    apply(shop, *ONE, code=10)
    apply(shop, "--approval", str(place))
    assert is_applied(shop)


def test_one_file_may_hold_the_comments_of_all_approvers(shop: Shop, keys: Path) -> None:
    """As they are copied from a page: quoted, on one line, with the line ends of Windows, and text around them."""
    first, second = (approve(shop, keys / name).read_text() for name in ("ada", "bob"))
    quoted = "> " + first.replace("\n", "\r\n> ")
    line = second.replace("\n", " ")
    (shop.folder / "comments").write_text(f"Looks good.\n{quoted}\nme too: {line} bye\n")
    apply(shop, *TWO, "--approval", "comments")


def test_an_approval_ties_the_file_to_its_review_as_ci_and_auto_approve_demand(shop: Shop, keys: Path) -> None:
    assert "or require approvals" in apply(shop, "--auto-approve", code=3)
    approve(shop, keys / "bob")
    apply(shop, *ONE, "--auto-approve", CI="true")


# --- what does not ---------------------------------------------------------------------------------------------------


def refused(shop: Shop, why: str) -> None:
    """Neither counted nor applied, and it is said why."""
    said = apply(shop, *ONE, code=10)
    assert "approved by 0 of the 1 people who must" in said
    assert why in " ".join(said.split()), said
    assert not is_applied(shop)


def test_another_digest(shop: Shop, keys: Path) -> None:
    save(shop, "b", file="other.json")
    approve(shop, keys / "ada", "other.json").rename(shop.folder / "c.json.1.approval")
    refused(shop, "it is not a signature of this")


def test_an_edited_change_set(shop: Shop, keys: Path) -> None:
    approve(shop, keys / "ada")
    save(shop, "b")
    refused(shop, "it is not a signature of this")


@pytest.mark.parametrize("namespace", ["git", "file", f"{NAMESPACE}x"])
def test_a_signature_for_something_else(shop: Shop, keys: Path, namespace: str) -> None:
    digest = shop.reviewed("c.json")[2]
    signature = keygen("-Y", "sign", "-f", str(keys / "ada"), "-n", namespace, text=f"{digest}\n")
    (shop.folder / "c.json.1.approval").write_text(signature)
    refused(shop, "it is not a signature of this: Couldn't verify signature: namespace does not match")


def test_the_message_is_the_digest_and_any_ssh_signature_of_it_counts(shop: Shop, keys: Path) -> None:
    digest = shop.reviewed("c.json")[2]
    signature = keygen("-Y", "sign", "-f", str(keys / "ada"), "-n", NAMESPACE, text=f"{digest}\n")
    (shop.folder / "c.json.1.approval").write_text(signature)
    apply(shop, *ONE)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("eve", "is not among the allowed signers"),
        ("old", "line 3: key has expired"),
        ("gone", "of gone@x.example does not count: it is revoked"),
    ],
)
def test_a_key_of_nobody_who_may(shop: Shop, keys: Path, name: str, why: str) -> None:
    approve(shop, keys / name)
    refused(shop, why)


@pytest.mark.part(1)
def test_a_forged_signature(shop: Shop, keys: Path) -> None:
    place = approve(shop, keys / "ada")
    text = place.read_text()
    for number, forged in enumerate((text.replace("\n-----END", "A\n-----END"), text[:100], "", "\x1b[2J", text[60:])):
        (shop.folder / f"c.json.{number}.approval").write_text(forged)
    lines = text.splitlines()
    lines[-2] = lines[-2][::-1]
    place.write_text("\n".join(lines))
    refused(shop, "it holds no SSH signature")
    assert "\x1b" not in apply(shop, *ONE, code=10)


def test_what_is_no_file_or_too_large(shop: Shop, keys: Path) -> None:
    begin, end = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
    os.mkfifo(shop.folder / "c.json.1.approval")
    (shop.folder / "c.json.2.approval").symlink_to("/proc/self/environ")
    (shop.folder / "c.json.3.approval").write_text(
        f"-----BEGIN SSH SIGNATURE-----{'A' * 2**17}-----END SSH SIGNATURE-----"
    )
    (shop.folder / "c.json.4.approval").write_text(f"{begin}{end}" * 33)
    (shop.folder / "c.json.5.approval").write_text(" " * (2**20 + 1))
    refused(shop, "too large for a signature")
    refused(shop, "it holds 33 signatures, and at most 32 are looked at")
    refused(shop, "it is larger than 1 MiB")
    assert apply(shop, *ONE, code=10).count("not an ordinary file") == 2


@pytest.mark.parametrize("how", ["the same key twice", "a key with two names", "a name with two keys", "a pattern"])
def test_one_person_is_one_person(shop: Shop, keys: Path, how: str) -> None:
    file = how.replace(" ", "-")
    if how == "a key with two names":
        allowed(keys, "ada@x.example,bob@x.example", "ada", file=file)
    elif how == "a pattern":
        allowed(keys, "*@x.example", "bob", file=file)
        allowed(keys, "ada@x.example", "ada", file=file)
    else:
        allowed(keys, "ada@x.example", "ada", file=file)
    allowed(keys, "ADA@x.example" if how == "a name with two keys" else "carl@x.example", "bob", file=file)
    place = approve(shop, keys / "ada")
    if how == "the same key twice":
        (shop.folder / "c.json.again.approval").write_text(place.read_text())
    elif how != "a key with two names":
        approve(shop, keys / "bob")
    else:
        (shop.folder / "c.json.as-bob.approval").write_text(place.read_text())
    said = apply(shop, *TWO, code=10, PROVISIONER_APPROVAL__ALLOWED_SIGNERS=str(keys / file))
    assert "approved by 1 of the 2 people who must" in said
    assert how != "a pattern" or "listed with a pattern" in said


# --- the author ------------------------------------------------------------------------------------------------------


def commit(shop: Shop, keys: Path, name: str) -> None:
    """Commit the plan, signed by somebody, and save the change set of that commit."""
    who = {f"GIT_{role}_{what}": "x@x.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    signing = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={keys / name}")
    options = ("-S",) if name else ()
    for arguments in (("init", "-q"), ("add", "plan.yaml"), ("commit", "-q", *options, "-m", "Let a send")):
        subprocess.run(["git", *signing, *arguments], cwd=shop.folder, env=environment, check=True)
    save(shop, "a")


needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


@needs_git
def test_the_author_of_the_change_set_does_not_count(shop: Shop, keys: Path) -> None:
    commit(shop, keys, "ada")
    approve(shop, keys / "ada")
    refused(shop, "the author of the change set, who signed the plan's commit, does not count")
    approve(shop, keys / "bob")
    assert "APPROVAL-AUTHOR" not in apply(shop, *ONE)
    assert [a["principal"] for a in next(e for e in journal(shop) if e["kind"] == "begin")["approved_by"]] == [
        "bob@x.example"
    ]


@needs_git
def test_the_author_is_known_by_name_with_another_key_and_by_key_without_a_name(shop: Shop, keys: Path) -> None:
    allowed(keys, "ada@x.example", "old", 'valid-before="20200101"', file="two-keys")
    allowed(keys, "ada@x.example", "eve", 'namespaces="git"', file="two-keys")
    allowed(keys, "ada@x.example", "ada", file="two-keys")
    commit(shop, keys, "eve")
    approve(shop, keys / "ada")
    lists = str(keys / "two-keys")
    assert "ada@x.example" in apply(shop, *ONE, code=10, PROVISIONER_APPROVAL__ALLOWED_SIGNERS=lists)
    shutil.rmtree(shop.folder / ".git")
    commit(shop, keys, "old")  # expired today: the key counts as the author's all the same
    allowed(keys, "old@x.example", "old", file="old-again")
    approve(shop, keys / "old")
    said = apply(shop, *ONE, code=10, PROVISIONER_APPROVAL__ALLOWED_SIGNERS=str(keys / "old-again"))
    assert "who signed the plan's commit, does not count" in " ".join(said.split())


@needs_git
@pytest.mark.parametrize("name", ["", "eve"])
def test_an_author_who_is_not_known_is_told(shop: Shop, keys: Path, name: str) -> None:
    approve(shop, keys / "ada")
    said = " ".join(apply(shop, *ONE).split())
    assert "the author of the change set is not known: its plan was not committed. 1 different" in said
    shop.reset()
    commit(shop, keys, name)
    approve(shop, keys / "ada")
    assert ("has no signature" in apply(shop, *ONE)) == (not name), "whoever signed is known, by the key alone"


# --- whose settings count --------------------------------------------------------------------------------------------


def test_allowed_signers_in_the_checkout_are_refused_however_they_are_named(shop: Shop, keys: Path) -> None:
    (shop.folder / ".git").mkdir()
    (shop.folder / "mine").write_text((keys / "allowed").read_text())
    (keys / "link-in").unlink(missing_ok=True)
    (keys / "link-in").symlink_to(shop.folder / "mine")
    (shop.folder / "link-out").unlink(missing_ok=True)
    (shop.folder / "link-out").symlink_to(keys / "allowed")
    approve(shop, keys / "ada")
    for name in ("mine", str(shop.folder / "mine"), str(keys / "link-in"), "link-out"):
        said = apply(shop, *ONE, code=3, PROVISIONER_APPROVAL__ALLOWED_SIGNERS=name)
        assert "SETTINGS-UNTRUSTED" in said, name
    said = apply(shop, *ONE, code=3, PROVISIONER_APPROVAL__REVOKED_KEYS="mine")
    assert "SETTINGS-UNTRUSTED" in said


@pytest.mark.parametrize("key", ["allowed_signers", "revoked_keys", "key"])
def test_a_settings_file_of_the_checkout_says_nothing_of_approvals(shop: Shop, keys: Path, key: str) -> None:
    own = {n: v for n, v in shop.environment.items() if not n.startswith("PROVISIONER_APPROVAL")}
    file = shop.folder / "provisioner.toml"
    file.write_text(f'[profiles.evil.approval]\n{key} = "{keys / "allowed"}"\n')
    bare = Shop(shop.folder, own)
    try:
        for trust in ((), ("--trust-settings",)):
            done = bare.run(*trust, "--profile", "evil", "apply", "c.json", *ONE)
            assert done.returncode == 3
            assert f"approval.{key}: a settings file in a checkout may not say whose approvals count" in done.stderr
            assert f"{file}:2:1" in done.stderr
    finally:
        file.unlink()


def test_the_profile_demands_and_the_command_line_cannot_lower_it(shop: Shop, keys: Path) -> None:
    approve(shop, keys / "ada")
    assert "1 of the 2 people" in apply(shop, *ONE, code=10, PROVISIONER_APPROVAL__REQUIRE="2")
    assert "1 of the 2 people" in apply(shop, *shop.reviewed("c.json")[1:], code=10, PROVISIONER_APPROVAL__REQUIRE="2")
    since = shop.tenant.seen()
    done = shop.on_tenant("apply", "plan.yaml", "--auto-approve", PROVISIONER_APPROVAL__REQUIRE="2")
    assert (done.returncode, shop.tenant.seen()) == (10, since)
    assert "the profile requires 2 approvals, and plan.yaml is a plan" in done.stderr
    approve(shop, keys / "bob")
    apply(shop, PROVISIONER_APPROVAL__REQUIRE="2")


def test_without_allowed_signers_nothing_counts(shop: Shop, keys: Path) -> None:
    approve(shop, keys / "ada")
    for value in ("", str(keys / "nowhere")):
        assert "APPROVAL-SIGNERS" in apply(shop, *ONE, code=3, PROVISIONER_APPROVAL__ALLOWED_SIGNERS=value)
    assert "APPROVAL-SIGNERS" in apply(shop, *ONE, code=3, PROVISIONER_APPROVAL__REVOKED_KEYS=str(keys / "nowhere"))


def test_doctor_says_whether_approvals_can_be_verified(shop: Shop, keys: Path) -> None:
    done = shop.on_tenant("doctor", "plan.yaml", PROVISIONER_APPROVAL__REQUIRE="2")
    assert f"2 required, by {keys / 'allowed'}" in done.stdout
    done = shop.on_tenant("doctor", "plan.yaml", PROVISIONER_APPROVAL__REQUIRE="2", PATH="bin")
    assert (done.returncode, "there is no ssh-keygen" in done.stdout) == (1, True)


# --- what apply adds to the change set -------------------------------------------------------------------------------


def test_a_guard_is_lifted_only_in_the_change_set_that_was_approved(shop: Shop, keys: Path) -> None:
    plan = shop.write("smtp_auth: { organization: enabled }\n")
    assert shop.on_tenant("plan", plan, "-o", "c.json").returncode == 6
    approve(shop, keys / "ada")
    lift = ("--allow", "SMTP-TENANT-WIDE")
    assert "--allow SMTP-TENANT-WIDE is not part of the change set that was approved" in apply(
        shop, *ONE, *lift, code=10
    )
    apply(shop, *ONE, code=6)
    assert shop.on_tenant("plan", plan, "-o", "c.json", *lift).returncode == 0
    approve(shop, keys / "ada")
    apply(shop, *ONE, *lift)


def test_the_options_are_for_a_saved_change_set(shop: Shop) -> None:
    for options in (ONE, ("--approval", "x")):
        done = shop.on_tenant("apply", "plan.yaml", *options, "--auto-approve")
        assert (done.returncode, "for a saved change set" in done.stderr) == (3, True)


# --- approve ---------------------------------------------------------------------------------------------------------


def test_nothing_is_signed_that_was_not_looked_at(shop: Shop, keys: Path) -> None:
    key = ("--key", str(keys / "ada"))
    assert shop.run("approve", "c.json", *key).returncode == 10
    assert shop.run("approve", "c.json", *key, "--expect-digest", "").returncode == 10
    assert shop.run("approve", "c.json", *key, "--expect-digest", "0" * 64).returncode == 7
    (shop.folder / "c.json").write_text((shop.folder / "c.json").read_text().replace("a@contoso", "b@contoso"))
    assert shop.run("approve", *shop.reviewed("c.json"), *key).returncode == 7
    assert list(shop.folder.glob("*.approval")) == []


def test_on_a_terminal_the_change_set_is_shown_and_asked_about(shop: Shop, keys: Path) -> None:
    code, said = on_a_terminal(shop, ["approve", "c.json", "--key", str(keys / "ada")], "no\n")
    assert (code, list(shop.folder.glob("*.approval"))) == (10, [])
    assert said.index('smtp_auth["a@contoso.com"]') < said.index("Do you approve this change set")


def test_the_key_is_that_of_the_option_the_profile_or_ssh(shop: Shop, keys: Path, tmp_path: Path) -> None:
    command = ("approve", *shop.reviewed("c.json"))
    done = shop.run(*command, HOME=str(tmp_path))
    assert (done.returncode, "there is no SSH key to sign with" in done.stderr) == (3, True)
    assert shop.run(*command, HOME=str(tmp_path), PROVISIONER_APPROVAL__KEY=str(keys / "bob")).returncode == 0
    (tmp_path / ".ssh").mkdir()
    shutil.copy(keys / "ada", tmp_path / ".ssh" / "id_ed25519")
    assert shop.run(*command, HOME=str(tmp_path)).returncode == 0
    apply(shop, *TWO)


@pytest.mark.parametrize("name", ["-N", "-Ysign"])
def test_the_name_of_a_key_or_file_is_never_an_option(shop: Shop, keys: Path, name: str) -> None:
    shutil.copy(keys / "ada", shop.folder / name)
    (shop.folder / name).chmod(0o600)
    shutil.copy(shop.folder / "c.json", shop.folder / f"{name}.json")
    try:
        digest = shop.reviewed("c.json")[2]
        done = shop.run("approve", "--expect-digest", digest, f"--key={name}", "--", f"{name}.json")
        assert done.returncode == 0, done.stderr
        done = shop.on_tenant("apply", *ONE, "--", f"{name}.json")
        assert done.returncode == 0, done.stderr
    finally:
        for left in shop.folder.glob(f"{name}*"):
            left.unlink()


def test_a_key_that_cannot_be_used_is_one_error(shop: Shop, keys: Path) -> None:
    done = shop.run("approve", *shop.reviewed("c.json"), "--key", str(keys / "nowhere"))
    assert done.returncode == 3
    assert "ssh-keygen did not sign with" in done.stderr
    assert "No such file or directory" in done.stderr


def test_without_ssh_keygen_it_is_one_error(shop: Shop, keys: Path, tmp_path: Path) -> None:
    approve(shop, keys / "ada")
    (shop.folder / "bin").mkdir(exist_ok=True)
    planted = shop.folder / "bin" / "ssh-keygen"
    planted.write_text(f"#!/bin/sh\ntouch {shop.folder}/executed\n")
    planted.chmod(0o755)
    (shop.folder / ".git").mkdir()
    for path in (str(tmp_path), "bin", str(shop.folder / "bin")):
        said = apply(shop, *ONE, code=3, PATH=path)
        assert "there is no ssh-keygen" in said
        assert "install OpenSSH's client" in said
        done = shop.run("approve", *shop.reviewed("c.json"), "--key", str(keys / "ada"), PATH=path)
        assert (done.returncode, "there is no ssh-keygen" in done.stderr) == (3, True)
    shutil.rmtree(shop.folder / ".git")  # a folder that was unpacked is not a checkout, and is not trusted either
    apply(shop, *ONE, PATH=f"bin{os.pathsep}{os.environ['PATH']}")
    assert not (shop.folder / "executed").exists()
