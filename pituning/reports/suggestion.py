"""A story to begin with: what this workspace can show, in the order in which people ask."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from pituning.errors import PiTuningError
from pituning.graph.projection import find_projection
from pituning.graph.settings import MapSettings
from pituning.graph.similarity import rank
from pituning.reports.reader import Reader, Zoo
from pituning.workspace.stories import MOST_IN_TITLE, Slide, Story, load_story, story_path

NAME = "overview"
TITLE = "Which tasks help each other?"

WELCOME = """\
A new task with a handful of labelled examples rarely stands alone. Here is what this workspace knows:

1. **What is alike**: which tasks ask the same of the foundation model, across images and language.
2. **Who helps**: whose small experts a new task should borrow, and how sure that is.
3. **Did it help?** What was measured, against honest baselines.
"""
GRAPH = """\
Each point is a task, and a line joins tasks whose *embeddings* are alike: to solve them, the foundation model had to
attend to the same things. Look for the **dashed lines** first. They cross modalities,
which no table of data sets tells.
"""
SIMILARITY = """\
The same similarities for all pairs, with similar tasks side by side. Blocks along the diagonal are **families**. Raw
values crowd together, so each row shows places: 1 is the task most similar to the row’s.
"""
NEIGHBOURS = """\
For one task, these are the first to ask for help. The intervals say how far the order can be trusted: where they
overlap, another draw of examples might have put the tasks the other way round.
"""
MAP = """\
All tasks at once, as near to each other as they are alike. Two dimensions cannot hold all of it, so take **near** at
its word and *far* with care.
"""
TRANSFER = """\
Similarity only predicts transfer; this is the measurement. Every expert was tried on every other task: **blue
helped, orange did harm**.
"""
PREDICTION = """\
If the prediction is good, points rise from left to right. The table counts what following it would have cost.
"""
STUDY = """\
Every method got the same few examples and chose its settings on them alone. Right of the line π-tuning is better. Look
at *who stands left of it*, and compare with **placebo donors** before you call it transfer.
"""
RESULT = """\
The experts of the most similar tasks were mixed with learned weights and trained on a few examples. Only a gain over
**placebo donors**, random parameters of the same size, is transfer.
"""
WEIGHTS = """\
How much each expert counts at each place in the network, as learned. Where the own expert’s column is pale, the donors
do the work.
"""


def opening_story(reader: Reader) -> Story:
    """The story ``overview``: as it was saved, else `suggested_story`.

    Raises:
        ArtefactError: the saved one is damaged.
    """
    if story_path(reader.workspace, NAME).exists():
        return load_story(reader.workspace, NAME)
    return suggested_story(reader)


def suggested_story(reader: Reader) -> Story:
    """What can be shown now; views that have nothing to show are left out."""
    slides = [Slide(id="welcome", view="words", title=TITLE, caption=WELCOME)]
    with suppress(PiTuningError):
        zoo = reader.zoo()
        task = bridge(zoo)
        common: dict[str, str | int] = {"kind": zoo.kind, "predictor": zoo.predictor}
        slides += [
            Slide(id="alike", view="graph", title="What is alike", caption=GRAPH, settings=common),
            Slide(id="matrix", view="similarity", title="Every pair", caption=SIMILARITY,
                  settings={**common, "order": "clustered", "scale": "rank"}),
            *_map(reader, zoo, common),
            Slide(id="near", view="neighbours", caption=NEIGHBOURS,
                  title=f"Who helps {zoo.titles[task]}?"[:MOST_IN_TITLE], settings={**common, "task": task, "k": 3}),
        ]  # fmt: skip
        counts = reader.transfer_shots(zoo.kind)
        if counts:
            shots = {**common, "shots": counts[-1]}
            slides += [
                Slide(id="measured", view="transfer", title="Who really helped", caption=TRANSFER, settings=shots),
                Slide(id="predicted", view="prediction", caption=PREDICTION, settings=shots),
            ]
        if not reader.lowshot(zoo.kind).empty:
            slides.append(
                Slide(
                    id="study", view="study", title="And on few examples?", caption=STUDY, settings={"kind": zoo.kind}
                )
            )
    with suppress(PiTuningError):
        newest = reader.finished_runs()[:1]
        for run in newest:
            settings = {"run": run.id}
            slides.append(Slide(id="result", view="result", title="Did it help?", caption=RESULT, settings=settings))
            if reader.queue.alphas_of(run.id, last=1):
                weights = {**settings, "show": "weights"}
                slides.append(Slide(id="weights", view="result", caption=WEIGHTS, settings=weights))
    return Story(name=NAME, title=TITLE, slides=tuple(slides))


def _map(reader: Reader, zoo: Zoo, common: dict[str, str | int]) -> list[Slide]:
    """The map, where one has been computed."""
    if find_projection(reader.kept, zoo.kind, zoo.predictor, MapSettings()) is None:
        return []
    return [Slide(id="map", view="map", title="Map of the tasks", caption=MAP, settings=common)]


def bridge(zoo: Zoo) -> str:
    """The task with the closest relative in another modality, among its three nearest; the first if there is none."""
    modalities = np.array([str(info.modality) for info in zoo.infos])
    ranks = rank(zoo.matrix)
    candidates = np.where(
        (modalities[:, None] != modalities[None, :]) & (ranks >= 1) & (ranks <= 3), zoo.matrix, -np.inf
    )
    best = int(candidates.max(axis=1).argmax())
    return zoo.names[best] if np.isfinite(candidates).any() else zoo.names[0]
