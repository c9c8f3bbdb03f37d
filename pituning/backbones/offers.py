"""The backbones that are offered to whoever has none yet: what each is for, how large it is, how to get it. Torch-free.

A record here, or of another package, puts a backbone into the app's chooser and among those that are recommended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from pituning.backbones.composed.vision_parts import VISION_PARTS
from pituning.backbones.families import LANGUAGE, VISION, VISION_LANGUAGE
from pituning.backbones.packages import PACKAGES
from pituning.registry import Registry

_SMOLLM2, _LITE0 = PACKAGES["smollm2"], VISION_PARTS["efficientnet-lite0"]


@dataclass(frozen=True, kw_only=True)
class OfferRecord:
    """A backbone that can be had by one or two commands.

    Args:
        name: of the backbone, once it is there, and what `pituning backbones add` takes.
        label: what people read.
        what: in two or three words, beside the label.
        help: one sentence for people.
        can: what it is good for, each a phrase.
        cannot: what it is no good for.
        modalities: of the tasks that it can do.
        real: whether it knows more of the world than drawn scenes and simple sentences.
        parameters: how many numbers its weights are.
        size: of its files in a workspace, its parts' included, bytes.
        download: of its packages, bytes.
        licence: that it comes under.
        packages: what pip calls those that it is made from; empty for one that is always there.
        seconds: that adding it takes.
    """

    name: str
    label: str
    what: str
    help: str
    can: tuple[str, ...]
    cannot: tuple[str, ...]
    modalities: tuple[str, ...]
    real: bool = True
    parameters: int
    size: int
    download: int = 0
    licence: str
    packages: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def installed(self) -> bool:
        """Whether its packages are there, so that it can be added."""
        return not self.lacking

    @property
    def lacking(self) -> list[str]:
        """Those of its packages that are not there."""
        return [name for name in self.packages if not _is_installed(name)]

    @property
    def install(self) -> str:
        """The command that installs its packages; empty where it needs none."""
        # Without what they depend on: that would run the models in other ways.
        return f"pip install --no-deps {' '.join(self.packages)}" if self.packages else ""

    @property
    def add(self) -> str:
        """The command that adds it to a workspace; empty for one that is always there."""
        return f"pituning backbones add {self.name}" if self.packages else ""


OFFERS: Registry[OfferRecord] = Registry(
    "offered backbone",
    [
        OfferRecord(
            name="mini",
            label="mini",
            what="embedded, instant",
            help="Comes with the Studio and answers at once; made for its own suite of 20 drawn tasks.",
            can=("Drawn scenes, simple sentences, and both together", "Trying everything out in minutes"),
            cannot=(
                "Real reviews and questions: at chance after tuning",
                "Photographs: it knows drawings",
            ),
            modalities=(VISION, LANGUAGE, VISION_LANGUAGE),
            real=False,
            parameters=2_712_064,
            size=5_540_000,
            licence="Apache-2.0",
        ),
        OfferRecord(
            name="smollm2",
            label="SmolLM2",
            what="text",
            help="A small instructed language model that reads English.",
            can=("Real English texts: reviews, intents, pairs of sentences", "Lends experts of seven real text tasks"),
            cannot=("Pictures", "Whether one sentence follows from another: near guessing"),
            modalities=(LANGUAGE,),
            parameters=134_515_008,
            size=272_600_000,
            download=98_000_000,
            licence=_SMOLLM2.licence,
            packages=(_SMOLLM2.package,),
            seconds=25.0,
        ),
        OfferRecord(
            name="smolvision",
            label="smolvision",
            what="pictures and text",
            help="SmolLM2 that sees: a projector that comes with the Studio joins an encoder of photographs to it.",
            can=(
                "Real pictures, alone or with a question",
                "English texts, as SmolLM2",
                "Lends experts of sixteen tasks, real and drawn",
            ),
            cannot=(
                "Naming by itself what it was never shown: give it shots",
                "Boxes and fine detail: it sees 4 × 4 cells",
            ),
            modalities=(VISION, LANGUAGE, VISION_LANGUAGE),
            parameters=143_100_000,
            size=280_400_000,
            download=115_000_000,
            licence=_LITE0.licence,
            packages=(_SMOLLM2.package, *_LITE0.needs, _LITE0.weights[0] if _LITE0.weights else ""),
            seconds=30.0,
        ),
    ],
    group="pituning.offers",
)


@dataclass(frozen=True)
class Recommendation:
    """The backbone that fits a task.

    Args:
        name: of the backbone.
        here: whether it is in the workspace.
        offer: how to get it; None for one of somebody's own.
    """

    name: str
    here: bool
    offer: OfferRecord | None


def recommend(modality: str, here: Mapping[str, Collection[str]], chosen: str) -> Recommendation | None:
    """The backbone that fits real data: the chosen one where it does, else one that is here, else one to get.

    Args:
        modality: of the task.
        here: the backbones of the workspace, each with the modalities of the tasks that it can do.
        chosen: the one in use.

    Returns:
        None where none is known that can do such a task.
    """

    def fits(name: str) -> bool:
        offer = OFFERS.get(name)
        return modality in here[name] and (offer is None or offer.real)

    fitting = [offer for offer in OFFERS.values() if offer.real and modality in offer.modalities]
    order = [chosen, *(offer.name for offer in fitting), *here]
    name = next((name for name in order if name in here and fits(name)), None)
    if name is not None:
        return Recommendation(name, True, OFFERS.get(name))
    return Recommendation(fitting[0].name, False, fitting[0]) if fitting else None


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
