"""What became of a message, by the rows and events of a trace."""

from __future__ import annotations

import pytest

from provisioner.resources.rows import message_trace
from provisioner.resources.rows.message_trace import Fate

TO = {"MessageTraceId": "11111111-0000-4000-8000-000000000001", "RecipientAddress": "Anna@contoso.com"}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("Delivered", "delivered"), ("Expanded", "expanded"), ("Failed", "failed"), ("FilteredAsSpam", "junk"),
        ("Quarantined", "quarantine"), ("Pending", "pending"), ("GettingStatus", "pending"), ("Resolved", "pending"),
        (None, "pending"),
    ],
)  # fmt: skip
def test_a_status_is_a_state_and_an_unknown_one_is_waited_for(status: str | None, state: str) -> None:
    (fate,) = message_trace.fates([{**TO, "FromIP": "93.184.216.10", "Status": status}])
    assert fate == Fate(TO["MessageTraceId"], "anna@contoso.com", state, "93.184.216.10")


@pytest.mark.parametrize(
    ("state", "event", "detail", "found"),
    [
        ("delivered", "Deliver", "… delivered to the folder: DefaultFolderType:JunkEmail", "junk"),
        ("delivered", "Deliver", "… delivered to the folder: DefaultFolderType:Inbox", "delivered"),
        ("delivered", "Spam", "DefaultFolderType:JunkEmail", "delivered"),
        ("quarantine", "Deliver", "… DefaultFolderType:QuarantinedEmailSecured", "quarantine"),
    ],
)
def test_the_folder_tells_junk_from_delivered(state: str, event: str, detail: str, found: str) -> None:
    fate = message_trace.detailed(Fate("1", "a@contoso.com", state), [{"Event": event, "Detail": detail}])
    assert (fate.state, fate.external) == (found, False)


def test_the_reason_of_a_failure_is_the_last_error_alone() -> None:
    events = [
        {"Event": "Receive", "Detail": "Message received by: X"},
        {"Event": "Fail", "Detail": "Reason: [{LED=550 5.1.10 RecipientNotFound};{MSG=};{FQDN=};{IP=};{LRT=}]"},
    ]
    assert message_trace.detailed(Fate("1", "a@contoso.com", "failed"), events).detail == "550 5.1.10 RecipientNotFound"
    sent = message_trace.detailed(Fate("1", "a@x.com", "delivered"), [{"Event": "Send external", "Detail": "to mx"}])
    assert (sent.external, sent.detail) == (True, "to mx")


def test_a_message_is_asked_for_by_its_id_and_its_events_by_both_ids() -> None:
    assert message_trace.request("<a@b>").parameters == {"MessageId": ("<a@b>",)}
    asked = message_trace.detail_request(Fate("1", "a@contoso.com", "failed"))
    assert asked.parameters == {"MessageTraceId": "1", "RecipientAddress": "a@contoso.com"}
