"""What is expected of a run, against histories made by hand and sums done by hand."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from benchmarks.costs import table
from pituning.experts.kinds import mixable_kinds
from pituning.runs.eta import PlannedPhase
from pituning.runs.outline import Subject, cost_name, outline
from pituning.runs.plans import expected_plan, forecast, measured_costs, save_plan
from pituning.runs.spec import RunSpec
from pituning.tuning.config import BASELINES
from pituning.tuning.units import OTHERS_PHASE, VERDICT_PHASE
from pituning.workspace.database import RunRow, writing

MOODS = Subject(classes=2, closed=True, images=False, sizes={"train": 400, "validation": 100, "test": 200})
PLAN = [
    PlannedPhase("load the libraries", 1, 10.0),
    PlannedPhase("train single", 100, 50.0),
    PlannedPhase("test", 1000, 40.0),
]


def train_spec(**config) -> RunSpec:
    return RunSpec(kind="train", config={"task": "sentiment", "kind": "lora", "steps": 100, **config})


def finished(queue, spec: RunSpec, plan: list[PlannedPhase], seconds: float) -> None:
    """A run that took so long, by a plan that says how its phases went."""
    queue.submit(spec)
    run = queue.claim("me")
    save_plan(queue.workspace, run.id, plan)
    queue.finish(run.claim, "succeeded")
    with writing(queue.workspace.engine) as connection:
        ended = connection.scalar(sa.select(RunRow.finished).where(RunRow.id == run.id))
        connection.execute(sa.update(RunRow).where(RunRow.id == run.id).values(started=ended - seconds))


def by_name(plan) -> dict[str, float]:
    return {phase.name: phase.seconds for phase in plan}


def total(spec: RunSpec, subject: Subject) -> int:
    return next(part.total for part in outline(spec, subject) if part.name == VERDICT_PHASE)


def test_the_phases_of_a_tuning():
    spec = RunSpec(kind="tune", config={"target": "digits", "steps": 80, "baselines": list(BASELINES)})
    parts = {part.name: part.total for part in outline(spec, Subject())}
    assert {"embed the zoo", "encode images"} <= set(parts)
    # 160 shots are split once: 3 rates of 80 steps and a training on all shots; 1000 answers count for 20 steps.
    # Before the verdict mixture, single and placebo, the donor without its training, the backbone's answers.
    assert parts[VERDICT_PHASE] == 3 * (4 * 80 + 20) + 3 * 80 + 20
    # Then full, bitfit, uniform, lorahub and four controls; the donor's training; those who learn nothing; temperature.
    untouched = [name for name in BASELINES if name.endswith("untouched")]
    assert parts[OTHERS_PHASE] == 8 * (4 * 80 + 20) + (80 + 20) + len(untouched) * 20 + (80 + 20)


def test_what_a_run_will_not_do_is_not_expected():
    few = RunSpec(kind="tune", config={
        "target": "moods", "shots": 4, "steps": 80, "donor_names": ["nli"], "baselines": ["single"],
    })  # fmt: skip
    parts = {part.name: part for part in outline(few, MOODS)}
    assert not {"encode images", "embed the zoo"} & set(parts)
    # 8 shots are split three times; 200 answers count for 4 steps.
    assert parts[VERDICT_PHASE].total == 3 * 720 + 2 * (80 + 4)
    # A step on 8 examples of at most 32: a tenth, and a quarter of the other nine tenths.
    assert parts[VERDICT_PHASE].load == pytest.approx(0.1 + 0.9 * 0.25)
    one = RunSpec(kind="tune", config={"target": "moods", "shots": 1})
    assert total(one, MOODS) == 3 * (160 + 4) + 4  # nothing to choose by
    assert total(one, Subject(classes=4, closed=False)) > 4 * 3 * 160


@pytest.mark.parametrize("kind", mixable_kinds())
def test_every_phase_has_a_shipped_cost(kind):
    config = {"target": "digits", "kind": kind, "baselines": list(BASELINES)}
    specs = [RunSpec(kind="tune", config=config), train_spec(kind=kind), RunSpec(kind="embed", config={"kind": kind})]
    costs = measured_costs(kind)
    for spec in specs:
        for part in outline(spec, Subject()):
            assert costs[cost_name(part.name)] > 0


def test_without_a_finished_run_the_shipped_measurement_tells(queue):
    costs = measured_costs("lora")
    expected = forecast(queue, train_spec(), MOODS)
    assert expected.runs == 0
    by_hand = costs["load the libraries"] + 100 * costs["train"] + 2 * 200 * costs["test"]  # once for the temperature
    assert expected.seconds == pytest.approx(by_hand)


def test_the_usual_run_takes_a_minute_and_a_quarter(queue):
    # As one of digits with 16 shots did on a quiet machine with two cores: 70 s, and 83 s where the zoo was new, too.
    expected = forecast(queue, RunSpec(kind="tune", config={"target": "digits"}))
    assert expected.runs == 0
    assert expected.seconds == pytest.approx(75, rel=0.1)


def test_a_finished_run_tells_scaled_by_steps_and_shots(queue):
    finished(queue, train_spec(), PLAN, 100.0)
    longer = forecast(queue, train_spec(steps=300), MOODS)
    assert longer.runs == 1
    assert by_name(longer.plan) == pytest.approx(
        {"load the libraries": 10.0, "train single": 150.0, "test": 8.0, "test temperature": 8.0}
    )
    # Two shots of two classes make steps on 4 examples instead of 32.
    fewer = forecast(queue, train_spec(shots=2), MOODS)
    assert by_name(fewer.plan)["train single"] == pytest.approx(50.0 * (0.1 + 0.9 * 4 / 32))


def test_steps_that_were_given_up_took_no_time(queue):
    finished(queue, train_spec(), PLAN, 50.0)
    assert forecast(queue, train_spec(), MOODS).seconds == pytest.approx(5.0 + 25.0 + 4.0 + 4.0)


def test_what_the_finished_run_did_not_do_goes_at_its_pace(queue):
    costs = measured_costs("lora")
    slow = [PlannedPhase("load the libraries", 1, 3 * costs["load the libraries"])]
    finished(queue, train_spec(), slow, 3 * costs["load the libraries"])
    by_hand = 3 * (costs["load the libraries"] + 100 * costs["train"] + 2 * 200 * costs["test"])
    assert forecast(queue, train_spec(), MOODS).seconds == pytest.approx(by_hand)


def test_one_odd_run_of_several_does_not_count(queue):
    for factor in (1.0, 1.0, 50.0):
        finished(queue, train_spec(), [PlannedPhase(p.name, p.total, factor * p.seconds) for p in PLAN], 100 * factor)
    expected = forecast(queue, train_spec(), MOODS)
    assert expected.runs == 3
    assert expected.seconds == pytest.approx(76.0)


def test_only_runs_of_the_same_sort_that_are_done_tell(queue):
    finished(queue, train_spec(kind="prefix"), PLAN, 100.0)
    finished(queue, RunSpec(kind="tune", config={"target": "sentiment", "kind": "lora"}), PLAN, 100.0)
    finished(queue, train_spec(), [], 100.0)  # kept no plan
    failed = queue.submit(train_spec())
    save_plan(queue.workspace, failed, PLAN)
    queue.finish(queue.claim("me").claim, "failed", error="no")
    assert forecast(queue, train_spec(), MOODS).runs == 0


def test_a_run_in_the_queue_expects_what_was_forecast(queue):
    finished(queue, train_spec(), PLAN, 100.0)
    run = queue.get(queue.submit(train_spec(steps=300)))
    # sentiment of the suite has 1,000 test examples.
    assert by_name(expected_plan(queue, run)) == pytest.approx(
        {"load the libraries": 10.0, "train single": 150.0, "test": 40.0, "test temperature": 40.0}
    )


def test_a_task_that_is_gone_does_no_harm(queue):
    spec = RunSpec(kind="tune", config={"target": "gone"})
    finished(queue, spec, [PlannedPhase(VERDICT_PHASE, 10, 5.0)], 5.0)
    assert forecast(queue, spec).seconds > 0


def test_the_shipped_table_is_made_from_finished_runs(queue, workspace):
    finished(queue, train_spec(), PLAN, 100.0)
    finished(queue, train_spec(steps=50), [PlannedPhase("train single", 50, 50.0)], 50.0)
    finished(queue, train_spec(kind="prefix"), [PlannedPhase("test", 1000, 2.0)], 2.0)
    assert table(workspace)["costs"] == {
        "lora": {"load the libraries": 10.0, "test": 0.04, "train": 0.75},  # between 0.5 and 1 second a step
        "prefix": {"test": 0.002},
    }
