"""What the fault loop does to a request: every deed of the sandbox, empty bodies, wrong shapes and cycles, by front."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

MOST_BYTES = 2**20
"""The limit of an answer in the loop's runs: a true one is far below, and a bomb need not be large."""
Do = dict[str, Any]

_CUT: Mapping[str, Do] = {
    "close": {"close": True},
    "carried out, then closed": {"run_then_close": True},
    "cut short": {"truncate": 25},
    "empty body": {"status": 200},
    "HTML": {"html": True},
    "text": {"status": 200, "body": "OK"},
    "bomb": {"inflate": 8 * MOST_BYTES},
    "byte by byte": {"drip": 0.2},
    "redirected": {"status": 307, "headers": {"Location": "https://elsewhere.example/x"}},
    "redirected over http": {"status": 302, "headers": {"Location": "http://127.0.0.1/x"}},
    "401": {"status": 401},
    "403": {"status": 403},
    "404": {"status": 404},
    "429": {"status": 429, "headers": {"Retry-After": "3"}},
    "500": {"status": 500},
    "502": {"status": 502, "body": "Bad Gateway"},
    "503 until a date": {"status": 503, "headers": {"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}},
    "504": {"status": 504},
}
"""For whatever speaks HTTP."""

_JSON: Mapping[str, Do] = {
    "not JSON": {"status": 200, "body": '{"value": ['},
    "a list": {"status": 200, "body": []},
    "null": {"status": 200, "body": "null"},
    "nothing in it": {"status": 200, "body": {}},
    "no rows": {"status": 200, "body": {"@odata.context": "x"}},
    "rows are null": {"status": 200, "body": {"value": None}},
    "rows are text": {"status": 200, "body": {"value": "x"}},
    "a row without its key": {"status": 200, "body": {"value": [{}]}},
    "a row is a number": {"status": 200, "body": {"value": [1]}},
    "a row of odd values": {"status": 200, "body": '{"value": [{"Name": {"a": 1}, "id": [], "Guid": "\\ud800"}]}'},
    "a row of half a character": {"status": 200, "body": '{"value": [{"Name": "\\ud800", "id": "x", "Guid": "y"}]}'},
    "pages of another host": {"status": 200, "body": {"value": [], "@odata.nextLink": "https://elsewhere.example/x"}},
    "a link that is not text": {"status": 200, "body": {"value": [], "@odata.nextLink": {"a": 1}}},
    "deep": {"status": 200, "body": "[" * 100_000},
    "odd error": {"status": 400, "body": {"error": {"details": ["text"], "innererror": "x", "message": {}}}},
    "error of text": {"status": 418, "body": {"error": "text"}},
}
_BESIDE: Mapping[str, Do] = {
    "an error beside the rows": {"adminapi_errors": ["Something went wrong."]},
    "read misses it for a while": {"read_after_write_404": 2},
}


def _stream(content: bytes) -> str:
    """Output in the answer to a Receive (MS-WSMV 3.1.4.14)."""
    return f'<rsp:Stream Name="stdout">{base64.b64encode(content).decode()}</rsp:Stream>'


def _received(inside: str) -> str:
    return f"<rsp:ReceiveResponse>{inside}</rsp:ReceiveResponse>"


def _fragment(flags: int, content: bytes) -> bytes:
    """A fragment of an object (MS-PSRP 2.2.4): 1 begins it, 2 ends it."""
    return struct.pack(">QQBI", 7_000, 0, flags, len(content)) + content


def _message(kind: int, content: bytes) -> bytes:
    """A message of remote PowerShell to a client (MS-PSRP 2.2.1), of no pool and no pipeline."""
    return struct.pack("<II", 1, kind) + bytes(32) + content


_STATE = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState"
_AGAIN = (
    "<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:TimedOut</s:Value></s:Subcode></s:Code>"
    '<s:Reason><s:Text xml:lang="en-US">Come again.</s:Text></s:Reason><s:Detail><f:WSManFault '
    'xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="2150858793" Machine="x"><f:Message>Come '
    "again.</f:Message></f:WSManFault></s:Detail></s:Fault>"
)
_SOAP: Mapping[str, Do] = {
    "not XML": {"status": 200, "body": "<s:Envelope"},
    "other XML": {"status": 200, "body": "<x/>"},
    "deep": {"status": 200, "body": "<x>" * 20_000 + "</x>" * 20_000},
    "entities": {
        "status": 200,
        "body": '<!DOCTYPE x [<!ENTITY i "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {name} "{10 * f"&{part};"}">' for name, part in zip("abcdefgh", "bcdefghi", strict=True))
        + "]><x>&a;</x>",
    },
    "nothing in the envelope": {"soap": ""},
    "something else in the envelope": {"soap": "<x/>"},
    "a fault without facts": {"soap": "<s:Fault/>"},
    "asked to come again": {"soap": _AGAIN, "delay": 0.2},
    "still running": {"soap": _received(""), "delay": 0.2},
    "done without output": {"soap": _received(f'<rsp:CommandState State="{_STATE}/Done"/>')},
    "an unknown state": {"soap": _received('<rsp:CommandState State="x"/>')},
    "output that is not base64": {"soap": _received('<rsp:Stream Name="stdout">%%%</rsp:Stream>')},
    "half a fragment": {"soap": _received(_stream(b"\0" * 9))},
    "an object without its end": {"soap": _received(_stream(_fragment(1, b"x" * 99)))},
    "an object that is not a message": {"soap": _received(_stream(_fragment(3, b"x")))},
    "a message of an unknown kind": {"soap": _received(_stream(_fragment(3, _message(1, b"<S>x</S>"))))},
    "a message that is not XML": {"soap": _received(_stream(_fragment(3, _message(0x41004, b"<Obj"))))},
    "output of nobody's": {"soap": _received(_stream(_fragment(3, _message(0x41004, b"<S>x</S>"))))},
}
"""Bodies that WS-Management and remote PowerShell do not know, and cycles. What has `soap` is carried out first."""

_OUTPUTS: Mapping[str, Do] = {
    "close": {"close": True},
    "carried out, then closed": {"run_then_close": True},
    "failed without an error": {"end": "Failed"},
    "stopped without an error": {"end": "Stopped"},
    "429": {"status": 429},
    "an error beside the rows": {"adminapi_errors": ["Something went wrong."]},
    "no rows": {"rows": []},
    "a row without its key": {"rows": [{}]},
    "a row is text": {"rows": ["text"]},
    "a row is a number": {"rows": [1]},
    "a row is null": {"rows": [None]},
    "a row of odd values": {"rows": [{"Name": {"a": 1}, "Guid": []}]},
}
_PACKETS: Mapping[str, Do] = {"SERVFAIL": {"status": 2}, "REFUSED": {"status": 5}, "silence": {"close": True}}
DEEDS: Mapping[str, Mapping[str, Do]] = {
    "exchange": {**_CUT, **_JSON, **_BESIDE},
    "graph": {**_CUT, **_JSON},
    "entra": {**_CUT, **_JSON},
    "wsman": {**_CUT, **_SOAP},
    "psrp": _OUTPUTS,
    "dns": _PACKETS,
}
LASTING = frozenset({"close", "429", "500", "503 until a date", "504", "asked to come again", "still running"})
"""What is tried again, and so is also done at every request from there on."""
CUT = frozenset({*_CUT, "failed without an error", "stopped without an error"})
"""What comes instead of an answer: what it does has nothing to do with what the answer would have been."""
UNCLEAR = frozenset({
    "close", "carried out, then closed", "cut short", "byte by byte", "504", "500", "502", "bomb", "deep",
    "failed without an error", "stopped without an error",
})  # fmt: skip
"""After these a Set, which says what is to be, may be sent again."""


def is_slow(do: Do) -> bool:
    """Whether it ends by the time limit of a request only."""
    return not {"drip", "delay", "soap"}.isdisjoint(do)
