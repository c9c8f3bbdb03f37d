"""What stands around a text before a decoder-only model sees it: the checkpoint's own chat template, in two pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

USER, ASSISTANT = "\ue000", "\ue001"  # private use: in no template and in no text


@dataclass(frozen=True)
class Turn:
    """Token ids around a prompt and after an answer.

    Args:
        head: before the user's text.
        tail: after it, up to where the answer begins.
        end: the token that ends an answer.
    """

    head: tuple[int, ...]
    tail: tuple[int, ...]
    end: int


@dataclass(frozen=True)
class Frame:
    """Like a `Turn`, as text: what stands around a prompt, and the token that ends an answer."""

    head: str
    tail: str
    end: int


def frame_of(tokenizer: Any, *, template: str | None = None, image: bool | None = None) -> Frame:
    """What a chat template puts around a prompt, or, without a template, a line each for prompt and answer.

    Args:
        template: in place of the tokenizer's own.
        image: whether a picture stands in front of the user's text; with None the template is given plain text, as
            those of models that only read expect it.
    """
    template = template or getattr(tokenizer, "chat_template", None)
    if not template:
        return Frame(tokenizer.bos_token or "", "\n", int(tokenizer.eos_token_id))

    question = [{"role": "user", "content": _content(USER, image)}]
    answer = {"role": "assistant", "content": _content(ASSISTANT, None if image is None else False)}
    # Without thinking, where a template knows of it: the answer is to follow at once.
    rendered = tokenizer.apply_chat_template(
        question, chat_template=template, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    head, _, tail = rendered.partition(USER)
    answered = tokenizer.apply_chat_template([*question, answer], chat_template=template, tokenize=False)
    after = _ids(tokenizer, answered.partition(ASSISTANT)[2])
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    return Frame(head, tail, int(next((token for token in after if token in special), tokenizer.eos_token_id)))


def turn_of(tokenizer: Any, **how: Any) -> Turn:
    """The `Frame` that `frame_of` makes, as token ids."""
    frame = frame_of(tokenizer, **how)
    return Turn(tuple(_ids(tokenizer, frame.head)), tuple(_ids(tokenizer, frame.tail)), frame.end)


def _content(text: str, image: bool | None) -> Any:
    if image is None:
        return text
    return [*([{"type": "image"}] if image else []), {"type": "text", "text": text}]


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
