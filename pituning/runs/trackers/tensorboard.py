"""TensorBoard event files: one directory for each run and in it one for each series, so that series share a chart.

They lie in ``tensorboard/`` of the workspace, or where `PITUNING_TENSORBOARD_DIR` says; look at them with
``tensorboard --logdir workspace/tensorboard``. Torch-free.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from typing import Any

from pituning.runs.records import Run
from pituning.runs.trackers.base import TimedPoint, TrackerError
from pituning.workspace.layout import Workspace
from pituning.workspace.paths import expanded

DIRECTORY_VARIABLE = "PITUNING_TENSORBOARD_DIR"
_UNUSABLE = re.compile(r"[^A-Za-z0-9._-]+")


class TensorBoardTracker:
    """Writes event files.

    Args:
        workspace: under which they lie, unless `PITUNING_TENSORBOARD_DIR` names another place.

    Raises:
        TrackerError: the package is not installed.
    """

    def __init__(self, workspace: Workspace):
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.plugins.text.summary_v2 import text_pb
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise TrackerError("TensorBoard is not installed; pip install 'pituning-studio[tensorboard]'") from error
        self._events, self._summaries, self._text, self._open = event_pb2, summary_pb2, text_pb, EventFileWriter
        given = os.environ.get(DIRECTORY_VARIABLE) or "tensorboard"
        self._root = workspace.root / expanded(given)
        self._writers: dict[str, Any] = {}

    def start(self, run: Run) -> None:
        self._directory = self._root / run.id
        self._resumed = run.attempt > 1
        if not self._resumed:
            settings = json.dumps({"kind": run.kind, **run.spec.config}, indent=1, ensure_ascii=False)
            words = f"`{run.spec.command()}`\n\n```\n{settings}\n```"
            writer = self._open(str(self._directory))
            writer.add_event(self._events.Event(wall_time=run.started, summary=self._text("settings", words)))
            writer.close()

    def metrics(self, points: Sequence[TimedPoint]) -> None:
        for timed in points:
            point = timed.point
            value = self._summaries.Summary.Value(tag=point.name, simple_value=point.value)
            event = self._events.Event(
                wall_time=timed.time, step=point.step, summary=self._summaries.Summary(value=[value])
            )
            self._writer(point.series, timed).add_event(event)
        for writer in self._writers.values():
            writer.flush()

    def finish(self, state: str, error: str | None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, series: str, first: TimedPoint) -> Any:
        name = _UNUSABLE.sub("-", series) or "-"
        if name not in self._writers:
            writer = self._writers[name] = self._open(str(self._directory / name))
            if self._resumed:
                # Tells readers to forget what an earlier attempt, which got further, wrote from here on.
                log = self._events.SessionLog(status=self._events.SessionLog.START)
                writer.add_event(self._events.Event(wall_time=first.time, step=first.point.step, session_log=log))
        return self._writers[name]
