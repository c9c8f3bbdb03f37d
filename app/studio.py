"""What `pituning app` serves: Streamlit's own server with the Studio's door and shell around it."""

from __future__ import annotations

import sys
from pathlib import Path

from starlette.middleware import Middleware
from streamlit.starlette import App

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:  # Streamlit adds app/ itself, the door imports `app.components`
    sys.path.insert(0, str(HERE.parent))

from app.components.door import Door  # noqa: E402
from app.components.shell import Shell  # noqa: E402
from app.components.story_deck import ROUTES  # noqa: E402

app = App(HERE / "streamlit_app.py", routes=ROUTES, middleware=[Middleware(Door), Middleware(Shell)])
