"""Captions: CommonMark with tables, no HTML and no images, so that nothing is fetched and nothing runs."""

from __future__ import annotations

from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable("image")


def render(text: str) -> str:
    """Markdown as HTML; tags are shown as they were typed, links may only lead to the web and to mail."""
    return str(_MARKDOWN.render(text))


def parts(text: str) -> tuple[str, str]:
    """The first block of a text, such as its first paragraph, and all that follows, both as HTML."""
    tokens = _MARKDOWN.parse(text)
    end = next((i for i, token in enumerate(tokens, 1) if token.level == 0 and token.nesting <= 0), len(tokens))
    options = _MARKDOWN.options
    return tuple(str(_MARKDOWN.renderer.render(part, options, {})) for part in (tokens[:end], tokens[end:]))  # type: ignore[return-value]
