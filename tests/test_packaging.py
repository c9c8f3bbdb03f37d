"""A built wheel carries the data, the app and its settings, and works without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent

LICENCE, CITATION = "LICENSE", "CITATION.cff"


def test_licence_and_citation_say_the_same_of_the_project() -> None:
    text = (ROOT / LICENCE).read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "Copyright 2026 The π-Tuning Studio developers" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / CITATION).read_text(encoding="utf-8"))
    assert project["license"] == citation["license"] == "Apache-2.0"
    paper = citation["preferred-citation"]
    assert paper["title"] == "π-Tuning: Transferring Multimodal Foundation Models with Optimal Multi-task Interpolation"
    assert paper["year"] == 2023
    assert [author["family-names"] for author in paper["authors"]] == ["Wu", "Wang", "Ge", "Lu", "Zhou", "Shan", "Luo"]
    assert "2304.14381" in paper["identifiers"][0]["value"]


@pytest.mark.slow
def test_licence_and_citation_go_where_the_code_goes(tmp_path: Path) -> None:
    for target in ("wheel", "sdist"):
        build = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(tmp_path)]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        info = next(name for name in archive.namelist() if name.endswith("/METADATA")).removesuffix("METADATA")
        carried = {
            LICENCE: archive.read(f"{info}licenses/{LICENCE}"),
            CITATION: archive.read(f"{info}extra_metadata/{CITATION}"),
        }
        metadata = archive.read(f"{info}METADATA").decode()
    for name, content in carried.items():
        assert content == (ROOT / name).read_bytes()
    assert "\nLicense-Expression: Apache-2.0\nLicense-File: LICENSE\n" in metadata
    with tarfile.open(sdist) as archive:
        root = sdist.name.removesuffix(".tar.gz")
        assert {f"{root}/{LICENCE}", f"{root}/{CITATION}"} <= set(archive.getnames())


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
