"""The words of the field stay: what people read, and the names of things, have no private words in their place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTEAD_OF = {
    r"mend(s|ed|ing)?": "fix",
    r"foretell(s|ing)?|foretold": "predict",
    r"nearness|likeness(es)?|likest": "similarity, rank",
    r"by lot|drawing lots": "at random",
    r"untouched": "as is",
    r"learnt": "learned",
    r"fine print": "advanced",
    r"(this is|as) the weather|lie of the land|as you were": "what is meant",
    r"none shots": "zero-shot",
    r"√answer token": "length-normalised",
}
ANY = re.compile("|".join(INSTEAD_OF), re.IGNORECASE)
FILES = sorted(
    path
    for pattern in ("pituning/**/*.py", "app/**/*.py", "benchmarks/*.py", "docs/**/*.md", "README.md")
    for path in ROOT.glob(pattern)
    if "migrations" not in path.parts
)
NAMES = re.compile(r"`+[^`\n]*`+|([\"'])[\w-]+\1")
"""Names between quotes or backticks: those that are kept in files and databases stay what they are."""


def private_words(text: str) -> list[str]:
    """The private words in a text, each with its line and the word to use instead."""
    if not ANY.search(text):
        return []
    lines = NAMES.sub("", text).splitlines()
    return [
        f"line {number}: {match[0]!r}, say {word}"
        for number, line in enumerate(lines, 1)
        for pattern, word in INSTEAD_OF.items()
        for match in re.finditer(rf"(?<![a-z-])({pattern})(?![a-z])", line, re.IGNORECASE)
    ]


@pytest.mark.parametrize("text", ["the mend is", "mend_of(1)", '"""Likeness of profiles."""', "drawn by lot"])
def test_a_private_word_is_seen(text: str) -> None:
    assert private_words(text)


@pytest.mark.parametrize(
    "text", ["recommend", 'column("mend")', "`untouched` experts", "commendable", "donor-untouched"]
)
def test_names_that_are_kept_and_other_words_are_none(text: str) -> None:
    assert not private_words(text)


def test_no_private_words() -> None:
    assert len(FILES) > 200
    seen = {str(path.relative_to(ROOT)): private_words(path.read_text(encoding="utf-8")) for path in FILES}
    assert {name: words for name, words in seen.items() if words} == {}
