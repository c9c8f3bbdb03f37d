"""What a run that asked experts was told: who said what, how sure, and whether it is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components import certainty, context, runs_data
from app.components.examples import answer_badge, picture
from app.components.guard import empty, plain
from app.components.words import ANSWERERS, label
from pituning.labelling.calibration import Reliability, trusted
from pituning.runs.questions import kept_image
from pituning.runs.records import Run
from pituning.runs.samples import kept_sample
from pituning.tasks.base import ImageSource
from pituning.tasks.metrics import parse_box

HALF = 50.0
"""Points from which an answer counts as right."""


def show(run: Run) -> None:
    """The questions of a run, each with its answers side by side."""
    result = runs_data.result(run)
    if not result or not result.get("said"):
        empty("No answers", "The run is done but left none; ask again.", icon=":material/error:")
        return
    for number, question in enumerate(result["questions"]):
        image = _image(result["task"], result.get("sample"), question)
        _question(question, image)
        with st.grid(len(result["said"]), min_column_width=140, gap="small"):
            for index, one in enumerate(result["said"]):
                with st.container(border=True, gap="xsmall", key=f"said-{number}-{index}", height="stretch"):
                    _said(one, question, one["answers"][number], image)
    if any(_curve(one) is None for one in result["said"]):
        st.caption(certainty.NOT_CALIBRATED)
    with st.expander("The same from a terminal", icon=":material/terminal:"):
        st.code(run.spec.command(), language=None, wrap_lines=True)


def _image(task: str, sample: str | None, question: Mapping[str, Any]) -> ImageSource | None:
    """What was looked at, or None where there was no image."""
    if question.get("image"):
        return kept_image(question["image"], context.workspace())
    example = question.get("example")
    if not example:
        return None
    split, _, number = str(example).partition("/")
    examples = (kept_sample(sample, context.workspace()) if sample else context.task(task)).split(split)
    return examples[int(number)].image if int(number) < len(examples) else None


def _question(question: Mapping[str, Any], image: ImageSource | None) -> None:
    """What was asked: the answers stay on the page while the next question is chosen."""
    example = str(question.get("example") or "")
    split, _, number = example.partition("/")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if image is not None:
            st.image(picture(image, str(question.get("gold") or "")), width=56, alt="What was looked at")
        with st.container(gap=None):
            st.markdown(f"**Answers to {f'{split} example {number}' if example else 'your question'}**")
            gold = f" :gray[Right:] {answer_badge(str(question['gold']))}" if question.get("gold") else ""
            st.markdown(f"{plain(question['text']).replace(chr(10), ' ')}{gold}")


def _said(one: Mapping[str, Any], question: Mapping[str, Any], answered: Mapping[str, Any], image: Any) -> None:
    """One answerer: its name, its answer, and how sure it is."""
    st.markdown(f"**{label(ANSWERERS, one['method'])}**", help=ANSWERERS[one["method"]].help)
    st.caption(plain(one["expert"]) if one["expert"] else "alone, without an expert")
    answer, gold = str(answered["answer"]), question.get("gold")
    if parse_box(answer) is not None and image is not None:
        st.image(picture(image, gold or "", answer), width=160, alt=f"The place it answered: {answer}")
        st.caption("Pink: the true place. Blue: the answer." if gold else "Blue: the answer.")
    else:
        st.markdown(answer_badge(answer) if answer else ":gray[nothing]")
    if answered.get("score") is not None:
        st.markdown(mark(float(answered["score"])))
    curve = _curve(one)
    if curve is not None:
        sure = float(answered["probability"])
        st.progress(min(1.0, sure), text=f"{certainty.percent(sure)} sure")
        st.caption(certainty.checked(curve, sure))
    following = certainty.runners_up(answered, curve)
    if following:
        st.caption(following)


def _curve(one: Mapping[str, Any]) -> Reliability | None:
    """How far the probabilities of an answerer can be trusted; None where they are not shown."""
    return trusted(one.get("temperature"), one.get("calibration"))


def mark(score: float) -> str:
    """Whether an answer is right, as Markdown; part of the points where it is in part."""
    if 0 < score < 100:
        return f":orange[:material/contrast: {score:.0f} points]"
    return ":green[:material/check: right]" if score >= HALF else ":red[:material/close: wrong]"
