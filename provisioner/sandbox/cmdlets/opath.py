"""-Filter: OPATH over rows, as far as single values of recipients need it.

Grammar: `Property -eq 'value'`, also -ne, -like and -notlike, joined by -and, -or, -not and parentheses; text compares
without case, a quote in a text is doubled, $null is an empty property (Learn, "Additional OPATH syntax information").
Which properties a cmdlet filters on: Learn, "Filterable properties for the Filter parameter on Exchange cmdlets".
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.tenant import Row

Values = Callable[[Row], Iterable[object]]
"""What of a row a property compares: any of several values will do."""

Predicate = Callable[[Row], bool]

_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\(|\)|-[A-Za-z]+|\$?[A-Za-z0-9_.]+)")


def column(name: str) -> Values:
    """The property of a column."""
    return lambda row: [row[name]] if row.get(name) not in (None, "") else []


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
        if operator not in {"-eq", "-ne", "-like", "-notlike"}:
            raise self._refusal(f"'{operator}' is not a comparison operator.")
        fits = _fits(operator.endswith("like"), value)
        negated = operator in {"-ne", "-notlike"}
        return lambda row: fits([str(v).lower() for v in values(row)]) is not negated


def _fits(wild: bool, value: str) -> Callable[[Sequence[str]], bool]:
    if value.lower() == "$null":
        return lambda found: not found
    quote = value[0] if value[0] in "'\"" else ""
    text = (value[1:-1].replace(quote * 2, quote) if quote else value.removeprefix("$")).lower()
    if not wild:
        return lambda found: text in found
    pattern = re.compile(fnmatch.translate(text.replace("[", "[[]").replace("?", "[?]")))
    return lambda found: any(pattern.match(one) for one in found)
