"""Converts a GGUF file once into what a backbone is: safetensors, config and tokenizer.

Transformers could read the file each time, but would unpack its weights and rebuild its tokenizer each time: that
takes up to minutes, where the converted directory takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pituning.backbones.families import family_of
from pituning.backbones.gguf_metadata import read_metadata
from pituning.errors import ArtefactError, BadInput
from pituning.progress import Reporter
from pituning.workspace.atomic import FULL, write_json

DTYPES = ("bfloat16", "float32")
"""What weights can be unpacked to."""

_SMALL_VOCABULARY = 100_000


def check_gguf(file: Path) -> dict[str, Any]:
    """The metadata of a GGUF file that can be converted here.

    Raises:
        BadInput: it is no such file or one part of several, or the package that reads it is not installed.
    """
    metadata = read_metadata(file)
    parts = metadata.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise BadInput(f"{file} is one of {parts} parts; join them: llama-gguf-split --merge {file.name} whole.gguf")
    if not isinstance(metadata.get("general.architecture"), str):
        raise BadInput(f"{file} names no architecture; download it again")
    if find_spec("gguf") is None:
        raise BadInput("reading a GGUF file needs the package gguf; install it: pip install 'pituning-studio[gguf]'")
    return metadata


def convert_gguf(file: Path, directory: Path, *, dtype: str, reporter: Reporter) -> None:
    """Writes the model of a GGUF file into ``directory`` as safetensors, with its config, tokenizer and chat template.

    Args:
        dtype: that its weights are unpacked to, one of `DTYPES`.

    Raises:
        BadInput: nothing here runs such a model, or the file is damaged.
    """
    import torch
    import transformers
    from transformers.models.auto import modeling_auto

    from pituning.backbones.loading import quiet

    metadata = check_gguf(file)
    architecture = metadata["general.architecture"]
    place: dict[str, Any] = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    with quiet(), _explained(file, architecture):
        config = transformers.AutoConfig.from_pretrained(**place)
        sequences = modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
        decoders = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        named = sequences.get(config.model_type) or decoders.get(config.model_type)
        family_of({"model_type": config.model_type, "architectures": [named] if named else []}, file.name)
        whole = (
            transformers.AutoModelForSeq2SeqLM if config.model_type in sequences else transformers.AutoModelForCausalLM
        )
        reporter.phase("read the tokenizer", 1)
        if (getattr(config, "vocab_size", 0) or 0) > _SMALL_VOCABULARY:
            reporter.log(f"a vocabulary of {config.vocab_size} takes a minute or more to convert; this is done once")
        tokenizer = transformers.AutoTokenizer.from_pretrained(**place)
        reporter.advance()
        with _told(reporter):
            model, info = whole.from_pretrained(
                **place,
                config=config,
                dtype=getattr(torch, dtype),
                quantization_config=transformers.GgufConfig(dequantize=True),
                output_loading_info=True,
            )
        _check(model, info, file)
        reporter.phase("write the backbone", 1)
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        # The version of transformers says nothing of the model, and would change the fingerprint.
        _clean(directory / "config.json", "_model_name_or_path", "transformers_version")
        _clean(directory / "tokenizer_config.json", "is_local", "local_files_only")
        reporter.advance()


def _check(model: Any, info: dict[str, Any], file: Path) -> None:
    absent = sorted(info["missing_keys"])
    if absent:
        raise BadInput(f"{file} lacks {len(absent)} tensors of its model, first {absent[0]!r}; download it again")
    broken = [name for name, tensor in model.named_parameters() if not bool(tensor.isfinite().all())]
    if broken:
        raise BadInput(f"{file} has values that are not finite in {broken[0]!r}; download it again")


def _clean(path: Path, *keys: str) -> None:
    """Takes out what tells where the conversion was made, not what the model is."""
    document = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {key: value for key, value in document.items() if key not in keys})


@contextmanager
def _explained(file: Path, architecture: str) -> Iterator[None]:
    """Makes the many kinds of errors that transformers raises for a file into one line."""
    try:
        yield
    except (BadInput, MemoryError):
        raise
    except ArtefactError as error:
        raise BadInput(str(error)) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(
            f"{file} (architecture {architecture!r}) cannot be converted: {reason[:200]}; "
            "add the model's safetensors checkpoint instead"
        ) from error


@contextmanager
def _told(reporter: Reporter) -> Iterator[None]:
    """Tells the reporter of each tensor, where transformers would draw a bar of its own."""
    try:
        from transformers import modeling_gguf_pytorch_utils as reading
    except ImportError:  # a later version may read such files elsewhere
        reading = None

    def steps(tensors: Iterable[Any], **_: Any) -> Iterator[Any]:
        every = list(tensors)
        reporter.phase("unpack the weights", len(every))
        for tensor in every:
            yield tensor
            reporter.advance()

    bar = getattr(reading, "tqdm", None)
    if bar is None:
        reporter.phase("unpack the weights", 1)
        yield
        reporter.advance()
        return
    reading.tqdm = steps
    try:
        yield
    finally:
        reading.tqdm = bar
