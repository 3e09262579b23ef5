"""How easy the pages read: words in a sentence, syllables in a word, and Flesch's reading ease of both.

    reading ease = 206.835 - 1.015 words in a sentence - 84.6 syllables in a word   (Flesch 1948)

Code, tables, headings and links' targets do not count: only sentences. A term that the field cannot do without
("authentication") costs as much as one that it can, so that pages compare with each other rather than with a norm.
Syllables are those of pyphen's English hyphenation, at least one for each group of vowels in a word of one part.
(textstat would ask the network for a dictionary at its first call.)
"""

from __future__ import annotations

import functools
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pyphen

ROOT = Path(__file__).resolve().parents[1]
_FENCED = re.compile(r"(?ms)^ *```.*?^ *```")
_LEFT_OUT = re.compile(r"(?m)^\s*(?:\||#|<!--|---).*$|`[^`]*`|\]\([^)]*\)|[\[\]*_>]|https?://\S+")
_SENTENCE_END = re.compile(r"[.!?:;](?:\s|$)|\n\s*\n|\n\s*(?:-|\d+\.)\s")


@dataclass(frozen=True)
class Reading:
    """What a page is made of. `longest` is its longest sentence."""

    sentences: int
    words: int
    syllables: int
    longest: str

    @property
    def ease(self) -> float:
        return 206.835 - 1.015 * self.words / self.sentences - 84.6 * self.syllables / self.words


@functools.cache
def _hyphenation() -> pyphen.Pyphen:
    return pyphen.Pyphen(lang="en_US")


@functools.cache
def syllables(word: str) -> int:
    parts = str(_hyphenation().inserted(word.lower())).count("-") + 1
    groups = len(re.findall(r"[aeiouy]+", re.sub(r"e$", "", word.lower())))
    return max(1, parts, groups)


def reading(page: str) -> Reading | None:
    """The reading of a page of Markdown; None where it has no sentence."""
    text = _LEFT_OUT.sub(" ", _FENCED.sub("\n\n", page))
    split = [re.findall(r"[A-Za-z][A-Za-z'’-]*", part) for part in _SENTENCE_END.split(text)]
    sentences = [words for words in split if len(words) > 2]
    if not sentences:
        return None
    words = [word for sentence in sentences for word in sentence]
    longest = max(sentences, key=len)
    return Reading(len(sentences), len(words), sum(map(syllables, words)), f"{len(longest)} words: {' '.join(longest)}")


def main(names: list[str]) -> None:
    written = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    pages = [Path(name) for name in names] or [p for p in written if not {"review", "reference"} & set(p.parts)]
    found = {page: reading(page.read_text(encoding="utf-8")) for page in pages}
    rows = sorted((r.ease, page, r) for page, r in found.items() if r)
    lines = [" ease  words/sentence  syllables/word  page"]
    for ease, page, r in rows:
        name = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
        lines.append(f"{ease:5.1f}  {r.words / r.sentences:14.1f}  {r.syllables / r.words:14.2f}  {name}")
        lines += [f"       the longest sentence has {r.longest}"] if names else []
    lines.append(f"{sum(ease for ease, _, _ in rows) / len(rows):5.1f}  on average of {len(rows)} pages")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
