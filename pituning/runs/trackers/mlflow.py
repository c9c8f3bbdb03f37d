"""An MLflow server or store: the one that MLflow's own variables name.

`MLFLOW_TRACKING_URI` is required (an ``https://`` address, ``sqlite:///…`` or ``file:…``); `MLFLOW_EXPERIMENT_NAME` and
the variables for signing in are MLflow's. Torch-free.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from pituning.runs.records import Run
from pituning.runs.trackers.base import TimedPoint, TrackerError

URI_VARIABLE = "MLFLOW_TRACKING_URI"
EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_NAME"
EXPERIMENT = "pituning"
TAG = "pituning.run"
_STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
_UNUSABLE = re.compile(r"[^\w./ -]")
_MOST_AT_ONCE = 1000
_LONGEST = 5000
# A server that does not answer is tried again with the next points, not for minutes on end; and MLflow itself is not to
# tell its makers who uses it.
_MANNERS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_DISABLE_TELEMETRY": "true",
}  # fmt: skip


class MlflowTracker:
    """Writes to MLflow; a later attempt of a run goes on in the same MLflow run, which it finds by its tag.

    Raises:
        TrackerError: the package is not installed, or no server is named.
    """

    def __init__(self) -> None:
        if not os.environ.get(URI_VARIABLE):
            raise TrackerError(f"no MLflow server is named; set {URI_VARIABLE}, for example to http://127.0.0.1:5000")
        for name, value in _MANNERS.items():
            os.environ.setdefault(name, value)
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
        except ImportError as error:
            raise TrackerError("MLflow is not installed; pip install 'pituning-studio[mlflow]'") from error
        self._client, self._metric, self._param = MlflowClient(os.environ[URI_VARIABLE]), Metric, Param
        self._id = ""

    def start(self, run: Run) -> None:
        experiment = self._experiment(os.environ.get(EXPERIMENT_VARIABLE) or EXPERIMENT)
        earlier = self._client.search_runs([experiment], f"tags.`{TAG}` = '{run.id}'", max_results=1)
        if earlier:
            self._id = earlier[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            tags = {TAG: run.id, "pituning.kind": run.kind, "pituning.command": run.spec.command()}
            if run.batch:
                tags["pituning.batch"] = run.batch
            self._id = self._client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
            settings = [self._param(key, str(value)[:_LONGEST]) for key, value in run.spec.config.items()]
            self._client.log_batch(self._id, params=settings)

    def metrics(self, points: Sequence[TimedPoint]) -> None:
        logged = [
            self._metric(_UNUSABLE.sub("-", f"{p.point.series}/{p.point.name}"), p.point.value, int(1000 * p.time),
                         p.point.step)
            for p in points
        ]  # fmt: skip
        for first in range(0, len(logged), _MOST_AT_ONCE):
            self._client.log_batch(self._id, metrics=logged[first : first + _MOST_AT_ONCE])

    def finish(self, state: str, error: str | None) -> None:
        if error is not None:
            self._client.set_tag(self._id, "pituning.error", error[:_LONGEST])
        if state in _STATUS:
            self._client.set_terminated(self._id, _STATUS[state])
        else:
            self._client.update_run(self._id, status="SCHEDULED")

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException:  # another run may have been first
                experiment = self._client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        return str(experiment.experiment_id)
