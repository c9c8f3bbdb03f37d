"""Experts in and out, with the tiny backbone as the workspace's own."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pituning.backbones.files import FILES, fingerprint
from pituning.commands.experts import _how_sure
from pituning.labelling.calibration import reliability
from pituning.runs.queue import RunQueue
from pituning.workspace import atomic
from pituning.workspace.atomic import write_bytes
from pituning.workspace.layout import Workspace
from tests.app.synthetic import make_expert
from tests.cli.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def checkpoint(workspace: Workspace, tiny_backbone_dir: Path, tmp_path: Path) -> Path:
    """A PEFT checkpoint with a card, of the tiny backbone, which is the workspace's ``mini``."""
    from pituning.backbones.base import Backbone
    from pituning.experts.model import ExpertModel
    from pituning.experts.store import make_expert, save_expert

    shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "mini")
    model = ExpertModel(Backbone.load(workspace.backbone_dir()), "lora")
    expert = make_expert(model, model.initial(0), name="given", task="nli", seed=0, scores={"test": 51.5})
    save_expert(expert, model, tmp_path / "given")
    return tmp_path / "given"


def test_import_list_export(pituning: Run, workspace: Workspace, checkpoint: Path, tmp_path: Path) -> None:
    outcome = pituning("experts", "import", checkpoint, "--task", "nli", "--name", "mine", "--json")
    assert (outcome.code, outcome.json["name"], outcome.json["score"]) == (0, "mine", 51.5)
    rows = {row["name"]: row for row in pituning("experts", "list", "--kind", "lora", "--json").json["experts"]}
    assert (rows["mine"]["task"], rows["mine"]["zoo"]) == ("nli", False)
    assert pituning("experts", "export", "mine", tmp_path / "out", "--json").code == 0
    name = "adapter_model.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == (checkpoint / name).read_bytes()
    given, written = (json.loads((path / "adapter_config.json").read_text()) for path in (checkpoint, tmp_path / "out"))
    assert written == given
    again = pituning("experts", "export", "mine", tmp_path / "out")
    assert again.code == 2
    assert "exists already" in again.error


def test_an_import_says_what_it_is_good_for(
    pituning: Run, workspace: Workspace, checkpoint: Path, tmp_path: Path
) -> None:
    (checkpoint / "card.json").unlink()
    config = checkpoint / "adapter_config.json"
    given = json.loads(config.read_text())
    config.write_text(json.dumps(given | {"base_model_name_or_path": "somebody/another-base", "use_rslora": True}))
    odd = checkpoint.rename(tmp_path / "Run_2 checkpoint.500")
    outcome = pituning("experts", "import", odd, "--task", "nli")
    assert outcome.code == 0
    assert "imported run-2-checkpoint-500: lora for nli, made one rank (4) and one scale (4)" in outcome.out
    assert "pituning tune TASK --kind lora --donor-names run-2-checkpoint-500" in outcome.out
    assert "warning: it says that it was trained on 'somebody/another-base', and 'mini' is another name" in outcome.err
    actual = pituning("experts", "import", odd, "--task", "nli", "--name", "again", "--json").json
    assert actual["spec"]["adapter_config"]["use_rslora"]
    assert "somebody/another-base" in actual["warning"]
    config = odd / "adapter_config.json"
    config.write_text(json.dumps(given | {"init_lora_weights": "pissa"}))
    assert "path_initial_model_for_weight_conversion" in pituning("experts", "import", odd, "--task", "nli").error


@pytest.mark.parametrize(
    ("damage", "code", "message"),
    [
        (lambda d: (d / "adapter_model.safetensors").write_bytes(b"\x08"), 2, "not a whole safetensors file"),
        (lambda d: (d / "card.json").write_text("{"), 2, "has a card.json that is not JSON as it is read"),
        (lambda d: (d / "adapter_config.json").unlink(), 2, "has no adapter_config.json"),
        (lambda d: shutil.rmtree(d), 2, "does not exist; give that of a PEFT checkpoint"),
        (lambda d: foreign(d), 2, "was made on backbone"),
    ],
)
def test_corrupt_and_foreign_experts(
    pituning: Run,
    workspace: Workspace,
    checkpoint: Path,
    damage: Callable[[Path], object],
    code: int,
    message: str,
) -> None:
    damage(checkpoint)
    outcome = pituning("experts", "import", checkpoint, "--task", "nli", "--name", "mine")
    assert message in outcome.error
    assert outcome.code == code
    assert not workspace.zoo().new_expert_dir("lora", "mine").exists()


def foreign(directory: Path) -> None:
    card = json.loads((directory / "card.json").read_text())
    (directory / "card.json").write_text(json.dumps(card | {"fingerprint": "0" * 64}))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_a_full_disk_or_ctrl_c_leaves_no_half_expert(
    pituning: Run, workspace: Workspace, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stop(_descriptor: int) -> None:
        raise error

    words = ("experts", "import", checkpoint, "--task", "nli", "--name", "mine", "--json")
    with monkeypatch.context() as patched:
        patched.setattr(atomic.os, "fsync", stop)
        outcome = pituning(*words)
    assert outcome.code == 1
    assert ("disk full" if isinstance(error, OSError) else "interrupted") in outcome.error
    assert not workspace.zoo().new_expert_dir("lora", "mine").exists()
    assert list(workspace.root.rglob(f"{atomic.TEMPORARY_PREFIX}*")) == []
    assert pituning(*words).code == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "adapter_model.safetensors").write_bytes(b"\x08"), "does not match the checksum"),
        (lambda d: (d / "adapter_model.safetensors").unlink(), "lacks adapter_model.safetensors"),
        (lambda d: foreign(d), "was made on backbone"),
    ],
)
def test_tune_refuses_a_zoo_with_a_corrupt_or_foreign_expert_before_it_starts(
    pituning: Run, workspace: Workspace, damage: Callable[[Path], object], message: str
) -> None:
    backbone = workspace.root / "backbones" / "mini"
    for file in FILES:
        write_bytes(backbone / file, file.encode())
    for task in ("rte", "vqa", "caption", "nli"):
        make_expert(workspace.zoo().new_expert_dir("lora", task), "lora", fingerprint(backbone))
    damage(workspace.zoo().new_expert_dir("lora", "vqa"))
    outcome = pituning("tune", "nli", "--detach", "--json")
    assert outcome.code == 1
    assert message in outcome.error
    assert RunQueue(workspace).list() == []


def test_a_damaged_expert_is_listed_as_such(pituning: Run, workspace: Workspace, checkpoint: Path) -> None:
    pituning("experts", "import", checkpoint, "--task", "nli", "--name", "mine")
    (workspace.zoo().new_expert_dir("lora", "mine") / "card.json").write_text("[]")
    assert list(pituning("experts", "list", "--json").json["damaged"]) == ["lora/mine"]


@pytest.mark.slow
def test_training_in_a_worker_process(pituning: Run, workspace: Workspace, checkpoint: Path, moods: Path) -> None:
    """The real path: queue, supervisor, worker, result. The same seed gives the same numbers."""
    assert pituning("tasks", "add", moods, "--instruction", "mood?").code == 0
    words = ("experts", "train", "moods", "--shots", "4", "--steps", "8", "--json")
    first, second = pituning(*words), pituning(*words, "--name", "again")
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert first.json["score"] == second.json["score"]
    directories = [workspace.zoo().new_expert_dir("lora", name) for name in (first.json["expert"], "again")]
    tensors = [(directory / "adapter_model.safetensors").read_bytes() for directory in directories]
    assert tensors[0] == tensors[1]


def test_a_percentage_is_told_with_what_it_was_worth_or_not_at_all() -> None:
    answer = {"answer": "good", "probability": 0.912, "others": [{"answer": "bad", "probability": 0.088}]}
    curve = reliability([0.9] * 50, [True] * 44 + [False] * 6)
    assert _how_sure({"temperature": 1.4, "calibration": {"after": curve.to_json()}}, answer) == (
        "good (91 %; of 100 such answers about 88 are right, by 50 test rows)"
    )
    assert _how_sure({"temperature": None, "calibration": {}}, answer) == "good (then bad; not calibrated)"
    assert _how_sure({}, {**answer, "others": []}) == "good (not calibrated)"  # of an older run
