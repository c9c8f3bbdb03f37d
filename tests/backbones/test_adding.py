"""Backbones from directories, GGUF files, packages and the hub: whole and described, or refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pituning.backbones import conversion, packages
from pituning.backbones.adding import add_backbone
from pituning.backbones.card import CARD, card_of
from pituning.backbones.files import fingerprint, fingerprinted, tokenizer_files, weight_files
from pituning.backbones.packages import PACKAGES, PackageRecord
from pituning.backbones.sources import find_source, valid_name
from pituning.errors import ArtefactError, BadInput, DiskFull
from pituning.workspace.layout import Workspace
from tests.backbones.checkpoints import CHAT, POSITIONS, save_tiny_llama, write_tiny_gguf

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("checkpoints") / "Tiny-Llama.v2")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("checkpoints") / "sharded", shard="60KB")


@pytest.fixture
def given(llama: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(llama, tmp_path / "given"))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    Workspace.open(tmp_path / "ws")
    return Workspace(tmp_path / "ws", embedded=None)


def refused(workspace: Workspace, *arguments: Any, **options: Any) -> str:
    """The line that refuses what is given; nothing is left of it."""
    with pytest.raises(BadInput) as caught:
        add_backbone(workspace, *map(str, arguments), **options)
    message = str(caught.value)
    assert "\n" not in message
    place = workspace.root / "backbones"
    assert not place.exists() or not any(place.iterdir())
    return message


# From a directory.


def test_directory(workspace: Workspace, llama: Path) -> None:
    card = add_backbone(workspace, str(llama))
    directory = workspace.backbone_dir("tiny-llama-v2")
    assert card == card_of(workspace, "tiny-llama-v2")
    assert (card.family, card.model_type, card.licence) == ("causal", "llama", "apache-2.0")
    assert (card.dtype, card.max_tokens, card.modalities) == ("float32", POSITIONS, ("language",))
    assert (card.origin, card.source, card.revision) == ("directory", str(llama), None)
    assert card.fingerprint == fingerprint(llama) == fingerprint(directory)
    assert card.size == sum(p.stat().st_size for p in directory.iterdir() if p.name != CARD)
    assert (directory / "chat_template.jinja").read_text() == CHAT

    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True)
    assert card.parameters == model.num_parameters()


def test_only_what_belongs_to_a_backbone_is_taken(workspace: Workspace, given: Path) -> None:
    for name in (
        "modeling_x.py",
        "pytorch_model.bin",
        "optimizer.pt",
        "training_args.bin",
        ".env",
        "consolidated.safetensors",
    ):
        (given / name).write_bytes(b"x")
    (given / "onnx").mkdir()
    add_backbone(workspace, str(given), name="mine")
    names = {path.name for path in workspace.backbone_dir("mine").iterdir()}
    assert names == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
        "generation_config.json", "README.md", CARD,
    }  # fmt: skip


def test_shards(workspace: Workspace, sharded: Path) -> None:
    shards = weight_files(sharded)
    assert len(shards) > 1
    card = add_backbone(workspace, str(sharded))
    directory = workspace.backbone_dir("sharded")
    assert weight_files(directory) == shards
    assert fingerprinted(directory) == ("config.json", *shards, "tokenizer.json")
    assert (directory / "model.safetensors.index.json").is_file()
    one = json.loads((directory / "model.safetensors.index.json").read_text())["metadata"]["total_size"] // 4
    assert card.parameters == one


def test_missing_shard(workspace: Workspace, sharded: Path, tmp_path: Path) -> None:
    given = Path(shutil.copytree(sharded, tmp_path / "given"))
    gone = weight_files(given)[1]
    (given / gone).unlink()
    assert f"lacks {gone}" in refused(workspace, given)
    with pytest.raises(ArtefactError, match=f"lacks {gone}"):
        fingerprint(given)


@pytest.mark.parametrize(
    "shards", [{}, {"a": "../model.safetensors"}, {"a": "/etc/passwd"}, {"a": 3}, {"a": "model.bin"}, None]
)
def test_index_that_lists_no_shards(workspace: Workspace, given: Path, shards: Any) -> None:
    (given / "model.safetensors").unlink()
    (given / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert "weight_map lists no safetensors files" in refused(workspace, given)


def pickled(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (pickled, "pickle only"),
        (lambda d: (d / "model.safetensors").rename(d / "flax_model.msgpack"), "pickles or other formats only"),
        (lambda d: (d / "model.safetensors").rename(d / "weights.safetensors"), "there is weights.safetensors"),
        (lambda d: (d / "model.safetensors").unlink(), "has no model.safetensors or model.safetensors.index.json"),
        (lambda d: (d / "config.json").unlink(), "has no config.json"),
        (lambda d: (d / "config.json").rename(d / "m.gguf"), "but m.gguf, which can be added by itself"),
        (lambda d: (d / "config.json").write_text("not json"), "is not a JSON document"),
        (lambda d: (d / "config.json").write_text("[]"), "is no config of a model"),
        (lambda d: (d / "config.json").write_text('{"model_type": "lama", "architectures": ["X"]}'), "llama"),
        (lambda d: (d / "tokenizer.json").unlink(), "has no tokenizer"),
        (lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:-9]), "truncated"),
        (lambda d: (d / "model.safetensors").write_bytes(b"\x10" * 300), "truncated or no safetensors file"),
        (lambda d: (d / "model.safetensors").write_bytes(b""), "truncated or no safetensors file"),
    ],
)
def test_directories_that_are_refused(
    workspace: Workspace, given: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(given)
    assert words in refused(workspace, given)


def test_the_fix_for_a_pickle_works(workspace: Workspace, given: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    import torch
    from safetensors.torch import load_file

    tensors = load_file(given / "model.safetensors")
    (given / "model.safetensors").unlink()
    torch.save(tensors, given / "pytorch_model.bin")
    fix = refused(workspace, given).partition("in its directory: ")[2]
    assert fix.startswith("python -c ")
    subprocess.run(fix.replace("python", sys.executable, 1), shell=True, cwd=given, check=True, timeout=120)  # noqa: S602
    assert add_backbone(workspace, str(given)).parameters == sum(tensor.numel() for tensor in tensors.values())


def test_packed_weights(workspace: Workspace, given: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"a": np.zeros((9, 9), dtype=np.int32), "b": np.zeros(3, dtype=np.float32)}, given / "model.safetensors")
    assert "packed weights" in refused(workspace, given)


def test_links(workspace: Workspace, llama: Path, tmp_path: Path) -> None:
    cache = tmp_path / "models--tiny--llama"
    snapshot, blobs = cache / "snapshots" / COMMIT, cache / "blobs"
    shutil.copytree(llama, snapshot)
    blobs.mkdir()
    (snapshot / "tokenizer.json").rename(blobs / "1234")
    (snapshot / "tokenizer.json").symlink_to("../../blobs/1234")  # as the hub's cache has it
    add_backbone(workspace, str(snapshot), name="mine")
    assert not (workspace.backbone_dir("mine") / "tokenizer.json").is_symlink()
    shutil.rmtree(workspace.backbone_dir("mine"))

    (tmp_path / "secret").write_text("{}")
    (snapshot / "generation_config.json").unlink()
    (snapshot / "generation_config.json").symlink_to(tmp_path / "secret")
    assert "leads out of its directory" in refused(workspace, snapshot, name="mine")


def test_tokenizers_without_a_json(workspace: Workspace, given: Path) -> None:
    document = json.loads((given / "tokenizer.json").read_text())["model"]
    (given / "tokenizer.json").unlink()
    (given / "vocab.json").write_text(json.dumps(document["vocab"]))
    assert "has no tokenizer" in refused(workspace, given)
    (given / "merges.txt").write_text("#version: 0.2\n")
    assert tokenizer_files(given) == ("vocab.json", "merges.txt")
    before = add_backbone(workspace, str(given)).fingerprint
    (given / "merges.txt").write_text("#version: 0.2\na b\n")
    assert add_backbone(workspace, str(given), name="other").fingerprint != before


def test_names(workspace: Workspace, llama: Path) -> None:
    assert valid_name("SmolLM2-135M-Instruct.Q4_1") == "smollm2-135m-instruct-q4-1"
    assert valid_name("日本") == "backbone"
    assert "60 of a-z" in refused(workspace, llama, name="No Such")
    assert "is the embedded backbone's; give another --name, such as 'mini-2'" in refused(workspace, llama, name="mini")
    add_backbone(workspace, str(llama), name="mine")
    with pytest.raises(BadInput, match="is there already.*such as 'mine-2', .*pituning backbones remove mine"):
        add_backbone(workspace, str(llama), name="mine")


def test_full_disk(workspace: Workspace, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pituning.backbones import adding

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(adding, "copy_checkpoint", full)
    with pytest.raises(DiskFull, match="disk full while writing .*nothing was changed"):
        add_backbone(workspace, str(llama))
    assert not any((workspace.root / "backbones").iterdir())


@pytest.mark.parametrize(
    "text", ["./none", "/none/such", "~/none", "a/b/c", "none.gguf", "owner//name", "a b", "", "a--b"]
)
def test_what_is_nothing(text: str) -> None:
    with pytest.raises(BadInput, match="no directory, no .gguf file, no hub id") as caught:
        find_source(text)
    assert caught.value.exit_code == 2


def test_options_of_other_sources(workspace: Workspace, llama: Path) -> None:
    assert "--revision is for ids of the hub" in refused(workspace, llama, revision="main")
    assert "--dtype is for GGUF files" in refused(workspace, llama, dtype="float32")
    assert "float16" in refused(workspace, "smollm2", dtype="float16")


# From a GGUF file.


@pytest.fixture(scope="module")
def gguf_file(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "Tiny.F32.gguf", llama)


@pytest.mark.parametrize("dtype", [None, "float32"])
def test_gguf(workspace: Workspace, llama: Path, gguf_file: Path, dtype: str | None) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    card = add_backbone(workspace, str(gguf_file), dtype=dtype)
    directory = workspace.backbone_dir("tiny-f32")
    assert (card.origin, card.source) == ("gguf", str(gguf_file))
    assert (card.family, card.licence, card.max_tokens) == ("causal", "apache-2.0", POSITIONS)
    assert card.dtype == (dtype or "bfloat16")
    assert "_model_name_or_path" not in (directory / "config.json").read_text()
    before, after = (
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True)
        for path in (llama, directory)
    )
    tokenizers = [AutoTokenizer.from_pretrained(path, local_files_only=True) for path in (llama, directory)]
    text = "how is the very old mood? 12"
    ids = [tokenizer(text)["input_ids"] for tokenizer in tokenizers]
    assert ids[0] == ids[1]
    assert tokenizers[1].chat_template == CHAT
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([ids[0]])).logits for model in (before, after)]
    assert torch.allclose(*logits, atol=1e-5 if dtype == "float32" else 2e-2)


def test_progress_of_a_conversion(workspace: Workspace, gguf_file: Path) -> None:
    from pituning.progress import Silent

    class Told(Silent):
        def __init__(self) -> None:
            self.phases: list[tuple[str, int]] = []
            self.steps = 0

        def phase(self, name: str, total: int) -> None:
            self.phases.append((name, total))

        def advance(self, steps: int = 1) -> None:
            self.steps += steps

    told = Told()
    add_backbone(workspace, str(gguf_file), reporter=told)
    assert [name for name, _ in told.phases] == [
        "read the tokenizer", "unpack the weights", "write the backbone", "check",
    ]  # fmt: skip
    assert told.steps == sum(total for _, total in told.phases)


def test_damaged_gguf(workspace: Workspace, gguf_file: Path, llama: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.gguf"
    whole = gguf_file.read_bytes()
    for data, words in (
        (b"", "is no GGUF file"),
        (b"PK\3\4" + whole[4:], "is no GGUF file"),
        (whole[:4] + b"\x01" + whole[5:], "GGUF version 1"),
        (whole[:100], "truncated or damaged"),
        (whole[:16] + b"\xff" * 8 + whole[24:], "truncated or damaged"),
        (whole[:-5000], "cannot be converted"),
    ):
        path.write_bytes(data)
        assert words in refused(workspace, path)
    assert "lacks 1 tensors" in refused(
        workspace, write_tiny_gguf(tmp_path / "part.gguf", llama, without="blk.1.ffn_up.weight")
    )
    assert "(architecture 'clip') cannot be converted" in refused(
        workspace, write_tiny_gguf(tmp_path / "clip.gguf", llama, architecture="clip")
    )


def test_gguf_without_its_package(workspace: Workspace, gguf_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "find_spec", lambda name: None)
    assert "pip install 'pituning-studio[gguf]'" in refused(workspace, gguf_file)


# From a package.


def installed(monkeypatch: pytest.MonkeyPatch, directory: Path, package: str, file: str, data: bytes) -> None:
    """Puts a package with one file, and code that must not be imported, where importlib finds it."""
    module = package.replace("-", "_")
    (directory / module).mkdir(parents=True)
    (directory / module / "__init__.py").write_text("raise ImportError('this needs what is not installed')\n")
    (directory / module / file).write_bytes(data)
    info = directory / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"{module}/__init__.py,,\n{module}/{file},,\n")
    monkeypatch.syspath_prepend(str(directory))


def record(**options: Any) -> PackageRecord:
    return PackageRecord(
        **{
            "name": "tiny", "label": "Tiny", "help": "Tiny.", "package": "llm-tiny-model", "hub": "tiny/llama",
            "licence": "MIT", "install": "pip install llm-tiny-model",
        } | options
    )  # fmt: skip


@pytest.fixture
def registered() -> Any:
    added: list[str] = []

    def register(one: PackageRecord) -> None:
        PACKAGES.register(one)
        added.append(one.name)

    yield register
    for name in added:
        PACKAGES.unregister(name)


def test_package(
    workspace: Workspace, gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registered: Any
) -> None:
    registered(record())
    assert "package llm-tiny-model of backbone 'tiny' is not installed; install it: pip install" in refused(
        workspace, "tiny"
    )
    installed(monkeypatch, tmp_path / "site", "llm-tiny-model", "tiny.gguf", gguf_file.read_bytes())
    card = add_backbone(workspace, "tiny")
    assert (card.name, card.origin, card.source, card.licence) == ("tiny", "package", "tiny", "MIT")


def test_package_in_parts(
    workspace: Workspace, gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registered: Any
) -> None:
    import hashlib

    data = gguf_file.read_bytes()
    registered(record(parts=("tiny-part1", "tiny-part2"), sha256=hashlib.sha256(data).hexdigest()))
    installed(monkeypatch, tmp_path / "one", "tiny-part1", "tiny.gguf.part00", data[:5000])
    assert "package tiny-part2 of backbone 'tiny' is not installed" in refused(workspace, "tiny")
    installed(monkeypatch, tmp_path / "two", "tiny-part2", "tiny.gguf.part01", data[5000:])
    add_backbone(workspace, "tiny")
    directory = workspace.backbone_dir("tiny")
    assert not list(directory.glob("*.gguf"))
    shutil.rmtree(directory)
    (tmp_path / "two" / "tiny_part2" / "tiny.gguf.part01").write_bytes(data[5000:-1] + b"x")
    assert "install it again" in refused(workspace, "tiny")


def test_known_packages() -> None:
    for known in PACKAGES.values():
        assert find_source(known.name).origin == "package"
        assert valid_name(known.name) == known.name
        assert known.licence != "unknown"
        assert known.package in known.install
    assert packages.PACKAGES["smollm2"].hub == "HuggingFaceTB/SmolLM2-135M-Instruct"


# From the hub, at the boundary of its library.


class Hub:
    """Stands in for the two functions of huggingface_hub that are used."""

    def __init__(self, directory: Path, *, files: list[str] | None = None):
        self.directory, self.files = directory, files
        self.asked: list[dict[str, Any]] = []
        self.about: Exception | None = None
        self.error: Exception | None = None

    def model_info(self, repo_id: str, *, revision: str | None, files_metadata: bool) -> Any:
        if self.about is not None:
            raise self.about
        names = self.files or [path.name for path in self.directory.iterdir()]
        return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename=name, size=10) for name in names])

    def snapshot_download(self, repo_id: str, **options: Any) -> str:
        self.asked.append(options | {"repo_id": repo_id})
        if self.error is not None:
            raise self.error
        return str(self.directory)


@pytest.fixture
def hub(given: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    import huggingface_hub

    hub = Hub(given)
    monkeypatch.setattr(huggingface_hub, "model_info", hub.model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def http_error(kind: str, status: int) -> Exception:
    """An error of the hub's library as it raises it."""
    from huggingface_hub import errors

    response_type = errors.HfHubHTTPError.__init__.__globals__.get("Response") or _response_type()
    response = response_type(status, request=_request(response_type))
    return getattr(errors, kind)(f"{status} Client Error.\n\nRequest ID: 1", response=response)


def _response_type() -> Any:
    try:
        import httpx2 as httpx
    except ImportError:
        import httpx  # type: ignore[no-redef]
    return httpx.Response


def _request(response_type: Any) -> Any:
    import importlib

    return importlib.import_module(response_type.__module__.partition(".")[0]).Request(
        "GET", "https://huggingface.co/x"
    )


def test_hub(workspace: Workspace, hub: Hub, given: Path) -> None:
    (given / "modeling_evil.py").write_text("raise SystemExit")
    card = add_backbone(workspace, "tiny/Llama-2M", revision="main")
    assert (card.name, card.origin, card.source) == ("llama-2m", "hub", "tiny/Llama-2M")
    assert (card.revision, card.licence) == (COMMIT, "apache-2.0")
    small, all_files = hub.asked
    assert (small["revision"], all_files["revision"]) == ("main", COMMIT)
    for asked in hub.asked:
        assert not [p for p in asked["allow_patterns"] if p.endswith((".bin", ".pt", ".py", ".pkl")) or "*" in p]
    assert not [pattern for pattern in small["allow_patterns"] if pattern.endswith(".safetensors")]
    assert "model.safetensors" in all_files["allow_patterns"]
    assert not (workspace.backbone_dir("llama-2m") / "modeling_evil.py").exists()


def test_weights_are_fetched_only_for_what_can_be_a_backbone(workspace: Workspace, hub: Hub, given: Path) -> None:
    hub.files = ["config.json", "tokenizer.json", "pytorch_model.bin", "README.md"]
    assert "pickle only (pytorch_model.bin)" in refused(workspace, "tiny/llama")
    hub.files = ["README.md", "model.safetensors"]
    assert "has no config.json" in refused(workspace, "tiny/llama")
    hub.files = ["README.md", "tiny.Q4.gguf"]
    assert "but tiny.Q4.gguf" in refused(workspace, "tiny/llama")
    hub.files = ["config.json", "tokenizer.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"]
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (given / "model.safetensors").unlink()
    (given / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert "lacks model-00002-of-00002.safetensors" in refused(workspace, "tiny/llama")
    hub.files = None
    (given / "config.json").write_text('{"model_type": "unheard", "architectures": ["Unheard"]}')
    (given / "model.safetensors").touch()
    assert "'unheard' model (Unheard), which no family runs" in refused(workspace, "tiny/llama")
    assert all("model.safetensors" not in asked["allow_patterns"] for asked in hub.asked)


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("GatedRepoError", 403, "is gated: accept its terms at https://huggingface.co/tiny/llama"),
        ("RepositoryNotFoundError", 404, "does not exist, or is private"),
        ("RevisionNotFoundError", 404, "has no revision 'v9'"),
        ("HfHubHTTPError", 503, "the hub answered 503"),
        ("HfHubHTTPError", 401, "hf auth login"),
        ("HfHubHTTPError", 403, "hf auth login"),
        ("DisabledRepoError", 403, "the hub answered 403"),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_what_the_hub_refuses(workspace: Workspace, hub: Hub, kind: str, status: int, words: str, late: bool) -> None:
    error = http_error(kind, status)
    hub.about, hub.error = (None, error) if late else (error, None)
    assert words in refused(workspace, "tiny/llama", revision="v9")


def offline_errors() -> list[Exception]:
    from huggingface_hub import errors

    transport = __import__(_response_type().__module__.partition(".")[0])
    return [
        errors.OfflineModeIsEnabled("offline"),
        errors.LocalEntryNotFoundError("nothing there"),
        transport.ConnectError("no route"),
        transport.ReadTimeout("slow"),
        ConnectionError("reset"),
    ]


@pytest.mark.parametrize("number", range(5))
def test_without_a_network(workspace: Workspace, hub: Hub, number: int) -> None:
    from huggingface_hub import errors

    hub.about = offline_errors()[number]
    hub.error = errors.LocalEntryNotFoundError("Cannot find an appropriate cached snapshot folder\nfor it")
    assert "the hub cannot be reached and its cache has no whole hub model tiny/llama" in refused(
        workspace, "tiny/llama"
    )
    assert hub.asked[0]["local_files_only"] is True
    hub.error = None
    assert add_backbone(workspace, "tiny/llama").revision is None  # this directory is named by no commit


def test_connection_that_breaks_off(workspace: Workspace, hub: Hub) -> None:
    for error in offline_errors()[2:]:
        hub.error = error
        assert "broke off" in refused(workspace, "tiny/llama")


def test_hub_id_that_is_none(workspace: Workspace) -> None:
    assert "is no hub id" in refused(workspace, "tiny./llama-")
