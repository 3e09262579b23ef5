from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from provisioner.model import Unknown
from provisioner.resources.canonical import (
    Canonical,
    answered,
    by_name,
    certificate_name,
    day,
    domain_name,
    email_address,
    flag,
    lenient,
    prose,
    sender_domain,
    sender_network,
    skip_network,
    text_of,
    texts,
    wire_network,
    word,
)
from provisioner.resources.dkim import Dkim

ALL = (certificate_name, domain_name, email_address, prose, sender_domain, sender_network, skip_network)

ACCEPTED: list[tuple[Canonical, str, str]] = [
    (domain_name, "contoso.com", "contoso.com"),
    (domain_name, "Contoso.COM.", "contoso.com"),
    (domain_name, "bücher.example", "xn--bcher-kva.example"),
    (domain_name, "BÜCHER.example", "xn--bcher-kva.example"),
    (email_address, "ERP@Contoso.com", "erp@contoso.com"),
    (email_address, "o'brien+fax@bücher.example", "o'brien+fax@xn--bcher-kva.example"),
    (sender_domain, "smtp:contoso.com;1", "contoso.com"),
    (sender_domain, "SMTP:*;1", "*"),
    (sender_domain, "smtp:*.Contoso.com;1", "*.contoso.com"),
    (sender_domain, "smtp:*.fabrikam.net", "*.fabrikam.net"),  # the cmdlet adds the cost
    (sender_domain, "SMTP:fabrikam.net", "fabrikam.net"),
    (sender_domain, "*", "*"),
    (certificate_name, "", ""),
    (certificate_name, "*.Contoso.com", "*.contoso.com"),
    (sender_network, "192.0.2.5", "192.0.2.5/32"),
    (sender_network, "192.0.2.5/32", "192.0.2.5/32"),
    (sender_network, "192.168.0.1/25", "192.168.0.0/25"),
    (sender_network, "10.1.2.3/8", "10.0.0.0/8"),
    (sender_network, "0.0.0.0/0", "0.0.0.0/0"),
    (skip_network, "192.0.2.5", "192.0.2.5/32"),
    (skip_network, "192.0.2.0-192.0.2.255", "192.0.2.0/24"),
    (skip_network, "192.0.2.3 - 192.0.2.9", "192.0.2.3-192.0.2.9"),
    (skip_network, "192.0.2.3-192.0.2.3", "192.0.2.3/32"),
    (prose, "a\r\nb \n", "a\nb"),
]


@pytest.mark.parametrize(("canonical", "text", "form"), ACCEPTED)
def test_every_spelling_has_one_form(canonical: Canonical, text: str, form: str) -> None:
    assert canonical(text) == form
    assert canonical(form) == form


REFUSED: list[tuple[Canonical, str, str, str]] = [
    (domain_name, "contoso", "DOMAIN-INVALID", "the whole name"),
    (domain_name, "*.contoso.com", "DOMAIN-INVALID", "wildcard"),
    (domain_name, "erp@contoso.com", "DOMAIN-INVALID", "behind the @"),
    (domain_name, "192.0.2.5", "DOMAIN-INVALID", "the whole name"),
    (domain_name, "con toso.com", "DOMAIN-INVALID", "the whole name"),
    (domain_name, "a" * 64 + ".com", "DOMAIN-INVALID", "the whole name"),
    (domain_name, "", "DOMAIN-INVALID", "the whole name"),
    (email_address, "erp", "EMAIL-INVALID", "the whole address, such as erp@contoso.com"),
    (email_address, "erp@", "EMAIL-INVALID", "one address"),
    (email_address, "JPNPR01A001\\$P47IJ1-90OH1234567", "EMAIL-INVALID", "remove the right by this name"),
    (email_address, "S-1-5-21-1-2-3-4", "EMAIL-INVALID", "the object ID of the application"),
    (email_address, "*@contoso.com", "EMAIL-INVALID", "write each address"),
    (email_address, "scan*@contoso.com", "EMAIL-INVALID", "write each address"),
    (email_address, "a@b@contoso.com", "EMAIL-INVALID", "one address"),
    (email_address, "erp@contoso.com ", "EMAIL-INVALID", "write erp@contoso.com"),
    (sender_domain, "domain.*.contoso.com", "SENDER-DOMAIN-INVALID", "*.contoso.com"),
    (sender_domain, "smtp:contoso.com;5", "SENDER-DOMAIN-INVALID", "contoso.com"),
    (sender_domain, "**", "SENDER-DOMAIN-INVALID", "*.contoso.com"),
    (day, "31.12.2026", "DATE-INVALID", "write it as 2026-12-31"),
    (day, "12/31/2026", "DATE-INVALID", "write it as 2026-12-31"),
    (day, "20261231", "DATE-INVALID", "write it as 2026-12-31"),
    (day, "03/04/2026", "DATE-INVALID", "write it as 2027-03-31"),
    (day, "2026-02-30", "DATE-INVALID", "write it as 2027-03-31"),
    (sender_domain, "@Fabrikam.com", "SENDER-DOMAIN-INVALID", "write fabrikam.com"),
    (sender_domain, "anna@fabrikam.com", "SENDER-DOMAIN-INVALID", "write fabrikam.com"),
    (certificate_name, "CN=Mail.contoso.com", "CERTIFICATE-NAME-INVALID", "write mail.contoso.com"),
    (certificate_name, "<I>CN=R3, O=Let's Encrypt<S>CN=mail.contoso.com", "CERTIFICATE-NAME-INVALID", "write mail.con"),
    (certificate_name, "*", "CERTIFICATE-NAME-INVALID", "for none"),
    (sender_network, "2001:db8::1", "IP-VERSION-6", "IPv4"),
    (sender_network, "2001:db8::/64", "IP-VERSION-6", "IPv4"),
    (sender_network, "192.0.2.8-192.0.2.11", "IP-RANGE-DASH", "write 192.0.2.8/30"),
    (sender_network, "192.0.2.1-192.0.2.2", "IP-RANGE-DASH", "write 192.0.2.1, 192.0.2.2"),
    (sender_network, "192.0.2.9-192.0.2.2", "IP-ADDRESS-INVALID", "198.51.100.0/24"),
    (sender_network, "192.0.2.256", "IP-ADDRESS-INVALID", "198.51.100.0/24"),
    (sender_network, "192.0.2.5/33", "IP-ADDRESS-INVALID", "198.51.100.0/24"),
    (sender_network, "192.0.2.0/255.255.255.0", "IP-ADDRESS-INVALID", "write 192.0.2.0/24"),
    (sender_network, "192.0.2", "IP-ADDRESS-INVALID", "198.51.100.0/24"),
    (sender_network, "mail.contoso.com", "IP-ADDRESS-INVALID", "takes no host names"),
    (sender_network, "0.0.0.0-255.255.255.255", "IP-RANGE-DASH", "the single addresses that send"),
    (sender_network, "192.0.2.8-11", "IP-RANGE-DASH", "write 192.0.2.8/30"),
    (sender_network, "192.0.2.*", "IP-ADDRESS-INVALID", "write 192.0.2.0/24"),
    (sender_network, " 192.0.2.5 ", "IP-ADDRESS-INVALID", "write 192.0.2.5"),
    (sender_network, "192.0.002.010", "IP-ADDRESS-INVALID", "write 192.0.2.10"),
    (sender_network, "192.0.2.5; 192.0.2.6", "IP-ADDRESS-INVALID", "an item of its own: 192.0.2.5, 192.0.2.6"),
    (sender_network, "192.0.2.5:2525", "IP-ADDRESS-INVALID", "write 192.0.2.5; a connector has no ports"),
    (sender_network, "10.0.0.0/255.0.0.0", "IP-ADDRESS-INVALID", "198.51.100.0/24"),
    (sender_network, "::ffff:192.0.2.5", "IP-VERSION-6", "write 192.0.2.5"),
    (sender_network, "", "IP-ADDRESS-INVALID", "198.51.100.0/24"),
    (skip_network, "2001:db8::1", "IP-VERSION-6", "IPv4"),
]


@pytest.mark.parametrize(("canonical", "text", "identifier", "hint"), REFUSED)
def test_a_mistake_has_an_id_and_says_how_to_fix_it(
    canonical: Canonical, text: str, identifier: str, hint: str
) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        canonical(text)
    assert caught.value.type == identifier
    assert hint in (caught.value.context or {})["hint"]
    assert not text or text in caught.value.message()


@given(st.sampled_from(ALL), st.text(max_size=40) | st.from_regex(r"[ 0-9a-z.*@:;/-]{1,20}", fullmatch=True))
def test_canonical_twice_is_canonical_once_and_nothing_but_a_refusal_is_raised(canonical: Canonical, text: str) -> None:
    form = lenient(canonical)(text)
    assert lenient(canonical)(form) == form
    try:
        strict = canonical(text)
    except PydanticCustomError:
        return
    assert canonical(strict) == strict == form


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_host_bits_never_matter(address: int, prefix: int) -> None:
    text = f"{ipaddress.IPv4Address(address)}/{prefix}"
    form = sender_network(text)
    assert ipaddress.IPv4Address(address) in ipaddress.IPv4Network(form)
    assert sender_network(wire_network(form)) == form
    assert skip_network(text) == form


@given(st.integers(0, 2**32 - 1), st.integers(0, 300))
def test_a_range_is_the_same_however_it_is_spelled(first: int, length: int) -> None:
    last = min(first + length, 2**32 - 1)
    ends = ipaddress.IPv4Address(first), ipaddress.IPv4Address(last)
    form = skip_network(f"{ends[0]}-{ends[1]}")
    if "/" in form:
        network = ipaddress.IPv4Network(form)
        assert (network[0], network[-1]) == ends
    else:
        assert form == f"{ends[0]}-{ends[1]}"


def test_a_missing_column_is_neither_false_nor_null_nor_empty() -> None:
    row: dict[str, Any] = {"No": False, "Null": None, "Text": "True", "Empty": [], "One": "a"}
    assert flag(row, "No") is False
    assert [flag(row, name) for name in ("Null", "Text", "Missing")] == [None, None, None]
    assert [texts(row, name) for name in ("Null", "Empty", "Missing", "One")] == [(), (), None, ("a",)]
    assert word(row, "Missing", {}) is None
    assert word({"Kind": "onPremises"}, "Kind", {"onpremises": "on_premises"}) == "on_premises"


def test_what_a_tenant_holds_is_kept_where_it_has_no_form() -> None:
    assert lenient(sender_network)("192.0.2.1-192.0.2.9") == "192.0.2.1-192.0.2.9"
    assert lenient(sender_domain)("smtp:Contoso.com;5") == "smtp:contoso.com;5"
    assert lenient(email_address)("NT AUTHORITY\\SELF") == "nt authority\\self"


def test_a_gap_in_an_answer_is_unknown_only_where_the_plan_writes() -> None:
    gap = Dkim("contoso.com", None, None, "relaxed")
    assert answered(Dkim("contoso.com", header_canonicalization="simple"), gap) is gap
    assert answered(Dkim("contoso.com", key_size=2048), gap) is gap
    assert answered(None, gap) is gap
    unknown = answered(Dkim("contoso.com", enabled=True, body_canonicalization="simple"), gap)
    assert isinstance(unknown, Unknown)
    assert "enabled, body_canonicalization" in unknown.reason


@pytest.mark.parametrize("row", [{}, {"Name": None}, {"Name": " "}, {"Name": {}}, {"Guid": "1"}], ids=str)
def test_a_row_without_a_name_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a row has no Name or Identity"):
        by_name([{"Name": "a"}, row], str.casefold, "Name", "Identity")


def test_different_rows_of_one_name_are_unknown_and_both_guids_are_named() -> None:
    rows = [{"Name": "Relay", "Guid": "2"}, {"Name": "other"}, {"Name": "relay", "Guid": "1"}]
    found = by_name(rows, str.casefold, "Name")
    assert found["other"] == {"Name": "other"}
    assert found["relay"] == Unknown("the tenant returned 2 different objects of this name: Guid 1 and 2", "ambiguous")


def test_one_row_on_two_pages_is_one_object() -> None:
    assert by_name([{"Name": "a", "Guid": "1"}] * 2, str.casefold, "Name") == {"a": {"Name": "a", "Guid": "1"}}


def test_a_column_of_text_holds_text() -> None:
    assert text_of({"Comment": "as it is"}, "Comment") == "as it is"
    assert text_of({"Comment": None}, "Comment") == ""
    assert text_of({"Count": 3}, "Count") == "3"
    assert text_of({}, "Comment") is None
    for odd in ({"of": "another form"}, ["a"], ()):
        with pytest.raises(ValueError, match="Comment holds"):
            text_of({"Comment": odd}, "Comment")


def test_a_form_is_the_same_when_it_is_asked_again_and_for_texts_of_any_length() -> None:
    calls: list[str] = []

    def canonical(text: str) -> str:
        calls.append(text)
        if "odd" in text:
            raise ValueError(text)
        return text.upper()

    form = lenient(canonical)
    assert [form(" a "), form(" a "), form("ODD odd"), form("b" * 5_000)] == ["A", "A", "odd odd", "B" * 5_000]
    assert calls == ["a", "ODD odd", "b" * 5_000]
    assert lenient(canonical) is form
