"""Examples as people read them: the picture at a crisp size, the text, the answer."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from PIL import Image, ImageDraw

from app.components.guard import plain
from pituning.tasks.base import Example
from pituning.tasks.metrics import BOX_GRID, parse_box

RENDER_SIZE = 192
BOX_COLOUR = "#e6007a"


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
        image = example.image.render(RENDER_SIZE)
        box = parse_box(example.answer)
        st.image(
            image if box is None else _framed(image, box),
            width="stretch",
            alt=f"{example.text} {example.answer}".strip(),
        )
    if example.text:
        st.caption(plain(example.text))
    st.markdown(answer_badge(example.answer))


def _framed(image: Image.Image, box: Sequence[float]) -> Image.Image:
    """The image with the answer's box drawn on it; ``box`` is x1, y1, x2, y2 in cells of the grid."""
    framed = image.convert("RGB")
    scale = framed.width / BOX_GRID
    x1, y1, x2, y2 = (value * scale for value in box)
    ImageDraw.Draw(framed).rectangle((x1, y1, max(x1 + 1, x2), max(y1 + 1, y2)), outline=BOX_COLOUR, width=3)
    return framed


def _lines(text: str) -> str:
    """A text for Markdown with its line ends kept."""
    return plain(text).replace("\n", "  \n")
