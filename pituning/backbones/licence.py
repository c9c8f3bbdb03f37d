"""Which licence a checkpoint comes under, as its model card says. Torch-free."""

from __future__ import annotations

import re
from pathlib import Path

UNKNOWN = "unknown"
"""Said where nothing names a licence."""

LONGEST = 80
_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_KEY = r"(?m)^{}:[ \t]*(?:\[[ \t]*|\r?\n[ \t]*-[ \t]+)?[\"']?([^\s\"'\[\],#][^\r\n\"'\[\],#]*)"


def licence_of(directory: Path) -> str:
    """The licence in the front matter of ``README.md``; of one called ``other``, its own name."""
    try:
        text = (directory / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return UNKNOWN
    match = _FRONT_MATTER.match(text)
    if match is None:
        return UNKNOWN
    licence = _value(match[1], "license")
    return plain((_value(match[1], "license_name") if licence in ("other", "") else "") or licence)


def plain(text: object) -> str:
    """A licence as one short line; `UNKNOWN` for anything that says nothing."""
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())
    return words[:LONGEST] if isinstance(text, str) and words else UNKNOWN


def _value(front_matter: str, key: str) -> str:
    match = re.search(_KEY.format(key), front_matter)
    return match[1].strip() if match is not None else ""
