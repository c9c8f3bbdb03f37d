from __future__ import annotations

import itertools

import numpy as np
import pytest

from pituning.figures.palette import (
    COMMUNITIES,
    COMMUNITIES_DARK,
    DARK,
    HIGHLIGHT,
    LIGHT,
    MODALITIES,
    escape,
    modality_style,
)

WHITE, NIGHT = "#ffffff", "#0f151c"  # the page's backgrounds in .streamlit/config.toml


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    lighter, darker = sorted((luminance(a), luminance(b)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_highlight_and_lines_stand_out_from_both_pages() -> None:
    assert contrast(HIGHLIGHT, WHITE) > 3
    assert contrast(HIGHLIGHT, NIGHT) > 3
    for palette, page in ((LIGHT, WHITE), (DARK, NIGHT)):
        assert contrast(palette[6], page) > 3  # lines
    assert all(contrast(colour, NIGHT) > 3 for colour in DARK)


# What people without red or without green cones see, of linear RGB (Machado, Oliveira and Fernandes, 2009).
SIGHTS = {
    "all": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def difference(a: str, b: str, sight: str = "all") -> float:
    """ΔE of 1976: 2.3 can just be seen."""
    labs = []
    for colour in (a, b):
        channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        xyz = TO_XYZ @ np.clip(SIGHTS[sight] @ linear, 0, 1) / np.array([0.9505, 1, 1.089])
        x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        labs.append(np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)]))
    return float(np.linalg.norm(labs[0] - labs[1]))


@pytest.mark.parametrize(
    ("communities", "palette", "page"), [(COMMUNITIES, LIGHT, WHITE), (COMMUNITIES_DARK, DARK, NIGHT)]
)
def test_communities_have_colours_of_their_own(
    communities: tuple[str, ...], palette: tuple[str, ...], page: str
) -> None:
    modalities = [palette[style.colour] for style in (*MODALITIES.values(), modality_style("smell"))]
    for colour in communities:
        assert contrast(colour, page) > 4.5, "names are letters in it"
        assert min(difference(colour, other) for other in modalities) > 25
    for (a, b), sight in itertools.product(itertools.combinations(communities, 2), SIGHTS):
        assert difference(a, b, sight) > 20, (a, b, sight)


@pytest.mark.parametrize("attribute", ["colour", "symbol", "marker"])
def test_modalities_differ_in_colour_and_in_shape(attribute: str) -> None:
    values = [getattr(style, attribute) for style in MODALITIES.values()]
    assert all(a != b for a, b in itertools.combinations(values, 2))


def test_unknown_modality_has_a_style() -> None:
    assert modality_style("smell").label == "smell"


def test_escape() -> None:
    assert escape('a<b> & "c" {d}') == "a&lt;b&gt; &amp; &quot;c&quot; &#123;d&#125;"
