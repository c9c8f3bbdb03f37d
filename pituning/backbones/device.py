"""Where tensors live: on a GPU when one is visible, else on the CPU. Everything that loads a backbone asks here."""

from __future__ import annotations

import os
import re

import torch

from pituning.errors import BadInput

DEVICE_VARIABLE = "PITUNING_DEVICE"
SPREAD = "auto"
"""In the place of a device: a backbone is spread over all GPUs."""
_KNOWN = re.compile(r"cpu|cuda(:\d+)?")


def best_device(name: str | None = None) -> torch.device:
    """The device to work on.

    Args:
        name: ``cpu``, ``cuda`` or ``cuda:N``, or ``auto`` for a GPU if one is visible; by default what
            ``$PITUNING_DEVICE`` says, else ``auto``.

    Raises:
        BadInput: there is no such device, or not on this machine.
    """
    what = "device" if name else f"${DEVICE_VARIABLE}"
    name = name or os.environ.get(DEVICE_VARIABLE)
    if not name or name == SPREAD:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if _KNOWN.fullmatch(name) is None:
        raise BadInput(f"{what} {name!r} is unknown; choose cpu, cuda, cuda:N or auto", field="device")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadInput(
            f"{what} {name!r} is not on this machine, where {torch.cuda.device_count()} GPUs are visible; "
            "choose cpu or another",
            field="device",
        )
    return device
