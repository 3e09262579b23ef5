"""The one table of clouds: nothing else names a host, and each cloud names its own only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import provisioner
from provisioner.model.clouds import CLOUDS, MAIL_DOMAINS, TAKES_NO_MAIL, cloud_of_host, cloud_of_mail

PACKAGE = Path(provisioner.__file__).parent
HOSTS = re.compile(
    r"office365\.(?:com|us)|(?:outlook|exchangelabs|hotmail)\.com|outlook\.(?:office\.com|cn)|mx\.microsoft"
    r"|microsoftonline\.(?:com|us)|graph\.microsoft\.(?:com|us)|chinacloudapi\.cn|protection\.outlook"
)
ELSEWHERE = {
    "model/clouds.py": "the table itself",
    "diagnosis/services.py": "names of other services, consumer Outlook.com among them",
}
ALLOWED = ("sendersupport.olc.protection.outlook.com",)  # consumer Outlook.com's form, which is one for all clouds
OF_CLOUD = {
    "worldwide": "com", "gcc": "com", "gcc_high": "us", "dod": "us", "china": "cn",
}  # fmt: skip


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module without its docstrings, each with its line; none where it names no host at all."""
    source = path.read_text("utf-8")
    if not HOSTS.search(source.replace("\\", "")):
        return
    tree = ast.parse(source)
    spoken = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spoken:
            yield node.lineno, node.value


def test_no_other_module_names_a_host_of_a_cloud() -> None:
    """The sandbox shares no constant with the rest, and so has its own (docs/architecture.md)."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name in ELSEWHERE or name.startswith("sandbox/"):
            continue
        for line, text in texts(path):
            plain = text.replace("\\", "")
            for allowed in ALLOWED:
                plain = plain.replace(allowed, "")
            if HOSTS.search(plain):
                found.append(f"{name}:{line}: {text}")
    assert found == []


def test_no_template_or_other_file_of_the_package_names_a_host_of_a_cloud() -> None:
    kinds = {".py", ".pyc"}
    files = [path for path in sorted(PACKAGE.rglob("*")) if path.is_file() and path.suffix not in kinds]
    files = [path for path in files if not path.relative_to(PACKAGE).as_posix().startswith("sandbox/")]
    assert [path.suffix for path in files].count(".jinja") > 2
    assert [path.name for path in files if HOSTS.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_has_hosts_of_its_own_top_level_domain(name: str) -> None:
    cloud = CLOUDS[name]
    for host in (cloud.authority, cloud.graph, cloud.exchange, cloud.smtp, cloud.spf_include, cloud.legacy_smtp):
        assert not host or host.endswith((f".{OF_CLOUD[name]}", ".microsoft"))
    assert cloud.mail_scope == f"{cloud.exchange}/.default"


def test_only_the_clouds_that_have_it_name_a_host_for_old_tls_and_for_high_volume() -> None:
    """Learn, "Opt in to the Exchange Online endpoint for legacy TLS clients"; Exchange Team Blog, 1 April 2024."""
    assert {name for name, cloud in CLOUDS.items() if cloud.legacy_smtp} == {"worldwide", "china"}
    assert {name for name, cloud in CLOUDS.items() if cloud.hve} == {"worldwide"}


def test_hosts_of_submission_take_no_mail_for_a_domain() -> None:
    assert {cloud.smtp for cloud in CLOUDS.values()} <= TAKES_NO_MAIL
    assert not any(host.endswith(CLOUDS["worldwide"].mx[0]) for host in TAKES_NO_MAIL)
    assert "" not in TAKES_NO_MAIL


@pytest.mark.parametrize(
    ("host", "name"),
    [("AM0PR10CA0042.eurprd10.prod.outlook.com", "worldwide"), ("x.mail.protection.office365.us", "gcc_high"),
     ("BJXPR01CA011.CHNPR01.prod.partner.outlook.cn", "china"), ("", "worldwide")],
)  # fmt: skip
def test_a_host_tells_its_cloud(host: str, name: str) -> None:
    assert cloud_of_host(host) is CLOUDS[name]
    assert not host or host.lower().endswith(MAIL_DOMAINS)


def test_the_profile_decides_and_else_the_tenants_name() -> None:
    assert cloud_of_mail("dod", "contoso.onmicrosoft.us") is CLOUDS["dod"]
    assert cloud_of_mail("worldwide", "contoso.onmicrosoft.us") is CLOUDS["gcc_high"]
    assert cloud_of_mail("worldwide", "contoso.partner.onmschina.cn") is CLOUDS["china"]
    assert cloud_of_mail("worldwide", "contoso.com") is CLOUDS["worldwide"]
