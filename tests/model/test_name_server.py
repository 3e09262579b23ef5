"""The address of a name server as settings write it."""

from __future__ import annotations

import pytest

from provisioner.model.name_server import NameServer, parse_server


@pytest.mark.parametrize(
    ("text", "server", "written"),
    [
        ("192.0.2.1", NameServer("192.0.2.1", 53), "192.0.2.1:53"),
        ("192.0.2.1:5353", NameServer("192.0.2.1", 5353), "192.0.2.1:5353"),
        ("192.0.2.1:1", NameServer("192.0.2.1", 1), "192.0.2.1:1"),
        ("192.0.2.1:65535", NameServer("192.0.2.1", 65535), "192.0.2.1:65535"),
        ("2001:db8::1", NameServer("2001:db8::1", 53), "[2001:db8::1]:53"),
        ("2001:DB8:0::1", NameServer("2001:db8::1", 53), "[2001:db8::1]:53"),
        ("[2001:db8::1]", NameServer("2001:db8::1", 53), "[2001:db8::1]:53"),
        ("[2001:db8::1]:5353", NameServer("2001:db8::1", 5353), "[2001:db8::1]:5353"),
    ],
)
def test_an_address_with_and_without_its_port(text: str, server: NameServer, written: str) -> None:
    assert parse_server(text) == server
    assert str(server) == written
    assert parse_server(written) == server


@pytest.mark.parametrize(
    "text",
    [
        "", ":53", "dns.example", "dns.example:53", "192.0.2.1:", "192.0.2.1:dns", "192.0.2.1:0", "192.0.2.1:65536",
        "192.0.2.1:-1", "192.0.2.256", "[2001:db8::1", "[192.0.2.1]:53:53", "[2001:db8::1]:0", "2001:db8:::1",
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name server: write ip or ip:port") as refusal:
        parse_server(text)
    assert str(refusal.value).startswith(f'"{text}"')
