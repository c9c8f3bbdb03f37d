"""`pituning backbones`: add, list, show, remove, each for people and as JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pituning.backbones.files import fingerprint
from pituning.runs.configs import TrainRun
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.workspace.atomic import write_json
from pituning.workspace.layout import Workspace
from tests.app.synthetic import make_expert
from tests.backbones.checkpoints import save_tiny_llama
from tests.cli.conftest import Outcome
from tests.hub_server import COMMIT, serve

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("checkpoints") / "Tiny-Llama")


def test_add_list_show_remove(pituning: Run, workspace: Workspace, llama: Path) -> None:
    assert pituning("backbones", "list", "--json").json == {"backbones": [], "damaged": {}}
    added = pituning("backbones", "add", llama, "--json")
    assert added.code == 0
    document = added.json
    assert (document["name"], document["family"], document["licence"]) == ("tiny-llama", "causal", "apache-2.0")
    assert document["directory"] == str(workspace.root / "backbones" / "tiny-llama")
    assert document["memory"]["total"] > document["memory"]["weights"] == 4 * document["parameters"]
    assert document["machine"]["total"] >= document["machine"]["available"] > 0
    assert document["added"] > 0
    shown = pituning("backbones", "show", "tiny-llama", "--json").json
    assert {**shown, "machine": None} == {**document, "machine": None}
    listed = pituning("backbones", "list", "--json").json["backbones"]
    assert [card["name"] for card in listed] == ["tiny-llama"]
    assert listed[0]["fingerprint"] == fingerprint(llama)
    entry = pituning("backbones", "remove", "tiny-llama", "--json").json["bin"]
    assert workspace.backbone_names() == []
    assert pituning("bin", "restore", entry).out == "restored backbone tiny-llama\n"
    assert {**pituning("backbones", "show", "tiny-llama", "--json").json, "machine": None} == {**shown, "machine": None}


def test_what_people_read(pituning: Run, workspace: Workspace, llama: Path) -> None:
    added = pituning("backbones", "add", llama, "--name", "mine")
    assert added.out.splitlines()[0] == f"added mine from {llama}"
    for words in ("apache-2.0", "causal (llama)", "float32", "128 tokens", "tuning takes about", "this machine has"):
        assert words in added.out
    assert "copy (" in added.err
    (workspace.root / "backbones" / "broken").mkdir()
    listed = pituning("backbones", "list")
    assert "mine" in listed.out
    assert "broken cannot be used" in listed.err
    assert "licence      apache-2.0" in pituning("backbones", "show", "mine").out
    removed = pituning("backbones", "remove", "mine")
    assert removed.out == "removed backbone mine\n"
    assert pituning("backbones", "remove", "broken").code == 0
    *words, entry = removed.err.split()
    assert " ".join(words).endswith("to free its space now: pituning bin empty")
    assert pituning("bin", "empty", entry, "--yes").out == "deleted 1 for good\n"
    assert [each["name"] for each in pituning("bin", "list", "--json").json["entries"]] == ["broken"]


def test_one_line_of_error(pituning: Run, workspace: Workspace, llama: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (("add", "./none"), "no directory, no .gguf file, no hub id"),
        (("add", tmp_path), "has no config.json"),
        (("add", llama, "--name", "mini"), "is the embedded backbone's"),
        (("add", llama, "--dtype", "float32"), "--dtype is for GGUF files"),
        (("add", "tiny/llama"), "the hub cannot be reached"),  # the tests are told that there is no network
        (("show", "none"), "unknown backbone 'none'"),
        (("remove", "none"), "unknown backbone 'none'"),
        (("remove", "../ws"), "cannot be used"),
    ):
        outcome = pituning("backbones", *arguments)
        assert words in outcome.error
        assert outcome.code == 2
    assert workspace.backbone_names() == []


def test_a_backbone_that_is_needed_stays(pituning: Run, workspace: Workspace, llama: Path) -> None:
    pituning("backbones", "add", llama, "--name", "mine")
    made = workspace.zoo("mine").new_expert_dir("lora", "nli")
    make_expert(made, "lora", fingerprint(llama))
    outcome = pituning("backbones", "remove", "mine")
    assert (outcome.code, "is needed by expert lora/nli;" in outcome.error) == (2, True)
    shutil.rmtree(made)
    workspace.zoo("mine").new_expert_dir("prefix", "sst").mkdir(parents=True)
    assert "is needed by expert prefix/sst;" in pituning("backbones", "remove", "mine").error
    assert pituning("backbones", "remove", "mine", "--force").code == 0
    assert workspace.backbone_names() == []


def test_a_backbone_that_runs_need_stays(pituning: Run, workspace: Workspace, tiny_backbone_dir: Path) -> None:
    shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "mini")
    queue = RunQueue(workspace)
    run = queue.submit(RunSpec.of("train", TrainRun(task="nli")))
    outcome = pituning("backbones", "remove", "mini")
    assert outcome.code == 2
    assert "is queued; wait, or cancel it first: pituning runs cancel" in outcome.error
    queue.cancel(run)
    assert pituning("backbones", "remove", "mini").code == 0


def test_the_embedded_one_stays(pituning: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PITUNING_DATA")
    assert [card["name"] for card in pituning("backbones", "list", "--json").json["backbones"]] == ["mini"]
    outcome = pituning("backbones", "remove", "mini", "--force")
    assert (outcome.code, "is the embedded one" in outcome.error) == (2, True)


@pytest.mark.slow
def test_from_a_hub(workspace: Workspace, llama: Path, tmp_path: Path) -> None:
    given = Path(shutil.copytree(llama, tmp_path / "given"))
    for name in ("modeling_evil.py", "pytorch_model.bin"):
        (given / name).write_bytes(b"never fetched")

    with serve(given) as (address, fetched):
        environment = os.environ | {
            "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hub"), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
        }  # fmt: skip

        def pituning(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "pituning.cli", "backbones", *arguments]
            environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
            return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

        done = pituning("add", "tiny/llama", "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert (document["name"], document["revision"], document["source"]) == ("llama", COMMIT, "tiny/llama")
        assert document["fingerprint"] == fingerprint(llama)
        assert "model.safetensors" in fetched
        assert not {"modeling_evil.py", "pytorch_model.bin"} & set(fetched)
        for source, words in (
            (("tiny/gated",), "is gated: accept its terms"),
            (("tiny/none",), "does not exist, or is private"),
            (("tiny/llama", "--revision", "v9", "--name", "b"), "has no revision 'v9'"),
        ):
            done = pituning("add", *source)
            assert (done.returncode, done.stdout) == (2, "")
            (line,) = done.stderr.splitlines()
            assert words in line
    done = pituning("add", "tiny/llama", "--name", "again")  # the hub is gone; its cache is there
    assert done.returncode == 0, done.stderr
    assert "is taken from its cache" in done.stderr
    assert workspace.backbone_names() == ["again", "llama"]


def test_check_says_whether_it_can_be_trusted(pituning: Run, workspace: Workspace, llama: Path) -> None:
    pituning("backbones", "add", llama, "--name", "mine")
    actual = pituning("backbones", "check", "mine", "--json")
    assert actual.code == 0, actual.err
    assert actual.json["passed"] is True
    assert {check["outcome"] for check in actual.json["checks"]} == {"passed", "not applicable"}
    assert "check mine (" in actual.err
    places = workspace.root / "backbones" / "mine" / "places.json"
    write_json(places, json.loads(places.read_text()) | {"width": 7})
    wrong = pituning("backbones", "check", "mine", "--dtype", "auto")
    assert wrong.code == 1
    assert "FAILED" in wrong.out
    assert wrong.out.splitlines()[-1].startswith("1 of ")
    assert "do not rely on results of backbone mine until they pass" in wrong.out
    assert pituning("backbones", "check", "nobody").code == 2
    assert pituning("backbones", "check", "mine", "--dtype", "half").code == 2
