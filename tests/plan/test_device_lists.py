"""Lists of devices: encodings, separators, headers, rows with mistakes and their places."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.diagnostics import InputError
from provisioner.plan.device_lists import proposal, read
from provisioner.plan.proposing import text as text_of

LIST = "Device;Public IP;Location;E-Mail;TLS version;SMTP Auth;Recipients\n"
ROW = "scanner;203.0.113.10;Zürich;scan@contoso.com;TLS 1.2;basic;anyone\n"


def bodies(text: str | bytes, **options: dict[str, str]) -> dict[str, object]:
    content = text.encode() if isinstance(text, str) else text
    found, wrong = proposal(read(content, "list.csv", options.get("mapped")), options.get("defaults"))
    assert not wrong
    return {device.name: device.body for device in found.devices}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_form_of_a_spreadsheet_is_the_same_list(encoding: str, separator: str, end: str) -> None:
    text = (LIST + ROW).replace(";", separator).replace("\n", end)
    found, wrong = proposal(read(text.encode(encoding), "list.csv"))
    assert not wrong
    assert [(s.name, s.body) for s in found.sites] == [("Zürich", {"egress_ip_addresses": ["203.0.113.10"]})]
    assert [(d.name, d.body) for d in found.devices] == [
        (
            "scanner",
            {
                "site": "Zürich",
                "from": "scan@contoso.com",
                "recipients": "anyone",
                "supports": {"tls": "1.2", "authentication": ["basic"]},
            },
        )
    ]


def test_excels_separator_line_is_obeyed() -> None:
    assert list(bodies("sep=|\nName|From\nerp|erp@contoso.com\n")) == ["erp"]


def test_what_is_not_known_is_left_out() -> None:
    assert bodies("name,from,tls,auth,recipients,volume\nerp,erp@contoso.com,?,unknown,,n/a\n") == {
        "erp": {"from": "erp@contoso.com"}
    }


def test_a_mistake_names_the_place_of_its_cell_and_the_other_rows_stay() -> None:
    text = 'name,from,notes\n"a ""b""",a@contoso.com,"two\nlines"\nc,"c d",x\ne,e@contoso.com,\n'
    found, wrong = proposal(read(text.encode(), "list.csv"))
    assert [d.name for d in found.devices] == ['a "b"', "e"]
    assert [(str(w.location), w.id) for w in wrong] == [("list.csv:4:3", "LIST-VALUE")]
    assert "from" in wrong[0].summary
    assert wrong[0].hint


@pytest.mark.parametrize(
    ("row", "column", "rule", "words"),
    [
        ("a,a@contoso.com,TLS 9,,", 17, "LIST-VALUE", "not a TLS version"),
        ("a,a@contoso.com,1.2,kerberos,", 21, "LIST-VALUE", "kerberos"),
        ("a,a@contoso.com,1.2,basic,some", 27, "LIST-VALUE", "not one of organization, anyone"),
        ("a,a@contoso.com,1.2,basic,anyone,more", 34, "LIST-CELLS", "6 cells"),
        (",,1.2,basic,anyone", 1, "LIST-NAMELESS", "neither a name"),
        ("b,b@contoso.com,,,", 1, "LIST-DUPLICATE", "line 2"),
    ],
)
def test_each_kind_of_mistake_is_told_at_its_cell(row: str, column: int, rule: str, words: str) -> None:
    text = f"name,from,tls,auth,recipients\nb,b@contoso.com,,,\n{row}\n"
    found, wrong = proposal(read(text.encode(), "list.csv"))
    assert [d.name for d in found.devices] == ["b"]
    assert [(w.id, str(w.location)) for w in wrong] == [(rule, f"list.csv:3:{column}")]
    assert words in wrong[0].summary


def test_a_name_of_a_list_is_never_taken_for_a_variable() -> None:
    found, _ = proposal(read(b"name,from,recipients,tls,auth\nmfp ${x},a@contoso.com,anyone,1.2,none\n", "list.csv"))
    assert "mfp $${x}:" in text_of(found)


def test_all_mistakes_of_a_row_are_told_in_one_pass() -> None:
    text = "name,from,tls,auth,recipients\na,not-an-address,SSL3,ntlm,maybe\n"
    found, wrong = proposal(read(text.encode(), "list.csv"))
    assert not found.devices
    assert [w.location.column for w in wrong if w.location] == [3, 18, 23, 28]


def test_sites_are_grouped_by_egress_address() -> None:
    text = (
        "name,from,ip,site\n"
        "a,a@c.com,203.0.113.1,HQ\nb,b@c.com,203.0.113.1,Annex\nc,c@c.com,203.0.113.2,\nd,d@c.com,,HQ\n"
    )
    found, _ = proposal(read(text.encode(), "list.csv"))
    assert [(s.name, s.body["egress_ip_addresses"]) for s in found.sites] == [
        ("HQ", ["203.0.113.1"]),
        ("site-203.0.113.2", ["203.0.113.2"]),
    ]
    assert [d.body.get("site") for d in found.devices] == ["HQ", "HQ", "site-203.0.113.2", "HQ"]


def test_a_private_address_is_asked_for_and_not_written() -> None:
    found, _ = proposal(read(b"name,from,ip\na,a@contoso.com,10.0.0.5\n", "list.csv"))
    assert not found.sites
    assert "site" not in found.devices[0].body
    assert "10.0.0.5 is a private address" in found.devices[0].questions[0]


def test_headers_are_mapped_by_option_and_a_field_has_one_column() -> None:
    text = "Bezeichnung,Absender,Mail,From\nerp,erp@contoso.com,x@contoso.com,y@contoso.com\n"
    assert bodies(text, mapped={"Bezeichnung": "name", "absender": "from"}) == {"erp": {"from": "erp@contoso.com"}}
    for mapped, words in (
        ({"Absendr": "from"}, 'did you mean "Absender"'),
        ({"Absender": "frm"}, 'did you mean "from"'),
        ({"Absender": "from", "Mail": "from"}, "keep one"),
    ):
        with pytest.raises(InputError) as refused:
            read(text.encode(), "list.csv", mapped)
        assert words in refused.value.diagnostics[0].hint


def test_a_column_of_secrets_is_never_read() -> None:
    read_ = read(b"name,from,user password\nerp,erp@contoso.com,hunter2\n", "list.csv")
    assert read_.unused == ("user password",)
    with pytest.raises(InputError, match="no secrets"):
        read(b"name,from,user password\n", "list.csv", {"user password": "description"})


def test_a_persons_default_answers_only_where_the_row_does_not() -> None:
    text = "name,from,recipients\na,a@contoso.com,\nb,b@contoso.com,internal\n"
    found = bodies(text, defaults={"recipients": "anyone", "tls": "1.2", "authentication": "none"})
    abilities = {"tls": "1.2", "authentication": ["none"]}
    assert found["a"] == {"from": "a@contoso.com", "recipients": "anyone", "supports": abilities}
    assert found["b"] == {"from": "b@contoso.com", "recipients": "organization", "supports": abilities}
    with pytest.raises(InputError, match="--default tls"):
        bodies(text, defaults={"tls": "modern"})


@pytest.mark.parametrize("content", [b"", b"\n\n", b"just,some,words\n1,2,3\n"])
def test_what_is_no_list_is_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        read(content, "list.csv")


@pytest.mark.parametrize(
    "first", ["scan-1,10.0.0.5,scan@contoso.com,Hunter2", "[smtp.office365.com]:587 a@contoso.com:Hunter2"]
)
def test_a_list_without_a_header_is_refused_without_quoting_it(first: str) -> None:
    with pytest.raises(InputError) as refused:
        read(f"{first}\n".encode(), "list.csv")
    (told,) = refused.value.diagnostics
    assert "the first line describes a device" in told.summary
    assert "Hunter2" not in f"{told.summary} {told.hint}"


@pytest.mark.parametrize("begin", [b"PK\x03\x04\x14\0", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0"])
def test_a_workbook_is_called_one(begin: bytes) -> None:
    with pytest.raises(InputError, match="a workbook"):
        read(begin + bytes(range(256)), "list.xlsx")


@pytest.mark.parametrize(
    ("header", "cell", "body"),
    [
        ("From", "Scanner HQ <scan@contoso.com>", {"from": "scan@contoso.com"}),
        ("E-mail address", "scan@contoso.com", {"from": "scan@contoso.com"}),
        ("TLS", "TLS1.0/1.1/1.2", {"supports": {"tls": "1.2"}}),
        ("TLS", "1.0-1.2", {"supports": {"tls": "1.2"}}),
        ("Port", "25/587", {"supports": {"ports": [25, 587]}}),
        ("Auth", "Basic (user name and password)", {"supports": {"authentication": ["basic"]}}),
        ("Auth", "Modern Authentication", {"supports": {"authentication": ["oauth"]}}),
        ("Auth", "No authentication", {"supports": {"authentication": ["none"]}}),
        ("Recipients", "Internal + External", {"recipients": "anyone"}),
        ("Recipients", "employees", {"recipients": "organization"}),
    ],
)
def test_words_of_inventories_are_understood(header: str, cell: str, body: dict[str, Any]) -> None:
    found, wrong = proposal(read(f"System Name;{header}\nmfp;{cell}\n".encode(), "list.csv"))
    assert wrong == []
    assert [device.body for device in found.devices] == [body]
