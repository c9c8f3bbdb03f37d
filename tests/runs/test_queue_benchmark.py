"""The short form of `benchmarks.queue`, and what keeps the page's query fast."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from benchmarks.queue import measure
from pituning.runs.store import ORDER, RUNS


@pytest.mark.slow
def test_no_run_is_handed_out_twice(postgres):
    report = measure(runs=120, workers=3, table=300)
    assert set(report) == {"sqlite", "postgresql"}
    for actual in report.values():
        assert (actual["double_claims"], actual["missing"], actual["table"]) == (0, 0, 300)
        assert actual["claims_per_second"] > 0


def test_queries_of_the_queue_and_of_the_page_use_an_index(workspace):
    page = sa.select(RUNS).order_by(RUNS.c.created.desc(), RUNS.c.id.desc()).limit(200)
    claim = sa.select(RUNS.c.id).where(RUNS.c.state == "queued").order_by(*ORDER).limit(1)
    batch = sa.select(RUNS).where(RUNS.c.batch == "first")
    for query, index in ((page, "runs_created"), (claim, "runs_queue"), (batch, "runs_batch")):
        text = str(query.compile(workspace.engine, compile_kwargs={"literal_binds": True}))
        with workspace.engine.connect() as connection:
            plan = " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
        assert f"INDEX {index}" in plan
        if query is not batch:
            assert "TEMP B-TREE" not in plan  # read in the order of the index, not sorted
