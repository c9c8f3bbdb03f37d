from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pituning.runs.attempts import take_over
from pituning.runs.queue import RunQueue
from pituning.runs.records import Run
from pituning.runs.spec import RunSpec
from pituning.tuning.config import PARTIAL
from pituning.workspace.atomic import write_json
from pituning.workspace.database import writing
from pituning.workspace.layout import Workspace
from pituning.workspace.space import LEAST_FREE_VARIABLE
from tests.app import synthetic
from tests.app.conftest import OpenPage, healthy, texts


def test_a_running_run_shows_progress_and_time_left(
    workspace: Workspace, woken: list[Workspace], open_page: OpenPage
) -> None:
    run = synthetic.running(workspace)

    at = healthy(open_page("runs"))

    assert at.progress[0].text == "Training π-tuning · step 45 of 100 · about 40 s left"
    assert woken, "an active run needs somebody who works on it"
    assert len(at.get("plotly_chart")) == 2

    # What it has found is shown as soon as it is there: who lends, the first score, what is still to come.
    early = {"test_examples": 250, "examples": 160, "donors": ["odd-even"], "mixture_score": 58.0,
             "neighbors": [{"task": "odd-even", "similarity": 0.42}]}  # fmt: skip
    write_json(take_over(workspace.run_dir(run.id), 1) / PARTIAL, early)
    at = healthy(at.run())
    for words in ("160 rows to learn from, 250 rows to test on", "(0.42); 1 task compared", "58.0 points",
                  "updated", "Whose experts are mixed"):  # fmt: skip
        assert words in texts(at)
    bars = json.loads(at.get("plotly_chart")[0].proto.spec)
    assert bars["data"][1]["text"].count("\u2002…") == 7, "the seven baselines are awaited"

    # What allows a verdict is shown before the other baselines are there.
    gains = {name: {"mean": 9.0, "low": 4.0, "high": 14.0} for name in ("single", "placebo")}
    partial = {
        **early,
        "score": 60.0,
        "baselines": {"single": 51.0, "placebo": 51.0},
        "gains": gains,
        "chosen": "mixture",
    }
    write_json(take_over(workspace.run_dir(run.id), 1) / PARTIAL, partial)
    at = healthy(at.run())
    assert "Transfer: the donors’ knowledge helped" in texts(at)
    assert "Single expert 51.0, Placebo donors 51.0; 5 still to come" in texts(at)
    assert len(at.get("plotly_chart")) == 3


@pytest.mark.parametrize("view", ["Curves", "Donor weights", "Predictions", "Log", "Settings"])
def test_every_view_of_a_finished_run(view: str, workspace: Workspace, open_page: OpenPage) -> None:
    run = synthetic.done(workspace)
    at = open_page("runs", run=run.id)

    at.segmented_control(key="run_view").set_value(view).run()

    healthy(at)
    page_text = texts(at)
    assert "Transfer" in page_text
    if view == "Log":
        assert "160 examples of digits" in page_text
    if view == "Settings":
        assert "pituning tune digits" in page_text
    if view == "Predictions":
        assert page_text.count("right") >= 3
        assert "wrong" in page_text
        at.segmented_control(key="predictions_shown").set_value("wrong").run()
        rows = next(one.value for one in healthy(at).dataframe if "True answer" in one.value)
        assert (rows[""] == "✕").all()
        assert rows["Loss"].tolist() == [0.5, 0.3, 0.1]
        assert rows["Single expert"].tolist() == ["0", "2", "4"]


def test_seeds_are_put_together(workspace: Workspace, open_page: OpenPage) -> None:
    runs = [synthetic.done(workspace, seed=seed, gain=gain) for seed, gain in enumerate((5.0, 6.0, 7.0))]
    synthetic.done(workspace, seed=0, gain=-20, shots=8)  # another setting: not one of them

    at = healthy(open_page("runs", run=runs[1].id))

    assert "Over 3 seeds" in texts(at)
    (table,) = [frame.value for frame in at.dataframe if "π minus it" in frame.value]
    assert table.set_index("Method").loc["Single expert", "π minus it"].startswith("+6.0")
    # t(0.975, 2) = 4.302653; differences 5, 6, 7 have a standard error of 1/sqrt(3).
    assert f"{6 - 4.302653 / 3**0.5:+.1f}" in table.set_index("Method").loc["Single expert", "π minus it"]


@pytest.mark.parametrize(
    ("gain", "answer", "title"),
    [
        (-50.0, "Do not use it: the untrained model is better", "harm"),
        (0.2, "Use it: clearly better than guessing and the untrained model", "No clear effect"),
    ],
)
def test_the_verdict_is_one_answer_and_why(
    gain: float, answer: str, title: str, workspace: Workspace, open_page: OpenPage
) -> None:
    run = synthetic.done(workspace, gain=gain)

    at = healthy(open_page("runs", run=run.id))
    page_text = texts(at)

    assert "Score by number of shots" in page_text  # with the backbone and guessing beside it
    assert answer in page_text
    assert title in page_text
    assert (
        "200 test rows: differences under about 2.5 points cannot be seen" in page_text
    )  # the intervals are that wide
    assert "The guard chose the mixture" in page_text
    assert "guessing at random" in page_text


def test_the_verdict_leads_on(workspace: Workspace, woken: list[Workspace], open_page: OpenPage) -> None:
    run = synthetic.done(workspace)
    at = healthy(open_page("runs", run=run.id))
    assert {"verdict_label", "verdict_new-run", "verdict_experts"} <= {button.key for button in at.button}

    healthy(at.button(key="verdict_seeds").click().run())

    more = [other for other in RunQueue(workspace).list() if other.id != run.id]
    assert sorted(other.spec.config["seed"] for other in more) == [1, 2]
    assert {**more[0].spec.config, "seed": 0} == {**run.spec.config, "seed": 0}
    assert woken
    assert at.button(key="verdict_seeds").disabled, "they are under way"


def test_a_failed_run_shows_its_reason_and_can_be_resumed(
    workspace: Workspace, woken: list[Workspace], open_page: OpenPage
) -> None:
    run = synthetic.failed(workspace)
    at = open_page("runs", run=run.id)
    assert "loss is NaN at step 12" in at.error[0].value

    at.button(key="run_resume").click().run()

    assert RunQueue(workspace).get(run.id).state == "queued"
    assert woken


def test_a_cancelled_run_can_be_retried(workspace: Workspace, open_page: OpenPage) -> None:
    run = synthetic.cancelled(workspace)
    at = healthy(open_page("runs", run=run.id))

    at.button(key="run_retry").click().run()

    assert RunQueue(workspace).get(run.id).state == "queued"


def test_cancel_asks_a_running_run_to_stop(workspace: Workspace, open_page: OpenPage) -> None:
    run = synthetic.running(workspace)
    at = open_page("runs", run=run.id)

    at.button(key="run_cancel").click().run()

    assert RunQueue(workspace).get(run.id).cancel_requested
    assert "Stopping" in texts(at)
    assert at.button(key="run_cancel").disabled


def test_an_address_of_another_workspace_is_told(workspace: Workspace, open_page: OpenPage) -> None:
    synthetic.done(workspace)

    at = open_page("runs", run="tune-digits-000000")

    assert not at.exception
    assert "not in this workspace" in at.warning[0].value


def test_a_missing_result_is_told_in_words(workspace: Workspace, open_page: OpenPage) -> None:
    run = synthetic.done(workspace)
    (workspace.run_dir(run.id) / "result.json").unlink()

    at = open_page("runs", run=run.id)

    assert not at.exception
    assert any("is missing" in alert.value for alert in at.error)


def test_the_download_is_the_result(workspace: Workspace, open_page: OpenPage) -> None:
    run = synthetic.done(workspace)

    at = healthy(open_page("runs", run=run.id))

    assert at.get("download_button")
    kept = json.loads((workspace.run_dir(run.id) / "result.json").read_text())
    assert RunQueue(workspace).result_of(run.id) == kept


def test_a_waiting_run_can_be_put_first(workspace: Workspace, open_page: OpenPage) -> None:
    synthetic.queued(workspace, "nli")
    last = synthetic.queued(workspace, "vqa")
    at = healthy(open_page("runs", run=last.id))

    at.button(key="run_first").click().run()

    healthy(at)
    assert RunQueue(workspace).waiting()[0].id == last.id


@pytest.mark.parametrize("make", [synthetic.done, synthetic.failed, synthetic.cancelled])
def test_a_run_that_has_ended_can_be_deleted(
    make: Callable[[Workspace], Run], workspace: Workspace, open_page: OpenPage
) -> None:
    other = synthetic.done(workspace, "shape")
    run = make(workspace)
    at = open_page("runs", run=run.id)
    assert "can be restored for 30 days" in texts(at)

    at.button(key="run_delete").click().run()

    healthy(at)
    assert [left.id for left in RunQueue(workspace).list()] == [other.id]
    assert not workspace.run_dir(run.id).exists()
    assert not at.warning
    assert at.header[0].value.startswith("Shape")

    at.button(key="deleted_undo").click().run()

    assert not at.exception
    assert [back.id for back in RunQueue(workspace).list()] == [run.id, other.id]
    assert "deleted_undo" not in [button.key for button in at.button]


def test_a_run_under_way_cannot_be_deleted(workspace: Workspace, open_page: OpenPage) -> None:
    synthetic.running(workspace)

    at = healthy(open_page("runs"))

    assert "run_delete" not in [button.key for button in at.button]


def test_the_last_run_can_be_deleted_too(workspace: Workspace, open_page: OpenPage) -> None:
    synthetic.failed(workspace)
    at = open_page("runs")

    at.button(key="run_delete").click().run()

    healthy(at)
    assert "No runs yet" in texts(at)


def test_a_waiting_run_says_what_it_waits_for_and_can_be_moved(workspace: Workspace, open_page: OpenPage) -> None:
    running = synthetic.running(workspace)
    first, last = synthetic.queued(workspace, "nli"), synthetic.queued(workspace, "vqa")

    at = healthy(open_page("runs", run=last.id))
    assert at.progress[0].text == f"Waits for 1 run before it and the slot, taken by {running.id}"
    at.button(key="run_sooner").click().run()

    assert [run.id for run in RunQueue(workspace).waiting()] == [last.id, first.id]
    assert at.button(key="run_sooner").disabled
    at.button(key="run_later").click().run()
    assert [run.id for run in RunQueue(workspace).waiting()] == [first.id, last.id]


def test_the_queue_can_be_paused_and_goes_on(workspace: Workspace, woken: list[Workspace], open_page: OpenPage) -> None:
    synthetic.queued(workspace, "nli")
    at = healthy(open_page("runs"))

    at.button(key="queue_pause").click().run()

    assert RunQueue(workspace).claim("me") is None
    assert "The queue is paused" in at.warning[0].value
    woken.clear()
    at.button(key="queue_unpause").click().run()
    assert RunQueue(workspace).claim("me") is not None
    assert woken


def test_a_full_disk_is_told(workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic.queued(workspace, "nli")
    monkeypatch.setenv(LEAST_FREE_VARIABLE, "1e12")

    at = healthy(open_page("runs"))

    assert "is full" in at.warning[0].value
    assert "goes on by itself" in at.warning[0].value


def test_a_run_is_duplicated_with_changes(workspace: Workspace, woken: list[Workspace], open_page: OpenPage) -> None:
    run = synthetic.done(workspace, shots=16, seed=0)
    at = open_page("runs", run=run.id)

    at.number_input(key=f"again_seed_{run.id}").set_value(7).run()
    at.number_input(key=f"again_shots_{run.id}").set_value(4).run()
    at.button(key="run_duplicate").click().run()

    (made,) = RunQueue(workspace).waiting()
    assert dict(made.spec.config) == {"target": "digits", "shots": 4, "seed": 7, "backbone": "mini"}
    assert woken


def test_baselines_are_added_to_a_run_that_is_done(
    workspace: Workspace, woken: list[Workspace], open_page: OpenPage
) -> None:
    run = synthetic.done(workspace, baselines=["backbone", "single"])
    at = open_page("runs", run=run.id)
    assert at.button(key="run_grow").disabled

    at.multiselect(key=f"grow_{run.id}").select("full").run()
    at.button(key="run_grow").click().run()

    (made,) = RunQueue(workspace).waiting()
    assert made.spec.config["baselines"] == ["backbone", "single", "full"]
    assert woken


def test_a_batch_is_shown_alone_and_cancelled(workspace: Workspace, open_page: OpenPage) -> None:
    queue = RunQueue(workspace)
    other = synthetic.queued(workspace, "vqa")
    specs = [RunSpec(kind="tune", config={"target": "nli", "seed": seed}) for seed in range(3)]
    ids = queue.submit_all(specs, batch="three-seeds")
    at = open_page("runs")

    at.selectbox(key="runs_batch").select("three-seeds").run()

    assert len(at.dataframe[0].value) == 3
    at.button(key="batch_cancel").click().run()
    assert {queue.get(run_id).state for run_id in ids} == {"cancelled"}
    assert queue.get(other.id).state == "queued"


def test_a_failure_has_a_title_and_a_mend(workspace: Workspace, open_page: OpenPage) -> None:
    run = synthetic.running(workspace)
    RunQueue(workspace).finish(
        run.claim, "failed", failure="out_of_memory", error="32 do not fit", fix="a batch of 8 fits"
    )

    at = open_page("runs", run=run.id)

    assert "There was too little memory" in texts(at)
    assert "32 do not fit" in at.error[0].value
    assert "What helps: a batch of 8 fits" in at.error[0].value


def test_a_damaged_run_hides_no_other_and_can_be_deleted(workspace: Workspace, open_page: OpenPage) -> None:
    whole = synthetic.queued(workspace, "vqa")
    odd = synthetic.queued(workspace, "nli")
    queue = RunQueue(workspace)
    queue.cancel(odd.id)
    with writing(workspace.engine) as connection:
        connection.exec_driver_sql("UPDATE runs SET spec = '[]', done = 'many' WHERE id = ?", (odd.id,))

    at = open_page("runs", run=odd.id)

    assert not at.exception
    assert list(at.dataframe[0].value["State"]) == ["⚠ Damaged", "◌ Waiting"]
    assert "its done is 'many'" in at.error[0].value
    at.button(key="run_delete").click().run()
    assert [run.id for run in queue.list()] == [whole.id]


def test_a_cut_list_says_so_and_goes_on(workspace: Workspace, open_page: OpenPage) -> None:
    for _ in range(3):
        synthetic.queued(workspace, "vqa")
    at = open_page("runs")
    assert not any("of 3 runs" in caption.value for caption in at.caption)
    at.session_state["runs_listed"] = 2
    at.run()
    assert len(at.dataframe[0].value) == 2
    assert any(caption.value == "The newest 2 of 3 runs are listed." for caption in at.caption)
    at.button(key="runs_more").click().run()
    assert len(at.dataframe[0].value) == 3
