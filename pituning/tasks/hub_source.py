"""Where a data set lies on the Hugging Face hub, and what of it is read: the part ``hub`` of a card. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pituning.errors import BadInput
from pituning.tasks.base import SPLITS

PREFIX = "hub:"
_SHAPES: Mapping[str, type] = {"splits": dict, "files": dict, "leave_out": list, "spaced_labels": bool}
_ADDRESS = re.compile(r"(?P<id>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[\w.+-]+))?")


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A data set on the hub.

    Args:
        id: ``owner/name``.
        config: which of its configurations, where it has several.
        revision: a branch, tag or commit; None for the main branch. Whoever reads it pins the commit.
        splits: by ours, ``train``, ``validation`` and ``test``, its names of splits; empty to go by their usual names.
            What is left out is cut from ``train``.
        files: by its splits, paths of files in the repository, for repositories that hold a loading script: scripts
            are never run.
        each: a column that holds lists: every item becomes a row.
        image_name: how the name of an image file is made of other columns, as in ``{id}.jpg``, where the repository
            holds names only; the column is then called ``image``.
        images_from: where such image files are to be had.
        leave_out: names of labels whose rows are left out.
        spaced_labels: whether underscores in names of labels are read as blanks.
    """

    id: str
    config: str | None = None
    revision: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    each: str | None = None
    image_name: str | None = None
    images_from: str = ""
    leave_out: tuple[str, ...] = ()
    spaced_labels: bool = False

    def __post_init__(self) -> None:
        for ours in self.splits:
            if ours not in SPLITS:
                raise BadInput(f"split {ours!r} is none of {', '.join(SPLITS)}", field="split")
        if self.splits and "train" not in self.splits:
            raise BadInput("no split of the data set is read as train; name one: --split train=…", field="split")

    @property
    def address(self) -> str:
        """How command lines name it."""
        return f"{PREFIX}{self.id}" + (f":{self.config}" if self.config else "")

    @property
    def page(self) -> str:
        """Its page on the hub."""
        return f"https://huggingface.co/datasets/{self.id}"

    def card(self) -> dict[str, Any]:
        """What a card holds of it: all that is not as usual."""
        kept = {name: value for name, value in asdict(self).items() if value}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}

    @classmethod
    def from_card(cls, document: Any) -> HubSource:
        """What `card` made.

        Raises:
            BadInput: a field is unknown or of the wrong type.
        """
        if not isinstance(document, Mapping) or not isinstance(document.get("id"), str):
            raise BadInput("hub in the card has no id; write 'hub: {id: owner/name}'", field="card")
        known = {each.name: each for each in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in document.items():
            if name not in known:
                raise BadInput(f"hub in the card has no field {name!r}; it has {', '.join(known)}", field="card")
            if not isinstance(value, _SHAPES.get(name, str)):
                raise BadInput(f"hub.{name} in the card is {value!r}, which is of the wrong type", field="card")
            values[name] = tuple(map(str, list(value))) if isinstance(value, list) else value
        return cls(**values)


def read_address(address: str) -> tuple[str, str | None]:
    """The id and the configuration that an address such as ``hub:nyu-mll/glue:sst2`` names.

    Raises:
        BadInput: it names none.
    """
    match = _ADDRESS.fullmatch(address.removeprefix(PREFIX))
    if match is None:
        raise BadInput(f"{address!r} is no data set of the hub; write hub:owner/name or hub:owner/name:config",
                       field="file")  # fmt: skip
    return match["id"], match["config"]


def read_splits(text: str) -> dict[str, str]:
    """The splits that ``train=train,test=validation`` names.

    Raises:
        BadInput: it is written otherwise.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not pairs or not all(sign and theirs.strip() for _, sign, theirs in pairs):
        raise BadInput(f"split {text!r} is no list of splits; write train=train,test=validation", field="split")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
