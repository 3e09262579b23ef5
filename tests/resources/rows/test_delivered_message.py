"""The results of SPF, DKIM and DMARC in the headers of a delivered message."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.resources.rows import delivered_message

OURS = (
    "spf=pass (sender IP is 93.184.216.10) smtp.mailfrom=contoso.com; dkim=none (message not signed) header.d=none;"
    "dmarc=bestguesspass action=none header.from=contoso.com;compauth=pass reason=109"
)


def header(value: object, name: str = "Authentication-Results") -> dict[str, Any]:
    return {"internetMessageHeaders": [{"name": "Received", "value": "spf=fail"}, {"name": name, "value": value}]}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (header(OURS), {"spf": "pass", "dkim": "none", "dmarc": "bestguesspass", "compauth": "pass"}),
        (header("spf=Fail", "AUTHENTICATION-RESULTS"), {"spf": "fail"}),
        (header("x-spf=pass; smtp.spf=pass"), {}),
        (header(None), {}),
        (header(OURS, "ARC-Authentication-Results"), {}),
        ({}, {}),
        ({"internetMessageHeaders": ["nonsense", None]}, {}),
    ],
)
def test_results_are_read_from_the_service_s_own_header(row: dict[str, Any], found: dict[str, str]) -> None:
    assert delivered_message.results([row]) == found


def test_the_first_header_and_its_first_result_count() -> None:
    """RFC 8601, 5: the header on top is the one that was added last; those below came with the message."""
    headers = [{"name": "Authentication-Results", "value": v} for v in ("spf=fail; spf=pass", "spf=pass; dkim=pass")]
    assert delivered_message.results([{"internetMessageHeaders": headers}]) == {"spf": "fail"}


def test_a_quote_in_an_id_ends_no_filter() -> None:
    path = delivered_message.request("anna@contoso.com", "<a'b or 1@x>").path
    assert path.endswith("$filter=internetMessageId%20eq%20'%3Ca''b%20or%201%40x%3E'")
