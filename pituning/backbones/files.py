"""The files of a saved backbone and the fingerprint over them. Torch-free."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pituning.errors import ArtefactError
from pituning.workspace.atomic import sha256_file

FILES = ("config.json", "model.safetensors", "tokenizer.json")
"""What a backbone's directory must hold."""

FINGERPRINTED = FILES
"""The files whose bytes make the fingerprint."""


def require_files(path: Path) -> None:
    """Raises ArtefactError unless the directory holds all files of a backbone."""
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise ArtefactError(
            f"backbone {path} lacks {', '.join(missing)}; give the directory of a saved Florence-2 checkpoint"
        )


def fingerprint(path: Path) -> str:
    """SHA-256 over the digests of weights, config and tokenizer in ``path``.

    Raises:
        ArtefactError: when a file is missing.
    """
    require_files(path)
    digest = hashlib.sha256()
    for name in FINGERPRINTED:
        digest.update(f"{name} {sha256_file(path / name)}\n".encode())
    return digest.hexdigest()
