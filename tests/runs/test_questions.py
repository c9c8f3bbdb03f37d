"""What experts are asked, and what they answer, on a tiny backbone."""

from __future__ import annotations

import json
import math
import shutil

import pytest

from pituning.errors import BadInput, NotAllowed
from pituning.experts.card import ExpertCard, write_card
from pituning.progress import Silent
from pituning.runs.configs import AnswerRun
from pituning.runs.outline import Subject, cost_name, outline
from pituning.runs.plans import measured_costs
from pituning.runs.questions import find_questions, keep_image, kept_image
from pituning.runs.queue import RunQueue
from pituning.runs.removal import delete_run, remove_expert
from pituning.runs.roles import Actor, Role
from pituning.runs.samples import keep_sample, kept_sample, sample_of
from pituning.runs.spec import RunSpec
from pituning.tasks.base import Example
from pituning.tasks.images import BytesImage
from pituning.tasks.registry import load_task
from pituning.workspace.atomic import write_bytes
from tests.app.uploads import png
from tests.conftest import make_box_task, make_text_task, make_vision_task


def bare_expert(workspace, kind: str, name: str, task: str):
    folder = workspace.zoo().new_expert_dir(kind, name)
    write_bytes(folder / "adapter_model.safetensors", b"x")
    write_card(ExpertCard(name=name, kind=kind, task=task, config={}, backbone="mini", fingerprint=""), folder)
    return folder


@pytest.fixture
def tiny_tasks(monkeypatch):
    """The tiny tasks as if the workspace had them; their pictures are drawn, so they cannot be saved."""
    tasks = {task.name: task for task in (make_text_task(), make_vision_task(), make_box_task())}
    found = lambda name, workspace: tasks.get(name) or load_task(name, workspace)  # noqa: E731
    monkeypatch.setattr("pituning.runs.questions.load_task", found)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"experts": ()}, "experts", "0 experts are named; give 1 to 8"),
        ({"experts": ("../x",)}, "expert", "'../x' cannot be used"),
        ({"kind": "lorax"}, "kind", "'lorax'"),
        ({"example": ("3",)}, "example", "write a split and a number: test/3"),
        ({"example": ("test/1",) * 17}, "example", "give at most 16"),
        ({"example": ()}, "example", "give either examples, or a text or an image"),
        ({"text": "both"}, "example", "give either examples"),
        ({"example": (), "text": "x" * 5000}, "text", "has 5000 characters"),
    ],
)
def test_bad_questions_name_their_field(changes, field, message):
    with pytest.raises(BadInput, match=message) as error:
        AnswerRun(**{"experts": ("nli",), "example": ("test/3",)} | changes)
    assert error.value.field == field


def test_the_command_asks_the_same():
    config = AnswerRun(experts=("nli", "nli-16-shot-0"), kind="prefix", task="nli", example=("test/3", "test/4"))
    spec = RunSpec.of("answer", config)
    assert spec.settings() == config
    assert spec.command() == (
        "pituning experts answer nli nli-16-shot-0 --kind prefix --task nli --example test/3,test/4"
    )
    assert spec.subject == "nli"


def test_every_phase_has_a_shipped_cost():
    for question in ({"example": ("test/1",)}, {"text": "a"}, {"image": "x"}):
        parts = outline(RunSpec.of("answer", AnswerRun(experts=("nli",), **question)), Subject())
        assert all(measured_costs("prefix")[cost_name(part.name)] > 0 for part in parts)
        assert ("encode images" in [part.name for part in parts]) == ("text" not in question)


def test_what_is_missing_is_told(workspace, tiny_tasks):
    for name in ("tiny-mood", "tiny-colour", "tiny-box"):
        bare_expert(workspace, "lora", name, name)
    for expert, question, field, message in (
        ("tiny-mod", {"example": ("test/0",)}, "expert", "did you mean tiny-mood"),
        ("tiny-mood", {"example": ("test/24",)}, "example", "has 24 test examples, counted from 0"),
        ("tiny-mood", {"text": "  "}, "text", "is about a text; write one"),
        ("tiny-mood", {"text": "a", "image": "x"}, "image", "is about texts alone"),
        ("tiny-box", {"text": "the red one"}, "image", "is about an image; give one"),
        ("tiny-colour", {"image": "../../etc/passwd"}, "image", "is not there"),
        ("tiny-mood", {"example": ("test/0",), "task": "gone"}, "task", "'gone' is unknown"),
    ):
        with pytest.raises(BadInput, match=message) as error:
            find_questions(AnswerRun(experts=(expert,), **question), workspace)
        assert error.value.field == field


def test_an_image_is_kept_once_and_goes_with_its_last_run(workspace, queue):
    name = keep_image(png("red"), workspace)
    assert keep_image(png("red"), workspace) == name
    assert kept_image(name, workspace).render(8).getpixel((4, 4)) == (255, 0, 0)
    with pytest.raises(BadInput, match="the image is not an image"):
        keep_image(b"no", workspace)
    runs = [queue.submit(RunSpec.of("answer", AnswerRun(experts=("a",), image=name))) for _ in range(2)]
    for run in runs:
        queue.cancel(run)
    delete_run(queue, runs[0])
    assert kept_image(name, workspace)
    delete_run(queue, runs[1])
    with pytest.raises(BadInput, match="is not there"):
        kept_image(name, workspace)


def test_rows_that_are_no_task_yet_are_kept_once_and_asked_of_the_backbone_alone(workspace, queue):
    rows = [
        Example(uid=f"row/{n}", text=f"row {n}", answer="ab"[n % 2], image=BytesImage(png("red"))) for n in range(3)
    ]
    given = {"modality": "vision-language", "metric": "accuracy", "labels": ("a", "b"), "title": "Mine"}
    sample = sample_of(rows, instruction=" which  one? ", **given)
    assert sample_of(rows, instruction="which one?", **given).name == sample.name
    assert sample_of(rows[:2], instruction="which one?", **given).name != sample.name
    for _ in range(2):
        keep_sample(sample, workspace)
    config = AnswerRun(sample=sample.name, example=("test/0", "test/2"))
    found = find_questions(config, workspace)
    assert (found.experts, found.task.instruction, found.task.labels) == ({}, "which one?", ("a", "b"))
    assert [(row.text, row.answer) for row in found.examples] == [("row 0", "a"), ("row 2", "a")]
    assert found.examples[0].image.render(8).getpixel((4, 4)) == (255, 0, 0)
    with pytest.raises(BadInput, match="leave experts and task out"):
        AnswerRun(sample=sample.name, task="nli", example=("test/0",))
    with pytest.raises(BadInput, match=r"sample '../tasks' is not there"):
        find_questions(AnswerRun(sample="../tasks", example=("test/0",)), workspace)
    run = queue.submit(RunSpec.of("answer", config))
    queue.cancel(run)
    delete_run(queue, run)
    with pytest.raises(BadInput, match="is not there"):
        kept_sample(sample.name, workspace)


def test_an_expert_is_removed_by_admins_when_nobody_needs_it(workspace, queue):
    own = bare_expert(workspace, "lora", "mine", "nli")
    with pytest.raises(NotAllowed, match="may not remove experts"):
        remove_expert(RunQueue(workspace, actor=Actor("a@b.c", Role.RUNNER)), "lora", "mine")
    run = queue.submit(RunSpec.of("answer", AnswerRun(experts=("mine",), text="a")))
    with pytest.raises(BadInput, match=f"is needed by run {run}"):
        remove_expert(queue, "lora", "mine")
    assert own.is_dir()
    queue.cancel(run)
    remove_expert(queue, "lora", "mine")
    assert not own.exists()
    with pytest.raises(BadInput, match="unknown expert 'mine'"):
        remove_expert(queue, "lora", "mine")


@pytest.fixture
def studio(workspace, tiny_backbone, tiny_backbone_dir, tiny_tasks):
    """A workspace with a backbone and three experts."""
    from pituning.experts.model import ExpertModel
    from pituning.experts.store import make_expert, save_expert

    shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "mini")
    for kind, config, name, task, spec in (
        ("lora", None, "one", "tiny-mood", {"method": "pi", "shots": 4}),
        ("lora", {"rank": 2}, "two", "tiny-mood", {"shots": 4}),
        ("prefix", None, "boxes", "tiny-box", {}),
    ):
        model = ExpertModel(tiny_backbone, kind, config)
        values = model.initial(0) + 0.1
        save_expert(
            make_expert(model, values, name=name, task=task, spec=spec),
            model,
            workspace.zoo().new_expert_dir(kind, name),
        )
    return workspace


def test_answers_are_those_of_the_model_with_probabilities_that_sum_to_one(studio, tiny_backbone, tmp_path):
    from pituning.experts.store import open_expert
    from pituning.runs.answering import answer

    result = answer(AnswerRun(experts=("one", "two"), example=("test/1", "test/2")), studio, Silent(), tmp_path)
    alone = answer(AnswerRun(task="tiny-mood", example=("test/1", "test/2")), studio, Silent(), tmp_path)
    assert alone["said"] == result["said"][:1]
    json.dumps(result, allow_nan=False)
    task = make_text_task()
    assert [(one["expert"], one["method"]) for one in result["said"]] == [
        (None, "backbone"), ("one", "pi"), ("two", "single"),
    ]  # fmt: skip
    assert [question["gold"] for question in result["questions"]] == [task.split("test")[i].answer for i in (1, 2)]
    encoded = tiny_backbone.encode(task, task.split("test")[1:3])
    expert, model = open_expert(studio.zoo().expert_dir("lora", "two"), tiny_backbone)
    expected = [tiny_backbone.predict(encoded, task), model.predict(expert.values, encoded, task)]
    for one, texts in zip((result["said"][0], result["said"][2]), expected, strict=True):
        assert [said["answer"] for said in one["answers"]] == texts
    assert result["said"][1]["temperature"] is None
    for one in result["said"]:
        for said in one["answers"]:
            shares = [said["probability"], *(other["probability"] for other in said["others"])]
            assert math.isclose(sum(shares), 1.0, abs_tol=1e-3)
            assert said["score"] in (0.0, 100.0)


def test_an_open_answer_has_the_probability_of_its_tokens(tiny_backbone, box_task):
    from pituning.backbones.certainty import answer_probabilities

    encoded = tiny_backbone.encode(box_task, box_task.split("test")[:3])
    golds = [example.answer for example in box_task.split("test")[:3]]
    losses = -tiny_backbone.logits(encoded.batch([0, 1, 2])).log_softmax(-1)
    labels = encoded.batch([0, 1, 2]).labels
    for row, gold in enumerate(golds):
        by_hand = sum(float(losses[row, i, token]) for i, token in enumerate(labels[row].tolist()) if token >= 0)
        (actual,) = answer_probabilities(tiny_backbone, encoded, box_task, row, [gold])
        assert actual == pytest.approx(math.exp(-by_hand), rel=1e-4)


def test_a_question_of_ones_own_with_an_image_goes_through_a_prefix(studio, tmp_path):
    from pituning.runs.answering import answer

    image = keep_image(png("red"), studio)
    config = AnswerRun(experts=("boxes",), kind="prefix", text="the red one", image=image)
    result = answer(config, studio, Silent(), tmp_path)
    assert result["questions"] == [{"example": None, "text": "the red one", "image": image, "gold": None}]
    assert all(one["answers"][0]["score"] is None for one in result["said"])
    assert all(0 < one["answers"][0]["probability"] <= 1 for one in result["said"])
