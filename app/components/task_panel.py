"""What is to be known about one task: what it asks, examples, and whose tasks are near."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from app.components import context
from app.components.examples import gallery
from app.components.guard import guarded, plain
from app.components.pages import NEW_RUN
from app.components.words import METRICS, MODALITY_ICONS
from pituning.graph.predict import Neighbor
from pituning.tasks.registry import TaskInfo

SHOWN_EXAMPLES = 6


def heading(info: TaskInfo) -> None:
    """The task's title with what kind of task it is."""
    st.subheader(plain(info.title))
    with st.container(horizontal=True, gap="xsmall"):
        st.badge(info.modality, icon=MODALITY_ICONS[info.modality], color="blue")
        for family in info.families:
            st.badge(family, icon=":material/account_tree:", color="gray", help="A planted family of the suite.")
        if info.source != "mini":
            st.badge("yours", icon=":material/person:", color="violet")


def about(info: TaskInfo) -> None:
    """The instruction, the answers and the measure, then examples."""
    with guarded(f"The task “{info.name}”"):
        task = context.task(info.name)
        if task.description:
            st.markdown(plain(task.description))
        st.markdown(f"Instruction :gray[—] “{plain(task.instruction)}”")
        st.caption(_facts(info))
        examples = task.split("validation")[:SHOWN_EXAMPLES] or task.split("train")[:SHOWN_EXAMPLES]
        with_images = any(example.image is not None for example in examples)
        gallery(examples if with_images else examples[:3], key=f"panel-{info.name}")


def _facts(info: TaskInfo) -> str:
    answers = f"{len(info.labels)} labels" if info.labels else "open answers"
    guessing = f", guessing scores about {100 / len(info.labels):.0f}" if info.labels else ""
    sizes = ", ".join(f"{count:,} {split}" for split, count in info.sizes.items())
    return f"{answers} · {METRICS[info.metric].label.lower()}{guessing} · {sizes}"


def neighbours(
    name: str, near: Sequence[Neighbor], titles: dict[str, str], *, on_open: Callable[[list[str]], None]
) -> None:
    """The tasks nearest to ``name`` with how alike they are and how sure that is; a click on one opens it."""
    if not near:
        st.caption("This task has no expert in the zoo yet, so its place in the graph is not known.")
        return
    frame = pd.DataFrame(
        {
            "Task": [titles.get(item.task, item.task) for item in near],
            "Similarity": [float(item.similarity) for item in near],
            "Confidence": [None if item.confidence is None else 100 * float(item.confidence) for item in near],
        }
    )
    names = [item.task for item in near]
    st.markdown("**Nearest tasks**")
    st.dataframe(
        frame,
        hide_index=True,
        placeholder="–",
        key=f"neighbours-{name}",
        on_select=lambda: on_open(names),
        selection_mode="single-row",
        column_config={
            "Similarity": st.column_config.NumberColumn(format="%.3f", help="Cosine of the two task embeddings."),
            "Confidence": st.column_config.ProgressColumn(
                format="%.0f %%",
                min_value=0,
                max_value=100,
                help="In how many of 100 resamplings of the examples this task is among the nearest shown.",
            ),
        },
        alt="Nearest tasks with similarity and confidence",
    )


def use_as_target(name: str) -> None:
    """The door to a new run on this task."""
    if st.button("Use as target of a run", icon=":material/rocket_launch:", type="primary", key="use_as_target"):
        st.switch_page(NEW_RUN.path, query_params={"target": name})
