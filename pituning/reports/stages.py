"""A tuning as a story of five stages, each with what it has found, while it goes on and afterwards. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pituning.figures.palette import method_label
from pituning.graph.harm import points
from pituning.reports.usable import CANDIDATES, is_usable
from pituning.tuning.config import MIXTURE, WITHOUT_DONORS

StageState = Literal["done", "active", "waiting", "stopped", "skipped"]

NAMED = 3
"""Donors that a stage names; of more it gives the number."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a run.

    Args:
        title: what is done in it.
        state: ``stopped`` where the run ended within it, ``skipped`` where it has nothing to do.
        found: what is known by now, in a line; empty where nothing is.
    """

    title: str
    state: StageState
    found: str


def stages(
    found: Mapping[str, Any], *, baselines: Sequence[str], begun: bool, ended: bool, title_of: Callable[[str], str]
) -> list[Stage]:
    """The stages of a tuning, in order. Tuning and its controls go on side by side.

    Args:
        found: what is there of the result (`RunStore.partial_of`, `RunStore.result_of`).
        baselines: those that were asked for.
        begun: whether somebody works on it, or did.
        ended: whether nobody will go on with it.
        title_of: what people call a task.
    """
    donors, scored = found.get("donors"), found.get("baselines") or {}
    # Where nobody lends, what needs donors is not played.
    asked = [name for name in baselines if donors != [] or name in WITHOUT_DONORS]
    read, tuned = "test_examples" in found, found.get("score") is not None
    steps = [
        ("Read your rows", read, True, _rows(found)),
        ("Find relatives", donors is not None, read, _relatives(found, title_of)),
        ("Tune", tuned, donors is not None, _tuned(found)),
        ("Controls", tuned and len(scored) == len(asked), donors is not None, _controls(scored, asked)),
        ("Verdict", tuned, False, is_usable(found).title if tuned else ""),
    ]
    return [
        Stage(
            title=title,
            state="skipped" if title == "Controls" and not asked
            else _state(done, may_begin=may_begin and begun, ended=ended),
            found="None were asked for." if title == "Controls" and not asked else words,
        )
        for title, done, may_begin, words in steps
    ]  # fmt: skip


def _state(done: bool, *, may_begin: bool, ended: bool) -> StageState:
    if done:
        return "done"
    if not may_begin:
        return "waiting"
    return "stopped" if ended else "active"


def _rows(found: Mapping[str, Any]) -> str:
    if "test_examples" not in found:
        return ""
    shots, tested = found.get("examples"), found["test_examples"]
    trained = "" if shots is None else f"{_count(shots, 'row')} to learn from, "
    crossed = ", those to learn from by cross-validation" if found.get("crossed") else ""
    return f"{trained}{_count(tested, 'row')} to test on{crossed}"


def _relatives(found: Mapping[str, Any], title_of: Callable[[str], str]) -> str:
    donors = found.get("donors")
    if donors is None:
        return ""
    if not donors:
        return "No task is expected to help, so there are no donors"
    similarity = {each["task"]: each["similarity"] for each in found.get("neighbors") or []}
    expected = found.get("expected") or {}

    def words(name: str) -> str:
        if name in expected:
            return f"{title_of(name)} ({points(expected[name]['gain'])} expected)"
        return f"{title_of(name)} ({similarity[name]:.2f})" if name in similarity else title_of(name)

    named = ", ".join(map(words, donors[:NAMED]))
    more = f" and {len(donors) - NAMED} more" if len(donors) > NAMED else ""
    ranked = f"; {_count(len(similarity), 'task')} compared" if similarity else "; named by you"
    return f"{named}{more}{ranked}"


def _tuned(found: Mapping[str, Any]) -> str:
    score, mixture = found.get("score"), found.get("mixture_score")
    if score is not None:
        chosen = str(found.get("chosen") or MIXTURE)
        return f"{score:.1f} points; the guard chose {CANDIDATES.get(chosen, chosen)}"
    if mixture is not None:
        return f"The mixture: {mixture:.1f} points"
    known = [name for name in found.get("methods") or {} if name in CANDIDATES]
    return f"Rate and steps chosen of {', '.join(CANDIDATES[name] for name in known)}" if known else ""


def _controls(scored: Mapping[str, Any], asked: Sequence[str]) -> str:
    known = [f"{method_label(name)} {score:.1f}" for name, score in scored.items() if score is not None]
    if not known:
        return ""
    left = len(asked) - len(known)
    return ", ".join(known) + (f"; {left} still to come" if left > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
