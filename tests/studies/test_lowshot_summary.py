"""What the summary prints, on rows whose figures are worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pituning import cli
from pituning.errors import BadInput
from pituning.studies.config import LowshotConfig
from pituning.studies.lowshot_summary import LowshotSummary, load_summary
from pituning.studies.lowshot_tables import across_table
from pituning.studies.predictors import predictor_figures
from pituning.tasks.mini import TASK_NAMES, planted_relatives
from pituning.tuning.config import CONTROLS
from pituning.workspace.layout import embedded_data
from pituning.workspace.lowshot import COLUMNS, lowshot_csv
from pituning.workspace.shots import ALL_SHOTS
from pituning.workspace.zoo import Zoo

ZOO = Zoo.at(embedded_data() / "zoos" / "mini")
POINTS = {"single": 50, "full": 52, "mixture": 60, "donor": 55, "untouched": 20, "backbone": 10, "placebo": 49}
LOSSES = {"mixture": 0.2, "single": 0.3, "donor": 0.4, "untouched": 0.9, "placebo": 0.35}


def made(targets: tuple[str, ...], seeds: tuple[int, ...]) -> pd.DataFrame:
    """A study in which every method has its own points, plus the number of the target and of the seed."""
    rows = []
    for shots in (0, 16):
        for number, target in enumerate(targets):
            for seed in seeds if shots else (0,):
                for method in LowshotConfig().methods_at(shots):
                    points = POINTS.get(method, 40) + number + seed
                    loss = None if shots == 0 else LOSSES.get(method, 0.95)
                    rows.append((target, "lora", shots, seed, method, points, loss, 100, 0.005, 20, "", 1000, "x"))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"held_out_loss": float})


def test_gains_of_pi() -> None:
    targets = ("nli", "rte", "vqa")
    summary = LowshotSummary(made(targets, (0, 1)), "lora", 16)
    actual = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert (actual["shots"], actual["kind"], actual["targets"], actual["seeds"]) == (16, "lora", 3, 2)
    for name, points in (("single", 50), ("full", 52), ("placebo", 49), ("random", 40)):
        gain = actual["gain_over"][name]
        assert gain["mean"] == pytest.approx(60 - points)
        assert gain["low"] == gain["high"] == pytest.approx(60 - points)
        assert (gain["wins"], gain["worst"]) == (3, pytest.approx(60 - points))
    # The guarded placebo is the single expert, whose loss is smaller.
    assert actual["guarded_gain_over"]["placebo"]["mean"] == pytest.approx(10)
    assert set(actual["guarded_gain_over"]) == set(CONTROLS)
    assert actual["guard"]["chosen"] == {"mixture": 100.0}
    assert actual["not_below_single"] == 3
    # Without seeds of its own the backbone is 10, 11, 12; with two seeds the others gain half a point on the average.
    assert actual["gain_over"]["backbone"]["mean"] == pytest.approx(50.5)
    assert actual["zero_shot_gain"]["mean"] == pytest.approx(10)
    assert actual["scores"]["pi"]["mean"] == pytest.approx(60 + 1 + 0.5)


def test_gains_by_modality() -> None:
    """Language has nli and rte, vision-language vqa; the single expert is made 6 points worse on vqa."""
    frame = made(("nli", "rte", "vqa"), (0,))
    worse = (frame["target"] == "vqa") & (frame["method"] == "single")
    summary = LowshotSummary(frame.assign(score=frame["score"] - 6 * worse), "lora", 16)
    actual = summary.to_json()["modality_gain_over"]
    assert actual["vision"] == {}
    assert {name: gains["single"]["mean"] for name, gains in actual.items() if gains} == {
        "language": 10, "vision-language": 16,
    }  # fmt: skip
    assert "| Single expert | – | +10.0 (+10.0 to +10.0) | +16.0 (+16.0 to +16.0) |" in summary.markdown()


def test_a_partial_table_says_what_it_has() -> None:
    frame = made(("nli", "rte"), (0, 1, 2))
    frame = frame[~((frame["target"] == "rte") & (frame["seed"] == 2) & (frame["method"] == "donor"))]
    summary = LowshotSummary(frame[frame["method"] != "full"], "lora", 16)
    assert summary.what_there_is().startswith(
        "LoRA, 16 shots per class: 2 of 20 targets with 2 to 3 seeds; not measured yet: shape, colour"
    )
    assert "full" not in summary.to_json()["gain_over"]
    text = summary.markdown()
    assert "Methods not measured yet: Full fine-tuning." in summary.what_there_is()
    assert "\n| Full fine-tuning |" not in text
    # nli has 60, 61, 62 and rte 61, 62.
    assert "| π-tuning | 61.2 (" in text
    assert "| Single expert | 20 | 0 | 100 |" in text  # all rows have 20 steps at the usual rate
    with pytest.raises(BadInput, match="no low-shot results of lora at 4 shots; run: pituning study lowshot"):
        LowshotSummary(frame, "lora", 4)


def test_a_longer_budget_has_its_own_table(tmp_path: Path) -> None:
    """Three times the steps bring the single expert 4 points and the mixture 1: 7 of the 10 between them are left."""
    usual = made(("nli", "rte"), (0, 1))
    longer = usual[(usual["shots"] == 16) & usual["method"].isin(["single", "mixture"]) & (usual["target"] == "nli")]
    longer = longer.assign(score=longer["score"] + longer["method"].map({"single": 4, "mixture": 1}))
    zoo = Zoo.at(tmp_path)
    path = zoo.new_lowshot_path("lora")
    path.parent.mkdir(parents=True)
    path.write_text(lowshot_csv(usual))
    assert load_summary(zoo, "lora", 16).to_json()["budgets"] == {}
    zoo.new_lowshot_path("lora", 480).write_text(lowshot_csv(longer))
    (path.parent / "other-9-steps.csv").write_text("no table of this kind")
    summary = load_summary(zoo, "lora", 16)
    actual = summary.to_json()["budgets"]["480"]
    assert actual["single"]["gain"] == {
        "mean": 4, "low": 4, "high": 4, "targets": 1, "seeds": 2, "wins": 1, "worst": 4, "worst_target": "nli",
    }  # fmt: skip
    assert actual["single"]["mixture_gain"]["mean"] == 7
    assert (actual["mixture"]["gain"]["mean"], actual["mixture"]["mixture_gain"]) == (1, None)
    row = "| Single expert | 1, 2 | +4.0 (+4.0 to +4.0) | +7.0 (+7.0 to +7.0) | +10.0 (+10.0 to +10.0) |"
    assert row in summary.markdown()
    assert load_summary(zoo, "lora", 0).budgets == {}


def test_experts_that_see_have_their_own_table(tmp_path: Path) -> None:
    """The single expert gains 30 by the tower and the mixture 22: it is then 2 above the single and 17 above full."""
    usual = made(("nli", "rte"), (0, 1))
    single = usual[(usual["method"] == "single") & (usual["shots"] == 16)]
    usual = usual[~usual["method"].isin(["full", "bitfit", "lorahub"])]
    usual = pd.concat([usual, single.assign(method="full", score=single["score"] + 15)], ignore_index=True)
    seeing = usual[usual["method"].isin(["single", "mixture"]) & (usual["shots"] == 16) & (usual["target"] == "nli")]
    seeing = seeing.assign(score=seeing["score"] + seeing["method"].map({"single": 30, "mixture": 22}))
    zoo = Zoo.at(tmp_path)
    path = zoo.new_lowshot_path("lora")
    path.parent.mkdir(parents=True)
    path.write_text(lowshot_csv(usual))
    assert load_summary(zoo, "lora", 16).to_json()["vision_tower"] == {}
    twice = usual[(usual["method"] == "full") & (usual["target"] == "nli")]  # as a study that measured it once more
    zoo.new_lowshot_path("lora", vision_tower=True).write_text(lowshot_csv(pd.concat([seeing, twice])))
    summary = load_summary(zoo, "lora", 16)
    actual = {name: {key: each and each["mean"] for key, each in found.items()}
              for name, found in summary.to_json()["vision_tower"].items()}  # fmt: skip
    assert actual == {
        "mixture": {"gain": 22, "mixture_gain": None}, "single": {"gain": 30, "mixture_gain": 2},
        "full": {"gain": None, "mixture_gain": 17},
    }  # fmt: skip
    text = summary.markdown()
    assert "| Single expert | 1, 2 | +30.0 (+30.0 to +30.0) | +2.0 (+2.0 to +2.0) | +10.0 (+10.0 to +10.0) |" in text
    assert "| Full fine-tuning | 1, 2 | – | +17.0 (+17.0 to +17.0) | -5.0 (-5.0 to -5.0) |" in text
    assert load_summary(zoo, "lora", 0).tower.empty


def test_other_shots_and_kinds_stand_beside_one_another(tmp_path: Path) -> None:
    usual = made(("nli", "rte"), (0, 1))
    more = usual[(usual["shots"] == 16) & (usual["target"] == "rte") & (usual["seed"] == 0)]
    more = pd.concat([more.assign(shots=ALL_SHOTS), more.assign(shots=4)])
    zoo = Zoo.at(tmp_path)
    path = zoo.new_lowshot_path("lora")
    path.parent.mkdir(parents=True)
    path.write_text(lowshot_csv(usual))
    assert "With other numbers of shots" not in load_summary(zoo, "lora", 16).markdown()
    path.write_text(lowshot_csv(pd.concat([usual, more])))
    prefix = zoo.new_lowshot_path("prefix")
    prefix.parent.mkdir(parents=True)
    few = usual[(usual["shots"] == 16) & usual["method"].isin(["single", "mixture"])].assign(kind="prefix")
    prefix.write_text(lowshot_csv(few.assign(score=few["score"] + (few["method"] == "single"))))
    summary = load_summary(zoo, "lora", 16)
    text = summary.markdown()
    # rte has a point more than nli, and seed 1 a point more than seed 0.
    gains = "+10.0 (+10.0 to +10.0) | +8.0 (+8.0 to +8.0) | +11.0 (+11.0 to +11.0) |"
    assert f"| 4 | 1, 1 | 51.0 | 53.0 | 61.0 | 50.0 | {gains}" in text
    assert f"| full | 1, 1 | 51.0 | 53.0 | 61.0 | 50.0 | {gains}" in text
    assert f"| 16 | 2, 2 | 51.0 | 53.0 | 61.0 | 50.0 | {gains}" in text
    assert "| prefix | 2, 2 | 52.0 | – | 61.0 | – | +9.0 (+9.0 to +9.0) | – | – |" in text
    assert list(summary.to_json()["by_shots"]) == ["4", "16", "full"]
    assert summary.to_json()["by_kind"]["prefix"]["single"]["mean"] == pytest.approx(9)


def test_the_shipped_figures_of_the_predictor() -> None:
    actual = predictor_figures(ZOO, "lora", 16)
    assert actual is not None
    frame = pd.read_csv(ZOO.result_path("predictors.csv"))
    rows = frame.query("kind == 'lora' and shots == 16 and pairs == 'all' and predictor == 'probe'")
    means = dict(zip(rows["measure"], rows["mean"], strict=True))
    assert (actual["spearman"], actual["regret3"]) == (means["spearman"], means["regret3"])
    stored = ZOO.similarity("lora", "probe")
    hits = possible = 0
    for i, name in enumerate(stored.names):
        others = [other for other in np.argsort(-stored.matrix[i]) if other != i][:3]
        hits += sum(stored.names[j] in planted_relatives(name) for j in others)
        possible += min(3, len(planted_relatives(name)))
    assert actual["planted_top3"] == pytest.approx(hits / possible, abs=1e-4)
    assert set(stored.names) == set(TASK_NAMES)
    assert predictor_figures(ZOO, "bottleneck", 16) is None
    assert predictor_figures(Zoo.at(ZOO.root / "none"), "lora", 16) is None


def test_the_documents_show_the_summary() -> None:
    page = (embedded_data().parent / "docs" / "science.md").read_text()
    for shots in (0, 16):
        assert load_summary(ZOO, "lora", shots).markdown() in page
    assert across_table("kind", load_summary(ZOO, "lora", 1).by_kind) in page


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    capsys.readouterr()
    code = cli.run([str(word) for word in words])
    return code, *capsys.readouterr()


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zoo, place = tmp_path / "zoo", ("--workspace", tmp_path / "ws")
    code, _, err = run(capsys, "study", "summary", "--out", zoo, *place)
    assert (code, "run: pituning study lowshot --kind lora" in err) == (2, True)
    table = Zoo.at(zoo).new_lowshot_path("lora")
    table.parent.mkdir(parents=True)
    table.write_text(lowshot_csv(made(("nli", "rte"), (0,))))
    code, out, _ = run(capsys, "study", "summary", "--out", zoo, *place, "--json")
    document: dict[str, Any] = json.loads(out)
    assert code == 0
    assert document["gain_over"]["single"]["mean"] == 10
    assert document["predictor"] is None
    code, out, _ = run(capsys, "study", "summary", "--out", zoo, *place)
    assert code == 0
    assert "| π-tuning |" in out


@pytest.mark.slow
def test_checking_tells_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zoo = tmp_path / "zoo"
    words = ("study", "lowshot", "--out", zoo, "--workspace", tmp_path / "ws", "--targets", "rte", "--shots", "0",
             "--methods", "backbone,placebo-untouched")  # fmt: skip
    assert run(capsys, *words)[0] == 0
    code, out, _ = run(capsys, *words, "--check")
    assert (code, out.strip()) == (0, "2 cells measured again")
    table = Zoo.at(zoo).new_lowshot_path("lora")
    frame = pd.read_csv(table, keep_default_na=False)
    frame["score"] += 1
    table.write_text(frame.to_csv(index=False))
    code, out, err = run(capsys, *words, "--check")
    assert code == 1
    assert "backbone on rte, 0 shots, seed 0: score is" in out
    assert "2 of 2 cells differ" in err


def test_a_study_of_few_methods_compares_the_mixture_itself() -> None:
    """The real model's: not all candidates of the guard were measured, and its budget is its own."""
    zoo = Zoo.at(embedded_data() / "zoos" / "smollm2")
    with pytest.raises(
        BadInput, match=r"no low-shot results of lora at 16 shots; there are some of other steps: --steps 16"
    ):
        load_summary(zoo, "lora", 16)
    summary, rows = load_summary(zoo, "lora", 16, 16), pd.read_csv(zoo.lowshot_path("lora", 16))
    figures = summary.to_json()
    assert (figures["lead"], figures["targets"], figures["seeds"]) == ("mixture", 4, 3)
    wide = rows[rows["shots"] == 16].pivot(index=["target", "seed"], columns="method", values="score")
    for other in ("single", "placebo", "uniform", "donor", "donor-untouched"):
        gain = (wide["mixture"] - wide[other]).groupby("target").mean()
        assert figures["gain_over"][other]["mean"] == pytest.approx(gain.mean(), abs=1e-3)
        assert figures["gain_over"][other]["wins"] == (gain > 0).sum()
    text = summary.markdown()
    assert "4 of 4 targets with 3 seeds" in text
    assert "the mixture gains" in text
    assert "guard" not in text.replace("without the guard", "")
