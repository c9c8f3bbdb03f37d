from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from pituning.errors import ArtefactError, BackboneMismatch, BadInput
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.predictors import DEFAULT_PREDICTOR
from pituning.graph.similarity import similarity_matrix
from pituning.workspace.atomic import sha256_file


@pytest.fixture
def embedding() -> TaskEmbedding:
    # Seven orders of magnitude within a tensor, and a tensor as tiny as Fisher values get.
    values = np.concatenate([np.logspace(-9, -2, 50), np.linspace(1e-20, 9e-20, 9), np.zeros(3)]).astype(np.float32)
    return TaskEmbedding.from_flat(
        values,
        task="nli",
        kind="lora",
        probe="common",
        names=("wide", "tiny", "zero"),
        sizes=(50, 9, 3),
        examples=160,
        meta={"backbone": "f" * 64, "labels": "data"},
    )


def test_round_trip(embedding: TaskEmbedding, tmp_path: Path) -> None:
    path = tmp_path / "lora" / "common" / "nli.safetensors"
    embedding.save(path)
    back = TaskEmbedding.load(path, backbone="f" * 64)
    assert (back.task, back.kind, back.probe, back.names, back.sizes) == (
        "nli",
        "lora",
        "common",
        embedding.names,
        (50, 9, 3),
    )
    assert back.examples == 160
    assert back.meta == embedding.meta
    assert back.flat().dtype == np.float32
    np.testing.assert_allclose(back.tensors["wide"], embedding.tensors["wide"], rtol=2e-3)
    np.testing.assert_allclose(back.tensors["tiny"], embedding.tensors["tiny"], rtol=2e-3)
    assert not back.tensors["zero"].any()
    assert path.stat().st_size < 2 * 62 + 300  # half precision


def test_codes_are_half_as_large_and_compare_alike(embedding: TaskEmbedding, tmp_path: Path) -> None:
    path = tmp_path / "nli.safetensors"
    embedding.save(path, coded=True)
    back = TaskEmbedding.load(path)
    large = embedding.flat() > 3e-10 * np.repeat([1e-2, 9e-20, 1], (50, 9, 3))
    np.testing.assert_allclose(back.flat()[large], embedding.flat()[large], rtol=0.045)
    assert not back.flat()[~large].any()
    assert path.stat().st_size < 62 + 300
    back.save(tmp_path / "again.safetensors", coded=True)
    assert np.array_equal(TaskEmbedding.load(tmp_path / "again.safetensors").flat(), back.flat())
    tensors = load(path.read_bytes())
    for harmed in (tensors["codes"][:-9], tensors["codes"][::-1].copy()):
        path.write_bytes(save({**tensors, "codes": harmed}))
        card = json.loads(path.with_suffix(".json").read_text())
        path.with_suffix(".json").write_text(json.dumps(card | {"sha256": sha256_file(path)}))
        with pytest.raises(ArtefactError, match="is damaged .*codes"):
            TaskEmbedding.load(path)
    with pytest.raises(BadInput, match="negative values, which cannot be coded"):
        TaskEmbedding.from_flat(np.array([-1.0]), task="t", kind="lora", probe="weights", names=["w"], sizes=[1]).save(
            path, coded=True
        )
    rng = np.random.default_rng(0)
    common = rng.exponential(size=5000) ** 4
    tasks = []
    for number in range(4):
        values = (common * rng.exponential(size=5000) ** 2).astype(np.float32)
        task = TaskEmbedding.from_flat(values, task=f"t{number}", kind="lora", probe="own", names=["w"], sizes=[5000])
        task.save(tmp_path / f"t{number}.safetensors", coded=True)
        tasks.append((task, TaskEmbedding.load(tmp_path / f"t{number}.safetensors")))
    exact, coded = (similarity_matrix([pair[side] for pair in tasks], DEFAULT_PREDICTOR) for side in (0, 1))
    np.testing.assert_allclose(coded, exact, atol=6e-3)  # errors of 5,000 values


def test_signs_survive(tmp_path: Path) -> None:
    values = np.array([-4, 1, 0.25], np.float32)
    weights = TaskEmbedding.from_flat(values, task="t", kind="lora", probe="weights", names=["w"], sizes=[3])
    weights.save(tmp_path / "t.safetensors")
    assert TaskEmbedding.load(tmp_path / "t.safetensors").flat().tolist() == [-4, 1, 0.25]


def test_damage_is_told(embedding: TaskEmbedding, tmp_path: Path) -> None:
    path = tmp_path / "nli.safetensors"
    with pytest.raises(ArtefactError, match="no embedding"):
        TaskEmbedding.load(path)
    embedding.save(path)
    with pytest.raises(BackboneMismatch, match="ffffffffffff"):
        TaskEmbedding.load(path, backbone="0" * 64)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(ArtefactError, match="checksum"):
        TaskEmbedding.load(path)
    path.write_bytes(whole)
    card = path.with_suffix(".json")
    document = json.loads(card.read_text())
    card.write_text(json.dumps({**document, "sizes": [50, 9, 4]}))
    with pytest.raises(ArtefactError, match="damaged"):
        TaskEmbedding.load(path)
    card.write_text(json.dumps({key: value for key, value in document.items() if key != "names"}))
    with pytest.raises(ArtefactError, match="damaged"):
        TaskEmbedding.load(path)
    card.write_text(json.dumps({**document, "format_version": 99}))
    with pytest.raises(ArtefactError, match="format_version 99"):
        TaskEmbedding.load(path)


def test_unfit_values_are_refused() -> None:
    good = {"task": "t", "kind": "lora", "probe": "own", "names": ("a",)}
    with pytest.raises(BadInput, match="not finite"):
        TaskEmbedding(**good, tensors={"a": np.array([1, np.nan], np.float32)})
    with pytest.raises(BadInput, match="shape"):
        TaskEmbedding(**good, tensors={"a": np.ones((2, 2), np.float32)})
    with pytest.raises(BadInput, match="one tensor per name"):
        TaskEmbedding(**good, tensors={"b": np.ones(2, np.float32)})
    with pytest.raises(BadInput, match=r"need \(3,\)"):
        TaskEmbedding.from_flat(np.ones(2, np.float32), task="t", kind="lora", probe="own", names=["a"], sizes=[3])
