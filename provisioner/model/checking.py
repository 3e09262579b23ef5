"""pydantic's adapter of a shape, made once: making one takes longer than checking a plan with it."""

from __future__ import annotations

import functools
from typing import Any

from pydantic import TypeAdapter


@functools.cache
def adapter_of(shape: Any) -> TypeAdapter[Any]:
    """What checks values of a shape (a TypedDict, a dataclass or an annotation), and knows its JSON schema."""
    return TypeAdapter(shape)
