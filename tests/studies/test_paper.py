"""The paper's tables: its figures are whole, stand beside what was measured, and are run on tiny data."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pituning import cli
from pituning.commands import study_paper
from pituning.errors import BadInput
from pituning.graph.predict import most_similar
from pituning.graph.predictors import PREDICTORS
from pituning.graph.text import task_text
from pituning.registry import load
from pituning.runs.spec import RunSpec
from pituning.studies import lowshot
from pituning.studies.lowshot import Places, measure_lowshot
from pituning.studies.paper import TABLES, paper_figures, table_rows, targets_of, usual_methods, usual_seeds
from pituning.tasks.adding import AddOptions
from pituning.tasks.catalogue import CATALOGUE
from pituning.tasks.hub_adding import HubOptions, plan_remote
from pituning.tasks.metrics import Guessing
from pituning.tasks.registry import TaskSource
from pituning.tasks.saved import save_task
from pituning.workspace.layout import Workspace
from pituning.workspace.lowshot import ALL_SHOTS, COLUMNS, read_lowshot
from tests.tasks.paper_data import needs_images, pretend_hub, write_images


def test_figures_are_those_whose_means_the_paper_prints() -> None:
    figures = paper_figures()
    assert set(figures["task"]) == set(CATALOGUE)
    means = figures.groupby(["table", "model", "shots", "method"])["score"].mean().round(2)
    for place, mean in (
        (("vision", "OFA-base", "16", "adapter"), 61.46), (("vision", "OFA-base", "16", "pi-adapter"), 66.01),
        (("vision", "OFA-base", "full", "adapter"), 79.05), (("vision", "OFA-base", "full", "pi-adapter"), 81.47),
        (("glue", "T5-base", "full", "pi-adapter"), 89.68), (("glue", "OFA-large", "full", "adapter"), 87.12),
    ):  # fmt: skip
        assert means[place] == pytest.approx(mean, abs=0.011)
    parts = {record.name: record.part for record in CATALOGUE.values()}
    printed = set(zip(figures["task"], figures["part"], strict=True))
    assert set(parts.items()) <= printed


def test_what_was_measured_stands_above_what_the_paper_prints() -> None:
    def row(target: str, method: str, score: float, seed: int = 1) -> dict[str, object]:
        usual = {"kind": "lora", "held_out_loss": 0.5 if method == "single" else 0.1, "held_out": 1000,
                 "learning_rate": 0.1, "steps": 2, "donors": "", "test_examples": 6, "spec": ""}  # fmt: skip
        return {"target": target, "shots": 16, "seed": seed, "method": method, "score": score, **usual}

    frame = pd.DataFrame(
        [row("dtd", method, 40.0 + place + seed, seed) for seed in (1, 2)
         for place, method in enumerate(("mixture", "single", "donor", "untouched"))],
        columns=list(COLUMNS),
    )  # fmt: skip
    rows = table_rows("vision", 16, frame, who="tiny", tasks=("dtd", "sst2"))
    assert [(each.who, each.method) for each in rows] == [
        ("tiny", "untouched"), ("tiny", "single"), ("tiny", "donor"), ("tiny", "mixture"), ("tiny", "pi"),
        ("OFA-base", "adapter"), ("OFA-base", "pi-adapter"),
    ]  # fmt: skip
    assert rows[1].scores == {"dtd": 42.5}
    assert rows[4].scores == {"dtd": 41.5}  # the guard keeps the mixture
    assert rows[-1].scores["dtd"] == 57.33
    assert rows[-1].source == "table 2"
    assert rows[-1].mean == pytest.approx(66.01, abs=0.01)
    guessed = table_rows(
        "vision",
        16,
        frame,
        who="tiny",
        tasks=("dtd",),
        guesses={"dtd": Guessing(2.1, 2.5), "sst2": Guessing(50.0, 51.0)},
    )
    assert [(each.method, each.scores) for each in guessed if each.who == "guessing"] == [
        ("always the largest class", {"dtd": 2.5}), ("at random", {"dtd": 2.1}),
    ]  # fmt: skip
    # Of a vision-language task the figure is that of the same test examples.
    [*_, large] = table_rows("vl", ALL_SHOTS, frame, who="tiny", tasks=())
    assert large.scores == {"refcoco": 92.93, "refcocoplus": 90.03, "refcocog": 86.92, "snli-ve": 90.01,
                            "coco-captions": 140.7, "vqav2": 78.78}  # fmt: skip
    assert large.mean is None  # of different metrics
    assert table_rows("glue", 16, frame, who="tiny", tasks=("dtd",)) == []
    assert [each.source for each in table_rows("vl", 16, frame, who="tiny", tasks=())] == []
    assert [table.records[0].name for table in TABLES.values()] == ["food101", "mnli", "refcoco"]
    assert (usual_seeds(16), usual_seeds(0), usual_methods(0)) == ((1, 2, 3), (1,), ("backbone", "untouched"))


def test_a_table_without_its_data_says_how_to_add_them(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="add one: pituning tasks add catalogue:mnli"):
        targets_of(("glue",), TaskSource(Workspace.open(tmp_path)))
    with pytest.raises(BadInput, match="did you mean glue"):
        targets_of(("glu",), TaskSource(Workspace.open(tmp_path)))


@pytest.fixture
def three_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with a data set of each table."""
    monkeypatch.setenv("PITUNING_WORKSPACE", str(tmp_path / "ws"))
    pretend_hub(monkeypatch, tmp_path / "hub")
    images = write_images(tmp_path / "images")
    place = Workspace.open()
    for name in ("sst2", "eurosat", "snli-ve"):
        options = HubOptions(images=images if needs_images(name) else None)
        with plan_remote(f"catalogue:{name}", AddOptions(name=name), options) as plan:
            save_task(plan.make(), place)
    return place


def one_after_another(
    work: Callable[..., Any], calls: Sequence[tuple[Any, ...]], on_done: Callable[..., None], **_: Any
) -> None:
    for call in calls:
        on_done(call, work(*call))


QUICK = ("--seeds", "1", "--steps", "2", "--test-examples", "4", "--batch-size", "2", "--processes", "1")


@pytest.mark.slow
def test_without_shots_and_with_all_data(
    three_tables: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def here(place: Workspace, specs: list[RunSpec], *_: object) -> list[str]:
        for spec in specs:
            zoo = place.zoo("mini")
            places = Places(zoo=zoo, backbone=place.backbone_dir("mini"), workspace=place)
            measure_lowshot(places, spec.settings(), processes=1)
        return []

    monkeypatch.setattr(study_paper, "_queue", here)
    monkeypatch.setattr(lowshot, "side_by_side", one_after_another)
    paper = ["study", "paper", "--backbone", "mini", "--tables", "vision,glue,vl", *QUICK]
    capfd.readouterr()
    for shots, methods, printed in (
        ("0", ("Backbone alone", "Donors as is"), ("OFA-large: the paper's figures, table of GLUE.",)),
        ("full", ("Single expert", "Best donor", "π-tuning"), ("OFA-base: the paper's figures, table 2.", "T5-base")),
    ):
        assert cli.run([*paper, "--shots", shots]) == 0
        shown = capfd.readouterr().out
        assert "Measured here on 4 test examples of a data set" in shown
        assert all(len(re.findall(rf"^mini +{method}  ", shown, re.MULTILINE)) == 3 for method in methods), shown
        assert all(line in shown for line in printed)
        assert shown.count("always the largest class") == shown.count("at random") == 3
    rows = read_lowshot(three_tables.zoo("mini").lowshot_path("lora", 2))
    alone = rows[rows["shots"] == 0]
    assert set(alone["steps"]) == {0}
    assert alone["held_out_loss"].isna().all()
    # No example of the data set has a part in it: the words of the task choose the donors.
    names = list(three_tables.zoo("mini").expert_dirs("lora"))
    tasks = [TaskSource(three_tables).load(name) for name in ("sst2", *names)]
    similarity = load(PREDICTORS["text"].path)([task_text(task.instruction, task.labels) for task in tasks])[0, 1:]
    closest = most_similar(similarity, names, 3)
    [donors] = alone.loc[(alone["target"] == "sst2") & (alone["method"] == "untouched"), "donors"]
    assert donors.split("+") == [neighbor.task for neighbor in closest]


@pytest.mark.slow
@pytest.mark.usefixtures("three_tables")
def test_tables_are_run_through_the_queue_once_and_printed(capfd: pytest.CaptureFixture[str]) -> None:
    # Data sets with too few examples are left out, or all that there is to say.
    paper = ["study", "paper", "--backbone", "mini", "--tables", "glue,vision"]
    capfd.readouterr()
    assert cli.run([*paper, "--shots", "7"]) == 2
    assert "'sst2': class 'negative' has" in capfd.readouterr().err
    assert cli.run([*paper, "--shots", "6", "--seeds", "1", "--show"]) == 0
    assert "left out: task 'sst2': class" in capfd.readouterr().err
    arguments = [*paper[:-1], "glue", "--shots", "1", *QUICK]
    assert cli.run(arguments) == 0, capfd.readouterr().err
    printed = capfd.readouterr().out
    assert "GLUE, with 1 shot per class" in printed
    assert "The paper prints no figures of this table with 1 shot per class." in printed
    assert printed.count("mini ") >= 5  # five methods
    # All is measured: nothing is queued again, and the table is the same.
    assert cli.run([*arguments, "--json"]) == 0
    again = capfd.readouterr().out
    assert '"runs": []' in again
    assert '"sst2"' in again
