"""The maps of the tasks: their controls, the maps themselves, and the run that makes them when they are not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app.components import access, charts, runs_data, source
from app.components.guard import empty, guarded, plain, say
from app.components.links import chosen_tasks, choose_tasks, linked_tasks
from app.components.pages import GRAPH, RUNS, SIMILARITY
from app.components.source import Source
from app.components.words import KINDS, MAPS, METRICS, PREDICTORS, Word, duration, label
from pituning.errors import PiTuningError
from pituning.figures.palette import modality_style
from pituning.figures.projection import Cloud, map_figure
from pituning.graph.build import communities
from pituning.graph.projection import (
    METRICS as DISTANCES,
)
from pituning.graph.projection import (
    Found,
    MapSettings,
    Projection,
    TaskMap,
    find_projection,
    load_projection,
)
from pituning.runs.configs import ProjectRun
from pituning.runs.plans import forecast
from pituning.runs.records import Run
from pituning.runs.spec import RunSpec

EVERY_SECONDS = 2
COLOURS = {
    "modality": Word("Modality", "What a task works on."),
    "family": Word("Family", "The first planted family of a task; grey for none."),
    "metric": Word("Metric", "How answers are scored."),
    "community": Word("Community", "Groups with more likeness inside than outside (Louvain)."),
}
AROUND = {
    "nothing": Word("Nothing", "Only the tasks."),
    "resamplings": Word("Resamplings", "The examples behind the embeddings drawn anew: how sure a task’s place is."),
    "layers": Word("Layers", "Where a task would lie if only one layer of the network counted."),
}
