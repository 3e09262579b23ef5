"""The text of tables as spreadsheets and scripts save them."""

from __future__ import annotations

import pytest

from provisioner.model.tables import decoded, is_workbook


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_a_table_is_read_in_every_encoding_that_windows_saves(encoding: str) -> None:
    assert decoded("Gerät;Büro\r\nScanner;Köln\r\n".encode(encoding)) == "Gerät;Büro\r\nScanner;Köln\r\n"


@pytest.mark.parametrize("content", [b"Name\n\x81", b"\xff\xfea", b"N\0a"])
def test_what_is_in_none_of_them_has_no_text(content: bytes) -> None:
    assert decoded(content) is None


def test_a_spreadsheet_s_own_file_is_told_from_a_table() -> None:
    assert is_workbook(b"PK\x03\x04\x14\0")
    assert is_workbook(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0")
    assert not is_workbook(b"PK;Name\r\n")
