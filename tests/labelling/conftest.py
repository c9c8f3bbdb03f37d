"""A workspace with the tiny backbone, tiny tasks and an expert for each."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pituning.tasks.saved import save_task
from pituning.workspace.layout import Workspace
from tests.conftest import make_box_task, make_text_task, make_vision_task
from tests.tuning.conftest import with_files

if TYPE_CHECKING:
    from pituning.backbones.base import Backbone


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, tiny_backbone_dir: Path, tiny_backbone: Backbone) -> Workspace:
    """Experts ``moods`` (texts, calibrated), ``colours`` (images) and ``boxes`` (both, open answers)."""
    from pituning.experts.model import ExpertModel
    from pituning.experts.store import make_expert, save_expert

    workspace = Workspace(Workspace.open(tmp_path_factory.mktemp("studio") / "ws").root, embedded=None)
    shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "mini")
    moods = replace(make_text_task(), about={"columns": {"review": "text", "mood": "answer"}})
    for name, kind, task, temperature in (
        ("moods", "lora", moods, 2.0), ("colours", "lora", make_vision_task(), None),
        ("boxes", "prefix", make_box_task(), None),
    ):  # fmt: skip
        save_task(with_files(task), workspace)
        model = ExpertModel(tiny_backbone, kind)
        expert = make_expert(model, model.initial(0) + 0.1, name=name, task=task.name, temperature=temperature)
        save_expert(expert, model, workspace.zoo().new_expert_dir(kind, name))
    return workspace
