"""The files of a saved backbone and the fingerprint over them. Torch-free."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pituning.backbones.composed.config import (
    MODEL_TYPE,
    PARTS,
    PROJECTOR,
    UPDATE,
    UPDATE_CONFIG,
    place_of_language,
)
from pituning.errors import ArtefactError
from pituning.workspace.atomic import sha256_file
from pituning.workspace.documents import parse_json

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
FILES = (CONFIG, WEIGHTS, "tokenizer.json", "preprocessor_config.json")
"""What the directory of the embedded backbone holds."""

VOCABULARIES = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
)
"""What a tokenizer is read from; of a directory with several, the first that is whole."""

SETTINGS = (
    "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", "chat_template.jinja",
    "chat_template.json", "README.md", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "NOTICE.md", "NOTICE.txt",
)  # fmt: skip
"""Other files that belong to a backbone, all of them plain text."""

NEEDED_BY = dict.fromkeys(("florence2", "ofa"), ("preprocessor_config.json",))
"""What a model type reads besides config, weights and tokenizer."""


def require_files(path: Path) -> None:
    """Raises ArtefactError unless the directory holds all files of a backbone; the message names what is missing."""
    lacking = missing_files(path)
    if lacking:
        raise ArtefactError(
            f"backbone {path} lacks {', '.join(lacking)}; give the directory of a whole checkpoint that "
            "save_pretrained wrote"
        )


def missing_files(path: Path) -> list[str]:
    """What a directory lacks to be a backbone's, config first.

    Raises:
        ArtefactError: when the index of its shards is damaged.
    """
    wanted = [CONFIG, *weight_files(path)]
    wanted += [PARTS] if is_composed(path) else _lacking_vocabulary(path)
    wanted += NEEDED_BY.get(_model_type(path), ())
    return [name for name in wanted if not (path / name).is_file()]


def weight_files(path: Path) -> tuple[str, ...]:
    """The names of the files with the weights, as transformers chooses them: one, or the shards that the index lists.

    Raises:
        ArtefactError: when the index is damaged.
    """
    if is_composed(path):
        return (PROJECTOR, UPDATE) if _json(path / CONFIG).get("updated") else (PROJECTOR,)
    if (path / WEIGHTS).is_file() or not (path / INDEX).is_file():
        return (WEIGHTS,)
    document = _json(path / INDEX)
    shards = document.get("weight_map") if isinstance(document, dict) else None
    names = sorted(set(shards.values())) if isinstance(shards, dict) and _texts(shards.values()) else []
    # A name with a path in it would reach outside of the directory.
    if not names or any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
        raise ArtefactError(f"{path / INDEX} is damaged: its weight_map lists no safetensors files; restore it")
    return tuple(names)


def weight_bytes(path: Path) -> int:
    """How large the files with the weights are that are there, a language part's included.

    Raises:
        ArtefactError: as of `weight_files` and `language_home`.
    """
    files = [home / name for home in dict.fromkeys((path, language_home(path))) for name in weight_files(home)]
    return sum(file.stat().st_size for file in files if file.is_file())


def tokenizer_files(path: Path) -> tuple[str, ...]:
    """The names of the files that the tokenizer is read from; empty where there is none."""
    whole = (names for names in VOCABULARIES if all((path / name).is_file() for name in names))
    return next(whole, ())


def fingerprinted(path: Path) -> tuple[str, ...]:
    """The names of the files whose bytes make the fingerprint, in its order: config, weights, tokenizer."""
    # The config of a composed backbone has the fingerprints of its parts, tokenizer included.
    update = (UPDATE_CONFIG,) if UPDATE in weight_files(path) else ()
    return (CONFIG, *weight_files(path), *update, *tokenizer_files(path))


def backbone_files(path: Path) -> tuple[str, ...]:
    """The names of all files in a directory that belong to a backbone; nothing that could be run is among them."""
    index = () if (path / WEIGHTS).is_file() else (INDEX,)
    vocabularies = sorted({name for names in VOCABULARIES for name in names})
    composed = (PARTS, UPDATE_CONFIG) if is_composed(path) else ()
    wanted = (CONFIG, *weight_files(path), *index, *vocabularies, *SETTINGS, *composed)
    return tuple(name for name in wanted if (path / name).is_file())


def is_composed(path: Path) -> bool:
    """Whether a directory holds a backbone that refers to its parts."""
    return _model_type(path) == MODEL_TYPE


def language_home(path: Path) -> Path:
    """The directory with the tokenizer and the language model's weights: of a composed backbone, that of its part.

    Raises:
        ArtefactError: a composed backbone does not say where its parts are.
    """
    return place_of_language(path) if is_composed(path) else path


def fingerprint(path: Path) -> str:
    """SHA-256 over the digests of weights, config and tokenizer in ``path``.

    Raises:
        ArtefactError: when a file is missing.
    """
    require_files(path)
    return digest_of(path, fingerprinted(path))


def digest_of(path: Path, names: Iterable[str]) -> str:
    """SHA-256 over the names and contents of files of a directory."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name} {sha256_file(path / name)}\n".encode())
    return digest.hexdigest()


def _lacking_vocabulary(path: Path) -> tuple[str, ...]:
    return () if tokenizer_files(path) else VOCABULARIES[0]


def _model_type(path: Path) -> str:
    """As ``config.json`` has it; empty where that cannot be read, which whoever loads it is told."""
    document = _json(path / CONFIG)
    return str(document.get("model_type")) if isinstance(document, dict) else ""


def _json(path: Path) -> Any:
    try:
        return parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
