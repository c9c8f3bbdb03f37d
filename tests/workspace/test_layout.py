from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pituning.errors import ArtefactError, BadInput
from pituning.workspace import layout
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import ZooSimilarity, save_similarity
from pituning.workspace.zoo import Zoo


def expert(base: Path, kind: str, name: str, task: str) -> Path:
    directory = base / "zoos" / "mini" / kind / "experts" / name
    directory.mkdir(parents=True)
    (directory / "card.json").write_text(json.dumps({"task": task}))
    return directory


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    embedded = tmp_path / "data"
    (embedded / "backbones" / "mini").mkdir(parents=True)
    expert(embedded, "lora", "nli", "nli")
    expert(embedded, "lora", "rte", "rte")
    return Workspace(Workspace.open(tmp_path / "ws").root, embedded)


def test_open_makes_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITUNING_WORKSPACE", str(tmp_path / "from-environment"))
    assert Workspace.open().root == tmp_path / "from-environment"
    before = (tmp_path / "from-environment" / "workspace.json").read_bytes()
    Workspace.open()
    assert (tmp_path / "from-environment" / "workspace.json").read_bytes() == before
    monkeypatch.delenv("PITUNING_WORKSPACE")
    monkeypatch.chdir(tmp_path)
    assert Workspace.open().root == tmp_path / "workspace"


def test_open_refuses_what_is_not_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        Workspace.open(tmp_path / "file")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"")
    with pytest.raises(BadInput, match="holds other files"):
        Workspace.open(tmp_path / "photos")


@pytest.mark.parametrize("manifest", ['{"format_version": 99}', "[]", "{"])
def test_open_refuses_a_foreign_manifest(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "workspace.json").write_text(manifest)
    with pytest.raises(ArtefactError, match="workspace.json"):
        Workspace.open(tmp_path)


def test_workspace_wins_over_embedded(workspace: Workspace) -> None:
    assert workspace.embedded is not None
    own = expert(workspace.root, "lora", "rte", "rte")
    assert workspace.zoo().expert_dir("lora", "rte") == own
    assert workspace.zoo().expert_dir("lora", "nli") == workspace.embedded / "zoos/mini/lora/experts/nli"
    assert workspace.backbone_dir() == workspace.embedded / "backbones" / "mini"


def test_zoo_holds_only_full_data_experts(workspace: Workspace) -> None:
    expert(workspace.root, "lora", "digits-pi-16-0", "digits")
    (workspace.zoo().root / "lora" / "experts" / ".tmp-x").mkdir()
    assert list(workspace.zoo().expert_dirs("lora")) == ["nli", "rte"]
    assert list(workspace.zoo().all_expert_dirs("lora")) == ["digits-pi-16-0", "nli", "rte"]


@pytest.mark.parametrize("name", ["../x", "", "A", "-a", "a" * 61, "a/b", "a\n"])
def test_names_stay_inside(workspace: Workspace, name: str) -> None:
    for look_up in (workspace.task_dir, workspace.run_dir, workspace.backbone_dir):
        with pytest.raises(BadInput, match="cannot be used"):
            look_up(name)
    with pytest.raises(BadInput):
        workspace.zoo().expert_dir("lora", name)
    with pytest.raises(BadInput):
        workspace.zoo().embedding_path("lora", "own", name)


def test_unknown_backbone_names_the_known(workspace: Workspace) -> None:
    with pytest.raises(BadInput, match="unknown backbone 'huge'; known: mini"):
        workspace.backbone_dir("huge")


def test_unknown_offers_close_matches() -> None:
    assert "did you mean digits" in str(layout.unknown("task", "digit", ["digits", "nli"]))


def test_similarity_round_trip_and_damage(workspace: Workspace) -> None:
    with pytest.raises(ArtefactError, match="no zoo similarity"):
        workspace.zoo().similarity("lora", "probe")
    path = workspace.zoo().similarity_path("lora", "probe")
    matrix = np.array([[1.0, 0.25], [0.25, 1.0]])
    save_similarity(path, ZooSimilarity(names=("a", "b"), matrix=matrix, replicates=np.stack([matrix] * 3)))
    actual = workspace.zoo().similarity("lora", "probe")
    assert actual.names == ("a", "b")
    np.testing.assert_array_equal(actual.matrix, matrix)
    assert actual.replicates.shape == (3, 2, 2)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ArtefactError, match="checksum"):
        workspace.zoo().similarity("lora", "probe")


def test_embedded_data_may_be_elsewhere_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITUNING_DATA", str(tmp_path))
    assert Workspace.open(tmp_path / "ws").embedded == tmp_path
    monkeypatch.setenv("PITUNING_DATA", "")
    assert Workspace.open(tmp_path / "ws").embedded is None
    with pytest.raises(BadInput, match="unknown backbone 'mini'; known: none"):
        Workspace.open(tmp_path / "ws").backbone_dir()


def test_each_backbone_has_a_zoo_of_its_own(workspace: Workspace) -> None:
    """What one backbone has is never another's; kinds are those of which there is anything."""
    other = workspace.zoo("other")
    assert (other.kinds(), other.expert_dirs("lora"), other.shipped) == ([], {}, None)
    other.new_expert_dir("prefix", "nli").mkdir(parents=True)
    assert (other.kinds(), workspace.zoo().kinds()) == (["prefix"], ["lora"])
    assert other.expert_dir("lora", "nli") == workspace.root / "zoos" / "other" / "lora" / "experts" / "nli"
    (workspace.root / "backbones" / "other").mkdir(parents=True)
    assert workspace.backbone_names() == ["mini", "other"]
    with pytest.raises(BadInput, match="cannot be used"):
        workspace.zoo("../mini")


def test_results_are_read_through(workspace: Workspace) -> None:
    zoo = workspace.zoo()
    assert zoo.shipped is not None
    (zoo.shipped / "lora" / "results").mkdir()
    for file in ("transfer.csv", "lowshot.csv", "lowshot-480-steps.csv"):
        (zoo.shipped / "lora" / "results" / file).write_text("")
    assert zoo.transfer_path("lora") == zoo.shipped / "lora" / "results" / "transfer.csv"
    assert zoo.lowshot_path("lora", 480) == zoo.shipped / "lora" / "results" / "lowshot-480-steps.csv"
    assert zoo.lowshot_path("ia3") == zoo.root / "ia3" / "results" / "lowshot.csv"
    zoo.new_lowshot_path("lora").parent.mkdir(parents=True)
    zoo.new_lowshot_path("lora").write_text("")
    assert zoo.lowshot_path("lora") == zoo.new_lowshot_path("lora")
    assert Zoo.at(zoo.shipped) == Zoo("mini", zoo.shipped)
