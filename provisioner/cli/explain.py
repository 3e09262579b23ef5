"""`provisioner explain`: a rule, a device or a resource."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from provisioner.cli.options import complete_subjects, output_format, plan_path
from provisioner.cli.session import Session
from provisioner.operations.connection import run
from provisioner.operations.explaining import explain
from provisioner.operations.manual import Entry, entry, is_rule, place
from provisioner.render.escape import visible


@click.command("explain")
@click.argument("subject", metavar="RULE|device/NAME|ADDRESS", shell_complete=complete_subjects)
@plan_path
@output_format
@click.pass_obj
def command(session: Session, subject: str, path: Path, format_: str) -> None:
    """Explain a rule (IP-PRIVATE), or a device (device/NAME) or a resource (TYPE/KEY) of a plan.

    A rule, a finding of `dns check` or a cause of `diagnose` needs no plan: what it means, why it matters, an example,
    how to fix it, and its page in the documentation.

    With a profile (--profile) the answer also has the state of the resources in the tenant, whether the mailbox can
    sign in (and the setting that blocks it), and whether the tenant accepts mail from each address of a device that
    does not sign in.
    """
    session.format = format_
    if is_rule(subject):
        found = entry(subject)
        if format_ == "json":
            session.json(found)
        else:
            session.text(_manual(found))
        return
    document = run(explain(session, path, subject))
    if format_ == "json":
        session.json(document)
    else:
        session.text(_text(document))


def _manual(found: Entry) -> str:
    """An entry of the documentation as text for a terminal."""
    traits = ", ".join(filter(None, [found["severity"], found["stops"]]))
    lines = [f"{found['rule']} ({traits})" if traits else found["rule"], "", found["summary"]]
    for title, text in (("Why", found["why"]), ("Example", found["example"]), ("How to fix it", found["fix"])):
        if text:
            lines += ["", f"{title}:", *_indented(text)]
    return "\n".join([*lines, "", f"Documentation: {place(found['page'].removeprefix('docs/'))}"]) + "\n"


def _indented(markdown: str) -> Iterator[str]:
    """Markdown below a heading: the fences of code give way to more indentation."""
    depth = 2
    for line in markdown.splitlines():
        if line.startswith("```"):
            depth = 6 - depth
        else:
            yield f"{' ' * depth}{line}".rstrip()


def _text(document: Mapping[str, Any]) -> str:
    at = f" ({document['at']})" if document["at"] else ""
    lines = [f"{visible(document['subject'])}{visible(at)}"]
    if "method" in document:
        lines += _method(document)
    for device in document.get("devices", ()):
        lines.append(f"  for device/{visible(device['device'])}, which sends by {device['method']}")
    if document.get("resources"):
        lines += ["", "  It needs:" if "method" in document else "  Declared:"]
        for resource in document["resources"]:
            lines += _one(resource)
    for finding in document.get("findings", ()):
        lines += ["", f"  {finding['rule']}: {visible(finding['summary'])}"]
    if document.get("sending"):
        lines += ["", "  In the tenant now:"]
    for decision in document.get("sending", ()):
        lines += _sending(decision)
    for verdict in document.get("sign_in", ()):
        lines += _sign_in(verdict)
    for policy in document.get("outbound_policies", ()):
        lines += _outbound_policy(policy)
    for rule in document.get("transport_rules", ()):
        lines += _transport_rule(rule)
    return "\n".join(lines) + "\n"


def _method(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"  sends by {document['method_name']}" if document["method"] else "  no sending method works"
    yield from (f"    because {visible(reason)}" for reason in document["why"])
    yield from (f"  not by {r['method_name']}: {visible(r['why'])}" for r in document["refused"])
    yield from (f"  mind: {visible(warning)}" for warning in document["warnings"])
    yield from (f"  after it is accepted: {visible(sentence)}" for sentence in document["after"])
    yield from (f"  better, or instead: {visible(advice)}" for advice in document["advice"])


def _one(resource: Mapping[str, Any]) -> Iterator[str]:
    state = "" if resource["state"] == "not asked" else f": {visible(resource['state'])}"
    yield f"    {visible(resource['address'])}{state}"
    if resource["not_in_force"]:
        yield f"      {visible(resource['not_in_force'])}: no mail is accepted through it"
    for name, value in resource["declared"].items():
        live = resource["live"]
        now = f"  (now {_shown(live[name])})" if live is not None and live[name] != value else ""
        yield f"      {name} = {_shown(value)}{now}"


def _shown(value: Any) -> str:
    return visible(json.dumps(value, ensure_ascii=False))


def _sending(decision: Mapping[str, Any]) -> Iterator[str]:
    """What the tenant decides about mail from one of the device's networks."""
    source = decision["network"].removesuffix("/32") or decision["certificate"] or "an unknown address"
    method = decision["path"].replace("_", " ").replace("smtp", "SMTP")
    through = f", {' and '.join(visible(a) for a in decision['by'])}" if decision["by"] else ""
    if decision["allowed"]:
        yield f"    mail from {visible(source)} is accepted: {method}{through}"
        return
    code = f" ({decision['code']})" if decision["code"] else ""
    if decision["allowed"] is False:
        yield f"    mail from {visible(source)} is refused: {visible(decision['sentence'])}{code}"
    else:
        yield f"    whether mail from {visible(source)} is accepted is not certain{through}"
    for idle in decision["idle"]:
        yield f"      {visible(idle)} names it, but is disabled in the tenant"
    if decision["hint"]:
        yield f"      {visible(decision['hint'])}"
    if decision["unknown"]:
        yield f"      not known: {visible(', '.join(decision['unknown']))}"


def _outbound_policy(policy: Mapping[str, Any]) -> Iterator[str]:
    """The outbound spam policy of the mailbox, or one that may be its. Nothing for the service's own limits."""
    words = {"recipients_per_day": "recipients a day", "external_recipients_per_hour": "external recipients an hour",
             "internal_recipients_per_hour": "internal recipients an hour"}  # fmt: skip
    limits = [f"{policy[name]:,} {what}" for name, what in words.items() if policy[name]]
    if policy["rule"] or limits:
        rule = f' (rule "{visible(policy["rule"])}")' if policy["rule"] else ""
        stops = "" if policy["blocks"] or not limits else ", of which it only alerts"
        state = "may hold" if policy["unknown"] else "holds"
        yield ""
        yield (
            f'  the outbound spam policy "{visible(policy["policy"])}"{rule} {state}: '
            f"{' and '.join(limits) or 'the limits of the service'}{stops}"
        )
        if policy["unknown"]:
            yield f"    not known: {visible(policy['unknown'])}"


def _transport_rule(rule: Mapping[str, Any]) -> Iterator[str]:
    """A transport rule that keeps the mail of the device from its recipients, or may."""
    yield ""
    if rule["sentence"]:
        yield f"  {'' if rule['acts'] or not rule['unknown'] else 'not certain: '}{visible(rule['sentence'])}"
    if rule["unknown"]:
        yield f"    not known: {visible(', '.join(rule['unknown']))}"
    if rule["hint"]:
        yield f"    {visible(rule['hint'])}"


def _sign_in(verdict: Mapping[str, Any]) -> Iterator[str]:
    how = "a password" if verdict["authentication"] == "basic" else "OAuth"
    state = {True: "can", False: "cannot"}.get(verdict["allowed"], "may or may not be able to")
    yield ""
    named = verdict.get("signs_in_as")
    alias = f" (as {visible(named)})" if named and named != verdict["mailbox"] else ""
    yield f"  {visible(verdict['mailbox'])}{alias} {state} sign in with {how}: {visible(verdict['sentence'])}"
    if verdict["blocked_by"]:
        yield f"    blocked by: {', '.join([verdict['blocked_by'], *verdict['others']])}"
    if verdict["hint"]:
        yield f"    {visible(verdict['hint'])}"
    if verdict["unknown"]:
        yield f"    not known: {', '.join(verdict['unknown'])}"
    if verdict["warning"]:
        yield f"    mind: {visible(verdict['warning'])}"
