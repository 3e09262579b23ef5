"""A change set as one HTML file that a reviewer opens: nothing is fetched, and it reads without scripts too.

Every change is a `<details>` element, dangers first; a small script filters by type, action and words. The content
security policy lets run that one script, named by its hash, and nothing that a name in the tenant might smuggle in.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from provisioner.model.document import ChangeDocument, ChangeSetDocument, FindingDocument, StepDocument
from provisioner.render.changes import action as action_of
from provisioner.render.changes import conclusion, dangers, limit, remark, worst_first
from provisioner.render.escape import visible

_VERBS = {"delete": "destroy", "update": "change", "create": "add"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --soft: #57606a;
  --add: #116329; --change: #7d4e00; --destroy: #a40e26; --mark: #fff8c5; --old: #ffebe9; --new: #dafbe1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --soft: #9198a1;
  --add: #56d364; --change: #e3b341; --destroy: #ff7b72; --mark: #3b2e00; --old: #4a1216; --new: #0f3d1f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
code, td, .address { font-family: ui-monospace, monospace; font-size: .9rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); } .counts b { margin-right: 1rem; }
.create { color: var(--add); } .update { color: var(--change); } .delete { color: var(--destroy); }
.box { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .75rem; margin: .4rem 0; }
.stops, .error { border-left: .35rem solid var(--destroy); } .warning { border-left: .35rem solid var(--change); }
form { position: sticky; top: 0; background: var(--paper); padding: .6rem 0; border-bottom: 1px solid var(--line);
  display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center; z-index: 1; }
input[type=search] { flex: 1 1 14rem; font: inherit; padding: .3rem .5rem; color: inherit; background: inherit;
  border: 1px solid var(--line); border-radius: .3rem; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .3rem 0; content-visibility: auto;
  contain-intrinsic-size: auto 2.4rem; }
summary { padding: .35rem .75rem; cursor: pointer; }
summary:focus-visible, input:focus-visible { outline: .15rem solid; }
details > div { padding: 0 .75rem .6rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; color: var(--soft); }
td, th { border-top: 1px solid var(--line); padding: .25rem .5rem; vertical-align: top; }
.old { background: var(--old); } .new { background: var(--new); } [hidden] { display: none; }
pre { margin: .5rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
@media print { form { display: none; } details { break-inside: avoid; content-visibility: visible; }
  details:not([open]) > div { display: block; } body { max-width: none; padding: 0; } }
"""

_SCRIPT = """
const form = document.querySelector('form'), rows = [...document.querySelectorAll('details[data-type]')];
const search = form.querySelector('[type=search]'), shown = document.getElementById('shown');
const texts = rows.map(row => row.textContent.toLowerCase());
const checked = name => new Set([...form.querySelectorAll(`[name=${name}]:checked`)].map(box => box.value));
function filter() {
  const types = checked('type'), actions = checked('action');
  const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let count = 0;
  rows.forEach((row, i) => {
    const fits = types.has(row.dataset.type) && actions.has(row.dataset.action)
      && words.every(w => texts[i].includes(w));
    row.hidden = !fits; count += fits;
  });
  shown.textContent = `${count} of ${rows.length} shown`;
}
form.addEventListener('input', filter);
form.addEventListener('submit', event => event.preventDefault());
document.getElementById('all').addEventListener('click', () => {
  const open = rows.some(row => !row.hidden && !row.open);
  rows.forEach(row => { if (!row.hidden) row.open = open; });
});
document.addEventListener('keydown', event => {
  if (event.key === '/' && event.target !== search) { event.preventDefault(); search.focus(); }
  if (event.key === 'Escape' && event.target === search) { search.value = ''; filter(); }
});
addEventListener('beforeprint', () => rows.forEach(row => { row.open = true; }));
form.hidden = false; filter();
"""


def render(document: ChangeSetDocument) -> str:
    """The whole page."""
    return "\n".join(_page(document)) + "\n"


def _page(document: ChangeSetDocument) -> Iterator[str]:
    ours = document["provisioner"]
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; form-action 'none'"
    changes = worst_first(document)
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>provisioner plan: {_text(ours['tenant'])}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>provisioner plan: {_text(ours['tenant'])}</h1>"
    yield f'<p class="soft">Made {_text(document["timestamp"])}, digest <code>{_text(ours["digest"])}</code></p>'
    yield from _state(document, changes)
    yield from _findings(ours["findings"])
    if changes:
        yield "<h2>Changes</h2>"
        yield from _filters(changes)
        for change in changes:
            yield from _change(change)
        yield f"<script>{_SCRIPT}</script>"
    yield "</body></html>"


def _state(document: ChangeSetDocument, changes: Sequence[ChangeDocument]) -> Iterator[str]:
    counts = Counter(map(action_of, changes))
    if changes:
        words = (f'<b class="{a}">{counts[a]:,} to {_VERBS[a]}</b>' for a in ("create", "update", "delete"))
        yield f'<p class="counts">{"".join(words)}</p>'
    elif not document["errored"]:
        yield f"<p>{_text(conclusion(document))}</p>"
    if limit(document):
        yield f'<p class="box warning">{_text(limit(document))}</p>'
    ours = document["provisioner"]
    for item in ours["unreadable"]:
        address, reason = _text(item["address"]), _text(item["reason"])
        yield f'<p class="box stops"><b>Could not be read:</b> <code>{address}</code>: {reason}</p>'
    for kind in ours["unlisted"]:
        yield f'<p class="box stops"><b>Could not be listed:</b> {_text(kind["type"])}: {_text(kind["reason"])}</p>'


def _findings(findings: Sequence[FindingDocument]) -> Iterator[str]:
    if not findings:
        return
    yield "<h2>Findings</h2>"
    for finding in sorted(findings, key=lambda f: (bool(f["waived"]), not f["blocks"], f["severity"], f["rule"])):
        stops = bool(finding["blocks"]) and not finding["waived"]
        note = "stops apply" if stops else f"allowed: {finding['waived']}" if finding["waived"] else finding["severity"]
        yield f'<div class="box {"stops" if stops else _text(finding["severity"])}"><b>{_text(finding["rule"])}</b>'
        yield f' <span class="soft">({_text(note)})</span><br>{_text(finding["summary"])}'
        yield f'<br><span class="soft">{_text(finding["mend"])}</span></div>' if finding["mend"] else "</div>"


def _filters(changes: Sequence[ChangeDocument]) -> Iterator[str]:
    yield '<form hidden aria-label="Filter the changes">'
    yield '<input type="search" placeholder="Search (press /)" aria-label="Search">'
    for name, values in (("action", [action_of(c) for c in changes]), ("type", [c["type"] for c in changes])):
        for value, count in sorted(Counter(values).items()):
            box = f'<input type="checkbox" name="{name}" value="{_text(value)}" checked>'
            yield f"<label>{box} {_text(_VERBS.get(value, value))} ({count:,})</label>"
    yield '<button type="button" id="all">Open or close all</button>'
    yield '<span id="shown" class="soft" role="status"></span></form>'


def _change(change: ChangeDocument) -> Iterator[str]:
    action, ours = action_of(change), change["provisioner"]
    yield f'<details data-type="{_text(change["type"])}" data-action="{action}"{" open" if action == "delete" else ""}>'
    verb = f'<b class="{action}">{_VERBS[action]}</b>'
    said = f' <b class="delete">{_text(", ".join(dangers(change)))}</b>' if dangers(change) else ""
    yield f'<summary>{verb} <span class="address">{_text(change["address"])}</span>{said}</summary>'
    yield f'<div><p class="soft">{_text(ours["reason"])}</p><table><tr><th>Field</th><th>Before</th><th>After</th></tr>'
    for field in ours["fields"]:
        before, after = _value(field["before"], field["after"], "old"), _value(field["after"], field["before"], "new")
        said = f' <span class="soft">({_text(remark(field))})</span>' if remark(field) else ""
        yield f"<tr><td>{_text(field['name'])}</td><td>{before}</td><td>{after}{said}</td></tr>"
    steps = "\n".join(map(_step, ours["steps"]))
    yield f"</table><pre>{_text_lines(steps)}</pre></div></details>"


def _value(value: Any, other: Any, side: str) -> str:
    """A value; of a list, what the other side does not have is marked."""
    if value is None:
        return '<span class="soft">not set</span>'
    if isinstance(value, list):
        there = other if isinstance(other, list) else []
        marked = (f'<span class="{side}">{_json(v)}</span>' if v not in there else _json(v) for v in value)
        return "[" + ", ".join(marked) + "]"
    return f'<span class="{side}">{_json(value)}</span>'


def _step(step: StepDocument) -> str:
    if "await" in step:
        return "wait for DNS: " + "; ".join(f"{r['name']} {r['type']} {json.dumps(r['value'])}" for r in step["await"])
    sent = step["send"]
    if "cmdlet" in sent:
        return f"{sent['cmdlet']} {json.dumps(sent['parameters'], ensure_ascii=False)}"
    return f"{sent['method']} {sent['path']} {json.dumps(sent['body'], ensure_ascii=False)}"


def _json(value: Any) -> str:
    return _text(json.dumps(value, ensure_ascii=False))


def _text(text: str) -> str:
    return html.escape(visible(text))


def _text_lines(text: str) -> str:
    return "\n".join(map(_text, text.split("\n")))
