"""Boxes are held in pixels by tasks, and written by each backbone in its own way."""

from __future__ import annotations

import pytest

from pituning.backbones.spelling import Spelling
from pituning.tasks.boxes import Box, read_box

BOX = Box(130, 26, 260, 208, 520, 416)  # a quarter, a sixteenth, a half, a half


class Vocabulary:
    """A tokenizer that knows location tokens alone."""

    def __init__(self, pattern: str, size: int, special: bool = False):
        self.tokens = [pattern.format(cell) for cell in range(size)]
        self.all_special_ids = list(range(size)) if special else []

    def get_vocab(self) -> dict[str, int]:
        return {token: place for place, token in enumerate(self.tokens)}

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]:
        return [self.tokens.index(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.tokens[place] for place in ids]


def spelling(tokenizer: Vocabulary, order: tuple[int, int, int, int] = (0, 1, 2, 3)) -> Spelling:
    one = type("One", (Spelling,), {"corner_order": order})()
    one.tokenizer = tokenizer
    return one


@pytest.mark.parametrize(
    ("backbone", "text"),
    [
        (spelling(Vocabulary("<loc_{}>", 48)), "<loc_12><loc_3><loc_24><loc_24>"),
        (spelling(Vocabulary("<loc_{}>", 1000)), "<loc_250><loc_62><loc_500><loc_500>"),
        (spelling(Vocabulary("<bin_{}>", 1000)), "<bin_250><bin_62><bin_500><bin_500>"),
        (spelling(Vocabulary("<loc{:04d}>", 1024), (1, 0, 3, 2)), "<loc0064><loc0256><loc0512><loc0512>"),
        (spelling(Vocabulary("", 0)), "250 62 500 500"),
    ],
)
def test_a_box_is_written_and_read_back(backbone: Spelling, text: str) -> None:
    assert backbone.spelled(BOX.text()) == text
    back = backbone.read_box(text)
    assert back is not None
    for ours, theirs in zip((BOX.x1 / 520, BOX.y2 / 416), (back.x1 / back.width, back.y2 / back.height), strict=True):
        assert abs(ours - theirs) <= 1 / 48
    assert read_box(back.text()) is not None  # tasks hold it again
    assert backbone.spelled("no box") == "no box"
    for other in ("", "no box", text + " and more", text[:-3], "999 0 1 2" if " " in text else text[::-1]):
        assert backbone.read_box(other) is None


def test_special_tokens_stay_tokens() -> None:
    backbone = spelling(Vocabulary("<loc_{}>", 1000, special=True))
    ids = backbone.located([[7, 7, 7]], [BOX.text()])
    assert ids == [[250, 62, 500, 500]]
    assert backbone.with_locations([""], ids) == ["<loc_250><loc_62><loc_500><loc_500>"]
