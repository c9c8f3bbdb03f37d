"""Scores against hand-counted values and obvious loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from pituning.errors import BadInput
from pituning.tasks.base import Example, Task
from pituning.tasks.boxes import Box, corners, read_box
from pituning.tasks.metrics import (
    Guessing,
    box_iou,
    chance,
    guessing,
    largest_class,
    parse_box,
    per_example,
    score,
    token_f1,
)
from pituning.tasks.mini import TASK_NAMES, mini_task

cells = st.integers(0, 47)


def boxes() -> st.SearchStrategy[tuple[int, int, int, int]]:
    return st.tuples(cells, cells, cells, cells).map(
        lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
    )


def box_text(box: tuple[int, int, int, int]) -> str:
    return "".join(f"<loc_{cell}>" for cell in box)


def painted_iou(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """Counts the cells between the grid lines of both boxes on two painted grids."""
    grids = np.zeros((2, 48, 48), dtype=bool)
    for grid, (x1, y1, x2, y2) in zip(grids, (first, second), strict=True):
        grid[y1:y2, x1:x2] = True
    either = (grids[0] | grids[1]).sum()
    return float((grids[0] & grids[1]).sum() / either) if either else 0.0


def test_accuracy_ignores_case_and_outer_blanks():
    values = per_example("accuracy", [" Cat", "dog ", "a cat"], ["cat", "Dog", "cat"])
    assert values.tolist() == [1.0, 1.0, 0.0]
    assert values.dtype == np.float64
    assert score("accuracy", [" Cat", "dog ", "a cat"], ["cat", "Dog", "cat"]) == pytest.approx(200 / 3)


@settings(deadline=None)
@given(boxes(), boxes())
def test_iou_is_the_share_of_painted_cells(first, second):
    if first != second:
        assert box_iou(first, second) == pytest.approx(painted_iou(first, second))


@settings(deadline=None)
@given(boxes())
def test_a_box_is_read_back_from_its_tokens(box):
    assert parse_box(box_text(box)) == box
    assert per_example("box_iou", [box_text(box)], [box_text(box)]).tolist() == [1.0]


@pytest.mark.parametrize(
    "text",
    ["", "left", "<loc_1><loc_2><loc_3>", "<loc_1><loc_2><loc_3><loc_48>", "<loc_9><loc_0><loc_3><loc_4>", "1 2 3 4",
     "<loc_1><loc_2><loc_3><loc_4><loc_5>", "<loc_-1><loc_2><loc_3><loc_4>"],
)  # fmt: skip
def test_what_is_no_box_scores_nothing(text):
    assert parse_box(text) is None
    assert score("box_iou", [text], ["<loc_1><loc_2><loc_30><loc_40>"]) == 0.0


def test_half_overlap_is_the_threshold():
    gold = "<loc_0><loc_0><loc_10><loc_10>"
    assert score("box_iou", ["<loc_0><loc_0><loc_10><loc_5>"], [gold]) == 100.0  # 50 / 100
    assert score("box_iou", ["<loc_0><loc_0><loc_7><loc_7>"], [gold]) == 0.0  # 49 / 100


def test_token_f1_by_hand():
    # 2 common words ("a" once), 3 predicted, 4 wanted: precision 2/3, recall 2/4.
    assert token_f1("a a circle", "A red circle here") == pytest.approx(2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4))
    assert token_f1("", "") == 1.0
    assert token_f1("", "a") == 0.0


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd"), max_size=6), st.lists(st.sampled_from("abcd"), max_size=6))
def test_token_f1_matches_one_by_one(predicted, wanted):
    left = list(wanted)
    common = 0
    for word in predicted:
        if word in left:
            left.remove(word)
            common += 1
    expected = 1.0 if not predicted and not wanted else 2 * common / (len(predicted) + len(wanted))
    value = token_f1(" ".join(predicted), " ".join(wanted))
    assert math.isclose(value, expected)
    assert math.isclose(value, token_f1(" ".join(wanted), " ".join(predicted)))


def test_bad_calls_are_told():
    with pytest.raises(BadInput, match="2 predictions for 1 answers"):
        per_example("accuracy", ["a", "b"], ["a"])
    with pytest.raises(BadInput, match="no answers"):
        score("accuracy", [], [])
    with pytest.raises(BadInput, match="unknown metric 'mine'; known: accuracy, box_iou, multilabel_f1, "):
        per_example("mine", ["a"], ["a"])  # type: ignore[arg-type]


def make_task(metric, labels, train, test) -> Task:
    splits = {
        name: [Example(uid=f"t/{name}/{i}", text="", answer=a) for i, a in enumerate(answers)]
        for name, answers in {"train": train, "validation": test, "test": test}.items()
    }
    return Task(name="t", title="t", instruction="?", modality="language", metric=metric, labels=labels, splits=splits)


def test_chance_is_what_a_random_training_answer_scores():
    balanced = make_task("accuracy", ("a", "b", "c", "d"), list("abcd") * 5, list("abcd") * 2)
    assert chance(balanced) == pytest.approx(25.0)
    uneven = make_task("accuracy", ("a", "b"), ["a"] * 8 + ["b"] * 2, ["a"] * 9 + ["b"])
    assert chance(uneven) == pytest.approx(100 * (0.8 * 0.9 + 0.2 * 0.1))


def test_chance_of_open_answers():
    same = make_task("token_f1", None, ["a red box"], ["a red ball"])
    assert chance(same) == pytest.approx(200 / 3)
    far = make_task("box_iou", None, ["<loc_0><loc_0><loc_5><loc_5>"], ["<loc_20><loc_20><loc_40><loc_40>"])
    assert chance(far) == 0.0


def test_what_guessing_scores_is_counted_and_kept_for_the_suite():
    for name in ("digits", "texture", "sentiment"):
        task = mini_task(name)
        counts = [[example.answer for example in task.split(split)] for split in ("train", "test")]
        most = max(sorted(set(counts[0])), key=counts[0].count)
        kept = guessing(task)
        assert kept is not None
        assert kept.chance == pytest.approx(chance(task), abs=1e-3)
        assert kept.largest == pytest.approx(largest_class(task), abs=1e-3)
        by_hand = 100 * counts[1].count(most) / len(counts[1])
        assert kept.largest == pytest.approx(by_hand, abs=1.0) or name == "digits"  # ties
    kept_of = {name: guessing(mini_task(name)) for name in TASK_NAMES}
    for name, kept in kept_of.items():
        assert kept is not None
        labels = mini_task(name).labels
        if labels is not None and name != "digits":  # whose labels are those of people, and not balanced
            assert kept.chance == pytest.approx(100 / len(labels), abs=1e-3)
    assert Guessing(25.0, 40.0).short() == "25.0 · 40.0"
    assert Guessing(7.0, None).short() == "7.0"
    assert str(Guessing(25.0, 40.0)) == "guessing at random scores 25.0, always answering the largest class 40.0"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ground-place", "ground-look", "ground-relation"])
def test_what_guessing_scores_where_answers_are_open(name):
    """Of all pairs of some answers, which is no more than near to the 2,000 pairs of all that were counted."""
    task = mini_task(name)
    train, test = ([example.answer for example in task.split(split)[:240]] for split in ("train", "test"))
    answers = [answer for answer in test[:160] for _ in train]
    assert guessing(task).chance == pytest.approx(score(task.metric, train * 160, answers), abs=1.0)


@pytest.mark.slow
def test_what_guessing_scores_on_captions_is_what_is_counted():
    assert guessing(mini_task("caption")).chance == pytest.approx(chance(mini_task("caption")), abs=1e-3)


numbers = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=3, max_size=30)


@settings(deadline=None, max_examples=50)
@given(numbers)
def test_correlations_are_those_of_scipy(pairs):
    predicted, wanted = ([float(value) / 4 for value in values] for values in zip(*pairs, strict=True))
    texts = [f"{value}" for value in predicted], [f"{value:.2f}" for value in wanted]
    constant = len(set(predicted)) == 1 or len(set(wanted)) == 1
    for metric, function in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        expected = 0.0 if constant else float(function(predicted, wanted).statistic)
        assert score(metric, *texts) == pytest.approx(100 * expected, abs=1e-6)
        assert per_example(metric, *texts).shape == (len(pairs),)


def test_what_is_no_number_counts_as_the_mean():
    assert score("pearson", ["1", "who knows", "3"], ["1", "2", "3"]) == pytest.approx(100)
    assert score("pearson", ["a", "b", "c"], ["1", "2", "3"]) == 0
    with pytest.raises(BadInput, match="an answer is not a number"):
        score("pearson", ["1"], ["one"])


LABELS = ("bad", "good", "phone")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sets(st.sampled_from(LABELS)), st.sets(st.sampled_from(LABELS))), min_size=1, max_size=20))
def test_f1_of_labels_is_that_of_scikit_learn(pairs):
    texts = [[", ".join(sorted(labels)) or "none" for labels in side] for side in zip(*pairs, strict=True)]
    marks = [[[int(label in labels) for label in LABELS] for labels in side] for side in zip(*pairs, strict=True)]
    expected = f1_score(marks[1], marks[0], average="samples", zero_division=1)
    assert score("multilabel_f1", *texts) == pytest.approx(100 * expected)


def test_vqa_accuracy_is_the_mean_over_the_people():
    people = ["red"] * 2 + ["dark red"] * 7 + ["blue"]

    def slow(prediction):  # each person against the nine others
        return np.mean([min(1, people[:i].count(prediction) / 3 + people[i + 1 :].count(prediction) / 3)
                        for i in range(10)])  # fmt: skip

    for prediction in ("red", "dark red", "blue", "green"):
        assert score("vqa_accuracy", [prediction], [people]) == pytest.approx(100 * slow(prediction))
    assert score("vqa_accuracy", ["Red"], ["red"]) == 100.0


def test_the_best_of_several_right_answers_counts():
    assert score("token_f1", ["a red ball"], [("a blue box", "one red ball")]) == pytest.approx(200 / 3)
    assert score("accuracy", ["b"], [("a", "b")]) == 100.0


@settings(deadline=None)
@given(st.integers(0, 90), st.integers(0, 50), st.integers(1, 40), st.integers(1, 40))
def test_boxes_in_pixels_are_held_and_read_back(x, y, width, height):
    box = Box(*corners((x, y, width, height), "xywh"), 200, 100)
    assert read_box(box.text()) == box
    assert box_iou(parse_box(box.text()), parse_box(box.text())) == 1.0
    cells = Box.from_grid(box.on_grid(1000), 1000)  # at most a cell away
    assert abs(cells.x1 / 1000 - x / 200) <= 1e-3
    assert abs(cells.y2 / 1000 - (y + height) / 100) <= 1e-3
