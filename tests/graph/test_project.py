from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pituning.errors import ArtefactError, BadInput
from pituning.graph.project import (
    UMAP_LEAST,
    align,
    distances,
    principal_axes,
    project,
    smacof,
    stress,
    trustworthiness,
)
from pituning.graph.projection import Projection, find_projection, load_projection, save_projection
from pituning.graph.settings import MapSettings
from pituning.workspace.layout import Workspace, embedded_data
from pituning.workspace.similarity import ZooSimilarity, save_similarity, similarity_digest
from pituning.workspace.zoo import Zoo


def zoo(n: int = 6, seed: int = 0, replicates: int = 4) -> ZooSimilarity:
    generator = np.random.default_rng(seed)

    def cosines() -> np.ndarray:
        vectors = truth + generator.normal(0, 0.05, truth.shape)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors @ vectors.T

    truth = generator.normal(size=(n, 5))
    names = tuple(f"t{i}" for i in range(n))
    return ZooSimilarity(names=names, matrix=cosines(), replicates=np.array([cosines() for _ in range(replicates)]))


def made(**changes: object) -> Projection:
    given_settings = {"kind": "lora", "predictor": "probe", "digest": "x", **changes}
    return project(zoo(), MapSettings(), **given_settings)  # type: ignore[arg-type]


def test_pca_of_cosines_is_pca_of_the_unit_vectors() -> None:
    vectors = np.random.default_rng(1).normal(size=(8, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    points, shares = principal_axes(vectors @ vectors.T)
    centred = vectors - vectors.mean(0)
    left, strength, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs(left[:, :2] * strength[:2]), atol=1e-9)
    np.testing.assert_allclose(shares, (strength**2 / (strength**2).sum())[:2], atol=1e-9)
    assert (points[np.abs(points).argmax(0), [0, 1]] > 0).all()


@pytest.mark.slow  # to import sklearn.manifold takes seconds
def test_smacof_finds_what_sklearn_finds() -> None:
    from sklearn.manifold import MDS

    distance = distances(zoo(9).matrix, "similarity")
    start = principal_axes(-(distance**2) / 2)[0]
    ours = smacof(distance, start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = MDS(n_components=2, metric="precomputed", n_init=1, init="random", max_iter=500, eps=1e-12)
        theirs.fit(distance, init=start)
    apart = np.linalg.norm(ours[:, None] - ours[None], axis=2)
    assert ((apart - distance) ** 2).sum() / 2 == pytest.approx(theirs.stress_, rel=1e-3)


def test_smacof_keeps_points_that_are_right() -> None:
    points = np.random.default_rng(2).normal(size=(7, 2))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert stress(distance, smacof(distance, points)) < 1e-9
    assert stress(distance, smacof(distance, points + np.random.default_rng(3).normal(0, 0.2, (7, 2)))) < 1e-2


def test_trustworthiness_counts_false_neighbours() -> None:
    line = np.array([[0.0, 0], [1, 0], [3, 0], [6, 0], [10, 0]])
    distance = np.linalg.norm(line[:, None] - line[None], axis=2)
    assert trustworthiness(distance, line, 1) == 1
    swapped = line[[0, 4, 2, 3, 1]]  # the second and the last change places
    nearest = [4, 3, 4, 2, 0]  # on the map
    places = [sorted(range(5), key=lambda j, i=i: distance[i, j]).index(near) for i, near in enumerate(nearest)]
    penalty = sum(place - 1 for place in places)
    assert trustworthiness(distance, swapped, 1) == pytest.approx(1 - 2 * penalty / (5 * 1 * (10 - 3 - 1)))
    assert trustworthiness(distance, line, 3) is None


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(5, 12), k=st.integers(1, 2))
def test_trustworthiness_is_sklearns(seed: int, n: int, k: int) -> None:
    from sklearn.manifold import trustworthiness as reference

    distance = distances(zoo(n, seed).matrix, "similarity")
    points = np.random.default_rng(seed).normal(size=(n, 2))
    expected = reference(distance, points, n_neighbors=k, metric="precomputed")
    assert trustworthiness(distance, points, k) == pytest.approx(expected)
    assert trustworthiness(distance, points, n) is None


def test_profiles_equal_the_slow_loop() -> None:
    matrix = zoo(7).matrix
    actual = 1 - distances(matrix, "profile")
    for i in range(7):
        for j in range(7):
            others = [k for k in range(7) if k not in (i, j)]
            expected = 1 if i == j else np.corrcoef(matrix[i, others], matrix[j, others])[0, 1]
            assert actual[i, j] == pytest.approx(expected, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), angle=st.floats(0, 6.28), scale=st.floats(0.1, 10), mirror=st.booleans())
def test_align_undoes_moves_turns_mirrors_and_scales(seed: int, angle: float, scale: float, mirror: bool) -> None:
    base = np.random.default_rng(seed).normal(size=(6, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = scale * base @ turn * [-1 if mirror else 1, 1] + [3, -4]
    np.testing.assert_allclose(align(moved, base), base, atol=1e-8)
    assert np.isfinite(align(np.ones((6, 2)), base)).all()


def test_few_tasks_have_no_umap() -> None:
    layers = {"encoder.0": zoo(seed=5).matrix, "decoder.0": zoo(seed=6).matrix}
    actual = made(layers=layers)
    assert list(actual.maps) == ["mds", "pca"]
    assert actual.layers == ("encoder.0", "decoder.0")
    for each in actual.maps.values():
        assert (each.points.shape, each.resampled.shape, each.layers.shape) == ((6, 2), (4, 6, 2), (2, 6, 2))
        spread = np.abs(each.resampled - each.points).mean()
        assert spread < np.abs(each.points).mean() / 2  # replicates lie near their task
    assert 0 < actual.maps["mds"].detail["stress"] < 0.5
    with pytest.raises(BadInput, match="2 tasks are too few"):
        project(zoo(2), MapSettings(), kind="lora", predictor="probe", digest="x")


@pytest.mark.slow
def test_umap_is_the_same_each_time() -> None:
    assert UMAP_LEAST <= 16
    both = [project(zoo(16, replicates=2), MapSettings(), kind="lora", predictor="probe", digest="x") for _ in range(2)]
    maps = [each.maps["umap"] for each in both]
    assert np.array_equal(maps[0].points, maps[1].points)
    assert np.array_equal(maps[0].resampled, maps[1].resampled)
    assert maps[0].trustworthiness is not None
    assert maps[0].trustworthiness > 0.7


def test_a_map_is_found_again_and_known_to_be_old(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, embedded=None)
    path = workspace.zoo().similarity_path("lora", "probe")
    save_similarity(path, zoo())
    assert find_projection(workspace.zoo(), "lora", "probe", MapSettings()) is None
    kept = save_projection(workspace.zoo(), made(digest=similarity_digest(path)))

    actual = find_projection(workspace.zoo(), "lora", "probe", MapSettings())
    assert actual is not None
    assert (actual.path, actual.current) == (kept, True)
    assert find_projection(workspace.zoo(), "lora", "probe", MapSettings(seed=1)) is None
    loaded, original = load_projection(kept), made(digest=similarity_digest(path))
    assert (loaded.names, loaded.settings, loaded.neighbours) == (
        original.names,
        original.settings,
        original.neighbours,
    )
    for name, each in original.maps.items():
        np.testing.assert_allclose(loaded.maps[name].points, each.points, atol=1e-3)
        np.testing.assert_allclose(loaded.maps[name].resampled, each.resampled, atol=1e-3)
        assert loaded.maps[name].detail == each.detail

    save_similarity(path, zoo(seed=9))
    older = find_projection(workspace.zoo(), "lora", "probe", MapSettings())
    assert older is not None
    assert not older.current
    newer = save_projection(workspace.zoo(), replace(made(), similarity=similarity_digest(path)))
    assert workspace.zoo().projection_files("lora") == [newer]  # the older one has gone


@pytest.mark.parametrize(
    "change",
    [{"format_version": 9}, {"names": ["a"]}, {"maps": {"mds": {}}}, {"settings": {"seed": -1}}, {"layers": None}],
)
def test_a_damaged_map_is_told(tmp_path: Path, change: dict[str, object]) -> None:
    path = save_projection(Zoo.at(tmp_path), made())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtefactError, match="compute it again"):
        load_projection(path)


def test_settings_name_what_cannot_be_used() -> None:
    for change, field in (
        ({"n_neighbors": 1}, "n_neighbors"),
        ({"min_dist": 1.0}, "min_dist"),
        ({"metric": "l1"}, "metric"),
    ):
        with pytest.raises(BadInput) as told:
            MapSettings(**change)  # type: ignore[arg-type]
        assert told.value.field == field


def test_reading_maps_does_not_load_umap() -> None:
    code = "import sys, pituning.graph.projection, pituning.graph.project, pituning.runs.projecting\n"
    code += "print(sorted({name.split('.')[0] for name in sys.modules} & {'umap', 'numba', 'torch'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_maps_that_ship_are_of_the_similarities_that_ship(tmp_path: Path) -> None:
    data = embedded_data()
    assert data is not None, "the embedded default is not there; make it with `pituning zoo build`"
    workspace = Workspace(tmp_path)
    for kind in ("lora", "bottleneck", "prefix"):
        actual = find_projection(workspace.zoo(), kind, "probe", MapSettings())
        assert actual is not None, f"no map of {kind}; make it: pituning zoo maps data/zoos/mini"
        assert actual.current, f"{actual.path} is out of date; make it again: pituning zoo maps data/zoos/mini"
        assert actual.path.stat().st_size < 100_000
        loaded = load_projection(actual.path)
        assert list(loaded.maps) == ["umap", "mds", "pca"]
        for each in loaded.maps.values():
            assert len(each.resampled) == 25
            assert len(each.layers) == len(loaded.layers) >= 3


@pytest.mark.parametrize("backbone", ["mini", "smolvision"])
def test_the_clouds_that_ship_lie_about_their_points(backbone: str) -> None:
    """Between a point and the middle of its cloud lies less than half of the cloud's own spread, for most tasks."""
    [path] = (embedded_data() / "zoos" / backbone / "lora" / "projections").glob("probe-*.json")
    for name, made in load_projection(path).maps.items():
        middle = made.resampled.mean(0)
        away = np.linalg.norm(middle - made.points, axis=1)
        spread = np.sqrt(((made.resampled - middle) ** 2).sum(-1).mean(0))
        assert np.median(away / spread) < 0.55, name
