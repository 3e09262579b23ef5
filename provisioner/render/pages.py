"""HTML from the templates beside this module: everything that they print is made visible, and escaped.

A template cannot forget either: `finalize` passes each value through `visible`, and autoescape is on for all of them.
Only what is loaded by `source` (our own styles and scripts) is printed as it is.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.render.escape import visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_TEMPLATES = Path(__file__).with_name("templates")


def page(template: str, **values: Any) -> str:
    """A template with these values. A name that it misses is an error."""
    return _environment().get_template(template).render(**values)


def source(name: str) -> Markup:
    """A file of ours that stands in a page as it is."""
    from markupsafe import Markup

    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - our own file


def drawing(svg: str) -> Markup:
    """An SVG of ours as inline markup, in which the names were escaped when it was drawn."""
    from markupsafe import Markup

    return Markup(svg)  # noqa: S704


def qr_code(text: str) -> Markup:
    """A QR code as inline SVG, which a page may hold without fetching anything; "" for a text too long for one.

    segno is small, needs nothing else and takes 0.1 s to load, so that only a page with a code loads it.
    """
    import segno
    from markupsafe import Markup

    try:
        code = segno.make_qr(text, error="l", encoding="utf-8")
    except segno.DataOverflowError:
        return Markup()
    # What is drawn are modules, so that nothing of the text stands in the markup.
    return Markup(code.svg_inline(scale=3, omitsize=True, svgclass="code"))  # noqa: S704


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["json"] = functools.partial(json.dumps, ensure_ascii=False)
    environment.tests["a_list"] = lambda value: isinstance(value, list)
    return environment


def _printed(value: Any) -> Any:
    """A value as it may be printed; what is markup already was escaped where it was made."""
    return value if hasattr(value, "__html__") else visible(str(value))
