"""What people import does here what it does in plain PEFT, to rounding; or it is told why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    IA3Config,
    LoHaConfig,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
)
from safetensors.torch import load_file

from pituning.backbones.base import Backbone
from pituning.backbones.places import Places
from pituning.errors import ArtefactError, BadInput
from pituning.experts.card import CONFIG, TENSORS, read_card, write_card
from pituning.experts.checkpoint import read_checkpoint, read_directory
from pituning.experts.fitting import check_fit
from pituning.experts.imported import other_base, usable_name, uses
from pituning.experts.keeping import keep_checkpoint
from pituning.experts.kinds import KINDS, mixable_kinds
from pituning.experts.kinds.base import task_type
from pituning.experts.model import ExpertModel
from pituning.experts.plain import TOLERANCE, plain_logits
from pituning.experts.store import (
    export_expert,
    import_expert,
    load_together,
    make_expert,
    open_expert,
    save_expert,
)
from pituning.experts.uploads import Upload
from pituning.registry import load
from pituning.tasks.base import Task
from pituning.workspace import bounded
from pituning.workspace.layout import Workspace
from tests.app.uploads import zipped
from tests.backbones.tiny import FIRST, TINY, Tiny
from tests.experts.contract import noisy
from tests.experts.peft_checkpoints import leaves, pattern, settings, write_checkpoint

FLORENCE2, LLAMA = (next(tiny for tiny in TINY if tiny.id == name) for name in ("florence2", "llama"))
CHOSEN = [pytest.param(FLORENCE2, id="florence2"), pytest.param(LLAMA, id="llama", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=CHOSEN)
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return request.param


@pytest.fixture(scope="module")
def directory(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.below(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def backbone(directory: Path) -> Backbone:
    return Backbone.load(directory)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w", None)


def lora(**given: Any) -> Callable[[Backbone], PeftConfig]:
    return lambda backbone: LoraConfig(**settings(backbone, **given))


def learned(config: Any, **given: Any) -> Callable[[Backbone], PeftConfig]:
    """The config of a prompt-learning method as PEFT's documentation has it."""

    def make(backbone: Backbone) -> PeftConfig:
        attention = backbone.attention
        return config(
            task_type=task_type(backbone),
            num_layers=len(attention.layers),
            token_dim=backbone.width,
            num_attention_heads=attention.query_heads,
            **given,
        )

    return make


def a_prefix(**given: Any) -> Callable[[Backbone], PeftConfig]:
    def make(backbone: Backbone) -> PeftConfig:
        attention = backbone.attention
        return PrefixTuningConfig(
            task_type=task_type(backbone),
            num_layers=len(attention.layers),
            token_dim=attention.head_width * attention.query_heads,
            num_attention_heads=attention.query_heads,
            encoder_hidden_size=16,
            **given,
        )

    return make


def ia3(backbone: Backbone) -> PeftConfig:
    return IA3Config(
        task_type=task_type(backbone),
        target_modules=pattern(backbone, "key", "value", "up", "down"),
        feedforward_modules=pattern(backbone, "up", "down"),
    )


def loha(backbone: Backbone) -> PeftConfig:
    return LoHaConfig(task_type=task_type(backbone), r=3, alpha=5, target_modules=pattern(backbone, "query", "down"))


CASES: dict[str, tuple[Callable[[Backbone], PeftConfig], str, dict[str, float]]] = {
    "another rank": (lora(r=2, lora_alpha=16), "lora", {"rank": 2, "scale": 8.0}),
    "queries and values": (lambda b: LoraConfig(**settings(b, target_modules=pattern(b, "query", "value"))), "lora",
                           {"rank": 4, "scale": 2.0}),
    "everything": (lambda b: LoraConfig(**settings(b, target_modules=pattern(b, *{x.role for x in b.blocks}))), "lora",
                   {"rank": 4, "scale": 2.0}),
    "rslora": (lora(use_rslora=True), "lora", {"rank": 4, "scale": 4.0}),
    "patterns": (
        lambda b: LoraConfig(**settings(
            b, use_rslora=True, rank_pattern={leaves(b, "up")[-1]: 6, r"layers\.0\..*\.q_proj": 3},
            alpha_pattern={leaves(b, "down")[0]: 3},
        )), "lora", {"rank": 6, "scale": 4.0}),
    "ia3": (ia3, "ia3", {}),
    "prefix": (a_prefix(num_virtual_tokens=5), "prefix", {"tokens": 5}),
    "prefix with a projection": (a_prefix(num_virtual_tokens=3, prefix_projection=True), "prefix", {"tokens": 3}),
    "prompt": (learned(PromptTuningConfig, num_virtual_tokens=7), "prompt", {"tokens": 7}),
    "p-tuning": (learned(PromptEncoderConfig, num_virtual_tokens=6, encoder_hidden_size=16), "prompt", {"tokens": 6}),
    "dora": (lora(use_dora=True), "peft", {}),
    "bias": (lora(bias="all"), "peft", {}),
    "head": (lora(modules_to_save=["lm_head"]), "peft", {}),
    "loha": (loha, "peft", {}),
}  # fmt: skip


VARIANTS = {"queries and values", "everything", "rslora", "prefix", "prompt", "bias", "head"}
"""Cases of which the fast part has a harder one."""


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if case in VARIANTS else ()) for case in CASES]
)
def test_it_does_here_what_it_does_in_plain_peft(
    case: str, backbone: Backbone, directory: Path, tiny: Tiny, workspace: Workspace, text_task: Task, tmp_path: Path
) -> None:
    make, kind, config = CASES[case]
    plain = write_checkpoint(make(backbone), directory, tiny, tmp_path / "given")
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    expert = import_expert(tmp_path / "given", task="t", name="one", backbone=backbone, workspace=workspace)
    assert (expert.kind, dict(expert.card.config)) == (kind, config)
    kept = workspace.zoo(backbone.name).expert_dir(kind, "one")
    again, model = open_expert(kept, backbone)
    # Kept and exported, it is a checkpoint that plain PEFT loads, too.
    export_expert(kept, tmp_path / "out")
    base = tiny.plain.from_pretrained(directory, dtype=torch.float32)
    exported = PeftModel.from_pretrained(base, tmp_path / "out").eval()
    encoded = backbone.encode(text_task, text_task.split("train")[:3])
    with torch.no_grad():
        for row in range(3):
            batch = encoded.batch([row])
            theirs = plain_logits(plain, backbone, batch)
            torch.testing.assert_close(model.forward(again.values, batch), theirs, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(plain_logits(exported, backbone, batch), theirs, atol=1e-4, rtol=1e-4)
            assert (theirs - backbone.logits(batch)).abs().max() > 1e-2
    after = backbone.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not any("forward" in vars(module) or module._forward_hooks for module in backbone.model.modules())


def test_loras_of_others_are_mixed_with_the_usual_ones(
    backbone: Backbone, directory: Path, tiny: Tiny, workspace: Workspace, text_task: Task, tmp_path: Path
) -> None:
    usual = ExpertModel(backbone, "lora")
    zoo = workspace.zoo(backbone.name)
    save_expert(
        make_expert(usual, noisy(usual), name="usual", task="usual"), usual, zoo.new_expert_dir("lora", "usual")
    )
    for number, case in enumerate(("another rank", "queries and values", "patterns")):
        write_checkpoint(CASES[case][0](backbone), directory, tiny, tmp_path / case)
        import_expert(tmp_path / case, task="t", name=f"theirs-{number}", backbone=backbone, workspace=workspace)
    together = load_together(zoo.all_expert_dirs("lora"), usual)
    assert together.left_out == {}
    assert "usual" in together.usual
    assert not {"theirs-0", "theirs-2"} & set(together.usual)
    assert together.model_for(["usual"]) is usual
    common = together.model_for(together.experts)
    assert common.space.config["rank"] == 6
    batch = backbone.encode(text_task, text_task.split("train")[:3]).batch(range(3))
    with torch.no_grad():
        for name in together.experts:
            own, model = open_expert(zoo.expert_dir("lora", name), backbone)
            actual = common.forward(together.placed(name, common).values, batch)
            torch.testing.assert_close(actual, model.forward(own.values, batch), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", mixable_kinds())
def test_experts_of_other_sizes_meet_in_one_layout_or_are_left_out(
    kind: str, backbone: Backbone, workspace: Workspace, text_task: Task
) -> None:
    usual, zoo = ExpertModel(backbone, kind), workspace.zoo(backbone.name)
    other = {"lora": {"rank": 6}, "bottleneck": {"size": 20}, "prefix": {"tokens": 4}, "prompt": {"tokens": 4}}
    wide = ExpertModel(backbone, kind, other.get(kind))
    for name, model in (("usual", usual), ("wide", wide)):
        expert = make_expert(model, noisy(model), name=name, task=name)
        save_expert(expert, model, zoo.new_expert_dir(kind, name))
    together = load_together(zoo.all_expert_dirs(kind), usual)
    if not KINDS[kind].resizable:
        assert list(together.experts) == ["usual"]
        assert "cannot be mixed with those of" in together.left_out["wide"]
        with pytest.raises(BadInput, match="cannot be mixed with those of"):
            load_together(zoo.all_expert_dirs(kind), usual, needed=["wide"])
        return
    common = together.model_for(together.experts)
    batch = backbone.encode(text_task, text_task.split("train")[:3]).batch(range(3))
    with torch.no_grad():
        for name, model in (("usual", usual), ("wide", wide)):
            actual = common.forward(together.placed(name, common).values, batch)
            torch.testing.assert_close(actual, model.forward(noisy(model), batch), atol=1e-4, rtol=1e-4)


def test_scales_of_other_modules_are_one(
    backbone: Backbone, directory: Path, tiny: Tiny, workspace: Workspace, text_task: Task, tmp_path: Path
) -> None:
    usual = ExpertModel(backbone, "ia3")
    config = IA3Config(
        task_type=task_type(backbone), target_modules=pattern(backbone, "query", "down"),
        feedforward_modules=pattern(backbone, "down"),
    )  # fmt: skip
    write_checkpoint(config, directory, tiny, tmp_path / "given")
    import_expert(tmp_path / "given", task="t", name="one", backbone=backbone, workspace=workspace)
    together = load_together(workspace.zoo(backbone.name).all_expert_dirs("ia3"), usual)
    common = together.model_for(["one"])
    expert, own = open_expert(workspace.zoo(backbone.name).expert_dir("ia3", "one"), backbone)
    batch = backbone.encode(text_task, text_task.split("train")[:3]).batch(range(3))
    with torch.no_grad():
        actual = common.forward(together.placed("one", common).values, batch)
        torch.testing.assert_close(actual, own.forward(expert.values, batch), atol=1e-5, rtol=1e-5)


def test_what_is_imported_as_a_zip_is_compared_at_its_first_use(
    backbone: Backbone, directory: Path, tiny: Tiny, workspace: Workspace, tmp_path: Path
) -> None:
    zoo = workspace.zoo(backbone.name)

    def keep(case: str, name: str) -> Path:
        write_checkpoint(CASES[case][0](backbone), directory, tiny, tmp_path / case)
        files = {file: (tmp_path / case / file).read_bytes() for file in (CONFIG, TENSORS)}
        checkpoint = check_fit(read_checkpoint(zipped(files), "x.zip"), backbone.places(), backbone.fingerprint)
        keep_checkpoint(checkpoint, zoo, name=name, task="t", fingerprint=backbone.fingerprint)
        return zoo.expert_dir(checkpoint.kind, name)

    for case, name in (("patterns", "a"), ("dora", "b"), ("prompt", "c")):
        kept = keep(case, name)
        assert "checked" not in read_card(kept).spec
        open_expert(kept, backbone)
        assert str(read_card(kept).spec["checked"]).startswith("peft ")
    path = keep("rslora", "d")
    document = json.loads((path / CONFIG).read_text())
    (path / CONFIG).write_text(json.dumps(document | {"lora_alpha": 99}))
    with pytest.raises(ArtefactError, match="does not do here what it does in plain PEFT"):
        open_expert(path, backbone)


def zip_of(case: str, directory: Path, tiny: Tiny, folder: Path, backbone: Backbone) -> Upload:
    write_checkpoint(CASES[case][0](backbone), directory, tiny, folder)
    files = {file: (folder / file).read_bytes() for file in (CONFIG, TENSORS)}
    return Upload(filename="theirs.zip", data=zipped(files))


@pytest.mark.slow
def test_an_upload_is_compared_before_it_is_kept(
    backbone: Backbone, directory: Path, tiny: Tiny, workspace: Workspace, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    Workspace.open(workspace.root)
    shutil.copytree(directory, workspace.root / "backbones" / backbone.name)
    zoo = workspace.zoo(backbone.name)
    upload = zip_of("patterns", directory, tiny, tmp_path / "given", backbone)
    looked = upload.look(workspace.backbone_dir(backbone.name))  # in a process of its own
    assert (looked.kind, dict(looked.config), looked.tensors) == ("lora", {"rank": 6, "scale": 4.0}, b"")
    card = upload.keep(workspace, name="theirs", task="t", backbone=backbone.name)
    assert str(card.spec["checked"]).startswith("peft ")
    assert read_card(zoo.expert_dir("lora", "theirs")) == card

    monkeypatch.setattr(bounded, "call", lambda work, *arguments, what, limits: load(work)(*arguments))
    monkeypatch.setattr("pituning.experts.checking.TOLERANCE", dict.fromkeys(TOLERANCE, -1.0))
    with pytest.raises(BadInput, match="'theirs.zip' does not do here what it does in plain PEFT"):
        upload.keep(workspace, name="another", task="t", backbone=backbone.name)
    assert list(zoo.all_expert_dirs("lora")) == ["theirs"]


def test_what_acts_outside_the_language_model_is_told(
    directory: Path, tiny: Tiny, backbone: Backbone, workspace: Workspace, tmp_path: Path
) -> None:
    config = LoraConfig(**settings(backbone, target_modules=[*leaves(backbone, "query", "up"), "lm_head"]))
    write_checkpoint(config, directory, tiny, tmp_path / "given")
    files = {name: (tmp_path / "given" / name).read_bytes() for name in (CONFIG, TENSORS)}
    with pytest.raises(BadInput, match=r"no place here.*also name '(lm_head|model.vision_tower).*', which is outside"):
        check_fit(read_checkpoint(zipped(files), "x.zip"), backbone.places(), backbone.fingerprint)
    # What it does to a vision tower, where names are the same, is done, too.
    expert = import_expert(tmp_path / "given", task="t", name="one", backbone=backbone, workspace=workspace)
    assert expert.kind == "peft"
    assert "acts on lm_head" in uses(expert.card)


@pytest.mark.parametrize("tiny", FIRST[:1], ids=lambda t: t.id, indirect=True)
def test_what_takes_no_part_is_told(
    directory: Path, tiny: Tiny, backbone: Backbone, workspace: Workspace, tmp_path: Path
) -> None:
    """A convolution of the tower is none of the maps that take an expert."""
    config = LoraConfig(**settings(backbone, target_modules=["q_proj", "convs.0.conv"]))
    write_checkpoint(config, directory, tiny, tmp_path / "given")
    with pytest.raises(BadInput, match="takes no part when an answer is made; train it with a target_modules"):
        import_expert(tmp_path / "given", task="t", name="one", backbone=backbone, workspace=workspace)
    assert not workspace.root.exists()


def test_what_cannot_be_mixed_is_not_trained_either(backbone: Backbone) -> None:
    with pytest.raises(BadInput, match="are imported, not trained or mixed"):
        ExpertModel(backbone, "peft")


def test_files_and_folders_as_they_come(
    directory: Path, tiny: Tiny, backbone: Backbone, workspace: Workspace, tmp_path: Path
) -> None:
    write_checkpoint(LoraConfig(**settings(backbone)), directory, tiny, tmp_path / "given", adapter="english")
    assert read_directory(tmp_path / "given").filename == "english"
    shutil.copytree(tmp_path / "given" / "english", tmp_path / "given" / "german")
    with pytest.raises(BadInput, match=r"has 2 checkpoints below it \(english, german\)"):
        read_directory(tmp_path / "given")
    pickled = tmp_path / "given" / "german"
    torch.save(load_file(pickled / TENSORS), pickled / "adapter_model.bin")
    (pickled / TENSORS).unlink()
    with pytest.raises(BadInput, match="in the pickle 'adapter_model.bin'.*convert it: python -c") as error:
        read_directory(pickled)
    command = str(error.value).partition("python -c ")[2].strip('"')
    assert "weights_only=True" in command
    exec(command.replace("'adapter_model", f"'{pickled}/adapter_model"))  # what people are told works
    assert read_directory(pickled).kind == "lora"


def test_names_and_bases() -> None:
    assert usable_name("Run_2 checkpoint.500") == "run-2-checkpoint-500"
    assert usable_name("…") == "expert"
    assert other_base({"base_model_name_or_path": "somebody/another-base"}, ["mini"]) == "somebody/another-base"
    for same in ("data/mini/backbone", "google/gemma-3-270m", None, ""):
        assert other_base({"base_model_name_or_path": same}, ["mini", "google/Gemma-3-270m"]) is None


def test_patterns_that_keep_the_app_busy_or_are_none_are_refused(tmp_path: Path, tiny_backbone: Backbone) -> None:
    tiny = TINY[0]
    tiny.make(tmp_path / "base")
    backbone = Backbone.load(tmp_path / "base")
    write_checkpoint(LoraConfig(**settings(backbone)), tmp_path / "base", tiny, tmp_path / "given")
    path = tmp_path / "given" / CONFIG
    for regex, says in (("(a+)+b", "takes too long to match"), ("(*q_proj", "which is none .nothing to repeat")):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"rank_pattern": {regex: 4}}))
        with pytest.raises(BadInput, match=says):
            check_fit(read_directory(tmp_path / "given"), Places(**vars(backbone.places())), backbone.fingerprint)


@pytest.mark.parametrize("kind", mixable_kinds())
def test_the_readme_of_an_export_loads_it(
    kind: str, backbone: Backbone, directory: Path, text_task: Task, tmp_path: Path
) -> None:
    model = ExpertModel(backbone, kind)
    values = noisy(model)
    save_expert(make_expert(model, values, name="one", task="t"), model, tmp_path / "one")
    export_expert(tmp_path / "one", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    lines = text.partition("```python\n")[2].partition("```")[0]
    assert ("import pituning.experts.bottleneck" in lines) == (kind == "bottleneck")
    lines = lines.replace(f'"PATH OF {backbone.name}"', repr(str(directory)))
    lines = lines.replace('expert = "."', f"expert = {str(tmp_path / 'out')!r}")
    scope: dict[str, Any] = {}
    exec(lines, scope)
    batch = backbone.encode(text_task, text_task.split("train")[:1]).batch([0])
    with torch.no_grad():
        theirs = plain_logits(scope["model"], backbone, batch)
        torch.testing.assert_close(theirs, model.forward(values, batch), atol=1e-4, rtol=1e-4)


def test_a_card_that_says_it_was_compared_is_believed_only_here(tmp_path: Path, tiny_backbone: Backbone) -> None:
    model = ExpertModel(tiny_backbone, "lora")
    save_expert(make_expert(model, noisy(model), name="one", task="t"), model, tmp_path / "one")
    card = read_card(tmp_path / "one")
    write_card(card.__class__(**{**vars(card), "spec": {"imported": "x", "checked": "peft 0"}}), tmp_path / "one")
    checkpoint = check_fit(read_directory(tmp_path / "one"), tiny_backbone.places(), tiny_backbone.fingerprint)
    zoo = Workspace(tmp_path / "w", None).zoo(tiny_backbone.name)
    kept = keep_checkpoint(checkpoint, zoo, name="one", task="t", fingerprint=tiny_backbone.fingerprint)
    assert "checked" not in kept.spec
