"""What a backbone would read of prompts: how many it would cut, and whether it knows their script. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pituning.backbones.cutting import PromptTokens, where
from pituning.backbones.files import language_home
from pituning.tasks.base import Task
from pituning.tasks.members import Spans, members_of
from pituning.tasks.mini import LazySplit
from pituning.workspace.documents import parse_json

ENDS = 2
"""Tokens that a prompt has beside its own, at its beginning and end."""

SHOWN = 60
CHECKED = 1000
"""Prompts of a task that are looked at."""


def notes_of_task(task: Task, directory: Path, *, name: str) -> list[str]:
    """`prompt_notes` of the first `CHECKED` prompts of a task; none of the suite, whose prompts are made to be short.

    Args:
        directory: of the backbone.
        name: of the backbone, for people.
    """
    train = task.split("train")
    if isinstance(train, LazySplit):  # to draw them takes long
        return []
    prompts = [task.prompt(train[index]) for index in range(min(len(train), CHECKED))]
    return prompt_notes(directory, prompts, name=name, members=members_of(task))


def prompt_notes(
    directory: Path, prompts: Sequence[str], *, name: str, members: Callable[[str], Spans] = lambda _prompt: ()
) -> list[str]:
    """One line for each thing that a backbone would lose of prompts; none where its files do not tell.

    Args:
        directory: of the backbone.
        prompts: as `Task.prompt` makes them.
        name: of the backbone, for people.
        members: finds the texts of a pair in a prompt, see `members_of`.
    """
    from tokenizers import Tokenizer

    path = language_home(directory) / "tokenizer.json"
    room = _positions(directory)
    if not prompts or room is None or not path.is_file():
        return []
    room -= ENDS
    tokenizer = Tokenizer.from_file(str(path))
    codes = tokenizer.encode_batch(list(prompts), add_special_tokens=False)
    notes: list[str] = []
    asked = [
        (PromptTokens.of(code.ids, code.offsets, members(prompt)), code.offsets, prompt)
        for code, prompt in zip(codes, prompts, strict=True)
        if len(code.ids) > room
    ]
    if asked:
        longest, offsets, prompt = max(asked, key=lambda each: len(each[0].ids))
        lost = max(longest.lost(room), key=len)
        words = prompt[offsets[lost[0]][0] : offsets[lost[-1]][1]].strip()
        inside = "" if lost[-1] == len(longest.ids) - 1 else f" to {words[-SHOWN:]!r}"
        share = 100 * sum(len(each.ids) - room for each, _, _ in asked) / sum(len(each.ids) for each, _, _ in asked)
        notes.append(
            f"{len(asked)} of {len(prompts)} prompts are longer than the {room} tokens that {name} reads and will be "
            f"cut {where(each for each, _, _ in asked)}, which loses {share:.0f} % of them; of the longest, all from "
            f"{words[:SHOWN]!r} on{inside}"
        )
    strange = sum(len(code.ids) > len("".join(prompt.split())) for code, prompt in zip(codes, prompts, strict=True))
    if strange > len(prompts) / 2:
        notes.append(
            f"{strange} of {len(prompts)} prompts take {name} more tokens than they have letters: it never saw their "
            "script, and will hardly tell such words apart"
        )
    return notes


def _positions(directory: Path) -> int | None:
    """How many tokens a backbone reads at once, as its configuration says."""
    try:
        config = parse_json((directory / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    for part in (config.get("text_config") or {}, config):
        for key in ("max_position_embeddings", "n_positions"):
            if isinstance(part.get(key), int):
                return int(part[key])
    return None
