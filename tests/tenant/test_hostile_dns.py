"""Name servers that are silent, broken or hostile, over raw sockets on loopback.

Whatever they do, a question ends within its time with a reason, and is never taken for "not there". That time is the
clock's of a test (`HastyClock`): an end that needs none leaves the clock at zero.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.diagnostics import Unavailable
from provisioner.mail_dns.dialogue import DnsAnswer, Status
from provisioner.model import DnsQuery
from provisioner.model.name_server import parse_server
from provisioner.tenant.dns import DnsResolver
from provisioner.tenant.limits import DNS_LIFETIME_S as LIFETIME_S
from provisioner.tenant.limits import DNS_MOST_BYTES as MOST_BYTES
from tests.cli.in_process import run_in_process
from tests.clocks import HastyClock, costs
from tests.ports import listeners, unused_port

pytestmark = pytest.mark.part(0.5)

TEXT = DnsQuery("contoso.com", "TXT")

A, NS, CNAME, SOA, MX, TXT = 1, 2, 5, 6, 15, 16
POINTER = b"\xc0\x0c"  # to the name of the question

Reply = Callable[[bytes], bytes | list[bytes] | None]
Stream = Callable[[socket.socket, bytes], None]


# --- messages, byte by byte -----------------------------------------------------------------------------------------


def name(text: str) -> bytes:
    return b"".join(bytes([len(part)]) + part for part in text.encode("latin-1").split(b".")) + b"\0"


def asked(query: bytes) -> tuple[str, int]:
    """The name, in lower case, and the type of a question."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]])
        at += 1 + query[at]
    return b".".join(labels).decode("latin-1").lower(), int(struct.unpack_from("!H", query, at + 1)[0])


def question(query: bytes) -> bytes:
    owner, _ = asked(query)
    return query[12 : 12 + len(name(owner)) + 4]


def record(kind: int, data: bytes, owner: bytes = POINTER) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def text_data(text: bytes) -> bytes:
    return b"".join(bytes([len(text[i : i + 255])]) + text[i : i + 255] for i in range(0, len(text), 255))


def message(
    query: bytes, *records: bytes, code: int = 0, flags: int = 0, count: int | None = None, authority: int = 0
) -> bytes:
    """An answer; the last `authority` records stand in that section, `count` is what the header claims."""
    answers = len(records) - authority if count is None else count
    head = query[:2] + struct.pack("!5H", 0x8180 | flags | code, 1, answers, authority, 0)
    return head + question(query) + b"".join(records)


TRUNCATED = 0x0200


# --- servers --------------------------------------------------------------------------------------------------------


class Server:
    """UDP and TCP on one port of 127.0.0.1; what it says is the test's. It counts what it was asked."""

    def __init__(self, reply: Reply, stream: Stream | None) -> None:
        self.reply, self.stream = reply, stream
        self.questions: list[tuple[str, int]] = []
        self._tcp, self._udp = listeners()
        self.port = int(self._tcp.getsockname()[1])
        self._gone = threading.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def serve_udp(self) -> None:
        while True:
            query, peer = self._udp.recvfrom(4096)
            if self._gone.is_set():
                return
            self.questions.append(asked(query))
            said = self.reply(query)
            for datagram in [said] if isinstance(said, bytes) else said or []:
                self._udp.sendto(datagram, peer)

    def serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            size = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
            query = connection.recv(size, socket.MSG_WAITALL)
            if self.stream is not None:
                self.stream(connection, query)
                return
            said = self.reply(query)
            if isinstance(said, bytes):
                connection.sendall(len(said).to_bytes(2, "big") + said)

    def end(self) -> None:
        self._gone.set()
        with contextlib.suppress(OSError):
            self._tcp.shutdown(socket.SHUT_RDWR)
        self._tcp.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._udp.getsockname())

    def close(self) -> None:
        self._udp.close()


@contextlib.contextmanager
def serving(reply: Reply, stream: Stream | None = None) -> Iterator[Server]:
    server = Server(reply, stream)
    threads = [threading.Thread(target=t, daemon=True) for t in (server.serve_udp, server.serve_tcp)]
    for thread in threads:
        thread.start()
    try:
        yield server
    finally:
        server.end()
        for thread in threads:
            thread.join(timeout=60)
        server.close()


def look_up(reply: Reply, stream: Stream | None = None, query: DnsQuery | None = None) -> tuple[DnsAnswer, float]:
    """The answer to one question, and how many seconds were waited for it."""
    with serving(reply, stream) as server:
        clock = HastyClock()
        found = asyncio.run(DnsResolver([server.address], clock=clock).look_up(query or TEXT))
        return found, clock.monotonic()


def assert_failed(found: DnsAnswer, took_s: float, words: str, after_s: float = LIFETIME_S) -> None:
    assert (found.failed, found.values) == (True, ())
    assert words in found.reason, found.reason
    assert took_s == after_s


def truncated(query: bytes) -> bytes:
    return message(query, flags=TRUNCATED)


def hang(connection: socket.socket, query: bytes) -> None:
    connection.settimeout(30)
    connection.recv(1)


def drip(connection: socket.socket, query: bytes) -> None:
    whole = message(query, record(TXT, text_data(b"v=spf1 -all")))
    for byte in len(whole).to_bytes(2, "big") + whole:
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.5)


def promise(connection: socket.socket, query: bytes) -> None:
    connection.sendall(b"\xff\xff" + message(query))
    hang(connection, query)


def promise_what_is_allowed(connection: socket.socket, query: bytes) -> None:
    connection.sendall(MOST_BYTES.to_bytes(2, "big") + message(query))
    hang(connection, query)


def end_early(connection: socket.socket, query: bytes) -> None:
    connection.sendall(b"\x02\x00" + message(query))


# --- silence and strangers ------------------------------------------------------------------------------------------


def test_no_answer_at_all_ends_in_time() -> None:
    with serving(lambda _: None) as server:
        clock = HastyClock()
        found = asyncio.run(DnsResolver([server.address], clock=clock).look_up(TEXT))
    assert_failed(found, clock.monotonic(), "no answer from 127.0.0.1:")
    assert len(server.questions) > 2, "a datagram may get lost: it is sent again"


def test_the_port_says_which_question_was_not_answered() -> None:
    with serving(lambda q: message(q, code=2)) as server, pytest.raises(Unavailable) as raised:
        asyncio.run(DnsResolver([server.address]).query(DnsQuery("contoso.com", "MX")))
    assert "contoso.com MX" in str(raised.value)
    assert "SERVFAIL" in str(raised.value)


def test_nobody_listening_is_told_at_once() -> None:
    found = asyncio.run(DnsResolver([f"127.0.0.1:{unused_port()}"]).look_up(DnsQuery("contoso.com", "TXT")))
    assert_failed(found, 0, "cannot be reached", 0)


def answer(query: bytes, text: bytes = b"v=spf1 -all") -> bytes:
    return message(query, record(TXT, text_data(text)))


def other_id(query: bytes) -> bytes:
    return bytes([query[0] ^ 1]) + answer(query)[1:]


def other_question(query: bytes) -> bytes:
    head = query[:2] + struct.pack("!5H", 0x8180, 1, 1, 0, 0)
    return head + name("fabrikam.com") + struct.pack("!HH", TXT, 1) + record(TXT, text_data(b"v=spf1 +all"))


@pytest.mark.parametrize("amiss", [other_id, other_question, lambda q: q, lambda _: b"", lambda _: b"\0" * 11])
def test_what_does_not_answer_the_question_is_passed_over(amiss: Reply) -> None:
    assert_failed(*look_up(amiss), "no answer from")


def test_the_right_answer_counts_after_any_number_of_wrong_ones() -> None:
    found, took_s = look_up(lambda q: [*[other_id(q), other_question(q)] * 50, answer(q)])
    assert (found.values, took_s) == (("v=spf1 -all",), 0)


def test_a_flood_of_wrong_answers_ends_in_time() -> None:
    assert_failed(*look_up(lambda q: [other_id(q)] * 50_000), "no answer from")


def test_an_answer_from_another_port_is_passed_over() -> None:
    with udp_socket() as server, udp_socket() as stranger:
        peers: list[Any] = []

        def answer_from_elsewhere() -> None:
            while True:
                query, peer = server.recvfrom(4096)
                if not query:
                    return
                peers.append(peer)
                stranger.sendto(answer(query), peer)

        thread = threading.Thread(target=answer_from_elsewhere, daemon=True)
        thread.start()
        clock = HastyClock()
        found = asyncio.run(DnsResolver([f"127.0.0.1:{server.getsockname()[1]}"], clock=clock).look_up(TEXT))
        stranger.sendto(b"", server.getsockname())
        thread.join(timeout=60)
    assert_failed(found, clock.monotonic(), "no answer from")
    assert peers


def udp_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


# --- TCP ------------------------------------------------------------------------------------------------------------


@pytest.mark.part(1)
@pytest.mark.parametrize(
    ("stream", "words", "after_s"),
    [
        (hang, "over TCP it does not come in time", LIFETIME_S),
        (drip, "over TCP it does not come in time", LIFETIME_S),
        (promise, "an answer of 65,535 bytes; at most 16,384 are read", 0),
        (promise_what_is_allowed, "over TCP it does not come in time", LIFETIME_S),
        (end_early, "the TCP connection ended before the answer did", 0),
    ],
)
def test_a_truncated_answer_whose_rest_does_not_come(stream: Stream, words: str, after_s: float) -> None:
    assert_failed(*look_up(truncated, stream), words, after_s)


def test_a_server_without_tcp_is_told() -> None:
    with serving(truncated) as server:
        server._tcp.shutdown(socket.SHUT_RDWR)
        server._tcp.close()
        found = asyncio.run(DnsResolver([server.address]).look_up(TEXT))
    assert_failed(found, 0, "TCP cannot be had", 0)


def test_a_truncated_answer_over_tcp_goes_no_further() -> None:
    """What was cut off is not taken for absent."""
    assert_failed(*look_up(truncated), "truncated over TCP too", 0)


def test_an_answer_to_another_question_over_tcp_is_refused() -> None:
    def other(connection: socket.socket, query: bytes) -> None:
        said = other_question(query)
        connection.sendall(len(said).to_bytes(2, "big") + said)

    assert_failed(*look_up(truncated, other), "an answer to another question", 0)


# --- large and malformed answers ------------------------------------------------------------------------------------


def large(query: bytes, *records: bytes, count: int | None = None) -> Stream:
    def send(connection: socket.socket, query: bytes) -> None:
        said = message(query, *records, count=count)
        connection.sendall(min(len(said), 65535).to_bytes(2, "big") + said)

    return send


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (large(b"", *[record(A, bytes([10, 0, i >> 8, i & 255])) for i in range(4000)]), "an answer of 64,"),
        (large(b"", *[record(A, bytes([10, 0, i >> 8, i & 255])) for i in range(900)]), "an answer of 900 records"),
        (
            large(b"", *[record(A, bytes([10, 0, 0, i])) for i in range(200)], count=10_000),
            "an answer of 10,000 records",
        ),
        (large(b"", record(A, b"\x0a\0\0\1"), count=400), "not proper DNS"),
        (large(b"", record(TXT, text_data(b"x" * 60_000))), "at most 16,384 are read"),
    ],
)
def test_an_answer_that_is_too_large_is_not_read(stream: Stream, words: str) -> None:
    found, took_s = look_up(truncated, stream, DnsQuery("contoso.com", "TXT" if "16,384 are" in words else "A"))
    assert_failed(found, took_s, words, 0)


def test_ten_kilobytes_of_text_are_read() -> None:
    found, _ = look_up(truncated, large(b"", record(TXT, text_data(b"x" * 10_000))))
    assert found.values == ("x" * 10_000,)


def chain_of_pointers(query: bytes) -> bytes:
    """Four thousand pointers, one to the next, that every name of 499 records goes through: much work, and no loop."""
    start = 12 + len(question(query)) + len(record(0, b""))
    hops = POINTER + b"".join(struct.pack("!H", 0xC000 | (start + 2 * i)) for i in range(3999))
    last = struct.pack("!H", 0xC000 | (start + 2 * 3999))
    return message(query, record(65280, hops), *[record(MX, b"\0\x0a" + last, last) for _ in range(499)])


def loop_of_pointers(query: bytes) -> bytes:
    at = 12 + len(question(query))
    return message(query, record(TXT, b"\1x", struct.pack("!H", 0xC000 | at)))


def two_pointers(query: bytes) -> bytes:
    at = 12 + len(question(query))
    first = record(TXT, b"\1x", struct.pack("!H", 0xC000 | (at + 13)))
    return message(query, first, record(TXT, b"\1x", struct.pack("!H", 0xC000 | at)))


@pytest.mark.parametrize(
    "reply",
    [
        loop_of_pointers,
        two_pointers,
        lambda q: message(q, record(TXT, b"\xffshort")),
        lambda q: message(q, record(A, b"\x0a\0\0\1\0")),
        lambda q: message(q, record(TXT, b"\1x"), count=7),
        lambda q: message(q, record(TXT, b"\1x")) + b"rubbish",
        lambda q: message(q, b"\x80\0\0\0"),
        lambda q: message(q, count=0)[:-4] + struct.pack("!HH", TXT, 1) + b"\xc0",
    ],
)
def test_an_answer_that_is_no_dns_is_told_at_once(reply: Reply) -> None:
    assert_failed(*look_up(reply), "not proper DNS", 0)


def test_pointers_that_only_make_work_cost_no_more_than_a_moment() -> None:
    def send(connection: socket.socket, query: bytes) -> None:
        work = chain_of_pointers(query)
        assert len(work) <= MOST_BYTES
        connection.sendall(len(work).to_bytes(2, "big") + work)

    with costs(at_most_s=4.0):
        look_up(truncated, send, DnsQuery("contoso.com", "MX"))


@pytest.mark.parametrize(
    ("code", "word"), [(1, "FORMERR"), (2, "SERVFAIL"), (4, "NOTIMP"), (5, "REFUSED"), (9, "NOTAUTH")]
)
def test_a_refusal_is_told_by_its_name_at_once(code: int, word: str) -> None:
    found, took_s = look_up(lambda q: message(q, code=code))
    assert_failed(found, took_s, word, 0)
    assert (found.status is Status.REFUSED) is (word == "REFUSED")


def test_a_server_that_does_not_know_edns_is_asked_without() -> None:
    found, _ = look_up(
        lambda q: answer(q) if struct.unpack_from("!H", q, 10)[0] == 0 else q[:2] + b"\x80\x01" + b"\0" * 8
    )
    assert found.values == ("v=spf1 -all",)


def test_a_good_server_stands_in_for_bad_ones() -> None:
    with serving(lambda q: message(q, code=5)) as refusing, serving(loop_of_pointers) as odd, serving(answer) as good:
        resolver = DnsResolver([refusing.address, odd.address, good.address])
        found = asyncio.run(resolver.look_up(DnsQuery("contoso.com", "TXT")))
    assert found.values == ("v=spf1 -all",)


def test_names_of_odd_bytes_stay_text() -> None:
    odd = b"\x05a\x1b[0m\x03\x00\xff.\x00"
    found, _ = look_up(lambda q: message(q, record(MX, b"\0\x0a" + odd)), query=DnsQuery("contoso.com", "MX"))
    assert found.status is Status.ROWS
    assert found.values[0].isascii()
    assert "\x1b" not in found.values[0]


def test_a_name_that_cannot_be_asked_for_is_told() -> None:
    for written in ("a" * 64 + ".com", "a..com", ".".join(["abc"] * 80), "\ud800.com"):
        found, _ = look_up(answer, query=DnsQuery(written, "TXT"))
        assert found.status is Status.FAILED, written
        assert "cannot be asked for" in found.reason


# --- CNAMEs ---------------------------------------------------------------------------------------------------------


def test_cnames_in_a_circle_are_told() -> None:
    one, other = name("contoso.com"), name("b.example")
    circle = (record(CNAME, other, one), record(CNAME, one, other))
    assert_failed(*look_up(lambda q: message(q, *circle)), "circle", 0)
    itself = record(CNAME, name("contoso.com"))
    assert_failed(*look_up(lambda q: message(q, itself)), "circle", 0)


def test_a_chain_of_cnames_in_one_answer_ends() -> None:
    links = [record(CNAME, name(f"n{i + 1}.example"), name(f"n{i}.example")) for i in range(40)]
    chain = (record(CNAME, name("n0.example")), *links)
    assert_failed(*look_up(truncated, large(b"", *chain)), "CNAMEs", 0)


def test_a_chain_of_cnames_one_an_answer_ends() -> None:
    seen: list[str] = []

    def endless(query: bytes) -> bytes:
        seen.append(asked(query)[0])
        return message(query, record(CNAME, name(f"n{len(seen)}.example")))

    assert_failed(*look_up(endless), "more than 8 CNAMEs", 0)
    assert len(seen) < 12


def test_a_cname_without_its_end_is_followed() -> None:
    def half(query: bytes) -> bytes:
        return answer(query) if asked(query)[0] == "b.example" else message(query, record(CNAME, name("b.example")))

    assert look_up(half)[0].values == ("v=spf1 -all",)


def test_a_cname_to_a_name_without_such_records_is_an_answer() -> None:
    soa = record(SOA, name("a.example") + name("b.example") + b"\0" * 20, name("example"))
    found, _ = look_up(lambda q: message(q, record(CNAME, name("b.example")), soa, authority=1))
    assert found.status is Status.NO_ROWS


def test_a_server_that_only_refers_to_others_has_not_answered() -> None:
    referral = record(NS, name("ns.example"), name("com"))
    assert_failed(*look_up(lambda q: message(q, referral, authority=1)), "refers to other servers", 0)


# --- many questions -------------------------------------------------------------------------------------------------


def test_many_questions_to_a_silent_server_take_no_longer_than_one() -> None:
    async def all_of_them(resolver: DnsResolver) -> list[DnsAnswer]:
        return await asyncio.gather(*(resolver.look_up(DnsQuery(f"d{i}.example", "TXT")) for i in range(200)))

    with serving(lambda _: None) as server:
        clock = HastyClock()
        found = asyncio.run(all_of_them(DnsResolver([server.address], clock=clock)))
    assert {a.status for a in found} == {Status.FAILED}
    assert clock.monotonic() == LIFETIME_S


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.1", "192.0.2.1:53"),
        ("192.0.2.1:5353", "192.0.2.1:5353"),
        ("2001:db8::1", "[2001:db8::1]:53"),
        ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ("[2001:db8::1]", "[2001:db8::1]:53"),
    ],
)
def test_a_server_is_written_in_any_usual_form(text: str, server: str) -> None:
    assert str(parse_server(text)) == server


@pytest.mark.parametrize("text", ["dns.example", "192.0.2.1:", "192.0.2.1:99999", "192.0.2.1:dns", "[::1", "", "1.2.3"])
def test_what_is_no_server_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="not a name server"):
        parse_server(text)


# --- through the command line ---------------------------------------------------------------------------------------

PLAN = """provisioner: 1
tenant: contoso.onmicrosoft.com
domains:
"""


def check(
    folder: Path, server: Server, *domains: str, clock: HastyClock | None = None
) -> tuple[subprocess.CompletedProcess[str], float]:
    """`dns check` of these domains: how it ended, and how many seconds it waited."""
    clock = clock or HastyClock()
    return run_in_process(_arguments(folder, *domains), folder, _environment(server), clock), clock.monotonic()


def program(folder: Path, server: Server, *domains: str) -> tuple[subprocess.CompletedProcess[str], int]:
    """The same by the program: how it ended, and the most memory it had, in MB."""
    command = [sys.executable, "-m", "provisioner", *_arguments(folder, *domains)]
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
        process = subprocess.Popen(command, cwd=folder, env=_environment(server), stdout=out, stderr=err)
        memory_mb = 0
        while process.poll() is None:
            memory_mb = max(memory_mb, _most_memory_mb(process.pid))
            threading.Event().wait(0.02)
        said = [(out.seek(0), out.read())[1], (err.seek(0), err.read())[1]]
    return subprocess.CompletedProcess(command, process.returncode, *said), memory_mb


def _arguments(folder: Path, *domains: str) -> list[str]:
    (folder / "plan.yaml").write_text(PLAN + "".join(f"  {d}: {{ verified: true }}\n" for d in domains))
    return ["dns", "check", "plan.yaml"]


def _environment(server: Server) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PROVISIONER_")}
    own = {"PROVISIONER_ENDPOINTS__DNS_SERVERS": json.dumps([server.address])}
    return {**kept, **own, "PYTHONPATH": str(Path(__file__).parents[2])}


def _most_memory_mb(pid: int) -> int:
    """The most that a process has had since its exec; what rusage tells counts its parent's before that."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found else 0


BUDGET_S = 30.0
"""For all questions of a command, and a second more for each domain."""


def assert_told(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode in {0, 1}, done.stderr
    assert "Traceback" not in done.stderr
    assert "fault of provisioner" not in done.stderr
    for word in words:
        assert word in done.stdout, done.stdout


def test_a_silent_server_is_told_for_each_domain_and_type(tmp_path: Path) -> None:
    domains = [f"d{i}.example" for i in range(25)]
    with serving(lambda _: None) as server:
        done, took_s = check(tmp_path, server, *domains)
    questions = [f"{domain} {kind}" for domain in domains for kind in ("MX", "TXT")]
    words = [f"warning[DNS-UNANSWERED]: {question} could not be read" for question in questions]
    assert_told(done, *words)
    assert "MISSING" not in done.stdout
    assert took_s <= BUDGET_S + 25
    assert len(set(server.questions)) >= 25 * 8


@pytest.mark.parametrize("code", [1, 2, 5])
def test_a_refusing_server_is_told(tmp_path: Path, code: int) -> None:
    with serving(lambda q: message(q, code=code)) as server:
        done, took_s = check(tmp_path, server, "contoso.com")
    assert_told(done, "contoso.com MX could not be read: 127.0.0.1", "_dmarc.contoso.com TXT could not be read")
    assert took_s == 0


def zone(texts: Callable[[str], str | None]) -> Reply:
    """A server of TXT records; everything else is there and empty."""

    def reply(query: bytes) -> bytes | None:
        owner, kind = asked(query)
        said = texts(owner) if kind == TXT else ""
        if said is None:
            return None
        return message(query, record(TXT, text_data(said.encode()))) if said else message(query)

    return reply


def test_includes_in_a_circle_are_told(tmp_path: Path) -> None:
    other = {"contoso.com": "v=spf1 include:b.example -all", "b.example": "v=spf1 include:contoso.com -all"}
    with serving(zone(lambda owner: other.get(owner, ""))) as server:
        done, took_s = check(tmp_path, server, "contoso.com")
    assert_told(done, "error[SPF-INCLUDED]", "leads in a circle")
    assert took_s == 0


def test_includes_that_fan_out_for_ever_end(tmp_path: Path) -> None:
    def fan(owner: str) -> str:
        if owner.startswith("_"):
            return ""
        return "v=spf1 " + " ".join(f"include:{c}.{owner[-150:].lstrip('.')}" for c in "abcdefghij") + " -all"

    with serving(zone(fan)) as server:
        done, memory_mb = program(tmp_path, server, "contoso.com")
    assert_told(done, "error[SPF-LOOKUPS]", "60 or more terms")
    assert len(server.questions) < 400
    assert 10 < memory_mb < 300


def test_silent_includes_are_waited_for_side_by_side(tmp_path: Path) -> None:
    """Nine includes, each of which has two more that are silent: two levels of silence, not eighteen names."""
    root = "v=spf1 " + " ".join(f"include:i{n}.example" for n in range(9)) + " -all"

    def texts(owner: str) -> str | None:
        if owner == "contoso.com":
            return root
        if owner.startswith("i"):
            return f"v=spf1 include:x.{owner} include:y.{owner} -all"
        return "" if owner.startswith("_") else None

    with serving(zone(texts)) as server:
        done, took_s = check(tmp_path, server, "contoso.com")
    assert_told(done, "SPF-UNANSWERED", "x.i0.example TXT: no answer", "y.i8.example TXT: no answer")
    assert took_s == LIFETIME_S


def test_a_server_that_is_always_almost_too_late_ends_within_the_budget(tmp_path: Path) -> None:
    """Each include leads to one more, and each answer takes all of a try: eight seconds a level would have no end."""
    clock = HastyClock()

    def slow(query: bytes) -> bytes:
        owner, kind = asked(query)
        if kind != TXT or owner.startswith("_"):
            return message(query)
        if owner != "contoso.com":
            clock.hold(2.2)
        deeper = f"n{int(owner[1:].partition('.')[0]) + 1 if owner.startswith('n') else 0}.example"
        return answer(query, f"v=spf1 include:{deeper} -all".encode())

    with serving(slow) as server:
        done, took_s = check(tmp_path, server, "contoso.com", clock=clock)
    assert_told(done, "SPF-", "the 31 s for all of DNS were used up")
    assert took_s == BUDGET_S + 1


def test_an_mx_that_is_the_domain_itself_is_told(tmp_path: Path) -> None:
    def itself(query: bytes) -> bytes:
        owner, kind = asked(query)
        if kind == MX:
            return message(query, record(MX, b"\0\x0a" + POINTER))
        return answer(query, b"v=spf1 mx -all") if kind == TXT and owner == "contoso.com" else message(query)

    with serving(itself) as server:
        done, took_s = check(tmp_path, server, "contoso.com")
    assert_told(done, "[MX-ELSEWHERE]", "goes to contoso.com, not to Microsoft")
    assert took_s == 0


def test_a_server_that_says_something_else_each_time_is_asked_once_for_each(tmp_path: Path) -> None:
    count = 0

    def moody(query: bytes) -> bytes:
        nonlocal count
        count += 1
        if count % 3 == 0:
            return message(query, code=2)
        return (
            answer(query, f"v=spf1 ip4:192.0.2.{count % 250} -all".encode())
            if count % 3 == 1
            else message(query, code=3)
        )

    with serving(moody) as server:
        done, _ = check(tmp_path, server, "contoso.com", "fabrikam.com")
    assert_told(done, "contoso.com:", "fabrikam.com:")
    assert len(server.questions) == len(set(server.questions)), "no question is asked twice in one run"


def test_text_for_terminals_is_made_harmless_and_cut(tmp_path: Path) -> None:
    loud = "spf1 \x1b]0;owned\x07 " + "x" * 9000
    with serving(zone(lambda owner: loud if owner == "contoso.com" else ""), None) as server:
        done, _ = check(tmp_path, server, "contoso.com")
    assert_told(done, "contoso.com")
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    told = [line for line in done.stdout.splitlines() if "SPF-LOOKALIKE" in line]
    assert told
    assert len(told[0]) < 1100


@pytest.mark.parametrize("stream", [hang, drip, promise])
def test_a_tcp_server_of_bad_will_is_told(tmp_path: Path, stream: Stream) -> None:
    with serving(truncated, stream) as server:
        done, took_s = check(tmp_path, server, "contoso.com", "fabrikam.com")
    assert_told(done, "contoso.com TXT could not be read", "fabrikam.com MX could not be read")
    assert took_s <= LIFETIME_S


def test_a_server_that_is_no_address_is_a_mistake_of_the_settings(tmp_path: Path) -> None:
    with serving(answer) as server:
        server.port = 0
        done, _ = check(tmp_path, server, "contoso.com")
    assert done.returncode == 3
    assert '"127.0.0.1:0" is not a name server: write ip or ip:port' in done.stderr
    assert "dns_servers" in done.stderr
    assert server.questions == []
