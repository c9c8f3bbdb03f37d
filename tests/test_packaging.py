"""A built wheel carries the data, the app and its settings, and works without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_wheel_works_without_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    tracked = subprocess.run(
        ["git", "ls-files", "data", "app", ".streamlit", "benchmarks"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    places = {"data": "pituning/_data", "app": "pituning/_app/app"}
    expected = set()
    for path in tracked:
        top, _, rest = path.partition("/")
        expected.add(f"{places.get(top, f'pituning/_app/{top}')}/{rest}")
    assert expected <= names
    assert not any("__pycache__" in name for name in names)

    code = (
        "from pituning.workspace import layout; import pituning; "
        "print(pituning.__file__, layout.resources(), layout.embedded_data(), sep='\\n')"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    package, resources, data = done.stdout.split()
    site = tmp_path / "site" / "pituning"
    assert Path(package) == site / "__init__.py"
    assert Path(resources) == site / "_app"
    if any(path.startswith("data/") for path in tracked):
        assert Path(data) == site / "_data"
    listed = [sys.executable, "-m", "pituning.cli", "tasks", "list", "--workspace", str(tmp_path / "ws")]
    done = subprocess.run(listed, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert "ground-relation" in done.stdout
