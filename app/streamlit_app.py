"""The Studio's frame: navigation, and a last guard that turns any failure into words."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:  # Streamlit adds app/ itself, the pages import `app.components`
    sys.path.insert(0, str(HERE.parent))

from app.components import access, backbone, links, pin, reveal, window  # noqa: E402
from app.components.guard import guarded  # noqa: E402
from app.components.pages import NAVIGATION  # noqa: E402

st.set_page_config(page_title=window.STUDIO, page_icon=str(HERE / "assets" / "mark.svg"), layout="wide")
st.logo(str(HERE / "assets" / "logo.svg"), size="large")

admitted = False
with guarded("The Studio"):
    admitted = access.admit()
entries = {
    st.Page(
        f"app_pages/{entry.file}",
        title=entry.title,
        icon=entry.icon,
        url_path=entry.url_path,
        default=entry.url_path == "",
        help=entry.help,
    ): entry
    for entry in NAVIGATION
}
page = st.navigation(list(entries), position="top" if admitted else "hidden")
if admitted:
    with guarded("The address"):
        links.check_address()
    with guarded("The heading"):
        backbone.heading(entries[page].heading or page.title, entries[page].about)
    with guarded("The title of the window"):
        window.title(page.title)
    with guarded(f"The page “{page.title}”"):
        page.run()
    with guarded("The story"):
        pin.told()
    reveal.follow()
