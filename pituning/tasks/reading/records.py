"""Single JSON records: what their values are called, and conversations as columns. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CONVERSATIONS = ("messages", "conversations", "conversation")
_SPEAKERS = {"human": "user", "gpt": "assistant", "model": "assistant", "bot": "assistant"}


def json_type(value: object) -> str:
    """What JSON calls a value, in words."""
    names = {list: "list", dict: "object", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")


def plain_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose conversation, if it has one, is in columns: ``system``, ``user``, ``assistant``.

    The last turn of the assistant is the answer; everything before it is what the model reads.
    """
    key = next((name for name in _CONVERSATIONS if _is_conversation(record.get(name))), None)
    if key is None:
        return dict(record)
    plain = {name: value for name, value in record.items() if name != key}
    turns = [_turn(message) for message in record[key]]
    system = [text for speaker, text in turns if speaker == "system"]
    turns = [turn for turn in turns if turn[0] != "system"]
    answer = turns.pop()[1] if turns and turns[-1][0] == "assistant" else None
    if system:
        plain["system"] = "\n".join(system)
    alone = len(turns) == 1
    plain["user"] = "\n".join(text if alone else f"{speaker}: {text}" for speaker, text in turns)
    plain["assistant"] = answer
    return plain


def _is_conversation(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(turn, dict) and ({"role", "content"} <= set(turn) or {"from", "value"} <= set(turn))
            for turn in value
        )
    )


def _turn(message: Mapping[str, Any]) -> tuple[str, str]:
    speaker = str(message.get("role", message.get("from", ""))).lower()
    content = message.get("content", message.get("value"))
    if isinstance(content, list):  # parts: text and images
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return _SPEAKERS.get(speaker, speaker), str(content or "")
