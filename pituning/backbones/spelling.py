"""How backbones write boxes, which tasks hold in pixels: as their own location tokens, or as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from pituning.tasks.boxes import FINE_GRID, Box, four_numbers, read_box

_PATTERNS = ("<loc_{}>", "<bin_{}>", "<loc{:04d}>")
"""Of Florence-2 and the embedded backbone, of OFA, and of PaliGemma."""

_TOKEN = re.compile(r"<(?:loc|bin)_?(\d{1,4})>")
_TOKEN_IN = re.compile(r"<[^<>]+>")


class Spelling:
    """What a backbone makes of answers before it tokenises them, and after it has decoded them."""

    tokenizer: Any
    corner_order: ClassVar[tuple[int, int, int, int]] = (0, 1, 2, 3)
    """In which order it writes x1, y1, x2, y2."""

    @cached_property
    def location_tokens(self) -> tuple[str, int] | None:
        """How the tokenizer writes a coordinate as one token, and the size of the grid; None where it has none."""
        vocabulary = self.tokenizer.get_vocab()
        for pattern in _PATTERNS:
            size = 0
            while pattern.format(size) in vocabulary:
                size += 1
            if size:
                return pattern, size
        return None

    def spelled(self, answer: str) -> str:
        """An answer of a task as this backbone writes it: boxes in its own way, everything else as it stands."""
        box = read_box(answer)
        return answer if box is None else self.spell_box(box)

    def spell_box(self, box: Box) -> str:
        """A box as this backbone writes it: as its own location tokens, or else as numbers from 0 to 999."""
        if self.location_tokens is None:
            return " ".join(map(str, box.on_grid(FINE_GRID)))
        pattern, size = self.location_tokens
        cells = box.on_grid(size)
        return "".join(pattern.format(cells[place]) for place in self.corner_order)

    def read_box(self, answer: str) -> Box | None:
        """The box in what the backbone wrote, the inverse of `spell_box`; None where it wrote something else."""
        if self.location_tokens is None:
            cells: Sequence[float] | None = four_numbers(answer)
            size = FINE_GRID
        else:
            size = self.location_tokens[1]
            tokens = [int(number) for number in _TOKEN.findall(answer)]
            whole = len(tokens) == 4 and not _TOKEN.sub("", answer).strip()
            cells = [tokens[self.corner_order.index(place)] for place in range(4)] if whole else None
        if cells is None or min(cells) < 0 or max(cells) >= size or cells[2] < cells[0] or cells[3] < cells[1]:
            return None
        return Box.from_grid(cells, size)

    def located(self, ids: list[list[int]], answers: Sequence[str]) -> list[list[int]]:
        """Token ids of answers, in which boxes are the tokens that they are, also where these are special ones."""
        if self.location_tokens is None:
            return ids
        for row, answer in enumerate(answers):
            box = read_box(answer)
            if box is not None:
                ids[row] = list(self.tokenizer.convert_tokens_to_ids(_TOKEN_IN.findall(self.spell_box(box))))
        return ids

    def with_locations(self, texts: list[str], ids: Sequence[Sequence[int]]) -> list[str]:
        """Decoded texts with the location tokens that decoding leaves out, where these are special ones."""
        if self._special_locations:
            for row, tokens in enumerate(ids):
                places = [int(token) for token in tokens if token in self._special_locations]
                texts[row] = "".join(self.tokenizer.convert_ids_to_tokens(places)) + texts[row]
        return texts

    @cached_property
    def _special_locations(self) -> frozenset[int]:
        if self.location_tokens is None:
            return frozenset()
        pattern, size = self.location_tokens
        tokens = self.tokenizer.convert_tokens_to_ids([pattern.format(cell) for cell in range(size)])
        return frozenset(tokens) & frozenset(self.tokenizer.all_special_ids)
