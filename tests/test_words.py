"""The words of the field stay: what people read, and the names of things, have no private words in their place."""

from __future__ import annotations

import ast
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
SHOWN_INSTEAD_OF = {
    r"nobody (has|can|knows|works|else)": "it has not been, it is not known",
    r"gone for good": "deleted permanently",
    r"how little|beside what": "what is meant",
    r"seen from": "rank for",
    r"settle on": "choose",
    r"tell luck|luck from": "chance",
    r"hang together": "are not independent",
    r"as things stand|so to speak": "nothing",
    r"(each way|both ways) (alike|a value|together)": "directed, undirected",
    r"nats": "loss",
    r"what these are": "what the baselines are",
    r"counts? most|count about the same": "has the largest weight",
    r"none lends?": "no donors",
    r"nothing fits|is like that": "no matches",
}
"""What no page, report or command says, though a comment may."""
SHOWN = ("app/**/*.py", "pituning/reports/*.py", "pituning/figures/*.py", "pituning/commands/**/*.py")

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


def shown_texts(source: str) -> list[tuple[int, str]]:
    """The texts of a module that are no docstrings, each with its line."""
    tree = ast.parse(source)
    silent = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent
    ]


def unclear_words(source: str) -> list[str]:
    """What is shown and should be said more plainly, with its line and the words to use instead."""
    return [
        f"line {line}: {match[0]!r}, say {word}"
        for line, text in shown_texts(source)
        for pattern, word in SHOWN_INSTEAD_OF.items()
        for match in re.finditer(rf"(?<![a-z-])({pattern})(?![a-z])", text, re.IGNORECASE)
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


def test_a_shown_word_is_seen_and_a_comment_is_not() -> None:
    assert unclear_words('st.caption(f"Nobody has measured {this}.")')
    assert not unclear_words('"""Nobody has measured this."""\nvalue = 1  # seen from here')


def test_pages_reports_and_commands_say_it_plainly() -> None:
    paths = [path for pattern in SHOWN for path in sorted(ROOT.glob(pattern))]
    assert len(paths) > 80
    seen = {str(path.relative_to(ROOT)): unclear_words(path.read_text(encoding="utf-8")) for path in paths}
    assert {name: words for name, words in seen.items() if words} == {}
