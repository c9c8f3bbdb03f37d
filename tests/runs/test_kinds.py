"""The records of the kinds of runs: what they name is there, and a run outlives the package that brought its kind."""

from __future__ import annotations

import dataclasses

import pytest

from pituning.errors import BadInput
from pituning.registry import load
from pituning.runs import failures
from pituning.runs.kinds import RUN_KINDS, RunKindRecord
from pituning.runs.outline import Subject, outline
from pituning.runs.plans import forecast
from pituning.runs.removal import expert_made
from pituning.runs.spec import RunSpec
from pituning.runs.sweep import changes_of

GUEST = RunKindRecord(
    name="recount", label="Recount", help="Counts again.", config="pituning.runs.counting:CountRun",
    job="pituning.runs.counting:count", subject="upto", on_backbone=False,
)  # fmt: skip


@pytest.mark.parametrize("record", RUN_KINDS.values(), ids=lambda record: record.name)
def test_what_a_record_names_is_there(record: RunKindRecord) -> None:
    fields = {field.name for field in dataclasses.fields(load(record.config))}
    assert callable(load(record.job))
    assert record.subject in fields
    assert ("backbone" in fields) == record.on_backbone
    assert {"expert_name"} <= set(dir(load(record.config))) or not record.makes_expert
    assert record.rate_field in fields or not record.makes_expert
    assert record.outline is not None
    assert callable(load(record.outline))


def test_unknown_kinds_are_told_with_close_ones() -> None:
    with pytest.raises(BadInput, match="unknown run kind 'trane'; did you mean train") as caught:
        RunSpec(kind="trane", config={}).validate()
    assert caught.value.field == "kind"


def test_how_long_counting_takes_is_known_beforehand(queue) -> None:
    spec = RunSpec(kind="count", config={"upto": 20, "pause": 0.5})
    expected = forecast(queue, spec)
    assert [(phase.name, phase.seconds) for phase in expected.plan] == [("count", 10.0)]
    assert expected.runs == 0


def test_a_run_outlives_the_package_that_brought_its_kind(queue) -> None:
    RUN_KINDS.register(GUEST)
    try:
        run_id = queue.submit(RunSpec(kind="recount", config={"upto": 3}))
        run = queue.get(run_id)
        assert run.name == "recount 3"
        assert run.spec.command() == "pituning runs submit recount --set upto=3"
        assert changes_of("recount", ["upto=3"]) == dict(run.spec.config)
        assert outline(run.spec, Subject()) == []
        assert forecast(queue, run.spec).plan == ()
    finally:
        RUN_KINDS.unregister("recount")
    (left,) = queue.list()
    assert left.kind == "recount"
    assert left.spec.command() == "pituning runs submit recount --set upto=3"
    assert left.spec.subject == ""
    assert expert_made(left) is None
    assert "learning_rate=…" in failures.fix_for(failures.NAN_LOSS, run_id, run_kind="recount")
    with pytest.raises(BadInput, match="unknown run kind 'recount'"):
        left.spec.settings()
