"""Message traces: how a period is asked for, where a listing goes on, what the details say."""

from __future__ import annotations

from typing import Any

from provisioner.senders.traces import MOST_ROWS, Taken, Window, decode, samples, taken, windows

_DOMAINS = frozenset({"contoso.com"})


def _row(number: int = 1, sender: str = "scan@contoso.com", ip: str = "203.0.113.9", **more: Any) -> dict[str, Any]:
    return {
        "MessageTraceId": f"id{number}",
        "Received": f"2026-11-{number:02d}T08:15:00.1230000Z",
        "SenderAddress": sender,
        "RecipientAddress": "a@contoso.com",
        "FromIP": ip,
        "Status": "Delivered",
        **more,
    }


def test_a_period_is_asked_for_ten_days_at_a_time_the_newest_first() -> None:
    found = windows("2026-10-25T00:00:00Z", "2026-11-23T12:00:00Z")
    assert [(w.begin[:10], w.end[:10]) for w in found] == [
        ("2026-11-13", "2026-11-23"),
        ("2026-11-03", "2026-11-13"),
        ("2026-10-25", "2026-11-03"),
    ]
    assert found[0].request.parameters["ResultSize"] == MOST_ROWS


def test_a_full_page_goes_on_at_its_last_row_and_a_short_one_is_the_last() -> None:
    window = Window("2026-11-13T00:00:00Z", "2026-11-23T00:00:00Z")
    rows = [_row(14)] * MOST_ROWS
    further = window.after(rows)
    assert further == Window(window.begin, rows[-1]["Received"], "a@contoso.com")
    assert further.request.parameters["StartingRecipientAddress"] == "a@contoso.com"
    assert further.after(rows) is None, "the same page again: it would not move"
    assert window.after(rows[:-1]) is None


def test_one_message_of_each_sender_and_address_is_looked_into_those_with_most_mail_first() -> None:
    rows = [_row(1), _row(2), _row(3, ip="203.0.113.10"), _row(4, "news@fabrikam.com"), _row(5, ip=""), _row(6, "<>")]
    found = samples(rows, _DOMAINS)
    assert [(pair, row["MessageTraceId"]) for pair, row in found.items()] == [
        (("203.0.113.9", "scan@contoso.com"), "id2"),
        (("203.0.113.10", "scan@contoso.com"), "id3"),
    ]


def test_the_receive_event_names_the_connector_and_the_version_of_tls() -> None:
    data = (
        '<root><MEP Name="CustomData" Blob="S:ProxyHop1=EDGE(10.1.1.1);S:tlsversion=SP_PROT_TLS1_2_SERVER;'
        'S:InboundConnectorData=Name=HQ &amp; plant;ConnectorType=OnPremises" /></root>'
    )
    assert taken([{"Event": "Submit", "Data": data}, {"Event": "RECEIVE", "Data": data}]) == Taken("HQ & plant", "1.2")
    assert taken([{"Event": "Receive", "Data": "<root/>"}]) == Taken("", "none")
    assert taken([{"Event": "Deliver"}]) is None


def test_a_message_counts_once_however_many_recipients_and_whatever_page_repeats_it() -> None:
    rows = [_row(1), _row(1, RecipientAddress="x@fabrikam.com", Status="Failed"), _row(1), _row(2)]
    found = list(decode(rows, {("203.0.113.9", "scan@contoso.com"): Taken("hq", "1.2")}, _DOMAINS))
    assert sum(o.messages for o in found) == 2
    assert [(o.recipients, o.code) for o in found] == [("inside", ""), ("outside", "Failed"), ("inside", "")]
    assert {(o.connector, o.tls) for o in found} == {("hq", "1.2")}
    assert found[0].first == "2026-11-01T08:15:00Z"


def test_without_the_accepted_domains_nobody_is_left_out_and_inside_is_not_told() -> None:
    found = list(decode([_row(1), _row(2, "news@fabrikam.com")], {}, None))
    assert [(o.sender, o.recipients, o.connector) for o in found] == [
        ("scan@contoso.com", "", None),
        ("news@fabrikam.com", "", None),
    ]
