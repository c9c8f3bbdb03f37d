"""What the pretraining of a projector gave, and what it cost the language model; the figures of docs/backbone.md.

Run with ``python -m benchmarks.composed DIRECTORY``: DIRECTORY is that of a composed backbone. With ``--pictures`` the
held-out loss is that on pictures with words too; with ``--text TASK`` the untrained answers of the language model to
rows of a text task of the workspace are compared with those of the composed backbone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random

from pituning.backbones.base import Backbone
from pituning.backbones.composed.backbone import ComposedBackbone
from pituning.backbones.composed.config import place_of_language
from pituning.pretraining.projector.recipe import evaluate
from pituning.pretraining.projector.words import PictureWords
from pituning.tasks.base import Task
from pituning.tasks.registry import TaskSource
from pituning.workspace.layout import Workspace


def answered(backbone: Backbone, task: Task, rows: int) -> list[bool]:
    """Whether the untrained answer to each of some test rows is right."""
    test = task.split("test")
    examples = [test[row] for row in Random(0).sample(range(len(test)), min(rows, len(test)))]
    answers = backbone.predict(backbone.encode(task, examples), task)
    return [answer == example.answer for answer, example in zip(answers, examples, strict=True)]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument(
        "--blind", type=Path, help="what `pituning pretrain NAME --blind --out` made, for a column more"
    )
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--text", action="append", default=[])
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--workspace", type=Path)
    given = parser.parse_args()
    composed = Backbone.load(given.directory)
    assert isinstance(composed, ComposedBackbone)
    if given.images:
        words = None if given.pictures is None else PictureWords(given.pictures)
        tables = {"sees": evaluate(composed, words, images=given.images)}
        if given.blind is not None:
            blind = Backbone.load(given.blind)
            assert isinstance(blind, ComposedBackbone)
            tables["blind"] = evaluate(blind, words, images=given.images)
        for name, losses in sorted(tables["sees"].items()):
            shown = [losses[look] for look in ("seen", "shuffled", "average")]
            shown += [tables["blind"][name]["average"]] if "blind" in tables else []
            print(f"| {name} |", " | ".join(f"{nats:.2f}" for nats in shown), f"| {losses['questions']:.0f} |")
    if not given.text:
        return
    alone = Backbone.load(place_of_language(given.directory))
    source = TaskSource(Workspace.open(given.workspace))
    for name in given.text:
        task = source.load(name)
        before, after = (answered(backbone, task, given.rows) for backbone in (alone, composed))
        same = sum(a == b for a, b in zip(before, after, strict=True))
        row = {"task": name, "rows": len(before), "before": sum(before), "after": sum(after), "same": same}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
