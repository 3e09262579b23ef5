from __future__ import annotations

from typing import Any

from provisioner.render.sheets import USED_COLUMNS
from provisioner.render.usage import usage_csv, usage_text


def row(**more: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "state": "declared", "device": "", "sender": "erp@contoso.com", "uses": "client_submission",
        "ip_addresses": [], "messages": None, "last_seen": "", "recommended": "", "advice": "leave it", "tenant": "",
    }  # fmt: skip
    return {**dict.fromkeys(USED_COLUMNS, ""), **facts, **more}


def document(*rows: dict[str, Any], unread: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"begin": "2026-11-01", "end": "2026-11-20", "rows": list(rows), "unread": list(unread)}


def test_rows_stand_under_their_state_with_what_is_known_of_them() -> None:
    known = row(device="scanner", ip_addresses=["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], messages=1_200,
                last_seen="2026-11-19", recommended="smtp_relay", tenant="no connector names it")  # fmt: skip
    assert usage_text(document(known, row(state="unused"), row())) == (
        "Evidence of use from 2026-11-01 to 2026-11-20:\n"
        "\nDeclared (2):\n"
        "  scanner (erp@contoso.com): client submission, 192.0.2.1, 192.0.2.2, 192.0.2.3, 1,200 messages, "
        "last seen 2026-11-19\n"
        "    should use smtp relay\n"
        "    leave it\n"
        "    tenant: no connector names it\n"
        "  erp@contoso.com: client submission\n"
        "    leave it\n"
        "\nUnused (1):\n"
        "  erp@contoso.com: client submission\n"
        "    leave it\n"
    )


def test_what_was_not_read_is_named_and_acts_on_no_terminal() -> None:
    said = usage_text(document(row(sender="\x1b[2Jerp", uses=""), unread=("message trace: \x1b]0;x\x07forbidden",)))
    assert "\nNot read, or only in part (what no source saw may be used all the same):\n" in said
    assert "forbidden" in said
    assert not {"\x1b", "\x07"} & set(said)
    assert "erp\n    leave it" in said


def test_a_line_of_csv_has_lists_as_one_cell_and_no_formula() -> None:
    text = usage_csv(document(row(sender="=cmd|x", ip_addresses=["192.0.2.1", "192.0.2.2"], messages=7)))
    head, line = text.splitlines()
    assert head == ",".join(USED_COLUMNS)
    assert '"192.0.2.1, 192.0.2.2"' in line
    assert "'=cmd|x" in line
    assert ",None" not in usage_csv(document(row()))
    assert ",7," in f"{line},"
