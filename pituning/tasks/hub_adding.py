"""From a data set of the hub, or of the catalogue, to a task. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pituning.errors import BadInput
from pituning.progress import Reporter
from pituning.tasks.adding import AddOptions, TaskPlan, plan_table
from pituning.tasks.captions import check_metric
from pituning.tasks.cards import read_card_file
from pituning.tasks.catalogue import CATALOGUE
from pituning.tasks.hub import check_source, describe, hub_table
from pituning.tasks.hub_source import PREFIX, HubSource, read_address, read_splits
from pituning.tasks.reading import Table

CATALOGUED = "catalogue:"


@dataclass(frozen=True, kw_only=True)
class HubOptions:
    """What somebody says of a data set beside `AddOptions`.

    Args:
        revision: a branch, tag or commit.
        split: ``train=train,test=validation``.
        limit: most rows of each split.
        images: a folder with the image files, where the data set holds their names only.
    """

    revision: str | None = None
    split: str | None = None
    limit: int | None = None
    images: Path | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise BadInput(f"limit is {self.limit}; give a whole number of at least 1", field="limit")


def is_remote(file: str) -> bool:
    """Whether what is to be added is a data set of the hub or of the catalogue."""
    return file.startswith((PREFIX, CATALOGUED))


def remote_name(file: str) -> str | None:
    """The name of the task that a data set of the catalogue makes; None for one of the hub."""
    return CATALOGUE[file.removeprefix(CATALOGUED)].name if file.startswith(CATALOGUED) else None


@contextmanager
def plan_remote(file: str, given: AddOptions, hub: HubOptions, reporter: Reporter | None = None) -> Iterator[TaskPlan]:
    """Settles everything about the task that a data set makes; it is to be made and saved within the context.

    Args:
        file: ``hub:owner/name[:config]`` or ``catalogue:name``.

    Raises:
        BadInput: as `hub_table` and `plan_table`; or the metric needs what is not installed.
    """
    source, card = _source(file, given, hub)
    metric = given.metric or card.get("metric")
    if metric:
        check_metric(str(metric))
    check_source(source, hub.images)
    facts = describe(source)
    pinned = replace(source, revision=facts.commit)
    with hub_table(
        pinned, facts.commit, limit=hub.limit, images=hub.images, seed=given.seed, reporter=reporter
    ) as table:
        plan = plan_table(table, given, card)
        about = {
            **plan.about,
            "origin": plan.about.get("origin") or source.page,
            "licence": plan.about.get("licence") or facts.licence,
            "hub": pinned.card(),
        }
        yield replace(plan, about=about, warnings=(*plan.warnings, *_not_read(table, plan, pinned, hub.limit)))


def _not_read(table: Table, plan: TaskPlan, source: HubSource, limit: int | None) -> list[str]:
    """Says when a limit left out whole labels, as it does where a data set is sorted by them."""
    column = plan.columns.answers[0]
    left_out = {name.casefold() for name in source.leave_out}
    names = [name for name in table.label_names.get(column, ()) if name.casefold() not in left_out]
    if limit is None or not names:
        return []
    seen = {row.cells.get(column) for row in table.rows()}
    missing = [name for code, name in enumerate(table.label_names[column]) if name in names and code not in seen]
    if not missing:
        return []
    return [
        f"{len(missing)} of the data set's {len(names)} labels, such as {missing[0]!r}, are in none of the rows that "
        "were read; a larger --limit reads more of them"
    ]


def _source(file: str, given: AddOptions, hub: HubOptions) -> tuple[HubSource, Mapping[str, Any]]:
    """Where the data are, and the card that says how they become a task."""
    card: Mapping[str, Any] = read_card_file(given.card) if given.card is not None else {}
    if file.startswith(CATALOGUED):
        record = CATALOGUE[file.removeprefix(CATALOGUED)]
        source, card = record.hub, {**record.card(), **card}
    else:
        name, config = read_address(file)
        told = HubSource.from_card(card["hub"]) if card.get("hub") else HubSource(id=name)
        if told.id != name:
            raise BadInput(f"the card is of hub data set {told.id}, not of {name}; give its own card", field="card")
        source = replace(told, config=config or told.config)
    if hub.revision is not None:
        source = replace(source, revision=hub.revision)
    if hub.split is not None:
        source = replace(source, splits={**source.splits, **read_splits(hub.split)})
    return source, card
