"""Follows the recipes of docs/architecture.md: what they add from outside the package does what it must.

The modules are the page's own code blocks. Each door is gone through twice: by `Registry.register`, and by the entry
points of a package that is installed, as far as Python can tell.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from transformers import GPTJConfig, GPTJForCausalLM

from pituning.backbones.base import Backbone
from pituning.backbones.composed.composing import compose
from pituning.backbones.composed.vision_parts import VISION_PARTS
from pituning.backbones.families import FAMILIES
from pituning.errors import BadInput
from pituning.experts.kinds import KINDS
from pituning.graph.predictors import PREDICTORS, shot_predictors
from pituning.graph.predictors.gains import GAIN_PREDICTORS, GainRecord
from pituning.progress import Silent
from pituning.registry import Registry, load
from pituning.reports.document import report
from pituning.reports.reader import Reader
from pituning.runs.kinds import RUN_KINDS
from pituning.runs.plans import forecast
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.runs.sweep import changes_of
from pituning.runs.worker import run_claimed, work_on
from pituning.tasks.base import Example, Task
from pituning.tasks.metrics import METRICS, chance, score
from pituning.tasks.reading import FORMATS, open_table
from pituning.tasks.registry import list_tasks, load_task
from pituning.tasks.saved import save_task
from pituning.tuning.config import TuneConfig
from pituning.tuning.run import tune
from pituning.workspace.layout import ENVIRONMENT_VARIABLE, Workspace
from pituning.workspace.stories import Slide, Story
from pituning.workspace.story_views import VIEWS
from tests.backbones.contract import BackboneContract
from tests.backbones.tiny import TINY, Tiny, causal
from tests.backbones.tiny_composed import llama
from tests.experts.contract import KindContract
from tests.graph.gain_contract import GainContract
from tests.tuning.conftest import make_workspace, tiny_tasks  # noqa: F401 (fixtures)

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
_BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

REGISTRIES: tuple[Registry[Any], ...] = (
    KINDS, FAMILIES, VISION_PARTS, PREDICTORS, GAIN_PREDICTORS, FORMATS, METRICS, RUN_KINDS, VIEWS
)  # fmt: skip
GPTJ = Tiny("gptj", "gptj",
            causal(GPTJConfig, GPTJForCausalLM, n_inner=48, rotary_dim=8, num_key_value_heads=4),
            GPTJForCausalLM)  # fmt: skip


def blocks(language: str) -> list[tuple[str, str]]:
    """File name and content of the page's blocks in a language."""
    return [(name, text) for found, name, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")) if found == language]


def entry_points() -> dict[str, dict[str, str]]:
    """What the page says an installed package writes, by group and name."""
    ((_, text),) = blocks("toml")
    return tomllib.loads(text)["project"]["entry-points"]


@pytest.fixture(scope="module", params=["register", "entry points"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of the page's modules, whose records are known for as long as this lasts."""
    directory = tmp_path_factory.mktemp("guest")
    for name, text in blocks("python"):
        (directory / name).write_text(text, encoding="utf-8")
    points = entry_points()
    guests = [(registry, name) for registry in REGISTRIES for name in points[str(registry.group)]]
    assert sorted(points) == sorted(str(registry.group) for registry in REGISTRIES)
    for registry in REGISTRIES:
        list(registry)  # with what is installed in earnest
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(directory))
        if request.param == "register":
            for registry, name in guests:
                registry.register(load(points[str(registry.group)][name]))
        else:
            metadata = directory / "guest-1.0.dist-info"
            metadata.mkdir()
            (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
            lines = [
                line
                for group, named in points.items()
                for line in (f"[{group}]", *(f"{name} = {value}" for name, value in named.items()))
            ]
            (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
            importlib.invalidate_caches()
            for registry in REGISTRIES:
                patched.setattr(registry, "_complete", False)
        assert all(name in registry for registry, name in guests)
        yield directory
    for registry, name in guests:
        registry.unregister(name)
    for name, _ in blocks("python"):
        sys.modules.pop(name.removesuffix(".py"), None)


def test_every_block_of_code_is_executed() -> None:
    assert all(name.endswith(".py") for name, _ in blocks("python"))
    assert len(blocks("python")) == _BLOCK.sub("", PAGE.read_text(encoding="utf-8")).count("\n### ") + 4


def test_records_need_no_torch(door: Path) -> None:
    """Nor does whoever only reads them: the app, the commands' help."""
    modules = [value.partition(":")[0] for named in entry_points().values() for value in named.values()]
    code = f"import sys, {', '.join(modules)}; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": f"{door}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


@pytest.fixture(scope="module", params=[TINY[0], GPTJ], ids=lambda tiny: tiny.id)
def tiny(request: pytest.FixtureRequest, door: Path) -> Tiny:
    return request.param


@pytest.fixture(scope="module")
def directory(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / tiny.id
    tiny.make(path)
    return path


@pytest.fixture(scope="module")
def backbone(directory: Path) -> Backbone:
    return Backbone.load(directory)


class TestGuestKind(KindContract):
    """LoHa, on a family of the package and on the guest."""

    @pytest.fixture
    def kind(self, door: Path) -> str:
        return "hadamard"


@pytest.mark.parametrize("tiny", [GPTJ], ids=["gptj"], indirect=True)
class TestGuestFamily(BackboneContract):
    """GPT-J."""


@pytest.mark.parametrize("tiny", [GPTJ], ids=["gptj"], indirect=True)
@pytest.mark.parametrize("kind", ["lora", "prefix"])
class TestKindsOnTheGuestFamily(KindContract):
    """A family needs nothing for the kinds that are there."""


@pytest.mark.slow
def test_a_guest_vision_part_sees_for_a_composed_backbone(door: Path, tmp_path: Path, vision_task: Task) -> None:
    """Each cell is the mean of the patches under it, by the filters; another picture gives other answers."""
    workspace = Workspace.open(tmp_path / "ws")
    llama(workspace.root / "backbones" / "reader")
    card = compose(workspace, vision="mosaic", language="reader", name="seer", side=2, hidden=8)
    assert (card.family, card.source, card.licence) == ("composed", "mosaic + reader", "Apache-2.0")
    backbone = Backbone.load(workspace.backbone_dir("seer"))
    pixels = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    (cells,) = backbone.vision.features(pixels, 2)
    filters = backbone.vision.model
    patches = pixels[0].float().div(127.5).sub(1).permute(2, 0, 1).unfold(1, 16, 16).unfold(2, 16, 16)
    rows = torch.einsum("cyxhw,ochw->yxo", patches, filters.weight) + filters.bias
    for cell, (y, x) in zip(cells, ((0, 0), (0, 2), (2, 0), (2, 2)), strict=True):
        torch.testing.assert_close(cell.float(), rows[y : y + 2, x : x + 2].mean((0, 1)), atol=2e-3, rtol=2e-3)
    encoded = backbone.encode(vision_task, vision_task.split("test")[:2])
    one, other = backbone.logits(encoded.batch([0]))[0, 0], backbone.logits(encoded.batch([1]))[0, 0]
    assert not torch.allclose(one, other)


def test_a_guest_predictor_chooses_donors(
    door: Path,
    make_workspace: Any,  # noqa: F811
    vision_task: Task,
) -> None:
    assert shot_predictors()[-1] == "distance"
    config = TuneConfig(
        target=vision_task.name, predictor="distance", shots=4, steps=2, donors=2, test_examples=6, folds=1,
        baselines=("single",),
    )  # fmt: skip
    result = tune(config, make_workspace("w", "lora"), Silent())
    similarity = [neighbor["similarity"] for neighbor in result["neighbors"]]
    assert similarity == sorted(similarity, reverse=True)
    assert 0 < similarity[-1] <= similarity[0] <= 1
    assert result["donors"] == [neighbor["task"] for neighbor in result["neighbors"][:2]]


class TestGuestGainPredictor(GainContract):
    """The probe and its cube."""

    @pytest.fixture
    def record(self, door: Path) -> GainRecord:
        return GAIN_PREDICTORS["curved"]


def test_a_guest_metric_scores_a_saved_task(
    door: Path, tmp_path: Path, tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.open(tmp_path / "w")
    splits = {
        split: [Example(uid=f"n/{split}/{i}", text=f"{i} + 0", answer=str(i)) for i in range(8)]
        for split in ("train", "validation", "test")
    }
    task = Task(
        name="sums", title="Sums", instruction="how much?", modality="language", metric="close-number", labels=None,
        source="file", splits=splits,
    )  # fmt: skip
    save_task(task, workspace)
    saved = load_task("sums", workspace)
    assert next(info for info in list_tasks(workspace) if info.name == "sums").metric == "close-number"
    # Of 64 pairs of eight numbers 8 are equal and 14 neighbours.
    assert chance(saved) == pytest.approx(100 * 22 / 64, abs=4)
    assert score(saved.metric, ["3", "5", "many"], ["4", "3", "3"]) == pytest.approx(100 / 3)
    steps: list[int] = []
    step = tiny_backbone.step
    monkeypatch.setattr(tiny_backbone, "step", lambda *given: steps.append(1) or step(*given))
    assert len(tiny_backbone.predict(tiny_backbone.encode(saved, saved.split("test")[:4]), saved)) == 4
    assert 1 + len(steps) <= METRICS["close-number"].longest_answer  # the first token costs no step


def test_a_guest_form_of_tables_is_read(door: Path, tmp_path: Path) -> None:
    (tmp_path / "t.ft").write_text("__label__good a fine day\n__label__bad rain again\n")
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.write(tmp_path / "t.ft", "t.ft")
    for file in ("t.ft", "t.zip"):
        rows = [row.cells for row in open_table(tmp_path / file).rows()]
        assert rows == [{"label": "good", "text": "a fine day"}, {"label": "bad", "text": "rain again"}]


def test_a_guest_run_goes_through_the_queue(door: Path, tmp_path: Path) -> None:
    queue = RunQueue(Workspace.open(tmp_path / "w"))
    spec = RunSpec(kind="greet", config=changes_of("greet", ["name=you", "times=3"]))
    assert spec.command() == "pituning runs submit greet --set name=you --set times=3"
    assert forecast(queue, spec).seconds == pytest.approx(0.3)
    run_id = queue.submit(spec)
    claim = queue.claim("me").claim  # type: ignore[union-attr]
    if (door / "guest-1.0.dist-info").is_dir():  # then a process of its own knows the kind, too
        worker = [
            sys.executable, "-m", "pituning.runs.worker", run_id, "--workspace", str(queue.workspace.root),
            "--owner", claim.owner, "--attempt", str(claim.attempt),
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": f"{door}{os.pathsep}{ROOT}"}
        subprocess.run(worker, env=environment, check=True, capture_output=True)
    else:
        assert run_claimed(queue, claim, work_on) == "succeeded"
    assert queue.result_of(run_id) == {"said": ["hello you"] * 3, "run": run_id}
    assert [point.value for point in queue.curves_of(run_id) if point.series == "greeting"] == [0, 1, 2]
    with pytest.raises(BadInput, match="times is 0"):
        queue.submit(RunSpec(kind="greet", config={"name": "you", "times": 0}))


def test_a_guest_view_is_a_slide(door: Path, tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "w")
    made = report(Reader(workspace), Story(name="mine", title="Mine", slides=(Slide(view="count", id="a"),)))
    assert made.problems == {}
    assert '"y":[8,6,6]' in made.text
    assert f"Most tasks are vision: 8 of {len(list_tasks(workspace))}</h2>" in made.text


def test_a_page_is_drawn(door: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # AppTest puts the page in its place
    workspace = Workspace.open(tmp_path / "w")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(workspace.root))
    entry = load("page_entry:COUNTS")
    assert entry.path == f"app_pages/{entry.file}"
    at = AppTest.from_file(str(door / "counts_page.py"), default_timeout=120).run()
    assert not at.exception
    assert not at.error
    assert at.title[0].value == entry.title
    assert np.sum(at.dataframe[0].value["Tasks"]) == len(list_tasks(workspace))
