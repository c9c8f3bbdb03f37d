"""The short form of `benchmarks.attack`, and that it sees what it is there to see."""

from __future__ import annotations

import pytest

from benchmarks import attack, attack_targets
from pituning.errors import BadInput


@pytest.mark.slow
def test_some_tries_of_each_kind_do_no_harm():
    report = attack.trial({kind: range(1000, 1005) for kind in attack.TRIES}, seed=1)
    assert report["failed"] == []
    assert report["tries"] == sum(sum(counted.values()) for counted in report["kinds"].values()) == 65


def bad(*_):
    raise KeyError("x")


def half(_, place):
    (place.workspace.root / ".tmp-0").mkdir()


def outside(_, place):
    (place.root.parent.parent / "outside").mkdir()


def large(*_):
    # Much more than what garbage of earlier tests could give back meanwhile.
    assert len(bytearray(400 * 2**20)) > 0
    raise BadInput("refused, but only then")


def silent(*_):
    raise BadInput("two\nlines")


def taken(*_):
    attack_targets.must(False, "it was taken")


def slow(*_):
    while True:
        pass


@pytest.mark.parametrize(
    ("harm", "words"),
    [(bad, "KeyError"), (half, "half written"), (outside, "wrote outside"), (large, "of memory"), (silent, "one line"),
     (taken, "it was taken"), (slow, "took more than")],
)  # fmt: skip
def test_harm_is_seen(harm, words, tmp_path, monkeypatch):
    import gc
    import signal

    from pituning.workspace.layout import Workspace

    gc.collect()  # what earlier tests left would otherwise go in the middle of a try, and hide what that takes

    monkeypatch.setitem(attack.ATTACKS, "tables", harm)
    monkeypatch.setattr(attack, "TRY_SECONDS", 0.5)
    monkeypatch.setattr(attack, "MOST_MIB", 50)
    before = signal.signal(signal.SIGPROF, attack._too_long)
    root = tmp_path / "inner" / "try"
    root.mkdir(parents=True)
    try:
        place = attack_targets.Place(root, Workspace.open(tmp_path / "inner" / "workspace"))
        _, wrong = attack.attempt("tables", 0, 0, place, tmp_path)
    finally:
        signal.signal(signal.SIGPROF, before)
    assert wrong is not None
    assert words in wrong
