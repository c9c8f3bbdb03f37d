"""Runs that differ in their seed only stand together, whenever they were made."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from pituning.reports.reader import by_seeds, seeds_of, seeds_taken
from pituning.runs.spec import RunSpec
from pituning.tuning.config import TuneConfig


def run(name: str, spec: RunSpec, state: str = "succeeded") -> Any:
    return SimpleNamespace(id=name, kind="tune", spec=spec, state=state, active=state == "running")


def test_a_run_from_before_a_setting_had_what_is_its_default() -> None:
    config = TuneConfig(target="digits")
    now = RunSpec.of("tune", config)
    before = replace(now, config={k: v for k, v in now.config.items() if k not in ("own_rank", "vision_tower")})
    before = replace(before, config={**before.config, "seed": 1})
    seeing = RunSpec.of("tune", replace(config, vision_tower=True, seed=2))
    runs = [run("now", now), run("before", before), run("seeing", seeing)]
    assert [[each.id for each in together] for together in by_seeds(runs)] == [["now", "before"], ["seeing"]]
    assert [each.id for each in seeds_of(runs[1], runs)] == ["now", "before"]
    again = run("again", replace(before, config={**before.config, "seed": 3}), "running")
    assert seeds_taken(runs[0], [*runs, again]) == {1: False, 3: True}
