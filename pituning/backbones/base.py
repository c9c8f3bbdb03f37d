"""The frozen foundation model: (optional image) + text in, text out."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import Florence2ForConditionalGeneration, PreTrainedTokenizerFast
from transformers.utils import logging

from pituning.backbones.device import best_device
from pituning.backbones.encoded import Batch, EncodedExamples, normalise
from pituning.backbones.files import fingerprint, require_files
from pituning.backbones.network import Network, nll_per_example
from pituning.backbones.prediction import predict
from pituning.errors import ArtefactError, BadInput
from pituning.progress import Reporter, Silent
from pituning.tasks.base import Example, Task

__all__ = ["Backbone", "Batch", "EncodedExamples", "Network", "nll_per_example", "predict"]

IMAGE_BATCH = 64
ANSWER_ROOM = 32
"""Decoder positions that answers leave free, for prefixes."""


class Backbone:
    """A frozen Florence-2-style model in evaluation mode, float32.

    Attributes:
        model: the transformers model; none of its parameters asks for gradients.
        tokenizer: text to ids and back.
        name: what people read, the directory's name.
        fingerprint: 64 hexadecimal digits over weights, config and tokenizer; experts and embeddings carry it.
        image_size: side of the input images, in pixels.
        network: the model's forward pass in two halves.
    """

    def __init__(
        self,
        model: Florence2ForConditionalGeneration,
        tokenizer: PreTrainedTokenizerFast,
        *,
        name: str,
        fingerprint: str,
        image_size: int,
        device: torch.device | str = "cpu",
    ):
        self.device = torch.device(device)
        self.model = model.to(self.device).float().eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.fingerprint = fingerprint
        self.image_size = image_size
        self.network = Network(self.model)
        text = self.model.config.text_config
        self.start_token: int = text.decoder_start_token_id
        self.end_token: int = text.eos_token_id
        self.pad_token: int = text.pad_token_id
        self.image_token: int = self.model.config.image_token_id
        self.max_positions: int = text.max_position_embeddings

    @classmethod
    def load(cls, path: Path, *, name: str | None = None, device: torch.device | str | None = None) -> Backbone:
        """A backbone from a directory that `save_pretrained` wrote; nothing is downloaded or unpickled.

        Args:
            name: by default the directory's name; of ``…/mini/backbone``, ``mini``.
            device: by default the `best_device`.

        Raises:
            BadInput: when ``$PITUNING_DEVICE`` names no device of this machine.
            ArtefactError: when the directory or a file of it is missing, truncated or not a Florence-2.
        """
        path = Path(path)
        require_files(path)
        device = best_device() if device is None else device
        try:
            kind = json.loads((path / "config.json").read_text(encoding="utf-8")).get("model_type")
            if kind != "florence2":
                raise ArtefactError(f"backbone {path} is a {kind!r} model; only florence2 checkpoints can be loaded")
            image_size = _image_size(path)
            with _quiet():
                model, info = Florence2ForConditionalGeneration.from_pretrained(
                    path,
                    dtype=torch.float32,
                    local_files_only=True,
                    use_safetensors=True,
                    output_loading_info=True,
                )
                tokenizer = PreTrainedTokenizerFast.from_pretrained(path, local_files_only=True)
        except ArtefactError:
            raise
        except Exception as error:  # transformers and safetensors raise many kinds for a broken file
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ArtefactError(f"backbone {path} cannot be loaded ({reason}); restore or rebuild it") from error
        absent = sorted(info["missing_keys"]) + sorted(str(key[0]) for key in info["mismatched_keys"])
        if absent:
            raise ArtefactError(
                f"backbone {path} lacks {len(absent)} tensors, first {absent[0]!r}; restore or rebuild it"
            )
        broken = [name for name, tensor in model.named_parameters() if not torch.isfinite(tensor).all()]
        if broken:
            raise ArtefactError(
                f"backbone {path} has values that are not finite in {broken[0]!r}; restore or rebuild it"
            )
        return cls(
            model,
            tokenizer,
            name=name or _name(path.resolve()),
            fingerprint=fingerprint(path),
            image_size=image_size,
            device=device,
        )

    def copy(self) -> Backbone:
        """An independent copy, into which PEFT may inject or which training may change."""
        return Backbone(
            copy.deepcopy(self.model),
            self.tokenizer,
            name=self.name,
            fingerprint=self.fingerprint,
            image_size=self.image_size,
            device=self.device,
        )

    def encode(
        self,
        task: Task,
        examples: Sequence[Example],
        *,
        keep_pixels: bool = False,
        reporter: Reporter | None = None,
    ) -> EncodedExamples:
        """Tokenises examples and computes their image features once; prompts that are too long lose their end.

        Args:
            task: whose instruction opens the prompts.
            keep_pixels: also keep the pixels, for full fine-tuning.

        Raises:
            BadInput: when there are no examples, or when only some of them have an image.
        """
        reporter = reporter or Silent()
        examples = list(examples)
        if not examples:
            raise BadInput(f"task {task.name!r}: there are no examples to encode; add some")
        with_image = sum(example.image is not None for example in examples)
        if with_image not in (0, len(examples)):
            raise BadInput(
                f"task {task.name!r}: {with_image} of {len(examples)} examples have an image; give all one or none"
            )
        features, pixels = self._images(examples, keep_pixels, reporter) if with_image else (None, None)
        tokens = features.shape[1] if features is not None else 0
        room = self.max_positions - tokens - 2
        head = [self.model.config.text_config.bos_token_id] + [self.image_token] * tokens
        prompt_ids = self.token_ids([task.prompt(example) for example in examples])
        answer_ids = self.token_ids([example.answer for example in examples])
        long = sum(len(ids) > room for ids in prompt_ids)
        if long:
            reporter.log(f"{long} of {len(examples)} prompts are longer than {room} tokens and were cut")
        answer_room = self.max_positions - ANSWER_ROOM
        return EncodedExamples(
            prompts=[np.array([*head, *ids[:room], self.end_token], dtype=np.int64) for ids in prompt_ids],
            answers=[np.array([*ids[:answer_room], self.end_token], dtype=np.int64) for ids in answer_ids],
            features=features,
            pixels=pixels,
            embedding=self.model.get_input_embeddings(),
            pad=self.pad_token,
            start=self.start_token,
            device=self.device,
        )

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids without the ends. A user's text that spells a special token (``<image>``) stays text."""
        if not texts:
            return []
        return self.tokenizer(
            list(texts), add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
        )["input_ids"]

    def _images(
        self, examples: Sequence[Example], keep_pixels: bool, reporter: Reporter
    ) -> tuple[Tensor, Tensor | None]:
        """Features (N, V, D), and pixels (N, H, W, 3) as bytes if they are kept."""
        reporter.phase("encode images", len(examples))
        features: list[Tensor] = []
        kept: list[Tensor] = []
        for begin in range(0, len(examples), IMAGE_BATCH):
            chunk = examples[begin : begin + IMAGE_BATCH]
            pixels = torch.from_numpy(np.stack([self._pixels(example) for example in chunk]))
            features.append(self.image_features(pixels))
            if keep_pixels:
                kept.append(pixels)
            reporter.advance(len(chunk))
        return torch.cat(features), torch.cat(kept) if keep_pixels else None

    def image_features(self, pixels: Tensor) -> Tensor:
        """(N, V, D) features, on the CPU, of pixels (N, H, W, 3) given as bytes."""
        with torch.no_grad():
            return self.model.get_image_features(normalise(pixels.to(self.device))).pooler_output.cpu()

    def _pixels(self, example: Example) -> np.ndarray:
        assert example.image is not None
        image = example.image.render(self.image_size).convert("RGB")
        if image.size != (self.image_size, self.image_size):
            image = image.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR)
        return np.array(image, dtype=np.uint8)

    def predict(self, encoded: EncodedExamples, task: Task, *, batch_size: int = 64) -> list[str]:
        """The answers of the backbone alone."""
        return predict(self.network, self, encoded, task, batch_size=batch_size)


def _name(path: Path) -> str:
    return path.parent.name if path.name == "backbone" else path.name


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the bars and warnings of transformers off the terminal; what matters in them is checked and raised."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _image_size(path: Path) -> int:
    size = json.loads((path / "preprocessor_config.json").read_text(encoding="utf-8")).get("size")
    if not isinstance(size, dict) or not isinstance(size.get("height"), int) or size["height"] != size.get("width"):
        raise ArtefactError(f"backbone {path}: preprocessor_config.json has size {size!r}; it must be a square")
    return size["height"]
