"""Every way to take the Fisher information, compared in every way, against the measured transfer.

A variant is where the information is taken (``own`` expert of the task or ``common`` one of all), whose answers count
(``data`` or the ``model``'s own), how gradients become information (``example``, ``centred`` or ``batch``, see
`pituning.embedding.fisher`), and how two embeddings are compared (`FORMS`). Three of them are predictors:
``paper`` is own-data-example-cosine, ``probe`` common-data-centred-centred, ``scaled`` common-data-centred-scaled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from scipy.stats import rankdata

from pituning.backbones.base import Backbone
from pituning.backbones.files import fingerprint
from pituning.embedding.embed import common_probe, embed_task
from pituning.embedding.fisher import Estimator, Labels
from pituning.embedding.zoo import embedded_examples
from pituning.errors import ArtefactError, BadInput
from pituning.experts.card import read_card
from pituning.experts.model import ExpertModel
from pituning.experts.store import load_expert
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.ranking import grade_targets, interval
from pituning.graph.similarity import similarity_matrix
from pituning.progress import Reporter, Silent
from pituning.studies.predictors import ALL_PAIRS, sets_of_pairs
from pituning.tasks.mini import TASK_NAMES, mini_task, task_version
from pituning.workspace.atomic import write_bytes, write_text
from pituning.workspace.transfer import load_transfer, measured_shots
from pituning.workspace.zoo import Zoo

PROBES = ("own", "common")
ESTIMATES: tuple[tuple[Labels, Estimator], ...] = (
    ("data", "example"), ("data", "centred"), ("data", "batch"), ("model", "example"), ("model", "centred"),
)  # fmt: skip
FORMS = {"cosine": "paper", "centred": "probe", "scaled": "scaled", "rank": "paper"}
"""How embeddings are compared, with the predictor whose comparison it is. ``rank`` is the cosine of centred ranks
within each tensor, which is the Spearman correlation of its entries."""

EXAMPLES, GROUPS, SEED = 256, 16, 0
"""As for the embeddings of the zoo that ship."""


MATRICES_FILE, GRADES_FILE = "variants.safetensors", "variants.csv"
"""Among the results of a kind, the similarities of all variants and their grades."""


def measure_variants(
    zoo: Zoo, backbone_dir: Path, kind: str, reporter: Reporter | None = None
) -> dict[str, np.ndarray]:
    """S of every variant, (N, N) in the order of `TASK_NAMES` by its name; what is there already is kept.

    Raises:
        ArtefactError: when an expert or the file is damaged.
    """
    report = reporter or Silent()
    path = zoo.new_result_path(MATRICES_FILE, kind)
    folders = {name: zoo.expert_dir(kind, name) for name in TASK_NAMES}
    spec = _spec(fingerprint(backbone_dir), {name: read_card(folder).sha256 for name, folder in folders.items()})
    matrices = load_variants(zoo.result_path(MATRICES_FILE, kind), spec=spec)
    report.phase("embed in every way", len(PROBES) * len(ESTIMATES) * len(TASK_NAMES))
    model: ExpertModel | None = None
    for probe in PROBES:
        for labels, estimator in ESTIMATES:
            prefix = f"{probe}-{labels}-{estimator}"
            if all(f"{prefix}-{form}" in matrices for form in FORMS):
                report.advance(len(TASK_NAMES))
                continue
            if model is None:
                model = ExpertModel(Backbone.load(backbone_dir, name=zoo.backbone), kind)
                experts = {name: load_expert(folder, model) for name, folder in folders.items()}
                common = common_probe(list(experts.values()))
                encoded = {
                    name: model.prepare(
                        model.backbone.encode(mini_task(name), embedded_examples(mini_task(name), EXAMPLES, SEED))
                    )
                    for name in TASK_NAMES
                }
            embeddings = []
            for name in TASK_NAMES:
                values = experts[name].values if probe == "own" else common
                made = embed_task(
                    model, values, name, encoded[name], probe=probe, labels=labels, estimator=estimator,
                    groups=GROUPS, seed=SEED,
                )  # fmt: skip
                embeddings.append(made.embedding)
                report.advance()
            matrices |= {f"{prefix}-{form}": compared(embeddings, form) for form in FORMS}
            write_bytes(path, save(
                {name: np.ascontiguousarray(matrix, dtype=np.float32) for name, matrix in matrices.items()},
                metadata={"spec": spec, "tasks": json.dumps(TASK_NAMES)},
            ))  # fmt: skip
    # Rounded as they are kept, so that it does not matter when they were made.
    return load_variants(zoo.result_path(MATRICES_FILE, kind), spec=spec)


def compared(embeddings: Sequence[TaskEmbedding], form: str) -> np.ndarray:
    """S of embeddings (N, N) in one of the `FORMS`."""
    if form == "rank":
        embeddings = [
            replace(one, tensors={name: _ranks(values) for name, values in one.tensors.items()}) for one in embeddings
        ]
    return similarity_matrix(embeddings, FORMS[form])


def load_variants(path: Path, *, spec: str | None = None) -> dict[str, np.ndarray]:
    """The similarities that were kept; none where there are none, or none with that ``spec``.

    Raises:
        ArtefactError: when the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        with safe_open(path, framework="numpy") as file:
            meta = file.metadata() or {}
            if json.loads(meta["tasks"]) != list(TASK_NAMES) or spec not in (None, meta["spec"]):
                return {}
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ArtefactError(f"{path} is damaged ({error}); remove it and run: pituning study variants") from error


def grade_variants(zoo: Zoo, kind: str) -> pd.DataFrame:
    """Each variant against the measured transfer, with 95 % bootstrap intervals over targets; written as CSV.

    Returns:
        Columns ``shots, pairs, probe, labels, estimator, form, measure, mean, low, high``.

    Raises:
        BadInput: when no transfer of that kind, or no variant, has been measured.
        ArtefactError: when a file is damaged.
    """
    path = zoo.transfer_path(kind)
    variants = load_variants(zoo.result_path(MATRICES_FILE, kind))
    if not variants or not measured_shots(path):
        missing = "transfer" if variants else "variants"
        raise BadInput(f"no {missing} of {kind} measured; run: pituning study {missing} --kind {kind}", field="kind")
    rows = []
    for shots in measured_shots(path):
        transfer = load_transfer(path, shots, TASK_NAMES)
        assert transfer is not None  # the number of shots is one of those measured
        for pairs, counted in sets_of_pairs().items():
            for name in sorted(variants):
                for measure, values in grade_targets(variants[name], transfer.gains, pairs=counted).items():
                    got = interval(values)
                    figures = (round(value, 4) for value in (got.mean, got.low, got.high))
                    rows.append((shots, pairs, *name.split("-"), measure, *figures))
    columns = ["shots", "pairs", "probe", "labels", "estimator", "form", "measure", "mean", "low", "high"]
    frame = pd.DataFrame(rows, columns=columns)
    write_text(zoo.new_result_path(GRADES_FILE, kind), frame.to_csv(index=False))
    return frame


def variants_markdown(zoo: Zoo, kind: str, shots: int, measure: str = "spearman") -> str:
    """One measure of all variants on all pairs, a column for each form, as the table of docs/science.md."""
    frame = pd.read_csv(zoo.result_path(GRADES_FILE, kind))
    mine = frame[(frame["shots"] == shots) & (frame["pairs"] == ALL_PAIRS) & (frame["measure"] == measure)]
    digits = 1 if measure.startswith("regret") else 2
    lines = ["| taken at | answers | estimator | " + " | ".join(FORMS) + " |", "|" + "---|" * (3 + len(FORMS))]
    for probe in PROBES:
        for labels, estimator in ESTIMATES:
            of = mine[(mine["probe"] == probe) & (mine["labels"] == labels) & (mine["estimator"] == estimator)]
            cells = [
                f"{row['mean']:.{digits}f} ({row['low']:.{digits}f} to {row['high']:.{digits}f})"
                for row in (of[of["form"] == form].iloc[0] for form in FORMS)
            ]
            lines.append(f"| {probe} | {labels} | {estimator} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ranks(values: np.ndarray) -> np.ndarray:
    ranks = rankdata(values)
    return (ranks - ranks.mean()).astype(np.float32)


def _spec(backbone: str, experts: Mapping[str, str]) -> str:
    """A digest of all that the similarities depend on."""
    parts = {
        "version": 1,
        "backbone": backbone,
        "experts": dict(experts),
        "tasks": {name: task_version(name) for name in TASK_NAMES},
        "embedding": [EXAMPLES, GROUPS, SEED],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
