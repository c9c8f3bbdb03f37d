"""Checkpoints in and out without torch; what is expected comes from experts that torch wrote."""

from __future__ import annotations

import dataclasses
import json
import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from pituning.backbones.files import fingerprint
from pituning.backbones.places import Places
from pituning.errors import ArtefactError, BadInput
from pituning.experts.card import CARD, CONFIG, TENSORS, read_card
from pituning.experts.catalogue import Catalogue
from pituning.experts.checkpoint import read_checkpoint
from pituning.experts.fitting import check_fit
from pituning.experts.keeping import keep_checkpoint, pack_expert
from pituning.experts.kinds import mixable_kinds
from pituning.workspace.layout import Workspace
from tests.app.uploads import zipped


@pytest.fixture(scope="module")
def zoo(tmp_path_factory, tiny_backbone):
    """An expert of each kind, as the library writes them, by kind. Do not write into it."""
    from pituning.experts.model import ExpertModel
    from pituning.experts.store import make_expert, save_expert

    experts = {}
    for kind in mixable_kinds():
        model = ExpertModel(tiny_backbone, kind)
        expert = make_expert(model, model.initial(1), name="one", task="nli", seed=1, scores={"test": 50.5})
        experts[kind] = tmp_path_factory.mktemp("zoo") / kind / "one"
        save_expert(expert, model, experts[kind], half=kind == "prefix")
    return experts


@pytest.fixture
def workspace(tmp_path, tiny_backbone_dir) -> Workspace:
    Workspace.open(tmp_path / "w")
    shutil.copytree(tiny_backbone_dir, tmp_path / "w" / "backbones" / "mini")
    return Workspace(tmp_path / "w", None)


def members(directory: Path, **instead: bytes | None) -> dict[str, bytes]:
    """The files of a checkpoint; ``card=None`` leaves one out."""
    files = {"config": CONFIG, "tensors": TENSORS, "card": CARD}
    files_of = {name: instead.get(key, (directory / name).read_bytes()) for key, name in files.items()}
    return {name: data for name, data in files_of.items() if data is not None}


@pytest.mark.parametrize("kind", mixable_kinds())
def test_out_and_in_again_gives_the_same_expert(kind, zoo, workspace, tiny_backbone_dir):
    packed = pack_expert(zoo[kind])
    assert packed == pack_expert(zoo[kind])
    checkpoint = read_checkpoint(packed, "one.zip")
    ours = fingerprint(tiny_backbone_dir)
    check_fit(checkpoint, Places.read(tiny_backbone_dir), ours)
    card = keep_checkpoint(checkpoint, workspace.zoo(), name="mine", task="rte", fingerprint=ours)

    kept = workspace.zoo().new_expert_dir(kind, "mine")
    before = read_card(zoo[kind])
    assert (card.name, card.task, card.seed, card.scores) == ("mine", "rte", 1, before.scores)
    assert card.spec["imported"] == "one.zip"
    assert (kept / TENSORS).read_bytes() == (zoo[kind] / TENSORS).read_bytes()
    assert checkpoint.parameters == sum(tensor.size for tensor in load_file(zoo[kind] / TENSORS).values())

    from pituning.backbones.base import Backbone
    from pituning.experts.store import open_expert

    assert open_expert(kept, Backbone.load(tiny_backbone_dir, name="mini"))[0].task == "rte"
    with pytest.raises(BadInput, match="already a") as error:
        keep_checkpoint(checkpoint, workspace.zoo(), name="mine", task="rte", fingerprint=ours)
    assert error.value.field == "name"


def test_a_checkpoint_of_others_gets_a_card(zoo, workspace, tiny_backbone_dir):
    folder = {f"adapter/{name}": data for name, data in members(zoo["lora"], card=None).items()}
    checkpoint = read_checkpoint(zipped({**folder, "adapter/README.md": "about"}), "theirs.zip")
    ours = fingerprint(tiny_backbone_dir)
    check_fit(checkpoint, Places.read(tiny_backbone_dir), ours)
    card = keep_checkpoint(checkpoint, workspace.zoo(), name="theirs", task="nli", fingerprint=ours)
    assert (card.fingerprint, card.kind, dict(card.config)) == (ours, "lora", {"rank": 4, "scale": 2.0})
    assert sorted(path.name for path in workspace.zoo().new_expert_dir("lora", "theirs").iterdir()) == sorted(
        (CARD, CONFIG, TENSORS)
    )


def changed(directory: Path, change) -> bytes:
    return save(change(load_file(directory / TENSORS)))


def bad_zips(lora: Path) -> dict[str, tuple[bytes, str]]:
    config = json.loads((lora / CONFIG).read_text())
    whole = (lora / TENSORS).read_bytes()
    bare = members(lora, card=None)
    return {
        "no zip": (b"hello", "is not a zip"),
        "cut off": (zipped(members(lora))[:-200], "is not a zip, or it is damaged or cut off"),
        "slip": (zipped(bare | {"../../evil.json": b"{}"}), "holds the unsafe path '../../evil.json'"),
        "absolute": (zipped(bare | {"/etc/passwd": b""}), "unsafe path"),
        "pickle": (zipped(bare | {"adapter_model.bin": b"\x80\x04."}), "holds the pickle 'adapter_model.bin'"),
        "pickle in disguise": (zipped(bare | {TENSORS: b"\x80\x04\x95" + b"\0" * 9}), "not a whole"),
        "no config": (zipped({TENSORS: whole}), "has no adapter_config.json"),
        "two": (zipped({f"{x}/{n}": d for x in "ab" for n, d in bare.items()}), "has 2 files adapter_config.json"),
        "no tensors": (zipped({CONFIG: bare[CONFIG]}), "has no adapter_model.safetensors"),
        "not json": (zipped(bare | {CONFIG: b"{"}), "that is not JSON"),
        "a list": (zipped(bare | {CONFIG: b"[]"}), "is not a PEFT config"),
        "pissa": (
            zipped(bare | {CONFIG: json.dumps(config | {"init_lora_weights": "pissa"})}),
            "acts on base weights that it changed",
        ),
        "truncated": (zipped(bare | {TENSORS: whole[:-10]}), "not a whole safetensors file"),
        "endless": (zipped(bare | {TENSORS: b"\xff" * 8 + whole[8:]}), "not a whole safetensors file"),
        "nan": (
            zipped(bare | {TENSORS: changed(lora, lambda t: {k: np.full_like(v, np.nan) for k, v in t.items()})}),
            "not finite numbers",
        ),
        "integers": (
            zipped(bare | {TENSORS: changed(lora, lambda t: {k: v.astype(np.int32) for k, v in t.items()})}),
            "not finite numbers",
        ),
        "other bytes than the card says": (
            zipped(members(lora, tensors=changed(lora, lambda t: {k: v * 2 for k, v in t.items()}))),
            "does not match the checksum",
        ),
        "another card": (
            zipped(members(lora, card=(lora / CARD).read_bytes().replace(b'"rank": 4', b'"rank": 8'))),
            "has a card.json that says",
        ),
        "no card": (zipped(members(lora, card=b"{}")), "card.json of 'x.zip' has format_version None"),
    }  # fmt: skip


def test_what_cannot_be_trusted_is_refused(zoo):
    for what, (data, message) in bad_zips(zoo["lora"]).items():
        with pytest.raises(BadInput) as error:
            read_checkpoint(data, "x.zip")
        assert message in str(error.value), what
        assert error.value.field == "file", what
        assert "\n" not in str(error.value), what


def test_a_bomb_is_refused(zoo, monkeypatch):
    bomb = BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CONFIG, (zoo["lora"] / CONFIG).read_bytes())
        archive.writestr(TENSORS, bytes(3 * 2**20))
    with pytest.raises(BadInput, match="looks like a zip bomb"):
        read_checkpoint(bomb.getvalue(), "x.zip")
    monkeypatch.setattr("pituning.experts.checkpoint.MAX_TENSOR_BYTES", 1000)
    with pytest.raises(BadInput, match="too large"):
        read_checkpoint(zipped(members(zoo["lora"])), "x.zip")


def test_what_belongs_to_another_backbone_is_refused(zoo, tiny_backbone_dir, two_layer_backbone_dir):
    ours, other = Places.read(tiny_backbone_dir), Places.read(two_layer_backbone_dir)
    whole = read_checkpoint(pack_expert(zoo["lora"]), "x.zip")
    with pytest.raises(BadInput, match="was made on backbone 'tiny'"):
        check_fit(whole, other, fingerprint(two_layer_backbone_dir))
    bare = read_checkpoint(zipped(members(zoo["lora"], card=None)), "x.zip")
    check_fit(bare, other, "f")  # it names no backbone, and its modules are there, too
    deeper = dataclasses.replace(ours, blocks=ours.blocks[1:])
    with pytest.raises(BadInput, match="has the tensor .*, which has no place here; it is no lora expert"):
        check_fit(bare, deeper, "f")
    first = min(bare.shapes)
    for change, message in (
        (
            lambda t: t | {"foreign": np.zeros(1, np.float32)},
            "has the tensor 'foreign', which has no place here",
        ),
        (lambda t: t | {first: t[first][:, :-1].copy()}, "this backbone wants"),
    ):
        odd = zipped(members(zoo["lora"], card=None, tensors=changed(zoo["lora"], change)))
        with pytest.raises(BadInput, match=message):
            check_fit(read_checkpoint(odd, "x.zip"), ours, "f")


def test_a_damaged_expert_is_not_packed(zoo, tmp_path):
    folder = tmp_path / "one"
    shutil.copytree(zoo["lora"], folder)
    (folder / TENSORS).write_bytes(b"\x08")
    with pytest.raises(ArtefactError, match="does not match the checksum"):
        pack_expert(folder)
    (folder / CONFIG).unlink()
    with pytest.raises(ArtefactError, match="is missing"):
        pack_expert(folder)


def test_the_catalogue_reads_what_changed(zoo, workspace, tiny_backbone_dir, monkeypatch):
    for name in ("one", "two", "broken"):
        shutil.copytree(zoo["lora"], workspace.zoo().new_expert_dir("lora", name))
    broken = workspace.zoo().new_expert_dir("lora", "broken") / TENSORS
    broken.write_bytes(broken.read_bytes()[:-4])
    catalogue, ours = Catalogue(workspace.zoo()), fingerprint(tiny_backbone_dir)
    entries = {entry.name: entry for entry in catalogue.entries(ours)}
    assert "not a whole safetensors file" in entries["broken"].problem
    one = entries["one"]
    assert (one.id, one.task, one.score, one.origin, one.problem) == ("lora/one", "nli", 50.5, "trained", None)
    assert one.parameters == sum(tensor.size for tensor in load_file(zoo["lora"] / TENSORS).values())

    reads = []
    monkeypatch.setattr("pituning.experts.catalogue.read_card", lambda path: reads.append(path.name) or read_card(path))
    assert catalogue.entries(ours) == list(entries.values())
    assert reads == []
    card = workspace.zoo().new_expert_dir("lora", "two") / CARD
    card.write_text(card.read_text().replace('"seed": 1', '"seed": 12'))
    shutil.rmtree(workspace.zoo().new_expert_dir("lora", "broken"))
    assert [entry.name for entry in catalogue.entries(ours)] == ["one", "two"]
    assert reads == ["two"]
    assert "another backbone" in str(catalogue.entries("0" * 64)[0].problem)
    assert "no backbone" in str(catalogue.entries(None)[0].problem)
