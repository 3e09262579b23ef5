"""The JSON Schema of a plan, from the definitions of its header and its sections.

Editors complete and check with it what `document` reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import TypeAdapter

from provisioner.devices import sections
from provisioner.model import ResourceType
from provisioner.model.checking import adapter_of
from provisioner.plan.header import LANGUAGE, Header


def schema(types: Sequence[ResourceType[Any]]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a file of a plan. A folder's files share its keys, so none of them is required."""
    header = adapter_of(Header)
    mode: Literal["validation"] = "validation"
    shapes = {**{kind.section: kind.section_type for kind in types}, **sections.SECTIONS}
    inputs = [(name, mode, adapter_of(shape)) for name, shape in shapes.items()]
    written, shared = TypeAdapter.json_schemas(inputs, ref_template="#/$defs/{model}")
    own = header.json_schema(ref_template="#/$defs/{model}")
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"provisioner plan, language version {LANGUAGE}",
        "description": "The desired state of mail sending in one tenant. What is not written is not managed.",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            **_untitled(own["properties"]),
            **{name: _or_variable(_untitled(written[name, mode])) for name in shapes},
        },
        "$defs": {
            **_untitled(own.get("$defs", {})),
            **{name: _or_variable(shape) for name, shape in _untitled(shared.get("$defs", {})).items()},
        },
    }
    return _in_words(found)


_VARIABLE: Mapping[str, Any] = {"type": "string", "pattern": r"^var:|\$\{"}


def _or_variable(shape: Any) -> Any:
    """A schema that takes a variable wherever a value stands: an editor must not complain of `var:NAME`."""
    if not isinstance(shape, dict):
        return shape
    inner = dict(shape)
    for key in ("properties", "patternProperties"):
        if isinstance(inner.get(key), dict):
            inner[key] = {name: _or_variable(part) for name, part in inner[key].items()}
    for key in ("additionalProperties", "items"):
        if isinstance(inner.get(key), dict):
            inner[key] = _or_variable(inner[key])
    narrow = "enum" in inner or "const" in inner or "pattern" in inner or "format" in inner
    if not narrow and inner.get("type") not in {"boolean", "integer", "number", "array"}:
        return inner
    kept = {key: inner.pop(key) for key in ("description", "examples") if key in inner}
    return {"anyOf": [inner, dict(_VARIABLE)], **kept}


_DEFINITION = "#/$defs/"


def _in_words(found: Mapping[str, Any]) -> dict[str, Any]:
    """A schema whose definitions are called as editors show them: `outbound_connector`, not a class of ours."""
    names = {name: _snake(name) for name in found["$defs"]}

    def renamed(part: Any) -> Any:
        if isinstance(part, dict):
            return {
                k: renamed(v) if k != "$ref" else _DEFINITION + names[v[len(_DEFINITION) :]] for k, v in part.items()
            }
        return [renamed(v) for v in part] if isinstance(part, list) else part

    definitions = {names[name]: renamed(shape) for name, shape in found["$defs"].items()}
    if len(definitions) < len(names):
        raise ValueError("two definitions of the schema have one name")
    return {**renamed({k: v for k, v in found.items() if k != "$defs"}), "$defs": definitions}


def _snake(name: str) -> str:
    """`OutboundConnectorBody` -> `outbound_connector`."""
    word = re.sub(r"(Body|Section|Entry)$", "", name.strip("_"))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).lower()


def _untitled(part: Any) -> Any:
    """Without pydantic's titles, which only repeat the names."""
    if isinstance(part, dict):
        return {k: _untitled(v) for k, v in part.items() if k != "title" or not isinstance(v, str)}
    return [_untitled(v) for v in part] if isinstance(part, list) else part
