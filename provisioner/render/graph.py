"""The picture of the sending paths of a change set: sites and devices, the way each sends, connectors and switches,
recipients. One graph is made from the document's paths, and drawn as Mermaid, DOT or SVG.

What opens is green, what closes is red, and dashed where it is held back until what opens is in force. Names come from
plans and tenants: each medium escapes them on its own.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from provisioner.model.document import ChangeSetDocument, PathDocument
from provisioner.render.escape import visible

FORMATS = ("mermaid", "dot", "svg")

KEPT, OPENS, CLOSES, HELD, MISSING = "kept", "opens", "closes", "held back", "missing"
_MOST = 6
"""So many senders of one kind, object and state are drawn one by one; more are one node with their number."""

_COLORS = {KEPT: "#6e7781", OPENS: "#1a7f37", CLOSES: "#cf222e", HELD: "#cf222e", MISSING: "#cf222e"}
_LEGEND = {
    KEPT: "stays",
    OPENS: "opens",
    CLOSES: "closes",
    HELD: "closes last: held back until what opens is in force",
}


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A box: its column (0 sites, 1 senders, 2 objects, 3 recipients), its name, and what it is."""

    column: int
    title: str
    subtitle: str = ""
    state: str = KEPT


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """A line from one box to another."""

    begin: Node
    end: Node
    state: str = KEPT


@dataclass(frozen=True, slots=True)
class Graph:
    """Boxes by column, and the lines between them, each once."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    states: frozenset[str] = field(default_factory=frozenset)


def graph(document: ChangeSetDocument) -> Graph:
    """The picture of a document; an empty one where it has no sending paths."""
    edges: dict[tuple[Node, Node], set[str]] = {}
    nodes: set[Node] = set()
    for begin, path in _senders(document["provisioner"].get("paths", ())):
        nodes.add(begin)
        site = next((d["site"] for d in path["devices"] if d["site"] and d["name"] == begin.title), "")
        if site:
            edges.setdefault((Node(0, site, "site"), begin), set()).add(KEPT)
        if path["state"] == MISSING:
            continue
        state, through, end = _state(path), _object(path), _recipients(path)
        for pair in ((begin, through), (through, end)) if end else ((begin, through),):
            edges.setdefault(pair, set()).add(state)
    lines = tuple(sorted(Edge(begin, end, _merged(states)) for (begin, end), states in edges.items()))
    nodes |= {node for line in lines for node in (line.begin, line.end)}
    return Graph(tuple(sorted(nodes)), lines, frozenset(line.state for line in lines))


def _merged(states: set[str]) -> str:
    """The state of a line that several paths share: what stays or opens is there afterwards."""
    if len(states) == 1:
        return next(iter(states))
    if KEPT in states or OPENS in states:
        return KEPT
    return HELD


def _state(path: PathDocument) -> str:
    return HELD if path["held_back"] else path["state"]


def _senders(paths: Iterable[PathDocument]) -> Iterator[tuple[Node, PathDocument]]:
    """Each path with the box that it begins at: its devices, else its sender, else the crowd that the sender is in."""
    crowds: dict[tuple[str, str, str], list[PathDocument]] = {}
    for path in paths:
        if path["kind"] == "mail":
            continue
        for device in path["devices"]:
            missing = path["state"] == MISSING
            yield Node(1, device["name"], _way(path, device=True), MISSING if missing else KEPT), path
        if not path["devices"]:
            crowds.setdefault((path["kind"], path["through"], _state(path)), []).append(path)
    for (kind, _, _), some in crowds.items():
        if len(some) > _MOST:
            yield Node(1, f"{len(some):,} {_PLURALS.get(kind, kind)}", _way(some[0])), some[0]
            continue
        yield from ((Node(1, _sender(path), _way(path)), path) for path in some)


_PLURALS = {
    "mailbox": "mailboxes",
    "network": "networks",
    "certificate": "certificates",
    "account": "accounts",
    "application": "rights of applications",
    "right": "rights to send as another",
    "domain": "domains",
}


def _sender(path: PathDocument) -> str:
    if path["kind"] == "inheriting mailboxes":
        return "mailboxes that inherit" if path["count"] is None else f"{path['count']:,} mailboxes that inherit"
    if path["kind"] == "direct send":
        return "anonymous mail"
    return path["sender"].removesuffix("/32")


def _way(path: PathDocument, *, device: bool = False) -> str:
    """How it sends, in a few words."""
    ways = " or ".join(path["ways"])
    match path["kind"]:
        case "mailbox":
            return f"client submission as {path['sender']}" if device else f"mailbox, {ways}"
        case "inheriting mailboxes":
            return f"client submission, {ways}"
        case "network" | "certificate":
            way = "SMTP relay" if path["recipients"] == "anyone" else "partner"
            return f"{way} from {path['sender'].removesuffix('/32')}" if device else f"{way}, {path['kind']}"
        case "account":
            return "High Volume Email"
        case "application":
            return "application, OAuth"
        case "right":
            return "sends as another address"
        case "domain":
            return "mail of the domain from elsewhere"
        case "device":
            return "has no sending path"
        case _:
            return "direct send"


def _object(path: PathDocument) -> Node:
    """The object that gives a path. The switches of mailboxes, and their rights, are one box each."""
    kind, _, key = path["through"].partition("[")
    title = key.removesuffix("]").removeprefix('"').removesuffix('"')
    if not kind:
        return Node(2, "Exchange Online", "not read")
    if path["kind"] in {"mailbox", "inheriting mailboxes"}:
        own = kind == "mailbox_selection" or title != "organization"
        return Node(2, "SMTP AUTH of the mailbox" if own else "SMTP AUTH of the organization", "switch")
    if path["kind"] == "right":
        return Node(2, "Send As", "right of the mailbox")
    if path["kind"] == "direct send":
        return Node(2, "MX endpoint", "direct send is not rejected")
    return Node(2, title, kind.replace("_", " "))


def _recipients(path: PathDocument) -> Node | None:
    if not path["recipients"]:
        return None
    return Node(3, "anyone" if path["recipients"] == "anyone" else "the organization", "recipients")


def drawn(format_: str, document: ChangeSetDocument) -> str:
    """The picture in one of FORMATS."""
    found = graph(document)
    return {"mermaid": mermaid, "dot": dot, "svg": svg}[format_](found)


# --- Mermaid ---------------------------------------------------------------------------------------------------------

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .-_,/")


def mermaid(found: Graph) -> str:
    """A flowchart that GitHub and GitLab draw."""
    names = {node: f"n{number}" for number, node in enumerate(found.nodes)}
    lines = ["flowchart LR"]
    lines += [f'  {name}["{_mermaid(node)}"]' for node, name in names.items()]
    for edge in found.edges:
        arrow = "-.->" if edge.state == HELD else "-->"
        label = f"|{_LABELS[edge.state]}|" if edge.state in _LABELS and edge.begin.column == 1 else ""
        lines.append(f"  {names[edge.begin]} {arrow}{label} {names[edge.end]}")
    for number, edge in enumerate(found.edges):
        if edge.state != KEPT:
            lines.append(f"  linkStyle {number} stroke:{_COLORS[edge.state]},stroke-width:3px")
    lines += [f"  style {names[n]} stroke:{_COLORS[n.state]}" for n in found.nodes if n.state != KEPT]
    return "\n".join(lines) + "\n"


_LABELS = {OPENS: "opens", CLOSES: "closes", HELD: "closes last"}


def _mermaid(node: Node) -> str:
    """A label in which only letters and a few signs stand as themselves; the rest as Mermaid's codes, such as #34;."""
    parts = (visible(part) for part in (node.title, node.subtitle) if part)
    return "<br>".join("".join(c if c in _PLAIN or c.isalnum() else f"#{ord(c)};" for c in part) for part in parts)


# --- DOT -------------------------------------------------------------------------------------------------------------


def dot(found: Graph) -> str:
    """A graph for Graphviz."""
    names = {node: f"n{number}" for number, node in enumerate(found.nodes)}
    lines = ["digraph sending_paths {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for node, name in names.items():
        color = f', color="{_COLORS[node.state]}"' if node.state != KEPT else ""
        lines.append(f'  {name} [label="{_dot(node)}"{color}];')
    for column in range(4):
        same = "; ".join(names[node] for node in found.nodes if node.column == column)
        lines += [f"  {{ rank=same; {same}; }}"] if same else []
    for edge in found.edges:
        style = ", style=dashed" if edge.state == HELD else ""
        width = "" if edge.state == KEPT else ", penwidth=2"
        lines.append(f'  {names[edge.begin]} -> {names[edge.end]} [color="{_COLORS[edge.state]}"{style}{width}];')
    return "\n".join([*lines, "}"]) + "\n"


def _dot(node: Node) -> str:
    r"""A quoted label: Graphviz reads backslashes (\N, \l) and entities (&lt;) in it."""
    parts = (visible(part).replace("&", "&amp;").replace("\\", "\\\\") for part in (node.title, node.subtitle) if part)
    return "\\n".join(part.replace('"', '\\"') for part in parts)


# --- SVG -------------------------------------------------------------------------------------------------------------

_WIDTHS = (120, 300, 250, 150)
_GAP, _HIGH, _STEP, _TOP, _LETTER = 70, 40, 52, 12, 7.3

_STYLE = (
    ".graph{font:13px system-ui,sans-serif}.graph rect{fill:none;stroke:#6e7781;rx:6px}"
    ".graph text{fill:currentColor}.graph .what{opacity:.7;font-size:11px}.graph path{fill:none;stroke:#6e7781}"
    ".graph .opens{stroke:#1a7f37;stroke-width:2.5}.graph .closes,.graph .held,.graph .missing"
    "{stroke:#cf222e;stroke-width:2.5}.graph .held{stroke-dasharray:7 5}"
    "@media(prefers-color-scheme:dark){.graph .opens{stroke:#3fb950}.graph .closes,.graph .held,.graph .missing"
    "{stroke:#ff7b72}}"
)


def svg(found: Graph) -> str:
    """A drawing by itself, with columns from left to right; "" for nothing to draw."""
    if not found.nodes:
        return ""
    columns = [[node for node in found.nodes if node.column == number] for number in range(4)]
    if not columns[0]:
        found = replace(found, edges=tuple(e for e in found.edges if e.begin.column))
    places = dict(_places(_sorted(columns, found.edges)))
    legend = [state for state in _LEGEND if state in found.states]
    tall = _TOP + max(len(column) for column in columns) * _STEP + 24 * len(legend) + 12
    wide = sum(_WIDTHS) + 3 * _GAP + 4 if columns[0] else sum(_WIDTHS[1:]) + 2 * _GAP + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" viewBox="0 0 {wide} {tall}" width="{wide}" '
        f'height="{tall}" role="img" aria-label="Sending paths, today and planned"><style>{_STYLE}</style>'
    ]
    parts += [_line(edge, places) for edge in sorted(found.edges, key=lambda e: (e.state != KEPT, e))]
    parts += [_box(node, places[node]) for node in found.nodes]
    bottom = tall - 24 * len(legend)
    for number, state in enumerate(legend):
        y = bottom + 24 * number
        parts.append(f'<path class="{_class(state)}" d="M4 {y}h36"/><text x="48" y="{y + 4}">{_LEGEND[state]}</text>')
    return "".join(parts) + "</svg>\n"


def _class(state: str) -> str:
    return "held" if state == HELD else state


def _sorted(columns: Sequence[Sequence[Node]], edges: Sequence[Edge]) -> list[list[Node]]:
    """The boxes of each column in the order of what they are joined to, so that fewer lines cross."""
    order: dict[Node, float] = {node: float(n) for column in columns for n, node in enumerate(column)}
    found = [list(column) for column in columns]
    for number in (1, 2, 1, 0, 2, 3):
        joined: dict[Node, list[float]] = {}
        for edge in edges:
            for one, other in ((edge.begin, edge.end), (edge.end, edge.begin)):
                if one.column == number:
                    joined.setdefault(one, []).append(order[other] / max(len(columns[other.column]), 1))
        found[number].sort(key=lambda n: (sum(joined.get(n, [0])) / len(joined.get(n, [0])), n))
        order.update({node: float(place) for place, node in enumerate(found[number])})
    return found


def _places(columns: Sequence[Sequence[Node]]) -> Iterator[tuple[Node, tuple[float, float, float]]]:
    """Left, top and width of each box; shorter columns stand in the middle."""
    most = max(len(column) for column in columns)
    left = 2.0
    for number, column in enumerate(columns):
        if number == 0 and not column:
            continue
        step = _STEP * most / max(len(column), 1)
        for place, node in enumerate(column):
            yield node, (left, _TOP + step * (place + 0.5) - _HIGH / 2, float(_WIDTHS[number]))
        left += _WIDTHS[number] + _GAP


def _box(node: Node, place: tuple[float, float, float]) -> str:
    left, top, width = place
    state = f' class="{_class(node.state)}"' if node.state != KEPT else ""
    title, what = (_short(visible(part), width) for part in (node.title, node.subtitle))
    full = html.escape(visible(f"{node.title} ({node.subtitle})"))
    return (
        f'<g><title>{full}</title><rect{state} x="{left:g}" y="{top:g}" width="{width:g}" height="{_HIGH}"/>'
        f'<text x="{left + 8:g}" y="{top + 17:g}">{html.escape(title)}</text>'
        f'<text class="what" x="{left + 8:g}" y="{top + 32:g}">{html.escape(what)}</text></g>'
    )


def _short(text: str, width: float) -> str:
    most = int((width - 16) / _LETTER)
    return text if len(text) <= most else text[: most - 1] + "…"


def _line(edge: Edge, places: Mapping[Node, tuple[float, float, float]]) -> str:
    left, top, width = places[edge.begin]
    end_left, end_top, _ = places[edge.end]
    x, y, to_x, to_y = left + width, top + _HIGH / 2, end_left, end_top + _HIGH / 2
    bend = (to_x - x) / 2
    name = html.escape(
        f"{visible(edge.begin.title)} to {visible(edge.end.title)}: {_LEGEND.get(edge.state, edge.state)}"
    )
    curve = f"M{x:g} {y:g}C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"
    return f'<path class="{_class(edge.state)}" d="{curve}"><title>{name}</title></path>'
