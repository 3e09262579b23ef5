"""Where the fronts listen: what a command line may ask for, what a start remembers, and who can reach it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from provisioner.sandbox.listening import Listening, PortUnavailable, parsed, remember
from tests.ports import unused_port


def test_a_command_line_names_ports_names_and_an_address() -> None:
    asked = parsed("0.0.0.0", ["https=443, smtp_mx=25", "dns=53"], ["Exchange.example.", "*.test.example"])
    assert asked.ports == {"https": 443, "smtp_mx": 25, "dns": 53}
    assert (asked.address, asked.hostnames) == ("0.0.0.0", ("exchange.example", "*.test.example"))
    assert parsed("127.0.0.1", [], []) == Listening()


@pytest.mark.parametrize(
    ("address", "ports", "names", "said"),
    [
        ("::1", [], [], "IPv4"),
        ("localhost", [], [], "IPv4"),
        ("127.0.0.1", ["htps=443"], [], "one of https, authority"),
        ("127.0.0.1", ["https"], [], "NAME=PORT"),
        ("127.0.0.1", ["https=0"], [], "1 to 65535"),
        ("127.0.0.1", ["https=65536"], [], "1 to 65535"),
        ("127.0.0.1", ["https=4٤3"], [], "1 to 65535"),
        ("127.0.0.1", ["https=443,https=444"], [], "one port"),
        ("127.0.0.1", ["https=443", "graph=443"], [], "its own"),
        ("127.0.0.1", [], ["a b"], "not a host name"),
        ("127.0.0.1", [], [""], "not a host name"),
        ("127.0.0.1", [], ["x" * 64], "not a host name"),
    ],
)
def test_what_cannot_be_meant_is_refused(address: str, ports: list[str], names: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parsed(address, ports, names)


def test_a_port_that_another_program_has_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(PortUnavailable, match=rf"port {port} of 127\.0\.0\.1, for graph.*--ports graph=PORT"):
            Listening(ports={"graph": port}).listener("graph")
        with Listening(remembered={"graph": port}).listener("graph") as other:
            assert other.getsockname()[1] != port, "a remembered port is a wish only"


def test_a_start_uses_the_ports_of_the_last_one(tmp_path: Path) -> None:
    port = unused_port()
    here = f"127.0.0.1:{port}"
    found = {"graph": f"https://{here}", "psrp": f"https://{here}/wsman", "dns": here}
    remember(tmp_path, {**found, "ca": "/ca.pem", "managed_identity": f"http://127.0.0.1:{port}"})
    asked = Listening().with_memory(tmp_path)
    assert asked.remembered == dict.fromkeys((*found, "managed_identity"), port)
    with asked.listener("dns") as again:
        assert again.getsockname()[1] == port
    for odd in ("[]", "{", '{"dns": "53", "graph": 0, "x": 5}'):
        (tmp_path / "ports.json").write_text(odd)
        assert Listening().with_memory(tmp_path).remembered == {}


def test_only_what_asks_for_credentials_or_gives_none_leaves_the_machine() -> None:
    asked = Listening("0.0.0.0")
    assert {front: asked.address_of(front) for front in ("control", "managed_identity", "graph")} == {
        "control": "127.0.0.1", "managed_identity": "127.0.0.1", "graph": "0.0.0.0",
    }  # fmt: skip
    said = asked.exposure()
    assert "listens on 0.0.0.0" in said
    assert "control and managed_identity stay on 127.0.0.1" in said
    assert "graph" in said
    assert Listening("127.0.0.9").exposure() == ""
    assert (asked.local("graph", 5), Listening("127.0.0.9").local("graph", 5)) == ("127.0.0.1:5", "127.0.0.9:5")
