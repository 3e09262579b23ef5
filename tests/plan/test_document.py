"""The loader, with the real types; a type of its own shows that the loader knows none of them by name."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from provisioner.border import Border
from provisioner.diagnostics import Diagnostic, InputError, Severity
from provisioner.model import (
    Address,
    Answer,
    Declared,
    Desired,
    Guard,
    Query,
    Step,
    Undeclared,
    Waiver,
)
from provisioner.model.picture import Contributions
from provisioner.plan.document import load, read
from provisioner.plan.files import line_reader
from provisioner.plan.schema import schema
from provisioner.render.diagnostics import render_diagnostics
from provisioner.resources import TYPES, connection_filter
from provisioner.resources.base import BaseType
from tests.clocks import costs

TODAY = datetime.date(2026, 6, 30)
HEAD = "provisioner: 1\ntenant: contoso.onmicrosoft.com\n"
EXAMPLES = Path(__file__).parents[2] / "plans"


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a plan's files; returns the path to load: the file, or the folder where there are several."""
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder if len(files) > 1 else folder / next(iter(files))


def loaded(folder: Path, text: str) -> Desired:
    desired, warnings = load(write(folder, {"plan.yaml": text}), TYPES, today=TODAY)
    assert list(warnings) == []
    return desired


def ids(folder: Path, text: str) -> list[str]:
    return [d.id for d in read(write(folder, {"plan.yaml": text}), TYPES, today=TODAY)[1]]


@cache
def validator() -> jsonschema.Draft202012Validator:
    """Of the schema of plans: made once, because that takes longer than a look at a plan."""
    return jsonschema.Draft202012Validator(schema(TYPES))


def outcome(path: Path) -> tuple[Desired | None, Sequence[Diagnostic]]:
    """What `load` gives, or the diagnostics that it raises; any other exception passes."""
    try:
        return load(path, TYPES, today=TODAY)
    except InputError as error:
        return None, error.diagnostics


# --- whole messages --------------------------------------------------------------------------------------------------

BAD: dict[str, Mapping[str, str | bytes]] = {
    "all-at-once": {
        "plan.yaml": """\
provisioner: 1
tenant: contoso
tennant: contoso.com
owner: ""
smtp_auth:
  organization: no
  exclusive: yes
  mailboxs: {}
  mailboxes:
    Erp@contoso.com: enable
    fax@contoso.com: enabled
    FAX@contoso.com: disabled
    scanner: enabled
    b@contoso.com:
inbound_connectors:
  hq:
    SenderIPAddresses: []
    sender_ip_addresses: [203.0.113.0/24, "2001:db8::1", 10, [1], 192.0.2.1-192.0.2.9]
    sender_domains: contoso.com
    comment: 1.50
    enabled: "true"
    type: onpremises
  HQ: {}
  branch: on
dkim:
  - contoso.com
domains:
  contoso.com: { verified: false, type: on }
"""
    },
    "header": {
        "plan.yaml": """\
provisioner: "1"
tenant: 12
absent: [inbound_connector/a, smtp_auth/b@c.com, connector/x, foo, inbound_connector/*]
protect: [ 'inbound_conector/hq', 'printer["x"]', 3 ]
ignore: inbound_connector/Hybrid *
allow:
  - rule: SMTP-TENANT
  - { rule: PRECONDITION, reason: no }
  - { rule: IP-PRIVATE, reason: migration, until: 2025-02-30 }
  - { rule: IP-PRIVATE, reason: migration, until: 2026-06-29 }
  - { rule: IP-PRIVATE, reason: " ", until: 2027, resouce: a }
"""
    },
    "nothing-but-a-section": {"plan.yaml": "dkim: {}\n"},
    "newer-language": {"plan.yaml": "provisioner: 2\ntenant: contoso.com\nfancy: { new: things }\n"},
    "tabs": {"plan.yaml": HEAD + "smtp_auth:\n\torganization: disabled\n\texclusive: true\n"},
    "wildcard-without-quotes": {
        "plan.yaml": HEAD + "inbound_connectors:\n  hq:\n    sender_domains: [*.contoso.com]\n"
    },
    "colon-in-text": {"plan.yaml": HEAD + "inbound_connectors:\n  hq:\n    comment: HQ: scanners\n"},
    "open-quote": {"plan.yaml": HEAD + "dkim:\n  'contoso.com: { enabled: true }\n"},
    "open-bracket": {"plan.yaml": HEAD + "ignore: [inbound_connector/a\nowner: us\n"},
    "indentation": {"plan.yaml": HEAD + "smtp_auth:\n  organization: disabled\n mailboxes: {}\n"},
    "list-among-keys": {"plan.yaml": HEAD + "- a\n"},
    "anchors": {"plan.yaml": HEAD + "x: &base { enabled: true }\ndkim:\n  a.com: *base\n  b.com:\n    <<: *base\n"},
    "not-a-mapping": {"plan.yaml": "- provisioner: 1\n"},
    "empty": {"plan.yaml": ""},
    "not-utf-8": {"plan.yaml": HEAD.encode() + b"owner: M\xfcnchen\n"},
    "utf-16": {"plan.yaml": HEAD.encode("utf-16")},
    "binary": {"plan.yaml": b"\x7fELF\x02\x01\x01\x00\x00"},
    "hidden-direction": {"plan.yaml": HEAD + "inbound_connectors:\n  hq: { comment: 'a\u202eb' }\n"},
    "wide-characters": {"plan.yaml": HEAD + "inbound_connectors:\n  本社: { comment: '日本', enabled: あ }\n"},
    "one-key-in-two-files": {
        "a.yaml": HEAD + "owner: us\ninbound_connectors:\n  hq: { comment: a }\nprotect: [inbound_connector/hq]\n",
        "b.yaml": "tenant: fabrikam.com\nowner: us\ninbound_connectors:\n  hq: { comment: b }\n  HQ: {}\n",
        "c.yaml": "protect: []\nsmtp_auth:\n  mailboxes: { a@contoso.com: on }\nsmtp_auth2: {}\n",
    },
    "mistakes-of-every-file": {
        "a.yaml": HEAD + "dkim:\n  contoso: {}\nsmtp_auth: {\n",
        "b.yml": "\tx: 1\n",
        "c.yaml": "dkim:\n  contoso.com: { enabeld: true }\n",
    },
    "a-file-that-is-not-yaml": {"plan.json": '{"provisioner": 1, "tenant": "contoso.com", "dkim": {"contoso.com": 1}}'},
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_plan_is_told_in_these_words(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]
) -> None:
    path = write(tmp_path, BAD[name])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as raised:
        load(path.relative_to(tmp_path), TYPES, today=TODAY)
    assert raised.value.exit_code == 3
    golden(
        f"diagnostics/{name}.txt",
        render_diagnostics(raised.value.diagnostics, line_reader(Border.of(Path())), color=False),
    )


def test_every_mistake_has_a_way_to_fix_it_and_a_place_that_can_be_quoted(tmp_path: Path) -> None:
    for number, files in enumerate(BAD.values()):
        (tmp_path / str(number)).mkdir()
        _, found = read(write(tmp_path / str(number), files), TYPES, today=TODAY)
        assert found
        for diagnostic in found:
            assert diagnostic.hint
            assert diagnostic.location is not None
            assert diagnostic.location.line >= 1
            assert diagnostic.location.column >= 1


def test_mistakes_come_in_the_order_of_their_places(tmp_path: Path) -> None:
    _, found = read(write(tmp_path, BAD["one-key-in-two-files"]), TYPES, today=TODAY)
    places = [d.location for d in found if d.location]
    assert len(places) == len(found) > 3
    assert places == sorted(places)


# --- what a plan means -----------------------------------------------------------------------------------------------


def test_a_plan_is_what_it_says(tmp_path: Path) -> None:
    desired = loaded(
        tmp_path,
        HEAD.replace("contoso.on", "Contoso.ON")
        + """\
owner: mail/prod
smtp_auth:
  exclusive: true
  mailboxes:
    ERP@contoso.com: enabled
inbound_connectors:
  hq:
    comment: HQ
    require_tls: true
protect: [ 'inbound_connector["hq"]' ]
absent: [ inbound_connector/old mfp ]
ignore: [ inbound_connector/Hybrid * ]
allow:
  - { rule: SMTP-TENANT-WIDE, reason: " CHG-1 ", until: 2026-06-30 }
  - { rule: IP-PRIVATE, reason: CHG-2, resource: inbound_connector/hq }
""",
    )
    plan = str(tmp_path / "plan.yaml")
    assert (desired.tenant, desired.owner) == ("contoso.onmicrosoft.com", "mail/prod")
    assert desired.exclusive == {"smtp_auth"}
    assert [a.short for a in desired.resources] == ["smtp_auth/erp@contoso.com", "inbound_connector/hq"]
    connector = desired.resources[Address("inbound_connector", "hq")]
    assert (connector.spec.comment, connector.spec.require_tls, connector.spec.owner) == ("HQ", True, "mail/prod")
    assert str(connector.location) == f"{plan}:9:3"
    assert {n: str(at) for n, at in connector.fields.items()} == {
        "comment": f"{plan}:10:5",
        "require_tls": f"{plan}:11:5",
    }
    assert desired.protect == ("inbound_connector/hq",)
    assert {str(a): str(at) for a, at in desired.absent.items()} == {'inbound_connector["old mfp"]': f"{plan}:13:11"}
    assert desired.ignore == ("inbound_connector/Hybrid *",)
    first, second = desired.waivers
    assert (first.rule, first.until, first.reason, first.pattern) == ("SMTP-TENANT-WIDE", "2026-06-30", "CHG-1", "*")
    assert (second.pattern, second.until) == ("inbound_connector/hq", None)
    assert desired.files == (plan,)


@pytest.mark.parametrize("tenant", ["contoso.com", "bücher.example", "8F1C2F5E-6a1b-4c53-9d0e-3f1a7b2c4d5e"])
def test_a_tenant_is_a_domain_or_an_id(tenant: str, tmp_path: Path) -> None:
    desired = loaded(tmp_path, f"provisioner: 1\ntenant: {tenant}\n")
    assert desired.tenant in {"contoso.com", "xn--bcher-kva.example", "8f1c2f5e-6a1b-4c53-9d0e-3f1a7b2c4d5e"}


@pytest.mark.parametrize("version", ["true", "1.0", '"1"', "one", "[1]", "0", ""])
def test_a_version_that_is_not_the_number_1_is_refused(version: str, tmp_path: Path) -> None:
    assert ids(tmp_path, f"provisioner: {version}\ntenant: contoso.com\n") == ["PLAN-VERSION"]


def test_an_expired_waiver_warns_and_does_not_count(tmp_path: Path) -> None:
    text = (
        HEAD + "allow:\n  - { rule: IP-PRIVATE, reason: a, until: 2026-06-29 }\n  - { rule: IP-PRIVATE, reason: b }\n"
    )
    desired, found = load(write(tmp_path, {"plan.yaml": text}), TYPES, today=TODAY)
    assert [w.reason for w in desired.waivers] == ["b"]
    assert [(d.id, d.severity) for d in found] == [("WAIVER-EXPIRED", Severity.WARNING)]
    assert "2026-06-29" in found[0].summary


def test_warnings_stand_among_the_errors_of_a_bad_plan(tmp_path: Path) -> None:
    text = "provisioner: 1\nallow:\n  - { rule: IP-PRIVATE, reason: a, until: 2026-06-29 }\n"
    with pytest.raises(InputError) as raised:
        load(write(tmp_path, {"plan.yaml": text}), TYPES, today=TODAY)
    assert [d.id for d in raised.value.diagnostics] == ["KEY-MISSING", "WAIVER-EXPIRED"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("reject_direct_send: true\n", ("KEY-UNKNOWN", "write it below organization")),
        ("inbound_conectors: {}\n", ("KEY-UNKNOWN", 'did you mean "inbound_connectors"?')),
        ("\u00a0smtp_auth: {}\n", ("YAML-SYNTAX", "replace the spaces at the beginning of the line")),
        (
            "smtp_auth: {\u00a0organization: disabled }\n",
            ("YAML-SYNTAX", "replace the spaces at the beginning of the line"),
        ),
        ("dkim: { contoso.com: true }\n", ("VALUE-TYPE", "write { enabled: true }")),
    ],
)
def test_what_stands_in_the_wrong_place_is_told_where_it_belongs(
    tmp_path: Path, text: str, told: tuple[str, str]
) -> None:
    _, found = read(write(tmp_path, {"plan.yaml": HEAD + text}), TYPES, today=TODAY)
    assert [(d.id, d.hint) for d in found] == [told]


def test_many_unknown_keys_cost_little_each(tmp_path: Path) -> None:
    text = "provisioner: 1\ntenant: contoso.onmicrosoft.com\n" + "".join(f"key{n}: 1\n" for n in range(1000))
    path = write(tmp_path, {"plan.yaml": text})
    with costs(at_most_s=1.5), pytest.raises(InputError) as raised:  # 0.1 s on a quiet machine
        load(path, TYPES, today=TODAY)
    assert [d.id for d in raised.value.diagnostics] == ["KEY-UNKNOWN"] * 1000


def test_what_is_right_in_a_bad_plan_can_be_looked_at(tmp_path: Path) -> None:
    text = HEAD + "tenannt: x\ninbound_connectors:\n  a: { comment: fine }\n  b: { comment: 1 }\n  c: 7\n"
    desired, found = read(write(tmp_path, {"plan.yaml": text}), TYPES, today=TODAY)
    assert [d.id for d in found] == ["KEY-UNKNOWN", "VALUE-TYPE", "VALUE-TYPE"]
    assert [a.key for a in desired.resources] == ["a", "b"]
    assert desired.tenant == "contoso.onmicrosoft.com"


def test_a_mailbox_in_two_spellings_is_found_beside_other_mistakes(tmp_path: Path) -> None:
    text = "smtp_auth:\n  exclusive: maybe\n  mailboxes: { a@contoso.com: enabled, A@contoso.com: inherit }\n"
    _, found = read(write(tmp_path, {"plan.yaml": HEAD + text}), TYPES, today=TODAY)
    assert [d.id for d in found] == ["VALUE-TYPE", "RESOURCE-DUPLICATE"]
    assert found[1].address == 'smtp_auth["a@contoso.com"]'
    assert [str(at) for at, _ in found[1].related] == [f"{tmp_path / 'plan.yaml'}:5:16"]


def test_half_of_an_address_of_a_right_is_told_and_a_right_that_is_listed_twice_is_told_once(tmp_path: Path) -> None:
    text = 'absent: [send_as/a@x.com, "send_as/c@x.com as b@x.com"]\nsend_as: { a@x.com: [b@x.com, b@x.com] }\n'
    _, found = read(write(tmp_path, {"plan.yaml": HEAD + text}), TYPES, today=TODAY)
    assert [d.id for d in found] == ["ADDRESS-INVALID", "RESOURCE-DUPLICATE"]
    assert found[0].hint == "write send_as/TRUSTEE as SENDER"


def test_addresses_are_told_with_mistakes_below_a_name(tmp_path: Path) -> None:
    text = "smtp_auth:\n  organization: x\n  mailboxes: { a@b.com: x }\ndkim:\n  c.com: { key_size: 1 }\n"
    _, found = read(write(tmp_path, {"plan.yaml": HEAD + text}), TYPES, today=TODAY)
    assert [d.address for d in found] == [None, 'smtp_auth["a@b.com"]', 'dkim["c.com"]']


# --- several files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "transport_rules:\n  One: { set_scl: 0, before: [Two] }\n  Two: { set_scl: 0, before: [Other, three] }\n"
            "  Three: { set_scl: 0, before: [one] }\n",
            (4, 31, "TRANSPORT-RULE-ORDER", 'transport_rule["One"]'),
        ),
        (
            "connection_filter:\n  allow: [192.0.2.5]\n  block:\n    - 198.51.100.0/24\n    - 192.0.2.5/32\n",
            (7, 7, "FILTER-BOTH-LISTS", None),
        ),
        (
            f"connection_filter:\n  block: []\n  allow: [{', '.join(f'10.0.{n}.0' for n in range(256))}]\n",
            (5, 3, "FILTER-TOO-MANY", None),
        ),
    ],
    ids=("order", "both lists", "too many"),
)
def test_what_does_not_go_together_is_told_at_the_entry_that_is_wrong(
    body: str, told: tuple[int, int, str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_filter, "MOST_ENTRIES", 255)
    _, (found,) = read(write(tmp_path, {"plan.yaml": HEAD + body}), TYPES, today=TODAY)
    assert found.location is not None
    assert (found.location.line, found.location.column, found.id, found.address) == told


def test_what_is_keyed_by_name_is_merged_over_files(tmp_path: Path) -> None:
    files = {
        "1-tenant.yaml": HEAD + "owner: us\n",
        "2-leeds.yml": "tenant: contoso.onmicrosoft.com\nsmtp_auth:\n  mailboxes: { leeds@contoso.com: enabled }\n",
        "3-york.yaml": "smtp_auth:\n  exclusive: true\n  mailboxes: { york@contoso.com: enabled }\ndkim: {}\n",
        "4-york.yaml": "dkim:\n  contoso.com: { enabled: true }\n",
    }
    desired, _ = load(write(tmp_path, files), TYPES, today=TODAY)
    assert [a.short for a in desired.resources] == [
        "smtp_auth/leeds@contoso.com",
        "smtp_auth/york@contoso.com",
        "dkim/contoso.com",
    ]
    assert desired.exclusive == {"smtp_auth"}
    places = [str(r.location) for r in desired.resources.values()]
    assert places[1] == f"{tmp_path / '3-york.yaml'}:3:16"


def test_a_name_in_two_files_is_refused_even_if_both_say_the_same(tmp_path: Path) -> None:
    files = {"a.yaml": HEAD + "dkim:\n  a.com: {}\n", "b.yaml": "dkim:\n  a.com: {}\n"}
    _, found = read(write(tmp_path, files), TYPES, today=TODAY)
    assert [d.id for d in found] == ["PLAN-KEY-TWICE"]
    assert str(found[0].location) == f"{tmp_path / 'b.yaml'}:2:3"
    assert [str(at) for at, _ in found[0].related] == [f"{tmp_path / 'a.yaml'}:4:3"]


def test_nothing_is_missing_while_a_file_could_not_be_read(tmp_path: Path) -> None:
    _, found = read(write(tmp_path, {"a.yaml": "dkim: {}\n", "b.yaml": "tenant: [\n"}), TYPES, today=TODAY)
    assert [d.id for d in found] == ["YAML-SYNTAX"]
    _, found = read([tmp_path / "a.yaml", tmp_path / "c.yaml"], TYPES, today=TODAY)
    assert [d.id for d in found] == ["PLAN-FILE-MISSING"]


# --- the loader knows no type ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Printer:
    name: str
    paper: str | None = None


@with_config(ConfigDict(extra="forbid"))
class PrinterBody(TypedDict, total=False):
    """One printer."""

    paper: Annotated[str | list[str], Field(description="What it prints on.")]
    trays: Annotated[list[PrinterTray], Field(description="Its trays.")]


@with_config(ConfigDict(extra="forbid"))
class PrinterTray(TypedDict):
    """One tray."""

    size: Annotated[int, Field(ge=1, description="Sheets.")]


class PrinterType(BaseType):
    name: ClassVar[str] = "printer"
    section: ClassVar[str] = "printers"
    section_type: ClassVar[Any] = dict[str, PrinterBody]
    spec: ClassVar[type[Printer]] = Printer
    creatable: ClassVar[bool] = True
    deletable: ClassVar[bool] = True
    precondition: ClassVar[bool] = False
    marks_ownership: ClassVar[bool] = False
    singletons: ClassVar[tuple[str, ...]] = ()

    def declare(self, section: Mapping[str, Any], owner: str) -> Iterable[Declared]:
        for name, body in section.items():
            yield Declared(name.lower(), Printer(name.lower(), str(body.get("paper"))), (name,))

    def exclusive(self, section: Mapping[str, Any]) -> bool:
        return True

    def queries(self, wanted: Mapping[str, Printer | None], everything: bool) -> Sequence[Query]:
        return ()

    def decode(
        self, wanted: Mapping[str, Printer | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, Printer]:
        return {}

    def undeclared(self, observed: Printer, owner: str, exclusive: bool) -> Undeclared:
        return Undeclared.KEEP

    def steps(self, before: Printer | None, after: Printer | None) -> Sequence[Step]:
        return ()

    def completed(self, spec: Printer) -> Printer:
        return spec

    def needs(self, spec: Printer) -> Sequence[Address]:
        return ()

    def written_form(self, spec: Printer) -> tuple[tuple[str, ...], object] | None:
        return None

    def contribution(self, spec: Printer) -> Contributions:
        return ()

    def guards(self, before: Printer | None, after: Printer | None) -> Iterable[Guard]:
        return ()

    def in_force(self, wanted: Printer, live: Printer) -> str:
        return ""


def test_a_new_type_is_loaded_without_an_edit_here(tmp_path: Path) -> None:
    text = HEAD + "printers:\n  P1: { paper: a4, trays: [{ size: 5 }] }\nabsent: [printer/p2]\n"
    desired, _ = load(write(tmp_path, {"plan.yaml": text}), (PrinterType(),), today=TODAY)
    assert [(str(a), r.spec.paper) for a, r in desired.resources.items()] == [('printer["p1"]', "a4")]
    assert desired.exclusive == {"printer"}
    assert list(desired.absent) == [Address("printer", "p2")]
    assert "printers" in schema((PrinterType(),))["properties"]


def test_mistakes_in_nested_and_alternative_values_are_told_once_at_their_place(tmp_path: Path) -> None:
    text = "printers:\n  p: { paper: 4, trays: [{ size: 0 }, { size: '5' }, { sise: 5 }, 7] }\n"
    _, found = read(write(tmp_path, {"plan.yaml": HEAD + text}), (PrinterType(),), today=TODAY)
    told = [(d.location.column if d.location else 0, d.id) for d in found]
    assert told == [
        (15, "VALUE-TYPE"),
        (34, "VALUE-INVALID"),
        (47, "VALUE-TYPE"),
        (54, "KEY-MISSING"),
        (56, "KEY-UNKNOWN"),
        (67, "VALUE-TYPE"),
    ]
    assert found[2].hint == "write 5, without quotes"
    assert found[4].hint == 'did you mean "size"?'


# --- properties, speed, imports --------------------------------------------------------------------------------------

_FRAGMENTS = [
    *["provisioner: 1", "tenant: a.com", "smtp_auth:", "mailboxes:", "a@b.com: enabled", "inbound_connectors:", "hq:"],
    *["sender_ip_addresses: [1.2.3.4]", "allow:", "- rule: IP-PRIVATE", "reason: x", "absent:", "- a/b", "dkim: {}"],
    *["{", "}", "[", "]", "'", '"', "*a", "&a", "!x", "|", "\t", "---", "", "null", "- ", ": ", "\ufeff", "\x85", "é"],
]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(_FRAGMENTS)), max_size=12))
def test_no_text_raises_anything_but_an_input_error(tmp_path_factory: Any, pieces: list[tuple[int, str]]) -> None:
    text = "".join("  " * depth + piece + "\n" for depth, piece in pieces)
    path = write(tmp_path_factory.mktemp("plan"), {"plan.yaml": text})
    found = outcome(path)[1]
    assert len(render_diagnostics(found, line_reader(Border.of(path)), color=True).splitlines()) >= 2 * len(found)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_PLANS = st.dictionaries(
    st.sampled_from(
        ["provisioner", "tenant", "owner", "protect", "absent", "ignore", "allow", *(t.section for t in TYPES)]
    ),
    _JSON
    | st.dictionaries(
        st.sampled_from(["organization", "mailboxes", "contoso.com", "hq", "a@b.com", "[key]"]), _JSON, max_size=3
    )
    | st.lists(
        st.dictionaries(st.sampled_from(["rule", "reason", "until", "resource"]), _JSON, max_size=4), max_size=2
    ),
)


@given(_PLANS)
def test_no_content_raises_anything_but_an_input_error(tmp_path_factory: Any, plan: dict[str, Any]) -> None:
    path = write(tmp_path_factory.mktemp("plan"), {"plan.yaml": json.dumps(plan)})
    desired, found = outcome(path)
    assert all(d.summary and d.hint for d in found)
    if desired is not None:
        assert desired.tenant
        validator().validate(plan)


def test_ten_thousand_mailboxes_load_in_about_a_second(tmp_path: Path) -> None:
    text = HEAD + "smtp_auth:\n  mailboxes:\n" + "".join(f"    m{n}@contoso.com: enabled\n" for n in range(10_000))
    path = write(tmp_path, {"plan.yaml": text})
    with costs(at_most_s=2):  # 0.25 s on a quiet machine
        desired, _ = load(path, TYPES, today=TODAY)
    assert len(desired.resources) == 10_000


@pytest.mark.impure
def test_loading_imports_nothing_slow() -> None:
    program = (
        "import sys, provisioner.plan.document, provisioner.render.diagnostics\n"
        "slow = {'msgraph', 'azure', 'pypsrp', 'aiohttp', 'httpx', 'asyncio', 'ssl', 'rich', 'provisioner.sandbox'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# --- the schema ------------------------------------------------------------------------------------------------------


def test_the_schema_is_one_and_takes_the_examples() -> None:
    document = schema(TYPES)
    jsonschema.Draft202012Validator.check_schema(document)
    files = sorted(EXAMPLES.glob("*.yaml"))
    assert files
    for file in files:
        validator().validate(yaml.safe_load(file.read_text("utf-8")))
    desired, warnings = load(EXAMPLES, TYPES, today=TODAY)
    assert desired.resources
    assert list(warnings) == []


def test_every_key_of_the_schema_is_described_and_closed() -> None:
    document = schema(TYPES)
    assert document["additionalProperties"] is False
    for body in document["$defs"].values():
        assert body["additionalProperties"] is False
        assert all(part.get("description") for part in body["properties"].values())
    assert all(part.get("description") or "$ref" in part for part in document["properties"].values())
    assert "title" not in json.dumps(document["$defs"])
    assert [name for name in document["$defs"] if not re.fullmatch("[a-z]+(_[a-z]+)*", name)] == []


@pytest.mark.parametrize(
    "text",
    [
        "provisioner: 2",
        "provisioner: '1'",
        "tenant: 12",
        "tenant: ''",
        "tennant: contoso.com",
        "owner: ''",
        "protect: inbound_connector/hq",
        "absent: [1]",
        "allow: [{ rule: IP-PRIVATE }]",
        "allow: [{ rule: NO-SUCH-RULE, reason: a }]",
        "allow: [{ rule: PRECONDITION, reason: a }]",
        "allow: [{ rule: IP-PRIVATE, reason: a, until: tomorrow }]",
        "allow: [{ rule: IP-PRIVATE, reason: a, resouce: b }]",
        "smtp_auth: enabled",
        "smtp_auth: { organization: inherit }",
        "smtp_auth: { exclusive: 'true' }",
        "smtp_auth: { mailboxes: { a@b.com: enable } }",
        "smtp_auth: { mailboxes: [a@b.com] }",
        "inbound_connectors: { hq: }",
        "inbound_connectors: { hq: { sender_ips: [] } }",
        "inbound_connectors: { hq: { sender_ip_addresses: ['2001:db8::1'] } }",
        "inbound_connectors: { hq: { sender_ip_addresses: 192.0.2.1 } }",
        "inbound_connectors: { hq: { comment: 12 } }",
        "inbound_connectors: { hq: { type: onpremises } }",
        "dkim: { contoso.com: { key_size: 512 } }",
        "dkim: { contoso.com: { enabled: 'yes' } }",
        "domains: { contoso.com: { verified: false } }",
    ],
)
def test_what_the_loader_refuses_the_schema_refuses(text: str, tmp_path: Path) -> None:
    head = "".join(f"{line}\n" for line in HEAD.splitlines() if line.split(":")[0] != text.split(":")[0])
    with pytest.raises(InputError):
        load(write(tmp_path, {"plan.yaml": f"{head}{text}\n"}), TYPES, today=TODAY)
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(yaml.safe_load(text))


def test_a_mailbox_that_a_device_needs_is_left_out_of_selections(tmp_path: Path) -> None:
    """The plan lists it under smtp_auth for the device: a selection does not set it."""
    text = (
        "mailbox_selections: { all: { domain: contoso.com, smtp_auth: disabled } }\ndevices:\n  erp: { from: "
        'erp@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [oauth] } }\n'
    )
    desired, _ = load(write(tmp_path, {"plan.yaml": HEAD + text}), TYPES, today=TODAY)
    selection = next(r.spec for a, r in desired.resources.items() if a.type == "mailbox_selection")
    assert selection.listed == {"erp@contoso.com"}


def test_waivers_carry_their_place(tmp_path: Path) -> None:
    (waiver,) = loaded(tmp_path, HEAD + "allow:\n  - rule: IP-PRIVATE\n    reason: a\n").waivers
    assert isinstance(waiver, Waiver)
    assert str(waiver.location) == f"{tmp_path / 'plan.yaml'}:4:5"
