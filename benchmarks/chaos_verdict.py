"""What came of the runs of a trial of `benchmarks.chaos`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.chaos_roles import curves_json, final_words
from pituning.errors import PiTuningError

if TYPE_CHECKING:
    from benchmarks.chaos import Chaos

GOES_ON = "goes on from"
"""How an event begins that says that a run goes on from a checkpoint."""


def verdict(chaos: Chaos, expected: dict[str, Any]) -> dict[str, Any]:
    """What was lost, done twice or came out differently."""
    runs = chaos.queue.list(limit=10_000)
    names = Counter(run.name for run in runs)
    succeeded = {run.name: run for run in runs if run.state == "succeeded"}
    twice = {name: f"{count} runs of that name" for name, count in names.items() if count > 1}
    twice |= dict.fromkeys(chaos.overlaps, "two live workers at once")
    wrong = []
    restored = 0
    for name, run in succeeded.items():
        events = [event.message for event in chaos.queue.events_of(run.id)]
        if events.count("succeeded") != 1:
            twice[name] = f"succeeded {events.count('succeeded')} times"
        try:
            words = final_words(chaos.workspace, run.kind, chaos.queue.result_of(run.id) or {})
            words |= curves_json(chaos.queue.curves_of(run.id), chaos.queue.alphas_of(run.id))
        except PiTuningError as error:
            words = {"error": str(error)}
        restored += sum((run.id, attempt - 1) in chaos.victims for attempt in restored_attempts(events))
        if words != expected[name]:
            parts = {part for part in {*words, *expected[name]} if words.get(part) != expected[name].get(part)}
            wrong.append(f"{name} ({run.kind}): {', '.join(sorted(parts))}")
    return {
        "runs": chaos.runs,
        "kills": chaos.killed,
        "lost": sum(name not in succeeded for name in expected),
        "duplicated": len(twice),
        "wrong": len(wrong),
        "torn": len(chaos.checkpoints.torn),
        "restored": restored,
        "attempts": sum(run.attempt for run in runs),
        "disturbances": dict(sorted(chaos.done.items())),
        "unfinished": {run.id: f"{run.state}: {run.error}" for run in runs if run.state != "succeeded"},
        "differ": wrong,
        "twice": twice,
    }


def restored_attempts(messages: Sequence[str]) -> set[int]:
    """The attempts of a run, by its events, that went on from a checkpoint."""
    attempt, restored = 0, set()
    for message in messages:
        if message.startswith("attempt ") and " begins" in message:
            attempt = int(message.split()[1])
        elif message.startswith(GOES_ON):
            restored.add(attempt)
    return restored
