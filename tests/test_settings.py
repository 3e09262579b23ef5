"""Profiles: where they are found, what wins, and what is said of a wrong one, without ever repeating a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.diagnostics import InputError
from provisioner.model.clouds import CLOUDS
from provisioner.settings.files import find_profile, load_settings, profile_toml
from provisioner.tenant.connect import cloud_of


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No profile of whoever runs this."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("PROVISIONER_PROFILE", "PROVISIONER_TENANT", "PROVISIONER_CLOUD"):
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, text: str, name: str = "provisioner.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def said(folder: Path, profile: str | None = "p", *, trusting: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        load_settings(profile, folder, trusting=trusting)
    return "\n".join(f"{d.location}: {d.id}: {d.summary} | {d.hint}" for d in caught.value.diagnostics)


def test_a_profile_is_found_upward_to_the_root_of_the_checkout(tmp_path: Path) -> None:
    write(tmp_path, '[profiles.p]\ntenant = "far.example"\n')
    inner = tmp_path / "repo" / "team" / "plans"
    inner.mkdir(parents=True)
    assert load_settings("p", inner).tenant == "far.example"
    (tmp_path / "repo" / ".git").mkdir()
    assert "there is no profile" in said(inner)
    write(tmp_path / "repo", '[profiles.p]\ntenant = "near.example"\n')
    assert load_settings("p", inner).tenant == "near.example"


def test_the_users_own_profile_wins_over_one_of_a_checkout_which_is_told(tmp_path: Path) -> None:
    own = write(tmp_path / "config" / "provisioner", '[profiles.prod]\ntenant = "mine.example"\n')
    here = checkout(tmp_path, '[profiles.prod]\ntenant = "theirs.example"\n')
    found = find_profile("prod", here)
    assert found.profile.tenant == "mine.example"
    theirs = here / "provisioner.toml"
    assert found.notes == (f'profile "prod" of {theirs} is passed over: {own / "provisioner.toml"} has it too',)


FAR = {
    "endpoints.authority": '[profiles.p.endpoints]\nauthority = "https://login.evil.example"\n',
    "endpoints.graph": '[profiles.p.endpoints]\ngraph = "https://evil.example/graph"\n',
    "endpoints.exchange": '[profiles.p.endpoints]\nexchange = "https://127.0.0.1.evil.example"\n',
    "endpoints.smtp_submission": '[profiles.p.endpoints]\nsmtp_submission = "evil.example:587"\n',
    "psrp.endpoint": 'exchange = "psrp"\n[profiles.p.psrp]\nendpoint = "https://evil.example:5986/wsman"\n',
    "ca": 'ca = "ca.pem"\n',
    "journal": 'journal = "git:evil.example:journal.git"\n',
}


@pytest.mark.parametrize("key", FAR)
def test_a_checkout_does_not_say_where_secrets_go_unless_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    text = f"[profiles.p]\n{FAR[key]}"
    here = checkout(tmp_path, text)
    told = said(here)
    assert "SETTINGS-UNTRUSTED" in told
    line = len(text.splitlines())
    assert f"{here / 'provisioner.toml'}:{line}:1" in told
    assert f": {key} " in told
    assert "--trust-settings" in told
    trusted = load_settings("p", here, trusting=True)
    assert trusted.sources[key] == f"{here / 'provisioner.toml'}:{line}"
    # what the user's own environment says instead counts, and what the checkout says does not
    monkeypatch.setenv("PROVISIONER_" + key.upper().replace(".", "__"), INSTEAD.get(key, "https://own.example"))
    assert load_settings("p", here).sources[key].startswith("PROVISIONER_")


INSTEAD = {"endpoints.smtp_submission": "own.example:587", "ca": "/own/ca.pem", "journal": "folder:/own/journal"}


@pytest.mark.parametrize("key", FAR)
def test_the_users_own_file_says_where_secrets_go(tmp_path: Path, key: str) -> None:
    write(tmp_path / "config" / "provisioner", f"[profiles.p]\n{FAR[key]}")
    assert load_settings("p", checkout(tmp_path, "")).sources


def test_a_checkout_may_name_this_machine_and_its_certificate(tmp_path: Path) -> None:
    local = {name: f"https://127.0.0.1:{port}" for port, name in enumerate(("authority", "graph", "exchange"), 1)}
    here = checkout(tmp_path, profile_toml("p", {"ca": "ca.pem", "endpoints": local}))
    assert load_settings("p", here).ca == here / "ca.pem"
    two = {name: address for name, address in local.items() if name != "graph"}
    write(here, profile_toml("p", {"ca": "ca.pem", "endpoints": two}))
    assert ": ca would trust" in said(here)


def test_a_lock_and_a_proxy_of_a_checkout_are_told(tmp_path: Path) -> None:
    here = checkout(tmp_path, '[profiles.p]\nlock = "path:/srv/locks"\nproxy = "http://proxy.example:3128"\n')
    file = here / "provisioner.toml"
    assert find_profile("p", here).notes == (
        f"lock is path:/srv/locks ({file}:2)",
        f"proxy is http://proxy.example:3128 ({file}:3)",
    )


def test_a_journal_of_a_trusted_checkout_is_told(tmp_path: Path) -> None:
    here = checkout(tmp_path, '[profiles.p]\njournal = "folder:/srv/journal"\n')
    notes = find_profile("p", here, trusting=True).notes
    assert notes == (f"journal is folder:/srv/journal ({here / 'provisioner.toml'}:2)",)


def test_every_value_tells_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = checkout(tmp_path, '[profiles.p]\ntenant = "a.example"\n[profiles.p.timeouts]\nretry_s = 1\n')
    monkeypatch.setenv("PROVISIONER_CREDENTIAL__KIND", "managed_identity")
    monkeypatch.setenv("PROVISIONER_TENANT", "b.example")
    assert load_settings("p", here).sources == {
        "tenant": "PROVISIONER_TENANT",
        "credential.kind": "PROVISIONER_CREDENTIAL__KIND",
        "timeouts.retry_s": f"{here / 'provisioner.toml'}:4",
    }


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("exchange", "http://127.0.0.1:8080"),
        ("authority", "http://login.example"),
        ("graph", "-o"),
        ("graph", "https://x.example/?a=1"),
        ("smtp_submission", "--help:25"),
        ("smtp_mx", "mx.example"),
    ],
)
def test_an_address_that_is_none_or_in_clear_text_is_refused(tmp_path: Path, key: str, address: str) -> None:
    told = said(write(tmp_path, f'[profiles.p]\n[profiles.p.endpoints]\n{key} = "{address}"\n'))
    assert "SETTINGS-ENDPOINT" in told
    assert "provisioner.toml:3:1" in told


def checkout(tmp_path: Path, text: str) -> Path:
    here = write(tmp_path / "repo", text)
    (here / ".git").mkdir(exist_ok=True)
    return here


def test_the_users_own_folder_and_the_sandboxs_profiles_count_too(tmp_path: Path) -> None:
    write(tmp_path / "config" / "provisioner", '[profiles.mine]\ntenant = "mine.example"\n')
    here = tmp_path / "repo"
    (here / ".git").mkdir(parents=True)
    write(here / ".provisioner" / "profiles", profile_toml("sandbox", {"tenant": "s.example"}), "sandbox.toml")
    assert load_settings("mine", here).tenant == "mine.example"
    assert load_settings("sandbox", here).tenant == "s.example"


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, '[profiles.p]\ntenant = "file.example"\n[profiles.p.credential]\nkind = "default"\n')
    monkeypatch.setenv("PROVISIONER_TENANT", "env.example")
    monkeypatch.setenv("PROVISIONER_CREDENTIAL__KIND", "managed_identity")
    found = load_settings("p", tmp_path)
    assert (found.tenant, found.credential.kind) == ("env.example", "managed_identity")
    monkeypatch.setenv("PROVISIONER_PROFILE", "p")
    assert load_settings(None, tmp_path).tenant == "env.example"


def test_without_any_file_the_environment_alone_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISIONER_TENANT", "env.example")
    assert load_settings(None, tmp_path).tenant == "env.example"


def test_a_secret_written_out_is_refused_and_not_repeated(tmp_path: Path) -> None:
    text = '[profiles.p]\n[profiles.p.credential]\nkind = "client_secret"\nsecret = "hunter2-Zx9"\n'
    told = said(write(tmp_path, text))
    assert "SETTINGS-SECRET" in told
    assert "env:NAME or file:PATH" in told
    assert "provisioner.toml:4:1" in told
    assert "hunter2" not in told


def test_a_provider_of_octodns_is_never_named_by_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_ = 'class = "octodns_bind.Rfc2136Provider"'
    text = f'[profiles.p.dns.corp]\nkind = "octodns"\n{class_}\noptions = {{ key_secret = "env:KEY" }}\n'
    assert "SETTINGS-UNTRUSTED" in said(checkout(tmp_path, text), trusting=True)
    monkeypatch.setenv("PROVISIONER_DNS", '{"corp": {"kind": "octodns", "class": "octodns_bind.Rfc2136Provider"}}')
    half = '[profiles.p.dns.corp]\noptions = { host = "192.0.2.1" }\n'  # where the user's secret would go
    assert "SETTINGS-UNTRUSTED" in said(checkout(tmp_path, half), trusting=True)
    monkeypatch.setenv("PROVISIONER_DNS", '{"corp": {"secret": "env:KEY"}}')
    assert "SETTINGS-UNTRUSTED" in said(checkout(tmp_path, '[profiles.p.dns.corp]\nserver = "192.0.2.1"\n'))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('kind = "octodns"\nclass = "octodns_x.P"\noptions = { token = "s3cr3t" }', "a secret must not stand here"),
        ('kind = "octodns"\nclass = "octodns_x.P"\noptions = { api_key = "s3cr3t" }', "a secret must not stand here"),
        (
            'kind = "octodns"\nclass = "octodns_x.P"\nserver = "192.0.2.1"',
            'server does not belong to the kind "octodns"',
        ),
        ('kind = "octodns"', 'the kind "octodns" needs class'),
        ('kind = "octodns"\nclass = "evil"', "write MODULE.CLASS"),
        ("", 'the kind "rfc2136" needs server'),
        ('server = "192.0.2.1"\nwhole_file = true', 'whole_file does not belong to the kind "rfc2136"'),
    ],
)
def test_what_a_dns_provider_needs_is_told(tmp_path: Path, body: str, words: str) -> None:
    told = said(write(tmp_path, f"[profiles.p.dns.corp]\n{body}\n"))
    assert words in told
    assert "s3cr3t" not in told


def test_paths_are_taken_from_the_files_folder(tmp_path: Path) -> None:
    text = '[profiles.p]\nca = "ca.pem"\n[profiles.p.credential]\nsecret = "file:keys/secret"\n'
    inner = write(tmp_path, text) / "below"
    inner.mkdir()
    found = load_settings("p", inner, trusting=True)
    assert found.ca == tmp_path / "ca.pem"
    assert found.credential.secret == f"file:{tmp_path / 'keys' / 'secret'}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[profiles.p]\ntennant = "x"\n', 'did you mean "tenant"?'),
        ('[profiles.p]\nclient_id = "x"\n', 'did you mean "credential.client_id"?'),
        ('[profiles.p]\ncloud = "moon"\n', "provisioner.toml:2:1"),
        ("[profiles.p]\n[profiles.p.concurrency]\nreads = 0\n", "reads"),
        ("[profiles.p\n", "SETTINGS-SYNTAX"),
        ("profile = 1\n", "write [profiles.NAME] tables"),
        ('[profiles.q]\ntenant = "x"\n', 'there is no profile "p"'),
    ],
)
def test_a_mistake_is_told_with_its_place_and_how_to_fix_it(tmp_path: Path, text: str, words: str) -> None:
    assert words in said(write(tmp_path, text))


def test_a_near_name_of_a_profile_is_suggested(tmp_path: Path) -> None:
    write(tmp_path, '[profiles.production]\ntenant = "x"\n')
    assert 'did you mean "production"?' in said(tmp_path, "prodution")


@pytest.mark.parametrize("name", sorted(CLOUDS))
def test_every_cloud_is_a_preset_and_endpoints_may_differ(tmp_path: Path, name: str) -> None:
    endpoints = '[profiles.p.endpoints]\nexchange = "https://127.0.0.1:1"\n'
    found = load_settings("p", write(tmp_path, f'[profiles.p]\ncloud = "{name}"\n{endpoints}'))
    cloud = cloud_of(found)
    assert (cloud.authority, cloud.graph) == (CLOUDS[name].authority, CLOUDS[name].graph)
    assert cloud.exchange == "https://127.0.0.1:1"


def test_what_is_written_for_the_sandbox_reads_back(tmp_path: Path) -> None:
    values = {"tenant": 'a"b', "endpoints": {"dns_servers": ["127.0.0.1:53"]}, "concurrency": {"reads": 2}}
    write(tmp_path, profile_toml("p", values))
    found = load_settings("p", tmp_path)
    assert (found.tenant, found.endpoints.dns_servers, found.concurrency.reads) == ('a"b', ("127.0.0.1:53",), 2)


def test_the_example_on_the_page_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "settings.md").read_text(encoding="utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]
    assert load_settings("prod", write(tmp_path, example)).credential.kind == "certificate"
