"""How do I show it to others?"""

from __future__ import annotations

import streamlit as st

from app.components import story_editor
from app.components.guard import guarded

st.caption("A story is a sequence of views with captions. Show it here, or send it as one file that works offline.")
with guarded("The stories"):
    name = story_editor.choose()
    with guarded("This story"):
        story_editor.edit(name)
