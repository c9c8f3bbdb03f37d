"""From cells of features to tokens that the language model reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pituning.backbones.composed.config import PROJECTOR, ComposedConfig
from pituning.errors import ArtefactError

LIMIT = 8.0
"""Standardised features are kept within this: a channel that is nearly always 0 would else give huge values."""


DIRECT = "direct"
DIRECT_MAPS = 4
"""How many stand side by side, so that experts of low rank on each have the rank of their sum."""
REACH = 4.0
"""What is multiplied with the tokens' own spread at the direct maps, so that experts learn at their usual rate: tokens
spread forty times as far as embeddings of words do."""

COLOURS, COLOUR_WEIGHT = 3, 4.0
"""Channels of colour, and how much more than others they vary after standardising: they are few among many."""


class Projector(nn.Module):
    """Two linear maps with GELU between them, on standardised features, and a learned vector for each cell's place.

    Beside them stand the ``direct`` ones, linear maps from the standardised features to tokens, which are zero and
    stay so: they are where experts attach. What pretraining had no use for does not pass the two maps (of EuroSAT's
    classes a linear probe reads 89 % in the features and 77 % in the tokens), and an expert can take it from here.

    Args:
        channels: C, of the features.
        hidden: width of the inner layer.
        width: D, of the language model's embeddings.
        tokens: T, cells of an image.
    """

    mean: Tensor
    deviation: Tensor
    reach: Tensor

    def __init__(self, *, channels: int, hidden: int, width: int, tokens: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.register_buffer("reach", torch.ones(()))
        self.inner = nn.Linear(channels, hidden)
        self.outer = nn.Linear(hidden, width)
        self.places = nn.Parameter(torch.zeros(tokens, width))
        self.direct = nn.ModuleList(nn.Linear(channels, width, bias=False) for _ in range(DIRECT_MAPS))
        for weight in self.direct.requires_grad_(False).parameters():
            nn.init.zeros_(weight)

    def forward(self, features: Tensor) -> Tensor:
        """(N, T, D) tokens of features (N, T, C)."""
        standard = ((features.float() - self.mean) / self.deviation).clamp(-LIMIT, LIMIT)
        direct = torch.stack([linear(standard) for linear in self.direct]).sum(0)
        return self.outer(nn.functional.gelu(self.inner(standard))) + self.places + self.reach * direct

    @property
    def learned(self) -> dict[str, nn.Parameter]:
        """What pretraining trains, by name."""
        return {name: value for name, value in self.named_parameters() if not name.startswith(f"{DIRECT}.")}

    @torch.no_grad()
    def measure_reach(self, features: Tensor) -> None:
        """Sets how far the direct maps reach, by the spread of the tokens of features (N, T, C)."""
        self.reach.copy_(REACH * self(features).std())

    @torch.no_grad()
    def start(self, embeddings: Tensor, seed: int) -> None:
        """Random values whose tokens have the mean and the spread of a language model's embeddings (V, D)."""
        table = embeddings.float()
        generator = torch.Generator().manual_seed(seed)
        for linear in (self.inner, self.outer):
            linear.weight.normal_(0.0, linear.in_features**-0.5, generator=generator)
            linear.bias.zero_()
        self.outer.weight.mul_(table.std(dim=0).mean() / 0.425**0.5)
        self.outer.bias.copy_(table.mean(dim=0))
        self.places.normal_(0.0, 0.1 * float(table.std()), generator=generator)

    @torch.no_grad()
    def standardise(self, features: Tensor, *, colours: bool) -> None:
        """Takes mean and deviation of each channel from features (N, T, C).

        Args:
            colours: whether the last channels are those of the cells' mean colours.
        """
        rows = features.float().flatten(0, 1)
        self.mean.copy_(rows.mean(dim=0))
        # Floored at a fraction of the usual one: what never varies says nothing.
        spread = rows.std(dim=0)
        self.deviation.copy_(spread.clamp_min(0.1 * float(spread.mean()) + 1e-6))
        if colours:
            self.deviation[-COLOURS:] = spread[-COLOURS:].clamp_min(1e-3) / COLOUR_WEIGHT

    def save(self, directory: Path) -> None:
        """Writes ``projector.safetensors`` in float16."""
        tensors = {name: value.detach().to(torch.float16).contiguous() for name, value in self._stored.items()}
        save_file(tensors, directory / PROJECTOR)

    @property
    def _stored(self) -> dict[str, Tensor]:
        return {**self.learned, **dict(self.named_buffers())}

    @classmethod
    def shaped(cls, config: ComposedConfig, width: int) -> Projector:
        """One of the shape that a config says, with no values yet; ``width`` as for the class."""
        return cls(channels=config.channels, hidden=config.hidden, width=width, tokens=config.tokens)

    @classmethod
    def read(cls, directory: Path, config: ComposedConfig, width: int) -> Projector:
        """That of a directory, in float32.

        Raises:
            ArtefactError: the file is damaged, or of another shape than ``config.json`` says.
        """
        projector = cls.shaped(config, width)
        path = directory / PROJECTOR
        try:
            stored: dict[str, Any] = load_file(path)
        except Exception as error:
            raise ArtefactError(f"{path} is damaged ({str(error).splitlines()[0]}); restore it") from error
        shapes = {name: tuple(value.shape) for name, value in projector._stored.items()}
        found = {name: tuple(value.shape) for name, value in stored.items()}
        wrong = sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name))
        if wrong:
            raise ArtefactError(
                f"{path} has {wrong[0]!r} of shape {found.get(wrong[0])}, its parts need {shapes.get(wrong[0])}; "
                "restore it or compose the backbone again"
            )
        broken = [name for name, value in stored.items() if not torch.isfinite(value).all()]
        if broken:
            raise ArtefactError(f"{path} has values that are not finite in {broken[0]!r}; restore it")
        projector.load_state_dict({name: value.float() for name, value in stored.items()}, strict=False)
        return projector
