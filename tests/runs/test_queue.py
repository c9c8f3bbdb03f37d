"""The queue's contract on SQLite and PostgreSQL: exactly one owner, writes only under a valid claim, nothing lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from pituning.errors import BadInput
from pituning.runs.attempts import remove_checkpoints, take_over
from pituning.runs.naming import number_of
from pituning.runs.queue import LostClaimError, RunQueue
from pituning.runs.records import AlphaPoint, CurvePoint, RunEvent
from pituning.runs.spec import RunSpec
from pituning.workspace.layout import Workspace

pytestmark = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)

PROGRESS = {"phase": "train", "done": 1, "total": 2, "eta_s": 3.0}


def test_a_run_goes_through_the_queue(queue, submit):
    run_id = submit()
    run = queue.get(run_id)
    assert (run.state, run.attempt, run.name, run.kind) == ("queued", 0, "train digits", "train")
    taken = queue.claim("me")
    assert (taken.id, taken.state, taken.attempt, taken.owner) == (run_id, "running", 1, "me")
    assert queue.claim("you") is None
    queue.begin(taken.claim, 4711)
    assert queue.report(taken.claim, progress=PROGRESS) is False
    run = queue.get(run_id)
    assert (run.pid, run.phase, run.done, run.total, run.eta_s) == (4711, "train", 1, 2, 3.0)
    assert run.fraction(now=run.started + 3.0) == pytest.approx(0.5)
    queue.finish(taken.claim, "succeeded", result_path=f"runs/{run_id}/result.json")
    run = queue.get(run_id)
    assert (run.state, run.active, run.fraction(), run.eta_s) == ("succeeded", False, 1.0, None)
    assert [e.message for e in queue.events_of(run_id)] == ["queued", "attempt 1 begins", "succeeded"]


def test_order_is_priority_then_age(queue, submit):
    first, second, third = submit("a"), submit("b"), submit("c", priority=1)
    assert [r.id for r in queue.waiting()] == [third, first, second]
    queue.move_first(second)
    assert [r.id for r in queue.waiting()] == [second, third, first]
    assert [queue.claim("me").id for _ in range(3)] == [second, third, first]
    assert [r.id for r in queue.list()] == [third, second, first]
    with pytest.raises(BadInput, match="is running; only a queued run can be moved"):
        queue.move_first(first)


def test_every_run_is_claimed_once(workspace, submit):
    runs = {submit(f"r{i}") for i in range(24)}
    claimed: list[str] = []

    def take() -> None:
        own = RunQueue(Workspace.open(workspace.root))  # an engine of its own, as another process has
        while own.waiting():  # whoever finds the last runs locked by others may get none
            run = own.claim(threading.current_thread().name)
            if run is not None:
                claimed.append(run.id)
        own.workspace.engine.dispose()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 24
    assert set(claimed) == runs


def test_a_worker_that_lost_its_claim_changes_nothing(queue, submit):
    run_id = submit()
    old = queue.claim("old").claim
    assert queue.lost(old, "the worker is gone") == "queued"
    new = queue.claim("new").claim
    assert new.attempt == 2
    before = queue.get(run_id)
    for write in (
        lambda: queue.begin(old, 1),
        lambda: queue.report(old, progress=PROGRESS, metrics=[CurvePoint("s", 1, "loss", 1.0)]),
        lambda: queue.finish(old, "failed", error="late"),
        lambda: queue.release(old),
    ):
        with pytest.raises(LostClaimError):
            write()
    assert queue.lost(old, "again") == "running"
    assert queue.get(run_id) == before
    assert queue.curves_of(run_id) == []
    queue.report(new, progress=PROGRESS)


def test_a_run_is_given_up_after_its_last_attempt(queue, submit):
    run_id = submit(max_attempts=2)
    for state in ("queued", "failed"):
        assert queue.lost(queue.claim("me").claim, "the worker is gone") == state
    run = queue.get(run_id)
    assert run.error == "the worker is gone in attempt 2 of 2; see the log, then retry"
    assert run.finished is not None


def test_release_does_not_count_the_attempt(queue, submit):
    run_id = submit(max_attempts=1)
    queue.release(queue.claim("me").claim)
    assert queue.lost(queue.claim("me").claim, "gone") == "failed"
    assert queue.get(run_id).attempt == 2


def test_cancel(queue, submit):
    waiting, running = submit("b"), submit("a", priority=1)
    claim = queue.claim("me").claim
    assert queue.cancel(waiting) == "cancelled"
    assert queue.cancel(running) == "running"
    assert queue.cancel(running) == "running"
    assert queue.report(claim, progress=PROGRESS) is True
    queue.finish(claim, "cancelled")
    assert queue.cancel(running) == "cancelled"
    assert queue.get(running).state == "cancelled"
    assert queue.claim("me") is None


def test_a_cancelled_run_whose_worker_died_is_cancelled(queue, submit):
    run_id = submit()
    claim = queue.claim("me").claim
    queue.cancel(run_id)
    assert queue.lost(claim, "gone") == "cancelled"


def test_resume_keeps_and_retry_clears(queue, submit, workspace):
    run_id = submit(max_attempts=1)
    claim = queue.claim("me").claim
    queue.report(
        claim, progress=PROGRESS,
        metrics=[CurvePoint("pi", 2, "score", 61.0), *(CurvePoint("pi", s, "loss", 1.0 / s) for s in (1, 2, 3))],
        alphas=[AlphaPoint(1, ("s",), ("a", "b"), ((0.5, 0.5),))],
    )  # fmt: skip
    with pytest.raises(BadInput, match="is running; only a failed or cancelled run can start again"):
        queue.resume(run_id)
    queue.finish(claim, "failed", error="no")
    checkpoint = take_over(workspace.run_dir(run_id), claim.attempt)
    queue.resume(run_id)
    run = queue.get(run_id)
    assert (run.state, run.error, run.finished, run.cancel_requested) == ("queued", None, None, False)
    assert len(queue.curves_of(run_id)) == 4
    assert checkpoint.exists()
    again = queue.claim("me").claim
    assert again.attempt == 2
    # The second attempt goes on at step 2: what the first wrote from there on goes.
    queue.report(again, progress=PROGRESS, metrics=[CurvePoint("pi", 2, "loss", 9.0)], restart={("pi", "loss"): 2})
    assert [(p.name, p.step, p.value) for p in queue.curves_of(run_id)] == [
        ("score", 2, 61.0), ("loss", 1, 1.0), ("loss", 2, 9.0)
    ]  # fmt: skip
    queue.finish(again, "cancelled")
    queue.retry(run_id)
    assert queue.curves_of(run_id) == []
    assert queue.alphas_of(run_id) == []
    assert not checkpoint.exists()
    assert queue.claim("me").attempt == 3


def test_curves_weights_and_events_are_kept(queue, submit):
    run_id, other = submit("a"), submit("b")
    claim = queue.claim("me").claim
    points = [
        CurvePoint("pi", 1, "loss", 0.5),
        CurvePoint("pi", 1, "score", 61.0),
        CurvePoint("single", 1, "loss", 2),
    ]
    weights = [AlphaPoint(s, ("enc.0", "dec.0"), ("own", "nli"), ((0.5, 0.5), (0.25, 0.75))) for s in (0, 10)]
    queue.report(
        claim, progress=PROGRESS, metrics=[*points, CurvePoint("pi", 2, "loss", float("nan"))], alphas=weights,
        events=[RunEvent(7.0, "hello")],
    )  # fmt: skip
    assert queue.curves_of(run_id) == points  # what is not a number is no point of a curve
    assert queue.alphas_of(run_id) == weights
    assert queue.alphas_of(run_id, last=1) == weights[1:]
    assert queue.events_of(run_id)[-1] == RunEvent(7.0, "hello")
    assert queue.curves_of(other) == []


def test_unknown_runs_are_told(queue, submit):
    run_id = submit()
    with pytest.raises(BadInput, match=f"unknown run '{run_id[:-1]}'; did you mean {run_id}"):
        queue.get(run_id[:-1])
    for ask in (queue.cancel, queue.resume, queue.retry, queue.log_of, queue.result_of):
        with pytest.raises(BadInput, match="unknown run 'nope'"):
            ask("nope")


def test_bad_settings_never_reach_the_queue(queue):
    with pytest.raises(BadInput):
        queue.submit(RunSpec(kind="train", config={"task": "digits", "shots": -1}))
    assert queue.list() == []


def test_log_tail(queue, submit, workspace):
    run_id = submit()
    assert queue.log_of(run_id) == ""
    workspace.run_dir(run_id).mkdir(parents=True)
    (workspace.run_dir(run_id) / "log.txt").write_text("\n".join(f"line {i}" for i in range(1000)))
    assert queue.log_of(run_id, lines=2) == "line 998\nline 999"


def test_runs_survive_the_process_that_queued_them(workspace):
    code = (
        "import sys; from pituning.runs.queue import RunQueue; from pituning.runs.spec import RunSpec\n"
        "from pituning.workspace.layout import Workspace\n"
        "queue = RunQueue(Workspace.open(sys.argv[1]))\n"
        "print(queue.submit(RunSpec(kind='embed', config={'tasks': ['nli']})))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(workspace.root)], capture_output=True, text=True, check=True)
    assert RunQueue(workspace).get(done.stdout.strip()).state == "queued"


def test_a_batch_is_queued_whole_or_not_at_all(queue):
    good = RunSpec(kind="train", config={"task": "digits"})
    with pytest.raises(BadInput):
        queue.submit_all([good, RunSpec(kind="train", config={"task": "digits", "shots": -1})], batch="sweep")
    with pytest.raises(BadInput, match="batch 'A sweep' cannot be used"):
        queue.submit_all([good], batch="A sweep")
    assert queue.list() == []
    ids = queue.submit_all([good, good, good], batch="sweep")
    queue.submit(good)
    assert [run.id for run in queue.list(batch="sweep")] == ids[::-1]
    assert [run.id for run in queue.waiting()][:3] == ids
    assert queue.counts() == {"queued": 4}


@pytest.mark.parametrize("place", [1, 2, 3, 4, 9])
def test_a_run_is_moved_to_its_place(queue, submit, place):
    ids = [submit(name) for name in "abcd"]
    queue.move(ids[2], place)
    expected = [*ids[:2], ids[3]]
    expected.insert(place - 1, ids[2])  # as a list of Python does it
    assert [run.id for run in queue.waiting()] == expected
    assert queue.place(ids[2]) == min(place, 4)
    assert queue.place("nope") is None


def test_moving_between_two_runs_never_runs_out_of_room(queue, submit):
    order = [submit(name) for name in "abc"]
    for _ in range(80):  # halving a gap 80 times is more than a double can hold
        queue.move(order[2], 2)
        order = [order[0], order[2], order[1]]
        assert [run.id for run in queue.waiting()] == order


def test_a_moved_run_takes_the_priority_of_its_neighbours(queue, submit):
    low, high, last = submit("a"), submit("b", priority=5), submit("c")
    queue.move(last, 1)
    assert [(run.id, run.priority) for run in queue.waiting()] == [(last, 5), (high, 5), (low, 0)]
    queue.set_priority(low, 9)
    assert queue.claim("me").id == low
    with pytest.raises(BadInput, match="is running; only a queued run has a priority"):
        queue.set_priority(low, 1)


def test_a_paused_queue_hands_out_nothing(queue, submit):
    run_id = submit()
    queue.pause("maintenance")
    queue.pause("maintenance of the disk")
    assert queue.claim("me") is None
    assert queue.setting("paused")["reason"] == "maintenance of the disk"
    queue.unpause()
    assert queue.claim("me").id == run_id


def test_a_duplicate_has_the_settings_but_for_the_changes(queue, submit):
    run_id = submit("mine", priority=2)
    again = queue.get(queue.duplicate(run_id, {"shots": 8}))
    assert dict(again.spec.config) == {"task": "digits", "shots": 8, "name": "mine", "backbone": "mini"}
    assert (again.state, again.attempt, again.priority) == ("queued", 0, 2)
    assert queue.get(run_id).spec.config["shots"] == 4
    with pytest.raises(BadInput, match="train has no setting 'shorts'"):
        queue.duplicate(run_id, {"shorts": 8})


def test_a_tuning_that_is_done_is_given_more_baselines(queue, workspace):
    spec = RunSpec(kind="tune", config={"target": "digits", "shots": 4, "baselines": ["backbone", "single"]})
    run_id = queue.submit(spec, priority=2)
    claim = queue.claim("me").claim
    point, weights = CurvePoint("pi", 1, "loss", 0.5), AlphaPoint(1, ("s",), ("own", "nli"), ((0.5, 0.5),))
    queue.report(claim, progress=PROGRESS, metrics=[point], alphas=[weights])
    with pytest.raises(BadInput, match="is running; more can be added to a tuning that has succeeded"):
        queue.extend(run_id, ["full"])
    kept = take_over(workspace.run_dir(run_id), claim.attempt)
    (kept / "choice-single.json").write_text("{}")
    (kept / "unsaved-1").write_text("in the database by now")
    queue.finish(claim, "succeeded")

    more = queue.get(queue.extend(run_id, ["full", "single"]))

    assert more.spec.config == {**spec.config, "baselines": ["backbone", "single", "full"]}
    assert (more.state, more.attempt, more.priority) == ("queued", 0, 2)
    assert (queue.curves_of(more.id), queue.alphas_of(more.id)) == ([point], [weights])
    assert queue.events_of(more.id)[-1].message == f"queued to go on from {run_id}"
    claim = queue.claim("me").claim
    assert [path.name for path in take_over(workspace.run_dir(more.id), claim.attempt).iterdir()] == [
        "choice-single.json"
    ]
    assert list((workspace.run_dir(more.id) / "checkpoint").iterdir()) == []
    assert (kept / "choice-single.json").exists()
    assert queue.curves_of(run_id) == [point]

    # One from before there was anything to add to has kept nothing.
    remove_checkpoints(workspace.run_dir(run_id))
    anew = queue.extend(run_id, ["bitfit"])
    assert queue.events_of(anew)[-1].message.endswith(f"{run_id}, of which nothing is left to go on from")
    assert queue.curves_of(anew) == []
    for names, words in ((["single"], "nothing to add .* it has backbone, single"), (["pull"], "unknown baseline")):
        with pytest.raises(BadInput, match=words):
            queue.extend(run_id, names)
    counted = queue.submit(RunSpec(kind="count", config={"upto": 1}))
    with pytest.raises(BadInput, match="is of kind count"):
        queue.extend(counted, ["full"])
    assert len(queue.list()) == 4


def test_no_two_runs_that_nobody_named_have_the_same_name(queue, submit):
    specs = [RunSpec(kind="train", config={"task": task, "name": "x"}) for task in ("digits", "digits-2", "digits")]
    names = [queue.get(run_id).name for run_id in queue.submit_all(specs)]
    assert names == ["train digits", "train digits-2", "train digits 2"]
    named = submit(name="mine")
    assert queue.get(named).name == "train digits 3"
    assert queue.get(queue.duplicate(named, {})).name == "train digits 4"
    own = queue.submit(specs[0], name="the best one")
    assert [number_of(queue.get(run_id)) for run_id in (named, own)] == [3, 0]
    assert queue.get(queue.duplicate(own, {})).name == "the best one"
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(lambda _: queue.submit(specs[1]), range(8)))
    assert len({queue.get(run_id).name for run_id in runs}) == 8


def test_a_claim_says_where_and_by_which_process(queue, submit):
    run_id = submit()
    claim = queue.claim("me", slot="gpu 1", host="box").claim
    queue.begin(claim, 4711, pid_created=12.5)
    run = queue.get(run_id)
    assert (run.slot, run.host, run.pid, run.pid_created) == ("gpu 1", "box", 4711, 12.5)
    queue.finish(claim, "failed", failure="nan_loss", error="no", fix="yes")
    run = queue.get(run_id)
    assert (run.failure, run.error, run.fix, run.pid, run.slot) == ("nan_loss", "no", "yes", None, None)


def test_the_events_tell_where_each_attempt_was(queue, submit):
    run_id = submit()
    first = queue.claim("me", slot="ray", host="head").claim
    queue.begin(first, 4711, host="node-7")
    queue.begin(first, 4711, host="node-7")
    queue.lost(first, "its node died")
    second = queue.claim("me", slot="ray", host="head").claim
    queue.begin(second, 4712, host="head")
    told = [event.message for event in queue.events_of(run_id)]
    assert told[1:] == [
        "attempt 1 begins in slot ray", "attempt 1 is on node-7", "its node died; queued again",
        "attempt 2 begins in slot ray",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_killed_writer_leaves_all_or_nothing(workspace, queue):
    """A process that queues single runs and batches is killed in the midst, again and again."""
    code = (
        "import sys; from pituning.runs.queue import RunQueue; from pituning.runs.spec import RunSpec\n"
        "from pituning.workspace.layout import Workspace\n"
        "queue = RunQueue(Workspace.open(sys.argv[1])); spec = RunSpec(kind='embed', config={'tasks': ['nli']})\n"
        "print('ready', flush=True); n = 0\n"
        "while True: n += 1; queue.submit_all([spec] * 7, batch=f'b{n}-' + sys.argv[2])"
    )
    for number in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(workspace.root), str(number)], stdout=subprocess.PIPE
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.15)
        process.kill()
        process.wait()
        process.stdout.close()
    sizes = Counter(run.batch for run in queue.list(limit=100_000))
    assert sizes
    assert set(sizes.values()) == {7}


def test_what_people_were_told_survives_a_power_cut(queue, submit):
    """SQLite waits for the disk but for heartbeats; PostgreSQL does by itself."""
    if queue.workspace.engine.dialect.name == "postgresql":
        with queue.workspace.engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        return
    levels: list[int] = []  # of each transaction that is committed: 1 is NORMAL, 2 FULL

    def note_level(connection):
        levels.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())

    sa.event.listen(queue.workspace.engine, "commit", note_level)
    run_id = submit()
    claim = queue.claim("me").claim
    for _ in range(2):
        queue.report(claim, progress=PROGRESS)
    queue.cancel(run_id)
    queue.finish(claim, "cancelled")
    queue.forget(run_id)
    assert levels == [2, 2, 1, 1, 2, 2, 2]
