"""The low-shot study: all methods on few shots of every target, and the runs behind each figure."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.components import charts, context, guessing
from app.components.guard import empty
from app.components.words import KINDS, label, shots_label
from pituning.figures.palette import method_label
from pituning.reports.study import comparisons, gains_by_target, methods_table, with_guesses
from pituning.reports.usable import CANDIDATES
from pituning.studies.lowshot_scores import paired_gain
from pituning.studies.lowshot_summary import LowshotSummary
from pituning.workspace.lowshot import measured_shots, usual_shots
from pituning.workspace.shots import shots_name

INTERVAL = "In brackets the 95 % interval: over targets and seeds, or over the seeds of the one target."


def study() -> None:
    """The section of the page, for the kind of expert that is chosen there."""
    kind = str(st.session_state.get("kind") or next(iter(KINDS)))
    rows = context.lowshot(kind)
    measured = measured_shots(rows)
    if not measured:
        empty(
            "Nothing measured yet",
            f"For {label(KINDS, kind)} experts the methods have not been compared on all targets. Start it on the "
            f"command line: {context.zoo().command(f'study lowshot --kind {kind}')}",
            icon=":material/science:",
        )
        return
    known = context.tasks()
    titles = {name: known[name].title if name in known else name for name in map(str, rows["target"].unique())}
    targets = sorted(titles, key=lambda name: titles[name].casefold())
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        shots = st.segmented_control(
            "Shots of the study", measured, format_func=shots_label,
            default=usual_shots(rows), required=True, key="study_shots",
            help="Examples per class. Zero-shot: no label of the target is used, the words of its instruction predict "
            "the donors.",
        )  # fmt: skip
        target = st.selectbox(
            "Target of the study", targets, index=None, format_func=lambda name: titles.get(name, name),
            placeholder="All targets together", key="study_target", width=330,
        )  # fmt: skip
    shots = usual_shots(rows) if shots is None else shots
    path, steps = context.zoo().shown_lowshot(kind)
    table, summary = _summed_up(str(path), path.stat().st_mtime, kind, shots, target)
    measured_on = sorted(map(str, context.study_scores(kind, shots)["target"].unique())) if target is None else [target]
    guessed = guessing.mean(measured_on)
    st.dataframe(
        with_guesses(table, guessed), hide_index=True, placeholder="–", key="study_methods", height="content",
        column_config={
            "Score": st.column_config.TextColumn(help=f"Test score in points, mean over seeds and targets. {INTERVAL}"),
            "π gains": st.column_config.TextColumn(
                help=f"What π-tuning scores above this method on the same shots and test examples. {INTERVAL}"
            ),
            "π is better on": st.column_config.TextColumn(help="Targets with a better mean over seeds by π-tuning."),
        },
        alt="Score of every method on few shots, and what π-tuning gains over it",
    )  # fmt: skip
    budget = [] if steps is None else [f"By at most {steps} steps of training."]
    st.caption(" ".join([summary, *budget, *([] if guessed is None else [guessing.sentence(guessed)])]))
    _by_target(context.study_scores(kind, shots), target, kind, shots)
    _runs(rows[(rows["shots"] == shots) & ((rows["target"] == target) if target is not None else True)], kind, shots)


@st.cache_data(max_entries=64, show_spinner="Aggregating the low-shot results …")
def _summed_up(path: str, stamp: float, kind: str, shots: int, target: str | None) -> tuple[pd.DataFrame, str]:
    """The table of methods and what is told below it; to draw the bootstrap's samples takes a while."""
    scores = context.study_scores(kind, shots)
    if target is not None:
        scores = scores[scores["target"] == target]
    return methods_table(scores), _told(context.lowshot(kind), kind, shots, target is None)


def _told(rows: pd.DataFrame, kind: str, shots: int, everything: bool) -> str:
    summary = LowshotSummary(rows, kind, shots)
    parts = [summary.what_there_is()] if everything else []
    chosen = summary.chosen()
    if everything and chosen:
        words = ", ".join(f"{CANDIDATES[name]} {share:.0f} %" for name, share in chosen.items())
        parts.append(f"π-tuning took, by the loss on held-out shots: {words}.")
    return " ".join([*parts, "Learning rate and steps of every method are chosen on the shots alone."])


def _by_target(scores: pd.DataFrame, target: str | None, kind: str, shots: int) -> None:
    """The gain on each target over a method that can be chosen."""
    ours, others = comparisons(scores)
    if not others:
        return
    over = st.selectbox("Compared with", others, format_func=method_label, key="study_over", width=330)
    gain = paired_gain(scores, ours, over)
    if gain is None:
        empty("Nothing to compare", "The two methods were never measured on the same shots.", icon=":material/balance:")
        return
    name, other = method_label(ours), method_label(over)
    with st.container(width=charts.MATRIX_WIDTH):
        charts.draw(
            gains_by_target(scores, over, context.tasks(), chosen=target, dark=charts.dark()),
            key="study_gains", stem=f"gains-over-{over}",
            alt=f"What {name} gains over {other} on each of {len(gain.by_target)} targets, in points",
            pinned=("study", {"kind": kind, "shots": shots, "over": over}),
        )  # fmt: skip
    seeds = f"{gain.seeds} seed{'s' if gain.seeds > 1 else ''} of shots"
    faint = " The faint marks are single seeds." if gain.seeds > 1 else ""
    st.caption(f"Right of the line {name} is better, on the same shots and test examples; {seeds}.{faint}")


def _runs(rows: pd.DataFrame, kind: str, shots: int) -> None:
    """Each row of the file, so that any figure can be followed to its runs and measured again."""
    with st.expander(f"All {len(rows):,} runs as a table", icon=":material/list:", key="study_runs"):
        guesses = {str(name): guessing.short(str(name)) for name in rows["target"].unique()}
        shown = rows.assign(
            shots=rows["shots"].map(shots_name), method=rows["method"].map(method_label),
            guessing=rows["target"].map(guesses),
        )  # fmt: skip
        st.dataframe(
            shown.rename(columns=lambda name: name.replace("_", " ").capitalize()), hide_index=True, placeholder="–",
            key="study_rows", column_config={
                "Score": st.column_config.NumberColumn(format="%.1f"), guessing.COLUMN: guessing.column(),
            },
            alt="Every run of the study with its seed, what was chosen, its donors and the digest of its settings",
        )  # fmt: skip
        st.download_button(
            "Download CSV", lambda: rows.to_csv(index=False).encode(),
            file_name=f"lowshot-{kind}-{shots_name(shots)}-shots.csv", mime="text/csv", icon=":material/download:",
            key="study_download", on_click="ignore",
        )  # fmt: skip
        st.caption("To repeat one and compare the scores:")
        _, steps = context.zoo().shown_lowshot(kind)
        budget = "" if steps is None else f" --steps {steps} …"
        where = f"--kind {kind} --shots {shots_name(shots)} --targets … --seeds … --methods …{budget}"
        st.code(context.zoo().command(f"study lowshot {where} --check"), language=None)
