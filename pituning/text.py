"""Text of files, names and people, made safe for where it is shown: Markdown, a terminal, a line of a certain length.

Whatever comes from outside goes through one of these on its way to a reader. They are total: any text, whatever it
holds, comes back as text that can be encoded as UTF-8 and that does nothing but be read.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

MOST_IN_MESSAGE = 1_000
"""Characters of a message; what is longer is cut in its middle, since its end says what helps."""
MOST_ON_PAGE = 20_000
"""Characters of any other text on a page."""

# Controls of terminals (C0, DEL, C1), marks that reverse the order of what is read, lone surrogates, which no
# encoding has, and separators of lines that only some programs know.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_IN_MARKDOWN = re.compile(r"[\\`*_\[\]#$|<>~:&!]")
# What opens a list, a heading's underline or a rule at the start of a line.
_OPENS_BLOCK = re.compile(r"^(?:([-+=])|(\d{1,9})([.)]))", re.MULTILINE)
_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[^/\s'\"“”‘’,;:()<>|]+/)+")
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


def shorten(text: str, most: int = MOST_IN_MESSAGE, *, keep_end: bool = False) -> str:
    """A text of at most ``most`` characters, with ``…`` where something was left out.

    Args:
        text: any.
        most: at least 1.
        keep_end: whether the middle goes, and not the end: a message says first what is wrong and last what helps.
    """
    if len(text) <= most:
        return text
    tail = (most - 1) // 4 if keep_end else 0
    return text[: most - 1 - tail].rstrip() + "…" + (text[-tail:].lstrip() if tail else "")


def literal(value: object, most: int = 80) -> str:
    """A value from outside as Python writes it, for a message; Python does not write numbers of thousands of digits."""
    try:
        return shorten(repr(value), most)
    except ValueError:
        return f"a {type(value).__name__} with a number of too many digits"


def visible(text: str) -> str:
    r"""The text with its control characters spelt out, as in ``\x1b``; line ends and tabs stay."""
    return _UNSEEN.sub(_spelt, text.replace("\r\n", "\n"))


def markdown(text: str, most: int = MOST_ON_PAGE) -> str:
    """A text that Markdown, with the directives of Streamlit, shows as it is: no link, no picture, no list, no code."""
    shown = visible(shorten(text, most, keep_end=True))
    escaped = _IN_MARKDOWN.sub(r"\\\g<0>", shown)
    escaped = _OPENS_BLOCK.sub(lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\{found[3]}", escaped)
    return _INDENT.sub(lambda found: found[0].expandtabs(4).replace(" ", "\u00a0"), escaped)  # four would be code


def one_line(text: str, most: int = MOST_IN_MESSAGE) -> str:
    """A message as one line for a terminal or a log."""
    return visible(shorten(" ".join(text.split()), most, keep_end=True))


def without_folders(text: str, *known: Path) -> str:
    """A message without the folders of this machine, for a file that leaves it: ``/home/ada/w/zoo/a.csv`` is
    ``zoo/a.csv``.

    Args:
        text: any.
        known: folders that go as a whole, and may have spaces in their names; of other paths the last part stays.
    """
    for folder in sorted({str(path) for path in (*known, Path.home(), Path.cwd())}, key=len, reverse=True):
        if folder != "/":
            text = text.replace(f"{folder}/", "").replace(folder, Path(folder).name)
    return _FOLDERS.sub("", text)


def json_text(document: Any, **options: Any) -> str:
    """A document as JSON in which control characters of terminals and lone surrogates are escaped, too.

    Raises:
        ValueError: it holds NaN or an infinity.
        TypeError: it holds what JSON does not know.
    """
    written = json.dumps(document, ensure_ascii=False, allow_nan=False, **options)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def _spelt(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def count(number: int) -> str:
    """A number of parameters as people say it: ``134.5 M``, ``2.7 B``."""
    for unit, step in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= step:
            return f"{number / step:.1f} {unit}"
    return str(number)


def size(number: int) -> str:
    """Bytes as people say them: ``5.5 MB``, ``1.2 GB``."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"
