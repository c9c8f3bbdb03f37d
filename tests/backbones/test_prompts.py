"""What a backbone would cut of prompts, counted from its files alone."""

from __future__ import annotations

import json

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from pituning.backbones.prompts import ENDS, notes_of_task, prompt_notes
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
