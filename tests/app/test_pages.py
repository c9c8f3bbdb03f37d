from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.components import tour
from pituning.errors import ArtefactError
from pituning.tasks.base import Example, Task
from pituning.tasks.saved import save_task
from pituning.workspace.layout import ENVIRONMENT_VARIABLE, Workspace
from tests.app import synthetic
from tests.app.conftest import ENTRY, OpenPage, healthy, texts

PAGES = ("home", "task_graph", "task_map", "similarity", "transfer", "experts", "new_run", "runs", "label", "present")


def add_task(workspace: Workspace) -> None:
    splits = {
        split: [Example(uid=f"mine/{split}/{i}", text=f"text {i}", answer=("yes", "no")[i % 2]) for i in range(4)]
        for split in ("train", "validation", "test")
    }
    save_task(
        Task(
            name="mine", title="Mine", instruction="is it so?", modality="language", metric="accuracy",
            labels=("yes", "no"), source="file", splits=splits,
        ),
        workspace,
    )  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_a_full_workspace_shows_no_error(page: str, workspace: Workspace, open_page: OpenPage) -> None:
    synthetic.done(workspace)
    synthetic.running(workspace)

    at = healthy(open_page(page))

    assert at.title


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_a_bare_workspace_says_what_to_do(page: str, bare: Workspace, open_page: OpenPage) -> None:
    at = open_page(page)

    assert not at.exception
    page_text = texts(at)
    if page == "runs":
        assert "No runs yet" in page_text
    else:
        assert "pituning zoo build" in page_text


def test_the_tour_has_four_steps_and_is_not_opened_unasked(bare: Workspace, open_page: OpenPage) -> None:
    at = open_page("home")
    assert "tour_next" not in {button.key for button in at.button}
    at.button(key="tour_open").click().run()
    assert not at.exception
    assert len(tour.STEPS) == 4
    assert tour.STEPS[0].text in texts(at)
    assert {"tour_next", "tour_back", "tour_skip"} <= {button.key for button in at.button}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_a_workspace_whose_every_file_is_damaged_says_so_in_words(
    page: str, measured: Workspace, open_page: OpenPage
) -> None:
    synthetic.done(measured)
    add_task(measured)
    measured.engine.dispose()
    kept = {"workspace.json", "model.safetensors"}  # without the first nothing opens, of the second nothing is read
    for path in [path for path in measured.root.rglob("*") if path.is_file()]:
        if path.name not in kept and path.suffix != ".lock":
            path.write_bytes(b"\x00 no longer what it was " * 50)

    at = open_page(page)

    assert not at.exception
    page_text = texts(at)
    assert "Traceback" not in page_text
    assert "incident" not in page_text, "a failure that nobody foresaw"
    told = [alert.value.replace("\\", "") for alert in (*at.error, *at.warning)]
    told += [str(table.value.values.tolist()) for table in at.dataframe]
    if page == "present":
        assert "Slide 1 of 1" in page_text, "of what cannot be read there are no slides"
    elif page == "new_run":
        assert any("no experts of this kind" in text for text in told), told
    else:
        assert any(word in text for text in told for word in ("damaged", "not a readable", "not a JSON")), told


@pytest.mark.parametrize("page", ["home", "new_run", "runs"])
def test_a_damaged_database_is_told_in_words(page: str, workspace: Workspace, open_page: OpenPage) -> None:
    workspace.database_path.write_bytes(b"this is not a database" * 400)

    at = open_page(page)

    assert not at.exception
    assert any("is not a readable database" in alert.value.replace("\\", "") for alert in at.error)


def test_a_damaged_similarity_is_told_in_words(workspace: Workspace, open_page: OpenPage) -> None:
    path = workspace.zoo().similarity_path("lora", "probe")
    path.write_bytes(path.read_bytes()[:-40])

    at = open_page("task_graph")

    assert not at.exception
    assert "does not match the checksum" in texts(at)


def test_an_unforeseen_failure_shows_an_incident_and_no_traceback(
    workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("app.components.graph_shown.task_graph", broken)

    at = open_page("task_graph", k="7")

    assert not at.exception
    page_text = texts(at)
    assert "incident" in page_text
    assert "secret detail" not in page_text
    assert "Traceback" not in page_text


def test_an_error_of_ours_is_shown_with_its_mend(
    workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ArtefactError("the shelf is empty; fill it")

    monkeypatch.setattr("app.components.context.available", broken)

    at = open_page("task_graph")

    assert "The shelf is empty; fill it" in texts(at)


@pytest.mark.slow
def test_no_page_imports_torch_or_umap_even_indirectly(tmp_path: Path) -> None:
    # In a process of its own: other tests of this one may well have imported it.
    root = ENTRY.parents[1]
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(root)!r})
from tests.app import synthetic
workspace = synthetic.make_workspace(Path({str(tmp_path / "w")!r}))
run = synthetic.done(workspace)
import app.components.runs_data as data
data.ensure_supervisor = lambda _: None
from streamlit.testing.v1 import AppTest
for page in {PAGES!r}:
    at = AppTest.from_file({str(ENTRY)!r}, default_timeout=60).run()
    if page != "home":
        at.switch_page(f"app_pages/{{page}}.py").run()
    assert not at.exception and not at.error, (page, [a.value for a in at.error])
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{"torch", "transformers", "peft", "umap", "numba"}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=root,
        env={**os.environ, ENVIRONMENT_VARIABLE: str(tmp_path / "w")},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("[]")


def test_a_damaged_task_of_the_workspace_is_named(workspace: Workspace, open_page: OpenPage) -> None:
    folder = workspace.root / "tasks" / "broken"
    folder.mkdir(parents=True)
    (folder / "task.json").write_text("{", encoding="utf-8")

    at = healthy(open_page("home"))

    assert "cannot be read" in at.warning[0].value


def test_the_door_to_a_file_of_ones_own_opens_the_uploader(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("home")

    at.button(key="door_file").click().run()

    healthy(at)
    assert at.title[0].value == "New run"
    assert at.file_uploader(key="upload_file") is not None


@pytest.mark.parametrize(("door", "title"), [("graph", "Task graph"), ("run", "New run"), ("present", "Present")])
def test_home_has_a_door_to_each_kind_of_use(workspace: Workspace, open_page: OpenPage, door: str, title: str) -> None:
    at = healthy(open_page("home"))

    at.button(key=f"door_{door}").click().run()

    assert healthy(at).title[0].value == title


def test_the_doors_are_there_in_an_empty_workspace_too(bare: Workspace, open_page: OpenPage) -> None:
    at = open_page("home")
    at.button(key="door_present").click().run()

    assert not at.exception
    assert at.title[0].value == "Present"
