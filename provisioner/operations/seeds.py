"""Seeds of a sandbox as files. They are read here and sent as values: a running sandbox opens no file by its name."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import yaml

from provisioner.border import read_named
from provisioner.diagnostics import Diagnostic, InputError

_LARGEST_SEED_BYTES = 1 << 30
_DEEPEST = 100


def read_seed(file: Path) -> Any:
    """A seed or an export, JSON or YAML; of another form its text. Raises InputError.

    Nothing of a file outside of its checkout is quoted.

    An alias of YAML stands for what it names, and aliases of aliases for more than any memory holds.
    """
    try:
        raw = read_named(file, _LARGEST_SEED_BYTES)
        # Windows PowerShell writes UTF-16 where it is not told otherwise.
        text = raw.decode("utf-16" if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
        if file.suffix.lower() == ".ps1" or text.lstrip()[:1] == "<":
            return {"file": file.name, "text": text}  # the sandbox reads what PowerShell and its kin write
        with contextlib.suppress(ValueError):
            return json.loads(text)
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"*{event.anchor} is an alias: write out what it stands for")
            if depth > _DEEPEST:
                raise ValueError("it nests too deep")
        return yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError([Diagnostic("SEED-UNREADABLE", f"{file} cannot be read: {why}")]) from error
