"""What a backbone would read of prompts: how many it would cut, and whether it knows their script. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pituning.backbones.files import language_home
from pituning.tasks.base import Task
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
    return prompt_notes(directory, prompts, name=name)


def prompt_notes(directory: Path, prompts: Sequence[str], *, name: str, image_tokens: int = 0) -> list[str]:
    """One line for each thing that a backbone would lose of prompts; none where its files do not tell.

    Args:
        directory: of the backbone.
        prompts: as `Task.prompt` makes them.
        name: of the backbone, for people.
        image_tokens: places that an image takes.
    """
    from tokenizers import Tokenizer

    path = language_home(directory) / "tokenizer.json"
    room = _positions(directory)
    if not prompts or room is None or not path.is_file():
        return []
    room -= ENDS + image_tokens
    tokenizer = Tokenizer.from_file(str(path))
    codes = tokenizer.encode_batch(list(prompts), add_special_tokens=False)
    notes: list[str] = []
    long = [(code, prompt) for code, prompt in zip(codes, prompts, strict=True) if len(code.ids) > room]
    if long:
        code, prompt = max(long, key=lambda pair: len(pair[0].ids))
        kept = code.offsets[room - 1][1]
        lost = prompt[kept:].strip()
        share = 100 * sum(len(code.ids) - room for code, _ in long) / sum(len(code.ids) for code, _ in long)
        notes.append(
            f"{len(long)} of {len(prompts)} prompts are longer than the {room} tokens that {name} reads and will be "
            f"cut at the end, which loses {share:.0f} % of them; of the longest, all from {lost[:SHOWN]!r} on"
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
