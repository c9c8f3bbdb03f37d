"""The work of the run that adds an offered backbone, so that the app can have it done in the background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pituning.backbones.adding import add_backbone
from pituning.progress import Reporter
from pituning.runs.configs import AddRun
from pituning.workspace.layout import Workspace


def add(config: AddRun, workspace: Workspace, reporter: Reporter, _checkpoint: Path) -> Mapping[str, Any]:
    """Adds it, and gives its card; what an interrupted attempt had added of its parts is taken as it is.

    Raises:
        BadInput: its packages are not installed, or a backbone of that name is there.
    """
    return asdict(add_backbone(workspace, config.offer, reporter=reporter))
