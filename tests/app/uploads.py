"""Uploading a file of one's own to the New run page, and what the page says beside its fields."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from PIL import Image
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Element, Widget

from tests.app.conftest import OpenPage

WORDS = (("awful", "bad"), ("lovely", "good"))
TABLE = "text,label\n" + "".join(f"visit {i} was {WORDS[i % 2][0]},{WORDS[i % 2][1]}\n" for i in range(60))


def own_table(open_page: OpenPage) -> AppTest:
    return open_page("new_run", source="A table of my own")


def upload(at: AppTest, name: str, content: bytes | str, *, instruction: str = "good or bad?") -> AppTest:
    at.file_uploader(key="upload_file").upload(name, content.encode() if isinstance(content, str) else content)
    at.run()
    written = [field for field in at.text_input if field.label == "Instruction"]
    if written:
        written[0].set_value(instruction)
        at.run()
    return at


def zipped(members: Mapping[str, bytes | str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as stream:
        for name, content in members.items():
            stream.writestr(name, content)
    return archive.getvalue()


def png(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(stream, "PNG")
    return stream.getvalue()


def pictures(**instead: bytes | None) -> bytes:
    """A zip with a table and 40 pictures; ``p3=b"..."`` puts other bytes in the place of one, None leaves it out."""
    rows = "".join(f"p{i}.png,{'red' if i % 2 else 'blue'}\n" for i in range(40))
    members: dict[str, bytes | str | None] = {"table.csv": "image,label\n" + rows}
    members |= {f"p{i}.png": png("red" if i % 2 else "blue") for i in range(40)}
    members |= {f"{name}.png": content for name, content in instead.items()}
    return zipped({name: content for name, content in members.items() if content is not None})


def can_launch(at: AppTest) -> bool:
    return any(button.key == "launch" for button in at.button)


def beside(at: AppTest, label: str) -> str:
    """What the page says between the field of that label and the next one."""
    texts: list[str] = []
    inside = False
    for node in at.main:
        if isinstance(node, Widget) or node.type in ("button", "download_button"):
            inside = getattr(node, "label", "") == label
        elif inside and isinstance(node, Element) and hasattr(node, "value"):
            texts += [str(getattr(node.proto, "title", "")), str(node.value)]
    return "\n".join(texts).replace("\\", "")
