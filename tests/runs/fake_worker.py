"""A worker process whose work needs no torch: what it does is told by the expert name in the run's settings."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from pituning.errors import RunFailed
from pituning.runs import worker
from pituning.workspace.atomic import atomic_directory


def work(run, workspace, reporter):
    what = run.spec.config["name"]
    (workspace.run_dir(run.id) / f"attempt-{run.attempt}").write_text(str(os.getpid()))
    if what == "die":
        os.kill(os.getpid(), 9)
    if what == "die-once" and run.attempt == 1:
        os.kill(os.getpid(), 9)
    if what == "die-writing" and run.attempt == 1:
        with atomic_directory(workspace.zoo().new_expert_dir("lora", "half")) as folder:
            (folder / "half.txt").write_text("ha")
            os.kill(os.getpid(), 9)
    if what == "parent":  # a process of its own that does not end with it
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (workspace.run_dir(run.id) / "child").write_text(str(child.pid))
        raise RunFailed("leaves a process behind")
    if what == "fail":
        raise RunFailed("loss is nan at step 3; choose a smaller learning rate")
    if what == "deaf":
        reporter.interrupt = lambda: None
        time.sleep(600)
    steps = 3000 if what == "long" else 2
    reporter.phase("train single", steps)
    for step in range(steps):
        if what == "long":
            time.sleep(0.02)
        reporter.curve("single", step, {"loss": 1.0 / (step + 1)})
        reporter.advance()
    return {"score": 50.0, "cwd": str(Path.cwd())}


if __name__ == "__main__":
    worker.work_on = work
    sys.exit(worker.main())
