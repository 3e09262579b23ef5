"""Bodies of answers: what is read of them, what is refused, and how little memory a refusal takes."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from provisioner.tenant import limits
from provisioner.tenant.bodies import OddBody, TooLarge, collected, decoded, document, unpacked

TEXT = b'{"value": []}'
BARE = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
BARE_DEFLATE = BARE.compress(TEXT) + BARE.flush()


async def chunks(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"\\uDFFF": 1}', '[["\\udc00\\ud800"]]'])
def test_half_of_a_character_is_not_text(text: str) -> None:
    with pytest.raises(OddBody, match="half of a character"):
        document(text.encode())


@pytest.mark.parametrize(
    ("text", "value"), [('"\\ud83d\\ude00"', "😀"), ('"\\\\ud800"', "\\ud800"), ('"\\u00e4"', "ä")]
)
def test_whole_characters_are_text(text: str, value: str) -> None:
    assert document(text.encode()) == value


def test_a_body_is_the_sum_of_its_chunks() -> None:
    assert asyncio.run(collected(chunks(3, 0, 4), 7)) == b"x" * 7


def test_a_body_above_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match="more than 6 bytes"):
        asyncio.run(collected(chunks(3, 4), 6))


def test_the_rest_of_a_body_that_is_too_large_is_not_read() -> None:
    read: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(1)
            yield b"x" * 10

    with pytest.raises(TooLarge):
        asyncio.run(collected(endless(), 95))
    assert len(read) == 10


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (gzip.compress(TEXT, mtime=0), "gzip"),
        (gzip.compress(TEXT, mtime=0), " X-GZIP "),
        (gzip.compress(TEXT[:5], mtime=0) + gzip.compress(TEXT[5:], mtime=0), "gzip"),
        (gzip.compress(TEXT, mtime=0) + b"\0\0\0", "gzip"),
        (zlib.compress(TEXT), "deflate"),
        (BARE_DEFLATE, "deflate"),
        (TEXT, "identity"),
        (TEXT, ""),
    ],
)
def test_a_packed_body_is_unpacked(content: bytes, encoding: str) -> None:
    assert decoded(content, encoding) == TEXT


def test_an_empty_body_stays_empty_however_it_is_packed() -> None:
    assert decoded(b"", "gzip") == b""


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (gzip.compress(TEXT, mtime=0)[:-4], "gzip", "broken gzip"),
        (b"\0" * 30, "gzip", "broken gzip"),
        (gzip.compress(TEXT, mtime=0) + b"rubbish", "gzip", "broken gzip"),
        (TEXT, "deflate", "broken deflate"),
        (TEXT, "br", "packed as br"),
        (TEXT, "gzip, gzip", "packed as gzip, gzip"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_told(content: bytes, encoding: str, words: str) -> None:
    with pytest.raises(OddBody, match=words):
        decoded(content, encoding)


@pytest.mark.parametrize("form", ["gzip", "deflate"])
def test_what_unpacks_to_more_than_the_limit_is_refused_and_the_limit_itself_is_not(form: str) -> None:
    pack: Any = gzip.compress if form == "gzip" else zlib.compress
    assert len(unpacked(pack(b" " * 1000), form, 1000)) == 1000
    with pytest.raises(TooLarge, match="more than 999 bytes when it is unpacked"):
        unpacked(pack(b" " * 1000), form, 999)


def test_members_together_have_one_limit() -> None:
    member = gzip.compress(b" " * 600)
    with pytest.raises(TooLarge, match="more than 1,000 bytes"):
        unpacked(member + member, "gzip", 1000)
    with pytest.raises(TooLarge, match="gzip members"):
        unpacked(gzip.compress(b"") * 65, "gzip", 1000)


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    bomb = gzip.compress(b" " * 40_000_000)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        unpacked(bomb, "gzip", 1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_000_000


@pytest.mark.parametrize("shape", ["list", "object", "mixed"])
@pytest.mark.parametrize("extra", [0, 1])
def test_a_document_is_as_deep_as_allowed_and_no_deeper(shape: str, extra: int) -> None:
    found: Any = "end"
    for level in range(limits.MOST_DEPTH + extra):
        as_list = shape == "list" or (shape == "mixed" and level % 2)
        found = [1, found] if as_list else {"a": 1, "b": found}
    content = json.dumps(found).encode()
    if not extra:
        assert document(content) == found
        return
    with pytest.raises(TooLarge, match=f"more than {limits.MOST_DEPTH} levels"):
        document(content)


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"a":' * 200_000, b"[" * 200_000 + b"]" * 200_000])
def test_a_document_that_is_nested_without_end_is_refused(content: bytes) -> None:
    with pytest.raises(TooLarge):
        document(content)


@pytest.mark.parametrize("content", [b"", b"{", b"<html>", b"\xff\xfe"])
def test_what_is_not_json_is_a_value_error(content: bytes) -> None:
    with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
        document(content)
