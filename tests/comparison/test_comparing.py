"""Our verdicts on our own zones beside what checkdmarc was recorded to say of them, without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.cli.dns import _document
from provisioner.mail_dns.check import MailDomain, check_domain
from tests.comparison.__main__ import RECORDED
from tests.comparison.comparing import Statement, compare
from tests.comparison.zones import Case, cases, served
from tests.mail_dns.name_server import NameServer, carry_on

_FOUND: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text())["found"]


@pytest.fixture(scope="module")
def server() -> NameServer:
    server = NameServer()
    server.zone = served()
    return server


@pytest.mark.parametrize("case", [pytest.param(c, id=c.id) for c in cases() if c.domain in _FOUND])
def test_each_difference_from_checkdmarc_has_a_reason(server: NameServer, case: Case) -> None:
    ours = _document(carry_on(check_domain(MailDomain(case.domain)), server))
    statements = list(compare(case.id, ours, _FOUND[case.domain]))
    assert len(statements) > len(_FOUND[case.domain]) - 2
    assert [s for s in statements if s.unexplained] == []


def _statements(ids: list[str], **theirs: dict[str, Any]) -> list[Statement]:
    found = {"findings": [{"id": name} for name in ids], "spf_lookups": 1}
    return list(compare("case", found, theirs))


def test_a_difference_without_a_reason_is_told() -> None:
    (verdict,) = _statements(["SPF-SYNTAX"], spf={"valid": True})
    assert verdict.unexplained
    assert verdict.text == "ours: no usable record; checkdmarc: valid"
    (lookups,) = [s for s in _statements([], spf={"valid": True, "dns_lookups": 2}) if s.unexplained]
    assert lookups.text == "lookups: 1 and 2"
    (warned,) = [s for s in _statements([], mx={"warnings": ["host is a CNAME alias for other"]}) if s.unexplained]
    assert warned.text == "only checkdmarc: host is a CNAME alias for other"
    (unknown,) = [s for s in _statements(["MX-NEWLY-FOUND"], mx={"warnings": []}) if s.unexplained]
    assert unknown.text == "only ours: MX-NEWLY-FOUND"
