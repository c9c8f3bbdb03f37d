"""What is to be known about one task: what it asks, examples, and whose tasks are near."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.components import context, whole_rows
from app.components.examples import gallery
from app.components.guard import guarded, plain
from app.components.links import to
from app.components.pages import NEW_RUN
from app.components.words import KINDS, METRICS, MODALITY_ICONS, label
from pituning.graph.donor_gains import DonorGain
from pituning.graph.harm import harms
from pituning.graph.predict import Neighbor
from pituning.tasks.registry import TaskInfo

SHOWN_EXAMPLES = 6
SHOWN_GAINS = 3
STABLE = "In how many of 100 resamplings of the examples this task is among the nearest shown."
_CLICKED_ROWS = "clicked_rows"


def heading(info: TaskInfo, *, community: str = "") -> None:
    """The task's title with what kind of task it is, and the name of its community in the graph, if it has one."""
    st.header(plain(info.title))
    with st.container(horizontal=True, gap="xsmall"):
        st.badge(plain(info.modality), icon=MODALITY_ICONS.get(info.modality), color="blue")
        for family in info.families:
            st.badge(plain(family), icon=":material/account_tree:", color="gray", help="A planted family of the suite.")
        if community:
            st.badge(plain(community), icon=":material/bubble_chart:", color="gray", help="Its community in the graph.")
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


def table_key(stem: str) -> str:
    """The key of a table of tasks: the same from task to task, which saves the browser to build it anew, until one of
    its rows is clicked (`forget_rows`)."""
    return f"{stem}-{st.session_state.get(_CLICKED_ROWS, 0)}"


def forget_rows() -> None:
    """No row of any table of tasks is chosen any more."""
    st.session_state[_CLICKED_ROWS] = st.session_state.get(_CLICKED_ROWS, 0) + 1


def neighbours(
    name: str,
    near: Sequence[Neighbor],
    titles: Mapping[str, str],
    *,
    on_open: Callable[[str, list[str]], None],
    expected: Mapping[str, DonorGain] | None = None,
) -> None:
    """The tasks nearest to ``name`` with how alike they are and how sure that is.

    Args:
        on_open: a callback for a click on one; it gets the table's key and the names of its rows.
        expected: what each is expected to add as a donor, where that is known.
    """
    if not near:
        st.caption("This task has no expert in the zoo yet, so its place in the graph is not known.")
        return
    confidence = [None if item.confidence is None else 100 * float(item.confidence) for item in near]
    columns: dict[str, list[Any]] = {
        "Task": [titles.get(item.task, item.task) for item in near],
        "Similarity": [float(item.similarity) for item in near],
    }
    if expected:
        columns["Expected gain"] = [expected[item.task].text if item.task in expected else None for item in near]
    if any(value is not None for value in confidence):
        columns["Stable rank"] = confidence
    names, key = [item.task for item in near], table_key("neighbours")
    st.markdown("**Nearest tasks**")
    whole_rows.draw(
        pd.DataFrame(columns),
        placeholder="–",
        key=key,
        on_select=lambda _: on_open(key, names),
        column_config={
            "Similarity": st.column_config.NumberColumn(format="%.3f", width=68, help="How alike the two are."),
            "Expected gain": st.column_config.TextColumn(help="Points that its expert is expected to add."),
            "Stable rank": st.column_config.NumberColumn(format="%.0f %%", width=78, help=STABLE)
            if expected  # leaves no room for bars
            else st.column_config.ProgressColumn(format="%.0f %%", min_value=0, max_value=100, help=STABLE),
        },
        alt="Nearest tasks with similarity, and how stable their rank is",
    )


def transfer(
    kind: str,
    name: str,
    titles: Mapping[str, str],
    *,
    on_open: Callable[[str, list[str]], None],
    shots: int | None = None,
) -> None:
    """Whose experts helped this task most, and whom its own helped, as measured; a click on one opens the pair.

    Args:
        shots: at which of the measured numbers of shots; by default the largest.
    """
    counts = context.transfer_shots(kind)
    at_shots = counts[-1] if counts and shots is None else shots
    measured = None if at_shots is None else context.transfer(kind, at_shots, tuple(titles))
    if measured is None or name not in measured.names:
        st.markdown("**Measured transfer**")
        st.caption(f"It has not been measured yet whom {label(KINDS, kind)} experts help.")
        return
    words = f"{measured.shots} shots" if measured.shots else "no training on the target"
    st.markdown(f"**Measured transfer** :gray[· {words}]")
    at = measured.names.index(name)
    ways = (
        ("Its best donors", "It has not been measured which donors help it.", measured.gains[at], "in"),
        ("Whom it helps most", "It has not been measured whom its expert helps.", measured.gains[:, at], "out"),
    )
    with st.grid(2, min_column_width=260, gap="small"):
        for title, nothing, gains, way in ways:
            with st.container(gap="xsmall"):
                gains_table(
                    title, nothing, gains, measured.names, titles, key=table_key(f"transfer-{way}"), on_open=on_open
                )


def gains_table(
    title: str,
    nothing: str,
    gains: np.ndarray,
    names: Sequence[str],
    titles: Mapping[str, str],
    *,
    key: str,
    on_open: Callable[[str, list[str]], None],
    column: str = "Gain",
    most: int = SHOWN_GAINS,
) -> None:
    """The largest of the gains (N,) of tasks, or of other values; ``nothing`` where none is known."""
    known = [i for i in range(len(names)) if np.isfinite(gains[i])]
    if not known:
        st.caption(nothing)
        return
    best = sorted(known, key=lambda i: -gains[i])[:most]
    shown = [names[i] for i in best]
    whole_rows.draw(
        pd.DataFrame({title: [titles[one] for one in shown], column: [float(gains[i]) for i in best]}),
        key=key,
        on_select=lambda _: on_open(key, shown),
        column_config={
            "Gain": st.column_config.NumberColumn(format="%+.1f", width=64, help="In points. Negative: harm."),
            "Value": st.column_config.NumberColumn(format="%.3g", width=72),
        },
        alt=f"{title}, with the {column.lower()}",
    )
    if column != "Gain":
        return
    harm = int(harms(gains).sum())
    st.caption(f"{harm or 'None'} of {len(known)} {'cost' if harm > 1 else 'costs'} a point or more.")


def use_as_target(name: str) -> None:
    """The door to a new run on this task."""
    if st.button("Use as target of a run", icon=":material/rocket_launch:", type="primary", key="use_as_target"):
        st.switch_page(NEW_RUN.path, query_params=to(target=name))
