from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.components.words import duration
from pituning.runs.eta import PlannedPhase
from pituning.runs.outline import Subject
from pituning.runs.plans import forecast, save_plan
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.tasks.registry import load_task
from pituning.tuning.config import TuneConfig
from pituning.workspace.layout import Workspace
from tests.app import synthetic
from tests.app.conftest import OpenPage, healthy, texts

WORDS = (("awful", "bad"), ("lovely", "good"))
TABLE = "text,label\n" + "".join(f"visit {i} was {WORDS[i % 2][0]},{WORDS[i % 2][1]}\n" for i in range(60))


def upload(at: AppTest, name: str, content: bytes | str, *, instruction: str = "good or bad?") -> AppTest:
    at.file_uploader(key="upload_file").upload(name, content.encode() if isinstance(content, str) else content)
    at.run()
    written = [field for field in at.text_input if field.label == "Instruction"]
    if written:
        written[0].set_value(instruction)
        at.run()
    return at


def own_table(open_page: OpenPage) -> AppTest:
    return open_page("new_run", source="A table of my own")


def can_launch(at: AppTest) -> bool:
    return any(button.key == "launch" for button in at.button)


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


def test_seeds_make_one_run_each_with_their_own_shots(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("new_run", target="digits")
    at.number_input(key="seeds").set_value(3).run()

    at.button(key="launch").click().run()

    runs = RunQueue(workspace).list()
    assert sorted(run.spec.config["seed"] for run in runs) == [0, 1, 2]


def test_predicted_donors_are_the_nearest_of_the_graph(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("new_run", target="rte"))

    similarity = workspace.zoo_similarity("lora", "probe")
    names = list(similarity.names)
    order = [names[i] for i in np.argsort(-similarity.matrix[names.index("rte")]) if names[i] != "rte"]
    titles = [load_task(name, workspace).title for name in order[:3]]
    assert list(at.dataframe[0].value["Donor"]) == titles
    assert list(at.dataframe[0].value["Nearness"]) == ["1 of 19", "2 of 19", "3 of 19"]


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
    at.number_input(key="tune_steps").set_value(40).run()

    command = at.code[-1].value
    assert command.startswith("pituning tune digits ")
    assert command.endswith(" --steps 40")
    assert "--batch-size" not in command


def test_a_setting_that_cannot_be_used_is_told_beside_it(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("new_run")
    at.text_input(key="tune_learning_rates").set_value("fast").run()

    assert "numbers with commas" in at.error[0].value
    assert not can_launch(at)

    at.text_input(key="tune_learning_rates").set_value("").run()
    at.number_input(key="tune_steps").set_value(0).run()

    assert "Steps is 0" in at.error[0].value
    assert not can_launch(at)


def test_an_uploaded_table_becomes_a_task_and_a_run(workspace: Workspace, open_page: OpenPage) -> None:
    at = upload(own_table(open_page), "My Reviews.csv", TABLE)
    healthy(at)
    assert "60 rows" in texts(at)
    assert sorted(at.dataframe[0].value["Rows"]) == [30, 30]

    at.button(key="launch").click().run()

    healthy(at)
    (run,) = RunQueue(workspace).list()
    assert run.spec.config["target"] == "my-reviews"
    task = load_task("my-reviews", workspace)
    assert task.instruction == "good or bad?"
    assert task.labels == ("bad", "good")


def test_json_lines_and_a_zip_with_images_work_too(workspace: Workspace, open_page: OpenPage) -> None:
    rows = [{"question": f"is {i} even?", "answer": "no" if i % 2 else "yes"} for i in range(40)]
    lines = "\n".join(map(json.dumps, rows))
    healthy(upload(own_table(open_page), "even.jsonl", lines))

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as stream:
        for i in range(40):
            picture = io.BytesIO()
            Image.new("RGB", (20, 20), "red" if i % 2 else "blue").save(picture, "PNG")
            stream.writestr(f"pictures/{i}.png", picture.getvalue())
        stream.writestr(
            "table.csv", "image,label\n" + "".join(f"pictures/{i}.png,{'r' if i % 2 else 'b'}\n" for i in range(40))
        )
    at = healthy(upload(own_table(open_page), "colours.zip", archive.getvalue(), instruction="which colour?"))
    assert "with images" in texts(at)
    assert can_launch(at)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "is empty"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + b"\0" * 60, "PNG image"),
        ("one.csv", "text,label\n" + "".join(f"row {i},same\n" for i in range(20)), "one answer only"),
        ("cut.csv", 'text,label\n"never closed,good\n', "never closes"),
        ("short.csv", "text,label\na,x\nb,y\n", "at least 4"),
        ("notzip.zip", b"PK\x03\x04 broken", "zip"),
        ("bad.jsonl", '{"text": "a", "label": "x"}\nnot json\n' * 3, "cannot be used"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_words(
    name: str, content: bytes | str, said: str, workspace: Workspace, open_page: OpenPage
) -> None:
    at = upload(own_table(open_page), name, content)

    assert not at.exception
    assert any(said in alert.value.replace("\\", "") for alert in at.error), [alert.value for alert in at.error]
    assert not can_launch(at)


def test_rows_that_cannot_be_used_are_listed_with_their_numbers(workspace: Workspace, open_page: OpenPage) -> None:
    at = upload(own_table(open_page), "gaps.csv", TABLE + ",good\nnothing said,\n")

    assert list(at.dataframe[0].value["Row"]) == [62, 63]
    assert not can_launch(at)


def test_a_name_that_is_taken_or_unusable_is_told_beside_it(workspace: Workspace, open_page: OpenPage) -> None:
    at = upload(own_table(open_page), "digits.csv", TABLE)
    assert "already" in at.error[0].value
    assert not can_launch(at)

    (field,) = [field for field in at.text_input if field.label == "Name"]
    field.set_value("../../etc").run()
    assert "cannot be used" in at.error[0].value
    assert not can_launch(at)


def test_fewer_examples_than_shots_are_not_offered(workspace: Workspace, open_page: OpenPage) -> None:
    table = "text,label\n" + "".join(f"row {i},{'good' if i % 2 else 'bad'}\n" for i in range(12))
    at = healthy(upload(own_table(open_page), "few.csv", table))

    assert "at most as many shots" in texts(at)
    shots = next(control for control in at.segmented_control if control.label == "Shots per class")
    assert shots.value <= 4


def test_no_instruction_no_start(workspace: Workspace, open_page: OpenPage) -> None:
    at = upload(own_table(open_page), "reviews.csv", TABLE, instruction="   ")

    assert not can_launch(at)
    assert "Say what to do" in texts(at)


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
        Subject(classes=2, closed=True, images=False, train=36, test=15),
    )  # fmt: skip
    assert classes == [duration(expected.seconds)]
