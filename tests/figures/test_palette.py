from __future__ import annotations

import itertools

import pytest

from pituning.figures.palette import DARK, HIGHLIGHT, LIGHT, MODALITIES, escape, modality_style

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
        for colour in (palette[3], palette[6]):  # the two kinds of lines
            assert contrast(colour, page) > 3
    assert all(contrast(colour, NIGHT) > 3 for colour in DARK)


@pytest.mark.parametrize("attribute", ["colour", "symbol", "marker"])
def test_modalities_differ_in_colour_and_in_shape(attribute: str) -> None:
    values = [getattr(style, attribute) for style in MODALITIES.values()]
    assert all(a != b for a, b in itertools.combinations(values, 2))


def test_unknown_modality_has_a_style() -> None:
    assert modality_style("smell").label == "smell"


def test_escape() -> None:
    assert escape('a<b> & "c" {d}') == "a&lt;b&gt; &amp; &quot;c&quot; &#123;d&#125;"
