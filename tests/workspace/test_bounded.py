"""Work in a process of its own: what comes of it, and what becomes of work that takes too much."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pituning.errors import BadInput, PiTuningError, RunFailed
from pituning.workspace.bounded import Limits, call

LIMITS = Limits(memory=2**27, seconds=1, instead="give less")


def outcome(what: str) -> object:
    try:
        return call("tests.workspace.bounded_work:work", what, what="file 'x'", limits=LIMITS)
    except PiTuningError as error:
        return type(error), str(error), getattr(error, "field", None)


def test_a_value_an_error_or_a_limit_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    kinds = ("fine", "memory", "time", "odd", "fault")
    with ThreadPoolExecutor(len(kinds)) as pool:
        outcomes = dict(zip(kinds, pool.map(outcome, kinds), strict=True))

    assert outcomes == {
        "fine": "FINE",
        "memory": (BadInput, "file 'x' takes more than 0.125 GiB of memory to read; give less", "file"),
        "time": (BadInput, "file 'x' takes longer than 1 s to read; give less", "file"),
        "odd": (BadInput, "this and that", "header"),
        "fault": (RunFailed, "file 'x' could not be worked on; the Studio's log says why", None),
    }
    assert "ValueError: a fault of the program" in caplog.text
