"""What several runs answered to the same rows: where they differ, and who is right there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app.components import context, run_predictions, runs_data
from app.components.examples import answer_badge, picture
from app.components.guard import guarded, plain
from app.components.run_results import HALF, by_uid
from pituning.labelling.answers import safe_cell
from pituning.runs.records import Run
from pituning.tasks.metrics import parse_box

MOST_SHOWN = 12
SHOWN_WORST = 2
Answers = Sequence[Mapping[str, Any]]
"""Of a run: ``uid``, ``text``, ``answer``, ``prediction``, ``score`` and ``loss`` of each row."""


def show(runs: Mapping[str, Run]) -> None:
    """The rows on which finished runs differ, with a button to download them all; runs by letter."""
    st.header("Answers", anchor=False)
    kept = {letter: rows for letter, run in runs.items() if (rows := _rows(letter, run))}
    if not kept:
        st.caption("None of these runs has kept answers.")
        return
    apart = disagreements(kept)
    st.caption(_how_far(kept, apart))
    shown: Sequence[Mapping[str, Mapping[str, Any]]] = apart
    if not apart:
        shown = [{letter: item} for letter, rows in kept.items() for item in _worst(rows)]
    with st.grid("auto", min_column_width=330, gap="small"):
        for index, answers in enumerate(shown[:MOST_SHOWN]):
            _answer(answers, key=f"compare-answer-{index}")
    if apart:
        with st.container(horizontal=True, vertical_alignment="center"):
            if len(apart) > MOST_SHOWN:
                st.caption(f"{MOST_SHOWN} of {len(apart):,} are shown.", width="content")
            st.download_button(
                "Download CSV", partial(_apart_csv, apart, list(kept)), file_name="answers-that-differ.csv",
                mime="text/csv", icon=":material/download:", key="compare_answers", on_click="ignore",
                help="Every row that two or more of these runs answered differently.",
            )  # fmt: skip


def _rows(letter: str, run: Run) -> Answers:
    """What a run answered to each of its test rows; of a run of before all were kept, its most confident answers."""
    with guarded(f"The table of predictions of run {letter}"):
        every = run_predictions.rows(run)
        if every is not None:
            return every
    return (runs_data.result(run) or {}).get("predictions") or ()


def _how_far(kept: Mapping[str, Answers], apart: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    """On how many rows the runs differ, and who is right on those."""
    times = Counter(str(item.get("uid")) for rows in kept.values() for item in rows)
    both = sum(count > 1 for count in times.values())
    if not both:
        return "No two of these runs answered the same row. These are the most confident wrong answers of each."
    if not apart:
        return (
            f"The runs agree on all {both:,} rows that two or more of them answered. These are the most confident "
            "wrong answers of each."
        )
    right = {letter: sum(_right(by_run[letter]) for by_run in apart if letter in by_run) for letter in kept}
    told = ", ".join(f"{letter} is right on {count:,}" for letter, count in right.items())
    return f"Of the {both:,} rows that two or more of them answered, they differ on {len(apart):,}. Of those, {told}."


def _apart_csv(apart: Sequence[Mapping[str, Mapping[str, Any]]], letters: Sequence[str]) -> bytes:
    """A line for each row: what is asked, the true answer, and what each run said."""
    rows = []
    for by_run in apart:
        first = next(iter(by_run.values()))
        row = {"row": first.get("uid"), "text": first.get("text", ""), "answer": first.get("answer", "")}
        for letter in letters:
            row[letter] = by_run[letter].get("prediction", "") if letter in by_run else ""
        rows.append({name: safe_cell(str(value)) for name, value in row.items()})
    return pd.DataFrame(rows).to_csv(index=False).encode()


def disagreements(kept: Mapping[str, Answers]) -> list[dict[str, Mapping[str, Any]]]:
    """For each row that two or more runs answered differently, what each of them said, by letter.

    Those where some are right and some are wrong come first, and among them those of which they are most sure.

    Args:
        kept: by letter, the answers of a run.
    """
    examples: dict[str, dict[str, Mapping[str, Any]]] = {}
    for letter, rows in kept.items():
        for item in rows:
            examples.setdefault(str(item.get("uid")), {})[letter] = item
    apart = [
        by_run for by_run in examples.values() if len({str(item.get("prediction")) for item in by_run.values()}) > 1
    ]

    def place(by_run: Mapping[str, Mapping[str, Any]]) -> tuple[int, float]:
        losses = [float(item.get("loss", 0)) for item in by_run.values()]
        return -len({_right(item) for item in by_run.values()}), min(losses) - max(losses)

    return sorted(apart, key=place)


def _right(item: Mapping[str, Any]) -> bool:
    return float(item.get("score", 0)) >= HALF


def _worst(rows: Answers) -> list[Mapping[str, Any]]:
    wrong = [item for item in rows if not _right(item)]
    return sorted(wrong, key=lambda item: -float(item.get("loss", 0)))[:SHOWN_WORST]


def _answer(prediction: Mapping[str, Mapping[str, Any]], *, key: str) -> None:
    """One example, and what each run said to it."""
    first = next(iter(prediction.values()))
    uid = str(first.get("uid", ""))
    task = uid.split("/", 1)[0]
    example = by_uid(context.task(task), uid) if task in context.tasks() else None
    answer = str(first.get("answer", "")) if example is None else example.answer
    boxes = parse_box(answer) is not None
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=key):
        if example is not None and example.image is not None and not boxes:
            st.image(picture(example.image, answer), width=96, alt=f"{example.text} {answer}".strip())
        with st.container(gap="xsmall"):
            if first.get("text"):
                st.markdown(plain(str(first["text"])))
            st.markdown("Pink is the true place, blue the answer." if boxes else f"True: {answer_badge(answer)}")
            for letter, item in prediction.items():
                icon = ":green[:material/check:]" if _right(item) else ":red[:material/close:]"
                st.markdown(f"{icon} **{letter}** {'' if boxes else answer_badge(str(item.get('prediction', '')))}")
                if boxes and example is not None and example.image is not None:
                    shown = picture(example.image, answer, str(item.get("prediction", "")))
                    st.image(shown, width=96, alt=f"{example.text}, run {letter}".strip())
