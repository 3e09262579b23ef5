"""How the names of objects are compared: without case, as the service does."""

from __future__ import annotations


def caseless(name: str) -> str:
    """The form in which two names are equal where they differ in case only: "HQ Relay" and "hq relay".

    Letter by letter, as .NET compares with OrdinalIgnoreCase (Learn, "StringComparer.OrdinalIgnoreCase"; dotnet/runtime
    issues 32247 and 67873): "ß" is not "ss", and no other letter is one of ASCII. The directory behind Exchange may
    hold more names for one ("Meißner" and "Meissner", Microsoft support article 938447). It then refuses to create the
    second; to take one for the other would change an object that the plan does not mean.
    """
    return name.lower() if name.isascii() else "".join(_small(_capital(letter)) for letter in name)


def _capital(letter: str) -> str:
    return _other(letter, letter.upper())


def _small(letter: str) -> str:
    return _other(letter, letter.lower())


def _other(letter: str, case: str) -> str:
    """A letter in the other case, where that is one letter, and of ASCII only if the letter is."""
    return case if len(case) == 1 and case.isascii() == letter.isascii() else letter
