"""Examples made ready for a backbone: token ids, and image features that the frozen vision tower computes once.

What large data sets need is kept in files (`TokenRows`, `pituning.backbones.shelf`), and of their images no more is
computed than is asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, overload

import numpy as np
import torch
from torch import Tensor

from pituning.backbones.shelf import Ahead, Shelf

if TYPE_CHECKING:
    from pituning.backbones.base import Backbone

IGNORED = -100
"""Label of a padded position."""

TOKENS_HELD = 2**26
"""Bytes of token ids that are held in memory; more are in a file."""


class TokenRows(Sequence[np.ndarray]):
    """Token ids of N texts, one after another in memory, or in a file that is mapped into it.

    Args:
        rows: of each text; they are taken one by one.
    """

    def __init__(self, rows: Iterable[Sequence[int] | np.ndarray]):
        ends = [0]
        with tempfile.SpooledTemporaryFile(max_size=TOKENS_HELD) as file:
            for row in rows:
                file.write(np.asarray(row, dtype=np.int32).tobytes())
                ends.append(ends[-1] + len(row))
            held = ends[-1] * np.dtype(np.int32).itemsize <= TOKENS_HELD
            file.seek(0)
            self._tokens = np.frombuffer(file.read(), np.int32) if held else np.memmap(file, np.int32, "r")
        self._ends = np.array(ends)

    @property
    def lengths(self) -> np.ndarray:
        """(N,) how many each has."""
        return np.diff(self._ends)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, row: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, row: slice) -> TokenRows: ...
    def __getitem__(self, row: int | slice) -> np.ndarray | TokenRows:
        """(T,) int64."""
        if isinstance(row, slice):
            return TokenRows(self[each] for each in range(*row.indices(len(self))))
        place = range(len(self))[row]
        return self._tokens[self._ends[place] : self._ends[place + 1]].astype(np.int64)


class MadeRows(Sequence[Mapping[str, Tensor]]):
    """What an image processor makes of each of N examples, anew whenever it is asked for.

    Args:
        ahead: makes it of a number.
        numbers: of the rows.
    """

    def __init__(self, ahead: Ahead[Mapping[str, Tensor]], numbers: Sequence[int]):
        self._ahead, self._numbers = ahead, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, row: int) -> Mapping[str, Tensor]: ...
    @overload
    def __getitem__(self, row: slice) -> MadeRows: ...
    def __getitem__(self, row: int | slice) -> Mapping[str, Tensor] | MadeRows:
        if isinstance(row, slice):
            return MadeRows(self._ahead, self._numbers[row])
        return self._ahead.take(self._numbers[row])

    def subset(self, rows: Sequence[int]) -> MadeRows:
        """The rows in that order."""
        return MadeRows(self._ahead, [self._numbers[row] for row in rows])

    def want(self, rows: Sequence[int]) -> None:
        """Makes these ahead."""
        self._ahead.want([self._numbers[row] for row in rows])


@dataclass
class Batch:
    """One padded batch on the backbone's device.

    Args:
        input_ids: (B, T) prompt tokens, image placeholders included.
        attention_mask: (B, T), 1 where a token is.
        labels: (B, U) answer tokens, −100 where padded, on the right.
        inputs_embeds: (B, T, D) embedded prompt with the image features in place, where the family embeds it itself.
        decoder_input_ids: (B, U) the answer shifted right, of encoder-decoders.
        pixel_values: (B, 3, H, W) normalised pixels, where the examples were encoded with ``keep_pixels``.
        states: (B, T, D) encoder states, where `EncodedExamples.with_states` computed them.
        images: what else the image processor made, each tensor with the images of the batch along its first axis.
        pictured: whether ``inputs_embeds`` has places for features of pictures.
        unseen: whether these are not in them yet.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    inputs_embeds: Tensor | None = None
    decoder_input_ids: Tensor | None = None
    pixel_values: Tensor | None = None
    states: Tensor | None = None
    images: Mapping[str, Tensor] = field(default_factory=dict)
    pictured: bool = False
    unseen: bool = False

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    @property
    def size(self) -> int:
        return len(self)

    @property
    def lengths(self) -> Tensor:
        """(B,) number of answer tokens, the end token included."""
        return (self.labels != IGNORED).sum(dim=1)


@dataclass
class EncodedExamples:
    """Tokenised examples of one task for one backbone.

    Args:
        prompts: token ids of each input, with whatever the backbone puts around it.
        answers: token ids of each answer, its end token included.
        backbone: which makes batches of them.
        features: (N, V, D) frozen image features, where the family computes them once; of many images when asked for.
        pixels: (N, H, W, 3) bytes, for full fine-tuning, or None.
        images: of each example what the image processor makes, where the family runs the whole model on it.
        states: the frozen encoder's states of each example (T, D), where nothing will change the encoder.
    """

    prompts: TokenRows
    answers: TokenRows
    backbone: Backbone
    features: Tensor | Shelf | None = None
    pixels: Tensor | Shelf | None = None
    images: list[Mapping[str, Tensor]] | MadeRows | None = None
    states: list[Tensor] | None = None

    def __post_init__(self) -> None:
        # Lists of arrays are taken, too, for families that other packages bring.
        self.prompts, self.answers = (
            rows if isinstance(rows, TokenRows) else TokenRows(rows) for rows in (self.prompts, self.answers)
        )

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def prompt_lengths(self) -> np.ndarray:
        """(N,) tokens of each prompt, for length-bucketed batches."""
        return self.prompts.lengths

    def subset(self, indices: Sequence[int] | np.ndarray) -> EncodedExamples:
        """The examples at ``indices``, in that order."""
        rows = [int(i) for i in indices]
        return EncodedExamples(
            prompts=TokenRows(self.prompts[i] for i in rows),
            answers=TokenRows(self.answers[i] for i in rows),
            backbone=self.backbone,
            features=_subset(self.features, rows),
            pixels=_subset(self.pixels, rows),
            images=_images_of(self.images, rows),
            states=None if self.states is None else [self.states[i] for i in rows],
        )

    def without_states(self) -> EncodedExamples:
        """The same examples, for whatever changes the encoder."""
        return replace(self, states=None)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The examples at ``indices``, padded to the longest."""
        return self.backbone.collate(self, [int(i) for i in indices])

    def by_length(self, size: int) -> Iterator[np.ndarray]:
        """All rows in batches of ``size``, the shortest prompts first, so that little is padding; see `ahead`."""
        order = np.argsort(self.prompt_lengths, kind="stable")
        return self.ahead(order[begin : begin + size] for begin in range(0, len(order), size))

    def ahead(self, order: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The rows of batches as they come; images of the next one are read and drawn while one is worked on."""
        made = [each for each in (self.features, self.pixels, self.images) if isinstance(each, Shelf | MadeRows)]
        if not made:
            yield from order
            return
        coming = iter(order)
        rows = next(coming, None)
        while rows is not None:
            following = next(coming, None)
            for each in made:
                each.want([int(row) for row in (rows if following is None else [*rows, *following])])
            yield rows
            rows = following


def _subset(values: Tensor | Shelf | None, rows: list[int]) -> Tensor | Shelf | None:
    return values.subset(rows) if isinstance(values, Shelf) else None if values is None else values[rows]


def _images_of(
    images: list[Mapping[str, Tensor]] | MadeRows | None, rows: list[int]
) -> list[Mapping[str, Tensor]] | MadeRows | None:
    if isinstance(images, MadeRows):
        return images.subset(rows)
    return None if images is None else [images[i] for i in rows]


def padded(rows: Sequence[np.ndarray], fill: int, *, left: bool = False) -> np.ndarray:
    """(B, longest) int64.

    Args:
        left: pad in front, as decoder-only models want their prompts.
    """
    out = np.full((len(rows), max((len(row) for row in rows), default=1)), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        if left:
            out[i, out.shape[1] - len(row) :] = row
        else:
            out[i, : len(row)] = row
    return out


def mask_of(rows: Sequence[np.ndarray], *, left: bool = False) -> np.ndarray:
    """(B, longest) int64, 1 where `padded` put a token."""
    lengths = np.array([len(row) for row in rows])
    places = np.arange(int(lengths.max(initial=1)))[None, :]
    inside = places >= places.size - lengths[:, None] if left else places < lengths[:, None]
    return inside.astype(np.int64)


def nll_per_example(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p(y | x) of each example: summed over its answer tokens.

    Args:
        logits: (B, U, V).
        labels: (B, U), −100 where padded.

    Returns:
        (B,) losses in nats.
    """
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(labels.shape).sum(dim=1)
