"""What resource types have in common, where a type says nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from provisioner.model import Answer, Query, field_names
from provisioner.resources.canonical import spellings


class BaseType:
    """The usual answers of a resource type."""

    def names(self, spec: Any) -> Collection[str]:
        """The key, which is the first field of a spec, and what the field `names` holds; domains in both spellings."""
        key = getattr(spec, field_names(spec)[0])
        return {text for name in (key, *getattr(spec, "names", ())) for text in spellings(name)}

    def follow_up(
        self,
        wanted: Mapping[str, Any],  # noqa: ARG002
        everything: bool,  # noqa: ARG002
        answers: Sequence[tuple[Query, Answer]],  # noqa: ARG002
    ) -> Sequence[Query]:
        """Nothing more to ask: the rows name the objects as the plan does."""
        return ()
