"""A run whose record is damaged, or of a later version, hides no other one, and can be deleted."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pituning.errors import ArtefactError, BadInput
from pituning.runs.records import Run
from pituning.runs.removal import delete_run, remove_task
from pituning.runs.spec import RunSpec
from pituning.tasks.saved import save_task
from pituning.workspace.database import writing
from tests.conftest import make_text_task

FUTURE = {"kind": "tune", "config": {"target": {"name": "nli"}}, "schema_version": 2}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.fixed_dictionaries(
    {"kind": st.just("train") | ANY_JSON, "config": ANY_JSON, "schema_version": st.just(1) | ANY_JSON}
)
SPECS = st.text(max_size=20) | st.builds(json.dumps, ANY_JSON) | st.builds(json.dumps, DOCUMENTS)
COLUMNS = ["name", "kind", "state", "priority", "position", "done", "created", "eta_s", "pid", "started", "batch"]
VALUES = st.text(max_size=10) | st.binary(max_size=5) | st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1)


def damage(workspace, run_id: str, column: str, value: Any) -> None:
    with writing(workspace.engine) as connection:
        connection.exec_driver_sql(f"UPDATE runs SET {column} = ? WHERE id = ?", (value, run_id))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=3), spec=SPECS)
def test_no_record_hides_another(queue, workspace, submit, changes, spec) -> None:
    whole, odd = submit(), submit()
    for column, value in {**changes, "spec": spec}.items():
        damage(workspace, odd, column, value)
    runs = {run.id: run for run in queue.list()}
    assert set(runs) == {whole, odd}
    assert runs[whole].damage is None
    run: Run = runs[odd]
    assert run.damage is None or f"pituning runs delete {odd}" in run.damage
    assert isinstance(run.spec.subject, str)
    assert run.elapsed() is None or run.elapsed() >= 0
    assert run.understood in (True, False)
    for run_id in (whole, odd):
        queue.cancel(run_id)
        delete_run(queue, run_id)
    assert queue.list() == []


def test_what_a_damaged_run_may_need_stays(queue, workspace, submit) -> None:
    save_task(make_text_task(name="moods"), workspace)
    later = submit()
    damage(workspace, later, "spec", json.dumps(FUTURE))
    with pytest.raises(BadInput, match=f"'moods' may be needed by run {later}.*cancel it first"):
        remove_task(queue, "moods")
    queue.cancel(later)
    for change in (queue.resume, queue.retry, lambda run: queue.duplicate(run, {})):
        with pytest.raises(BadInput, match="made by a later version: schema 2, this one reads 1; upgrade"):
            change(later)
    remove_task(queue, "moods")


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
def test_what_is_decided_of_runs_hangs_on_no_page(backend, queue, workspace) -> None:
    """601 runs stand before the one that matters."""
    save_task(make_text_task(name="moods"), workspace)
    first = queue.submit(RunSpec(kind="train", config={"task": "moods", "shots": 4}))
    asked = [queue.submit(RunSpec(kind="answer", config={"experts": ["nli"], "text": "a", "image": "0" * 32}))
             for _ in range(2)]  # fmt: skip
    image = workspace.root / "questions" / f"{'0' * 32}.png"
    image.parent.mkdir()
    image.touch()
    queue.submit_all([RunSpec(kind="train", config={"task": "nli", "shots": 4, "seed": seed}) for seed in range(601)])
    with pytest.raises(BadInput, match=f"needed by run {first}"):
        remove_task(queue, "moods")
    queue.cancel(asked[1])
    delete_run(queue, asked[1])
    assert image.exists(), "the older question shows it"
    assert len(queue.list()) == queue.count() == 603
    assert len(queue.list(limit=500)) == 500
    assert queue.count(states=["queued"], without="answer") == 602


def test_an_interrupted_deletion_can_be_repeated(queue, workspace, submit, monkeypatch) -> None:
    run_id = submit()
    queue.cancel(run_id)
    kept = workspace.run_dir(run_id) / "log.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("x")
    with pytest.raises(RuntimeError), queue.forgetting(run_id):
        raise RuntimeError("killed")
    assert queue.get(run_id).state == "cancelled"
    with monkeypatch.context() as patched:
        patched.setattr("pituning.workspace.bin.move", Mock(side_effect=ArtefactError("no permission")))
        with pytest.raises(ArtefactError):
            delete_run(queue, run_id)
    assert kept.read_text() == "x", "what was set aside is back"
    assert queue.get(run_id).state == "cancelled"
    delete_run(queue, run_id)
    assert not kept.parent.exists()
