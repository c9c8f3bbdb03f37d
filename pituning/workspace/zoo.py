"""The zoo of a backbone: its experts by kind, their embeddings and similarities, and what was measured with them.

A zoo's directory holds, for each kind, ``<kind>/experts/<name>``, ``<kind>/embeddings/<probe>/<task>``,
``<kind>/similarity/<predictor>``, ``<kind>/projections``, ``<kind>/results`` and ``<kind>/space.json``; results that
belong to no kind are in ``results``. Torch-free.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pituning.errors import ArtefactError
from pituning.workspace.atomic import read_json
from pituning.workspace.layout import DEFAULT_BACKBONE, check_name, directories, zoo_command

if TYPE_CHECKING:
    from pituning.workspace.similarity import NearestSimilarity, ZooSimilarity

RESULTS = "results"
TASKS = "tasks"
LEAST_TASKS = 3
"""Fewer are no graph."""


@dataclass(frozen=True)
class Zoo:
    """Everything that belongs to one backbone. Look-ups go to ``root`` first, then to ``shipped``; nothing is copied.

    Args:
        backbone: the backbone's name.
        root: the directory that is written to, ``zoos/<backbone>`` of a workspace.
        shipped: that of the embedded data; None where nothing of this backbone ships.
    """

    backbone: str
    root: Path
    shipped: Path | None = None

    @classmethod
    def at(cls, directory: Path, backbone: str = DEFAULT_BACKBONE) -> Zoo:
        """A zoo that stands alone, such as ``data/zoos/mini``.

        Args:
            backbone: its backbone's name where the directory does not tell it, as one in ``zoos`` does.

        Raises:
            BadInput: the name cannot be used.
        """
        directory = directory.resolve()
        name = directory.name if directory.parent.name == "zoos" else backbone
        return cls(check_name(name, what="backbone"), directory)

    def kinds(self) -> list[str]:
        """The kinds of which there is anything, sorted."""
        kinds = {
            name for base in self._bases() for name, path in directories(base).items()
            if name not in (RESULTS, TASKS) and any(path.iterdir())
        }  # fmt: skip
        return sorted(kinds)

    def command(self, words: str) -> str:
        """`zoo_command` of this zoo."""
        return zoo_command(words, self.backbone)

    def how_to_graph(self) -> str:
        """The command that makes the task graph: the experts are compared where there are any, else made first."""
        ready = next((kind for kind in self.kinds() if len(self.expert_dirs(kind)) >= LEAST_TASKS), None)
        return self.command("zoo build" if ready is None else f"embed --all --kind {ready}")

    # Experts.

    def all_expert_dirs(self, kind: str) -> dict[str, Path]:
        """Every expert of a kind by name, the zoo's and those that runs and imports made; sorted by name."""
        by_name: dict[str, Path] = {}
        for base in reversed(self._bases()):  # the root comes last and wins
            by_name.update(directories(base / kind / "experts"))
        return dict(sorted(by_name.items()))

    def expert_dirs(self, kind: str) -> dict[str, Path]:
        """The zoo in the narrow sense: each task's own full-data expert, by task. Its directory has the task's name."""
        return {name: path for name, path in self.all_expert_dirs(kind).items() if _is_full_data(path)}

    def expert_dir(self, kind: str, name: str) -> Path:
        """Where an expert is; for one that does not exist, where it would be written."""
        own = self.new_expert_dir(kind, name)
        return own if own.is_dir() else self.all_expert_dirs(kind).get(name, own)

    def new_expert_dir(self, kind: str, name: str) -> Path:
        """Where an expert is written, shipped namesakes notwithstanding."""
        return self._of(kind) / "experts" / check_name(name, what="expert")

    def space_path(self, kind: str) -> Path:
        """The measured layout of an expert's parameters."""
        return self._read_through(self.new_space_path(kind))

    def new_space_path(self, kind: str) -> Path:
        """Where the measured layout is written, a shipped one notwithstanding."""
        return self._of(kind) / "space.json"

    # How alike tasks are.

    def embedding_path(self, kind: str, probe: str, task: str) -> Path:
        """The tensors of an embedding (card: same name, ``.json``); for one not made yet, where to write it."""
        return self._read_through(self.new_embedding_path(kind, probe, task))

    def new_embedding_path(self, kind: str, probe: str, task: str) -> Path:
        """Where an embedding is written, shipped namesakes notwithstanding."""
        return self._of(kind) / "embeddings" / check_name(probe, what="probe") / f"{check_name(task)}.safetensors"

    def embedded_tasks(self, kind: str, probe: str) -> list[str]:
        """The tasks that have an embedding of this kind at this probe, sorted."""
        tasks: set[str] = set()
        for base in self._bases():
            tasks.update(path.stem for path in (base / kind / "embeddings" / probe).glob("[!.]*.safetensors"))
        return sorted(tasks)

    def embedding_manifest(self, kind: str) -> Path:
        """What the embeddings and similarities were made from."""
        return self._read_through(self.new_embedding_manifest(kind))

    def new_embedding_manifest(self, kind: str) -> Path:
        """Where that is written, a shipped one notwithstanding."""
        return self._of(kind) / "embeddings" / "zoo.json"

    def task_cards(self) -> list[Path]:
        """The cards of tasks that ship with a zoo without their examples, ``tasks/<name>.json``."""
        return [] if self.shipped is None else sorted((self.shipped / TASKS).glob("[!.]*.json"))

    def similarity_path(self, kind: str, predictor: str) -> Path:
        """The zoo's similarity matrix (tensors; card: same name, ``.json``)."""
        return self._read_through(self.new_similarity_path(kind, predictor))

    def new_similarity_path(self, kind: str, predictor: str) -> Path:
        """Where a similarity matrix is written, a shipped one notwithstanding."""
        return self._of(kind) / "similarity" / f"{check_name(predictor, what='predictor')}.safetensors"

    def similarity(self, kind: str, predictor: str) -> ZooSimilarity:
        """The zoo's similarity matrix with its names and bootstrap replicates.

        Raises:
            ArtefactError: when it has not been made or is damaged.
            BadInput: when the tasks are so many that it has the sparse form.
        """
        from pituning.workspace.similarity import load_similarity

        return load_similarity(self._made_similarity(kind, predictor))

    def kept_similarity(self, kind: str, predictor: str) -> ZooSimilarity | NearestSimilarity:
        """The same in the form in which it is kept; of very many tasks that is the most similar of each.

        Raises:
            ArtefactError: when it has not been made or is damaged.
        """
        from pituning.workspace.similarity import load_kept

        return load_kept(self._made_similarity(kind, predictor))

    def _made_similarity(self, kind: str, predictor: str) -> Path:
        path = self.similarity_path(kind, predictor)
        if not path.exists():
            fix = self.command(f"embed --all --kind {kind}")
            raise ArtefactError(f"no zoo similarity at {path}; make it with: {fix}")
        return path

    def projection_dir(self, kind: str) -> Path:
        """Where maps of a kind are written."""
        return self._of(kind) / "projections"

    def projection_files(self, kind: str) -> list[Path]:
        """The maps of a kind, those of the workspace first."""
        return [path for base in self._bases() for path in sorted((base / kind / "projections").glob("[!.]*.json"))]

    # What was measured.

    @property
    def results_dir(self) -> Path:
        """Where results that belong to no kind are written."""
        return self.root / RESULTS

    def result_path(self, file: str, kind: str | None = None) -> Path:
        """A table of results, of a kind or of the zoo as a whole; for one not made yet, where to write it."""
        return self._read_through(self.new_result_path(file, kind))

    def new_result_path(self, file: str, kind: str | None = None) -> Path:
        """Where a table of results is written, a shipped one notwithstanding."""
        return (self.results_dir if kind is None else self._of(kind) / RESULTS) / file

    def transfer_path(self, kind: str) -> Path:
        """The measured transfer between tasks; see `pituning.workspace.transfer`."""
        return self._read_through(self.new_transfer_path(kind))

    def new_transfer_path(self, kind: str) -> Path:
        """Where measured transfer is written, shipped one notwithstanding."""
        return self.new_result_path("transfer.csv", kind)

    def lowshot_path(self, kind: str, steps: int | None = None, *, vision_tower: bool = False) -> Path:
        """The low-shot results; see `pituning.workspace.lowshot`.

        Args:
            steps: of a budget other than the usual one, which has a file of its own.
            vision_tower: of targets' own experts that act in the vision tower, which have another.
        """
        return self._read_through(self.new_lowshot_path(kind, steps, vision_tower=vision_tower))

    def new_lowshot_path(self, kind: str, steps: int | None = None, *, vision_tower: bool = False) -> Path:
        """Where low-shot results are written, shipped ones notwithstanding."""
        parts = ["lowshot", *([] if steps is None else [f"{steps}-steps"]), *(["vision-tower"] if vision_tower else [])]
        return self.new_result_path(f"{'-'.join(parts)}.csv", kind)

    def lowshot_budgets(self, kind: str) -> dict[int, Path]:
        """The low-shot results of other budgets than the usual one, by their number of steps."""
        steps = {
            int(match.group(1))
            for base in self._bases()
            for path in (base / check_name(kind, what="kind") / RESULTS).glob("lowshot-*.csv")
            if (match := re.fullmatch(r"lowshot-(\d+)-steps\.csv", path.name))
        }
        return {number: self.lowshot_path(kind, number) for number in sorted(steps)}

    def shown_lowshot(self, kind: str) -> tuple[Path, int | None]:
        """The low-shot results that are shown, and the most steps of their budget where that is not the usual one.

        Large models are compared by shorter budgets alone: of these the longest.
        """
        usual, others = self.lowshot_path(kind), self.lowshot_budgets(kind)
        return (usual, None) if usual.exists() or not others else (others[max(others)], max(others))

    def _of(self, kind: str) -> Path:
        return self.root / check_name(kind, what="kind")

    def _bases(self) -> list[Path]:
        return [self.root] if self.shipped is None else [self.root, self.shipped]

    def _read_through(self, own: Path) -> Path:
        relative = own.relative_to(self.root)
        return next((base / relative for base in self._bases() if (base / relative).exists()), own)


def _is_full_data(directory: Path) -> bool:
    """Whether an expert's card says it is its task's own full-data expert. A damaged card shows when it is loaded."""
    try:
        card = read_json(directory / "card.json")
    except ArtefactError:
        return False
    return isinstance(card, dict) and card.get("task") == directory.name
