"""`init`: a folder to begin with, whose plan validates and changes nothing; what is there is never overwritten."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.in_process import run_in_process
from tests.cli.shop import Shop, open_shop

GIVEN = ("--tenant", "contoso.onmicrosoft.com", "--owner", "mail-platform/prod")


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = run_in_process(arguments, folder, {"PROVISIONER_STATE_DIR": str(folder.parent / "state")})
    return done.returncode, done.stdout, done.stderr


def test_a_new_folder_validates_and_declares_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    folder.mkdir()
    code, out, _ = run(folder, "init", *GIVEN, "--client-id", "0f9c3a52-0000-4000-8000-000000000000")
    assert code == 0
    assert out.startswith("Written: provisioner.toml\nWritten: plans/tenant.yaml\nWritten: plans/plan.schema.json\n")
    code, out, _ = run(folder, "validate", "plans")
    assert (code, out) == (0, "The plan is valid. Resources: 0, files: 1.\n")
    profile = tomllib.loads((folder / "provisioner.toml").read_text(encoding="utf-8"))["profiles"]["prod"]
    assert profile["tenant"] == "contoso.onmicrosoft.com"
    assert profile["credential"]["client_id"] == "0f9c3a52-0000-4000-8000-000000000000"
    assert "changes.json" in (folder / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_example_in_the_new_plan_is_one_that_validates(tmp_path: Path) -> None:
    run(tmp_path, "init", *GIVEN)
    plan = tmp_path / "plans" / "tenant.yaml"
    head, _, example = plan.read_text(encoding="utf-8").partition("# For example:\n#\n")
    plan.write_text(head + example.replace("# ", "").replace("#\n", "\n"), encoding="utf-8")
    code, out, err = run(tmp_path, "validate", "plans")
    assert code == 0, err
    assert out.startswith("The plan is valid. Resources: ")


@pytest.mark.parametrize(("service", "file"), [("github", ".github/workflows/mail.yml"), ("gitlab", ".gitlab-ci.yml")])
def test_a_pipeline_comes_with_the_profiles_that_it_names(tmp_path: Path, service: str, file: str) -> None:
    assert run(tmp_path, "init", *GIVEN, "--ci", service)[0] == 0
    profiles = tomllib.loads((tmp_path / "provisioner.toml").read_text(encoding="utf-8"))["profiles"]
    assert set(profiles) == {"prod", "prod-reader"}
    assert {p["credential"]["kind"] for p in profiles.values()} == {"workload_identity"}
    pipeline = (tmp_path / file).read_text(encoding="utf-8")
    assert "prod-reader" in pipeline


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n", encoding="utf-8")
    code, out, _ = run(tmp_path, "init", *GIVEN)
    assert code == 0
    assert "Kept as it is: .gitignore\n" in out
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "mine\n"
    code, out, _ = run(tmp_path, "init", "--tenant", "fabrikam.com", "--owner", "us")
    assert (code, "Written" in out) == (0, False)
    assert "contoso.onmicrosoft.com" in (tmp_path / "plans" / "tenant.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--owner", "us"), "give --tenant"),
        (("--tenant", "contoso.com"), "give --owner"),
        (("--tenant", "x", "--owner", "us"), 'TENANT-INVALID]: --tenant: "x" is neither'),
        (("--tenant", "contoso.com", "--owner", " "), "OWNER-INVALID]: --owner:"),
        ((*GIVEN, "--client-id", "5"), 'CLIENT-ID-INVALID]: --client-id: "5" is not'),
    ],
)
def test_what_cannot_be_is_one_message_and_writes_nothing(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = run(tmp_path, "init", *arguments)
    assert code == 3
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_through_a_link_of_the_checkout(tmp_path: Path) -> None:
    checkout, outside = tmp_path / "checkout", tmp_path / "outside"
    (checkout / ".git").mkdir(parents=True)
    (checkout / ".git" / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    outside.mkdir()
    (checkout / "plans").symlink_to(outside)
    code, _, err = run(checkout, "init", *GIVEN)
    assert code == 3
    assert "OUT-WRITE" in err
    assert list(outside.iterdir()) == []


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


def test_a_folder_from_a_tenant_plans_empty(shop: Shop) -> None:
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=False)
    begun = shop.on_tenant("init", "begun", "--from-tenant", "--owner", "us")
    assert begun.returncode == 0, begun.stderr
    plan = (shop.folder / "begun" / "plans" / "tenant.yaml").read_text(encoding="utf-8")
    assert "erp@contoso.com: enabled" in plan
    again = shop.on_tenant("plan", "begun/plans", "--detailed-exitcode")
    assert again.returncode == 0, again.stdout


def test_a_profile_that_exists_is_not_hidden_by_a_second_one(shop: Shop) -> None:
    begun = shop.on_tenant("init", "known", "--from-tenant", "--owner", "us")
    assert "The profile sandbox exists and is used as it is." in begun.stdout
    there = shop.on_tenant("-C", "known", "plan", "--detailed-exitcode")
    assert there.returncode == 0, there.stderr
