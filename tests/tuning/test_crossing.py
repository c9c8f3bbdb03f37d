"""A very small table is tested on all of its rows: its shots by cross-validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pituning.errors import RunCancelled
from pituning.progress import Silent
from pituning.runs.outline import Subject, outline
from pituning.runs.spec import RunSpec
from pituning.tasks.files import ColumnMapping, open_table, task_from_table
from pituning.tasks.metrics import score
from pituning.tasks.pooling import crossed_count
from pituning.tasks.registry import list_tasks
from pituning.tasks.saved import save_task
from pituning.tuning.config import CROSSED, TuneConfig
from pituning.tuning.crossing import cross
from pituning.tuning.learners import MixtureLearner
from pituning.tuning.predictions import PREDICTIONS, read_predictions
from pituning.tuning.run import tune
from pituning.tuning.selection import partition
from pituning.tuning.trial import prepare
from pituning.workspace.layout import Workspace
from tests.tuning.test_run import Notes

MakeWorkspace = Callable[..., Workspace]

ROWS, SHOTS = 30, 8
CONFIG = TuneConfig(
    target="small", shots=SHOTS, steps=4, donors=2, folds=1, learning_rates=(0.01,), processes=1,
    baselines=("backbone", "single", "full", "donor-untouched"), learning_curve=True,
)  # fmt: skip


def small_table() -> bytes:
    """Two classes; the first two rows ask the same."""
    rows = [f"word {max(i, 1)} is {'happy' if i % 2 else 'sad'},{'good' if i % 2 else 'bad'}" for i in range(1, ROWS)]
    return "\n".join(["text,label", rows[0], *rows]).encode()


@pytest.fixture
def workspace(make_workspace: MakeWorkspace) -> Workspace:
    made = make_workspace("w", "lora")
    read = open_table(small_table(), filename="small.csv")
    columns = ColumnMapping(text=("text",), answer=("label",))
    save_task(task_from_table(read, name="small", instruction="good or bad?", columns=columns), made)
    return made


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=2, max_size=40),
    st.integers(0, 99),
    st.booleans(),
)
def test_each_shot_is_held_out_once_with_all_that_ask_the_same(
    drawn: list[tuple[int, int]], seed: int, closed: bool
) -> None:
    answers, questions = [f"label {label}" for label, _ in drawn], [question for _, question in drawn]
    folds = partition(answers, questions, closed=closed, seed=seed)
    assert len(folds) <= CROSSED
    if folds:
        assert sorted(np.concatenate([fold.held_out for fold in folds])) == list(range(len(answers)))
    for fold in folds:
        held = {questions[row] for row in fold.held_out}
        # By the definition, one at a time: a training has what asks something else, and lacks no class.
        assert fold.train.tolist() == [row for row in range(len(answers)) if questions[row] not in held]
        assert len(fold.train)
        if closed:
            assert {answers[row] for row in fold.train} == set(answers)


@given(st.lists(st.integers(0, 2), min_size=2, max_size=40), st.integers(0, 99))
def test_parts_have_their_share_of_each_class(drawn: list[int], seed: int) -> None:
    answers = [f"label {label}" for label in drawn]
    folds = partition(answers, range(len(answers)), closed=True, seed=seed)
    assert len(folds) == (min(CROSSED, least) if (least := min(Counter(answers).values())) > 1 else 0)
    for fold in folds:
        for label, count in Counter(answers).items():
            out = sum(answers[row] == label for row in fold.held_out)
            assert count // len(folds) <= out <= -(-count // len(folds))


@pytest.mark.parametrize(
    ("train", "shots", "least", "most", "dealt", "crossed"),
    [
        (24, 24, 12, 1000, True, 24),  # 16 are left
        (24, 20, 10, 1000, True, 0),  # as many are left as are shots
        (24, 24, 12, 39, True, 0),  # not all may be tested
        (24, 24, 12, 40, True, 24),
        (24, 24, 1, 1000, True, 0),
        (24, 24, 12, 1000, False, 0),  # the file names its test rows
    ],
)  # fmt: skip
def test_shots_are_tested_where_fewer_rows_are_left(
    train: int, shots: int, least: int, most: int, dealt: bool, crossed: int
) -> None:
    sizes, names = {"train": train, "validation": 6, "test": 10}, ("train", "validation", "test") if dealt else ()
    assert crossed_count(sizes, names, metric="accuracy", shots=shots, least=least, most=most) == crossed
    assert crossed_count(sizes, names, metric="pearson", shots=shots, least=least, most=most) == 0


def test_the_answers_to_shots_are_those_of_trainings_without_them(workspace: Workspace) -> None:
    trial = prepare(CONFIG, workspace, Silent(), cross=True)
    assert len(trial.parts) == CROSSED
    for method in ("mixture", "full", "donor-untouched", "backbone"):
        choice = None if method == "backbone" else trial.choose(method, Silent())
        state = None if choice is None else trial.train(method, choice, Silent())
        found = cross(trial, method, choice, state, Silent())
        assert found is not None
        for row in range(len(trial.examples)):  # one at a time
            (fold,) = (one for one in trial.parts if row in one.held_out)
            alone = trial.shots.subset([row])
            if choice is None:
                assert trial.backbone.predict(alone, trial.task) == [found.predictions[row]]
                continue
            learner = trial.methods.learner(method)
            without = trial.train(method, choice, Silent(), shots=trial.shots.subset(fold.train))
            assert learner.predict(without, alone, trial.task, Silent()) == [found.predictions[row]]
            if method == "full":
                assert (found.losses[row], found.scores[row]) == (0.0, [])
                continue
            assert isinstance(learner, MixtureLearner)
            assert learner.losses(without, alone) == pytest.approx([found.losses[row]], abs=1e-4)
            (scores,) = learner.label_scores(without, alone, trial.task.labels or (), Silent())
            assert scores == pytest.approx(found.scores[row], abs=1e-4)
    assert prepare(CONFIG, workspace, Silent()).parts == []  # studies measure the test split


def test_a_run_is_scored_on_all_rows_and_goes_on_where_it_was_stopped(workspace: Workspace, tmp_path: Path) -> None:
    notes = Notes()
    result = tune(CONFIG, workspace, notes, tmp_path / "whole" / "checkpoint")
    assert (result["test_examples"], result["crossed"], result["pooled"]) == (ROWS, 2 * SHOTS, True)
    assert any("by cross-validation, on the 16 shots" in line for line in notes.lines)
    for name, total, done in notes.phases:
        assert done <= total, name
    table = read_predictions(tmp_path / "whole" / PREDICTIONS)
    assert len(table) == ROWS
    assert table["row"].is_unique
    assert result["score"] == pytest.approx(
        score("accuracy", list(table["prediction"]), [(one,) for one in table["answer"]]), abs=1e-3
    )

    # The curve is of the rows that are no shots, which come first.
    last, fresh = result["learning_curve"][-1], table.iloc[: ROWS - 2 * SHOTS]
    assert last["score"] == pytest.approx(100 * (fresh["prediction"] == fresh["answer"]).mean(), abs=1e-3)

    stopped = tmp_path / "stopped" / "checkpoint"
    with pytest.raises(RunCancelled):
        tune(CONFIG, workspace, Notes(cancel_after=60), stopped)
    again: dict[str, Any] = tune(replace(CONFIG, processes=2), workspace, None, stopped)
    assert again == result


def test_its_length_is_foreseen(workspace: Workspace) -> None:
    (info,) = (info for info in list_tasks(workspace) if info.name == "small")
    notes = Notes()
    tune(CONFIG, workspace, notes)
    told = {name: total for name, total, _ in notes.phases}
    foreseen = {part.name: part.total for part in outline(RunSpec.of("tune", CONFIG), Subject.of(info))}
    for name in ("methods for the verdict", "other methods and calibration"):
        assert foreseen[name] == told[name]
