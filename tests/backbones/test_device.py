"""Which device is chosen, and that the jobs put every tensor there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.backbones.device import DEVICE_VARIABLE, best_device
from pituning.errors import BadInput


@pytest.mark.parametrize(
    ("gpus", "named", "device"),
    [(0, None, "cpu"), (2, None, "cuda"), (2, "cpu", "cpu"), (2, "cuda", "cuda"), (2, "cuda:1", "cuda:1")],
)
def test_a_visible_gpu_is_the_best_device(monkeypatch, gpus: int, named: str | None, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    if named:
        assert best_device(named) == torch.device(device)
        monkeypatch.setenv(DEVICE_VARIABLE, named)

    assert best_device() == torch.device(device)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("gpu", "$PITUNING_DEVICE 'gpu' is unknown; choose cpu, cuda, cuda:N or auto"),
        ("cuda:2", "$PITUNING_DEVICE 'cuda:2' is not on this machine, where 2 GPUs are visible; choose cpu or another"),
    ],
)
def test_a_device_that_is_not_there_is_told(monkeypatch, tiny_backbone_dir: Path, named: str, says: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv(DEVICE_VARIABLE, named)

    with pytest.raises(BadInput) as caught:
        Backbone.load(tiny_backbone_dir)

    assert str(caught.value) == says


@pytest.mark.slow
def test_every_tensor_is_on_the_device() -> None:
    """In a process of its own: the autograd engine counts devices when it first runs."""
    tests = Path(__file__).with_name("on_pretended_device.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", str(tests)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])

    assert done.returncode == 0, done.stdout[-4000:]
