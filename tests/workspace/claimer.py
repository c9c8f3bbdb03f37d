"""Adds things to a workspace under one name per round, at the same moment as other processes; tells what it was told.

``python claimer.py WORKSPACE MEETING NUMBER PROCESSES ROUNDS`` prints, as JSON, ``{"task 0": true, ...}``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pituning.backbones.sources import check_free_name, name_taken
from pituning.errors import BadInput
from pituning.experts.checkpoint import Checkpoint
from pituning.experts.keeping import keep_checkpoint
from pituning.tasks.saved import save_task
from pituning.workspace.affinities import Affinity, save_affinity
from pituning.workspace.atomic import atomic_directory
from pituning.workspace.layout import Workspace
from pituning.workspace.stories import Story, add_story, save_story
from tests.conftest import make_text_task


def adders(workspace: Workspace, number: int) -> dict[str, Callable[[str], object]]:
    """What adds something that has ``number`` in it under a name, by what it is."""

    def expert(name: str) -> None:
        tensors, kept = str(number).encode(), {"kind": "lora", "config": {}, "document": {}, "shapes": {}, "card": None}
        checkpoint = Checkpoint(filename=f"{number}.zip", tensors=tensors, **kept)
        keep_checkpoint(checkpoint, workspace.zoo(), name=name, task="nli", fingerprint="")

    def backbone(name: str) -> None:
        with atomic_directory(check_free_name(workspace, name), taken=name_taken(name, workspace)) as staged:
            (staged / "config.json").write_text(str(number))

    table = np.full((3, 3), number / 8)
    return {
        "task": lambda name: save_task(make_text_task(3 * number + 3, 3, name=name), workspace),
        "expert": expert,
        "backbone": backbone,
        "affinity": lambda name: save_affinity(workspace, name, Affinity(names=tuple("abc"), values=table)),
        "story": lambda name: save_story(workspace, Story(name=name, title=f"By {number}"), new=True),
        "title": lambda name: add_story(workspace, f"Title {name}"),
    }


def main() -> None:
    workspace, meeting = Workspace.open(Path(sys.argv[1])), Path(sys.argv[2])
    number, processes, rounds = map(int, sys.argv[3:])
    told: dict[str, bool] = {}
    for what, add in adders(workspace, number).items():
        for turn in range(rounds):
            (meeting / f"{what}-{turn}-{number}").touch()
            while len(list(meeting.glob(f"{what}-{turn}-*"))) < processes:
                time.sleep(0.001)
            try:
                add(f"name-{turn}")
                told[f"{what} {turn}"] = True
            except BadInput as error:
                told[f"{what} {turn}"] = "already" not in str(error)  # which would be another fault
    print(json.dumps(told))


if __name__ == "__main__":
    main()
