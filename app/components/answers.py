"""Trying an expert: a question, a run in the queue that answers it, and the answers of several side by side."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.components import access, answers_view, awaited, context, expert_table, runs_data
from app.components.examples import answer_badge, picture
from app.components.guard import empty, plain, say
from pituning.errors import BadInput, PiTuningError
from pituning.experts.catalogue import ExpertEntry
from pituning.runs.configs import MOST_TEXT, AnswerRun
from pituning.runs.questions import find_questions, keep_image
from pituning.runs.roles import Role
from pituning.runs.spec import RunSpec
from pituning.tasks.base import Task
from pituning.tasks.images import open_image
from pituning.tasks.registry import TaskInfo

PARAM = "answers"
PRIORITY = 10
"""Somebody waits for these: they go before trainings that wait."""

SOURCES = {"example": "An example of the test split", "own": "A question of my own"}
ANSWERS = awaited.Awaited(
    key="ask", what="The answers", none="There is no answer",
    meanwhile="A worker loads the foundation model first, which takes some seconds. You can go on meanwhile: the "
    "address of this page leads back to the answers.",
    stopped="It was stopped before there was an answer. Ask again whenever you like.", show=answers_view.show,
)  # fmt: skip
IMAGE_TYPES = ["png", "jpg", "jpeg", "webp", "gif", "bmp"]
MOST_BESIDE = 4


def try_it(entry: ExpertEntry, entries: Sequence[ExpertEntry]) -> None:
    """The form, and below it the answers to what was asked last."""
    st.header("Try it", anchor=False)
    info = context.tasks().get(entry.task or "")
    if entry.problem is not None or info is None:
        why = "The task that it was trained on is not in this workspace." if info is None else "It cannot be used."
        empty("Nothing to try", why, icon=":material/block:")
        return
    _ask(entry, info, _alike(entry, entries))
    run = awaited.addressed(PARAM, "answers")
    if run is None:
        return
    asked = run.spec.config.get("experts", ()) if run.kind == "answer" else ()
    if run.backbone == context.backbone() and entry.name in asked:
        awaited.follow(run, ANSWERS)


def _alike(entry: ExpertEntry, entries: Sequence[ExpertEntry]) -> list[ExpertEntry]:
    """The usable experts of the same task and kind, the newest first."""
    same_task = [
        one
        for one in entries
        if one.id != entry.id and (one.kind, one.task) == (entry.kind, entry.task) and one.problem is None
    ]
    return sorted(same_task, key=lambda one: -(one.made or 0.0))


def _first_of_each(alike: Sequence[ExpertEntry]) -> list[str]:
    """The newest π-expert, the newest single expert, and the expert of the zoo, where they are there."""
    groups = (
        [one.name for one in alike if one.origin == "tuned"],
        [one.name for one in alike if one.origin != "tuned" and one.shots is not None],
        [one.name for one in alike if one.name == one.task],
    )
    return [names[0] for names in groups if names]


def _ask(entry: ExpertEntry, info: TaskInfo, alike: Sequence[ExpertEntry]) -> None:
    task = context.task(info.name)
    source = st.segmented_control(
        "What to ask", list(SOURCES), format_func=SOURCES.__getitem__, default="example", required=True,
        key="ask_source", label_visibility="collapsed",
    )  # fmt: skip
    st.caption(f"Every question opens with “{plain(task.instruction)}”.")
    question = _example(task) if source == "example" else _own(task, info)
    beside: list[str] = []
    if alike:
        titles = {one.name: one.name for one in alike}
        beside = st.multiselect(
            "Compare with", list(titles), default=_first_of_each(alike)[:MOST_BESIDE], key=f"ask_beside_{entry.id}",
            max_selections=MOST_BESIDE, placeholder="Only the backbone alone",
            help="Other experts of this task and kind. The backbone alone always answers, too.",
        )  # fmt: skip
    clicked = access.button("Ask", icon=":material/question_answer:", type="primary", key="ask",
                          disabled=question is None)  # fmt: skip
    why_not = access.why_not(Role.RUNNER)
    if why_not is not None:
        st.caption(f":material/lock: {why_not}")
    if clicked and question is not None:
        _start(entry, question, beside)


def _example(task: Task) -> dict[str, Any]:
    """An example of the test split, shown as people read it."""
    test, key = task.split("test"), f"ask_example_{task.name}"

    def draw() -> None:
        st.session_state[key] = random.randrange(len(test))

    if key not in st.session_state:
        st.session_state[key] = _asked_before(task, len(test))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        number = int(st.number_input("Number", 0, len(test) - 1, key=key, width=150,
                                     help=f"Of {len(test):,} test examples, counted from 0."))  # fmt: skip
        st.button("Another", icon=":material/casino:", key="ask_another", on_click=draw, help="Draws one at random.")
    example = test[number]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="ask_preview"):
        if example.image is not None:
            st.image(picture(example.image, example.answer), width=128, alt=f"The image of test example {number}")
        with st.container(gap="xsmall"):
            if example.text:
                st.markdown(plain(example.text).replace("\n", "  \n"))
            st.markdown(f":gray[Right:] {answer_badge(example.answer)}")
    return {"example": (f"test/{number}",)}


def _asked_before(task: Task, count: int) -> int:
    """The number of the test example whose answers the address names, or the first."""
    run_id = st.query_params.get(PARAM)
    if run_id is None:
        return 0
    try:
        config = runs_data.queue().get(run_id).spec.config
    except BadInput:
        return 0
    example = (config.get("example") or [""])[0]
    fits = config.get("task") == task.name and re.fullmatch(r"test/\d+", example) is not None
    return min(int(example[5:]), count - 1) if fits else 0


def _own(task: Task, info: TaskInfo) -> dict[str, Any] | None:
    """A text, an image or both, as the task wants; None while something is missing."""
    text = st.text_area(
        "Text", key=f"ask_text_{task.name}", max_chars=MOST_TEXT, height=96,
        placeholder="Optional" if info.modality == "vision" else _hint(task),
    ).strip()  # fmt: skip
    upload = None
    if info.modality != "language":
        upload = access.uploader("Image", type=IMAGE_TYPES, key=f"ask_image_{task.name}",
                                  help="It is made square, as the foundation model sees it.")  # fmt: skip
        if upload is not None:
            problem = _problem(upload.getvalue())
            if problem is not None:
                st.error(f"The image {plain(problem)}", icon=":material/error:")
                return None
            st.image(upload, width=128, alt="Your image")
            fine = text or info.modality == "vision"
            return {"text": text or None, "image": upload.getvalue()} if fine else None
    return {"text": text} if text and info.modality == "language" else None


@st.cache_data(max_entries=8, show_spinner=False)
def _problem(data: bytes) -> str | None:
    """What is wrong with an image, as the end of a sentence, or None."""
    try:
        open_image(data)
    except BadInput as error:
        return str(error)
    return None


def _hint(task: Task) -> str:
    examples = task.split("test")
    return f"Such as: {' '.join(examples[0].text.split())[:90]}" if len(examples) else ""


def _start(entry: ExpertEntry, question: dict[str, Any], beside: Sequence[str]) -> None:
    try:
        queue = runs_data.queue()
        queue.actor.require(Role.RUNNER, "ask experts")  # before the image is kept
        if "image" in question:
            question = {**question, "image": keep_image(question["image"], context.workspace())}
        config = AnswerRun(
            experts=(entry.name, *beside), kind=entry.kind, task=entry.task, backbone=context.backbone(), **question
        )
        find_questions(config, context.workspace())
        run_id = queue.submit(RunSpec.of("answer", config), priority=PRIORITY)
        runs_data.wake()
    except PiTuningError as error:
        say("The question could not be submitted", error)
        return
    st.query_params[PARAM] = run_id
    st.query_params[expert_table.PARAM] = entry.id
