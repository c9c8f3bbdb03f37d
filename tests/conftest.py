"""What every test may use: a tiny random backbone and tiny tasks that need no embedded data."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tiny tensors: a second thread of torch only waits, and where others use the cores too it waits long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from benchmarks.postgres import INSTALL, LocalPostgres, binaries
from pituning.tasks.base import Example, Task

if TYPE_CHECKING:
    from pituning.backbones.base import Backbone


MEMORY, ROOM = "/dev/shm", 8 * 2**30


def pytest_configure() -> None:
    """Temporary files lie in memory where there is room for them, and Ctrl-C is heard.

    Tests make and remove files by the ten thousand. ext4 gives out no number of a file that was removed just now, and
    looks through all of these for each new one, which took up to a third of all processor time.
    """
    # A shell without job control starts what is in the background with Ctrl-C ignored, and all that it starts, too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = MEMORY  # of what tests start as well


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first, so that at the end no process waits for another's long file."""
    long = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("browser")}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """What has been imported stays, so no collection of garbage needs to walk over all of torch again."""
    gc.enable()
    gc.freeze()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Torch takes one thread, whatever an earlier test has called: a second one spins while it waits."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 220)}
WORDS = ("small", "large", "round", "square", "old", "new", "happy", "sad")


@dataclass(frozen=True)
class PlainImage:
    """An image of one colour with noise."""

    colour: tuple[int, int, int]
    seed: int

    def render(self, size: int) -> Image.Image:
        noise = np.random.default_rng(self.seed).integers(-25, 25, (size, size, 3))
        return Image.fromarray(np.clip(np.array(self.colour) + noise, 0, 255).astype(np.uint8))


def make_vision_task(train: int = 60, test: int = 24, *, name: str = "tiny-colour") -> Task:
    """Which colour? Three labels whose first tokens differ."""

    def split(which: str, count: int, seed: int) -> list[Example]:
        rng = np.random.default_rng(seed)
        labels = list(COLOURS)
        rows = []
        for index in range(count):
            label = labels[index % len(labels)]
            image = PlainImage(COLOURS[label], int(rng.integers(1 << 30)))
            rows.append(Example(uid=f"{name}/{which}/{index}", text="", answer=label, image=image))
        return rows

    return Task(
        name=name,
        title="Tiny colours",
        instruction="which colour is it?",
        modality="vision",
        metric="accuracy",
        labels=tuple(COLOURS),
        splits={
            "train": split("train", train, 1),
            "validation": split("validation", 12, 2),
            "test": split("test", test, 3),
        },
    )


def make_text_task(train: int = 60, test: int = 24, *, name: str = "tiny-mood") -> Task:
    """Does the text say happy or sad? Two of the three labels share their first token."""

    def split(which: str, count: int, seed: int) -> list[Example]:
        rng = np.random.default_rng(seed)
        labels = ("very good", "very bad", "unsure")
        rows = []
        for index in range(count):
            label = labels[index % 3]
            words = list(rng.choice(WORDS[:6], size=int(rng.integers(1, 5))))
            words += {"very good": ["happy"], "very bad": ["sad"], "unsure": []}[label]
            rng.shuffle(words)
            rows.append(Example(uid=f"{name}/{which}/{index}", text=" ".join(words), answer=label))
        return rows

    return Task(
        name=name,
        title="Tiny moods",
        instruction="how is the mood?",
        modality="language",
        metric="accuracy",
        labels=("very good", "very bad", "unsure"),
        splits={
            "train": split("train", train, 1),
            "validation": split("validation", 12, 2),
            "test": split("test", test, 3),
        },
    )


def make_box_task(train: int = 40, test: int = 12, *, name: str = "tiny-box") -> Task:
    """Open answers of four location tokens."""

    def split(which: str, count: int, seed: int) -> list[Example]:
        rng = np.random.default_rng(seed)
        labels = list(COLOURS)
        rows = []
        for index in range(count):
            colour = labels[index % 3]
            corner = {"red": "<loc_0><loc_0><loc_20><loc_20>", "green": "<loc_4><loc_8><loc_30><loc_40>"}.get(
                colour, "<loc_10><loc_2><loc_47><loc_47>"
            )
            image = PlainImage(COLOURS[colour], int(rng.integers(1 << 30)))
            rows.append(Example(uid=f"{name}/{which}/{index}", text=f"the {colour} one", answer=corner, image=image))
        return rows

    return Task(
        name=name,
        title="Tiny boxes",
        instruction="where is",
        modality="vision-language",
        metric="box_iou",
        labels=None,
        splits={
            "train": split("train", train, 1),
            "validation": split("validation", 6, 2),
            "test": split("test", test, 3),
        },
    )


def save_tiny_backbone(directory: Path, *, layers: int = 1, seed: int = 0) -> Path:
    """Writes a random backbone of width 32; it loads with `Backbone.load` and with transformers alone."""
    from pituning.backbones.base import Backbone
    from pituning.pretraining.architecture import build_model, save_backbone, train_tokenizer

    texts = [" ".join([*COLOURS, *WORDS, "which colour is it? how is the mood? where is the one very good bad unsure"])]
    tokenizer = train_tokenizer(texts * 2, vocab_size=330)
    model = build_model(
        tokenizer, d_model=32, layers=layers, vision_dims=(16, 32), heads=2, image_size=16, max_positions=96, seed=seed
    )
    with_noise(model, seed)
    save_backbone(model, tokenizer, directory, image_size=16)
    Backbone.load(directory).places().save(directory)
    return directory


def with_noise(model: object, seed: int) -> None:
    """Makes random weights large enough for outputs to depend visibly on inputs and on experts."""
    import torch

    generator = torch.Generator().manual_seed(seed + 100)
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # type: ignore[attr-defined]
            if parameter.dim() == 2 and "embed" not in name and "shared" not in name and "lm_head" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter.shape[1] ** 0.5)
            elif "shared" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


@pytest.fixture(scope="session")
def tiny_backbone_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved random backbone: d = 32, one encoder and one decoder layer, 16 x 16 images. Do not write into it."""
    return save_tiny_backbone(tmp_path_factory.mktemp("backbones") / "tiny")


@pytest.fixture(scope="session")
def tiny_backbone(tiny_backbone_dir: Path) -> Backbone:
    """The loaded `tiny_backbone_dir`. Shared: copy it before changing it."""
    from pituning.backbones.base import Backbone

    return Backbone.load(tiny_backbone_dir)


@pytest.fixture(scope="session")
def two_layer_backbone_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like `tiny_backbone_dir` with two layers each, where PEFT's prefix tuning needs its even-layer care."""
    return save_tiny_backbone(tmp_path_factory.mktemp("backbones") / "tiny-two", layers=2, seed=1)


@pytest.fixture(scope="session")
def two_layer_backbone(two_layer_backbone_dir: Path) -> Backbone:
    from pituning.backbones.base import Backbone

    return Backbone.load(two_layer_backbone_dir)


@pytest.fixture(scope="session")
def vision_task() -> Task:
    return make_vision_task()


@pytest.fixture(scope="session")
def text_task() -> Task:
    return make_text_task()


@pytest.fixture(scope="session")
def box_task() -> Task:
    return make_box_task()


def lacking(reason: str) -> None:
    """Skips a test for want of something outside Python, which continuous integration must have."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (CI is set: nothing may be skipped)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def real_backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the backbones ``smollm2`` and ``smolvision``, each added from its packages by one command.

    That takes a quarter of a minute: it is made once for all processes of a run, and tests only read it. What the
    commands printed is in ``NAME.json`` beside the workspace.
    """
    from pituning.backbones.offers import OFFERS

    for package in OFFERS["smolvision"].packages:
        try:
            distribution(package)
        except PackageNotFoundError:
            lacking(f"package {package} is not installed: {OFFERS['smolvision'].install}")
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "real"
    root.mkdir(exist_ok=True)
    done = root / "done"
    with FileLock(root / "lock"):
        if not done.exists():
            for name in ("smollm2", "smolvision"):
                command = [sys.executable, "-m", "pituning.cli", "backbones", "add", name, "--json"]
                command += ["--workspace", str(root / "workspace")]
                made = subprocess.run(command, capture_output=True, text=True, check=False)
                assert made.returncode == 0, made.stderr
                (root / f"{name}.json").write_text(made.stdout, encoding="utf-8")
            done.touch()
    return root / "workspace" / "backbones"


def link_backbones(directory: Path, root: Path) -> None:
    """The workspace ``root`` has the backbones of that directory as well, whose files are not copied."""
    shutil.copytree(directory, root / "backbones", dirs_exist_ok=True, copy_function=os.link)


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """A PostgreSQL server of the tests' own."""
    if binaries() is None:
        lacking(f"no PostgreSQL server is installed; {INSTALL}")
    server = LocalPostgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_template(postgres: LocalPostgres) -> str:
    """The name of a database with the current schema, to be copied: that is faster than to migrate each."""
    from pituning.workspace.database import open_database

    url = postgres.database()
    open_database(url).dispose()
    return url.rsplit("/", 1)[1]
