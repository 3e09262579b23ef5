"""The files of plans in one layout: which they are, which differ, and writing them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from provisioner.border import Border, write_result
from provisioner.diagnostics import Diagnostic, Diagnostics, InputError
from provisioner.plan import files as plan_files
from provisioner.plan.formatting import formatted


def differing(paths: Sequence[Path], border: Border) -> dict[str, str]:
    """The files of plans that are not in the one layout, with the text that they should have.

    Raises InputError with the mistakes of all files where one is not well-formed, and for a file outside of the border.
    """
    found = Diagnostics()
    texts: dict[str, str] = {}
    for file in plan_files.find(paths, found, border, tests=True):
        try:
            text = formatted(file.content, file.path)
        except InputError as error:
            found.items += error.found
            continue
        if text.encode("utf-8") != file.content:
            texts[file.path] = text
    found.raise_if_errors()
    return texts


def write(texts: dict[str, str], border: Border) -> None:
    """Write each file whole or not at all; through a link, the file that it names. Raises InputError."""
    for name, text in texts.items():
        path = Path(name)
        if not border.holds(path):
            what = f"{name} is a link that leads out of the checkout; it is not written"
            raise InputError([Diagnostic("OUT-WRITE", what, "name the file itself")])
        write_result(Path(os.path.realpath(path)), text, private=False)
