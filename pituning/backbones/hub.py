"""Fetches a checkpoint from the Hugging Face hub: its config first, then what is safe and wanted. Torch-free."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pituning.backbones.files import CONFIG, INDEX, SETTINGS, VOCABULARIES, weight_files
from pituning.backbones.sources import check_files, room_for
from pituning.hub import explained, of_transport
from pituning.progress import Reporter

SMALL = (CONFIG, INDEX, *(name for names in VOCABULARIES for name in names), *SETTINGS)
"""What is fetched before the weights; like them by its exact name, so that nothing that could be run comes along."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint in the hub's cache.

    Args:
        directory: its files are links.
        commit: of the repository.
    """

    directory: Path
    commit: str | None


def fetch(repository: str, revision: str | None, reporter: Reporter, *, into: Path) -> Snapshot:
    """Fetches the files of a repository that make a backbone; what the hub's cache has is not fetched again.

    Without a network, what the cache holds is taken.

    Args:
        revision: a branch, tag or commit; by default the main branch.
        into: where they will be copied to, to look whether there is room.

    Raises:
        BadInput: there is no such repository or revision, it is gated, the hub cannot be reached, or it holds nothing
            that can be a backbone; the weights have then not been fetched.
        DiskFull: there is no room.
    """
    where = f"hub model {repository}"
    with explained(
        where, f"https://huggingface.co/{repository}", revision, instead="give the directory of a checkpoint"
    ):
        info = _about(repository, revision)
        if info is None:
            return _cached(repository, revision, reporter)
        sizes = {entry.rfilename: entry.size or 0 for entry in info.siblings or []}
        if CONFIG not in sizes:
            check_files(into.parent, where, sizes)  # which refuses it, for want of a config
        snapshot = _download(repository, revision, SMALL)
        check_files(snapshot, where, sizes)
        weights = weight_files(snapshot)
        size = sum(sizes[name] for name in weights)
        room_for(into, size)
        reporter.phase("download (MB)", max(1, size // _MEGABYTE))
        commit = _commit(snapshot) or info.sha
        snapshot = _download(repository, commit, (*SMALL, *weights), reporter=reporter)
        return Snapshot(snapshot, commit)


def _cached(repository: str, revision: str | None, reporter: Reporter) -> Snapshot:
    """What the cache holds of a repository, if that is whole."""
    snapshot = _download(repository, revision, SMALL, offline=True)
    snapshot = _download(repository, revision, (*SMALL, *weight_files(snapshot)), offline=True)
    check_files(snapshot, f"what the hub's cache holds of {repository}")
    reporter.log(f"the hub cannot be reached; {repository} is taken from its cache")
    return Snapshot(snapshot, _commit(snapshot))


def _download(
    repository: str,
    revision: str | None,
    names: Sequence[str],
    *,
    offline: bool = False,
    reporter: Reporter | None = None,
) -> Path:
    import huggingface_hub

    return Path(
        huggingface_hub.snapshot_download(
            repository,
            revision=revision,
            allow_patterns=list(names),
            local_files_only=offline,
            tqdm_class=_bar(reporter),
        )
    )


def _about(repository: str, revision: str | None) -> Any:
    """What the hub says about a repository; None when it cannot be reached."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        return huggingface_hub.model_info(repository, revision=revision, files_metadata=True)
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, ConnectionError, TimeoutError):
        return None
    except Exception as error:
        if of_transport(error):
            return None
        raise


def _commit(directory: Path) -> str | None:
    return directory.name if _COMMIT.fullmatch(directory.name) else None


def _bar(reporter: Reporter | None) -> type:
    """A class that the hub's library takes for its bar of bytes; it tells a reporter and draws nothing."""
    from tqdm.auto import tqdm

    lock = threading.Lock()

    class Told(tqdm):
        def __init__(self, *arguments: Any, **options: Any):
            # Bytes are counted twice: as they arrive, and as files are put together from them.
            self._counts = options.get("unit") == "B" and "econstruct" in str(options.get("desc"))
            self._bytes = 0
            super().__init__(*arguments, **options | {"disable": True})

        def update(self, n: float | None = 1) -> None:
            if reporter is None or not self._counts:
                return
            with lock:
                before, self._bytes = self._bytes // _MEGABYTE, self._bytes + int(n or 0)
                whole = self._bytes // _MEGABYTE - before
                if whole > 0:
                    reporter.advance(whole)

    return Told
