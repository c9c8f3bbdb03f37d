"""Examples as people read them: the picture at a crisp size, the text, the answer."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache

import streamlit as st
from PIL import ImageDraw

from app.components.guard import plain
from pituning.tasks.base import Example, ImageSource
from pituning.tasks.metrics import BOX_GRID, parse_box

RENDER_SIZE = 192
BOX_COLOUR, PREDICTED_COLOUR = "#e6007a", "#00d5ff"


def gallery(examples: Sequence[Example], *, key: str) -> None:
    """Examples side by side: pictures in a grid, texts one under the other."""
    if any(example.image is not None for example in examples):
        with st.grid("auto", min_column_width=132, gap="small"):
            for index, example in enumerate(examples):
                with st.container(key=f"{key}-{index}", gap="xsmall"):
                    _picture(example)
        return
    for index, example in enumerate(examples):
        with st.container(border=True, gap="xsmall", key=f"{key}-{index}"):
            st.markdown(_lines(example.text))
            st.markdown(answer_badge(example.answer))


def answer_badge(answer: str) -> str:
    """An answer as a Markdown badge; a long or open one as plain text."""
    if parse_box(answer) is not None:
        return ":gray-badge[:material/select: the framed place]"
    if len(answer) > 28:
        return f"**{plain(answer)}**"
    return f":blue-badge[{plain(answer)}]"


def _picture(example: Example) -> None:
    if example.image is not None:
        alt = f"{example.text} {example.answer}".strip()
        st.image(picture(example.image, example.answer), width="stretch", alt=alt)
    if example.text:
        st.caption(plain(example.text))
    st.markdown(answer_badge(example.answer))


@lru_cache(maxsize=512)
def picture(source: ImageSource, answer: str, prediction: str = "") -> bytes:
    """The image as PNG at a crisp size; where answer and prediction are boxes, they are drawn in two colours.

    What has been drawn is kept: sources are compared by what they hold, and drawing takes longer than the rest of a
    panel.
    """
    image = source.render(RENDER_SIZE)
    boxes = ((parse_box(prediction), PREDICTED_COLOUR), (parse_box(answer), BOX_COLOUR))
    scale = image.width / BOX_GRID
    for box, colour in boxes:
        if box is not None:
            x1, y1, x2, y2 = (value * scale for value in box)
            ImageDraw.Draw(image).rectangle((x1, y1, max(x1 + 1, x2), max(y1 + 1, y2)), outline=colour, width=3)
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)  # they are shown on this machine
    return data.getvalue()


def _lines(text: str) -> str:
    """A text for Markdown with its line ends kept."""
    return plain(text).replace("\n", "  \n")
