"""The one writer of YAML: plans that are exported or proposed, and zone files of octoDNS.

ruamel.yaml decides what needs quotes. `plan/yaml_nodes.py` reads YAML, with positions and by the rules of the plan
language.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, MutableMapping, MutableSequence
from typing import TYPE_CHECKING, Any

from provisioner.model.runner_commands import COMMAND, commands_in

if TYPE_CHECKING:
    from ruamel.yaml import YAML

_WORD = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z]+", re.IGNORECASE)
"""What YAML 1.1 takes for a text too (https://yaml.org/type/bool.html and null.html)."""
_WIDTH = 1 << 20  # no line is folded


def round_trip() -> YAML:
    """A reader and writer that keeps comments, order and spellings (ruamel.yaml's round trip)."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def dump(document: Any, yaml: YAML | None = None) -> str:
    """What `round_trip` has read, or made, as text. Where something would not print, all of it is written in ASCII.

    A file is not a log, but a job that shows it makes it one: what a CI runner would obey stands as an escape of YAML's
    own, which means the same.
    """
    yaml = yaml or round_trip()
    text = _dumped(document, yaml)
    if commands_in(text):
        text = _escaped(_dumped(_quoted(document), yaml))
    if not all(line.isprintable() for line in text.split("\n")):
        yaml.allow_unicode = False  # a mark of direction or a colour would act on the terminal that shows the file
        text = _escaped(_dumped(document, yaml))
    return text


def _quoted(node: Any) -> Any:
    """A document whose texts are in double quotes where a CI runner would obey them: only there YAML has escapes."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(node, MutableMapping):
        for number, (key, value) in enumerate(list(node.items())):
            new, known = _quoted(key), _quoted(value)
            if new is key:
                node[key] = known
            else:
                del node[key]
                node.insert(number, new, known)  # type: ignore[attr-defined]  # ruamel's mapping has an order
    elif isinstance(node, MutableSequence):
        for number, item in enumerate(node):
            node[number] = _quoted(item)
    elif isinstance(node, str) and commands_in(node):
        return DoubleQuotedScalarString(node)
    return node


def _escaped(text: str) -> str:
    """The text of a document with the commands in its double quotes broken. Comments are their author's own words."""
    from ruamel.yaml import YAML
    from ruamel.yaml.tokens import ScalarToken

    if not commands_in(text):
        return text
    found, end = [], 0
    for token in YAML(typ="rt", pure=True).scan(text):
        if isinstance(token, ScalarToken) and token.style == '"':
            start, stop = token.start_mark.index, token.end_mark.index
            found += [text[end:start], COMMAND.sub(r"\\x23#", text[start:stop])]
            end = stop
    return "".join([*found, text[end:]])


def _dumped(document: Any, yaml: YAML) -> str:
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def write(content: Mapping[str, Any], *, quoted: bool = False, start: bool = False) -> str:
    """Plain data as YAML 1.2. Lists of plain values are written on one line, all else in blocks.

    `quoted` puts quotes around all but plain words, for readers of YAML 1.1 (PyYAML), to which `off` is a boolean and
    `1:30` a number.
    `start` begins with `---`.
    """
    yaml = round_trip()
    yaml.explicit_start = start
    return dump(_node(content, quoted), yaml)


def _node(value: Any, quoted: bool) -> Any:
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, Mapping):
        return CommentedMap((_node(k, quoted), _node(v, quoted)) for k, v in value.items())
    if isinstance(value, list | tuple):
        found = CommentedSeq(_node(v, quoted) for v in value)
        if not any(isinstance(v, Mapping | list | tuple) for v in value):
            found.fa.set_flow_style()
        return found
    plain = not isinstance(value, str) or not quoted or _WORD.fullmatch(value)
    return value if plain else DoubleQuotedScalarString(value)
