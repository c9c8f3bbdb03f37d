"""A story to begin with: what this workspace can show, in the order in which people ask."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from pituning.errors import PiTuningError
from pituning.graph.projection import find_projection
from pituning.graph.settings import MapSettings
from pituning.graph.similarity import rank
from pituning.reports.own_tasks import own_tasks
from pituning.reports.reader import Reader, Zoo
from pituning.workspace.stories import Slide, Story, load_story, story_path

NAME = "overview"
TITLE = "Which tasks help each other?"

WELCOME = """\
A new task with a handful of labelled examples rarely stands alone. Here is what this workspace knows:

1. **What is alike**: which tasks ask the same of the foundation model, across images and language.
2. **Who helps**: whose small experts a new task should borrow, and how sure that is.
3. **Did it help?** What was measured, against honest baselines.
"""
NOTES = {
    "own": "This is our own task among those that the Studio knows. First all tasks, then its nearest, then what is "
    "known of the donors, at last what came of it.",
    "own-result": "What was tuned, compared with what needs no tuning: that is the comparison which counts.",
    "alike": "Each point is a task, and a line joins tasks whose *embeddings* are alike: to solve them, the "
    "foundation model had to attend to the same things. Look for the **dashed lines** first. They cross modalities, "
    "which no table of data sets tells.",
    "matrix": "The same similarities for all pairs, with similar tasks side by side. Blocks along the diagonal are "
    "**families**. Raw values crowd together, so each row shows places: 1 is the task most similar to the row’s.",
    "near": "For one task, these are the first to ask for help. The intervals say how far the order can be "
    "trusted: where they overlap, another draw of examples might have put the tasks the other way round.",
    "map": "All tasks at once, as near to each other as they are alike. Two dimensions cannot hold all of it, so take "
    "**near** at its word and *far* with care.",
    "measured": "Similarity only predicts transfer; this is the measurement. Every expert was tried on every other "
    "task.",
    "predicted": "If the prediction is good, points rise from left to right. The details count what following it "
    "would have cost.",
    "study": "Every method got the same few examples and chose its settings on them alone. Look at *who stands left "
    "of the line*, and compare with **placebo donors** before you call it transfer.",
    "result": "The experts of the most similar tasks were mixed with learned weights and trained on a few examples. "
    "Only a gain over **placebo donors**, random parameters of the same size, is transfer.",
    "weights": "How much each expert counts at each place in the network, as learned. Where the own expert’s column "
    "is pale, the donors do the work.",
}
"""For whoever speaks, by the slide."""


def opening_story(reader: Reader) -> Story:
    """The story ``overview``: as it was saved, else `suggested_story`.

    Raises:
        ArtefactError: the saved one is damaged.
    """
    if story_path(reader.workspace, NAME).exists():
        return load_story(reader.workspace, NAME)
    return suggested_story(reader)


def suggested_story(reader: Reader) -> Story:
    """What can be shown now, the user's own newest task first; views that have nothing to show are left out."""
    slides = [Slide(id="welcome", view="words", title=TITLE, caption=WELCOME)]
    with suppress(PiTuningError):
        zoo = reader.zoo()
        task = bridge(zoo)
        common: dict[str, str | int] = {"kind": zoo.kind, "predictor": zoo.predictor}
        slides = [
            *_own(reader, zoo, common),
            *slides,
            _slide("alike", "graph", common),
            _slide("matrix", "similarity", {**common, "order": "clustered", "scale": "rank"}),
            *_map(reader, zoo, common),
            _slide("near", "neighbours", {**common, "task": task, "k": 3}),
        ]
        counts = reader.transfer_shots(zoo.kind)
        if counts:
            shots = {**common, "shots": counts[-1]}
            slides += [_slide("measured", "transfer", shots), _slide("predicted", "prediction", shots)]
        if not reader.lowshot(zoo.kind).empty:
            slides.append(_slide("study", "study", {"kind": zoo.kind}))
    with suppress(PiTuningError):
        shown = {slide.settings.get("run") for slide in slides}
        for run in [run for run in reader.finished_runs()[:1] if run.id not in shown]:
            slides.append(_slide("result", "result", {"run": run.id}))
            if reader.queue.alphas_of(run.id, last=1):
                slides.append(_slide("weights", "result", {"run": run.id, "show": "weights"}))
    return Story(name=NAME, title=TITLE, slides=tuple(slides))


def _slide(name: str, view: str, settings: Mapping[str, str | int]) -> Slide:
    """A slide whose headline and sentence are what its view finds."""
    return Slide(id=name.replace("-", ""), view=view, settings=settings, notes=NOTES[name])


def _own(reader: Reader, zoo: Zoo, common: Mapping[str, str | int]) -> list[Slide]:
    """The newest of the user's own tasks that is on the graph, and the verdict on it, where a run has come to one."""
    try:
        own = [one for one in own_tasks(reader, zoo.kind, zoo.names) if {near.task for near in one.near} & {*zoo.names}]
        runs = [run for run in reader.finished_runs() if own and run.spec.subject == own[-1].info.name]
    except PiTuningError:
        return []  # the rest can be told without the runs
    return [
        *(_slide("own", "graph", {**common, "task": one.info.name}) for one in own[-1:]),
        *(_slide("own-result", "result", {"run": run.id}) for run in runs[:1]),
    ]


def _map(reader: Reader, zoo: Zoo, common: dict[str, str | int]) -> list[Slide]:
    """The map, where one has been computed."""
    if find_projection(reader.kept, zoo.kind, zoo.predictor, MapSettings()) is None:
        return []
    return [_slide("map", "map", common)]


def bridge(zoo: Zoo) -> str:
    """The task with the closest relative in another modality, among its three nearest; the first if there is none."""
    modalities = np.array([str(info.modality) for info in zoo.infos])
    ranks = rank(zoo.matrix)
    candidates = np.where(
        (modalities[:, None] != modalities[None, :]) & (ranks >= 1) & (ranks <= 3), zoo.matrix, -np.inf
    )
    best = int(candidates.max(axis=1).argmax())
    return zoo.names[best] if np.isfinite(candidates).any() else zoo.names[0]
