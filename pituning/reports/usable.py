"""What people ask of a finished run: is it usable, what can its test tell, what did the guard choose? Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pituning.reports.verdict import Verdict, difference, judge, scores
from pituning.tasks.metrics import METRICS
from pituning.tuning.config import MIXTURE, UNTRAINED

Answer = Literal["use", "care", "not", "unknown"]

CANDIDATES = {
    "mixture": "the mixture",
    "single": "its own expert alone",
    "donor": "the best donor, trained further",
    "untouched": "the donors as is",
}
"""What people read for the candidates of the guard."""

WITHOUT_TUNING = {
    "backbone": "the untrained model",
    "largest": "always answering the largest class",
    "chance": "guessing at random",
}
"""What people read for `UNTRAINED`."""

DISAGREEMENT = 3 / 8
"""Share of the rows on which two methods are expected to differ before anything is measured: it is that of two that are
right on three quarters of the rows each, independently (2 · ¾ · ¼)."""
NORMAL_95 = 1.959964
"""The quantile of the normal distribution that leaves 2.5 % above it."""
PERFECT = 99.95


@dataclass(frozen=True, kw_only=True)
class Usable:
    """Whether what was tuned should be used, as a title and why; both for people."""

    answer: Answer
    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """All that is told of a run.

    Args:
        usable: the large answer.
        donors: whether the donors mattered.
        test: what the test rows can tell.
        guard: what the guard chose and what that cost; empty where nothing is known of it.
    """

    usable: Usable
    donors: Verdict
    test: str
    guard: str


def judge_run(results: Sequence[Mapping[str, Any]], guessing: Mapping[str, float | None] | None = None) -> Judgement:
    """What is told of a run.

    Args:
        results: of the run, first, and of those that differ from it in their seed only.
        guessing: ``chance`` and ``largest`` of the task, for results that do not say it.
    """
    known = [result if result.get("guessing") else {**result, "guessing": guessing} for result in results]
    return Judgement(
        usable=is_usable(known[0]), donors=judge(known), test=after_words(known[0]), guard=guard_words(known[0])
    )


def smallest_visible(rows: int, disagreement: float = DISAGREEMENT) -> float:
    """Points under which a difference of two methods on the same test rows cannot be told from chance.

    It is the half-width of the 95 % interval of a paired difference. On a row where both are right or both are wrong
    the difference is 0, else +1 or −1. So where two equally good methods differ on a share δ of n rows, the mean
    difference has a standard error of √(δ/n), and the half-width is 100 · 1.96 · √(δ/n): 30 points for 16 rows, 3.8 for
    1,000. For scores between 0 and 1 on a row it is an upper bound at that disagreement.

    Args:
        rows: n, at least 1.
        disagreement: δ, between 0 and 1.

    Source: McNemar, Psychometrika 12 (1947), for large n.
    """
    return min(100.0, 100 * NORMAL_95 * math.sqrt(disagreement / rows))


def before_words(rows: int, metric: str) -> str:
    """What so many test rows will be able to tell; empty for metrics that are no mean over rows, and without rows."""
    record = METRICS.get(metric)
    if rows < 1 or record is None or record.takes not in ("one", "votes"):
        return ""
    return _seen(rows, smallest_visible(rows))


def after_words(result: Mapping[str, Any]) -> str:
    """What the test of a run can tell: from the measured interval against the single expert, else as before the run."""
    known = scores(result)
    if len(known) > 1 and min(known.values()) >= PERFECT:
        return "Every method scores 100: this test is too easy to tell them apart. Add harder rows."
    rows = int(result.get("test_examples") or 0)
    gap = difference([result], "single")
    half = 0.0 if gap is None else (gap.high - gap.low) / 2
    if half > 0:
        return _seen(rows, half)
    return before_words(rows, str(result.get("metric") or ""))


def _seen(rows: int, half: float) -> str:
    points = f"{half:.0f}" if half >= 9.95 else f"{half:.1f}"
    where = f"{rows:,} test {'row' if rows == 1 else 'rows'}: differences" if rows else "Differences"
    return f"{where} under about {points} points cannot be seen. Four times as many rows would halve that."


def is_usable(result: Mapping[str, Any]) -> Usable:
    """Whether the expert of a run beats guessing, the largest class and the untrained model, on the test rows.

    Where none of them scores as much, it is usable, and clearly so when the 95 % intervals over test rows say it: of
    the score over guessing, of the paired difference over the untrained model. Other seeds made other experts.

    Args:
        result: of one run, with ``guessing``.
    """
    score, others = scores(result).get("pi"), alternatives(result)
    if score is None:
        return Usable(answer="unknown", title="Not known yet", text="The run has no score.")
    if not others:
        return Usable(
            answer="unknown", title="Whether it is usable is open",
            text=f"It scores {score:.1f}, but neither guessing nor the untrained model was measured beside it.",
        )  # fmt: skip
    interval = (result.get("intervals") or {}).get("pi") or (score, score)
    low, high = _widened(interval[0], interval[1], result)
    beside = ", ".join(f"{WITHOUT_TUNING[name]} {points:.1f}" for name, points in others.items())
    figures = f"It scores {score:.1f}; {beside}."
    best = max(others, key=lambda name: (others[name], name == "backbone"))
    gap = difference([result], "backbone")
    if gap is not None:
        below, above = _widened(gap.low, gap.high, result)
        gap = replace(gap, low=below, high=above)
    if others[best] >= score:
        clear = gap.negative if best == "backbone" and gap is not None else high < others[best]
        return _refused(result, best, others[best] - score, figures, clear=clear)
    guessed = max((points for name, points in others.items() if name != "backbone"), default=None)
    if guessed is not None and low <= guessed:
        return Usable(
            answer="not", title="Do not use it yet: it is not clearly better than guessing",
            text=f"{figures} Its 95 % interval begins at {low:.1f}.",
        )  # fmt: skip
    if gap is not None and not gap.positive:
        return Usable(
            answer="care", title="You can use it, but the untrained model may do as well",
            text=f"{figures} Against the untrained model: {gap}.",
        )  # fmt: skip
    beaten = (("guessing", guessed), ("the untrained model", gap))
    against = " and ".join(name for name, known in beaten if known is not None)
    doubt = _recommended(result)
    if doubt is not None:
        return Usable(
            answer="care", title=f"Use it with care: on held-out shots {WITHOUT_TUNING[doubt]} did better",
            text=f"{figures} On the test rows it is clearly better than {against}.",
        )  # fmt: skip
    missing = "" if gap is not None else " The untrained model was not measured beside it."
    return Usable(answer="use", title=f"Use it: clearly better than {against}", text=figures + missing)


def _widened(low: float, high: float, result: Mapping[str, Any]) -> tuple[float, float]:
    """An interval in points; one without width, as the bootstrap gives where all n rows are alike, takes Wilson's width
    at its end, 100 z² / (n + z²): 3 right rows of 3 do not prove much."""
    rows = int(result.get("test_examples") or 0)
    if high > low or not rows:
        return float(low), float(high)
    width = 100 * NORMAL_95**2 / (rows + NORMAL_95**2)
    return low - width, high + width


def _refused(result: Mapping[str, Any], best: str, behind: float, figures: str, *, clear: bool) -> Usable:
    agreed = behind > 0 and _recommended(result) == best
    name = WITHOUT_TUNING[best]
    if clear or agreed:
        why = " The held-out shots say so, too." if agreed else ""
        return Usable(answer="not", title=f"Do not use it: {name} is better", text=figures + why)
    luck = " The difference may be chance, but nothing speaks for what was tuned." if behind > 0 else ""
    return Usable(answer="not", title=f"Do not use it: {name} does at least as well", text=figures + luck)


def alternatives(result: Mapping[str, Any]) -> dict[str, float]:
    """Scores of what needs no training, of what is known."""
    guessed = result.get("guessing") or {}
    points = {name: scores(result).get(name) if name == "backbone" else guessed.get(name) for name in UNTRAINED}
    return {name: float(value) for name, value in points.items() if value is not None}


def _recommended(result: Mapping[str, Any]) -> str | None:
    """What needs no training and did best on the held-out shots, if the guard says so."""
    name = result.get("recommended")
    return str(name) if name in UNTRAINED else None


def guard_words(result: Mapping[str, Any]) -> str:
    """What the guard chose on held-out shots, and what that cost on the test rows; empty where it is not known."""
    chosen = result.get("chosen")
    losses = {name: one.get("held_out_loss") for name, one in (result.get("candidates") or {}).items()}
    losses = {name: loss for name, loss in losses.items() if loss is not None}
    if not chosen:
        return ""
    if result.get("donors") == []:
        return "There was nothing to choose. Without donors it is its own expert alone."
    if not losses:
        return "There were too few shots to hold any out: it is the mixture, unguarded."
    words = [f"The guard chose {CANDIDATES.get(chosen, chosen)}.", _cost(result, chosen)]
    errors = result.get("held_out_errors") or {}
    if (instead := _recommended(result)) is not None and {chosen, instead} <= set(errors):
        mine, other = (f"{100 * errors[name]:.0f} %" for name in (chosen, instead))
        words.append(
            f"Without any training, {WITHOUT_TUNING[instead]} does better on held-out shots: {other} wrong, not {mine}."
        )
    known = "; ".join(f"{CANDIDATES.get(name, name)} {loss:.2f}" for name, loss in losses.items())
    return " ".join(filter(None, [*words, f"Loss on held-out shots, by which it chose: {known}."]))


def _cost(result: Mapping[str, Any], chosen: str) -> str:
    """What the choice cost, or gained, on the test rows."""
    points = scores(result)
    mine = points.get("pi")
    tested = {name: points[name] for name in CANDIDATES if name in points}
    if result.get("mixture_score") is not None:
        tested[MIXTURE] = float(result["mixture_score"])
    tested.pop(chosen, None)
    if mine is None or not tested:
        return ""
    best = max(tested, key=tested.__getitem__)
    title = CANDIDATES[best]
    if tested[best] > mine:
        cost = tested[best] - mine
        return f"On the test rows that cost {cost:.1f} points: {title} scores {tested[best]:.1f}, not {mine:.1f}."
    return f"On the test rows that cost nothing: the best of the rejected, {title}, scores {tested[best]:.1f}."
