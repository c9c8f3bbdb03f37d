from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import pituning.graph.similarity as similarity_module
from pituning.errors import BadInput
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.similarity import (
    cross_similarity,
    per_part,
    rank,
    similarity_matrix,
    similarity_to,
    standardise,
)

NAMES = ("encoder.layers.0.a", "encoder.layers.0.b", "decoder.layers.1.a")
SIZES = (5, 1, 7)
PARTS = {name: name.replace(".layers", "").removesuffix(".a").removesuffix(".b") for name in NAMES}
FROM_EMBEDDINGS = ("paper", "probe", "scaled", "weights")


def embeddings(values: np.ndarray) -> list[TaskEmbedding]:
    return [
        TaskEmbedding.from_flat(row, task=f"task-{i}", kind="lora", probe="own", names=NAMES, sizes=SIZES)
        for i, row in enumerate(values)
    ]


def fisher(seed: int, n: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).gamma(0.3, size=(n, sum(SIZES))).astype(np.float32)


# Reference: one pair, one tensor, one number at a time, straight from the definitions.


def slow_cos(a: list[float], b: list[float]) -> float | None:
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    norms = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(y * y for y in b))
    return dot / norms if norms > 0 else None


def slow_unit(a: list[float]) -> list[float]:
    norm = math.sqrt(math.fsum(x * x for x in a))
    return [x / norm for x in a]


def slow_similarity(values: np.ndarray, predictor: str) -> np.ndarray:
    n = len(values)
    result = np.zeros((n, n))
    tensors = [[[float(x) for x in piece] for piece in np.split(row, np.cumsum(SIZES)[:-1])] for row in values]
    for i in range(n):
        for j in range(n):
            cosines = []
            for t in range(len(SIZES)):
                a, b = tensors[i][t], tensors[j][t]
                if predictor == "probe":
                    units = [slow_unit(tensors[m][t]) for m in range(n) if any(tensors[m][t])]
                    mean = [math.fsum(column) / len(units) for column in zip(*units, strict=True)]
                    if not any(a) or not any(b):
                        continue
                    a = [x - y for x, y in zip(slow_unit(a), mean, strict=True)]
                    b = [x - y for x, y in zip(slow_unit(b), mean, strict=True)]
                    if max(map(abs, a)) < 1e-12 or max(map(abs, b)) < 1e-12:
                        continue
                elif predictor == "scaled":
                    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x + y > 0]
                    a, b = [x / (x + y) for x, y in pairs], [y / (x + y) for x, y in pairs]
                cosine = slow_cos(a, b)
                if cosine is not None:
                    cosines.append(cosine)
            result[i, j] = math.fsum(cosines) / len(cosines) if cosines else 0
        result[i, i] = 1
    return result


@pytest.mark.parametrize("predictor", FROM_EMBEDDINGS)
@pytest.mark.parametrize("seed", range(3))
def test_matrix_equals_the_slow_loop(predictor: str, seed: int) -> None:
    values = fisher(seed)
    np.testing.assert_allclose(
        similarity_matrix(embeddings(values), predictor), slow_similarity(values, predictor), atol=1e-12
    )


@pytest.mark.parametrize("predictor", FROM_EMBEDDINGS)
def test_zero_tensors_are_skipped_as_in_the_slow_loop(predictor: str) -> None:
    values = fisher(0)
    values[2, :5] = 0  # one tensor of one task
    values[4] = 0  # one task altogether
    matrix = similarity_matrix(embeddings(values), predictor)
    np.testing.assert_allclose(matrix, slow_similarity(values, predictor), atol=1e-12)
    assert matrix[4, :4].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("predictor", FROM_EMBEDDINGS)
def test_blocks_of_columns_do_not_change_the_result(predictor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = similarity_matrix(embeddings(fisher(1)), predictor)
    monkeypatch.setattr(similarity_module, "BLOCK_BYTES", 8 * 12 * 2)  # two columns of numbers at a time
    np.testing.assert_allclose(similarity_matrix(embeddings(fisher(1)), predictor), whole, atol=1e-13)


def one_tensor(*rows: list[float]) -> list[TaskEmbedding]:
    return [
        TaskEmbedding(task=str(i), kind="lora", probe="own", names=("w",), tensors={"w": np.array(row, np.float32)})
        for i, row in enumerate(rows)
    ]


def test_closed_forms() -> None:
    assert similarity_matrix(one_tensor([1, 0], [1, 1]), "paper")[0, 1] == pytest.approx(math.cos(math.pi / 4))
    # p = (3/4, 1/2), 1 - p = (1/4, 1/2): cos = (3/16 + 1/4) / sqrt(13/16 * 5/16)
    assert similarity_matrix(one_tensor([3, 1], [1, 1]), "scaled")[0, 1] == pytest.approx(7 / math.sqrt(65))
    # Two centred tasks lie opposite each other; three orthogonal ones at 120 degrees.
    assert similarity_matrix(one_tensor([1, 0], [1, 1]), "probe")[0, 1] == pytest.approx(-1)
    simplex = similarity_matrix(one_tensor([1, 0, 0], [0, 2, 0], [0, 0, 3]), "probe")
    np.testing.assert_allclose(simplex, np.where(np.eye(3, dtype=bool), 1, -0.5), atol=1e-12)
    # Disjoint supports.
    for predictor in ("paper", "scaled"):
        assert similarity_matrix(one_tensor([1, 0], [0, 1]), predictor)[0, 1] == 0


def test_every_tensor_counts_the_same_whatever_its_size() -> None:
    a = TaskEmbedding(
        task="a", kind="lora", probe="own", names=("s", "l"), tensors={"s": np.ones(1), "l": np.eye(100)[0]}
    )
    b = TaskEmbedding(
        task="b", kind="lora", probe="own", names=("s", "l"), tensors={"s": np.ones(1), "l": np.eye(100)[1]}
    )
    assert similarity_matrix([a, b], "paper")[0, 1] == pytest.approx(0.5)


zoos = arrays(
    np.float32,
    st.tuples(st.integers(2, 7), st.just(sum(SIZES))),
    elements=st.one_of(st.just(0.0), st.floats(2**-20, 1, width=32)),
)
predictors = st.sampled_from(FROM_EMBEDDINGS)


@settings(max_examples=30, deadline=None)
@given(values=zoos, predictor=predictors)
def test_symmetric_in_range_and_one_on_the_diagonal(values: np.ndarray, predictor: str) -> None:
    matrix = similarity_matrix(embeddings(values), predictor)
    assert np.array_equal(matrix, matrix.T)
    assert (np.diag(matrix) == 1).all()
    assert matrix.max() <= 1
    assert matrix.min() >= (-1 if predictor == "probe" else 0)


@settings(max_examples=30, deadline=None)
@given(values=zoos, predictor=predictors, data=st.data())
def test_permuting_tasks_permutes_the_matrix(values: np.ndarray, predictor: str, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(values))))
    matrix = similarity_matrix(embeddings(values), predictor)
    permuted = similarity_matrix(embeddings(values[order]), predictor)
    np.testing.assert_allclose(permuted, matrix[np.ix_(order, order)], atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(values=zoos, exponents=st.lists(st.integers(-40, 40), min_size=7, max_size=7), data=st.data())
def test_scale_of_a_task_does_not_matter(values: np.ndarray, exponents: list[int], data: st.DataObject) -> None:
    predictor = data.draw(st.sampled_from(("paper", "probe", "weights")))
    # Powers of two are exact in float32, also for values as tiny as Fisher values are.
    scaled = values * np.exp2(exponents[: len(values)]).astype(np.float32)[:, None]
    np.testing.assert_allclose(
        similarity_matrix(embeddings(scaled), predictor), similarity_matrix(embeddings(values), predictor), atol=1e-7
    )


@settings(max_examples=20, deadline=None)
@given(values=zoos, exponent=st.integers(-40, 40))
def test_scaled_predictor_ignores_a_common_scale(values: np.ndarray, exponent: int) -> None:
    np.testing.assert_allclose(
        similarity_matrix(embeddings(values * np.float32(2.0**exponent)), "scaled"),
        similarity_matrix(embeddings(values), "scaled"),
        atol=1e-12,
    )


@pytest.mark.parametrize("predictor", FROM_EMBEDDINGS)
def test_target_row(predictor: str) -> None:
    values = fisher(2, n=7)
    zoo, target = embeddings(values[:6]), embeddings(values)[6]
    row = similarity_to(target, zoo, predictor)
    assert row.shape == (6,)
    if predictor == "probe":  # the target takes no part in the centring
        centred = similarity_matrix(zoo, predictor)
        np.testing.assert_allclose(similarity_to(zoo[3], zoo, predictor), centred[3], atol=1e-12)
    else:
        np.testing.assert_allclose(row, similarity_matrix([*zoo, target], predictor)[6, :6], atol=1e-12)


def test_target_does_not_move_the_zoo() -> None:
    values = fisher(3, n=8)
    zoo = embeddings(values[:6])
    both = cross_similarity(embeddings(values)[6:], zoo, "probe")
    np.testing.assert_allclose(both[0], similarity_to(embeddings(values)[6], zoo, "probe"), atol=1e-13)


def test_identical_embeddings_have_no_centred_direction() -> None:
    values = np.repeat(fisher(4, n=1), 4, axis=0)
    assert np.array_equal(similarity_matrix(embeddings(values), "probe"), np.eye(4))
    np.testing.assert_allclose(similarity_matrix(embeddings(values), "paper"), 1, atol=1e-12)


def test_per_layer_averages_to_the_whole_by_tensor_count() -> None:
    zoo = embeddings(fisher(5))
    layers = per_part(zoo, "paper", PARTS)
    assert list(layers) == ["encoder.0", "decoder.1"]
    np.testing.assert_allclose(
        (2 * layers["encoder.0"] + layers["decoder.1"]) / 3, similarity_matrix(zoo, "paper"), atol=1e-12
    )


def test_a_module_is_the_mean_of_its_tensors_in_all_layers() -> None:
    names = [f"{part}.layers.{i}.{module}.weight" for part in ("encoder", "decoder") for i in range(2)
             for module in ("self_attn.q_proj", "fc2")]  # fmt: skip
    values = np.random.default_rng(0).random((3, len(names), 5))
    zoo = [
        TaskEmbedding.from_flat(
            row.ravel().astype(np.float32), task=f"t{i}", kind="lora", probe="own", names=names, sizes=[5] * len(names)
        )
        for i, row in enumerate(values)
    ]
    actual = per_part(zoo, "paper", {name: name.split(".", 3)[3].removesuffix(".weight") for name in names})
    assert list(actual) == ["self_attn.q_proj", "fc2"]
    for offset, matrix in enumerate(actual.values()):
        a, b = values[0, offset::2], values[1, offset::2]
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert matrix[0, 1] == pytest.approx(cosines.mean(), abs=1e-6)


def test_unfit_input_is_named() -> None:
    zoo = embeddings(fisher(0, n=2))
    with pytest.raises(BadInput, match="unknown predictor 'cosine'"):
        similarity_matrix(zoo, "cosine")
    with pytest.raises(BadInput, match="text_similarity"):
        similarity_matrix(zoo, "text")
    with pytest.raises(BadInput, match="no embeddings"):
        similarity_matrix([], "probe")
    with pytest.raises(BadInput, match="different tensors"):
        similarity_matrix([zoo[0], one_tensor([1, 2])[0]], "probe")
    with pytest.raises(BadInput, match="at least 0"):
        similarity_matrix(one_tensor([1, -2], [1, 1]), "scaled")


def test_standardise() -> None:
    matrix = np.array([[1, 0.9, 0.7], [0.9, 1, 0.8], [0.7, 0.8, 1]])
    standard = standardise(matrix)
    deviation = math.sqrt(2 / 3) * 0.1
    assert standard[0, 1] == pytest.approx(0.1 / deviation)
    assert standard[0, 2] == pytest.approx(-0.1 / deviation)
    assert standard[1, 2] == pytest.approx(0)
    np.testing.assert_allclose(standardise(np.array([0.8, 0.9]), matrix), [0, 0.1 / deviation], atol=1e-12)
    assert np.isfinite(standardise(np.full((3, 3), 0.3))).all()
    assert standardise(np.ones((1, 1))).tolist() == [[0]]


def test_rank() -> None:
    matrix = np.array([[1, 0.2, 0.9, 0.2], [0.2, 1, -0.5, 0], [0.9, -0.5, 1, 0.1], [0.2, 0, 0.1, 1]])
    assert rank(matrix).tolist() == [[0, 2, 1, 3], [1, 0, 3, 2], [1, 3, 0, 2], [1, 3, 2, 0]]
