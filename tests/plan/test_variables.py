"""Variables and included files: one plan for several environments, without a templating language."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from provisioner.diagnostics import InputError, Severity
from provisioner.model import Address, Desired
from provisioner.plan import document
from provisioner.plan.schema import schema
from provisioner.plan.variables import Given
from provisioner.resources import TYPES

HEAD = "provisioner: 1\ntenant: contoso.onmicrosoft.com\n"
DECLARED = """variables:
  egress: { type: ip_network, default: 203.0.113.10, description: Firewall HQ }
  more: { type: list(ip_network), default: [203.0.113.64/28, 203.0.113.80/28] }
  word: { type: string, default: enabled }
  strict: { type: boolean, default: true }
  bits: { type: integer, default: 2048 }
"""


def load(folder: Path, text: str, given: Mapping[str, Given] | None = None) -> Desired:
    (folder / "plan.yaml").write_text(HEAD + text)
    return document.load(folder / "plan.yaml", TYPES, today=dt.date(2026, 11, 23), variables=given)[0]


def mistakes(folder: Path, text: str, given: Mapping[str, Given] | None = None) -> list[tuple[str, int, str]]:
    with pytest.raises(InputError) as wrong:
        load(folder, text, given)
    return [
        (d.id, d.location.line if d.location else 0, f"{d.summary} {d.hint}")
        for d in wrong.value.diagnostics
        if d.severity is Severity.ERROR
    ]


def spec(found: Desired, kind: str, key: str) -> Any:
    return found.resources[Address(kind, key)].spec


def test_a_value_is_a_variable_wherever_a_value_may_stand(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        DECLARED
        + """smtp_auth: { mailboxes: { erp@contoso.com: var:word } }
inbound_connectors:
  one:
    { type: on_premises, sender_ip_addresses: [var:egress, var:more], sender_domains: ["*"], require_tls: var:strict }
  two: { type: on_premises, sender_ip_addresses: var:more, sender_domains: ["*"] }
dkim: { contoso.com: { enabled: true, key_size: var:bits } }
""",
    )
    assert spec(found, "smtp_auth", "erp@contoso.com").smtp_auth == "enabled"
    one = spec(found, "inbound_connector", "one")
    assert one.sender_ip_addresses == {"203.0.113.10/32", "203.0.113.64/28", "203.0.113.80/28"}
    assert one.require_tls is True
    assert spec(found, "inbound_connector", "two").sender_ip_addresses == {"203.0.113.64/28", "203.0.113.80/28"}
    assert spec(found, "dkim", "contoso.com").key_size == 2048


def test_an_editor_takes_a_variable_where_the_program_does(tmp_path: Path) -> None:
    text = (
        HEAD
        + DECLARED
        + """smtp_auth: { organization: var:word }
inbound_connectors: { a: { type: partner, sender_ip_addresses: var:more, require_tls: var:strict } }
dkim: { contoso.com: { enabled: var:strict, key_size: var:bits } }
"""
    )
    jsonschema.validate(yaml.safe_load(text), schema(TYPES))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text.replace("var:strict", "strict")), schema(TYPES))


def test_what_is_given_wins_over_the_default_and_changes_the_digest(tmp_path: Path) -> None:
    text = DECLARED + "smtp_auth: { mailboxes: { erp@contoso.com: var:word } }\n"
    default, given = load(tmp_path, text), load(tmp_path, text, {"word": Given("disabled", "--var word")})
    assert spec(given, "smtp_auth", "erp@contoso.com").smtp_auth == "disabled"
    assert given.variables["word"] == "disabled"
    assert default.digest != given.digest


def test_a_list_is_given_with_commas_on_a_command_line(tmp_path: Path) -> None:
    text = (
        DECLARED
        + 'inbound_connectors: { a: { type: partner, sender_ip_addresses: var:more, sender_domains: ["*"] } }\n'
    )
    found = load(tmp_path, text, {"more": Given("198.51.100.1, 198.51.100.2", "--var more")})
    assert spec(found, "inbound_connector", "a").sender_ip_addresses == {"198.51.100.1/32", "198.51.100.2/32"}


@pytest.mark.parametrize(
    ("text", "given", "id_", "line", "words"),
    [
        ("smtp_auth: { mailboxes: { a@b.example: var:wrod } }\n", {}, "VARIABLE-UNKNOWN", 9, 'did you mean "word"'),
        ("", {"egress": Given("10.0.0.300", "--var egress")}, "VARIABLE-TYPE", 4, "from --var egress"),
        ("", {"bits": Given("many", "the environment's X")}, "VARIABLE-TYPE", 8, '"many" is not a whole number'),
        ("", {"strict": Given("yes", "--var strict")}, "VARIABLE-TYPE", 7, "true or false"),
        ("", {"egres": Given("x", "--var egres")}, "VARIABLE-UNDECLARED", 0, 'did you mean "egress"'),
        ("smtp_auth: { organization: var:bits }\n", {}, "SCHEMA", 9, ""),
    ],
)
def test_a_mistake_has_its_place_and_says_where_the_value_is_from(
    tmp_path: Path, text: str, given: Mapping[str, Given], id_: str, line: int, words: str
) -> None:
    (found,) = mistakes(tmp_path, DECLARED + text, given)
    assert found[1] == line
    assert words in found[2]
    if id_ != "SCHEMA":
        assert found[0] == id_


def test_a_variable_without_a_value_is_told_with_the_ways_to_give_one(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, "variables: { egress: { type: ip_network } }\n")
    assert found[:2] == ("VARIABLE-MISSING", 3)
    assert "--var egress=" in found[2]


def test_the_environment_may_hold_what_no_plan_declares(tmp_path: Path) -> None:
    assert load(tmp_path, DECLARED, {"other": Given("x", "the environment's PROVISIONER_VAR_other", loose=True)})


def test_the_tenant_is_never_a_variable(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(
        "provisioner: 1\ntenant: var:tenant\nvariables: { tenant: { type: domain, default: a.example } }\n"
    )
    with pytest.raises(InputError) as wrong:
        document.load(tmp_path / "plan.yaml", TYPES, today=dt.date(2026, 11, 23))
    assert wrong.value.diagnostics[0].id == "TENANT-INVALID"


# --- several environments --------------------------------------------------------------------------------------------


def environments(folder: Path) -> Path:
    (folder / ".git").mkdir()
    (folder / "shared").mkdir()
    (folder / "shared" / "connectors.yaml").write_text(
        "variables: { egress: { type: ip_network } }\n"
        'inbound_connectors: { hq: { type: on_premises, sender_ip_addresses: [var:egress], sender_domains: ["*"] } }\n'
    )
    for name, tenant in (("test", "contosotest"), ("prod", "contoso")):
        (folder / name).mkdir()
        (folder / name / "plan.yaml").write_text(
            f"provisioner: 1\ntenant: {tenant}.onmicrosoft.com\ninclude: [../shared/connectors.yaml]\n"
        )
    return folder


def test_two_environments_share_a_file_and_differ_in_tenant_and_variables(tmp_path: Path) -> None:
    folder = environments(tmp_path)
    found = {
        name: document.load(
            folder / name, TYPES, today=dt.date(2026, 11, 23), variables={"egress": Given(address, "--var egress")}
        )[0]
        for name, address in (("test", "198.51.100.1"), ("prod", "198.51.100.2"))
    }
    assert {f.tenant for f in found.values()} == {"contosotest.onmicrosoft.com", "contoso.onmicrosoft.com"}
    assert spec(found["test"], "inbound_connector", "hq").sender_ip_addresses == {"198.51.100.1/32"}
    assert spec(found["prod"], "inbound_connector", "hq").sender_ip_addresses == {"198.51.100.2/32"}
    assert any(f.endswith("connectors.yaml") for f in found["prod"].files)


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(HEAD + "include: [b.yaml]\n")
    (tmp_path / "b.yaml").write_text("include: [a.yaml, b.yaml]\nsmtp_auth: { organization: disabled }\n")
    found = document.load(tmp_path / "a.yaml", TYPES, today=dt.date(2026, 11, 23))[0]
    assert [Path(f).name for f in found.files] == ["a.yaml", "b.yaml"]


def test_an_included_file_that_is_not_there_is_told_where_it_is_named(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, "include: [nowhere.yaml]\n")
    assert found[:2] == ("PLAN-FILE-MISSING", 3)


PARTS = """variables:
  domain: { type: domain, default: contoso.com }
  number: { type: integer, default: 3 }
  many: { type: list(domain), default: [contoso.com] }
"""


def test_a_variable_may_be_a_part_of_a_text_and_of_a_key(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        PARTS
        + """smtp_auth: { mailboxes: { "erp@${domain}": enabled } }
inbound_connectors:
  hq-${number}:
    type: on_premises
    sender_ip_addresses: ["52.202.8.24${number}"]
    sender_domains: var:many
    comment: floor ${number} of $${domain}
""",
    )
    assert spec(found, "smtp_auth", "erp@contoso.com").smtp_auth == "enabled"
    connector = spec(found, "inbound_connector", "hq-3")
    assert connector.sender_ip_addresses == {"52.202.8.243/32"}
    assert connector.comment == "floor 3 of ${domain}"


@pytest.mark.parametrize(
    ("text", "identifier", "words"),
    [
        ('smtp_auth: { mailboxes: { "erp@${domian}": enabled } }\n', "VARIABLE-UNKNOWN", 'did you mean "domain"?'),
        ('smtp_auth: { mailboxes: { "erp@${var.domain}": enabled } }\n', "VARIABLE-UNKNOWN", "write ${domain}"),
        ('smtp_auth: { mailboxes: { "erp@${many}": enabled } }\n', "VARIABLE-TYPE", "cannot be a part of a text"),
        (
            'smtp_auth: { mailboxes: { "erp@${domain}": enabled, erp@contoso.com: disabled } }\n',
            "YAML-DUPLICATE-KEY",
            "keep one of the two",
        ),
        ("send_as: { erp@${domain}: [a@contoso.com] }\n", "YAML-SYNTAX", 'write "scanner@${domain}"'),
    ],
)
def test_what_is_wrong_in_a_text_has_its_place(tmp_path: Path, text: str, identifier: str, words: str) -> None:
    (told,) = mistakes(tmp_path, PARTS + text)
    assert told[:2] == (identifier, 7)
    assert words in told[2]


def test_a_variable_that_nothing_uses_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(HEAD + PARTS + 'dkim: { "${domain}": { enabled: true } }\n')
    _, told = document.load(tmp_path, TYPES, today=dt.date(2026, 11, 23))
    assert [(d.id, d.severity.value, d.location.line if d.location else 0) for d in told] == [
        ("VARIABLE-UNUSED", "warning", 5),
        ("VARIABLE-UNUSED", "warning", 6),
    ]


def test_a_folder_has_values_for_its_variables(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(HEAD + PARTS + 'dkim: { "${domain}": { enabled: true } }\nsend_as: {}\n')
    (tmp_path / "a.auto.yaml").write_text("domain: fabrikam.com\n")

    def signs(**given: Given) -> list[str]:
        found, _ = document.load(tmp_path, TYPES, today=dt.date(2026, 11, 23), variables=given)
        return [address.key for address in found.resources]

    assert signs() == ["fabrikam.com"]
    assert signs(domain=Given("env.example", "the environment", loose=True)) == ["fabrikam.com"]
    assert signs(domain=Given("named.example", "--var domain")) == ["named.example"]
    (tmp_path / "b.auto.yaml").write_text("domain: contoso.net\nnubmer: 4\n")
    with pytest.raises(InputError) as wrong:
        signs()
    assert sorted(d.id for d in wrong.value.found if d.severity is Severity.ERROR) == [
        "PLAN-KEY-TWICE",
        "VARIABLE-UNDECLARED",
    ]
    (undeclared,) = [d for d in wrong.value.found if d.id == "VARIABLE-UNDECLARED"]
    assert str(undeclared.location) == str(tmp_path / "b.auto.yaml") + ":2:1"


def test_a_name_of_a_file_that_cannot_be_read_is_not_called_unknown(tmp_path: Path) -> None:
    """The value would be taken out on our advice, and the plan would be wrong once the file is there."""
    (tmp_path / "plan.yaml").write_text(
        HEAD
        + "include: [shared.yaml]\nvariables: { unused: { type: domain, default: contoso.com } }\n"
        + 'dkim: { "${domain}": { enabled: true } }\ndevices:\n  mfp: { site: hq, from: mfp@contoso.com, '
        + 'recipients: anyone, supports: { tls: "1.2", authentication: [] } }\n'
    )
    (tmp_path / "a.auto.yaml").write_text("domain: fabrikam.com\n")
    with pytest.raises(InputError) as wrong:
        document.load(tmp_path, TYPES, today=dt.date(2026, 11, 23))
    assert [d.id for d in wrong.value.found] == ["PLAN-FILE-MISSING"]
