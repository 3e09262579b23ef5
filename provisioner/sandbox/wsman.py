"""WS-Management as remote PowerShell uses it: SOAP requests to plain facts, facts to SOAP answers. No I/O.

Only the verbs of a shell are known (MS-WSMV 3.1.4): Create, Command, Send, Receive, Signal, Delete, and Get, by which
clients ask whether a shell lives. What the base64 payloads mean is PSRP's affair (psrp.py).
"""

from __future__ import annotations

import base64
import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
POWERSHELL = "http://schemas.microsoft.com/powershell"
FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"

CONTENT_TYPE = "application/soap+xml;charset=UTF-8"
LARGEST_ENVELOPE_BYTES = 512_000  # MaxEnvelopeSizekb of WinRM 3.0 and later

_ACTIONS = {
    f"{TRANSFER}/Create": "Create",
    f"{TRANSFER}/Delete": "Delete",
    f"{TRANSFER}/Get": "Get",
    f"{SHELL}/Command": "Command",
    f"{SHELL}/Send": "Send",
    f"{SHELL}/Receive": "Receive",
    f"{SHELL}/Signal": "Signal",
}
_DURATION = re.compile(r"^PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?$")
_DEFAULT_TIMEOUT_S = 60.0


class WsmanFault(Exception):
    """A refusal of WS-Management. `code` is the Win32 error that clients go by, `subcode` the SOAP name of it."""

    def __init__(self, code: int, subcode: str, text: str, message_id: str = "", status: int = 500) -> None:
        super().__init__(text)
        self.code, self.subcode, self.text, self.message_id, self.status = code, subcode, text, message_id, status


def timed_out(message_id: str = "") -> WsmanFault:
    """No output within OperationTimeout: the client asks again (ERROR_WSMAN_OPERATION_TIMEDOUT)."""
    text = "The WS-Management service cannot complete the operation within the time specified in OperationTimeout."
    return WsmanFault(2150858793, "w:TimedOut", text, message_id)


def no_such_shell(shell_id: str) -> WsmanFault:
    """A shell that has ended or never was (ERROR_WINRS_SHELL_DOES_NOT_EXIST)."""
    text = (
        f"The request for the Windows Remote Shell with ShellId {shell_id} failed because the shell was not found on "
        "the server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the "
        "server. Provide the correct ShellId or create a new shell and retry the operation."
    )
    return WsmanFault(2150858843, "w:InvalidSelectors", text)


def too_many_shells(quota: int) -> WsmanFault:
    """MaxShellsPerUser (ERROR_WSMAN_QUOTA_MAX_SHELLS; text as WinRM gives it, hashicorp/vagrant 7489)."""
    text = (
        f"The WS-Management service cannot process the request. This user is allowed a maximum number of {quota} "
        "concurrent shells, which has been exceeded. Close existing shells or raise the quota for this user. "
    )
    return WsmanFault(2150859173, "w:QuotaLimit", text)


def unknown_configuration(uri: str) -> WsmanFault:
    """A session configuration that is not registered (ERROR_WSMAN_INVALID_RESOURCE_URI)."""
    name = uri.rpartition("/")[2]
    text = (
        f"The WS-Management service cannot process the request. Cannot find the {name} session configuration in the "
        "WSMan: drive on the sandbox computer. "
    )
    return WsmanFault(2150858752, "w:DestinationUnreachable", text)


def unsupported(action: str) -> WsmanFault:
    """An action that is not part of a shell's life (ERROR_WSMAN_ACTION_NOT_SUPPORTED)."""
    text = f"The WS-Management service cannot process the request because the action URI {action} is not supported."
    return WsmanFault(2150858755, "w:ActionNotSupported", text)


def invalid(text: str, message_id: str = "") -> WsmanFault:
    """Something that is not a WS-Management request (ERROR_WSMAN_SOAP_INVALID_XML and its like)."""
    return WsmanFault(2150858817, "w:SchemaValidationError", text, message_id)


@dataclass(frozen=True, slots=True)
class WsmanRequest:
    """One request. `payloads` are the decoded base64 texts of its body in order; `timeout_s` its OperationTimeout."""

    action: str
    message_id: str
    resource_uri: str = ""
    shell_id: str = ""
    command_id: str = ""
    timeout_s: float = _DEFAULT_TIMEOUT_S
    largest_bytes: int = LARGEST_ENVELOPE_BYTES
    signal: str = ""
    payloads: tuple[bytes, ...] = field(default=(), repr=False)


def parse(body: bytes) -> WsmanRequest:
    """Read a request. Raises WsmanFault for anything that is none."""
    if len(body) > LARGEST_ENVELOPE_BYTES:
        raise invalid(f"The envelope is larger than {LARGEST_ENVELOPE_BYTES} bytes.")
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise invalid("The SOAP XML must not have a document type.")
    try:
        envelope = ET.fromstring(body)  # noqa: S314 - no document type, so no entities
    except ET.ParseError as error:
        raise invalid(f"The SOAP XML in the message does not match the corresponding XML schema: {error}.") from None
    header, content = envelope.find(f"{{{SOAP}}}Header"), envelope.find(f"{{{SOAP}}}Body")
    if header is None or content is None:
        raise invalid("The SOAP message has no header or no body.")
    message_id = _text(header, f"{{{ADDRESSING}}}MessageID")
    action = _text(header, f"{{{ADDRESSING}}}Action")
    if action not in _ACTIONS:
        fault = unsupported(action)
        fault.message_id = message_id
        raise fault
    try:
        return WsmanRequest(
            _ACTIONS[action],
            message_id,
            _text(header, f"{{{WSMAN}}}ResourceURI"),
            _selector(header, "ShellId"),
            _command_id(content),
            _seconds(_text(header, f"{{{WSMAN}}}OperationTimeout")),
            min(int(_text(header, f"{{{WSMAN}}}MaxEnvelopeSize") or LARGEST_ENVELOPE_BYTES), LARGEST_ENVELOPE_BYTES),
            _text(content, f"{{{SHELL}}}Signal/{{{SHELL}}}Code"),
            tuple(_payloads(content)),
        )
    except ValueError as error:
        raise invalid(f"A value in the message is not valid: {error}.", message_id) from None


def _text(element: ET.Element, path: str) -> str:
    found = element.find(path)
    return (found.text or "").strip() if found is not None else ""


def _selector(header: ET.Element, name: str) -> str:
    for selector in header.iterfind(f"{{{WSMAN}}}SelectorSet/{{{WSMAN}}}Selector"):
        if selector.get("Name") == name:
            return (selector.text or "").upper()
    return ""


def _command_id(content: ET.Element) -> str:
    """CommandId stands as an attribute, on another element for each verb."""
    return next((e.attrib["CommandId"].upper() for e in content.iter() if "CommandId" in e.attrib), "")


def _payloads(content: ET.Element) -> Iterable[bytes]:
    for path in (
        f".//{{{POWERSHELL}}}creationXml",
        f".//{{{SHELL}}}Arguments",
        f".//{{{SHELL}}}Send/{{{SHELL}}}Stream",
    ):
        for element in content.iterfind(path):
            yield base64.b64decode(element.text or "", validate=False)


def _seconds(text: str) -> float:
    """An xs:duration of hours, minutes and seconds, as clients send it."""
    found = _DURATION.match(text)
    if not found or text == "PT":
        return _DEFAULT_TIMEOUT_S
    return int(found[1] or 0) * 3600 + int(found[2] or 0) * 60 + float(found[3] or 0)


_ACTION = re.compile(rb"Action[^>]*>([^<]+)<")
_COMMAND_ID = re.compile(rb'CommandId="([^"]+)"')
_ARGUMENTS = re.compile(rb"Arguments[^>]*>([^<]+)<")
_CMD = re.compile(rb'<S N="Cmd">(\w+-\w+)</S>')
_BETWEEN = frozenset({"Select-Object"})


class Pipelines:
    """What goes by on a host: the verb of each request, and which cmdlets the pipeline runs that it belongs to."""

    def __init__(self) -> None:
        self._runs: dict[bytes, tuple[str, ...]] = {}

    def glimpse(self, body: bytes) -> tuple[str, tuple[str, ...]]:
        """The verb and the cmdlets of a request; what cannot be read is POST. Select-Object, which separates, is none.

        A Command carries its pipeline (CREATE_PIPELINE of MS-PSRP 2.2.2.10) in base64; what is about it has its id.
        """
        action, command = _ACTION.search(body), _COMMAND_ID.search(body)
        verb = _ACTIONS.get(action[1].decode("latin-1").strip(), "POST") if action else "POST"
        if command is None:
            return verb, ()
        if verb == "Command" and (arguments := _ARGUMENTS.search(body)) is not None:
            names = (name.decode() for name in _CMD.findall(base64.b64decode(arguments[1], validate=False)))
            self._runs[command[1]] = tuple(name for name in dict.fromkeys(names) if name not in _BETWEEN)
        found = self._runs.get(command[1], ())
        if verb == "Signal":
            self._runs.pop(command[1], None)
        return verb, found


# --- answers ---------------------------------------------------------------------------------------------------------


def created(request: WsmanRequest, shell_id: str, owner: str) -> bytes:
    """The answer to Create: the selector by which the shell is meant from now on."""
    resource = escape(request.resource_uri)
    body = (
        f'<x:ResourceCreated xmlns:x="{TRANSFER}"><a:Address>{ADDRESSING}/role/anonymous</a:Address>'
        f"<a:ReferenceParameters><w:ResourceURI>{resource}</w:ResourceURI>"
        f'<w:SelectorSet><w:Selector Name="ShellId">{shell_id}</w:Selector></w:SelectorSet>'
        "</a:ReferenceParameters></x:ResourceCreated>"
        f"<rsp:Shell><rsp:ShellId>{shell_id}</rsp:ShellId><rsp:ResourceUri>{resource}</rsp:ResourceUri>"
        f"<rsp:Owner>{escape(owner)}</rsp:Owner><rsp:ClientIP>127.0.0.1</rsp:ClientIP>"
        "<rsp:IdleTimeOut>PT7200.000S</rsp:IdleTimeOut><rsp:InputStreams>stdin pr</rsp:InputStreams>"
        "<rsp:OutputStreams>stdout</rsp:OutputStreams></rsp:Shell>"
    )
    return _envelope(f"{TRANSFER}/CreateResponse", request.message_id, body)


def command_taken(request: WsmanRequest, command_id: str) -> bytes:
    """The answer to Command."""
    body = f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"
    return _envelope(f"{SHELL}/CommandResponse", request.message_id, body)


def received(request: WsmanRequest, payloads: Sequence[bytes], *, done: bool) -> bytes:
    """The answer to Receive: output so far, and whether the command has ended."""
    command = f" CommandId={quoteattr(request.command_id)}" if request.command_id else ""
    streams = "".join(
        f'<rsp:Stream Name="stdout"{command}>{base64.b64encode(part).decode()}</rsp:Stream>' for part in payloads
    )
    state = f'<rsp:CommandState{command} State="{SHELL}/CommandState/Done"/>' if done and command else ""
    body = f"<rsp:ReceiveResponse>{streams}{state}</rsp:ReceiveResponse>"
    return _envelope(f"{SHELL}/ReceiveResponse", request.message_id, body)


def sent(request: WsmanRequest) -> bytes:
    """The answer to Send."""
    return _envelope(f"{SHELL}/SendResponse", request.message_id, "<rsp:SendResponse/>")


def signalled(request: WsmanRequest) -> bytes:
    """The answer to Signal."""
    return _envelope(f"{SHELL}/SignalResponse", request.message_id, "<rsp:SignalResponse/>")


def deleted(request: WsmanRequest) -> bytes:
    """The answer to Delete."""
    return _envelope(f"{TRANSFER}/DeleteResponse", request.message_id, "")


def described(request: WsmanRequest, shell_id: str, owner: str) -> bytes:
    """The answer to Get: the shell lives."""
    body = (
        f"<rsp:Shell><rsp:ShellId>{shell_id}</rsp:ShellId><rsp:Owner>{escape(owner)}</rsp:Owner>"
        "<rsp:State>Connected</rsp:State></rsp:Shell>"
    )
    return _envelope(f"{TRANSFER}/GetResponse", request.message_id, body)


def scripted(request: WsmanRequest, body: str) -> bytes:
    """An answer to a request with this in its envelope."""
    return _envelope(f"{SHELL}/{request.action}Response", request.message_id, body)


def refused(fault: WsmanFault) -> bytes:
    """A fault as SOAP 1.2 with WinRM's detail."""
    text = escape(fault.text)
    body = (
        '<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value xmlns:w="'
        f'{WSMAN}">{fault.subcode}</s:Value></s:Subcode></s:Code>'
        f'<s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason>'
        f'<s:Detail><f:WSManFault xmlns:f="{FAULT}" Code="{fault.code}" Machine="sandbox">'
        f"<f:Message>{text}</f:Message></f:WSManFault></s:Detail></s:Fault>"
    )
    return _envelope("http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", fault.message_id, body)


def _envelope(action: str, relates_to: str, body: str) -> bytes:
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:w="{WSMAN}" xmlns:rsp="{SHELL}">'
        f"<s:Header><a:Action>{action}</a:Action><a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID>"
        f"<a:To>{ADDRESSING}/role/anonymous</a:To><a:RelatesTo>{escape(relates_to)}</a:RelatesTo></s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()
