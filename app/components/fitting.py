"""Which backbone fits real data, and what that one answers to three of its rows before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import streamlit as st

from app.components import access, answers_view, awaited, backbone_cards, certainty, context, guessing, runs_data
from app.components.examples import answer_badge, picture
from app.components.guard import guarded, plain, say
from app.components.words import duration
from pituning.backbones.embedded import DRAWN_ONLY, SUITE
from pituning.backbones.offers import OFFERS, Recommendation, recommend
from pituning.errors import PiTuningError
from pituning.runs.configs import AnswerRun
from pituning.runs.outline import Subject
from pituning.runs.plans import forecast
from pituning.runs.records import ACTIVE, Run
from pituning.runs.roles import Role
from pituning.runs.samples import SPLIT, keep_sample, sample_of
from pituning.runs.spec import RunSpec
from pituning.tasks.base import Example, Task
from pituning.tasks.metrics import Guessing, parse_box

ROWS = 3
LOOKED_THROUGH = 200
"""Test rows of a task among which three with different answers are looked for."""

PRIORITY = 10
SEARCHED = 200
"""Runs of answers among which those to the same rows are looked for."""

MOST_TEXT = 280
"""Characters of a row that are shown."""

READS = {"vision": "pictures", "language": "texts", "vision-language": "pictures with text"}


def of_task(task: Task) -> None:
    """For a task of the workspace that somebody made from their data."""
    if task.source == SUITE:
        return
    rows = different(islice(iter(task.split(SPLIT)), LOOKED_THROUGH))
    sample = sample_of(rows, instruction=task.instruction, modality=task.modality, metric=task.metric,
                       labels=task.labels, title=task.title)  # fmt: skip
    recommend_for(task.modality)
    untrained(sample, guessing.of(task.name))


def different(rows: Iterable[Example]) -> list[Example]:
    """Three rows with as many different answers as there are."""
    rows = list(rows)
    firsts = {row.answer: row for row in reversed(rows)}
    chosen = sorted(firsts.values(), key=rows.index)[:ROWS]
    return [*chosen, *(row for row in rows if row not in chosen)][:ROWS]


def recommend_for(modality: str) -> None:
    """Which backbone fits such data, and how to get or choose it."""
    chosen, here = context.backbone(), _here()
    with guarded("Which backbone fits"), st.container(border=True, key="fitting"):
        _recommend(recommend(modality, here, chosen), modality, here, chosen)


def untrained(sample: Task, guessed: Guessing | None, *, upload: str | None = None) -> None:
    """What the backbone that fits, or else the chosen one, answers to a few rows as it is.

    Args:
        sample: the rows.
        guessed: what guessing scores on all of the data.
        upload: what tells an upload from others; of such a one the rows are asked about unbidden, once.
    """
    chosen, here = context.backbone(), _here()
    found = recommend(sample.modality, here, chosen)
    fits = found is not None and found.here
    asked = found.name if found is not None and found.here else chosen
    if sample.modality in here.get(asked, ()):
        with guarded("The untrained answers"), st.container(border=True, key="untrained"):
            # One that does not fit is asked when somebody wants to know: the way of a new task onto the graph, which
            # takes seconds, is not kept waiting for it.
            _untrained(sample, asked, guessed, upload if fits else None)


def _here() -> dict[str, Sequence[str]]:
    return {name: context.modalities(name) for name in context.workspace().backbone_names()}


def _recommend(found: Recommendation | None, modality: str, here: Mapping[str, Sequence[str]], chosen: str) -> None:
    if found is None:
        st.markdown(f":orange[:material/warning:] **No backbone here reads {READS[modality]}.**")
        return
    if found.name == chosen:
        blind = "" if "vision" in here.get(chosen, ()) else " It does not read pictures."
        st.markdown(f":green[:material/check_circle:] **{plain(chosen)} fits:** it reads {READS[modality]} of the real "
                    f"world.{blind}")  # fmt: skip
        return
    why = f"{plain(chosen)} does not read {READS[modality]}."
    details = None
    if modality in here.get(chosen, ()) or chosen not in here:
        why, details = f"{plain(chosen)} has only ever seen drawn scenes and simple sentences.", DRAWN_ONLY + "."
    label = plain(found.name if found.offer is None else f"{found.offer.label} ({found.offer.what})")
    words, doors = st.columns([3, 1], vertical_alignment="center", gap="small")
    words.markdown(f":orange[:material/recommend:] **{label} fits this better.** {why}", help=details)
    with doors:
        if found.here:
            st.button(f"Use {found.name}", key="fitting_use", icon=":material/neurology:", type="primary",
                      width="stretch", on_click=backbone_cards.use, args=(found.name,))  # fmt: skip
        elif st.button("Compare", key="fitting_compare", icon=":material/neurology:", width="stretch"):
            backbone_cards.dialog()
    if not found.here and found.offer is not None:
        backbone_cards.get(found.offer, key="fitting")


def _untrained(sample: Task, asked: str, guessed: Guessing | None, upload: str | None) -> None:
    """The answers as far as there are any; else a button that asks for them."""
    run = _asked_before(sample, asked)
    if run is None and upload is not None and _may_ask_unbidden(upload):
        run = _ask(sample, asked)
    if run is None or run.state in ("failed", "cancelled"):
        _offer_to_ask(sample, asked, again=run is not None)
    if run is not None:
        words = awaited.Awaited(
            key="fitting", what="The answers", none="There is no answer",
            meanwhile=f"{plain(asked)} is loaded and asked about {ROWS} rows as it is. Go on meanwhile.",
            stopped="It was stopped before there was an answer.",
            show=partial(_show, sample=sample, asked=asked, guessed=guessed),
        )  # fmt: skip
        awaited.follow(run, words)


def _asked_before(sample: Task, asked: str) -> Run | None:
    """The newest run that asked a backbone about these rows; one that gave answers before one that did not."""
    runs = [run for run in runs_data.queue().list(kind="answer", backbone=asked, limit=SEARCHED)
            if run.spec.config.get("sample") == sample.name]  # fmt: skip
    return next((run for run in runs if run.active or run.state == "succeeded"), next(iter(runs), None))


def _may_ask_unbidden(upload: str) -> bool:
    """Whether the rows of a new upload may be asked about at once: nobody has to wait for it."""
    marked = f"fitting_asked_{upload}"
    free = access.why_not(Role.RUNNER) is None and not any(runs_data.queue().counts().get(state) for state in ACTIVE)
    if not free or marked in st.session_state:
        return False
    st.session_state[marked] = True
    return True


def _spec(sample: Task, asked: str) -> RunSpec:
    examples = tuple(f"{SPLIT}/{number}" for number in range(len(sample.split(SPLIT))))
    return RunSpec.of("answer", AnswerRun(sample=sample.name, example=examples, backbone=asked))


def _offer_to_ask(sample: Task, asked: str, *, again: bool) -> None:
    sizes = {"train": 0, "validation": 0, "test": ROWS}
    subject = Subject(classes=1, closed=True, images=sample.modality != "language", sizes=sizes)
    seconds = forecast(runs_data.queue(), _spec(sample, asked), subject).seconds
    words = "Ask again" if again else f"Ask {asked} about {ROWS} rows"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if access.button(words, key="fitting_ask", icon=":material/question_answer:") and _ask(sample, asked):
            st.rerun()
        st.caption(f"As it is, before anything is trained; about {duration(seconds)}.", width="content")


def _ask(sample: Task, asked: str) -> Run | None:
    try:
        queue = runs_data.queue()
        queue.actor.require(Role.RUNNER, "ask a backbone")  # before the rows are kept
        keep_sample(sample, context.workspace())
        run_id = queue.submit(
            _spec(sample, asked), name=f"Untrained answers to {sample.title}"[:120], priority=PRIORITY
        )
        runs_data.wake()
        return queue.get(run_id)
    except PiTuningError as error:
        say("It could not be asked", error)
        return None


def _show(run: Run, *, sample: Task, asked: str, guessed: Guessing | None) -> None:
    result = runs_data.result(run)
    if not result or not result.get("said"):
        st.caption("There is no answer any more; ask again.")
        return
    answers = result["said"][0]["answers"]
    rows = sample.split(SPLIT)
    _headline(asked, answers, guessed)
    with st.grid(ROWS, min_column_width=170, gap="small"):
        for number, (row, answered) in enumerate(zip(rows, answers, strict=False)):
            with st.container(border=True, gap="xsmall", height="stretch", key=f"untrained-{number}"):
                _row(row, answered)


def _headline(asked: str, answers: Sequence[Mapping[str, Any]], guessed: Guessing | None) -> None:
    scores = [float(answered["score"]) for answered in answers if answered.get("score") is not None]
    label = plain(OFFERS[asked].label if asked in OFFERS else asked)
    if len(scores) < len(answers):  # a correlation says nothing of one row
        st.markdown(f"**{label} as it is, before anything is trained**")
        return
    right = sum(score >= answers_view.HALF for score in scores)
    st.markdown(f"**{label} as it is: {right} of {len(scores)} right,** before anything is trained")
    if guessed is not None:
        st.caption(f"Three rows show how it answers, not how good it is. To compare: {guessed}.")


def _row(row: Example, answered: Mapping[str, Any]) -> None:
    answer = str(answered["answer"])
    boxes = row.image is not None and parse_box(answer) is not None
    if row.image is not None:
        st.image(picture(row.image, row.answer, answer if boxes else ""), width=140, alt=f"{row.text} {row.answer}")
    if row.text:
        st.markdown(plain(row.text, MOST_TEXT).replace("\n", "  \n"))
    if boxes:
        st.caption("Pink: the true place. Blue: the answer.")
    else:
        st.markdown(f":gray[Right:] {answer_badge(row.answer)}")
        st.markdown(f":gray[Answers:] {answer_badge(answer) if answer else ':gray[nothing]'}")
    score = answered.get("score")
    if score is not None:
        st.markdown(answers_view.mark(float(score)))
    following = certainty.runners_up(answered, None)
    if following:
        st.caption(following)
