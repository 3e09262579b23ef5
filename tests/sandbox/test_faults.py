"""Scripted faults and the log, before a plain application on a real socket."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from provisioner.sandbox.clock import Clock
from provisioner.sandbox.faults import Faults, struck
from tests.sandbox.serving import Served, served


@dataclass
class Fronted:
    """A front behind its faults; `ran` counts how often the application itself was reached, `waited` its delays."""

    faults: Faults
    port: int
    ran: list[str] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def get(self, path: str = "/users", method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture
def front(server: Served, tmp_path: Path) -> Iterator[Fronted]:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    fronted = Fronted(Faults(Clock(), tmp_path / "requests.jsonl", sleep), server.port, waited=waited)

    async def users(request: Request) -> Response:
        fronted.ran.append(request.method)
        return JSONResponse({"value": ["x" * 100]})

    app = Starlette(routes=[Route("/users", users, methods=["GET", "PATCH"])])
    server.app = fronted.faults.wrap(app, "graph")
    yield fronted
    fronted.faults.close()


def rule(**options: Any) -> dict[str, Any]:
    return {"front": "graph", **options}


def test_without_a_rule_a_request_goes_through(front: Fronted) -> None:
    assert front.get()[0] == 200
    assert front.get("/nowhere")[0] == 404


def test_a_rule_lets_some_pass_strikes_some_and_is_done(front: Fronted) -> None:
    front.faults.add(rule(after=1, times=2, do={"status": 503}))
    assert [front.get()[0] for _ in range(5)] == [200, 503, 503, 200, 200]
    assert len(front.ran) == 3


def test_a_rule_without_an_end_strikes_until_it_is_lifted(front: Fronted) -> None:
    front.faults.add(rule(times=None, do={"status": 500}))
    assert {front.get()[0] for _ in range(4)} == {500}
    front.faults.clear()
    assert front.get()[0] == 200


@pytest.mark.parametrize(
    ("match", "struck_path", "struck_method"),
    [({"path": "USERS?$top"}, "/users?$top=1", "GET"), ({"method": "patch"}, "/users", "PATCH")],
)
def test_a_rule_strikes_only_what_it_matches(
    front: Fronted, match: dict[str, str], struck_path: str, struck_method: str
) -> None:
    front.faults.add(rule(match=match, times=None, do={"status": 418}))
    assert front.get("/users")[0] == 200
    assert front.get(struck_path, struck_method)[0] == 418


def test_a_rule_of_another_front_does_not_strike(front: Fronted) -> None:
    front.faults.add({"front": "exchange", "times": None, "do": {"status": 500}})
    assert front.get()[0] == 200


def test_a_scripted_answer_has_its_headers_and_its_body(front: Fronted) -> None:
    front.faults.add(rule(do={"status": 429, "headers": {"Retry-After": 7}, "body": "slow down"}))
    status, headers, body = front.get()
    assert (status, headers["retry-after"], body) == (429, "7", b"slow down")
    front.faults.add(rule(do={"status": 429}))
    assert json.loads(front.get()[2])["error"]["code"] == "TooManyRequests"
    front.faults.add(rule(do={"status": 400, "body": {"error": {"code": "Mine"}}}))
    assert json.loads(front.get()[2]) == {"error": {"code": "Mine"}}


def test_a_cut_connection_has_no_answer_and_nothing_ran(front: Fronted) -> None:
    front.faults.add(rule(do={"close": True}))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        front.get()
    assert front.ran == []
    assert front.get()[0] == 200


def test_a_request_can_run_and_its_answer_be_lost(front: Fronted) -> None:
    front.faults.add(rule(do={"run_then_close": True}))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        front.get(method="PATCH")
    assert front.ran == ["PATCH"]
    entry = front.faults.requests_since(0)[0]
    assert (entry["executed"], entry["status"], entry["write"]) == (True, None, True)


def test_an_answer_can_be_html(front: Fronted) -> None:
    front.faults.add(rule(do={"html": True}))
    status, headers, body = front.get()
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert body.startswith(b"<!DOCTYPE html>")


def test_an_answer_can_be_cut_in_the_middle(front: Fronted) -> None:
    front.faults.add(rule(do={"truncate": 20}))
    status, headers, body = front.get()
    assert (status, headers["content-length"]) == (200, "20")
    assert headers["content-type"] == "application/json"
    assert body == b'{"value":["xxxxxxxxx'


def test_an_answer_can_be_late(front: Fronted) -> None:
    front.faults.add(rule(do={"delay": 0.2}))
    assert front.get()[0] == 200
    assert front.waited == [0.2]


def test_the_log_holds_each_request_with_its_number(front: Fronted, tmp_path: Path) -> None:
    front.faults.add(rule(match={"method": "PATCH"}, do={"status": 503}))
    front.get("/users?$select=id")
    front.get(method="PATCH")
    read, struck_one = front.faults.requests_since(0)
    assert (read["n"], read["front"], read["method"], read["path"]) == (1, "graph", "GET", "/users?$select=id")
    assert (read["status"], read["executed"], read["write"]) == (200, True, False)
    assert (struck_one["status"], struck_one["executed"], struck_one["write"]) == (503, False, True)
    front.faults.clear_requests()
    assert front.faults.requests_since(0) == []
    front.get()
    assert [entry["n"] for entry in front.faults.requests_since(0)] == [3]
    assert len((tmp_path / "requests.jsonl").read_text().splitlines()) == 3


def test_a_front_without_http_asks_for_its_deed_itself() -> None:
    faults = Faults(Clock())
    faults.add({"front": "dns", "match": {"path": "contoso.com", "method": "TXT"}, "do": {"delay": 1}})
    assert faults.take("dns", method="MX", path="contoso.com") == {}
    assert faults.take("dns", method="TXT", path="_dmarc.Contoso.com") == {"delay": 1}
    assert faults.take("dns", method="TXT", path="contoso.com") == {}


def test_what_may_be_a_secret_is_struck() -> None:
    sent = {"Identity": "a", "NewPassword": "x", "ClientSecret": "y", "AccessToken": "z"}
    assert struck(sent) == {"Identity": "a", "NewPassword": "***", "ClientSecret": "***", "AccessToken": "***"}
    assert struck(None) is None


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {},
        {"front": "graph"},
        {"front": "graph", "do": {}},
        {"front": "mars", "do": {"status": 500}},
        {"front": "graph", "do": {"explode": True}},
        {"front": "graph", "do": {"status": 500}, "match": {"colour": "red"}},
        {"front": "graph", "do": {"status": 500}, "match": []},
        {"front": "graph", "do": {"status": 500}, "times": "often"},
        {"front": "graph", "do": {"status": 500}, "when": 1},
    ],
)
def test_a_rule_of_another_form_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="fault"):
        Faults(Clock()).add(bad)


def test_a_flood_is_a_document_of_at_least_so_many_bytes_without_a_length(front: Fronted) -> None:
    front.faults.add(rule(do={"flood": 200_000}))
    status, headers, body = front.get()
    assert status == 200
    assert "content-length" not in headers
    assert 190_000 < len(body) < 210_000
    assert json.loads(body) == {"value": []}
    assert front.ran == []


def test_a_bomb_is_small_until_it_is_unpacked(front: Fronted) -> None:
    front.faults.add(rule(do={"inflate": 1_000_000}))
    _, headers, body = front.get()
    assert headers["content-encoding"] == "gzip"
    assert len(body) < 10_000
    assert json.loads(gzip.decompress(body)) == {"value": []}


def test_a_dripping_answer_is_the_true_one_byte_by_byte(front: Fronted) -> None:
    front.faults.add(rule(do={"drip": 0.0001}))
    _, headers, body = front.get()
    assert "content-length" not in headers
    assert json.loads(body) == {"value": ["x" * 100]}
    assert front.ran == ["GET"]


def test_a_client_that_has_had_enough_ends_a_dripping_answer(front: Fronted) -> None:
    front.faults.add(rule(do={"drip": 0.02}))
    with closing(http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)) as connection:
        connection.request("GET", "/users")
        assert connection.getresponse().read(3)
    assert front.get()[0] == 200
