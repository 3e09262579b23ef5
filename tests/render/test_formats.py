"""Every format by its name: each is the renderer of that name, and each names every change."""

from __future__ import annotations

import json
from html import unescape

import pytest

from provisioner.changes import changeset
from provisioner.model import Action, Address, Change, ChangeSet
from provisioner.render import html, markdown, powershell, reports, text
from provisioner.render.formats import FORMATS, rendered
from provisioner.render.review import Shown
from provisioner.resources.dkim import Dkim
from tests.render.documents import document, empty


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        ("text", text.render(document(2))),
        ("markdown", markdown.render(document(2))),
        ("html", html.render(document(2))),
        ("powershell", powershell.render(document(2))),
        ("github", reports.github(document(2))),
        ("gitlab", reports.gitlab(document(2))),
        ("junit", reports.junit(document(2))),
        ("sarif", reports.sarif(document(2))),
    ],
)
def test_a_format_is_the_renderer_of_its_name(format_: str, expected: str) -> None:
    assert format_ in FORMATS
    assert rendered(format_, document(2)) == expected
    assert rendered(format_, empty()) != expected


def test_json_is_the_document_itself_with_names_as_they_are() -> None:
    found = document(1, unmanaged_more={"smtp_auth": 3})
    found["provisioner"]["tenant"] = "contoso-ü.onmicrosoft.com"
    written = rendered("json", found)
    assert json.loads(written) == found
    assert "contoso-ü.onmicrosoft.com" in written
    assert written.endswith("}\n")


def test_color_and_the_list_of_unmanaged_objects_are_for_text_alone() -> None:
    found = document(0, unmanaged_more={"smtp_auth": 3})
    assert rendered("text", found, Shown(color=True)) == text.render(found, Shown(color=True))
    assert "\x1b[32m" in rendered("text", found, Shown(color=True))
    assert "\x1b" not in rendered("text", found)
    assert "  and 3 more" in rendered("text", found, Shown(unmanaged=True))
    assert "  and 3 more" not in rendered("text", found)
    assert rendered("markdown", found, Shown(color=True, unmanaged=True)) == rendered("markdown", found)


def test_a_name_that_is_none_is_an_error() -> None:
    with pytest.raises(AttributeError):
        rendered("yaml", empty())


@pytest.mark.parametrize("format_", ["text", "markdown", "html"])
def test_a_domain_with_other_letters_is_shown_as_exchange_and_as_people_write_it(format_: str) -> None:
    name, odd = "xn--bcher-kva.example", "xn--0.example"
    made = (
        Change(Address("dkim", name), Action.CREATE, None, Dkim(name, enabled=True)),
        Change(Address("dkim", odd), Action.CREATE, None, Dkim(odd, enabled=True)),
    )
    told = unescape(rendered(format_, changeset.to_document(ChangeSet("t", "id", "us", made))))
    assert "xn--bcher-kva.example is b\u00fccher.example" in told
    assert f"{odd} is" not in told, "what cannot be read stands as it is"
