"""The control front: what it does to the tenant, and what it refuses."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import pytest

from provisioner.sandbox.server import apply_seed
from provisioner.sandbox.tenant import Tenant
from tests.clocks import until
from tests.sandbox.conftest import Running


def test_only_the_control_token_opens_it(sandbox: Running) -> None:
    with sandbox.http() as client:
        for value in ("", "Bearer wrong", "Bearer x y", "Basic YTpi"):
            headers = {"Authorization": value} if value else {}
            assert client.get(sandbox.endpoints["control"] + "/dump", headers=headers).status_code == 401


def test_health_says_which_tenant_answers(sandbox: Running) -> None:
    answer = sandbox.control("GET", "/health").json()
    assert (answer["status"], answer["tenant_id"]) == ("ok", sandbox.tenant_id)
    sandbox.token("https://graph.microsoft.com/.default")
    assert sandbox.control("GET", "/health").json()["requests"] == answer["requests"] + 1


def test_a_dump_loads_again_to_the_same_dump(sandbox: Running) -> None:
    first = sandbox.control("GET", "/dump").json()
    assert sandbox.control("POST", "/load", first).status_code == 200
    second = sandbox.control("GET", "/dump").json()
    assert {key: second[key] for key in second if key != "clock"} == {
        key: first[key] for key in first if key != "clock"
    }


def test_the_rows_of_one_noun_are_those_of_the_dump(sandbox: Running) -> None:
    connector = {"Name": "hq", "ConnectorType": "Partner", "SenderDomains": ["x.example"]}
    sandbox.control("POST", "/cmdlet", {"name": "New-InboundConnector", "parameters": connector})
    whole = sandbox.control("GET", "/dump").json()["objects"]
    for noun in ("InboundConnector", "AcceptedDomain", "CASMailbox"):
        assert sandbox.control("GET", f"/objects/{noun}").json() == whole[noun], noun
    assert sandbox.control("GET", "/objects/Nonsense").json() == []


def test_a_dump_holds_no_secret(sandbox: Running) -> None:
    text = sandbox.control("GET", "/dump").text
    assert sandbox.secret() not in text
    assert "PRIVATE KEY" not in text


def test_the_clock_goes_forward_only_when_asked(sandbox: Running) -> None:
    before = dt.datetime.fromisoformat(sandbox.control("GET", "/health").json()["time"])
    after = dt.datetime.fromisoformat(sandbox.control("POST", "/clock", {"advance": 86400}).json()["time"])
    assert dt.timedelta(days=1) <= after - before < dt.timedelta(days=1, hours=1)


def test_a_cmdlet_runs_as_a_global_administrator(sandbox: Running) -> None:
    def get() -> object:
        body = {"name": "Get-TransportConfig", "parameters": {}}
        return sandbox.control("POST", "/cmdlet", body).json()["rows"][0]["SmtpClientAuthenticationDisabled"]

    for value in (True, False):
        body = {"name": "Set-TransportConfig", "parameters": {"SmtpClientAuthenticationDisabled": value}}
        assert sandbox.control("POST", "/cmdlet", body).status_code == 200
        assert get() is value
    refused = sandbox.control(
        "POST", "/cmdlet", {"name": "Get-InboundConnector", "parameters": {"Identity": "no such"}}
    )
    assert refused.status_code == 404
    assert "no such" in refused.json()["error"]


def test_requests_are_logged_with_who_asked_and_without_secrets(sandbox: Running) -> None:
    assert sandbox.control("DELETE", "/requests").status_code == 204
    sandbox.token("https://graph.microsoft.com/.default")
    rows = sandbox.control("GET", "/requests").json()
    assert [(row["front"], row["method"], row["status"]) for row in rows] == [("entra", "POST", 200)]
    assert rows[0]["path"].endswith("/oauth2/v2.0/token")
    assert sandbox.control("GET", f"/requests?since={rows[0]['n']}").json() == []
    assert sandbox.secret() not in (sandbox.state / "requests.jsonl").read_text()


def test_a_fault_strikes_once_and_goes_away(sandbox: Running) -> None:
    rule = {"front": "entra", "match": {"path": "/token"}, "times": 1, "do": {"status": 503, "body": {"x": 1}}}
    assert sandbox.control("POST", "/faults", [rule, rule]).json() == {"added": 2}
    url = f"{sandbox.endpoints['authority']}/{sandbox.tenant_id}/oauth2/v2.0/token"
    with sandbox.http() as client:
        assert client.post(url, data={}).status_code == 503
        assert sandbox.control("DELETE", "/faults").status_code == 204
        assert client.post(url, data={}).status_code == 400


def test_a_fault_can_hold_a_request_until_the_faults_are_lifted(sandbox: Running) -> None:
    rule = {"front": "entra", "match": {"path": "/token"}, "do": {"hold": True}}
    sandbox.control("POST", "/faults", rule)
    url = f"{sandbox.endpoints['authority']}/{sandbox.tenant_id}/oauth2/v2.0/token"
    answers: list[int] = []

    def ask() -> None:
        with sandbox.http() as client:
            answers.append(client.post(url, data={}, timeout=120).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: [r["times"] for r in sandbox.control("GET", "/faults").json()] == [0])
    assert answers == []
    assert sandbox.control("DELETE", "/faults").status_code == 204
    asking.join(120)
    assert answers == [400]
    assert sandbox.control("GET", "/faults").json() == []


def test_a_reset_puts_the_tenant_back_to_the_start(sandbox: Running) -> None:
    assert sandbox.control("POST", "/reset").status_code == 204
    first = sandbox.control("GET", "/dump").json()
    sandbox.control("POST", "/clock", {"advance": 60})
    sandbox.control("POST", "/lag", {"seconds": 3})
    sandbox.control("POST", "/dns", {"name": "new.example", "type": "TXT", "values": ["x"]})
    sandbox.control("POST", "/faults", {"front": "graph", "do": {"status": 503}})
    connector = {"Name": "hq", "ConnectorType": "Partner", "SenderDomains": ["x.example"]}
    sandbox.control("POST", "/cmdlet", {"name": "New-InboundConnector", "parameters": connector})
    sandbox.control("POST", "/load", {"sandbox": 1, "mailboxes": ["new@contoso.com"]})
    assert sandbox.control("GET", "/dump").json() != first
    assert sandbox.control("POST", "/reset").status_code == 204
    assert sandbox.control("GET", "/dump").json() == first
    assert sandbox.control("GET", "/faults").json() == []
    sandbox.token("https://graph.microsoft.com/.default")


def test_lag_is_set_and_taken_away(sandbox: Running) -> None:
    assert sandbox.control("POST", "/lag", {"seconds": 3}).status_code == 204
    assert sandbox.control("POST", "/lag", {"seconds": 0}).status_code == 204


def test_half_of_a_character_is_refused(sandbox: Running) -> None:
    """No state could keep it, and no front give it back."""
    token = Path(sandbox.endpoints["control_token_file"]).read_text()
    with sandbox.http() as client:
        answer = client.post(
            sandbox.endpoints["control"] + "/load",
            headers={"Authorization": f"Bearer {token}"},
            content=b'{"sandbox": 1, "mailboxes": [{"address": "a@contoso.com", "name": "\\ud800"}]}',
        )
    assert (answer.status_code, answer.json()["error"]) == (400, "the body is not JSON")


@pytest.mark.parametrize("value", ["\ud800", 10**30])
def test_a_seed_whose_state_could_not_be_kept_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="another shape"):
        apply_seed(Tenant(), {"sandbox": 1, "objects": {"InboundConnector": [{"Name": "hq", "Comment": value}]}})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/clock", {}),
        ("/clock", {"advance": "soon"}),
        ("/clock", []),
        ("/cmdlet", {"parameters": {}}),
        ("/dns", {"name": "contoso.com", "type": "MX", "values": ["nonsense"]}),
        ("/dns", {"name": "contoso.com", "type": "MX"}),
        ("/lag", {"seconds": -1}),
        ("/load", "text"),
        ("/load", {"sandbox": 1, "tenant": "x"}),
        ("/load", {"sandbox": 1, "settings": {"changed": True}, "apps": ["x"]}),
        ("/load", {"sandbox": 1, "apps": [{"appId": "../elsewhere"}]}),
        ("/load", {"sandbox": 1, "apps": [{"secrets": "x"}]}),
        ("/load", {"sandbox": 1, "dump": True}),
    ],
)
def test_bad_bodies_are_refused_with_a_reason(sandbox: Running, path: str, body: object) -> None:
    before = sandbox.control("GET", "/dump").json()
    answer = sandbox.control("POST", path, body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert sandbox.control("GET", "/dump").json() == before
