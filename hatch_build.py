"""Wheel build hook: what lies beside the package in a checkout goes inside it in a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CARRIED = {
    "data": "pituning/_data",
    "app": "pituning/_app/app",
    ".streamlit/config.toml": "pituning/_app/.streamlit/config.toml",  # the file alone: secrets may lie beside it
    "benchmarks": "pituning/_app/benchmarks",
}


class CarryResources(BuildHookInterface):
    """Adds the embedded data, the app and the benchmarks to a wheel, but not to an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        for source, destination in CARRIED.items():
            place = Path(self.root) / source
            if place.is_file() or any(path.is_file() for path in place.rglob("*")):
                build_data["force_include"][source] = destination
