"""Bodies of answers: read, unpacked and parsed within limits (tenant/limits.py), whichever client carried them."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncIterable
from typing import Any

import orjson

from provisioner.tenant import limits

_GZIP = 16 + zlib.MAX_WBITS
_ANY = 32 + zlib.MAX_WBITS  # gzip or zlib, by its first bytes
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MOST_MEMBERS = 64  # a server that packs while it sends ends one now and then; each is copied once for every one before


class OddBody(ValueError):
    """A body that is not the service's, or more than is read of one; the text says how."""


class TooLarge(OddBody):
    """A body that is larger or nested deeper than any of the service's."""


async def collected(chunks: AsyncIterable[bytes], most_bytes: int | None = None) -> bytes:
    """A body, read chunk by chunk. Raises TooLarge before more than the limit is held."""
    most = limits.MOST_BYTES if most_bytes is None else most_bytes
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise TooLarge(f"the answer has more than {most:,} bytes")
        parts.append(chunk)
    return b"".join(parts)


def decoded(content: bytes, encoding: str, most_bytes: int | None = None) -> bytes:
    """A body without its `Content-Encoding`. Raises OddBody for one that nobody asked for, or that does not fit."""
    form = encoding.strip().lower().removeprefix("x-")
    if form in ("gzip", "deflate"):
        return unpacked(content, form, most_bytes) if content else content
    if form in ("identity", ""):
        return content
    raise OddBody(f"the answer is packed as {form[:40]}, which was not asked for")


def unpacked(content: bytes, encoding: str = "gzip", most_bytes: int | None = None) -> bytes:
    """A body of gzip, or of what `Content-Encoding` calls deflate (zlib, or without its header: RFC 9110, 8.4.1.2).

    Raises TooLarge before more than the limit is unpacked, OddBody for anything else.
    """
    most = limits.MOST_BYTES if most_bytes is None else most_bytes
    try:
        return _inflated(content, _GZIP if encoding == "gzip" else _ANY, most)
    except zlib.error as error:
        if encoding == "gzip":
            raise OddBody(f"the answer is broken gzip: {error}") from error
    try:
        return _inflated(content, -zlib.MAX_WBITS, most)
    except zlib.error as error:
        raise OddBody(f"the answer is broken deflate: {error}") from error


def _inflated(content: bytes, form: int, most: int) -> bytes:
    """All members of a body, one after the other (RFC 1952, 2.2). Raises zlib.error where it is none."""
    parts: list[bytes] = []
    left = most
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(form)
        part = member.decompress(content, left + 1)
        left -= len(part)
        if left < 0:
            raise TooLarge(f"the answer has more than {most:,} bytes when it is unpacked")
        if not member.eof:
            raise zlib.error("it ends too early")
        parts.append(part)
        content = member.unused_data.lstrip(b"\0")  # RFC 1952 allows no padding, and some servers pad
        if not content:
            return b"".join(parts)
    raise TooLarge(f"the answer has more than {_MOST_MEMBERS} gzip members")


def document(content: bytes) -> Any:
    """The JSON value of a body. Raises TooLarge where it is nested too deeply, ValueError for other text."""
    found = unchecked(content)
    check_depth(found)
    return found


def unchecked(content: bytes) -> Any:
    """The same, of a body whose depth is still to be checked: until then nothing may look into what it holds.

    Half of a surrogate pair is not text (RFC 8259, 8.2): nothing could name the object that has it in its name.
    """
    found = _parsed(content)
    if _SURROGATE.search(content) and not _is_text(found):
        raise OddBody("the answer holds half of a character")
    return found


def check_depth(found: Any) -> None:
    """Raise TooLarge where a JSON value is nested too deeply."""
    level = [found]
    for _ in range(limits.MOST_DEPTH):
        level = [item for value in level for item in _items(value) if item.__class__ in _NESTING]
        if not level:
            return
    raise _too_deep()


def _parsed(content: bytes) -> Any:
    """The JSON value. What orjson refuses is left to json, which takes more: other encodings, a mark of their order."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(content)
    except RecursionError:
        raise _too_deep() from None


def _is_text(value: Any) -> bool:
    """Whether every name and text in a JSON value consists of whole characters."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    except RecursionError:
        raise _too_deep() from None
    return True


def _too_deep() -> TooLarge:
    return TooLarge(f"the answer is nested more than {limits.MOST_DEPTH} levels deep")


_NESTING = (dict, list)


def _items(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
