"""The app without a browser: Streamlit's AppTest on a synthetic workspace, and nobody who would work on the queue."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from pituning.backbones.files import fingerprint
from pituning.backbones.places import Places
from pituning.experts import uploads
from pituning.experts.card import ExpertCard
from pituning.experts.checkpoint import read_checkpoint
from pituning.experts.fitting import check_fit
from pituning.experts.keeping import keep_checkpoint
from pituning.experts.uploads import Upload
from pituning.registry import load
from pituning.workspace import bounded
from pituning.workspace.atomic import write_text
from pituning.workspace.layout import DATA_VARIABLE, ENVIRONMENT_VARIABLE, Workspace
from pituning.workspace.transfer import COLUMNS, NO_DONOR
from tests.app.synthetic import make_workspace

ENTRY = Path(__file__).resolve().parents[2] / "app" / "streamlit_app.py"
SECONDS = 240

OpenPage = Callable[..., AppTest]


@pytest.fixture(scope="session", autouse=True)
def _one_scan() -> Iterator[None]:
    """Each AppTest looks through all installed packages for components of Streamlit; once is enough."""
    with pytest.MonkeyPatch.context() as patched:
        manifests = manifest_scanner.scan_component_manifests()
        patched.setattr(manifest_scanner, "scan_component_manifests", lambda: list(manifests))
        yield


@pytest.fixture(autouse=True)
def _main_module() -> Iterator[None]:
    """AppTest makes the page the main module and leaves it so; processes that later tests spawn would run it."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture(autouse=True)
def _work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pages leave to processes of their own is done here: each of those takes a third of a second to start.

    Nothing is compared with plain PEFT: the backbone is none.
    """

    def keep(upload: Upload, workspace: Workspace, name: str, task: str, backbone: str) -> ExpertCard:
        folder = workspace.backbone_dir(backbone)
        mark = fingerprint(folder)
        fitted = check_fit(read_checkpoint(upload.data, upload.filename), Places.read(folder), mark)
        return keep_checkpoint(fitted, workspace.zoo(backbone), name=name, task=task, fingerprint=mark)

    monkeypatch.setattr(bounded, "call", lambda work, *arguments, what, limits: load(work)(*arguments))
    monkeypatch.setattr(uploads, "keep", keep)


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[Workspace]:
    """The workspaces whose supervisor was asked for; none is started."""
    workspaces: list[Workspace] = []
    monkeypatch.setattr("app.components.runs_data.ensure_supervisor", workspaces.append)
    return workspaces


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace to copy; its database is migrated already."""
    made = make_workspace(tmp_path_factory.mktemp("app") / "template")
    made.engine.dispose()
    return made.root


@pytest.fixture
def workspace(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, woken: list[Workspace]) -> Workspace:
    """A workspace with a zoo and no runs, which the app opens."""
    root = tmp_path / "workspace"
    shutil.copytree(template, root)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(root))
    monkeypatch.setenv(DATA_VARIABLE, "")  # what ships does not show through
    return Workspace(root, embedded=None)


@pytest.fixture
def measured(workspace: Workspace) -> Workspace:
    """A workspace in which similar tasks help each other, at 0 and at 16 shots."""
    zoo, rng = workspace.zoo().similarity("lora", "probe"), np.random.default_rng(0)
    rows = []
    for shots in (0, 16):
        for i, target in enumerate(zoo.names):
            rows.append((target, NO_DONOR, shots, 0, 40.0, "x"))
            for j, donor in enumerate(zoo.names):
                if i != j:
                    rows.append((target, donor, shots, 0, 40 + 30 * zoo.matrix[i, j] - 8 + rng.normal(), "x"))
    write_text(workspace.zoo().new_transfer_path("lora"), pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False))
    return workspace


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, woken: list[Workspace]) -> Workspace:
    """A new workspace on a machine without the embedded data."""
    root = tmp_path / "bare"
    Workspace.open(root)
    alone = Workspace(root, embedded=None)
    monkeypatch.setattr("app.components.context._open", lambda *_: alone)
    return alone


@pytest.fixture
def open_page() -> OpenPage:
    """Opens a page at its script's name, with query parameters."""

    def opened(page: str = "home", **params: str) -> AppTest:
        at = AppTest.from_file(str(ENTRY), default_timeout=SECONDS)
        for name, value in params.items():
            at.query_params[name] = value
        if page != "home":
            at.run()
            at.switch_page(f"app_pages/{page}.py")
        at.run()
        return at

    return opened


def texts(at: AppTest) -> str:
    """Everything that a page says in text, alerts and their titles included."""
    parts = [
        element.value
        for kind in ("title", "header", "subheader", "markdown", "caption", "code")
        for element in at.get(kind)
    ]
    alerts = [*at.error, *at.warning, *at.info, *at.success]
    parts += [part for alert in alerts for part in (alert.value, getattr(alert.proto, "title", ""))]
    return "\n".join(str(part) for part in parts)


def healthy(at: AppTest) -> AppTest:
    """The page, of which no exception and no error is shown."""
    assert not at.exception
    assert [alert.value for alert in at.error] == []
    return at
