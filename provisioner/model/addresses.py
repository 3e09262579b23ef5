"""Addresses: what a resource is called everywhere, and the patterns that name several."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_quoted = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A resource's name everywhere: `inbound_connector["hq-relay"]`, quoted as JSON quotes (Terraform's instances)."""

    type: str
    key: str

    def __str__(self) -> str:
        return f"{self.type}[{_quoted(self.key)}]"

    def __hash__(self) -> int:
        """A text knows its hash, a pair is hashed anew; a plan of 10,000 mailboxes asks for half a million."""
        return hash(self.key)

    @property
    def short(self) -> str:
        """The form that a command line takes: `inbound_connector/hq-relay`."""
        return f"{self.type}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read either form. Raises ValueError saying what an address looks like."""
        kind, bracket, rest = text.partition("[")
        if bracket and rest.endswith("]"):
            try:
                key = json.loads(rest[:-1])
            except ValueError:
                key = None
            if isinstance(key, str) and kind and key:
                return cls(kind, key)
        elif "/" in text:
            kind, _, key = text.partition("/")
            if kind and key:
                return cls(kind, key)
        raise ValueError(f'"{text}" is not an address: write type/key or type["key"]')


def matches(patterns: Iterable[str], address: Address, names: Iterable[str] = ()) -> bool:
    """Whether one of the shell patterns (`inbound_connector/Hybrid *`) names this object; `[` is plain text.

    `names` are the other names of the object (`ResourceType.names`): a pattern may match any of them.
    """
    wanted = [_pattern(pattern) for pattern in patterns]
    if not wanted:
        return False
    called = {address.short, *(Address(address.type, name).short for name in names)}
    return any(fits(text) for fits in wanted for text in called)


@functools.cache
def _pattern(pattern: str) -> Callable[[str], bool]:
    import fnmatch
    import re

    escaped = "".join("[[]" if c == "[" else c for c in pattern)
    compiled = re.compile(fnmatch.translate(escaped), re.IGNORECASE)
    return lambda text: compiled.match(text) is not None
