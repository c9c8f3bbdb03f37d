"""`pituning backbones`: add a foundation model of your own, look at them, check or remove one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pituning.commands.shared import JsonOption, WorkspaceOption, echo, echo_deleted, emit, open_workspace, print_table
from pituning.text import count, size

if TYPE_CHECKING:
    from pituning.backbones.card import BackboneCard
    from pituning.conformance.run import Conformance
    from pituning.workspace.layout import Workspace

app = typer.Typer(help="Backbones, the foundation models: add, list, show, check, remove.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a backbone; see `pituning backbones list`.")]


@app.command()
def add(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="An id of the hub (owner/name), a directory, a .gguf file, or a known name: "
            "smollm2, gemma3-270m, smolvision.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the backbone; default: made from SOURCE.")] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit on the hub; default: its main branch.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="What a GGUF file is unpacked to: bfloat16 (the default) or float32.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a foundation model a backbone of the workspace: safetensors only, and none of its own code is run."""
    from pituning.backbones.adding import add_backbone
    from pituning.commands.progress import terminal_reporter

    place = open_workspace(workspace)
    with terminal_reporter() as reporter:
        card = add_backbone(place, source, name=name, revision=revision, dtype=dtype, reporter=reporter)
    document = _document(place, card)

    def human() -> None:
        echo(f"added {card.name} from {_origin(card)}")
        _print(document)

    emit(document, as_json, human)


@app.command()
def compose(
    vision: Annotated[
        str, typer.Option(help="A vision part (efficientnet-lite0), or the directory of a vision model's checkpoint.")
    ],
    language: Annotated[
        str, typer.Option(help="A decoder-only backbone of the workspace, or the directory of its checkpoint.")
    ],
    name: Annotated[str, typer.Option(help="Name of the new backbone.")],
    side: Annotated[
        int | None, typer.Option(help="An image becomes SIDE x SIDE tokens; default: 4, or the encoder's grid.")
    ] = None,
    image_experts: Annotated[
        bool, typer.Option(help="Whether experts attach to the projector, too, and not to the language model alone.")
    ] = True,
    rank: Annotated[
        int | None, typer.Option(help="Rank of LoRA experts of this backbone; left out, the usual one.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the projector's first values.")] = 0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Join a vision encoder and a language model by a projector, which `pituning pretrain NAME` then trains."""
    from pituning.backbones.composed.composing import compose as compose_parts
    from pituning.commands.progress import terminal_reporter

    place = open_workspace(workspace)
    with terminal_reporter() as reporter:
        card = compose_parts(
            place,
            vision=vision,
            language=language,
            name=name,
            side=side,
            image_experts=image_experts,
            rank=rank,
            seed=seed,
            reporter=reporter,
        )
    document = _document(place, card)

    def human() -> None:
        echo(f"composed {card.name} of {card.source}; train its projector: pituning pretrain {card.name}")
        _print(document)

    emit(document, as_json, human)


@app.command("list")
def list_command(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """All backbones: the embedded one and those that were added."""
    from pituning.backbones.card import card_of
    from pituning.errors import ArtefactError

    place = open_workspace(workspace)
    cards: list[BackboneCard] = []
    damaged: dict[str, str] = {}
    for name in place.backbone_names():
        try:
            cards.append(card_of(place, name))
        except ArtefactError as error:
            damaged[name] = str(error)

    def human() -> None:
        print_table(
            ("backbone", "family", "modalities", "parameters", "weights", "tokens", "on disk", "licence", "from"),
            [
                (
                    card.name,
                    card.family,
                    ", ".join(card.modalities),
                    count(card.parameters),
                    card.dtype,
                    card.max_tokens,
                    size(card.size),
                    card.licence,
                    _origin(card),
                )
                for card in cards
            ],
        )
        for name, reason in damaged.items():
            echo(f"{name} cannot be used: {reason}", err=True)

    emit({"backbones": [asdict(card) for card in cards], "damaged": damaged}, as_json, human)


@app.command()
def show(name: NameArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Everything about one backbone, and the memory that tuning it will need."""
    from pituning.backbones.card import card_of

    place = open_workspace(workspace)
    document = _document(place, card_of(place, name))
    emit(document, as_json, lambda: _print(document))


@app.command()
def check(
    name: NameArgument,
    dtype: Annotated[
        str, typer.Option(help="Precision of the weights: float32, where rounding hides nothing, bfloat16 or auto.")
    ] = "float32",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Whether a backbone can be trusted: what tuning stands on, checked on the checkpoint itself. Takes minutes.

    Exits with 0 where every check passed, with 1 where one failed.
    """
    from pituning.commands.progress import terminal_reporter
    from pituning.conformance.run import check_backbone

    place = open_workspace(workspace)
    directory = place.backbone_dir(name)
    with terminal_reporter() as reporter:
        checks = check_backbone(directory, name=name, dtype=dtype, reporter=reporter)
    emit(asdict(checks) | {"passed": checks.passed}, as_json, lambda: _print_checks(checks))
    if not checks.passed:
        raise typer.Exit(1)


@app.command()
def remove(
    name: NameArgument,
    force: Annotated[bool, typer.Option("--force", help="Also when runs or experts need it.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a backbone that was added; the embedded one stays. It can be brought back for 30 days."""
    from pituning.runs.backbone_removal import remove_backbone
    from pituning.runs.queue import RunQueue

    entry = remove_backbone(RunQueue(open_workspace(workspace)), name, force=force).entry

    def human() -> None:
        echo_deleted(f"removed backbone {name}", entry)
        if entry is not None:
            echo(f"to free its space now: pituning bin empty {entry}", err=True)

    emit({"backbone": name, "removed": True, "bin": entry}, as_json, human)


@app.command()
def families(
    markdown: Annotated[bool, typer.Option("--markdown", help="The table as the README has it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What is supported: families of foundation models, and the kinds of experts that each can have."""
    from pituning.figures.support import support, support_markdown

    rows = support()

    def human() -> None:
        if markdown:
            echo(support_markdown())
            return
        print_table(
            ("family", "modalities", "kinds of experts", "model types", "for example"),
            [
                (
                    row["family"],
                    ", ".join(row["modalities"]),
                    ", ".join(row["kinds"]),
                    ", ".join([*row["model_types"], *(f"*{ending}" for ending in row["architectures"])]),
                    ", ".join(row["examples"]),
                )
                for row in rows
            ],
        )
        for row in rows:
            for kind, reason in row["without"].items():
                echo(f"{row['family']} has no {kind} experts: {reason}")

    emit({"families": rows}, as_json, human)


def _document(place: Workspace, card: BackboneCard) -> dict[str, Any]:
    """A card with what cannot stand in it: where it is, and what tuning takes on this machine."""
    from pituning.backbones.card import read_config
    from pituning.backbones.memory import BATCH, TOKENS, this_machine, tuning_memory

    directory = place.backbone_dir(card.name)
    need, machine = tuning_memory(read_config(directory), card.parameters), this_machine()
    return asdict(card) | {
        "directory": str(directory),
        "memory": asdict(need) | {"total": need.total, "batch_size": BATCH, "tokens": TOKENS, "dtype": "float32"},
        "machine": asdict(machine),
    }


def _print(document: dict[str, Any]) -> None:
    memory, machine = document["memory"], document["machine"]
    limit = document["max_tokens"]
    rows = {
        "name": document["name"],
        "family": f"{document['family']} ({document['model_type']})",
        "licence": document["licence"],
        "parameters": f"{count(document['parameters'])}, {document['dtype']}",
        "modalities": ", ".join(document["modalities"]),
        "context": f"{limit} tokens" if limit else "no limit named",
        "on disk": f"{size(document['size'])} in {document['directory']}",
        "memory": f"tuning takes about {size(memory['total'])} for {memory['batch_size']} examples of "
        f"{memory['tokens']} tokens in {memory['dtype']}; this machine has {size(machine['total'])}, "
        f"{size(machine['available'])} of it free",
        "fingerprint": document["fingerprint"],
    }
    for key, value in rows.items():
        echo(f"{key:12} {value}")
    if memory["total"] > machine["total"]:
        echo("note: that is more than this machine has; tune it on a larger one or in smaller batches", err=True)


def _print_checks(checks: Conformance) -> None:
    print_table(
        ("check", "result", "difference", "allowed", "what it means"),
        [
            (
                each.name,
                each.outcome.upper() if each.outcome == "failed" else each.outcome,
                None if each.difference is None else f"{each.difference:.1e}",
                None if each.tolerance is None else f"{each.tolerance:.0e}",
                f"{each.meaning} ({each.note})" if each.note else each.meaning,
            )
            for each in checks.checks
        ],
    )
    applied = [each for each in checks.checks if each.outcome != "not applicable"]
    where = f"in {checks.dtype} on {checks.device}"
    if checks.passed:
        echo(f"all {len(applied)} checks passed {where}: backbone {checks.backbone} can be trusted")
    else:
        names = ", ".join(each.name for each in checks.failed)
        echo(
            f"{len(checks.failed)} of {len(applied)} checks failed {where}: {names}; do not rely on results of "
            f"backbone {checks.backbone} until they pass"
        )


def _origin(card: BackboneCard) -> str:
    words = {"hub": "the hub", "package": "package", "embedded": "embedded", "composed": "parts"}.get(card.origin, "")
    revision = f" at {card.revision[:12]}" if card.revision else ""
    return words if card.origin == "embedded" else f"{words} {card.source}{revision}".strip()
