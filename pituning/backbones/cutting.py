"""What is left of prompts that are longer than a backbone reads. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pituning.progress import Reporter, Silent
from pituning.tasks.members import Spans


@dataclass(frozen=True)
class PromptTokens:
    """A prompt in tokens.

    Args:
        ids: its tokens, without ends.
        members: the places of each of its texts among them.
    """

    ids: Sequence[int]
    members: tuple[range, ...] = ()

    @classmethod
    def of(cls, ids: Sequence[int], offsets: Iterable[tuple[int, int]], spans: Spans) -> PromptTokens:
        """Finds the tokens of each text by where they stand in the prompt.

        Args:
            offsets: (begin, end) of each token in characters.
            spans: see `pituning.tasks.members.members_of`.
        """
        ends = [end for _, end in offsets]
        inside = [[place for place, each in enumerate(ends) if begin < each <= end] for begin, end in spans]
        return cls(ids, tuple(range(each[0], each[-1] + 1) if each else range(0) for each in inside))

    def lost(self, room: int) -> list[range]:
        """The places of the tokens that do not fit: of the longest texts, and in no text at the end."""
        over = len(self.ids) - room
        if over <= 0:
            return []
        lengths = [len(member) for member in self.members]
        if over > sum(lengths):
            return [range(room, len(self.ids))]
        kept = levelled(lengths, sum(lengths) - over)
        return [member[count:] for member, count in zip(self.members, kept, strict=True) if count < len(member)]

    def cut(self, room: int) -> Sequence[int]:
        """At most ``room`` tokens."""
        gone = {place for part in self.lost(room) for place in part}
        if not gone:
            return self.ids
        return [each for place, each in enumerate(self.ids) if place not in gone]


def levelled(lengths: Sequence[int], total: int) -> list[int]:
    """What each keeps where all may keep ``total`` together: the longest lose first, down to one common length."""
    kept = list(lengths)
    shortest_first = sorted(range(len(lengths)), key=lengths.__getitem__)
    for rank, place in enumerate(shortest_first):
        kept[place] = min(lengths[place], total // (len(lengths) - rank))
        total -= kept[place]
    return kept


def cut(prompts: Sequence[PromptTokens], room: int, reporter: Reporter | None) -> list[Sequence[int]]:
    """The prompts with at most ``room`` tokens each; the reporter is told how many were longer."""
    long = [prompt for prompt in prompts if len(prompt.ids) > room]
    if long:
        lost = sum(len(prompt.ids) - room for prompt in long)
        share = 100 * lost / sum(len(prompt.ids) for prompt in prompts)
        (reporter or Silent()).log(
            f"{len(long)} of {len(prompts)} prompts are longer than {room} tokens and were cut {where(long)}: "
            f"{share:.0f} % of all text is lost"
        )
    return [prompt.cut(room) for prompt in prompts]


def where(prompts: Iterable[PromptTokens]) -> str:
    """Where prompts are cut, in words."""
    return "at the longer of their texts" if any(len(prompt.members) > 1 for prompt in prompts) else "at the end"
