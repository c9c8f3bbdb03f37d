from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.components.words import duration
from pituning.backbones.places import IMAGE_ROLE, Block, Places
from pituning.graph.donor_gains import expected_gain
from pituning.runs.eta import PlannedPhase
from pituning.runs.outline import Subject
from pituning.runs.plans import forecast, save_plan
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.tasks.base import Task
from pituning.tasks.files import ColumnMapping, open_table, save_task, task_from_table
from pituning.tasks.registry import list_tasks, load_task
from pituning.tuning.config import TuneConfig
from pituning.workspace.atomic import write_json
from pituning.workspace.layout import Workspace
from tests.app import synthetic
from tests.app.conftest import OpenPage, healthy, texts
from tests.app.uploads import TABLE, can_launch, own_table, upload
from tests.conftest import make_text_task


def test_a_task_of_the_workspace_becomes_a_queued_run(
    workspace: Workspace, woken: list[Workspace], open_page: OpenPage
) -> None:
    at = healthy(open_page("new_run", target="nli"))

    at.button(key="launch").click().run()

    healthy(at)
    (run,) = RunQueue(workspace).list()
    assert run.state == "queued"
    assert run.spec.config["target"] == "nli"
    assert run.spec.config["shots"] == 16
    assert run.spec.config["donors"] == 3
    assert run.spec.config["donor_names"] == []
    assert woken
    assert at.title[0].value == "Runs"
    assert at.query_params["run"] == run.id


def test_an_expert_that_sees_is_offered_for_pictures(workspace: Workspace, open_page: OpenPage) -> None:
    def names(at: AppTest) -> set[str]:
        return {str(widget.key).removeprefix("tune_full_") for widget in (*at.toggle, *at.number_input)}

    here = workspace.backbone_dir("mini")
    assert {"own_rank", "vision_tower"} & names(open_page("new_run", target="digits")) == {"own_rank"}
    eye = Block("model.vision_tower.proj", "vision.0", "attn", "attn.proj", IMAGE_ROLE, 8, 8)
    replace(Places.read(here), eyes=(eye,)).save(here)
    assert {"own_rank", "vision_tower"} & names(open_page("new_run", target="nli")) == {"own_rank"}
    at = healthy(open_page("new_run", target="digits"))
    at.toggle(key="tune_full_vision_tower").set_value(True).run()
    at.number_input(key="tune_full_own_rank").set_value(16).run()
    assert "--vision-tower" in at.code[0].value
    assert "--own-rank 16" in at.code[0].value

    at.button(key="launch").click().run()

    (run,) = RunQueue(workspace).list()
    assert (run.spec.config["vision_tower"], run.spec.config["own_rank"]) == (True, 16)


def test_seeds_make_one_run_each_with_their_own_shots(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("new_run", target="digits")
    at.number_input(key="seeds").set_value(3).run()

    at.button(key="launch").click().run()

    runs = RunQueue(workspace).list()
    assert sorted(run.spec.config["seed"] for run in runs) == [0, 1, 2]


def test_predicted_donors_are_the_nearest_of_the_graph(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("new_run", target="rte"))

    similarity = workspace.zoo().similarity("lora", "probe")
    names = list(similarity.names)
    order = [names[i] for i in np.argsort(-similarity.matrix[names.index("rte")]) if names[i] != "rte"]
    titles = [load_task(name, workspace).title for name in order[:3]]
    assert list(at.dataframe[0].value["Donor"]) == titles
    assert list(at.dataframe[0].value["Rank"]) == ["1 of 19", "2 of 19", "3 of 19"]

    # Nothing was measured between these tasks: ranked by similarity alone, and the page says so.
    assert "Expected gain" not in at.dataframe[0].value
    assert "no gain is predicted: transfer of lora was measured not at all in this zoo" in texts(at)


def test_the_donors_that_are_expected_to_help_are_shown_with_their_gain(
    measured: Workspace, open_page: OpenPage
) -> None:
    at = healthy(open_page("new_run", target="rte"))
    tasks = {info.name: info for info in list_tasks(measured)}
    expected = expected_gain(measured.zoo(), "rte", tasks=tasks, shots=16)
    table = at.dataframe[0].value
    titles = {tasks[name].title: each for name, each in expected.gains.items()}
    assert list(table["Expected gain"]) == [titles[title].text for title in table["Donor"]]
    assert list(table["Risk of harm"]) == [100 * titles[title].harm for title in table["Donor"]]
    assert "Confidence" not in table

    at.segmented_control(key="donors_way").set_value("expected").run()
    healthy(at)
    helpful = expected.helpful()
    assert 0 < len(helpful) <= 6
    assert list(at.dataframe[0].value["Donor"]) == [tasks[name].title for name in helpful]
    at.button(key="launch").click().run()
    (run,) = RunQueue(measured).list()
    assert (run.spec.config["donors"], run.spec.config["donor_names"]) == (0, [])


def test_donors_can_be_chosen_by_hand(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("new_run", target="rte")
    at.segmented_control(key="donors_way").set_value("chosen").run()
    at.multiselect(key="donors_rte_lora").set_value(["nli", "caption"]).run()
    healthy(at)

    at.button(key="launch").click().run()

    (run,) = RunQueue(workspace).list()
    assert run.spec.config["donor_names"] == ["nli", "caption"]
    assert run.spec.config["donors"] == 2


def test_without_a_donor_there_is_nothing_to_start(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("new_run", target="rte")
    at.segmented_control(key="donors_way").set_value("chosen").run()
    at.multiselect(key="donors_rte_lora").set_value([]).run()

    assert not can_launch(at)
    assert "Choose at least one donor" in texts(at)


def test_the_target_is_never_its_own_donor(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("new_run", target="rte")
    at.segmented_control(key="donors_way").set_value("chosen").run()

    assert "Textual entailment" not in at.multiselect(key="donors_rte_lora").options


def test_fewer_baselines_are_asked_for_and_warned_about(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("new_run")
    at.get("pills")[0].set_value(["full"]).run()
    healthy(at)

    assert "there is no full verdict" in texts(at)
    at.button(key="launch").click().run()
    assert RunQueue(workspace).list()[0].spec.config["baselines"] == ["full"]


def test_the_command_line_says_only_what_is_not_the_default(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("new_run", target="digits")
    at.number_input(key="tune_full_steps").set_value(40).run()

    command = at.code[-1].value
    assert command.startswith("pituning tune digits ")
    assert command.endswith(" --steps 40")
    assert "--batch-size" not in command

    spec = json.loads(at.json[-1].value)
    assert spec["kind"] == "tune"
    assert spec["config"]["steps"] == 40
    assert spec["config"]["batch_size"] == TuneConfig(target="digits").batch_size


def test_several_at_once_are_one_batch(workspace: Workspace, woken: list[Workspace], open_page: OpenPage) -> None:
    at = open_page("new_run", target="digits")
    at.multiselect(key="sweep_targets").set_value(["digits", "nli"]).run()
    at.multiselect(key="sweep_shots").set_value([4, 16]).run()
    at.number_input(key="sweep_seeds").set_value(2).run()
    at.text_input(key="sweep_name").set_value("first").run()

    at.button(key="sweep_start").click().run()

    runs = RunQueue(workspace).waiting()
    assert {run.batch for run in runs} == {"first"}
    actual = [(run.spec.config["target"], run.spec.config["shots"], run.spec.config["seed"]) for run in runs]
    assert actual == [(target, shots, seed) for target in ("digits", "nli") for shots in (4, 16) for seed in (0, 1)]
    assert woken


def test_an_uploaded_table_becomes_a_task_and_a_run(workspace: Workspace, open_page: OpenPage) -> None:
    at = upload(own_table(open_page), "My Reviews.csv", TABLE)
    healthy(at)
    assert "60 rows" in texts(at)
    assert list(at.dataframe[0].value["Read as"]) == ["text", "answer"]
    assert sorted(at.dataframe[1].value["Rows"]) == [30, 30]

    at.button(key="launch").click().run()

    healthy(at)
    (run,) = RunQueue(workspace).list()
    assert run.spec.config["target"] == "my-reviews"
    task = load_task("my-reviews", workspace)
    assert task.instruction == "good or bad?"
    assert task.labels == ("bad", "good")


def test_an_uploaded_table_is_on_the_graph_before_anything_is_trained(
    workspace: Workspace, woken: list[Workspace], open_page: OpenPage
) -> None:
    at = upload(own_table(open_page), "My Reviews.csv", TABLE)

    at.button(key="relatives_find").click().run()

    healthy(at)
    queue = RunQueue(workspace)
    (run,) = queue.list()
    assert (run.kind, dict(run.spec.config)["target"]) == ("relatives", "my-reviews")
    assert woken
    assert load_task("my-reviews", workspace).labels == ("bad", "good")
    assert at.selectbox(key="target").value == "my-reviews"  # kept, so it is one of the workspace now
    assert "embedded and compared" in texts(at)
    names = workspace.zoo().similarity("lora", "probe").names
    near = [{"task": name, "similarity": 0.9 - 0.05 * n, "rank": n + 1, "confidence": 0.8 if n < 3 else None,
             "low": None, "high": None} for n, name in enumerate(names)]  # fmt: skip
    expected = {names[0]: {"gain": 3.14, "low": -2.0, "high": 8.0, "harm": 0.2}}
    claimed = queue.claim("test-owner")
    assert claimed is not None
    result = workspace.run_dir(run.id) / "result.json"
    write_json(result, {"target": "my-reviews", "kind": "lora", "donors": names[:3], "predictor": "probe",
                        "reason": None, "learned_from": {"shots": 16, "targets": 19}, "expected": expected,
                        "examples": 32, "neighbors": near})  # fmt: skip
    queue.finish(claimed.claim, "succeeded", result_path=str(result.relative_to(workspace.root)))

    at = healthy(at.run())
    assert "Ranked by a few of its rows" in texts(at)
    reasons = next(frame.value for frame in at.dataframe if "Donor" in frame.value)
    assert reasons["Expected gain"].iloc[0] == "+3.1 (−2.0 to +8.0)"
    assert len(reasons) == 3
    at = healthy(open_page("runs", run=run.id))
    assert "Most similar of 20 tasks" in texts(at)
    at = healthy(open_page("task_graph", task="my-reviews"))
    assert "Placed from its shots alone" in texts(at)
    assert at.dataframe[0].value["Expected gain"][0] == "+3.1 (−2.0 to +8.0)"
    at = healthy(open_page("task_graph", task="my-reviews", other=names[0]))
    assert "is expected to be worth +3.1 points for My reviews, which is not measured" in texts(at)
    assert {metric.label: metric.value for metric in at.metric}["Expected gain"] == "+3.1"


def test_an_uploaded_task_shows_how_often_each_label_comes_up(workspace: Workspace, open_page: OpenPage) -> None:
    rows = [(f"text {i}", "rare" if i % 4 == 0 else "often") for i in range(80)]
    parsed = open_table(("text,label\n" + "\n".join(map(",".join, rows))).encode(), filename="moods.csv")
    columns = ColumnMapping(text="text", answer="label", image=None)
    save_task(task_from_table(parsed, name="moods", title="Moods", instruction="which?", columns=columns), workspace)

    at = open_page("new_run", target="moods")
    at.session_state["target_examples"] = True
    healthy(at.run())

    assert "Label frequencies" in texts(at)
    assert dict(zip(at.dataframe[0].value["Answer"], at.dataframe[0].value["Rows"], strict=True)) == {
        "often": 60, "rare": 20,
    }  # fmt: skip


def test_the_balance_of_a_task_of_the_suite_is_said_in_a_word_where_it_is_known(
    workspace: Workspace, open_page: OpenPage
) -> None:
    at = open_page("new_run", target="nli")
    at.session_state["target_examples"] = True
    assert "All labels are equally frequent" in texts(healthy(at.run()))
    counted = Counter(example.answer for example in load_task("nli").split("test")[:999])
    assert set(counted.values()) == {333}

    at = open_page("new_run", target="digits")  # real handwriting, as it came
    at.session_state["target_examples"] = True
    healthy(at.run())
    assert "equally frequent" not in texts(at)
    assert at.dataframe[0].value["Rows"].sum() == 1797

    at = open_page("new_run", target="caption")
    at.session_state["target_examples"] = True
    assert "equally frequent" not in texts(healthy(at.run()))


def test_json_lines_and_a_zip_with_images_work_too(workspace: Workspace, open_page: OpenPage) -> None:
    rows = [{"question": f"is {i} even?", "answer": "no" if i % 2 else "yes"} for i in range(40)]
    lines = "\n".join(map(json.dumps, rows))
    healthy(upload(own_table(open_page), "even.jsonl", lines))

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as stream:
        for i in range(40):
            picture = io.BytesIO()
            Image.new("RGB", (20 + i, 20), "red" if i % 2 else "blue").save(picture, "PNG")
            stream.writestr(f"pictures/{i}.png", picture.getvalue())
        stream.writestr(
            "table.csv", "image,label\n" + "".join(f"pictures/{i}.png,{'r' if i % 2 else 'b'}\n" for i in range(40))
        )
    at = healthy(upload(own_table(open_page), "colours.zip", archive.getvalue(), instruction="which colour?"))
    assert "with images" in texts(at)
    assert can_launch(at)


def test_the_estimate_says_what_it_is_made_from(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("new_run", target="digits"))
    assert at.metric[-1].label == "Will take about"
    assert "As measured on 2 cores" in texts(at)

    for seed in range(2):
        run = synthetic.done(workspace, "digits", kind="lora", seed=seed)
        save_plan(workspace, run.id, [PlannedPhase("choose pi", 240, 30.0)])
    at = healthy(open_page("new_run", target="digits"))
    assert "From your last 2 runs of this kind" in texts(at)

    at.segmented_control(key="kind").set_value("prefix").run()
    assert "As measured on 2 cores" in texts(at)


def test_the_estimate_of_a_new_table_goes_by_its_size(workspace: Workspace, open_page: OpenPage) -> None:
    at = upload(own_table(open_page), "My Reviews.csv", TABLE)
    classes = [element.value for element in at.metric if element.label == "Will take about"]
    expected = forecast(
        RunQueue(workspace), RunSpec.of("tune", TuneConfig(target="my-reviews", shots=16)),
        Subject(
            classes=2, closed=True, images=False, sizes={"train": 36, "validation": 9, "test": 15},
            dealt=("train", "validation", "test"),
        ),
    )  # fmt: skip
    assert classes == [duration(expected.seconds)]


def test_a_short_search_sets_what_goes_together_and_what_is_written_beside_it_stands(
    workspace: Workspace, open_page: OpenPage
) -> None:
    at = open_page("new_run", target="digits")
    at.segmented_control(key="search_mini_full").set_value("short").run()
    assert at.code[-1].value.count("--steps 16") == 1
    at.number_input(key="tune_short_steps").set_value(24).run()
    healthy(at).button(key="launch").click().run()
    config = RunQueue(workspace).list()[0].spec.config
    assert (config["steps"], config["folds"], len(config["learning_rates"])) == (24, 1, 1)
    assert config["baselines"] == ["backbone", "single", "donor", "placebo"]


def test_the_embedded_backbone_says_what_it_is_not_made_for(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("new_run", target="digits"))
    assert "only ever seen drawn scenes" not in texts(at)
    said = texts(healthy(open_page("new_run", source="A table of my own"))).replace("\\", "")
    assert "has only ever seen drawn scenes and simple sentences" in said
    assert "49.8 points on restaurant reviews" in said
    assert "pituning backbones add smollm2" in said


def test_what_would_be_cut_of_a_task_is_told_and_counted_once(
    workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []

    def notes(task: Task, _directory: Path, *, name: str) -> list[str]:
        counted.append(f"{task.name} on {name}")
        return ["3 of 60 prompts are longer than the 7 tokens"]

    monkeypatch.setattr("app.components.target.notes_of_task", notes)
    save_task(make_text_task(), workspace)
    at = healthy(open_page("new_run", target="tiny-mood"))
    assert "3 of 60 prompts are longer" in texts(at)
    assert "3 of 60 prompts are longer" in texts(healthy(at.run()))
    assert counted == ["tiny-mood on mini"]
