"""Where do the tasks lie, and how far is such a map to be trusted?"""

from __future__ import annotations

import streamlit as st

st.title("Map")
