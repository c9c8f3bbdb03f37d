"""Shows a story: one slide at a time over the whole window, turned with the keyboard."""

from __future__ import annotations

import streamlit as st

from app.components import stories, story_slide
from pituning.reports.suggestion import NAME

KEY = "show_bar"
WHOLE_WINDOW = """<style>
[data-testid="stHeader"], [data-testid="stToolbar"], .st-key-visitor, .st-key-page_title { display: none; }
[data-testid="stMainBlockContainer"] { padding: 2rem clamp(1rem, 3.5vw, 4rem) 5rem; max-width: 1840px; }
@media (max-width: 1079px) { .st-key-slide_page [data-testid="stColumn"] { min-width: 100%; } }
</style>"""

_CSS = """
.bar {
  position: fixed; inset: auto 0 0 0; z-index: 1000; display: flex; gap: .5rem;
  align-items: center; justify-content: center; padding: .5rem 1rem;
  background: var(--st-background-color); border-top: 1px solid var(--st-border-color);
  font: .9rem var(--st-font); color: var(--st-text-color);
}
button {
  font: inherit; color: inherit; background: transparent; border: 1px solid var(--st-border-color);
  border-radius: 999px; padding: .3rem .9rem; min-width: 2.6rem; cursor: pointer;
}
button:hover, button:focus-visible { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button[disabled] { opacity: .4; cursor: default; }
output { min-width: 4.2em; text-align: center; font-variant-numeric: tabular-nums; }
"""
_HTML = """<nav class="bar" aria-label="Slides">
<button id="back" aria-label="Back" title="Back (←)">←</button><output id="counter"></output>
<button id="next" aria-label="Next" title="Next (→)">→</button>
<button id="full" title="Full screen (F)">Full screen</button>
<button id="close" title="Back to editing (Escape)">Close</button></nav>"""
_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const find = (id) => parentElement.querySelector("#" + id)
  const last = data.slides - 1
  let at = data.slide
  const mark = () => {
    find("counter").textContent = `${at + 1} / ${data.slides}`
    find("back").disabled = at <= 0
    find("next").disabled = at >= last
  }
  const go = (to) => {
    const next = Math.min(Math.max(to, 0), last)
    if (next === at) return
    at = next
    mark()
    setTriggerValue("go", at)
  }
  const full = () => document.fullscreenElement
    ? document.exitFullscreen() : document.documentElement.requestFullscreen().catch(() => {})
  const close = () => {
    if (document.fullscreenElement) document.exitFullscreen()
    setTriggerValue("go", -1)
  }
  const keys = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return
    const moves = {
      ArrowRight: () => go(at + 1), PageDown: () => go(at + 1), ArrowLeft: () => go(at - 1), PageUp: () => go(at - 1),
      Home: () => go(0), End: () => go(last), Escape: () => document.fullscreenElement || close(), f: full,
    }
    if (!(event.key in moves)) return
    event.preventDefault()
    event.stopPropagation()
    moves[event.key]()
  }
  find("back").onclick = () => go(at - 1)
  find("next").onclick = () => go(at + 1)
  find("full").onclick = full
  find("close").onclick = close
  mark()
  // One listener at a time: this function runs again whenever the slide changes.
  if (parentElement.presentKeys) window.removeEventListener("keydown", parentElement.presentKeys, true)
  parentElement.presentKeys = keys
  window.addEventListener("keydown", keys, true)
  return () => window.removeEventListener("keydown", keys, true)
}
"""
_BAR = st.components.v2.component("present_bar", html=_HTML, css=_CSS, js=_JS)


def open_slide(number: int) -> None:
    """A callback: the slide from 0 is shown over the whole window."""
    st.query_params["show"], st.query_params["slide"] = "1", str(number + 1)


def slide() -> None:
    """The slide that the address names, and the bar below it."""
    story = stories.load(st.query_params.get("story", NAME))
    number = stories.slide_number(story)
    st.html(WHOLE_WINDOW)
    story_slide.show(story.slides[number], number=number, large=True)
    _BAR(data={"slide": number, "slides": len(story.slides)}, key=KEY, on_go_change=_go)


def _go() -> None:
    wanted = st.session_state[KEY].get("go")
    if isinstance(wanted, int | float):
        if wanted < 0:
            st.query_params.pop("show", None)
        else:
            st.query_params["slide"] = str(int(wanted) + 1)
