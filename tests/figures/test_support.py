from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pituning import cli
from pituning.backbones.families import FAMILIES
from pituning.experts.kinds import KINDS
from pituning.figures.support import BEGIN, END, support, support_markdown

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readme_has_the_table() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    actual = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert actual == support_markdown(), "put what `pituning backbones families --markdown` prints between the markers"


def test_every_family_and_kind_is_told() -> None:
    rows = {row["family"]: row for row in support()}
    assert list(rows) == list(FAMILIES)
    for name, record in FAMILIES.items():
        assert set(record.without) <= set(KINDS), f"{name} is without a kind that there is not"
        assert rows[name]["kinds"] == [kind for kind in KINDS if kind not in record.without]
        assert record.examples
    assert "prefix" in rows["t5gemma2"]["without"]


@pytest.mark.parametrize("option", ["--json", "--markdown", None])
def test_the_command(option: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["backbones", "families", *([option] if option else [])]
    assert cli.run(arguments) == 0
    out = capsys.readouterr().out
    if option == "--json":
        assert json.loads(out)["families"] == support()
    elif option == "--markdown":
        assert out.strip() == support_markdown()
    else:
        assert all(name in out for name in FAMILIES)


def test_it_needs_no_torch() -> None:
    code = "import sys; from pituning.figures.support import support; support(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
