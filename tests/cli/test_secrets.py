"""A secret in every place where a user could put one is found in no output, no file and no log."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shop import Shop, open_shop

pytestmark = pytest.mark.one_of("profile")

CANARY = "hunter2-Zq81-canary"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


def told(*runs: subprocess.CompletedProcess[str]) -> str:
    return "".join(run.stdout + run.stderr for run in runs)


def files_with(folder: Path, secret: str, but: set[str]) -> list[str]:
    """The files that hold a secret, but those that are the user's own."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name not in but)
    return [str(p.relative_to(folder)) for p in files if secret.encode() in p.read_bytes()]


MISPLACED = {
    "a device's password": "devices:\n  scanner: { from: a@contoso.com, recipients: organization, password: %s }\n",
    "a quoted one": 'devices:\n  scanner: { from: a@contoso.com, recipients: organization, client_secret: "%s" }\n',
    "a section of its own": "smtp_password: %s\nsmtp_auth: { organization: disabled }\n",
    "beside an error of another kind": "smtp_auth: { organization: perhaps, token: %s }\n",
}


@pytest.mark.parametrize("place", MISPLACED)
def test_one_in_a_plan_is_not_repeated(shop: Shop, place: str) -> None:
    plan = shop.write(MISPLACED[place] % CANARY, "wrong.yaml")
    runs = [shop.run("validate", plan), shop.run("validate", plan, "--format", "json"), shop.run("lint", plan)]
    runs += [shop.on_tenant("-vv", "plan", plan), shop.run("lint", plan, "--format", "sarif")]
    assert {r.returncode for r in runs} == {3}
    assert CANARY not in told(*runs)
    assert files_with(shop.folder, CANARY, {"wrong.yaml"}) == []


SETTINGS = {
    "the client secret": '[profiles.x]\ntenant = "contoso.onmicrosoft.com"\n[profiles.x.credential]\nsecret = "%s"\n',
    "psrp's password": '[profiles.x]\nexchange = "psrp"\n[profiles.x.psrp]\nuser = "u"\npassword = "%s"\n',
    "the prologue": "[profiles.x.psrp.prologue.parameters]\nCertificatePassword = '%s'\n",
    "an unknown key": '[profiles.x]\nclient_secret = "%s"\n',
    "a file that is not a TOML": '[profiles.x\nsecret = "%s"\n',
}


@pytest.mark.parametrize("place", SETTINGS)
def test_one_in_the_settings_is_refused_and_not_repeated(shop: Shop, place: str) -> None:
    settings = shop.folder / "provisioner.toml"
    settings.write_text(SETTINGS[place] % CANARY)
    plan = shop.write("smtp_auth: { organization: disabled }\n")
    try:
        run = shop.run("--profile", "x", "-vv", "plan", plan)
    finally:
        settings.unlink()
    assert run.returncode == 3
    assert CANARY not in told(run)


def test_one_in_the_environment_is_refused_and_not_repeated(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { organization: disabled }\n")
    run = shop.on_tenant("-vv", "plan", plan, PROVISIONER_CREDENTIAL__SECRET=CANARY)
    assert run.returncode == 3
    assert CANARY not in told(run)


@pytest.mark.parametrize("profile", ["sandbox", "sandbox-psrp"])
def test_those_that_are_used_are_in_no_output_file_or_log(shop: Shop, profile: str) -> None:
    secret = Path(shop.tenant.endpoints["app"]["secret_file"]).read_text()
    word = "enabled" if profile == "sandbox" else "disabled"
    plan = shop.write(f"smtp_auth: {{ mailboxes: {{ erp@contoso.com: {word} }} }}\n")
    reports = [
        p for n in ("json", "markdown", "html", "powershell", "junit", "sarif") for p in (f"--out-{n}", f"r.{n}")
    ]
    runs = [
        shop.run("--profile", profile, "-vv", "plan", plan, "-o", "c.json", *reports),
        shop.run("--profile", profile, "-vv", "apply", *shop.reviewed("c.json")),
        shop.run("history", "export"),
        shop.run("--profile", profile, "-vv", "drift", plan),
        shop.run("--profile", profile, "-vv", "export"),
    ]
    assert [r.returncode for r in runs] == [0, 0, 0, 0, 0], told(*runs)
    assert secret not in told(*runs)
    assert files_with(shop.folder, secret, {"secret"}) == []


def test_one_that_is_refused_by_the_service_is_not_repeated(shop: Shop) -> None:
    (shop.folder / "provisioner.toml").write_text(
        '[profiles.wrong]\ntenant = "contoso.onmicrosoft.com"\nca = "{ca}"\n'
        '[profiles.wrong.credential]\nkind = "client_secret"\nclient_id = "{id}"\nsecret = "env:WRONG"\n'
        '[profiles.wrong.endpoints]\nauthority = "{authority}"\ngraph = "{graph}"\nexchange = "{exchange}"\n'.format(
            id=shop.tenant.endpoints["app"]["client_id"], **shop.tenant.endpoints
        )
    )
    try:
        plan = shop.write("smtp_auth: { organization: disabled }\n")
        run = shop.run("--profile", "wrong", "-vv", "plan", plan, WRONG=CANARY)
    finally:
        (shop.folder / "provisioner.toml").unlink()
    assert run.returncode == 4, told(run)
    assert "client secret is wrong" in told(run)
    assert CANARY not in told(run)
    assert files_with(shop.folder, CANARY, {"wrong.yaml"}) == []
