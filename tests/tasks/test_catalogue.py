"""Data sets of the hub and the paper's twenty: each becomes the task of its card, by streaming alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import httpx
import huggingface_hub
import pytest
from huggingface_hub import errors

from pituning.backbones.base import Backbone
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.tasks.adding import AddOptions, TaskPlan
from pituning.tasks.base import Task
from pituning.tasks.cards import card_of, card_options, card_text, parse_card
from pituning.tasks.catalogue import CATALOGUE, catalogue_table
from pituning.tasks.hub import describe
from pituning.tasks.hub_adding import HubOptions, _not_read, plan_remote
from pituning.tasks.hub_source import HubSource, read_address, read_splits
from pituning.tasks.metrics import METRICS, chance, score
from pituning.tasks.saved import load_saved_task, save_task
from pituning.training.config import TrainConfig
from pituning.training.single import train_expert
from pituning.workspace.layout import Workspace
from tests.hub_server import COMMIT
from tests.tasks.paper_data import needs_images, picture, pretend_hub, write_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pretended hub keeps its files, with the photographs in ``images``."""
    place = tmp_path_factory.mktemp("hub")
    write_images(place / "images")
    return place


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    pretend_hub(monkeypatch, folder)
    return folder


@contextmanager
def planned(address: str, hub: Path, *, given: dict[str, Any] | None = None, **options: Any) -> Iterator[TaskPlan]:
    name = address.partition(":")[2].replace("/", "-").replace(":", "-").replace("_", "-").lower()
    if address.startswith("catalogue:") and needs_images(name):
        options.setdefault("images", hub / "images")
    with plan_remote(address, AddOptions(**{"name": name, **(given or {})}), HubOptions(**options)) as plan:
        yield plan


def made(address: str, hub: Path, workspace: Workspace, **options: Any) -> Task:
    """The task of a data set, as it was saved."""
    with planned(address, hub, **options) as plan:
        return load_saved_task(save_task(plan.make(), workspace))


LABELS = {"mnli": {"yes", "maybe", "no"}, "snli-ve": {"yes", "maybe", "no"}, "sst2": {"negative", "positive"},
          "caltech101": {"water lilly", "wild cat"}, "eurosat": {"Annual Crop", "River"}}  # fmt: skip


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_of_the_twenty_loads_samples_trains_two_steps_and_scores(
    name: str, hub: Path, tmp_path: Path, tiny_backbone: Backbone
) -> None:
    record, task = CATALOGUE[name], made(f"catalogue:{name}", hub, Workspace.open(tmp_path))
    assert task.metric == record.metric
    assert {split: bool(len(examples)) for split, examples in task.splits.items()} == dict.fromkeys(task.splits, True)
    assert task.about["hub"]["revision"] == COMMIT
    assert task.about["licence"] == record.licence
    first = task.split("train")[0]
    assert (first.image is not None) == (record.image is not None)
    assert "{" not in task.prompt(first)
    assert task.prompt(first).startswith(record.prompt.partition("{")[0].strip())
    if record.labels is not None:
        if name in LABELS:
            assert set(task.labels or ()) == LABELS[name]
        for seed in record.seeds:
            shots = task.shots(2, seed)
            assert sorted(shot.answer for shot in shots) == sorted(2 * list(task.labels or ()))
        assert {s.uid for s in task.shots(2, 1)} != {s.uid for s in task.shots(2, 2)} | {
            s.uid for s in task.shots(2, 3)
        }
    else:
        assert len(task.shots(2, 1)) == 8
    assert 0 <= chance(task) <= 100

    model, test = ExpertModel(tiny_backbone, "lora"), list(task.split("test"))
    encoded = model.prepare(tiny_backbone.encode(task, task.shots(2, 1)))
    trained = train_expert(model, encoded, TrainConfig(steps=2, batch_size=4, learning_rate=1e-3, warmup=0))
    answers = model.predict(trained.values, tiny_backbone.encode(task, test), task)
    assert len(answers) == len(test)
    assert 0 <= score(task.metric, answers, [example.gold for example in test]) <= 1000
    if task.labels is not None:
        assert set(answers) <= set(task.labels)


def test_the_answers_of_tasks_with_several_are_all_kept(hub: Path, tmp_path: Path) -> None:
    place = Workspace.open(tmp_path)
    vqa = made("catalogue:vqav2", hub, place)
    assert {len(each.accepted) for each in vqa.split("test")} == {10}
    captions = made("catalogue:coco-captions", hub, place).split("test")[0]
    assert len(captions.accepted) == 3
    boxes = made("catalogue:refcoco", hub, place).split("test")
    assert boxes[0].answer == "box 1 2 9 12.5 of 24 x 16"
    assert [boxes[0].text, boxes[1].text] == ['" left one 0 " describe?', '" thing 0 beside it " describe?']


def test_any_data_set_of_the_hub_by_a_card_of_ones_own(hub: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text(card_text({**CATALOGUE["sst2"].card(), "instruction": "how does this sound:", "template": None}))
    with planned("hub:nyu-mll/glue:sst2", hub, given={"card": card}, split="test=train", limit=4) as plan:
        task = plan.make()
    assert task.instruction == "how does this sound:"
    assert {split: len(task.split(split)) for split in task.splits} == {"train": 2, "validation": 2, "test": 4}
    # The card that a task is exported with says where it came from, pinned, and makes the same task again.
    again = parse_card(card_text(card_of(task)).encode(), "card.yaml")
    assert HubSource.from_card(again["hub"]) == replace(
        CATALOGUE["sst2"].hub, revision=COMMIT, splits={"train": "train", "test": "train"}
    )
    # Without a card, columns and names of labels are those of the data set, and its licence is what the hub says.
    given = {"instruction": "is it good?", "answer_column": "label", "text_columns": "sentence"}
    with planned("hub:nyu-mll/glue:sst2", hub, given=given, split="train=train,test=validation") as plan:
        assert plan.about["licence"] == "cc-by-4.0"
        assert plan.about["origin"] == "https://huggingface.co/datasets/nyu-mll/glue"
        assert plan.make().labels == ("name0", "name1")


def test_a_limit_says_which_labels_it_left_out(hub: Path) -> None:
    with planned("catalogue:food101", hub, limit=4, given={"seed": 1}) as plan:
        assert not [note for note in plan.warnings if "labels" in note]
    with planned("catalogue:caltech101", hub, limit=8) as plan:
        table = replace(plan.table, label_names={"label": ("Faces easy", "water lilly", "wild cat", "yin yang")})
        [note] = _not_read(table, plan, CATALOGUE["caltech101"].hub, 8)
    assert note.startswith("1 of the data set's 3 labels, such as 'yin yang', are in none")


def test_splits_are_found_by_their_names(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"instruction": "what is it?"}
    for theirs, sizes in (
        (["train", "validation", "test"], {"train": 12, "validation": 6, "test": 6}),
        (["train"], {"train": 7, "validation": 2, "test": 3}),
    ):
        monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_, theirs=theirs, **__: theirs)
        with planned("hub:blanchon/EuroSAT_RGB", hub, given=given) as plan:
            task = plan.make()
            assert {split: len(task.split(split)) for split in task.splits} == pytest.approx(sizes, abs=1)
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_, **__: ["red", "blue"])
    with pytest.raises(BadInput, match="has the splits red, blue; say which is which: --split train=red,test=blue"), \
            planned("hub:blanchon/EuroSAT_RGB", hub, given=given):  # fmt: skip
        pass


def test_what_cannot_be_read_is_one_line(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def says(address: str, error: Exception | None = None, **options: Any) -> str:
        with monkeypatch.context() as patch, pytest.raises(BadInput) as caught:
            if error is not None:
                patch.setattr(datasets, "load_dataset", lambda *_, **__: (_ for _ in ()).throw(error))
            with planned(address, hub, **options):
                pass
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "did you mean 'sst2'" in says("catalogue:sst22").replace("mean sst2", "mean 'sst2'")
    assert "is no data set of the hub" in says("hub:a/b/c")
    assert "give the folder with the files (COCO's train2014" in says("catalogue:refcoco", images=None)
    assert "is no directory" in says("catalogue:refcoco", images=tmp_path / "none")
    assert "limit is 0" in says("catalogue:sst2", limit=0)
    assert "write train=train,test=validation" in says("catalogue:sst2", split="validation")
    assert "'dev' is none of train" in says("catalogue:sst2", split="dev=validation")
    assert "Bad split: nothing" in says("catalogue:sst2", split="test=nothing")
    script = RuntimeError("Dataset scripts are no longer supported, but found x.py")
    assert "scripts of others are never run" in says("catalogue:sst2", script)
    assert "cannot be read: BuilderConfig 'x' not found" in says(
        "catalogue:sst2", ValueError("BuilderConfig 'x' not found.\nAvailable: a")
    )
    assert "connection to the hub broke off" in says("catalogue:sst2", ConnectionError("reset"))
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    assert "pip install 'pituning-studio[hub]'" in says("catalogue:sst2")


def test_what_the_hub_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    request = httpx.Request("GET", "https://huggingface.co/api/datasets/a/b")

    def refused(error: Exception) -> str:
        monkeypatch.setattr(huggingface_hub, "dataset_info", lambda *_, **__: (_ for _ in ()).throw(error))
        with pytest.raises(BadInput) as caught:
            describe(HubSource(id="a/b", revision="main"))
        return str(caught.value)

    def answered(kind: Any, code: int) -> Exception:
        return kind("no", response=httpx.Response(code, request=request))

    assert "does not exist, or is private" in refused(answered(errors.RepositoryNotFoundError, 401))
    gated = refused(answered(errors.GatedRepoError, 403))
    assert "is gated: accept its terms at https://huggingface.co/datasets/a/b" in gated
    assert "has no revision 'main'" in refused(answered(errors.RevisionNotFoundError, 404))
    for error in (httpx.ConnectError("no route"), errors.OfflineModeIsEnabled("offline"), TimeoutError()):
        assert refused(error) == (
            "the hub cannot be reached for hub data set a/b; connect this machine, or give the data as a file"
        )
    card = SimpleNamespace(sha=COMMIT, card_data=SimpleNamespace(license=["mit", "other"]))
    monkeypatch.setattr(huggingface_hub, "dataset_info", lambda *_, **__: card)
    assert describe(HubSource(id="a/b")).licence == "mit, other"


def test_records_are_sound_and_survive_as_cards() -> None:
    assert [sum(r.table == table for r in CATALOGUE.values()) for table in ("vision", "glue", "vl")] == [8, 6, 6]
    for record in CATALOGUE.values():
        card = parse_card(card_text(record.card()).encode(), "card.yaml")
        assert HubSource.from_card(card["hub"]) == record.hub
        options = card_options(card)
        assert (options.text, options.answer, options.image) == (record.text, (record.answer,), record.image)
        assert options.label_names == record.label_names
        assert record.metric in METRICS
    for broken, says in (
        ({}, "has no id"), ({"id": "a/b", "idd": 1}, "no field 'idd'"),
        ({"id": "a/b", "splits": "train"}, "wrong type"),
        ({"id": "a/b", "splits": {"test": "x"}}, "no split of the data set is read as train"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=says):
            HubSource.from_card(broken)
    assert read_address("hub:nyu-mll/glue:sst2") == ("nyu-mll/glue", "sst2")
    assert read_splits("train=a, test=b") == {"train": "a", "test": "b"}


def test_docs_show_the_catalogue() -> None:
    assert catalogue_table() in Path("docs/tasks.md").read_text(encoding="utf-8")


def test_an_image_is_stored_once_and_as_it_came(hub: Path, tmp_path: Path) -> None:
    task = made("catalogue:coco-captions", hub, Workspace.open(tmp_path))
    image: Any = task.split("train")[0].image
    assert image.read() == picture(0)
