"""Cards: what they say of the embedded backbone, of one copied in by hand, and of damaged ones; memory; licences."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from pituning.backbones.card import CARD, EMBEDDED_LICENCE, card_of, max_tokens, text_config
from pituning.backbones.files import fingerprint, require_files
from pituning.backbones.gguf_metadata import read_metadata
from pituning.backbones.headers import read_weights
from pituning.backbones.licence import licence_of, plain
from pituning.backbones.memory import this_machine, tuning_memory
from pituning.errors import ArtefactError, BadInput
from pituning.workspace.layout import Workspace

ROOT = Path(__file__).resolve().parents[2]


def test_torch_free() -> None:
    modules = (
        "card",
        "families",
        "files",
        "gguf_metadata",
        "headers",
        "hub",
        "licence",
        "memory",
        "packages",
        "sources",
    )
    code = (
        f"import sys, {', '.join(f'pituning.backbones.{name}' for name in modules)}, pituning.runs.backbone_removal;"
        "print([m for m in ('torch', 'transformers', 'peft', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def test_the_embedded_backbone(tmp_path: Path) -> None:
    data = ROOT / "data"
    Workspace.open(tmp_path / "ws")
    card = card_of(Workspace(tmp_path / "ws", embedded=data), "mini")
    assert (card.name, card.origin, card.family, card.licence) == ("mini", "embedded", "florence2", EMBEDDED_LICENCE)
    assert set(card.modalities) == {"vision", "language", "vision-language"}
    assert card.max_tokens == 256
    # What its shipped experts were made on: the fingerprint must stay what it was.
    shipped = next((data / "zoos" / "mini").glob("*/experts/*/card.json"))
    assert card.fingerprint == json.loads(shipped.read_text())["fingerprint"]


def test_one_copied_in_by_hand(tmp_path: Path, tiny_backbone_dir: Path) -> None:
    Workspace.open(tmp_path / "ws")
    workspace = Workspace(tmp_path / "ws", embedded=None)
    shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "mini")
    card = card_of(workspace, "mini")
    assert (card.origin, card.licence, card.added) == ("directory", "unknown", None)
    assert card.fingerprint == fingerprint(tiny_backbone_dir)
    with pytest.raises(BadInput, match="unknown backbone 'mine'"):
        card_of(workspace, "mine")
    (workspace.backbone_dir() / "preprocessor_config.json").unlink()
    with pytest.raises(ArtefactError, match=r"lacks preprocessor_config\.json"):
        card_of(workspace, "mini")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a JSON document"),
        ("[]", "format_version None"),
        ('{"format_version": 99}', "reads up to 1; upgrade"),
        ('{"format_version": 1, "name": "x"}', "is damaged at origin"),
    ],
)
def test_damaged_cards(tmp_path: Path, tiny_backbone_dir: Path, text: str, words: str) -> None:
    Workspace.open(tmp_path / "ws")
    workspace = Workspace(tmp_path / "ws", embedded=None)
    shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "mine")
    (workspace.root / "backbones" / "mine" / CARD).write_text(text)
    with pytest.raises(ArtefactError, match=words) as caught:
        card_of(workspace, "mine")
    assert "\n" not in str(caught.value)


def test_fingerprint_follows_every_file_that_matters(tmp_path: Path, tiny_backbone_dir: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        directory = Path(shutil.copytree(tiny_backbone_dir, tmp_path / name))
        (directory / name).write_bytes((directory / name).read_bytes() + b" ")
        assert fingerprint(directory) != fingerprint(tiny_backbone_dir)
        (directory / name).unlink()
        with pytest.raises(ArtefactError, match=f"lacks {name}"):
            require_files(directory)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# x", "apache-2.0"),
        ("---\r\ntags:\r\n- a\r\nlicense: 'mit'\r\n---\r\n", "mit"),
        ("---\nlicense: other\nlicense_name: llama3\nlicense_link: LICENSE\n---\n", "llama3"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense:\n- cc-by-4.0\n- mit\n---\n", "cc-by-4.0"),
        ("---\nlicense: [mit, bsd]\n---\n", "mit"),
        ("---\nlicense: gemma # see terms\n---\n", "gemma"),
        ("---\nlicense:\ntags: x\n---\n", "unknown"),
        ("---\ntags: x\n---\nlicense: mit\n", "unknown"),
        ("# No front matter\nlicense: mit\n", "unknown"),
        ("---\nlicense: mit\n", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
        (f"---\nlicense: {'x' * 500}\n---\n", "x" * 80),
    ],
)
def test_licences(tmp_path: Path, card: str | None, licence: str) -> None:
    if card is not None:
        (tmp_path / "README.md").write_bytes(card.encode())
    assert licence_of(tmp_path) == licence


def test_licence_is_one_plain_line() -> None:
    assert plain("a\x1b[31m\nb") == "a [31m b"
    assert plain(None) == plain("") == plain(7) == plain(" \n") == "unknown"


def test_context_lengths() -> None:
    assert max_tokens({"max_position_embeddings": 10}) == 10
    assert max_tokens({"text_config": {"n_positions": 20}, "max_position_embeddings": 9}) == 20
    assert max_tokens({"model_type": "t5"}) is None
    assert max_tokens({"max_position_embeddings": True}) is None
    assert text_config({"decoder": {"text_config": {"a": 1}}}) == {"a": 1}


def header(document: object) -> bytes:
    text = json.dumps(document).encode()
    return struct.pack("<Q", len(text)) + text


def test_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensor = {"dtype": "BF16", "shape": [3, 5], "data_offsets": [0, 30]}
    path.write_bytes(header({"a": tensor, "__metadata__": {"format": "pt"}}) + b"\0" * 30)
    assert (read_weights([path]).parameters, read_weights([path]).dtype) == (15, "bfloat16")
    for data in (
        header({"a": tensor}) + b"\0" * 29,
        header({"a": tensor | {"shape": ["3"]}}) + b"\0" * 30,
        header({"a": tensor | {"dtype": 3}}) + b"\0" * 30,
        header({"a": {}}),
        header([1]),
        header({"a": 3}),
        struct.pack("<Q", 1 << 60) + b"{}",
        b"\0",
    ):
        path.write_bytes(data)
        with pytest.raises(ArtefactError, match="truncated or no safetensors file") as caught:
            read_weights([path])
        assert "\n" not in str(caught.value)
    path.write_bytes(header({}))
    with pytest.raises(ArtefactError, match="no tensors"):
        read_weights([path])


def test_metadata_of_a_gguf_file(tmp_path: Path) -> None:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    keys = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("words") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("bc"),
        text("nested") + struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 4, 2) + b"\0" * 8,
        text("floats") + struct.pack("<IIQ", 9, 6, 3) + b"\0" * 12,
        text("count") + struct.pack("<IQ", 10, 7),
        text("yes") + struct.pack("<I?", 7, True),
    ]
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys)) + b"".join(keys))
    assert read_metadata(path) == {"general.architecture": "llama", "count": 7, "yes": True}
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<I", 99))
    with pytest.raises(BadInput, match="truncated or damaged"):
        read_metadata(path)
    with pytest.raises(BadInput, match="cannot read"):
        read_metadata(tmp_path / "none.gguf")


SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "vocab_size": 49152}
GEMMA3 = {"text_config": {"hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 18, "vocab_size": 262144}}


@pytest.mark.parametrize(("config", "parameters", "measured"), [(SMOLLM2, 134515008, 4468), (GEMMA3, 268098176, 7277)])
def test_memory_is_near_what_was_measured(config: dict, parameters: int, measured: int) -> None:
    need = tuning_memory(config, parameters)
    assert need.total / 2**20 == pytest.approx(measured, rel=0.1)
    half = tuning_memory(config, parameters, dtype="bfloat16", batch=4)
    assert half.weights == need.weights // 2
    assert half.activations < need.activations / 2 + 1
    assert need.total == need.weights + need.experts + need.activations + need.program


def test_memory_of_other_shapes() -> None:
    t5 = tuning_memory({"d_model": 512, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "vocab_size": 32128}, 1)
    assert t5.activations > 0
    assert tuning_memory({}, 100).weights == 400
    assert 0 < this_machine().available <= this_machine().total
