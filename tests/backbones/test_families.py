"""Every family on tiny random checkpoints of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pituning.backbones.base import Backbone
from tests.backbones.contract import BackboneContract
from tests.backbones.making import Tiny
from tests.backbones.tiny import TINY


@pytest.fixture(scope="module", params=TINY, ids=lambda tiny: tiny.id)
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return request.param


@pytest.fixture(scope="module")
def directory(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / tiny.id
    tiny.make(path)
    return path


@pytest.fixture(scope="module")
def backbone(directory: Path) -> Backbone:
    return Backbone.load(directory)


class TestFamilies(BackboneContract):
    pass
