"""Tables as spreadsheets and scripts save them as text: their encodings and separators. Pure."""

from __future__ import annotations

SEPARATORS = (",", ";", "\t", "|")

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
"""How .xlsx and .ods begin (a ZIP archive), and .xls (a compound file)."""


def is_workbook(content: bytes) -> bool:
    """Whether a file is a spreadsheet's own, rather than a table that it saved as text."""
    return content.startswith(_WORKBOOKS)


def decoded(content: bytes) -> str | None:
    """The text of a file by its byte order mark, by the zero bytes of UTF-16, as UTF-8, or as Windows-1252; or None."""
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        encodings = ["utf-16"]
    elif b"\0" in content[:200]:
        encodings = ["utf-16-be" if content[:1] == b"\0" else "utf-16-le"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None
