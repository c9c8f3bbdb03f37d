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


def turn_of(tokenizer: Any, *, image: str | None = None) -> Turn:
    """The turn that a tokenizer's chat template makes, or, without a template, a line each for prompt and answer.

    Args:
        image: what stands for a picture, in front of the user's text.
    """
    front = image or ""
    if not getattr(tokenizer, "chat_template", None):
        begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        head = [*begin, *_ids(tokenizer, front)]
        return Turn(tuple(head), tuple(_ids(tokenizer, "\n")), int(tokenizer.eos_token_id))
    question = [{"role": "user", "content": front + USER}]
    # Without thinking, where a template knows of it: the answer is to follow at once.
    asked = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    head, _, tail = asked.partition(USER)
    answered = tokenizer.apply_chat_template([*question, {"role": "assistant", "content": ASSISTANT}], tokenize=False)
    after = _ids(tokenizer, answered.partition(ASSISTANT)[2])
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    end = next((token for token in after if token in special), tokenizer.eos_token_id)
    return Turn(tuple(_ids(tokenizer, head)), tuple(_ids(tokenizer, tail)), int(end))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
