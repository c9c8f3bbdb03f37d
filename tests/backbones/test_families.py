"""Every family on tiny random checkpoints of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pituning.backbones.base import Backbone
from tests.backbones.contract import BackboneContract
from tests.backbones.making import Tiny
from tests.backbones.tiny import each


@pytest.fixture(scope="module", params=each())
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return request.param


@pytest.fixture(scope="module")
def directory(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.below(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def backbone(directory: Path) -> Backbone:
    return Backbone.load(directory)


class TestFamilies(BackboneContract):
    pass
