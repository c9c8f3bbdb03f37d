"""What pages read from the workspace, cached. Keys carry the time of the last change, so that new work shows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from app.components.stamps import stamp, stamp_of_all
from app.components.words import KINDS, PREDICTORS
from pituning.backbones import files
from pituning.backbones.card import card_of
from pituning.backbones.families import family_of
from pituning.backbones.places import Places
from pituning.errors import ArtefactError, PiTuningError
from pituning.experts import card
from pituning.experts.card import CARD, CONFIG, TENSORS
from pituning.experts.catalogue import Catalogue, ExpertEntry
from pituning.experts.keeping import check_whole
from pituning.experts.kinds import in_order, mixable_kinds
from pituning.graph import among
from pituning.graph.donor_gains import DonorGains, expected_gain
from pituning.graph.zoo_parts import Part, part_files, zoo_parts
from pituning.studies.lowshot_scores import comparable_scores
from pituning.studies.showcase import MOST_LABELS, SHOTS, Showcase, showcases
from pituning.tasks.base import Task
from pituning.tasks.registry import TaskInfo, damaged_tasks, list_tasks, load_task
from pituning.workspace import transfer as transfer_tables
from pituning.workspace.atomic import read_json
from pituning.workspace.layout import DEFAULT_BACKBONE, ENVIRONMENT_VARIABLE, Workspace
from pituning.workspace.lowshot import read_lowshot
from pituning.workspace.similarity import NearestSimilarity, ZooSimilarity
from pituning.workspace.transfer import Transfer, load_transfer, measured_shots
from pituning.workspace.zoo import Zoo

BACKBONE = "backbone"
"""The parameter of addresses, and the key of the session, that name the backbone."""


@st.cache_resource(max_entries=4, show_spinner=False)
def _open(path: str | None, _directory: str) -> Workspace:
    return Workspace.open(path)


def workspace() -> Workspace:
    """The workspace that `pituning app` was started on."""
    return _open(os.environ.get(ENVIRONMENT_VARIABLE), os.getcwd())


def backbones() -> list[str]:
    """The backbones that there are, or of which there is a zoo; the usual one first."""
    here = workspace()
    return sorted({*here.backbone_names(), *here.zoo_names()}, key=lambda name: (name != DEFAULT_BACKBONE, name))


def backbone() -> str:
    """Name of the backbone that the pages are about: what `app.components.backbone.choose` has been told."""
    known = backbones()
    chosen = st.session_state.get(BACKBONE)
    return chosen if chosen in known else next(iter(known), DEFAULT_BACKBONE)


def modalities(name: str | None = None) -> tuple[str, ...]:
    """Of the tasks that a backbone can do, by default the chosen one; all where its files do not say."""
    try:
        folder = workspace().backbone_dir(name or backbone())
        return family_of(read_json(folder / "config.json"), str(folder)).modalities
    except (PiTuningError, TypeError, AttributeError):
        return ("vision", "language", "vision-language")


def parameters() -> int:
    """How many parameters the backbone has; 0 where its files do not say."""
    if not backbone_ready():
        return 0
    folder = workspace().backbone_dir(backbone())
    return _parameters(str(folder), stamp(folder), workspace(), backbone())


def has_eyes() -> bool:
    """Whether experts can act in the backbone's vision tower."""
    if not backbone_ready():
        return False
    folder = workspace().backbone_dir(backbone())
    return _has_eyes(str(folder), stamp(folder))


@st.cache_data(max_entries=8, show_spinner=False)
def _has_eyes(folder: str, stamp: float) -> bool:
    try:
        return bool(Places.read(Path(folder)).eyes)
    except PiTuningError:
        return False


@st.cache_data(max_entries=8, show_spinner=False)
def _parameters(folder: str, stamp: float, _workspace: Workspace, name: str) -> int:
    try:
        return card_of(_workspace, name).parameters
    except PiTuningError:
        return 0


def zoo() -> Zoo:
    """The zoo that the pages are about."""
    return workspace().zoo(backbone())


def tasks() -> dict[str, TaskInfo]:
    """Every task by name: the mini suite, those that people added, those that the zoo ships without their examples."""
    here = workspace()
    return _tasks(str(here.root), stamp(here.root / "tasks"), backbone(), here)


@st.cache_resource(max_entries=8, show_spinner=False)
def _tasks(root: str, stamp: float, backbone: str, _workspace: Workspace) -> dict[str, TaskInfo]:
    return {info.name: info for info in list_tasks(_workspace, backbone)}


def damaged() -> dict[str, str]:
    """The tasks of the workspace that cannot be used, each with the reason; read again when a card has changed."""
    here = workspace()
    cards = stamp_of_all(here.root / "tasks", "task.json")
    return _damaged(str(here.root), stamp(here.root / "tasks"), cards, here)


@st.cache_data(max_entries=8, show_spinner=False)
def _damaged(root: str, stamp: float, cards: int, _workspace: Workspace) -> dict[str, str]:
    return damaged_tasks(_workspace)


def task(name: str) -> Task:
    """A task with its examples (drawn when they are looked at)."""
    here = workspace()
    return _task(str(here.root), name, stamp(here.root / "tasks" / name), here)


@st.cache_resource(max_entries=64, show_spinner=False)
def _task(root: str, name: str, stamp: float, _workspace: Workspace) -> Task:
    return load_task(name, _workspace)


def similarity(kind: str, predictor: str) -> ZooSimilarity:
    """How alike the zoo's tasks are.

    Raises:
        ArtefactError: it has not been made for this kind and predictor, or is damaged.
        BadInput: the tasks are so many that not all pairs are kept; `kept_similarity` reads that form, too.
    """
    kept = kept_similarity(kind, predictor)
    return zoo().similarity(kind, predictor) if isinstance(kept, NearestSimilarity) else kept


def kept_similarity(kind: str, predictor: str) -> ZooSimilarity | NearestSimilarity:
    """The same in the form in which it is kept.

    Raises:
        ArtefactError: it has not been made for this kind and predictor, or is damaged.
    """
    path = zoo().similarity_path(kind, predictor)
    return _similarity(str(path), stamp(path), kind, predictor, zoo())


@st.cache_resource(max_entries=32, show_spinner=False)
def _similarity(path: str, stamp: float, kind: str, predictor: str, _zoo: Zoo) -> ZooSimilarity | NearestSimilarity:
    return _zoo.kept_similarity(kind, predictor)


def similarity_among(kind: str, predictor: str, names: tuple[str, ...]) -> np.ndarray:
    """S of some tasks of very many, (n, n), from their embeddings; NaN of pairs that are not known.

    Raises:
        ArtefactError: the similarities have not been made, or an embedding is damaged.
    """
    path = zoo().similarity_path(kind, predictor)
    return _among(str(path), stamp(path), kind, predictor, names, zoo())


@st.cache_resource(max_entries=64, show_spinner="Comparing the tasks …")
def _among(path: str, stamp: float, kind: str, predictor: str, names: tuple[str, ...], _zoo: Zoo) -> np.ndarray:
    kept = kept_similarity(kind, predictor)
    place = {name: i for i, name in enumerate(kept.names)}
    at = np.array([place[name] for name in names])
    if not isinstance(kept, NearestSimilarity):
        return kept.matrix[np.ix_(at, at)]
    return among.similarity_among(_zoo, kind, predictor, kept, at, at)


def parts(kind: str, predictor: str, part: Part) -> Mapping[str, np.ndarray]:
    """S of each layer or module alone, (N, N), by its name; empty where the embeddings are not kept.

    Raises:
        ArtefactError: an embedding is damaged.
    """
    compared = similarity(kind, predictor)
    files = part_files(zoo(), compared, kind, predictor)
    stamps = (stamp(zoo().similarity_path(kind, predictor)), *map(stamp, files))
    return _parts(tuple(map(str, files)), stamps, predictor, part, compared)


@st.cache_resource(max_entries=32, show_spinner="Comparing part by part …")
def _parts(
    files: tuple[str, ...], stamps: tuple[float, ...], predictor: str, part: Part, _compared: ZooSimilarity
) -> Mapping[str, np.ndarray]:
    return zoo_parts([Path(file) for file in files], _compared, predictor, part)


def transfer_shots(kind: str) -> list[int]:
    """At how many shots transfer between tasks was measured.

    Raises:
        ArtefactError: the table is damaged.
    """
    path = zoo().transfer_path(kind)
    return _transfer_shots(str(path), stamp(path))


@st.cache_data(max_entries=16, show_spinner=False)
def _transfer_shots(path: str, stamp: float) -> list[int]:
    return measured_shots(Path(path))


def transfer(kind: str, shots: int, names: tuple[str, ...]) -> Transfer | None:
    """The measured transfer among tasks; None where there is none.

    Raises:
        ArtefactError: the table is damaged.
    """
    path = zoo().transfer_path(kind)
    return _transfer(str(path), stamp(path), shots, hash(names), names)


@st.cache_resource(max_entries=16, show_spinner=False)
def _transfer(path: str, stamp: float, shots: int, key: int, _names: tuple[str, ...]) -> Transfer | None:
    return load_transfer(Path(path), shots, _names)


def gain_intervals(kind: str, shots: int, target: str) -> dict[str, float]:
    """How sure is what each donor did for a target, as `pituning.workspace.transfer.gain_intervals` has it.

    Raises:
        ArtefactError: the table is damaged.
    """
    path = zoo().transfer_path(kind)
    return _gain_intervals(str(path), stamp(path), shots, target)


@st.cache_data(max_entries=256, show_spinner=False)
def _gain_intervals(path: str, stamp: float, shots: int, target: str) -> dict[str, float]:
    return transfer_tables.gain_intervals(Path(path), shots, target)


def expected_gains(kind: str, target: str, shots: int) -> DonorGains:
    """What every donor is expected to do for a task of the graph, or why that cannot be said.

    Raises:
        ArtefactError: the similarities or the table of transfer are damaged.
    """
    here = zoo()
    files = [here.transfer_path(kind), *(here.similarity_path(kind, name) for name in PREDICTORS)]
    stamps = tuple((str(path), stamp(path)) for path in files)
    return _expected_gains(stamps, kind, target, shots, here, tasks())


@st.cache_resource(max_entries=64, show_spinner=False)
def _expected_gains(
    stamps: tuple[tuple[str, float], ...], kind: str, target: str, shots: int, _zoo: Zoo, _tasks: dict[str, TaskInfo]
) -> DonorGains:
    return expected_gain(_zoo, target, tasks=_tasks, kind=kind, shots=shots)


def lowshot(kind: str) -> pd.DataFrame:
    """The rows of the low-shot study, none where it has not been made.

    Raises:
        ArtefactError: the table is damaged.
    """
    path, _ = zoo().shown_lowshot(kind)
    return _lowshot(str(path), stamp(path))


@st.cache_resource(max_entries=8, show_spinner=False)
def _lowshot(path: str, stamp: float) -> pd.DataFrame:
    return read_lowshot(Path(path))


def study_scores(kind: str, shots: int) -> pd.DataFrame:
    """What the study's rows at some shots come to, as `pituning.studies.lowshot_scores.comparable_scores` has it."""
    path, _ = zoo().shown_lowshot(kind)
    return _study_scores(str(path), stamp(path), shots)


@st.cache_resource(max_entries=16, show_spinner=False)
def _study_scores(path: str, stamp: float, shots: int) -> pd.DataFrame:
    return comparable_scores(_lowshot(path, stamp), shots)


def showcase_targets() -> tuple[Showcase | None, Showcase | None]:
    """A target whose relatives helped as measured, and one whose did not; None where there is none such.

    Raises:
        ArtefactError: the table of the study is damaged.
    """
    able, kind = modalities(), next(iter(available()), None)
    if kind is None or lowshot(kind).empty:
        return None, None
    few = [
        name
        for name, info in tasks().items()
        if info.sizes["train"] and info.modality in able and 0 < len(info.labels or ()) <= MOST_LABELS
    ]
    return showcases(study_scores(kind, SHOTS), few)


def available() -> dict[str, list[str]]:
    """The predictors that are there for each kind; a kind without any is left out."""
    here = zoo()
    by_kind = {kind: [name for name in PREDICTORS if here.similarity_path(kind, name).is_file()] for kind in KINDS}
    return {kind: names for kind, names in by_kind.items() if names}


def unusable_experts(kind: str, target: str) -> dict[str, str]:
    """The experts that a run on ``target`` needs and cannot use, each with the reason."""
    here, chosen = workspace(), backbone()
    files = [here.backbone_dir(chosen) / "model.safetensors"]
    files += [folder / file for folder in zoo().expert_dirs(kind).values() for file in (CARD, TENSORS)]
    return _unusable_experts(str(here.root), chosen, kind, target, tuple(map(stamp, files)), here)


@st.cache_resource(max_entries=32, show_spinner=False)
def _unusable_experts(
    root: str, backbone: str, kind: str, target: str, stamps: tuple[float, ...], _workspace: Workspace
) -> dict[str, str]:
    return card.unusable_experts(_workspace, kind, target=target, backbone=backbone)


def experts() -> list[ExpertEntry]:
    """Every expert, shipped ones included; only what has changed since the last look is read.

    Raises:
        ArtefactError: the backbone lacks a file.
    """
    here = zoo()
    return _catalogue(str(here.root), here).entries(backbone_fingerprint())


@st.cache_resource(max_entries=8, show_spinner=False)
def _catalogue(root: str, _zoo: Zoo) -> Catalogue:
    return Catalogue(_zoo)


def backbone_fingerprint() -> str | None:
    """The fingerprint of the backbone, None where there is none.

    Raises:
        ArtefactError: it lacks a file.
    """
    if not backbone_ready():
        return None
    folder = workspace().backbone_dir(backbone())
    return _fingerprint(str(folder), tuple(stamp(folder / name) for name in files.fingerprinted(folder)))


@st.cache_data(max_entries=8, show_spinner=False)
def _fingerprint(folder: str, stamps: tuple[float, ...]) -> str:
    return files.fingerprint(Path(folder))


def damage(entry: ExpertEntry) -> str | None:
    """Why an expert's files are not those that were written, or None."""
    return _damage(str(entry.directory), tuple(stamp(entry.directory / name) for name in (CARD, CONFIG, TENSORS)))


@st.cache_data(max_entries=512, show_spinner=False)
def _damage(folder: str, stamps: tuple[float, ...]) -> str | None:
    try:
        check_whole(Path(folder))
    except ArtefactError as error:
        return str(error)
    return None


def kinds() -> list[str]:
    """The kinds of which runs can be started: those of which the zoo has anything; all where there is nothing yet."""
    return in_order({*mixable_kinds()} & {*zoo().kinds()}) or list(mixable_kinds())


def expert_count() -> int:
    """How many experts there are, of all kinds, shipped ones included."""
    here = zoo()
    return sum(len(here.all_expert_dirs(kind)) for kind in KINDS)


def backbone_ready() -> bool:
    """Whether the backbone that the pages are about is there to run on."""
    return backbone() in workspace().backbone_names()
