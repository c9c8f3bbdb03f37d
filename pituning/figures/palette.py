"""Colours, symbols and words that all figures share; told apart by colour-blind people and on light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass

# Okabe and Ito (2008) without black and yellow; the lighter row is the same hues for dark pages.
LIGHT = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#5b6673")
DARK = ("#56b4e9", "#f0b429", "#2fbf94", "#f0803c", "#dd94bd", "#9ad0f5", "#9aa7b4")

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

PAD = "\u2002"
"""A space between the end of a bar and the text beside it; Plotly drops ordinary ones."""


@dataclass(frozen=True)
class ModalityStyle:
    """How a modality looks: an index into the palette, an ECharts symbol, a Plotly symbol."""

    label: str
    colour: int
    symbol: str
    marker: str


MODALITIES = {
    "vision": ModalityStyle("Vision", 0, "circle", "circle"),
    "language": ModalityStyle("Language", 1, "rect", "square"),
    "vision-language": ModalityStyle("Vision-language", 2, "diamond", "diamond"),
}

METHOD_LABELS = {
    "pi": "π-tuning",
    "backbone": "Backbone alone",
    "single": "Single expert",
    "full": "Full fine-tuning",
    "donor": "Best donor",
    "uniform": "Uniform mix",
    "random": "Random donors",
    "placebo": "Placebo donors",
    "untouched": "Donors untouched",
}


def colours(dark: bool) -> tuple[str, ...]:
    """The categorical palette for a page."""
    return DARK if dark else LIGHT


def modality_style(modality: str) -> ModalityStyle:
    """The style of a modality; one that is not known looks like vision-language but grey."""
    return MODALITIES.get(modality, ModalityStyle(modality, 6, "diamond", "diamond"))


def method_label(name: str) -> str:
    """What people read for a method; the name itself when there is no word for it."""
    return METHOD_LABELS.get(name, name)


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
