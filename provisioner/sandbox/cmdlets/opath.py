"""-Filter: OPATH over rows, as far as single values of recipients need it.

Grammar: `Property -eq 'value'`, also -ne, -like, -notlike, -gt, -ge, -lt and -le, joined by -and, -or, -not and
parentheses, perhaps in braces; text compares without case, dates as moments, a quote in a text is doubled, $null is an
empty property (Learn, "Additional OPATH syntax information").
Which properties a cmdlet filters on: Learn, "Filterable properties for the Filter parameter on Exchange cmdlets".
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fnmatch
import operator as operators
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from provisioner.sandbox.clock import stored_time
from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.tenant import Row

Values = Callable[[Row], Iterable[object]]
"""What of a row a property compares: any of several values will do."""

Predicate = Callable[[Row], bool]

_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\(|\)|-[A-Za-z]+|\$?[A-Za-z0-9_.]+)")


def column(name: str, usual: object = None) -> Values:
    """The property of a column; `usual` is what a row without the column has there."""

    def values(row: Row) -> Iterable[object]:
        value = row.get(name, usual)
        return [] if value is None or value == "" else [value]

    return values


def addresses(row: Row) -> Iterable[object]:
    """EmailAddresses: a complete address matches with and without its prefix (same page, EmailAddresses)."""
    for proxy in map(str, row.get("EmailAddresses") or ()):
        yield proxy
        yield proxy.partition(":")[2]


COMMON: Mapping[str, Values] = {
    "displayname": column("DisplayName"),
    "distinguishedname": column("DistinguishedName"),
    "emailaddresses": addresses,
    "guid": column("Guid"),
    "name": column("Name"),
    "primarysmtpaddress": addresses,  # it searches EmailAddresses too (same page, PrimarySmtpAddress)
}
"""What Get-CASMailbox, Get-Mailbox and Get-Recipient all filter on."""


def predicate(text: str, properties: Mapping[str, Values]) -> Predicate:
    """What a filter asks of a row. Raises CmdletError where it does not parse or names another property."""
    return _Parser(text, properties).whole()


class _Parser:
    def __init__(self, text: str, properties: Mapping[str, Values]) -> None:
        text = text.strip()
        if text[:1] == "{" and text[-1:] == "}":  # a block of a script, of which the service gets the text
            text = text[1:-1]
        self._text, self._properties = text, properties
        self._tokens, self._at = self._split(text), 0

    def _split(self, text: str) -> Sequence[str]:
        tokens, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._refusal(f"Syntax error at position {at}.")
            tokens.append(match[1])
            at = match.end()
        return tokens

    def _refusal(self, reason: str) -> errors.CmdletError:
        return errors.bad_filter(self._text, reason)

    def _peek(self) -> str:
        return self._tokens[self._at].lower() if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise self._refusal("The filter ends unexpectedly.")
        self._at += 1
        return self._tokens[self._at - 1]

    def whole(self) -> Predicate:
        found = self._any()
        if self._peek():
            raise self._refusal(f"'{self._peek()}' is unexpected.")
        return found

    def _any(self) -> Predicate:
        parts = [self._all()]
        while self._peek() == "-or":
            self._next()
            parts.append(self._all())
        return lambda row: any(part(row) for part in parts)

    def _all(self) -> Predicate:
        parts = [self._one()]
        while self._peek() == "-and":
            self._next()
            parts.append(self._one())
        return lambda row: all(part(row) for part in parts)

    def _one(self) -> Predicate:
        word = self._next()
        if word.lower() == "-not":
            inner = self._one()
            return lambda row: not inner(row)
        if word == "(":
            inside = self._any()
            if self._next() != ")":
                raise self._refusal("A closing parenthesis is missing.")
            return inside
        return self._comparison(word)

    def _comparison(self, name: str) -> Predicate:
        values = self._properties.get(name.lower())
        if values is None:
            raise errors.not_filterable(name)
        operator, value = self._next().lower(), self._next()
        if operator in _ORDERING:
            return _ordered(_ORDERING[operator], values, _literal(value))
        if operator not in {"-eq", "-ne", "-like", "-notlike"}:
            raise self._refusal(f"'{operator}' is not a comparison operator.")
        fits = _fits(operator.endswith("like"), value)
        negated = operator in {"-ne", "-notlike"}
        return lambda row: fits([str(v).lower() for v in values(row)]) is not negated


_ORDERING: Mapping[str, Callable[[Any, Any], bool]] = {
    "-gt": operators.gt,
    "-ge": operators.ge,
    "-lt": operators.lt,
    "-le": operators.le,
}
_DAY = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: (\d{1,2}):(\d\d)(?::(\d\d))?(?: ([AP]M))?)?", re.IGNORECASE)


def _literal(value: str) -> str:
    quote = value[0] if value[0] in "'\"" else ""
    return value[1:-1].replace(quote * 2, quote) if quote else value.removeprefix("$")


def _ordered(compare: Callable[[Any, Any], bool], values: Values, wanted: str) -> Predicate:
    limit = _comparable(wanted)

    def fits(row: Row) -> bool:
        return any(type(own) is type(limit) and compare(own, limit) for own in map(_comparable, values(row)))

    return fits


def _comparable(value: object) -> object:
    """A moment, a number, or the text in lower case. Dates are written as PowerShell's culture does, too."""
    text = str(value)
    moment = stored_time(text) or stored_time(f"{text}T00:00:00Z")
    if moment is not None:
        return moment
    if found := _DAY.fullmatch(text.strip()):
        month, day, year, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        half = {"AM": 0, "PM": 12}.get((found[7] or "").upper())
        hour = hour if half is None else hour % 12 + half
        with contextlib.suppress(ValueError):
            return dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC)
    return int(text) if re.fullmatch(r"-?\d+", text) else text.lower()


def _fits(wild: bool, value: str) -> Callable[[Sequence[str]], bool]:
    if value.lower() == "$null":
        return lambda found: not found
    text = _literal(value).lower()
    if not wild:
        return lambda found: text in found
    pattern = re.compile(fnmatch.translate(text.replace("[", "[[]").replace("?", "[?]")))
    return lambda found: any(pattern.match(one) for one in found)
