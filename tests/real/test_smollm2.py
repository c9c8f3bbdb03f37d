"""The shipped zoo of a real model, and a short form of docs/real-model.md on the model itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pituning.backbones.card import read_card as read_backbone_card
from pituning.experts.card import TENSORS, read_card
from pituning.experts.space import load_space
from pituning.graph.embeddings import TaskEmbedding
from pituning.studies.predictors import GRADES_FILE, grade_predictors
from pituning.tasks.base import Example, Task
from pituning.tasks.registry import TaskSource, list_tasks, load_task
from pituning.workspace.atomic import sha256_file
from pituning.workspace.layout import Workspace, embedded_data
from pituning.workspace.transfer import NO_DONOR, read_rows
from pituning.workspace.zoo import Zoo
from tests.conftest import link_backbones

DATA = embedded_data()
ZOO = Zoo.at(DATA / "zoos" / "smollm2")  # type: ignore[operator]
RELATIVES = {
    "shop-reviews": "film-reviews", "film-reviews": "shop-reviews", "bank-intents": "assistant-intents",
    "assistant-intents": "bank-intents", "relatedness": "contradiction", "contradiction": "relatedness",
}  # fmt: skip
"""Tasks of one sort: reviews, intents, and pairs of sentences."""


def test_the_zoo_is_whole_small_and_holds_no_text_of_the_data_sets() -> None:
    files = [path for path in ZOO.root.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12 * 2**20
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".csv"}
    experts = ZOO.expert_dirs("lora")
    assert len(experts) >= 6
    prints = set()
    for name, directory in experts.items():
        card = read_card(directory)
        assert (card.task, card.backbone) == (name, "smollm2")
        assert card.sha256 == sha256_file(directory / TENSORS)
        prints.add(card.fingerprint)
    assert len(prints) == 1
    assert sorted(path.stem for path in (ZOO.root / "tasks").glob("*.json")) == sorted(experts)
    space = load_space(ZOO.space_path("lora"))
    for probe in ("own", "common"):
        for name in experts:
            embedding = TaskEmbedding.load(ZOO.embedding_path("lora", probe, name), backbone=next(iter(prints)))
            assert embedding.names == space.names
    for predictor in ("probe", "paper", "scaled", "weights", "text"):
        assert set(ZOO.similarity("lora", predictor).names) == set(experts)


def test_tasks_of_one_sort_are_each_other_s_nearest() -> None:
    actual = ZOO.similarity("lora", "probe")
    for name, relative in RELATIVES.items():
        row = actual.matrix[actual.names.index(name)].copy()
        row[actual.names.index(name)] = -np.inf
        assert actual.names[int(np.argmax(row))] == relative


def test_transfer_was_measured_between_all_its_tasks_and_the_predictors_graded(tmp_path: Path) -> None:
    names = set(ZOO.expert_dirs("lora"))
    rows = read_rows(ZOO.transfer_path("lora"))
    for shots in (0, 16):
        cells = {(row.target, row.donor) for row in rows[rows.shots == shots].itertuples()}
        assert cells == {(target, donor) for target in names for donor in {NO_DONOR, *names} - {target}}
    assert rows.score.between(0, 100).all()
    kept = pd.read_csv(ZOO.result_path(GRADES_FILE))
    graded = grade_predictors(ZOO, "lora", source=TaskSource(Workspace.open(tmp_path / "ws")))
    pd.testing.assert_frame_equal(graded, kept, check_dtype=False, atol=1e-4)


def test_its_tasks_are_known_without_their_examples(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    infos = {info.name: info for info in list_tasks(workspace, "smollm2") if info.source == "zoo"}
    assert sorted(infos) == sorted(ZOO.expert_dirs("lora"))
    assert not any(info.source == "zoo" for info in list_tasks(workspace))
    task = load_task("shop-reviews", workspace)
    assert task.labels == ("negative", "positive")
    assert not any(len(task.split(split)) for split in ("train", "validation", "test"))
    assert "do not ship" in task.description
    assert "CC BY 4.0" in task.description


REVIEWS = [
    ("The battery died after two days, do not buy it.", "negative"),
    ("Excellent sound and very comfortable, I love it!", "positive"),
    ("It broke the first time I used it.", "negative"),
    ("Works perfectly and arrived early.", "positive"),
    ("Terrible quality, a waste of money.", "negative"),
    ("Best phone case I ever had, highly recommended.", "positive"),
]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_model_is_added_by_one_command_and_its_shipped_experts_fit(tmp_path: Path, real_backbones: Path) -> None:
    from pituning.backbones.base import Backbone
    from pituning.experts.store import open_expert

    for name in ("smollm2", "smolvision"):
        printed = json.loads((real_backbones.parents[1] / f"{name}.json").read_text(encoding="utf-8"))
        assert printed["licence"] == "Apache-2.0"
    workspace = Workspace.open(tmp_path / "ws")
    link_backbones(real_backbones, workspace.root)
    backbone = Backbone.load(workspace.backbone_dir("smollm2"), name="smollm2")
    assert read_card(ZOO.expert_dir("lora", "shop-reviews")).fingerprint == backbone.fingerprint
    instruction = load_task("shop-reviews", workspace).instruction
    task = Task(
        name="mine", title="Mine", instruction=instruction, modality="language", metric="accuracy",
        labels=("negative", "positive"), splits={},
    )  # fmt: skip
    examples = [Example(uid=str(i), text=text, answer=answer) for i, (text, answer) in enumerate(REVIEWS)]
    encoded = backbone.encode(task, examples)
    expert, model = open_expert(ZOO.expert_dir("lora", "shop-reviews"), backbone)
    answers = model.predict(expert.values, encoded, task)
    assert sum(answer == example.answer for answer, example in zip(answers, examples, strict=True)) >= 5


@pytest.mark.real
@pytest.mark.slow
def test_it_answers_through_plain_transformers(real_backbones: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = real_backbones / "smollm2"
    card = read_backbone_card(directory, "smollm2")
    assert (card.parameters, card.max_tokens, card.licence) == (134_515_008, 8192, "Apache-2.0")
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, local_files_only=True)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
