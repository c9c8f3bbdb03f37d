"""What a backbone would cut of prompts, counted from its files alone."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from pituning.backbones.cutting import PromptTokens, cut, levelled
from pituning.backbones.prompts import ENDS, notes_of_task, prompt_notes
from pituning.tasks.mapping import ColumnMapping
from pituning.tasks.members import members_in
from pituning.tasks.mini import mini_task
from tests.conftest import make_text_task

ROOM = 7


def test_prompts_that_are_too_long_are_counted_with_what_is_lost(tmp_path) -> None:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert notes_of_task(make_text_task(), tmp_path, name="tiny") == []  # its configuration does not tell
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": ROOM + ENDS}))

    task = make_text_task()
    words = [len(task.prompt(example).replace("?", " ?").split()) for example in task.split("train")]
    (note,) = notes_of_task(task, tmp_path, name="tiny")
    lost = 100 * sum(max(0, count - ROOM) for count in words) / sum(c for c in words if c > ROOM)
    assert note.startswith(
        f"{sum(count > ROOM for count in words)} of 60 prompts are longer than the 7 tokens that tiny"
    )
    assert f"which loses {lost:.0f} % of them" in note
    (note,) = prompt_notes(tmp_path, ["a b c d e f g h i"], name="tiny")
    assert note.endswith("of the longest, all from 'h i' on")
    assert notes_of_task(mini_task("digits"), tmp_path, name="tiny") == []  # the suite's prompts are made to be short


def test_a_pair_loses_of_its_longer_text() -> None:
    columns = ColumnMapping(text=("premise", "hypothesis"), answer="label")
    find = members_in("does it follow?", columns)
    prompt = "Does it  follow? premise: a b c d e f g h\nhypothesis: x (y) z"
    assert [prompt[begin:end] for begin, end in find(prompt)] == ["a b c d e f g h", "x (y) z"]
    assert find("does it follow? hypothesis: x") == ()
    assert members_in("what?", ColumnMapping(text="text", answer="label"))("what? a b") == ()
    framed = members_in("is the sentiment of", ColumnMapping(text="s", answer="l", template='" {s} " good?'))
    offsets = [(each.start(), each.end()) for each in re.finditer(r"\S+", prompt)]
    tokens = PromptTokens.of(range(len(offsets)), offsets, find(prompt))
    assert list(map(len, tokens.members)) == [8, 3]
    words = prompt.split()
    assert [words[place] for place in tokens.cut(12)] == [*words[:8], *words[12:]]
    assert " ".join(words[place] for place in tokens.cut(9)) == "Does it follow? premise: a b hypothesis: x (y)"
    assert tokens.cut(3) == [0, 1, 2]  # there is no room for texts at all
    told: list[str] = []
    reporter = SimpleNamespace(log=told.append)
    assert cut([tokens, PromptTokens([1, 2])], 12, reporter) == [tokens.cut(12), [1, 2]]  # type: ignore[arg-type]
    assert told == [
        "1 of 2 prompts are longer than 12 tokens and were cut at the longer of their texts: 22 % of all text is lost"
    ]
    long = 'is the sentiment of " ' + "very " * 9 + '" good?'
    assert PromptTokens.of(range(9), [(0, 1)] * 9, framed(long)).members == (range(0),)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=4), st.integers(0, 120))
def test_what_is_kept_is_level(lengths: list[int], total: int) -> None:
    kept = levelled(lengths, total)
    assert sum(kept) == min(total, sum(lengths))
    cut_ones = [each for each, length in zip(kept, lengths, strict=True) if each < length]
    assert not cut_ones or max(kept) - min(cut_ones) <= 1
