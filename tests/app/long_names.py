"""A workspace with names as long as they may be, to see whether the pages bear them.

python -m tests.app.long_names DIR
PITUNING_DATA= python -m tests.browser.screenshots --workspace DIR --long-names
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from pituning.backbones.files import fingerprint
from pituning.graph.projection import Projection, TaskMap, save_projection
from pituning.graph.settings import MapSettings
from pituning.tasks.files import ColumnMapping, open_table, save_task, task_from_table
from pituning.tasks.registry import list_tasks
from pituning.workspace.atomic import write_text
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import ZooSimilarity, save_similarity, similarity_digest
from pituning.workspace.transfer import COLUMNS, NO_DONOR
from tests.app import synthetic

TITLE = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenerkennung (Anfänger)"
NAME = "donaudampfschifffahrtsgesellschaftskapitaensmuetzenabzeichen"
LABELS = ("Donaudampfschifffahrtsgesellschaftskapitän", "weder noch")
INSTRUCTION = (
    "which of the two badges is it, going by what is written about the cap of the captain and its band? " * 3
)[:300].strip()

assert len(NAME) == 60
assert 70 <= len(TITLE) <= 80


def make(root: Path) -> Workspace:
    """The synthetic workspace with one more task, which has all that the others have, and runs on it."""
    workspace = synthetic.make_workspace(root)
    rows = [(f"the captain of the Danube steam ship wears cap number {i}", LABELS[i % 3 > 0]) for i in range(120)]
    table = open_table(("text,label\n" + "\n".join(map(",".join, rows))).encode(), filename="caps.csv")
    save_task(
        task_from_table(
            table, name=NAME, title=TITLE, instruction=INSTRUCTION, columns=ColumnMapping(text="text", answer="label")
        ),
        workspace,
    )
    infos = list_tasks(workspace)
    names = tuple(info.name for info in infos)
    backbone = fingerprint(workspace.backbone_dir())
    for number, kind in enumerate(synthetic.SHIPPED):
        synthetic.make_expert(workspace.zoo().new_expert_dir(kind, NAME), kind, backbone)
        for offset, predictor in enumerate(synthetic.PREDICTORS):
            generator = np.random.default_rng([number, offset])
            matrix = synthetic.planted(infos, generator)
            noise = generator.normal(0, 0.05, (synthetic.REPLICATES, len(names), len(names)))
            save_similarity(
                workspace.zoo().new_similarity_path(kind, predictor),
                ZooSimilarity(names=names, matrix=matrix, replicates=matrix + (noise + noise.transpose(0, 2, 1)) / 2),
            )
    _measured(workspace)
    _mapped(workspace)
    synthetic.done(workspace, NAME, gain=-6.0, kind="lora", shots=16, seed=0)
    synthetic.done(workspace, NAME, kind="lora", shots=8, seed=0)
    return workspace


def _measured(workspace: Workspace) -> None:
    zoo, generator = workspace.zoo().similarity("lora", "probe"), np.random.default_rng(0)
    rows = []
    for i, target in enumerate(zoo.names):
        rows.append((target, NO_DONOR, 16, 0, 50.0, "x"))
        for j, donor in enumerate(zoo.names):
            if i != j:
                rows.append((target, donor, 16, 0, 50 + 20 * (zoo.matrix[i, j] - 0.4) + 4 * generator.normal(), "x"))
    write_text(workspace.zoo().new_transfer_path("lora"), pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False))


def _mapped(workspace: Workspace) -> None:
    names = workspace.zoo().similarity("lora", "probe").names
    generator, count = np.random.default_rng(0), len(names)
    details = {"umap": {}, "mds": {"stress": 0.31}, "pca": {"variance": [0.4, 0.2]}}
    maps = {
        method: TaskMap(
            points=generator.normal(size=(count, 2)), trustworthiness=0.9, detail=detail,
            resampled=generator.normal(size=(3, count, 2)), layers=generator.normal(size=(2, count, 2)),
        )
        for method, detail in details.items()
    }  # fmt: skip
    save_projection(
        workspace.zoo(),
        Projection(
            kind="lora", predictor="probe", settings=MapSettings(), names=names, layers=("encoder.0", "decoder.1"),
            similarity=similarity_digest(workspace.zoo().similarity_path("lora", "probe")), neighbours=5, maps=maps,
        ),
    )  # fmt: skip


ADDRESSES = {
    "home": "",
    "task-graph": f"graph?task={NAME}&other=visual-entailment",
    "map": f"map?tasks={NAME},nli",
    "similarity": f"similarity?task={NAME}&other=nli",
    "transfer": f"transfer?task={NAME}&other=nli",
    "new-run": f"new-run?target={NAME}",
    "runs": "runs",
    "experts": f"experts?expert=lora%2F{NAME}",
    "present": "present",
}
"""The pages, opened on that task."""

if __name__ == "__main__":
    make(Path(sys.argv[1]))
