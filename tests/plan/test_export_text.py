"""Export without a tenant: canonical objects become the text of a plan, and a file keeps what is still true."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from provisioner.changes.scoping import Scope
from provisioner.diagnostics import InputError
from provisioner.model import Absent, Address, Observation, Observed, Present, Unknown
from provisioner.plan.export import Export, Known, export, export_files
from provisioner.resources import TYPES
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.organization import Organization
from provisioner.resources.send_as import SendAs, pair_of
from provisioner.resources.smtp_auth import SmtpAuth

TENANT = "contoso.onmicrosoft.com"
HEADER = f"provisioner: 1\ntenant: {TENANT}\n"


def connector(name: str, **fields: Any) -> InboundConnector:
    """A connector as the service creates it, apart from these fields."""
    created: dict[str, Any] = {
        "type": "on_premises",
        "enabled": True,
        "sender_ip_addresses": frozenset({"203.0.113.5/32"}),
        "sender_domains": frozenset(),
        "require_tls": True,
        "tls_sender_certificate_name": "",
        "comment": "",
        "owner": "",
        "source": "default",
    }
    return InboundConnector(name, **{**created, **fields})


LIVE = {
    Address("smtp_auth", "organization"): SmtpAuth("organization", "disabled"),
    Address("smtp_auth", "fax@contoso.com"): SmtpAuth("fax@contoso.com", "disabled"),
    Address("smtp_auth", "erp@contoso.com"): SmtpAuth("erp@contoso.com", "enabled"),
    Address("inbound_connector", "hq"): connector("hq"),
}


def exported(undeclared: dict[Address, Any] | None = None, **options: Any) -> Export:
    return export(Observed({}, LIVE if undeclared is None else undeclared), TYPES, TENANT, **options)


def plan_of(found: Export) -> Any:
    return yaml.safe_load(found.text)


def test_a_new_file_has_a_header_and_the_organization_before_the_mailboxes() -> None:
    found = exported()
    assert found.text.startswith(HEADER)
    assert plan_of(found)["smtp_auth"] == {
        "organization": "disabled",
        "mailboxes": {"erp@contoso.com": "enabled", "fax@contoso.com": "disabled"},
    }
    assert found.text.index("erp@") < found.text.index("fax@")
    assert plan_of(found)["inbound_connectors"] == {
        "hq": {"type": "on_premises", "require_tls": True, "sender_ip_addresses": ["203.0.113.5/32"]}
    }
    assert found.left_out == ()


def test_a_tenant_without_objects_is_a_plan_without_sections() -> None:
    assert exported({}).text == HEADER


def test_what_was_read_as_declared_counts_only_where_it_is_present() -> None:
    seen: dict[Address, Observation] = {
        Address("smtp_auth", "erp@contoso.com"): Present(SmtpAuth("erp@contoso.com", "enabled")),
        Address("smtp_auth", "fax@contoso.com"): Absent(),
        Address("smtp_auth", "pos@contoso.com"): Unknown("throttled"),
    }
    found = export(Observed(seen), TYPES, TENANT)
    assert plan_of(found)["smtp_auth"] == {"mailboxes": {"erp@contoso.com": "enabled"}}


def test_a_scope_leaves_the_rest_out_without_a_word() -> None:
    found = exported(scope=Scope(targets=("smtp_auth/erp*",)))
    assert set(plan_of(found)) == {"provisioner", "tenant", "smtp_auth"}
    assert plan_of(found)["smtp_auth"] == {"mailboxes": {"erp@contoso.com": "enabled"}}
    assert found.left_out == ()


@pytest.mark.parametrize(
    ("fields", "owner", "told"),
    [
        (
            {"source": "hybrid_wizard"},
            "",
            ['inbound_connector["x"]: the Hybrid Configuration Wizard made it and keeps it'],
        ),
        (
            {"owner": "us/prod"},
            "",
            ['inbound_connector["x"]: it belongs to "us/prod"; --owner us/prod exports that plan\'s objects'],
        ),
        (
            {"owner": "us/prod"},
            "eu/prod",
            ['inbound_connector["x"]: it belongs to "us/prod"; --owner us/prod exports that plan\'s objects'],
        ),
        ({"owner": "us/prod"}, "us/prod", []),
        ({}, "us/prod", []),
    ],
)
def test_what_belongs_to_others_is_left_out_and_named(fields: dict[str, Any], owner: str, told: list[str]) -> None:
    found = exported({Address("inbound_connector", "x"): connector("x", **fields)}, owner=owner)
    assert list(found.left_out) == told
    assert ("inbound_connectors" in plan_of(found)) is not bool(told)
    assert plan_of(found).get("owner", "") == owner


def test_the_owner_of_the_file_counts_where_none_is_given() -> None:
    live = {Address("inbound_connector", "x"): connector("x", owner="us/prod")}
    old = f"{HEADER}owner: us/prod\n"
    assert "x" in plan_of(exported(live, old=old))["inbound_connectors"]
    found = exported(live, old=old, owner="eu/prod")
    assert plan_of(found)["owner"] == "eu/prod"
    assert len(found.left_out) == 1


def test_what_a_plan_cannot_write_is_named_and_the_rest_is_exported() -> None:
    live = connector(
        "x", sender_domains=frozenset({"contoso.com"}), spellings=frozenset({"SenderDomains=contoso.com;5"})
    )
    found = exported({Address("inbound_connector", "x"): live})
    assert plan_of(found)["inbound_connectors"]["x"]["sender_domains"] == ["contoso.com"]
    assert list(found.left_out) == [
        'inbound_connector["x"]: the cost of contoso.com;5 in sender_domains is left as it is until the list changes'
    ]


def test_a_field_that_the_plan_language_does_not_take_is_left_out_and_the_rest_is_kept() -> None:
    live = {Address("inbound_connector", "x"): connector("x", ef_skip_ips=frozenset({"2001:db8:1::/48"}))}
    found = exported(live)
    assert "ef_skip_ips" not in plan_of(found)["inbound_connectors"]["x"]
    assert plan_of(found)["inbound_connectors"]["x"]["sender_ip_addresses"] == ["203.0.113.5/32"]
    (told,) = found.left_out
    assert told.startswith('inbound_connector["x"]: ef_skip_ips: ')


def test_an_object_that_the_plan_language_does_not_take_is_left_out_with_the_reason() -> None:
    live = {Address("inbound_connector", " "): connector(" "), **LIVE}
    found = exported(live)
    assert list(plan_of(found)["inbound_connectors"]) == ["hq"]
    (told,) = found.left_out
    assert told.startswith('inbound_connector[" "]: ')


# --- a file that exists ----------------------------------------------------------------------------------------------

OLD = f"""# Mail of Contoso
{HEADER}
smtp_auth:
  mailboxes:
    ERP@contoso.com: 'disabled'   # the ERP
    # the fax machines
    fax@contoso.com: disabled
    gone@contoso.com: enabled   # left in 2025
inbound_connectors:
  hq:
    sender_ip_addresses: [203.0.113.9, 203.0.113.5]   # NET-1
    comment: head office
"""


def test_an_entry_is_corrected_where_it_stands_and_what_is_true_is_not_touched() -> None:
    text = exported(old=OLD).text
    assert text.startswith("# Mail of Contoso\nprovisioner: 1\n")
    assert re.search(r"    ERP@contoso\.com: 'enabled' +# the ERP\n", text)
    assert "    # the fax machines\n    fax@contoso.com: disabled\n" in text
    assert "gone@contoso.com" not in text
    assert text.index("smtp_auth:") < text.index("inbound_connectors:"), "the order of the file is kept"
    plan = yaml.safe_load(text)
    assert plan["smtp_auth"]["organization"] == "disabled", "what the file does not declare is added"
    assert plan["inbound_connectors"]["hq"] == {"sender_ip_addresses": ["203.0.113.5"], "comment": ""}


def test_a_second_export_changes_nothing() -> None:
    once = exported(old=OLD).text
    assert exported(old=once).text == once


def test_a_spelling_that_means_the_same_stays() -> None:
    old = f"{HEADER}inbound_connectors:\n  hq:\n    sender_ip_addresses: [203.0.113.5]   # one address\n"
    assert exported({Address("inbound_connector", "hq"): connector("hq")}, old=old).text == old


def test_a_field_that_has_no_value_any_more_is_taken_out() -> None:
    live = {Address("inbound_connector", "hq"): connector("hq", comment=None)}
    old = f"{HEADER}inbound_connectors:\n  hq:\n    comment: head office\n    require_tls: true\n"
    assert plan_of(exported(live, old=old))["inbound_connectors"] == {"hq": {"require_tls": True}}


@pytest.mark.parametrize("section", ["", "organization: {}\n", "organization:\n"])
def test_a_section_that_is_empty_declares_nothing_yet(section: str) -> None:
    live = {Address("organization", "settings"): Organization("settings", reject_direct_send=True)}
    assert plan_of(exported(live, old=HEADER + section))["organization"] == {"reject_direct_send": True}


def test_the_tenant_that_a_file_names_stays() -> None:
    assert plan_of(exported({}, old="provisioner: 1\ntenant: fabrikam.com\n"))["tenant"] == "fabrikam.com"
    assert plan_of(exported({}, old="provisioner: 1\n"))["tenant"] == TENANT
    assert exported({}, old=" \n").text == HEADER


@pytest.mark.parametrize(
    ("old", "word"), [("a: [\n", "is not YAML"), ("a: 1\na: 2\n", "is not YAML"), ("- a\n", "holds no mapping")]
)
def test_a_file_that_is_no_plan_is_not_overwritten(old: str, word: str) -> None:
    with pytest.raises(InputError) as refusal:
        exported(old=old)
    (told,) = refusal.value.diagnostics
    assert told.id == "EXPORT-FILE"
    assert word in told.summary


# --- comments --------------------------------------------------------------------------------------------------------

CONNECTORS = """# what has no connector of its own
inbound_connectors:
  # the first office
  a:
    sender_ip_addresses: [203.0.113.5]
  # the second one
  b:
    sender_ip_addresses: [203.0.113.5] # beside
  # the third one
  c:
    require_tls: true
# behind the section
smtp_auth:
  organization: disabled
# the end
"""


@pytest.mark.parametrize("kept", ["abc", "ac", "ab", "bc", "a", "b", "c", ""])
def test_a_comment_around_an_entry_that_goes_stays(kept: str) -> None:
    live: dict[Address, Any] = {Address("smtp_auth", "organization"): SmtpAuth("organization", "disabled")}
    live |= {Address("inbound_connector", name): connector(name) for name in kept}
    found = exported(live, old=HEADER + CONNECTORS)
    lines = [line.strip() for line in found.text.splitlines()]
    comments = [line.strip() for line in CONNECTORS.splitlines() if line.lstrip().startswith("#")]
    assert [line for line in lines if line.startswith("#")] == comments
    assert ("# beside" in found.text) == ("b" in kept), "what stands on the line of an entry goes with it"
    assert list(plan_of(found).get("inbound_connectors", {})) == list(kept)


RIGHTS = """send_as:
  erp@contoso.com:
    # for invoices
    - a@contoso.com
    # for reminders
    - b@contoso.com  # beside
    # for reports
    - c@contoso.com
  # the web shop
  shop@contoso.com: [a@contoso.com]
# the end
"""


@pytest.mark.parametrize("kept", [("a", "b", "c"), ("a", "c"), ("b",), ("c",), ()])
def test_a_comment_between_the_items_of_a_list_stays(kept: tuple[str, ...]) -> None:
    pairs = [pair_of("erp@contoso.com", f"{name}@contoso.com") for name in kept]
    found = exported({Address("send_as", p.pair): p for p in pairs}, old=HEADER + RIGHTS)
    comments = [line.strip() for line in RIGHTS.splitlines() if line.lstrip().startswith("#")]
    assert [line.strip() for line in found.text.splitlines() if line.lstrip().startswith("#")] == comments
    wanted = {"send_as": {"erp@contoso.com": [f"{name}@contoso.com" for name in kept]}} if kept else {}
    assert plan_of(found) == {"provisioner": 1, "tenant": TENANT, **wanted}


def test_a_section_whose_only_entry_is_replaced_stays_in_its_place() -> None:
    live = {
        Address("inbound_connector", "new"): connector("new"),
        Address("smtp_auth", "organization"): SmtpAuth("organization", "disabled"),
    }
    old = (
        f"{HEADER}inbound_connectors:\n  # ours\n  old: {{ require_tls: true }}\nsmtp_auth:\n  organization: disabled\n"
    )
    found = exported(live, old=old)
    assert list(plan_of(found)) == ["provisioner", "tenant", "inbound_connectors", "smtp_auth"]
    assert list(plan_of(found)["inbound_connectors"]) == ["new"]
    assert "# ours" in found.text


def test_an_entry_under_another_name_of_its_object_stays_as_it_is_spelled() -> None:
    """An alias of a trustee or a mailbox names the same object: nothing is written anew, and nothing twice."""
    old = (
        "provisioner: 1\ntenant: contoso.onmicrosoft.com\n"
        "smtp_auth:\n  mailboxes:\n    mfp@contoso.com: disabled # the third floor\n"
        "send_as:\n  sap@contoso.com: [gone@contoso.com, bills@contoso.com] # monthly\n"
    )
    pair = "erp@contoso.com as bills@contoso.com"
    names = frozenset({"sap@contoso.com as bills@contoso.com"})
    right = SendAs(pair, "erp@contoso.com", "bills@contoso.com", "g-1", "g-2", names)
    other = pair_of("erp@contoso.com", "news@contoso.com")
    switch = SmtpAuth("scan@contoso.com", "enabled", "scan@contoso.com", frozenset({"mfp@contoso.com"}))
    live = {
        Address("send_as", pair): right,
        Address("send_as", other.pair): other,
        Address("smtp_auth", "scan@contoso.com"): switch,
    }
    text = exported(live, old=old).text
    assert re.search(r"mfp@contoso.com: enabled +# the third floor\n", text)
    assert re.search(r"sap@contoso.com: \[bills@contoso.com\] +# monthly\n", text)
    assert yaml.safe_load(text)["send_as"] == {
        "sap@contoso.com": ["bills@contoso.com"],
        "erp@contoso.com": ["news@contoso.com"],
    }
    assert yaml.safe_load(text)["smtp_auth"] == {"mailboxes": {"mfp@contoso.com": "enabled"}}


def test_a_file_is_changed_only_where_it_differs() -> None:
    """Spaces, quotes, braces and the order of a list are its author's."""
    live = {
        Address("inbound_connector", "hq"): connector(
            "hq", sender_ip_addresses=frozenset({"203.0.113.5/32", "203.0.113.9/32"})
        ),
        Address("smtp_auth", "erp@contoso.com"): SmtpAuth("erp@contoso.com", "enabled"),
    }
    old = (
        f"{HEADER}owner:   mail/prod   # us\n\n"
        "inbound_connectors:\n    hq: { require_tls:  true, sender_ip_addresses: [ 203.0.113.9 ] }   # NET-1\n"
        "smtp_auth:\n    mailboxes: { erp@contoso.com:   'disabled' }\n"
    )
    new = old.replace("[ 203.0.113.9 ]", "[ 203.0.113.9, 203.0.113.5/32 ]").replace("'disabled'", "'enabled'")
    assert exported(live, old=old).text == new


def test_variables_stay_where_their_value_is_right() -> None:
    known = Known({"hq": "203.0.113.5", "domain": "contoso.com", "state": "disabled"})
    old = (
        f"{HEADER}inbound_connectors:\n  hq: {{ sender_ip_addresses: [var:hq] }}\n"
        "smtp_auth:\n  organization: var:state\n"
        '  mailboxes: { "fax@${domain}": var:state, "erp@${domain}": var:state }\n'
    )
    assert exported(old=old, known=known).text == old.replace('"erp@${domain}": var:state', '"erp@${domain}": enabled')


def test_a_section_with_mistakes_is_an_error() -> None:
    with pytest.raises(InputError) as refusal:
        exported(old=f"{HEADER}smtp_auth:\n  organization: perhaps\n")
    assert "smtp_auth of the existing file has mistakes" in refusal.value.diagnostics[0].summary


# --- a folder --------------------------------------------------------------------------------------------------------


def files(old: dict[str, str], **options: Any) -> dict[str, str]:
    return dict(export_files(Observed({}, LIVE), TYPES, TENANT, old, **options).texts)


def test_each_section_of_a_folder_stays_in_its_file() -> None:
    old = {
        "a.yaml": f"{HEADER}owner: mail/prod\nsmtp_auth:\n"
        "  mailboxes: { gone@contoso.com: enabled, fax@contoso.com: enabled }\n",
        "b.yaml": "# the rest\nsmtp_auth:\n  mailboxes:\n    erp@contoso.com: enabled  # ERP\n",
    }
    found = files(old, owner="mail/prod")
    assert found == {
        "a.yaml": f"{HEADER}owner: mail/prod\nsmtp_auth:\n  mailboxes: {{ fax@contoso.com: disabled }}\n",
        "b.yaml": f"{old['b.yaml']}  organization: disabled\n",
        "inbound_connectors.yaml": found["inbound_connectors.yaml"],
    }
    assert yaml.safe_load(found["inbound_connectors.yaml"])["inbound_connectors"].keys() == {"hq"}
    assert files(found) == found, "a second export changes nothing"


def test_a_file_whose_objects_are_all_gone_stays_a_plan_file() -> None:
    old = {
        "a.yaml": f"{HEADER}smtp_auth:\n  organization: disabled\n",
        "b.yaml": "smtp_auth:\n  mailboxes: { gone@contoso.com: enabled }\n",
        "c.yaml": "smtp_auth:\n  mailboxes: { fax@contoso.com: disabled }\n",
    }
    assert files(old)["b.yaml"] == "smtp_auth: {}\n"


def test_a_new_folder_has_a_header_and_a_file_for_each_section() -> None:
    found = files({}, owner="mail/prod")
    assert found.keys() == {"tenant.yaml", "smtp_auth.yaml", "inbound_connectors.yaml"}
    assert found["tenant.yaml"] == f"{HEADER}owner: mail/prod\n"


def test_what_devices_of_the_plan_need_is_not_written_again() -> None:
    known = Known(worked_out=frozenset({Address("inbound_connector", "hq")}))
    assert "inbound_connectors" not in plan_of(exported(known=known))
    assert "inbound_connectors.yaml" not in files({}, known=known)
