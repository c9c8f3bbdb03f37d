"""What goes with a run or a task that is deleted, and what stays because others need it."""

from __future__ import annotations

import numpy as np
import pytest

from pituning.errors import BadInput
from pituning.experts.card import TENSORS, ExpertCard, write_card
from pituning.runs.records import CurvePoint
from pituning.runs.removal import delete_run, own_experts, remove_expert, remove_task
from pituning.runs.spec import RunSpec
from pituning.tasks.mini import TASK_NAMES
from pituning.tasks.saved import save_task
from pituning.workspace.atomic import TEMPORARY_PREFIX, write_bytes, write_json
from pituning.workspace.similarity import ZooSimilarity, load_similarity, save_similarity
from tests.conftest import make_text_task


def make_expert(workspace, kind: str, name: str, task: str):
    folder = workspace.zoo().new_expert_dir(kind, name)
    write_bytes(folder / TENSORS, b"tensors")
    write_card(ExpertCard(name=name, kind=kind, task=task, config={}, backbone="mini", fingerprint=""), folder)
    return folder


@pytest.fixture
def ended(queue, workspace):
    """Makes a run that ended, with everything that a run can have; gives its id."""

    def make(state: str = "succeeded", spec: RunSpec | None = None) -> str:
        run_id = queue.submit(spec or RunSpec(kind="tune", config={"target": "nli"}))
        claim = queue.claim("me").claim
        queue.report(claim, progress={"phase": "train"}, metrics=[CurvePoint("pi", 1, "loss", 1.0)])
        path = workspace.run_dir(run_id) / "result.json"
        write_json(path, {"score": 1.0})
        (workspace.run_dir(run_id) / "checkpoint").mkdir()
        queue.finish(claim, state, result_path=str(path.relative_to(workspace.root)) if state == "succeeded" else None)
        return run_id

    return make


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_a_run_goes_with_all_it_has(state, queue, workspace, ended):
    gone, other = ended(state), ended()
    assert delete_run(queue, gone).expert is None
    assert [run.id for run in queue.list()] == [other]
    assert not workspace.run_dir(gone).exists()
    assert queue.curves_of(gone) == []
    assert queue.events_of(gone) == []
    assert len(queue.curves_of(other)) == 1
    assert queue.result_of(other) == {"score": 1.0}
    assert list(workspace.root.rglob(f"{TEMPORARY_PREFIX}*")) == []
    with pytest.raises(BadInput, match="unknown run"):
        delete_run(queue, gone)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_run_under_way_is_not_deleted(state, queue, workspace, submit):
    run_id = submit()
    if state == "running":
        queue.claim("me")
    with pytest.raises(BadInput, match=f"is {state}; cancel it first: pituning runs cancel {run_id}"):
        delete_run(queue, run_id)
    assert queue.get(run_id).state == state


def test_the_expert_goes_with_the_last_run_that_made_it(queue, workspace, ended):
    first, second = ended(), ended()
    expert = make_expert(workspace, "lora", "nli-pi-16-shot-0", "nli")
    assert delete_run(queue, first).expert is None
    assert expert.is_dir()
    assert delete_run(queue, second).expert == "nli-pi-16-shot-0"
    assert not expert.exists()


def test_a_failed_run_does_not_take_the_expert_of_an_earlier_one(queue, workspace, ended):
    failed = ended("failed")
    expert = make_expert(workspace, "lora", "nli-pi-16-shot-0", "nli")
    assert delete_run(queue, failed).expert is None
    assert expert.is_dir()


def test_an_expert_of_the_zoo_stays(queue, workspace, ended):
    run = ended(spec=RunSpec(kind="train", config={"task": "nli"}))
    expert = make_expert(workspace, "lora", "nli", "nli")
    assert delete_run(queue, run).expert is None
    assert expert.is_dir()


@pytest.fixture
def added(workspace):
    save_task(make_text_task(name="moods"), workspace)
    return workspace


def test_a_task_goes_with_its_experts_and_its_place_in_the_graph(queue, added):
    own, kept = make_expert(added, "lora", "moods", "moods"), make_expert(added, "lora", "moods-4-shot-0", "moods")
    names = ("nli", "moods", "rte")
    matrix = np.array([[1, 0.1, 0.2], [0.1, 1, 0.3], [0.2, 0.3, 1]])
    path = added.zoo().new_similarity_path("lora", "probe")
    save_similarity(path, ZooSimilarity(names=names, matrix=matrix, replicates=np.stack([matrix, matrix / 2])))
    embedding = added.zoo().new_embedding_path("lora", "own", "moods")
    write_bytes(embedding, b"")
    assert own_experts(queue, "moods") == [("mini", "lora")]
    remove_task(queue, "moods")
    assert added.task_names() == []
    assert [own.exists(), kept.exists(), embedding.exists()] == [False, True, False]
    left = load_similarity(path)
    assert left.names == ("nli", "rte")
    assert left.matrix == pytest.approx(np.array([[1, 0.2], [0.2, 1]]))
    assert left.replicates[1] == pytest.approx(np.array([[0.5, 0.1], [0.1, 0.5]]), abs=1e-3)
    assert list(added.root.rglob(f"{TEMPORARY_PREFIX}*")) == []
    with pytest.raises(BadInput, match="unknown task 'moods'"):
        remove_task(queue, "moods")


def test_an_expert_that_only_has_the_name_of_the_task_stays(queue, added):
    other = make_expert(added, "prefix", "moods", "nli")
    remove_task(queue, "moods")
    assert other.is_dir()


def test_a_task_of_the_suite_stays(queue):
    for name in TASK_NAMES:
        with pytest.raises(BadInput, match="belongs to the suite; only tasks that were added can be removed"):
            remove_task(queue, name)


@pytest.mark.parametrize(
    "spec",
    [
        RunSpec(kind="tune", config={"target": "moods"}),
        RunSpec(kind="tune", config={"target": "nli", "donor_names": ["moods"]}),
        RunSpec(kind="tune", config={"target": "nli"}),  # may choose it as a donor, for it has an expert
        RunSpec(kind="train", config={"task": "moods"}),
        RunSpec(kind="embed", config={"tasks": ["moods"]}),
        RunSpec(kind="embed", config={}),
    ],
)
def test_a_task_that_a_run_needs_stays(spec, queue, added):
    make_expert(added, "lora", "moods", "moods")
    run_id = queue.submit(spec)
    for _ in range(2):
        with pytest.raises(BadInput, match=f"is needed by run {run_id}"):
            remove_task(queue, "moods")
        queue.claim("me")
    assert added.task_names() == ["moods"]
    queue.finish(queue.get(run_id).claim, "failed", error="no")
    remove_task(queue, "moods")


@pytest.mark.parametrize(
    "spec",
    [
        RunSpec(kind="tune", config={"target": "nli", "kind": "prefix"}),
        RunSpec(kind="train", config={"task": "nli"}),
    ],
)
def test_runs_that_have_nothing_to_do_with_it_do_not_hold_it(spec, queue, added):
    make_expert(added, "lora", "moods", "moods")
    queue.submit(spec)
    remove_task(queue, "moods")


def test_what_one_backbone_has_is_not_taken_from_another(queue, workspace, added, ended):
    """An expert, a run that made one, and a task's experts, each beside namesakes on another backbone."""
    on = {name: workspace.zoo(name).new_expert_dir("lora", "nli-pi-16-shot-0") for name in ("mini", "other")}
    runs = {}
    for name, folder in on.items():
        runs[name] = ended(spec=RunSpec(kind="tune", config={"target": "nli", "backbone": name}))
        write_bytes(folder / TENSORS, b"tensors")
        write_card(
            ExpertCard(name=folder.name, kind="lora", task="nli", config={}, backbone=name, fingerprint=""), folder
        )
    assert [run.id for run in queue.list(backbone="other")] == [runs["other"]]
    assert queue.get(runs["other"]).backbone == "other"
    assert delete_run(queue, runs["other"]).expert == "nli-pi-16-shot-0"
    assert [folder.is_dir() for folder in on.values()] == [True, False]
    with pytest.raises(BadInput, match="unknown expert"):
        remove_expert(queue, "lora", "nli-pi-16-shot-0", backbone="other")

    own = workspace.zoo("other").new_expert_dir("prefix", "moods")
    write_card(ExpertCard(name="moods", kind="prefix", task="moods", config={}, backbone="other", fingerprint=""), own)
    write_bytes(own / TENSORS, b"tensors")
    make_expert(added, "lora", "moods", "moods")
    assert own_experts(queue, "moods") == [("mini", "lora"), ("other", "prefix")]
    queue.submit(RunSpec(kind="embed", config={"kind": "prefix"}))  # on mini, which has no such expert
    needing = queue.submit(RunSpec(kind="embed", config={"kind": "prefix", "backbone": "other"}))
    with pytest.raises(BadInput, match=needing):
        remove_task(queue, "moods")
    queue.cancel(needing)
    remove_task(queue, "moods")
    assert not own.exists()
