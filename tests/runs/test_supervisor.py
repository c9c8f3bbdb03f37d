"""The supervisor with real processes; `fake_worker` stands in for the work."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from pituning.errors import BadInput
from pituning.runs import processes
from pituning.runs import supervisor as supervisor_module
from pituning.runs.executors.base import Standing
from pituning.runs.executors.local import LocalExecutor
from pituning.runs.processes import is_worker
from pituning.runs.slots import Slot
from pituning.runs.supervisor import Supervisor, ensure_supervisor, supervise, supervisor_running
from pituning.runs.worker import NICENESS
from pituning.workspace.atomic import TEMPORARY_PREFIX, this_place
from pituning.workspace.layout import Workspace
from pituning.workspace.space import LEAST_FREE_VARIABLE


@pytest.fixture(autouse=True)
def fake_worker(monkeypatch):
    monkeypatch.setattr(processes, "WORKER_MODULE", "tests.runs.fake_worker")


@pytest.fixture
def supervisor(workspace):
    made = Supervisor(workspace)
    yield made
    made.stop()


def step_until(supervisor, condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        supervisor.step()
        time.sleep(0.05)


def states(queue, *run_ids) -> list[str]:
    return [queue.get(run_id).state for run_id in run_ids]


@pytest.mark.slow
def test_runs_are_done_one_after_the_other(queue, submit, supervisor, workspace):
    good, bad, lethal = submit("quick"), submit("fail"), submit("die", max_attempts=2)
    step_until(supervisor, lambda: states(queue, good, bad, lethal) == ["succeeded", "failed", "failed"])
    assert supervisor.step() is False
    assert queue.result_of(good)["score"] == 50.0
    assert queue.get(bad).error == "loss is nan at step 3; choose a smaller learning rate"
    assert queue.get(bad).attempt == 1  # what failed for a reason is not tried again by itself
    assert "Traceback" in queue.log_of(bad)
    run = queue.get(lethal)
    assert run.attempt == 2
    assert "the worker was killed (often for lack of memory" in run.error
    begun = [queue.get(run_id).started for run_id in (good, bad, lethal)]
    assert begun == sorted(begun)


@pytest.mark.slow
def test_a_run_whose_worker_died_is_done_in_its_second_attempt(queue, submit, supervisor):
    run_id = submit("die-once")
    step_until(supervisor, lambda: states(queue, run_id) == ["succeeded"])
    assert queue.get(run_id).attempt == 2


def test_what_a_killed_worker_left_half_written_goes(queue, submit, supervisor, workspace):
    run_id = submit("die-writing")
    step_until(supervisor, lambda: queue.get(run_id).pid is not None)
    step_until(supervisor, lambda: states(queue, run_id) == ["succeeded"])
    assert queue.get(run_id).attempt == 2
    assert list(workspace.root.rglob(f"{TEMPORARY_PREFIX}*")) == []


def test_a_supervisor_begins_by_clearing_up(queue, workspace):
    """After a power cut nobody else would."""
    nobody = subprocess.Popen([sys.executable, "-c", ""])
    nobody.wait()
    left = workspace.root / "experts" / f"{TEMPORARY_PREFIX}{this_place()}-{nobody.pid}-x"
    left.mkdir(parents=True)
    supervise(workspace, idle_s=0)
    assert not left.exists()


def test_cancel_ends_the_process(queue, submit, supervisor):
    run_id = submit("long")
    step_until(supervisor, lambda: queue.get(run_id).done > 0)
    pid = queue.get(run_id).pid
    assert psutil.pid_exists(pid)
    queue.cancel(run_id)
    step_until(supervisor, lambda: states(queue, run_id) == ["cancelled"] and supervisor.step() is False)
    assert not psutil.pid_exists(pid)


@pytest.mark.slow
def test_a_worker_gives_way_to_the_app(queue, submit, supervisor):
    run_id = submit("long")
    step_until(supervisor, lambda: queue.get(run_id).done > 0)
    mine, its = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (os.getpid(), queue.get(run_id).pid))
    assert its == min(mine + NICENESS, 19)  # 19 is the lowest priority that there is


@pytest.mark.slow
def test_a_worker_that_does_not_listen_is_killed(queue, submit, supervisor, monkeypatch):
    monkeypatch.setattr(supervisor_module, "TERM_SECONDS", 0.1)
    monkeypatch.setattr(supervisor_module, "KILL_SECONDS", 0.5)
    run_id = submit("deaf")
    step_until(supervisor, lambda: queue.get(run_id).pid is not None)
    queue.cancel(run_id)
    step_until(supervisor, lambda: states(queue, run_id) == ["cancelled"])


@pytest.mark.slow
def test_stopping_gives_the_run_back(queue, submit, supervisor):
    run_id = submit("long", max_attempts=1)
    step_until(supervisor, lambda: queue.get(run_id).done > 0)
    pid, claim = queue.get(run_id).pid, queue.get(run_id).claim
    supervisor.stop()
    assert states(queue, run_id) == ["queued"]
    assert not is_worker(pid, claim)


@pytest.mark.slow
def test_a_worker_outlives_its_supervisor_and_the_next_one_looks_after_it(
    queue, submit, supervisor, workspace, monkeypatch
):
    run_id, waiting = submit("long"), submit("quick")
    step_until(supervisor, lambda: queue.get(run_id).done > 0)
    following = Supervisor(workspace)
    for _ in range(3):
        assert following.step() is True
    assert states(queue, run_id, waiting) == ["running", "queued"]  # it takes up the one slot
    os.killpg(queue.get(run_id).pid, signal.SIGKILL)
    supervisor.executor._children[queue.get(run_id).claim].process.wait()
    supervisor.executor._children.clear()
    following.step()  # at once, not after a minute: the process is gone
    assert queue.get(run_id).attempt == 2
    assert "the worker is gone; queued again" in [e.message for e in queue.events_of(run_id)]
    following.stop()


def test_a_claim_without_a_process_goes_stale(queue, submit, supervisor, monkeypatch):
    run_id = submit("quick")
    queue.claim("somebody who died before the worker began")
    supervisor.step()
    assert states(queue, run_id) == ["running"]
    monkeypatch.setattr(supervisor_module, "STALE_SECONDS", 0.0)
    step_until(supervisor, lambda: states(queue, run_id) == ["succeeded"])
    assert queue.get(run_id).attempt == 2


@pytest.mark.slow
def test_runs_share_the_slots(queue, submit, workspace):
    supervisor = Supervisor(
        workspace, executor=LocalExecutor(workspace, slots=[Slot("gpu 4", "4"), Slot("gpu 7", "7")])
    )
    ids = [submit("long") for _ in range(3)]
    try:
        step_until(supervisor, lambda: all(queue.get(run_id).done > 0 for run_id in ids[:2]))
        assert states(queue, *ids) == ["running", "running", "queued"]
        assert [queue.get(run_id).slot for run_id in ids] == ["gpu 4", "gpu 7", None]
        visible = [psutil.Process(queue.get(run_id).pid).environ()["CUDA_VISIBLE_DEVICES"] for run_id in ids[:2]]
        assert visible == ["4", "7"]
        queue.cancel(ids[0])
        step_until(supervisor, lambda: states(queue, ids[2]) == ["running"])
        assert queue.get(ids[2]).slot == "gpu 4"  # the one that came free
    finally:
        supervisor.stop()


def test_a_process_that_got_the_number_since_is_left_alone(queue, submit, workspace, supervisor):
    """The worker of a run is gone, and a stranger with the same words on its command line has its number."""
    run_id = submit("quick")
    claim = queue.claim("a supervisor that is gone", host=supervisor.host).claim
    code = "import time; time.sleep(600)"
    words = [processes.WORKER_MODULE, run_id, claim.owner, str(claim.attempt)]
    stranger = subprocess.Popen([sys.executable, "-c", code, *words], start_new_session=True)
    try:
        queue.begin(claim, stranger.pid, pid_created=processes.created_at(stranger.pid))
        queue.cancel(run_id)
        step_until(supervisor, lambda: states(queue, run_id) == ["cancelled"])
        assert stranger.poll() is None
        assert is_worker(stranger.pid, claim)
        assert not is_worker(stranger.pid, claim, created=processes.created_at(stranger.pid) - 3600)
    finally:
        stranger.kill()
        stranger.wait()


def forgetful(supervisor) -> LocalExecutor:
    """As the executor of the next supervisor, which has started none of the workers."""
    return LocalExecutor(supervisor.workspace, slots=supervisor.executor.slots)


def test_a_copy_a_move_and_a_clock_that_is_set(queue, submit, supervisor, workspace, tmp_path, monkeypatch):
    """One worker, which a supervisor of a copy leaves alone, an hour changes nothing for, and a move ends."""
    run_id = submit("long")
    step_until(supervisor, lambda: queue.get(run_id).done > 0)
    run = queue.get(run_id)
    pid = run.pid
    assert forgetful(supervisor).standing(run) is Standing.ALIVE

    # The clock is set by an hour: psutil tells the starts of processes by it.
    created = psutil.Process.create_time
    for hour in (-3600, 3600):
        monkeypatch.setattr(psutil.Process, "create_time", lambda self, hour=hour: created(self) + hour)
        assert forgetful(supervisor).standing(run) is Standing.ALIVE

    # A copy in the middle of the run: cancelled and ended there, and given to another worker there.
    copy = Workspace(shutil.copytree(workspace.root, tmp_path / "copy"), embedded=workspace.embedded)
    theirs = Supervisor(copy)
    theirs.queue.cancel(run_id)
    theirs.executor.end(theirs.queue.get(run_id), at_once=True)
    theirs.step()
    assert states(theirs.queue, run_id) == ["cancelled"]
    theirs.queue.resume(run_id)
    step_until(theirs, lambda: theirs.queue.get(run_id).done > 0)
    assert theirs.queue.get(run_id).pid != pid
    theirs.stop()
    assert is_worker(pid, run.claim)
    assert queue.get(run_id).attempt == 1

    # The directory is moved: the worker stops and writes nothing to the old place; the next one goes on in the new one.
    supervisor.executor = forgetful(supervisor)  # it has been killed
    moved = Workspace(workspace.root.rename(tmp_path / "moved"), embedded=workspace.embedded)
    following = Supervisor(moved)
    assert following.executor.standing(run) is Standing.ALIVE
    deadline = time.monotonic() + 60
    while is_worker(pid, run.claim) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not workspace.root.exists()
    step_until(following, lambda: following.queue.get(run_id).attempt == 2)
    step_until(following, lambda: following.queue.get(run_id).done > 0)
    following.stop()
    assert "has been moved" in following.queue.log_of(run_id)
    assert list(moved.run_dir(run_id).glob("worker-*.lock")) == []
    theirs.workspace.engine.dispose()
    moved.engine.dispose()


def test_a_supervisor_leaves_a_workspace_that_is_moved(queue, submit, workspace, tmp_path, capsys):
    submit("long")
    moves = threading.Timer(3.0, lambda: workspace.root.rename(tmp_path / "moved"))
    moves.start()
    supervise(workspace)
    assert "has been moved" in capsys.readouterr().out
    assert not workspace.root.exists()


@pytest.mark.slow
def test_what_a_dead_worker_left_behind_is_ended(queue, submit, supervisor):
    run_id = submit("parent")
    step_until(supervisor, lambda: (supervisor.workspace.run_dir(run_id) / "child").exists())
    step_until(supervisor, lambda: states(queue, run_id) == ["failed"])
    child = int((supervisor.workspace.run_dir(run_id) / "child").read_text())
    step_until(supervisor, lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")


@pytest.mark.slow
def test_a_run_on_another_host_is_known_by_its_heartbeat_alone(queue, submit, supervisor, monkeypatch):
    monkeypatch.setattr(supervisor_module, "STALE_SECONDS", 1e9)
    run_id, here = submit("quick"), submit("quick")
    claim = queue.claim("another supervisor", host="far-away").claim
    queue.begin(claim, os.getpid())  # a number that means another process there
    step_until(supervisor, lambda: states(queue, here) == ["succeeded"])  # it takes none of the slots here
    assert states(queue, run_id) == ["running"]
    monkeypatch.setattr(supervisor_module, "STALE_SECONDS", 0.0)
    step_until(supervisor, lambda: states(queue, run_id) == ["succeeded"])
    assert "nothing was heard from far-away" in " ".join(e.message for e in queue.events_of(run_id))


@pytest.mark.slow
def test_a_machine_that_slept_kills_nothing(queue, submit, supervisor, monkeypatch):
    """Heartbeats are hours old by the calendar, and not a second by the clock that stands still in sleep."""
    run_id = submit("long")
    step_until(supervisor, lambda: queue.get(run_id).done > 0)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 8 * 3600)
    for _ in range(3):
        supervisor.step()
    assert states(queue, run_id) == ["running"]
    assert queue.get(run_id).attempt == 1


def test_nothing_starts_while_the_disk_is_full(queue, submit, supervisor, monkeypatch):
    run_id = submit("quick")
    monkeypatch.setenv(LEAST_FREE_VARIABLE, "1e12")
    assert supervisor.step() is True
    assert states(queue, run_id) == ["queued"]
    monkeypatch.setenv(LEAST_FREE_VARIABLE, "0")
    step_until(supervisor, lambda: states(queue, run_id) == ["succeeded"])


def test_one_supervisor_per_workspace(workspace, monkeypatch):
    monkeypatch.setattr(supervisor_module, "LOCK_SECONDS", 0.1)
    stop = threading.Event()
    thread = threading.Thread(target=supervise, args=(workspace,), kwargs={"stop": stop})
    assert not supervisor_running(workspace)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not supervisor_running(workspace) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert supervisor_running(workspace)
        assert ensure_supervisor(workspace) is False
        with pytest.raises(BadInput, match="another worker is busy"):
            supervise(workspace)
    finally:
        stop.set()
        thread.join()
    assert not supervisor_running(workspace)


@pytest.mark.slow
def test_an_idle_supervisor_goes_but_not_from_waiting_runs(queue, submit, workspace, monkeypatch):
    monkeypatch.setattr(supervisor_module, "POLL_SECONDS", 0.05)
    run_id = submit("quick")
    supervise(workspace, idle_s=0.0)
    assert states(queue, run_id) == ["succeeded"]


def test_a_paused_queue_lets_its_supervisor_go(queue, submit, workspace, monkeypatch):
    monkeypatch.setattr(supervisor_module, "POLL_SECONDS", 0.05)
    run_id = submit("quick")
    queue.pause("over the weekend")
    supervise(workspace, idle_s=0.0)
    assert ensure_supervisor(workspace) is False
    assert states(queue, run_id) == ["queued"]
    queue.unpause()
    supervise(workspace, idle_s=0.0)
    assert states(queue, run_id) == ["succeeded"]


@pytest.mark.slow
def test_the_supervisor_is_a_process_that_outlives_the_one_that_started_it(workspace, queue):
    code = (
        "import sys; from pituning.runs.supervisor import ensure_supervisor\n"
        "from pituning.workspace.layout import Workspace\n"
        "workspace = Workspace.open(sys.argv[1]); print(ensure_supervisor(workspace))"
    )
    command = [sys.executable, "-c", code, str(workspace.root)]

    def start() -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def wait_until(running: bool) -> None:
        deadline = time.monotonic() + 120
        while supervisor_running(workspace) != running:
            assert time.monotonic() < deadline, (workspace.root / "supervisor.log").read_text()
            time.sleep(0.05)

    assert start() == "True"
    wait_until(True)
    assert start() == "False"
    wanted = {"pituning.runs.supervisor", str(workspace.root)}
    (process,) = (p for p in psutil.process_iter(["cmdline"]) if wanted <= set(p.info["cmdline"] or ()))
    process.terminate()
    wait_until(False)
