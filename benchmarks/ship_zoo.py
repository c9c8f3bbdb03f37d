"""Copies a zoo of a workspace into the data that ships: experts, embeddings as codes, similarities, maps, results.

Run with ``python -m benchmarks.ship_zoo WORKSPACE BACKBONE DATA``. Of tasks that are the workspace's own, cards go
along, and no example.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from benchmarks.real_tasks import TASKS
from pituning.graph.embeddings import TaskEmbedding
from pituning.tasks.carded import write_task_card
from pituning.tasks.mini import TASK_NAMES
from pituning.tasks.registry import TaskSource
from pituning.workspace.layout import Workspace

PICTURES = {
    "eurosat": ("EuroSAT RGB, 45 pictures of each of 6 classes (Helber et al., 2019)", "MIT"),
    "easy-vqa": ("easy-VQA, questions on 200 pictures of its test split (Zhou, 2019)", "MIT"),
    "emoji-groups": ("Twemoji by the groups of emojibase, those that pretraining never saw", "CC BY 4.0"),
}
"""Origin and licence of the tasks of pictures."""
SOURCES = {**{task.name: (task.origin, task.licence) for task in TASKS}, **PICTURES}


def ship(workspace: Workspace, backbone: str, data: Path) -> int:
    """Writes ``data/zoos/<backbone>`` anew; gives its size in bytes."""
    zoo, target = workspace.zoo(backbone), data / "zoos" / backbone
    shutil.rmtree(target, ignore_errors=True)
    source, root = TaskSource(workspace), workspace.root / "zoos" / backbone
    shutil.copytree(root, target, ignore=shutil.ignore_patterns(".*", "*.lock"))
    for cached in (target / "lora" / "embeddings").glob("probe-*"):
        shutil.rmtree(cached)
    for path in (target / "lora" / "embeddings").glob("*/*.safetensors"):
        TaskEmbedding.load(path).save(path, coded=True)
    for name in zoo.expert_dirs("lora"):
        if name not in TASK_NAMES:
            origin, licence = SOURCES[name]
            write_task_card(source.load(name), target / "tasks" / f"{name}.json", origin=origin, licence=licence)
    files = [path for path in target.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o644)
    return sum(path.stat().st_size for path in files)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("backbone")
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    size = ship(Workspace.open(given.workspace), given.backbone, given.data)
    print(f"{size / 2**20:.1f} MiB in {given.data / 'zoos' / given.backbone}")


if __name__ == "__main__":
    main()
