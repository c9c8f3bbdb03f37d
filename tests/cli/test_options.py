"""Options made of config dataclasses, and the command lines that runs show."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from pituning.commands import experts
from pituning.commands.options import takes_config
from pituning.experts import card
from pituning.runs import questions
from pituning.runs.configs import AnswerRun, EmbedRun, TrainRun
from pituning.runs.spec import RunSpec
from pituning.tuning.config import TuneConfig
from pituning.workspace.layout import Workspace
from pituning.workspace.zoo import Zoo
from tests.cli.conftest import Outcome

Run = Callable[..., Outcome]


@dataclass(frozen=True, kw_only=True)
class Config:
    target: str = field(metadata={"help": "What."})
    shots: int | None = field(default=16, metadata={"help": "Shots."})
    rates: tuple[float, ...] = field(default=(0.1, 0.2), metadata={"help": "Rates."})
    names: tuple[str, ...] | None = field(default=None, metadata={"help": "Names."})
    order: Literal["up", "down"] = field(default="up", metadata={"help": "Order."})
    frozen: bool = field(default=False, metadata={"help": "Frozen."})
    hidden: int = 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["t"], Config(target="t")),
        (["t", "--shots", "4", "--frozen"], Config(target="t", shots=4, frozen=True)),
        (["t", "--rates", "1, 2.5,", "--no-frozen"], Config(target="t", rates=(1.0, 2.5))),
        (["t", "--names", "a,b", "--order", "down"], Config(target="t", names=("a", "b"), order="down")),
        (["t", "--rates", ""], Config(target="t", rates=())),
    ],
)
def test_every_kind_of_field(words: list[str], expected: Config) -> None:
    seen: list[Config] = []
    app = typer.Typer()

    @app.command()
    @takes_config(Config, argument="target")
    def command(config: Config, extra: bool = False) -> None:
        seen.append(config)

    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 0, outcome.output
    assert seen == [expected]


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("train", TrainRun(task="nli", kind="prefix", shots=4, seed=3, learning_rate=0.125, name="mine")),
        ("train", TrainRun(task="digits")),
        ("embed", EmbedRun(tasks=("nli", "digits"), kind="bottleneck")),
        ("embed", EmbedRun()),
        ("answer", AnswerRun(experts=("nli", "rte"), kind="prefix", task="nli", example=("test/3", "test/4"))),
        ("answer", AnswerRun(experts=("nli",), text="is it red?")),
        ("tune", TuneConfig(target="digits")),
        (
            "tune",
            TuneConfig(
                target="digits",
                kind="prefix",
                shots=4,
                seed=2,
                donors=1,
                donor_names=("nli",),
                predictor="text",
                baselines=("single", "donor"),
                learning_rates=(0.001, 0.01),
                alpha_start="own",
                freeze_experts=True,
            ),
        ),
    ],
)
def test_the_command_that_a_run_shows_makes_the_same_run(
    pituning: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, kind: str, config: Any
) -> None:
    submitted: list[RunSpec] = []

    def submit(_workspace: Workspace, spec: RunSpec) -> str:
        submitted.append(spec)
        return "run-1"

    monkeypatch.setattr(experts, "submit", submit)
    monkeypatch.setattr(Workspace, "backbone_dir", lambda *_: None)
    for each in ("expert_dirs", "all_expert_dirs"):
        monkeypatch.setattr(Zoo, each, lambda *_: dict.fromkeys(("nli", "digits", "rte", "shape")))
    monkeypatch.setattr(card, "unusable_experts", lambda *_, **__: {})  # there are no files behind these names
    monkeypatch.setattr(questions, "find_questions", lambda *_: None)
    words = shlex.split(RunSpec.of(kind, config).command())
    assert words[0] == "pituning"
    outcome = pituning(*words[1:], "--detach", "--json")
    assert outcome.code == 0, outcome.error
    assert outcome.json == {"run": "run-1"}
    assert submitted[0].settings() == config


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nil",), "task 'nil' is unknown; did you mean 'nli'"),
        (("nli", "--kind", "lorra"), "unknown expert kind 'lorra'"),
        (("nli", "--shots", "5000"), "fewer than 5000 shots"),
        (("nli", "--baselines", "single,luck"), "unknown baseline 'luck'"),
        (("nli", "--donor-names", "nil"), "unknown donor 'nil'"),
        (("nli", "--donors", "3"), "donors is 3, but 1 lora experts can lend; choose at most 1"),
        (("nli", "--kind", "prefix"), "there are no prefix experts to lend"),
        (("nli", "--learning-rates", "0.1,fast"), "give numbers with commas between them"),
    ],
)
def test_tune_tells_bad_input_before_any_work(
    pituning: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    zoo = {"lora": {"nli": None, "digits": None}}
    monkeypatch.setattr(Workspace, "backbone_dir", lambda *_: None)
    monkeypatch.setattr(Zoo, "expert_dirs", lambda _self, kind: zoo.get(kind, {}))
    outcome = pituning("tune", *words, "--json")
    assert message in outcome.error
    assert outcome.code == 2
