from __future__ import annotations

import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from streamlit.testing.v1 import AppTest

from pituning.backbones.files import fingerprint
from pituning.experts import catalogue
from pituning.experts.card import CARD, CONFIG, TENSORS, read_card
from pituning.experts.catalogue import ExpertEntry
from pituning.runs.configs import AnswerRun
from pituning.runs.queue import RunQueue
from pituning.runs.records import Run
from pituning.runs.spec import RunSpec
from pituning.workspace.layout import Workspace
from tests.app import synthetic
from tests.app.conftest import OpenPage, healthy, texts
from tests.app.test_access import roles, visit  # noqa: F401 (a fixture)
from tests.app.uploads import beside, png, zipped

PI = "digits-pi-16-shot-0"


def tuned(workspace: Workspace, name: str = PI) -> None:
    """The π-expert that the default run on the digits makes."""
    spec = {"method": "pi", "shots": 16, "weights": {"own": 0.6, "shape": 0.4}, "chosen": "mixture"}
    backbone = fingerprint(workspace.backbone_dir())
    synthetic.make_expert(workspace.zoo().new_expert_dir("lora", name), "lora", backbone, task="digits", spec=spec)


def table(at: AppTest) -> Any:
    """What the table of experts shows."""
    return at.dataframe[0].value


def links(at: AppTest) -> dict[str, str]:
    return {link.proto.label: link.proto.query_string for link in at.get("page_link")}


def test_the_zoo_is_a_table_that_can_be_filtered(workspace: Workspace, open_page: OpenPage) -> None:
    tuned(workspace)
    at = healthy(open_page("experts"))

    rows = table(at)
    assert len(rows) == synthetic.EXPERTS + 1
    assert rows["Name"][rows["Origin"] == "π-tuned here"].tolist() == [PI]
    assert set(rows["Usable"]) == {"✓"}
    nli = rows[(rows["Name"] == "nli") & (rows["Kind"] == "LoRA")].iloc[0]
    # Of width 4 and 8: three attention blocks' q and v at rank 4, and fc1 and fc2 of two layers.
    assert nli["Parameters"] == 3 * 2 * (4 * 4 + 4 * 4) + 2 * 2 * (4 * 4 + 8 * 4)
    assert nli["Score"] == 61.5
    assert "No expert chosen" in texts(at)

    at.text_input(key="find").set_value("pi digits").run()
    assert table(at)["Name"].tolist() == [PI]
    assert f"1 of {synthetic.EXPERTS + 1} experts" in texts(at)
    at.selectbox(key="of").set_value("nli").run()
    assert "No matches" in texts(at)
    at.text_input(key="find").set_value("").run()
    assert sorted(table(at)["Kind"]) == ["Bottleneck", "IA³", "LoRA", "Prefix"]
    assert at.query_params["of"] == "nli"


def test_a_link_to_an_expert_opens_its_card(
    workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned(workspace)
    run = synthetic.done(workspace, "digits")
    files: dict[str, bytes] = {}

    def download_button(_label: str, data: Callable[[], bytes], *, file_name: str, **_rest: object) -> None:
        files[file_name] = data()

    monkeypatch.setattr("streamlit.download_button", download_button)
    at = healthy(open_page("experts", expert=f"lora/{PI}"))

    assert links(at)["The run that made it"] == f"run={run.id}"
    assert links(at)["Its neighbours in the task graph"] == "task=digits"
    mixed = next(frame.value for frame in at.dataframe if "Weight" in frame.value)
    assert mixed["Weight"].tolist() == [40.0, 30.0, 20.0, 10.0]  # as the run's result says
    with ZipFile(BytesIO(files[f"{PI}-lora.zip"])) as archive:
        assert sorted(archive.namelist()) == sorted(f"{PI}/{name}" for name in (CARD, CONFIG, "README.md", TENSORS))
        assert archive.read(f"{PI}/{TENSORS}") == synthetic.expert_tensors("lora")
    facts = at.table[0].value
    card = read_card(workspace.zoo().expert_dir("lora", PI))
    assert facts[facts["What"] == "SHA-256"]["Value"].tolist() == [f"`{card.sha256[:16]}…`"]

    at.button(key="expert_delete").click().run()
    healthy(at)
    assert not workspace.zoo().expert_dir("lora", PI).exists()
    assert len(table(at)) == synthetic.EXPERTS

    next(button for button in at.button if button.label == "Restore").click().run()
    healthy(at)
    assert workspace.zoo().expert_dir("lora", PI).exists()
    assert len(table(at)) == synthetic.EXPERTS + 1


def test_broken_experts_are_told_apart(workspace: Workspace, open_page: OpenPage) -> None:
    truncated = workspace.zoo().expert_dir("lora", "nli") / TENSORS
    truncated.write_bytes(truncated.read_bytes()[:-9])
    (workspace.zoo().expert_dir("lora", "rte") / CARD).write_text("{")
    other = workspace.zoo().expert_dir("lora", "vqa") / TENSORS
    other.write_bytes(synthetic.expert_tensors("lora", 0.25))
    foreign = workspace.zoo().expert_dir("lora", "shape") / CARD
    foreign.write_text(json.dumps(json.loads(foreign.read_text()) | {"fingerprint": "0" * 64}))

    at = open_page("experts", expert="lora/vqa")
    rows = table(at)
    assert not at.exception
    bad = {row["Name"]: row["Usable"] for _, row in rows.iterrows() if row["Usable"] != "✓"}
    assert bad == {"nli": "✕ damaged", "rte": "✕ damaged", "shape": "✕ other backbone"}
    assert "does not match the checksum" in texts(at)  # told when it is chosen
    for name, reason in (
        ("nli", "not a whole safetensors file"),
        ("rte", "is not a JSON document"),
        ("shape", "made on another backbone"),
        ("gone", "not in this workspace"),
    ):
        at.query_params["expert"] = f"lora/{name}"
        assert reason in texts(at.run())


def test_an_empty_workspace_says_what_to_do(bare: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("experts"))
    assert "No experts yet" in texts(at)
    assert "pituning zoo build" in texts(at)


def importing(open_page: OpenPage) -> AppTest:
    at = open_page("experts")
    at.session_state["expert_import"] = True
    return at.run()


def give(at: AppTest, data: bytes, name: str = "mine.zip") -> str:
    """Uploads a file; what the page says beside it."""
    at.file_uploader(key="expert_file").upload(name, data)
    at.run()
    assert not at.exception
    return beside(at, at.file_uploader(key="expert_file").label)


def whole(**instead: Any) -> dict[str, Any]:
    files = {CONFIG: json.dumps(synthetic.PEFT_CONFIGS["lora"]), TENSORS: synthetic.expert_tensors("lora")}
    return files | {{"config": CONFIG, "tensors": TENSORS}.get(name, name): value for name, value in instead.items()}


def test_an_expert_is_imported(workspace: Workspace, open_page: OpenPage) -> None:
    at = importing(open_page)
    assert "It fits this foundation model" in give(at, zipped(whole()), "My Expert.zip")
    assert at.button(key="import_expert").disabled  # no task yet
    at.selectbox[[box.label for box in at.selectbox].index("Task")].set_value("nli").run()
    field = next(field for field in at.text_input if field.label == "Name")
    assert field.value == "my-expert"
    field.set_value("nli").run()
    assert "already a lora expert 'nli'" in beside(at, "Name")
    next(field for field in at.text_input if field.label == "Name").set_value("my-expert").run()
    at.button(key="import_expert").click().run()

    healthy(at)
    card = read_card(workspace.zoo().expert_dir("lora", "my-expert"))
    assert (card.task, card.spec["imported"]) == ("nli", "My Expert.zip")
    assert at.query_params["expert"] == "lora/my-expert"
    rows = table(at)
    assert rows["Origin"][rows["Name"] == "my-expert"].tolist() == ["Imported"]


def test_what_cannot_be_imported_is_told_beside_the_file(workspace: Workspace, open_page: OpenPage) -> None:
    at = importing(open_page)
    for data, words in (
        (b"hello", "is not a zip"),
        (zipped(whole() | {"../evil": "x"}), "holds the unsafe path '../evil'"),
        (zipped(whole() | {"training_args.bin": "x"}), "holds the pickle 'training_args.bin'"),
        (zipped(whole(tensors=synthetic.expert_tensors("lora")[:-5])), "not a whole safetensors file"),
        (zipped(whole(tensors=synthetic.expert_tensors("prefix"))), "it is no lora expert of this backbone"),
        (zipped(whole(config="{}")), "is not a PEFT config"),
    ):
        assert words in give(at, data)
        assert not [button for button in at.button if button.key == "import_expert"]


def test_what_is_converted_or_not_mixed_is_told(workspace: Workspace, open_page: OpenPage) -> None:
    config = synthetic.PEFT_CONFIGS["lora"]
    at = importing(open_page)
    given = json.dumps(config | {"use_rslora": True, "base_model_name_or_path": "somebody/else"})
    words = [give(at, zipped(whole(config=given))), *(caption.value for caption in at.caption)]
    assert any("It was made one rank (4) and one scale (4)" in word for word in words)
    assert any("trained on “somebody/else”" in word for word in words)
    words = [give(at, zipped(whole(config=json.dumps(config | {"use_dora": True}))))]
    words += [caption.value for caption in at.caption]
    assert any("Other PEFT method" in word and "but not mixed: use" in word for word in words)


def asked(workspace: Workspace) -> Run:
    (run,) = RunQueue(workspace).list(kind="answer")
    return run


def finish(workspace: Workspace, run: Run) -> None:
    """Answers a run as a worker does."""
    queue = RunQueue(workspace)
    claimed = queue.claim("test-owner")
    assert claimed is not None
    others = [{"answer": "4", "probability": 0.05}, {"answer": "5", "probability": 0.02}]
    curve = {"rows": 40, "ece": 0.05, "bins": [{"count": 40, "confidence": 0.9, "accuracy": 0.85}]}
    calibrated = {None: {}, PI: {"temperature": 1.5, "calibration": {"after": curve}}}
    answers = [
        {"expert": name, "method": method, **calibrated[name],
         "answers": [{"answer": answer, "probability": 0.93, "score": points, "others": others}]}
        for name, method, answer, points in ((None, "backbone", "7", 0.0), (PI, "pi", "3", 100.0))
    ]  # fmt: skip
    question = {"example": "test/5", "text": "", "image": None, "gold": "3"}
    path = workspace.run_dir(run.id) / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"task": "digits", "kind": "lora", "questions": [question], "said": answers}))
    queue.finish(claimed.claim, "succeeded", result_path=str(path.relative_to(workspace.root)))


def test_an_expert_answers_beside_the_others(workspace: Workspace, open_page: OpenPage, woken: list[Workspace]) -> None:
    tuned(workspace)
    at = healthy(open_page("experts", expert=f"lora/{PI}"))
    assert at.multiselect[0].value == ["digits"]  # the zoo's own
    at.number_input(key="ask_example_digits").set_value(5).run()
    at.button(key="ask").click().run()

    healthy(at)
    run = asked(workspace)
    assert run.spec.settings() == AnswerRun(experts=(PI, "digits"), task="digits", example=("test/5",))
    assert woken
    assert at.query_params["answers"] == run.id
    assert "loads the foundation model first" in texts(at)
    finish(workspace, run)
    at.run()
    page_text = texts(healthy(at))
    assert "**Backbone**" in page_text
    assert "**π-expert**" in page_text
    assert page_text.index(":red[:material/close: wrong]") < page_text.index(":green[:material/check: right]")
    assert page_text.count("Of 100 such answers about 85 are right, by 40 test rows.") == 1  # of the calibrated one
    assert page_text.count("4: 5 % · 5: 2 %") == 1
    assert page_text.count("Then 4 · 5") == 1
    assert "A percentage is shown only where it held on test rows" in page_text

    runs = healthy(open_page("runs"))
    assert not runs.dataframe  # out of the way
    runs.toggle(key="runs_answers").set_value(True).run()
    assert f"Answers of {PI} · LoRA" in texts(healthy(runs))


def test_a_question_of_ones_own(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("experts", expert="lora/visual-entailment"))
    at.segmented_control(key="ask_source").set_value("own").run()
    assert at.button(key="ask").disabled
    at.text_area(key="ask_text_visual-entailment").set_value("there is a red circle").run()
    image = at.file_uploader(key="ask_image_visual-entailment")
    image.upload("a.png", b"no image")
    at.run()
    assert "is not an image" in texts(at)
    assert at.button(key="ask").disabled
    at.file_uploader(key="ask_image_visual-entailment").upload("b.png", png("red"))
    at.run()
    at.button(key="ask").click().run()
    healthy(at)
    settings = asked(workspace).spec.settings()
    assert settings.text == "there is a red circle"
    assert (workspace.root / "questions" / f"{settings.image}.png").is_file()


def test_a_viewer_only_looks(workspace: Workspace, roles: object) -> None:  # noqa: F811
    tuned(workspace)
    RunQueue(workspace).submit(RunSpec.of("answer", AnswerRun(experts=(PI,), example=("test/0",))))
    at = visit("experts", "alan@example.org")
    at.query_params["expert"] = f"lora/{PI}"
    at.session_state["expert_import"] = True
    healthy(at.run())
    assert at.button(key="ask").disabled
    assert not at.file_uploader
    assert "this needs the role of runner" in texts(at)


@pytest.mark.slow
def test_thousands_of_experts_do_not_hold_the_page_up(
    workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned(workspace)
    made = workspace.zoo().new_expert_dir("lora", PI)
    card = (made / CARD).read_text()
    for number in range(1, 3000):
        other = made.with_name(f"digits-pi-16-shot-{number}")
        other.mkdir()
        for name in (CONFIG, TENSORS):
            os.link(made / name, other / name)
        (other / CARD).write_text(card.replace(PI, other.name))
    opened: list[Path] = []
    read = catalogue._read

    def counted(kind: str, name: str, directory: Path, **given: Any) -> ExpertEntry:
        opened.append(directory)
        return read(kind, name, directory, **given)

    monkeypatch.setattr(catalogue, "_read", counted)
    at = healthy(open_page("experts"))
    assert len(opened) >= 3000
    opened.clear()
    healthy(at.run())
    assert opened == []  # what has not changed is not opened again
