"""Foreign text on its way to a reader, against a real Markdown parser and a real terminal's output."""

from __future__ import annotations

import ast
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pituning import cli
from pituning.commands import progress
from pituning.commands.shared import echo, emit, print_table
from pituning.text import json_text, literal, markdown, one_line, shorten, visible, without_folders

COMMANDS = Path(cli.__file__).parent / "commands"
SYNTAX = [
    "`", "``", "```\n", "![x](https://evil.example/p.png)", "[x]: https://evil.example\n", "<img src=x>", "**", "_",
    "~~", "\n", "\n\n", "- ", "+ ", "1. ", "2) ", "# ", "> ", "    ", "\t", "---\n", "===\n", "|", "a | b\n- | -\n",
    "&amp;", "&#33;", "\\",
    "<https://evil.example>", "<!--", "$x$", ":red[", ":material/home:", "word", "\x1b[2J", "\x1b]0;t\x07",
    "\x9b31m", "\r", "\u202e", "\ud800", "\0", "\u2028",
]  # fmt: skip
FOREIGN = st.lists(st.sampled_from(SYNTAX) | st.text(max_size=3), max_size=8).map("".join)
FAST = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
READ = {"text", "softbreak", "hardbreak", "text_special"}


def is_tame(text: str) -> bool:
    text.encode()
    odd = [char for char in text if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t"]
    return not odd and "\u202e" not in text


@settings(FAST, max_examples=120)
@given(FOREIGN)
def test_markdown_shows_any_text_as_it_is(text: str) -> None:
    escaped = markdown(text)
    assert is_tame(escaped)
    shown = ""
    for token in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(escaped):
        assert token.type in ("paragraph_open", "paragraph_close", "inline"), token
        for inner in token.children or []:
            assert inner.type in READ, inner
            shown += inner.content or "\n"
    assert "".join(shown.split()) == "".join(visible(text).split())


@settings(FAST)
@given(FOREIGN, st.integers(1, 40))
def test_shortening(text: str, most: int) -> None:
    for keep_end in (False, True):
        short = shorten(text, most, keep_end=keep_end)
        assert len(short) <= most
        assert (short == text) == (len(text) <= most) or short.endswith("…")
    assert json.loads(json_text({text: [text]})) == {text: [text]}


def test_a_message_keeps_its_start_and_its_end() -> None:
    line = one_line("task " + "x" * 100_000 + " is no task; see: pituning tasks list")
    assert len(line) <= 1_000
    assert line.startswith("task x")
    assert line.endswith("x is no task; see: pituning tasks list")


@settings(FAST, max_examples=25)
@given(FOREIGN)
def test_whatever_prints_leaves_the_terminal_alone(text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        said: list[str] = []
        patched.setattr("typer.echo", lambda words, **_: said.append(words))
        patched.setattr("rich.console.Console.print", lambda _, table: said.extend(
            [cell for column in table.columns for cell in column.cells]))  # fmt: skip
        patched.setattr("builtins.print", lambda words, **_: said.append(words))
        echo(text)
        emit({text: text}, True, lambda: None)
        print_table(["a"], [[text]])
        cli._fail(text, 2)
        reporter = progress.TerminalReporter(None, said.append)
        reporter.phase(text, 1)
        reporter.log(text)
        progress.StatusLine(None, said.append).log(text)
    assert len(said) == 7
    assert all(map(is_tame, said))


def test_commands_print_in_no_other_way() -> None:
    strays = []
    for path in COMMANDS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo", "typer.secho"):
                strays.append(f"{path.name}: {ast.unparse(node)[:60]}")
    assert len(strays) == 2, strays  # `echo` and `emit` themselves
    assert all(stray.startswith("shared.py") for stray in strays)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/data/my work/w/zoo/a.csv is damaged", "zoo/a.csv is damaged"),
        ("cannot read '/srv/x/b.json': gone", "cannot read 'b.json': gone"),
        ("see https://example.org/a/b and 1/2, and/or a/b", "see https://example.org/a/b and 1/2, and/or a/b"),
        ("(/srv/x/y)", "(y)"),
    ],
)
def test_folders_of_this_machine_stay_here(text: str, left: str) -> None:
    assert without_folders(text, Path("/data/my work/w")) == left


def test_any_value_is_spelt_out_in_short() -> None:
    for value in (10**5000, [10**5000], {"a": "x" * 500}, "\ud800", float("nan"), None):
        assert 0 < len(literal(value)) <= 80
