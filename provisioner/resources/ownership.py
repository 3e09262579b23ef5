"""The ownership mark: which plan an object belongs to, where the object has a free text to say it in.

It lives behind the user's text and names the plan's owner and the object's key in that plan:
`HQ scanners [provisioner: mail-platform/prod [hq-relay]]`. Marks of earlier versions name the owner alone. An object
that carries our mark and leaves the plan is deleted; any other undeclared one is left alone. An object that was renamed
is known by the key in its mark.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from provisioner.resources.canonical import prose, refusal

HYBRID_WIZARD = "hybrid_wizard"
"""The maker whose objects are not for a plan: the Hybrid Configuration Wizard writes its values again when it runs."""


_MARK = re.compile(r"(?:(?P<comment>.*) )?\[provisioner: (?P<owner>[^\[\]]+?)(?: \[(?P<key>[^\[\]]+)\])?\]", re.DOTALL)
_RESERVED = {"%": "%25", "[": "%5B", "]": "%5D", "\r": "%0D", "\n": "%0A"}


def comment_on_wire(comment: str, owner: str, key: str = "") -> str:
    """The text for `Comment`: the user's, then the mark.

    Brackets of an owner and a key are escaped, those of a text are not. "" for a key is a mark of the owner alone.
    """
    if not owner:
        return comment
    mark = f"[provisioner: {_escaped(owner)}{f' [{_escaped(key)}]' if key else ''}]"
    return f"{comment} {mark}" if comment else mark


def _escaped(text: str) -> str:
    return "".join(_RESERVED.get(c, c) for c in text)


def split_comment(text: str) -> tuple[str, str, str]:
    """The user's text, the owner and the key ("" for no mark, and for a mark without a key).

    Only the last mark counts, and only at the very end.
    """
    match = _MARK.fullmatch(prose(text))
    if not match:
        return prose(text), "", ""
    return prose(match["comment"] or ""), unquote(match["owner"]), unquote(match["key"] or "")


def unmarked_comment(text: str) -> str:
    """A comment that a plan writes. Raises COMMENT-MARK where it ends in a mark, which only the plan's owner gives."""
    comment = prose(text)
    if split_comment(comment)[1]:
        hint = "leave the mark out; it is written for the plan's owner"
        raise refusal("COMMENT-MARK", "the comment ends in an ownership mark", hint)
    return comment
