"""Imports an expert of somebody's own: a zip of a PEFT checkpoint, its task and its name; errors beside the field."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePath

import streamlit as st

from app.components import access, context, expert_table, runs_data
from app.components.guard import plain, sentence
from app.components.words import KINDS, label
from pituning.errors import BadInput, PiTuningError
from pituning.experts.catalogue import ExpertEntry
from pituning.experts.checkpoint import Checkpoint
from pituning.experts.imported import other_base, usable_name
from pituning.experts.keeping import check_new_name
from pituning.experts.uploads import Upload
from pituning.runs.imports import import_upload
from pituning.runs.roles import Role
from pituning.workspace.layout import free_name

DONE = "expert_imported"


def form(entries: Sequence[ExpertEntry]) -> None:
    """Folded away until somebody wants it."""
    imported = st.session_state.pop(DONE, None)
    if imported is not None:
        st.session_state["expert_import"] = False  # folded away again
        st.toast(f"The expert “{plain(imported)}” is here.", icon=":material/inventory_2:")
    place = st.expander("Import an expert", icon=":material/upload_file:", key="expert_import", on_change="rerun")
    if not place.open:
        return
    with place:
        why_not = access.why_not(Role.RUNNER)
        if why_not is not None:
            st.caption(f":material/lock: {why_not}")
            return
        _form(entries)


def _form(entries: Sequence[ExpertEntry]) -> None:
    file = access.uploader(
        "A zip of a PEFT checkpoint, or of an expert that was downloaded here", type=["zip"], key="expert_file",
        help="With adapter_config.json and adapter_model.safetensors, made on the same foundation model: "
        f"{', '.join(record.label for record in KINDS.values())}. Pickles are never opened. The file stays on this "
        "machine.",
    )  # fmt: skip
    beside_file = st.container()
    if file is None:
        return
    upload = Upload(filename=file.name, data=file.getvalue())
    digest = hashlib.sha256(upload.data).hexdigest()[:12]
    try:
        checkpoint = _look(upload, f"{digest} {file.name}", context.backbone_fingerprint() or "")
    except PiTuningError as error:
        _complain(beside_file, error)
        return
    beside_file.caption(_read_as(checkpoint))
    known = context.tasks()
    stated = checkpoint.card.task if checkpoint.card is not None else None
    left, right = st.columns(2, gap="medium")
    with left:
        task = st.selectbox(
            "Task", list(known), index=list(known).index(stated) if stated in known else None,
            key=f"expert_task_{digest}",
            format_func=lambda name: known[name].title, placeholder="Which task was it trained on?",
        )  # fmt: skip
        if task is None:
            why = f"Its card names the task “{plain(stated)}”, which is not here. " if stated else ""
            st.caption(f":material/edit: {why}Say on which task it was trained.")
    with right:
        name = st.text_input(
            "Name", value=_free_name(checkpoint, file.name, entries), key=f"expert_name_{digest}", max_chars=60,
            help="What commands and addresses use: lower-case letters, digits and dashes.",
        ).strip()  # fmt: skip
        beside_name = st.container()
    fine = _name_fits(checkpoint, name, beside_name)
    ready = fine and task is not None
    if access.button("Import it", icon=":material/download_done:", type="primary", key="import_expert",
                     disabled=not ready) and task is not None:  # fmt: skip
        try:
            with st.spinner("Comparing its answers with plain PEFT’s …"):
                import_upload(runs_data.queue(), upload, name=name, task=task, backbone=context.backbone())
        except PiTuningError as error:
            _complain(beside_name if getattr(error, "field", None) == "name" else beside_file, error)
            return
        st.session_state[DONE] = name
        st.query_params[expert_table.PARAM] = f"{checkpoint.kind}/{name}"
        st.rerun()


@st.cache_resource(max_entries=4, show_spinner="Checking the file …")
def _look(_upload: Upload, digest: str, fingerprint: str) -> Checkpoint:
    """A checkpoint that fits the backbone, without its tensors."""
    return _upload.look(context.workspace().backbone_dir(context.backbone()))


def _read_as(checkpoint: Checkpoint) -> str:
    shape = ", ".join(f"{name} {value:g}" for name, value in checkpoint.config.items())
    shape = f" ({shape})" if shape else f" ({checkpoint.document.get('peft_type')})"
    card = "with its card" if checkpoint.card is not None else "without a card: where it comes from is not known"
    return (
        f":green[:material/check:] {label(KINDS, checkpoint.kind)}{plain(shape)}, "
        f"{checkpoint.parameters:,} parameters, {card}. It fits this foundation model.{_notes(checkpoint)}"
    )


def _notes(checkpoint: Checkpoint) -> str:
    """What was done to it, and what it cannot be used for."""
    notes = [f"It was {plain(checkpoint.converted)}."] if checkpoint.converted else []
    if checkpoint.reason is not None:
        notes.append(f"It can be asked and exported, but not mixed: {plain(checkpoint.reason)}.")
    other = None
    if checkpoint.card is None:
        other = other_base(checkpoint.document, [context.backbone()])
    if other is not None:
        notes.append(f":orange[:material/warning:] It says that it was trained on “{plain(other)}”.")
    return "".join(f"  \n{note}" for note in notes)


def _name_fits(checkpoint: Checkpoint, name: str, beside: st.delta_generator.DeltaGenerator) -> bool:
    try:
        check_new_name(context.zoo(), checkpoint.kind, name)
    except BadInput as error:
        _complain(beside, error)
        return False
    return True


def _free_name(checkpoint: Checkpoint, filename: str, entries: Sequence[ExpertEntry]) -> str:
    """A name to begin with: that of its card or its file, with a number where it is taken."""
    given = checkpoint.card.name if checkpoint.card is not None else PurePath(filename).stem
    slug = usable_name(given)
    taken = {entry.name for entry in entries if entry.kind == checkpoint.kind}
    return free_name(slug, taken)


def _complain(beside: st.delta_generator.DeltaGenerator, error: PiTuningError) -> None:
    beside.error(sentence(error), icon=":material/error:")
