"""What others wrote shows as it is: no page fetches from elsewhere because of a card, a name or an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from google.protobuf.message import Message
from markdown_it import MarkdownIt
from streamlit.testing.v1 import AppTest

from app.components import guard
from pituning.runs.queue import RunQueue
from pituning.workspace.layout import Workspace
from tests.app.conftest import OpenPage
from tests.app.synthetic import queued

BAD = "`![x](https://evil.example/p.png) <img src=https://evil.example/q.png> **b** \x1b[2J"
"""As Markdown: a picture from elsewhere, twice."""
PLAIN = {"options", "options_texts", "value_text", "id", "script", "alt", "element_id", "user_key", "language"}
"""Strings of Streamlit's messages that are not Markdown."""


def markdown_of(message: Message) -> Iterator[str]:
    for descriptor, value in message.ListFields():
        if descriptor.name in PLAIN:
            continue
        for one in value if hasattr(value, "append") else [value]:
            if isinstance(one, Message):
                yield from markdown_of(one)
            elif isinstance(one, str):
                yield one


def pictures(at: AppTest) -> list[str]:
    """The pieces of Markdown of a page that are more than text, and name the other host."""
    bad = []
    for node in at.main:
        proto = getattr(node, "proto", None)
        if not isinstance(proto, Message) or node.type in ("code", "json", "arrow_data_frame"):
            continue
        for text in markdown_of(proto):
            tokens = MarkdownIt("commonmark", {"html": True}).parse(text) if "evil" in text else []
            inner = [child for token in tokens for child in token.children or []]
            if any(child.type in ("image", "link_open", "html_inline", "code_inline") for child in inner):
                bad.append(text)
            if "\x1b" in text:
                bad.append(text)
    return bad


def test_the_search_itself(open_page: OpenPage) -> None:
    def page(bad: str) -> None:
        import streamlit as st

        st.markdown(bad)

    assert pictures(AppTest.from_function(page, args=(BAD[1:],)).run())


def test_an_experts_card(workspace: Workspace, open_page: OpenPage) -> None:
    path = workspace.zoo().expert_dir("lora", "vqa") / "card.json"
    card = json.loads(path.read_text())
    card |= {
        "backbone": BAD, "commit": BAD, "versions": {BAD: BAD}, "spec": {"shots": BAD, "steps": [BAD]},
        "scores": {BAD: 1.0}, "config": {**card["config"], BAD: 1}, "temperature": 1.5,
    }  # fmt: skip
    path.write_text(json.dumps(card))
    at = open_page("experts", expert="lora/vqa")
    assert not at.exception
    assert "steps" in str(at.table[0].value).lower()
    assert pictures(at) == []


def test_a_failed_run(workspace: Workspace, open_page: OpenPage) -> None:
    run, queue = queued(workspace), RunQueue(workspace)
    claim = queue.claim(BAD)
    assert claim is not None
    queue.finish(claim.claim, "failed", failure="bad_input", error=BAD + "x" * 100_000, fix=BAD)
    queue.pause(BAD)
    at = open_page("runs", run=run.id)
    assert not at.exception
    assert pictures(at) == []
    (error,) = at.error
    assert "evil" in error.value
    assert len(error.value) < 3_000


def test_plain_is_the_one_escape() -> None:
    assert guard.plain(BAD).count("\\") > 10
    assert sys.modules["pituning.text"].markdown(BAD) == guard.plain(BAD)


def test_an_address_that_no_page_can_use(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("task_map")
    at.query_params["seed"], at.query_params["n_neighbors"] = "1e999", "9" * 400
    at.run()
    assert not at.exception
    assert [warning.value.count("left out") for warning in at.warning][:2] == [1, 1]
    assert "seed" not in at.query_params
