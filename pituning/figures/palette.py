"""Colours, symbols and words that all figures share; told apart by colour-blind people and on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pituning.graph.build import UNKNOWN_MODALITY

# Okabe and Ito (2008) without black and yellow; the lighter row is the same hues for dark pages.
LIGHT = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#5b6673")
DARK = ("#56b4e9", "#f0b429", "#2fbf94", "#f0803c", "#dd94bd", "#9ad0f5", "#9aa7b4")

COMMUNITIES = ("#5b2fa0", "#7a6a10", "#a02060", "#4f2d18")
"""Purple, olive, wine and brown, no colours of modalities; told apart by colour-blind people, and read as letters."""

COMMUNITIES_DARK = ("#a87af5", "#efe79a", "#f57aa8", "#b5774f")

HIGHLIGHT = "#2a86c8"
"""π, among others; stands out from white and from near-black by 3.5 to 1 or more."""

MUTED = "#a3aeb9"
"""The others."""

INTERVAL = "#55616d"
"""Interval lines, which run over bars and page."""

SEQUENTIAL = (
    "#eef5fb", "#d6e7f4", "#b8d5eb", "#93bfe0", "#6aa6d3", "#428cc4", "#1f73b2", "#0b5a96", "#064576", "#043255",
)  # fmt: skip
DIVERGING = (
    "#8c3a00", "#b85a12", "#d9803c", "#edab78", "#f7d6bc", "#f6f6f6",
    "#cfe2f1", "#93bfe0", "#4f93c8", "#1f6cab", "#064576",
)  # fmt: skip
SEQUENTIAL_DARK = (
    "#22364a", "#204a70", "#1f5d8f", "#2471aa", "#2f86c2", "#489bd2", "#68b0de", "#8bc5e9", "#b0d9f2", "#d6ecfa",
)  # fmt: skip
DIVERGING_DARK = (
    "#ffc08f", "#f0994f", "#d27a35", "#a3603a", "#6f5145", "#3b444e",
    "#3f5f7c", "#3a7db0", "#4a9bd3", "#74b8e8", "#b3d9f5",
)  # fmt: skip
"""Their middle is lighter than a dark page, so that a small value is told from none."""
INK = {False: "#16202b", True: "#e7edf3"}
"""Of what must be read, by whether the page is dark."""

PAD = "\u2002"
"""A space between the end of a bar and the text beside it; Plotly drops ordinary ones."""


@dataclass(frozen=True)
class ModalityStyle:
    """How a modality looks: an index into the palette, an ECharts symbol, a Plotly symbol, a character for labels."""

    label: str
    colour: int
    symbol: str
    marker: str
    glyph: str


MODALITIES = {
    "vision": ModalityStyle("Vision", 0, "circle", "circle", "●"),
    "language": ModalityStyle("Language", 1, "rect", "square", "■"),
    "vision-language": ModalityStyle("Vision-language", 2, "diamond", "diamond", "◆"),
}

METHOD_LABELS = {
    "pi": "π-tuning",
    "backbone": "Backbone alone",
    "single": "Single expert",
    "full": "Full fine-tuning",
    "bitfit": "BitFit",
    "donor": "Best donor",
    "donor-untouched": "Best donor as is",
    "uniform": "Uniform mix",
    "lorahub": "LoraHub",
    "random": "Random donors",
    "distant": "Least similar donors",
    "same-format": "Same-format donors",
    "placebo": "Placebo donors",
    "donor-placebo": "Best donor and placebos",
    "untouched": "Donors as is",
    "mixture": "π-tuning without the guard",
    "pi-fewer": "π-tuning without the best donor to choose",
    "pi-random": "π with random donors",
    "pi-distant": "π with least similar donors",
    "pi-same-format": "π with same-format donors",
    "pi-placebo": "π with placebo donors",
    "pi-donor-placebo": "π with the best donor and placebos",
    "random-untouched": "Random donors as is",
    "distant-untouched": "Least similar donors as is",
    "same-format-untouched": "Same-format donors as is",
    "placebo-untouched": "Placebo donors as is",
    "donor-placebo-untouched": "Best donor and placebos as is",
}


@dataclass(frozen=True)
class MethodStyle:
    """How a method looks in every chart: its family's colour, told apart from its family by dash and pattern."""

    colour: str
    dash: str = "solid"
    pattern: str = ""


METHOD_STYLES = {
    "pi": MethodStyle(HIGHLIGHT),
    "mixture": MethodStyle(HIGHLIGHT, "dash", "/"),
    "pi-fewer": MethodStyle(HIGHLIGHT, "dot", "."),
    "backbone": MethodStyle(MUTED),
    "single": MethodStyle(LIGHT[1]),
    "full": MethodStyle(LIGHT[3]),
    "bitfit": MethodStyle(LIGHT[3], "dash", "/"),
    "donor": MethodStyle(LIGHT[2]),
    "donor-untouched": MethodStyle(LIGHT[2], "dash", "/"),
    "untouched": MethodStyle(LIGHT[2], "dot", "."),
    "uniform": MethodStyle(LIGHT[5]),
    "lorahub": MethodStyle(LIGHT[5], "dash", "/"),
    "placebo": MethodStyle(LIGHT[4]),
    "random": MethodStyle(LIGHT[4], "dash", "/"),
    "distant": MethodStyle(LIGHT[4], "dot", "."),
    "same-format": MethodStyle(LIGHT[4], "dashdot", "x"),
    "donor-placebo": MethodStyle(LIGHT[4], "longdash", "-"),
}
"""Families: π, no training, one expert, every weight, donors, mixes with other weights, controls."""

_BY_LABEL = {label: name for name, label in METHOD_LABELS.items()}

GUESS_LABELS = {"largest": "Always the largest class", "chance": "Guessing at random"}
"""What people read for guessing, in the order in which it is drawn."""


def colours(dark: bool) -> tuple[str, ...]:
    """The categorical palette for a page."""
    return DARK if dark else LIGHT


def community_colours(dark: bool) -> tuple[str, ...]:
    """The palette of communities for a page; there may be more of them than colours."""
    return COMMUNITIES_DARK if dark else COMMUNITIES


def sequential(dark: bool) -> tuple[str, ...]:
    """From little to much: from what is near the page to what stands out from it."""
    return SEQUENTIAL_DARK if dark else SEQUENTIAL


def diverging(dark: bool) -> tuple[str, ...]:
    """Orange below, blue above, the page's own tone in the middle."""
    return DIVERGING_DARK if dark else DIVERGING


def modality_style(modality: str) -> ModalityStyle:
    """The style of a modality; one that is not known looks like vision-language but grey."""
    if modality in MODALITIES:
        return MODALITIES[modality]
    label = "Modality unknown" if modality == UNKNOWN_MODALITY else modality
    return ModalityStyle(label, 6, "diamond", "diamond", "◆")


def in_order(modalities: Iterable[str]) -> list[str]:
    """Modalities in the order in which legends name them."""
    known = list(MODALITIES)
    return sorted(modalities, key=lambda name: (known.index(name) if name in known else len(known), name))


def method_label(name: str) -> str:
    """What people read for a method; the name itself when there is no word for it."""
    return METHOD_LABELS.get(name, name)


def method_style(name: str) -> MethodStyle:
    """How a method looks; a control of a study like what it controls, one that is not known like the backbone, dotted.

    Args:
        name: as in `METHOD_LABELS`, or what is shown for it.
    """
    name = _BY_LABEL.get(name, name).removeprefix("pi-") if name not in METHOD_STYLES else name
    return METHOD_STYLES.get(name) or METHOD_STYLES.get(name.removesuffix("-untouched"), MethodStyle(MUTED, "dot", "."))


def escape(text: str) -> str:
    """Text from people inside HTML tooltips and Plotly labels, which read tags; braces would be ECharts templates."""
    for character, entity in {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "{": "&#123;",
        "}": "&#125;",
    }.items():
        text = text.replace(character, entity)
    return text


def colour_scale(stops: tuple[str, ...]) -> list[list[float | str]]:
    """Evenly spaced stops as Plotly wants them."""
    return [[i / (len(stops) - 1), stop] for i, stop in enumerate(stops)]


def colour_at(stops: tuple[str, ...], share: float) -> str:
    """The colour at a share of the way, from 0 to 1, along evenly spaced stops, mixed in sRGB as browsers do."""
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    first = min(int(place), len(stops) - 2)
    pairs = zip(_channels(stops[first]), _channels(stops[first + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - first)):02x}" for a, b in pairs)


def ink_on(colour: str) -> str:
    """Black or white, whichever is easier to read on a colour: one of them always contrasts by 4.5 to 1 (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#ffffff"


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def inks(dark: bool) -> tuple[str, str]:
    """The colours of letters and of what they stand on."""
    return ("#e7edf3", "#0f151c") if dark else ("#16202b", "#ffffff")
