from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pituning.errors import BadInput
from pituning.graph import nearest as nearest_module
from pituning.graph import sketch
from pituning.graph import units as units_module
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.nearest import added, nearest, nearest_by_rows
from pituning.graph.similarity import cross_similarity, similarity_matrix
from pituning.graph.units import Form, Units
from pituning.progress import Silent

SIZES = (5, 1, 14)
PREDICTOR_OF: dict[Form, str] = {"raw": "paper", "centred": "probe"}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven tasks in a block, three in a strip, so that few tasks are many of both."""
    monkeypatch.setattr(units_module, "BLOCK_BYTES", 7 * 4 * sum(SIZES))
    monkeypatch.setattr(units_module, "STRIP_BYTES", 2 * 8 * sum(SIZES))
    monkeypatch.setattr(nearest_module, "STRIP", 3)


def vectors(seed: int, n: int, *, odd: bool = True) -> np.ndarray:
    """Values as Fisher values are; ``odd`` has tasks without a direction, the same ones twice and nearly the same."""
    generator = np.random.default_rng(seed)
    values = generator.gamma(0.3, size=(n, sum(SIZES))).astype(np.float32)
    if odd and n > 4:
        values[0, :5] = 0
        values[1] = values[2]
        values[3] = values[2] * (1 + 1e-6 * generator.normal(size=sum(SIZES)))
        values[n // 2 : n // 2 + n // 4] = values[-1]
    return values


def embeddings(values: np.ndarray) -> list[TaskEmbedding]:
    names = ("a", "b", "c")
    return [
        TaskEmbedding.from_flat(row, task=f"t{i}", kind="lora", probe="own", names=names, sizes=SIZES)
        for i, row in enumerate(values)
    ]


def slow_order(similarity: np.ndarray, i: int) -> list[int]:
    """All others, best first: what is within a tie of the best that is left goes by number."""
    left, order = [j for j in range(len(similarity)) if j != i], []
    while left:
        best = max(similarity[i, j] for j in left)
        tied = [j for j in left if similarity[i, j] >= best - 1e-12]
        order += tied
        left = [j for j in left if j not in tied]
    return order


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(2, 40), k=st.integers(1, 6), form=st.sampled_from(["raw", "centred"]))
def test_the_order_is_that_of_float64_with_ties_by_number(seed: int, n: int, k: int, form: Form) -> None:
    values, k = vectors(seed, n), min(k, n - 1)
    similarity = similarity_matrix(embeddings(values), PREDICTOR_OF[form])
    found = nearest(Units(values, SIZES, form), k)
    assert found.tasks.tolist() == [slow_order(similarity, i)[:k] for i in range(n)]
    np.testing.assert_allclose(found.similarity, np.take_along_axis(similarity, found.tasks, axis=1), atol=1e-6)
    pairs = similarity[~np.eye(n, dtype=bool)]
    assert found.mean == pytest.approx(pairs.mean(), abs=1e-6)
    assert found.deviation**2 == pytest.approx(pairs.var(), abs=1e-6)  # of squares in float32


def test_float32_alone_would_get_the_order_wrong() -> None:
    values = np.repeat(vectors(3, 1, odd=False), 30, axis=0)
    values *= 1 + 3e-5 * np.random.default_rng(0).normal(size=values.shape)
    similarity = similarity_matrix(embeddings(values), "paper")
    right = [slow_order(similarity, i)[:5] for i in range(30)]
    units = Units(values, SIZES, "raw")
    np.testing.assert_array_equal(nearest(units, 5).tasks, right)
    block = units.rows(slice(None)) @ units.rows(slice(None)).T
    np.fill_diagonal(block, -np.inf)
    assert (np.argsort(-block, axis=1, kind="stable")[:, :5] != right).any()


def test_each_pair_is_multiplied_once_and_never_more_than_two_blocks_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    values = vectors(0, 35, odd=False)
    units = Units(values, SIZES, "centred")
    multiplied, made = [], []
    compare, rows = nearest_module._compare, Units.rows
    monkeypatch.setattr(
        nearest_module, "_compare", lambda u, one, a, other, b, best: (
            multiplied.append(len(a) * (len(a) + 1) // 2 if one == other else len(a) * len(b)),
            compare(u, one, a, other, b, best),
        ),
    )  # fmt: skip
    monkeypatch.setattr(Units, "rows", lambda self, at, out=None: (made.append(out), rows(self, at, out))[1])
    nearest(units, 4)
    assert sum(multiplied) == 35 * 36 // 2
    assert len(made) == 15
    assert all(room is not None and room.nbytes <= units_module.BLOCK_BYTES for room in made)
    assert len({id(room) for room in made}) == 2


@pytest.mark.parametrize("form", ["raw", "centred"])
def test_one_more_task_is_what_a_rebuild_with_the_same_centre_finds(form: Form) -> None:
    values = vectors(5, 30)
    units = Units(values[:-1], SIZES, form)
    to_new = units.similarity_to(values[-1])
    np.testing.assert_allclose(
        to_new, cross_similarity(embeddings(values[-1:]), embeddings(values[:-1]), PREDICTOR_OF[form])[0], atol=1e-12
    )
    more = added(nearest(units, 4), to_new)
    rebuilt = nearest(Units(values, SIZES, form, centre=units.centre), 4)
    np.testing.assert_array_equal(more.tasks, rebuilt.tasks)
    np.testing.assert_allclose(more.similarity, rebuilt.similarity, atol=1e-6)
    assert (more.mean, more.deviation) == pytest.approx((rebuilt.mean, rebuilt.deviation), abs=1e-5)


def test_any_similarity_can_be_given_by_rows() -> None:
    similarity = similarity_matrix(embeddings(vectors(7, 20)), "scaled")
    found = nearest_by_rows(lambda at: similarity[at], 20, 5, block=6)
    assert found.tasks.tolist() == [slow_order(similarity, i)[:5] for i in range(20)]
    pairs = similarity[~np.eye(20, dtype=bool)]
    assert (found.mean, found.deviation) == pytest.approx((pairs.mean(), pairs.std()))


def test_bad_input_is_named() -> None:
    units = Units(vectors(0, 3), SIZES, "raw")
    with pytest.raises(BadInput, match="k is 3; choose 1 to 2"):
        nearest(units, 3)
    with pytest.raises(BadInput, match="give one row of 20 values per task"):
        Units(vectors(0, 3)[:, 1:], SIZES, "raw")


class SlowSearch:
    """In place of `pynndescent.NNDescent`, which takes half a minute to compile: every pair, by the same arguments."""

    def __init__(self, data: np.ndarray, *, metric: str, n_neighbors: int, random_state: int, low_memory: bool):
        assert metric == "cosine"
        unit = data / np.maximum(np.linalg.norm(data, axis=1, keepdims=True), 1e-12)
        order = np.argsort(-unit @ unit.T, axis=1, kind="stable")[:, :n_neighbors]
        self.neighbor_graph = order, np.zeros(order.shape)


@pytest.fixture
def _slow_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynndescent", SimpleNamespace(NNDescent=SlowSearch))


@pytest.mark.usefixtures("_slow_search")
def test_a_sketch_finds_nearly_all_and_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketch, "TOGETHER", 20)
    monkeypatch.setattr(sketch, "SAMPLE", 100)
    generator = np.random.default_rng(0)
    values = (generator.gamma(0.2, size=(200, 4)) @ generator.gamma(0.3, size=(4, 20))).astype(np.float32)
    values[7] = values[8]
    units = Units(values, SIZES, "centred")
    exact = nearest(units, 10)
    found = sketch.nearest_by_sketch(units, 10)
    shared = [len(set(a) & set(b)) for a, b in zip(found.nearest.tasks.tolist(), exact.tasks.tolist(), strict=True)]
    assert np.mean(shared) / 10 >= 0.95
    assert found.recall == pytest.approx(np.mean(shared) / 10, abs=0.02)
    same = found.nearest.tasks == exact.tasks
    np.testing.assert_allclose(found.nearest.similarity[same], exact.similarity[same], atol=1e-6)
    assert found.nearest.mean == pytest.approx(exact.mean, abs=0.05)
    monkeypatch.setattr(sketch, "TOGETHER", 1)  # no more candidates than its own, of which there are too few
    few = sketch._reranked(units, exact.tasks[:, :2], sketch.sketch(units), 2, Silent())
    np.testing.assert_array_equal(np.sort(few.tasks), np.sort(exact.tasks[:, :2]))


@pytest.mark.usefixtures("_slow_search")
def test_a_search_never_returns_the_task_itself() -> None:
    same = np.ones((9, 3), np.float32)  # each finds the first of them, many not themselves
    found = sketch.search(same, 4)
    assert found.shape == (9, 4)
    assert not (found == np.arange(9)[:, None]).any()
