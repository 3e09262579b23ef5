"""A change set for the machines around a pull request: GitHub annotations, GitLab's report, JUnit and SARIF.

Each takes the findings and what could not be read to the place where that machine shows them; the change set itself
is for the other renderers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from provisioner import __version__
from provisioner.diagnostics import Diagnostic
from provisioner.model.document import ChangeSetDocument, FindingDocument, hinted
from provisioner.render.escape import json_text, visible

_SARIF_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_GITHUB_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def github(document: ChangeSetDocument) -> str:
    """The findings as workflow commands."""
    return github_findings(document["provisioner"]["findings"])


def github_findings(findings: Sequence[FindingDocument]) -> str:
    """Workflow commands (`::error file=…,line=…,col=…,title=…::text`) that GitHub shows beside the plan's lines."""
    lines = []
    for finding in findings:
        at = finding["location"]
        place = {"file": at["file"], "line": str(at["line"]), "col": str(at["column"])} if at else {}
        properties = {**place, "title": finding["rule"]}
        joined = ",".join(f"{k}={_github_property(v)}" for k, v in properties.items())
        lines.append(f"::{_GITHUB_LEVELS[finding['severity']]} {joined}::{_github_text(_sentence(finding))}")
    return "".join(f"{line}\n" for line in lines)


def gitlab(document: ChangeSetDocument) -> str:
    """GitLab's `artifacts:reports:terraform`: how many creates, updates and deletes."""
    counts = Counter(a for c in document["resource_changes"] for a in c["change"]["actions"])
    return json.dumps({action: counts[action] for action in ("create", "update", "delete")}) + "\n"


def junit(document: ChangeSetDocument) -> str:
    """A test suite: a case for each resource, precondition and unreadable object; what stops apply is a failure."""
    failures: dict[str, list[str]] = {}
    for finding in document["provisioner"]["findings"]:
        if finding["blocks"] and not finding["waived"]:
            failures.setdefault(finding["address"] or "plan", []).append(f"{finding['rule']}: {_sentence(finding)}")
    ours = document["provisioner"]
    errors = {u["address"]: u["reason"] for u in ours["unreadable"]} | {
        u["type"]: u["reason"] for u in ours["unlisted"]
    }
    checks = [c["address"]["to_display"] for c in document["checks"]]
    names = dict.fromkeys([*(c["address"] for c in document["resource_changes"]), *checks, *failures, *errors])
    suite = ET.Element("testsuite", name=f"provisioner plan {visible(ours['tenant'])}", tests=str(len(names)))
    suite.set("failures", str(len(failures)))
    suite.set("errors", str(len(errors)))
    suite.set("timestamp", document["timestamp"])
    for name in names:
        case = ET.SubElement(suite, "testcase", classname="provisioner", name=visible(name))
        for text in failures.get(name, ()):
            ET.SubElement(case, "failure", message=visible(text))
        if name in errors:
            ET.SubElement(case, "error", message=visible(errors[name]))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def sarif(document: ChangeSetDocument) -> str:
    """The findings as SARIF, from the version that made the document."""
    return sarif_findings(document["provisioner"]["findings"], document["provisioner"]["version"])


def sarif_findings(findings: Sequence[FindingDocument], version: str = __version__) -> str:
    """SARIF 2.1.0 with a result for each finding, at its place in the plan."""
    rules = sorted({f["rule"] for f in findings})
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "provisioner",
                        "version": version,
                        "rules": [{"id": rule, "help": {"text": f"provisioner explain {rule}"}} for rule in rules],
                    }
                },
                "results": list(_sarif_results(findings)),
            }
        ],
    }
    return json_text(log) + "\n"


def of_diagnostics(diagnostics: Iterable[Diagnostic]) -> list[FindingDocument]:
    """Diagnostics in the shape of findings, for `github_findings` and `sarif_findings`."""
    return [
        {
            "rule": d.id,
            "severity": d.severity.value,
            "summary": d.summary,
            **hinted(d.hint),
            "address": str(d.address) if d.address else None,
            "blocks": "",
            "waived": "",
            "location": {"file": d.location.file, "line": d.location.line, "column": d.location.column}
            if d.location
            else None,
            "known": False,
        }
        for d in diagnostics
    ]


def _sarif_results(findings: Sequence[FindingDocument]) -> Iterator[dict[str, Any]]:
    for finding in findings:
        result: dict[str, Any] = {
            "ruleId": finding["rule"],
            "level": _SARIF_LEVELS[finding["severity"]],
            "message": {"text": _sentence(finding)},
        }
        if at := finding["location"]:
            region = {"startLine": at["line"], "startColumn": at["column"]}
            result["locations"] = [
                {"physicalLocation": {"artifactLocation": {"uri": _uri(at["file"])}, "region": region}},
            ]
        if finding["waived"]:
            result["suppressions"] = [{"kind": "external", "justification": visible(finding["waived"])}]
        yield result


def _uri(file: str) -> str:
    """A path with `/` as a reference (RFC 3986, 4.1), one with a drive of Windows as a URI (RFC 8089, appendix E.2)."""
    drive = _DRIVE.match(file)
    return f"file:///{drive[0]}{_quoted(file[2:])}" if drive else _quoted(file)


def _quoted(path: str) -> str:
    """A path percent-encoded: by its bytes where they are not text (PEP 383), with `?` for any other half character."""
    try:
        return quote(path.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return quote(path, errors="replace")


_DRIVE = re.compile(r"[A-Za-z]:(?=/)")


def _sentence(finding: FindingDocument) -> str:
    hint = f" ({finding['hint']})" if finding["hint"] else ""
    return visible(f"{finding['summary']}{hint}")


def _github_text(text: str) -> str:
    """Escapes of the workflow command syntax (actions/toolkit, command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github_text(visible(text)).replace(":", "%3A").replace(",", "%2C")
