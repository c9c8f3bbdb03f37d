"""Named budgets: settings that go together, which a run, the command line and the form take alike."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from pituning.backbones.places import REFERENCE_WIDTH, Places
from pituning.errors import BadInput
from pituning.experts.kinds import KINDS
from pituning.tuning.budgets import BUDGETS, budget_settings, usual_budget
from pituning.tuning.config import TuneConfig
from pituning.workspace.layout import embedded_data

MINI = embedded_data() / "backbones" / "mini"  # type: ignore[operator]


@pytest.mark.parametrize("name", BUDGETS)
def test_a_budget_is_a_configuration(name: str) -> None:
    config = TuneConfig(target="any", **budget_settings(name, "lora", MINI))
    assert config == TuneConfig(**{**asdict(config), "target": "any"})


def test_the_full_one_is_what_is_usual_and_the_short_one_takes_the_usual_rate_of_the_backbone(tmp_path: Path) -> None:
    assert budget_settings("full", "lora", MINI) == {}
    (rate,) = budget_settings("short", "lora", MINI)["learning_rates"]
    config = TuneConfig(target="any")
    assert rate == config.rates("single", Places.read(MINI).rate_factor)[1] == KINDS["lora"].rate
    places = json.loads((MINI / "places.json").read_text()) | {"width": 4 * REFERENCE_WIDTH}
    (tmp_path / "places.json").write_text(json.dumps(places))
    assert budget_settings("short", "lora", tmp_path)["learning_rates"] == (rate / 4,)


def test_large_models_are_offered_a_shorter_one() -> None:
    assert [usual_budget(count, "language") for count in (0, 2_200_000, 134_500_000)] == ["full", "full", "short"]
    assert [usual_budget(count, "vision") for count in (2_200_000, 134_500_000)] == ["full", "medium"]
    with pytest.raises(BadInput, match="unknown budget 'shrt'; did you mean short"):
        budget_settings("shrt", "lora", MINI)
