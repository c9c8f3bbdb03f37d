"""What splits are called in columns, and in the names of files and folders. Torch-free."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

SPLIT_NAMES = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
"""What a ``split`` column may say."""


def split_of(name: str) -> str | None:
    """The split that a name speaks of: ``oos_val``, ``train-00000-of-00002``, ``instances_val2017``."""
    words = re.findall(r"[a-z]+", name.lower())
    splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return splits.pop() if len(splits) == 1 else None


def split_of_path(path: str) -> str | None:
    """The split that a file's name speaks of, or else the nearest of its folders that does."""
    parts = PurePosixPath(path)
    return next(
        (split for name in (parts.stem, *map(str, (p.name for p in parts.parents))) if (split := split_of(name))), None
    )
