"""Converts published OFA weights, once, to a directory of safetensors and JSON that nothing needs to unpickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from pituning.backbones.ofa.config import OfaConfig, check_config
from pituning.backbones.ofa.model import OfaForConditionalGeneration
from pituning.backbones.ofa.pixels import preprocessor_config
from pituning.backbones.ofa.sizes import check_tensors, sizes_of
from pituning.backbones.ofa.tokenizer import ofa_tokenizer, read_bpe
from pituning.backbones.ofa.weights import port_weights, read_weights
from pituning.errors import ArtefactError, BadInput
from pituning.workspace.atomic import atomic_directory, read_json, write_json

IMAGE_SIZE = 480
"""Side of the images in all of the paper's scripts, in pixels."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights in a directory of the hub's layout, the preferred one first."""


def convert_checkpoint(
    source: Path, target: Path, *, tokenizer_files: Path | None = None, image_size: int = IMAGE_SIZE
) -> None:
    """Writes a backbone's directory: model.safetensors, config.json, tokenizer.json and preprocessor_config.json.

    A directory that stands at ``target`` is replaced; on an error it is what it was.

    Args:
        source: a directory of the hub's layout (config.json, vocab.json, merges.txt and the weights) or a
            fairseq ``.pt`` file.
        tokenizer_files: directory of the vocabulary (see `read_bpe`); by default where the weights are.
        image_size: side of the images in pixels that the backbone will be given.

    Raises:
        ArtefactError: files are missing, damaged, unsafe, or do not belong together.
        BadInput: the image size is out of range, or the config describes another OFA than the published ones.
    """
    source, target = Path(source), Path(target)
    if source.is_dir():
        weights_path = next((source / name for name in WEIGHTS if (source / name).is_file()), source / WEIGHTS[-1])
        given = read_json(source / "config.json")
    else:
        weights_path, given = source, None
    where = f"OFA checkpoint {source}"
    weights = port_weights(read_weights(weights_path), where=where)
    sizes = sizes_of(weights, where=where)
    config = _config(sizes, given, where)
    check_config(config)
    check_tensors(weights, config, where=where)
    most = 16 * config.image_bucket_size
    if not 1 <= image_size <= most:
        raise BadInput(
            f"image size {image_size}: OFA has positions for images of 1 to {most} pixels", field="image_size"
        )

    directory = tokenizer_files or weights_path.parent
    tokenizer = ofa_tokenizer(*read_bpe(directory), where=f"the vocabulary in {directory}")
    if len(tokenizer) != config.vocab_size:
        raise ArtefactError(
            f"the vocabulary in {directory} makes {len(tokenizer)} tokens with OFA's symbols, but {where} "
            f"embeds {config.vocab_size}; give the vocabulary that belongs to it"
        )
    with atomic_directory(target) as directory:
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
        config.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        write_json(directory / "preprocessor_config.json", preprocessor_config(image_size))


def _config(sizes: dict[str, Any], given: Any, where: str) -> OfaConfig:
    """The published config, if there is one and it has the sizes of the tensors, else one of those sizes alone."""
    if given is None:
        config = OfaConfig(**sizes)
    else:
        if not isinstance(given, dict) or given.get("model_type") != OfaConfig.model_type:
            model_type = given.get("model_type") if isinstance(given, dict) else given
            raise ArtefactError(f"{where}: config.json is of a {model_type!r} model; give an OFA checkpoint")
        try:
            config = OfaConfig.from_dict(given)
        except Exception as error:  # transformers has its own kinds for fields of wrong types
            reason = " ".join(str(error).split())
            raise ArtefactError(f"{where}: config.json cannot be used ({reason}); fetch it again") from error
        for name, value in sizes.items():
            if getattr(config, name) != value:
                raise ArtefactError(
                    f"{where}: config.json has {name} {getattr(config, name)!r}, the tensors {value!r}; "
                    "give a config and weights that belong together"
                )
    config.architectures = [OfaForConditionalGeneration.__name__]
    config.dtype = "float32"
    return config
