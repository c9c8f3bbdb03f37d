"""Captions: CommonMark with tables, no HTML and no images, so that nothing is fetched and nothing runs."""

from __future__ import annotations

from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable("image")


def render(text: str) -> str:
    """Markdown as HTML; tags are shown as they were typed, links may only lead to the web and to mail."""
    return str(_MARKDOWN.render(text))
