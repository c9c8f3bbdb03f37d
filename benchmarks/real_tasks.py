"""Small real text tasks from published data sets, as tables that `pituning tasks add` takes.

Run with ``python -m benchmarks.real_tasks SOURCE OUT``: SOURCE is a directory with the files as they are published, OUT
gets one CSV and one line of a shell script for each task. Rows are drawn with a fixed seed; no row is in two tasks of
one source. ``--cards DIR`` writes what may be told of the tasks without their examples, for a zoo that ships.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pituning.tasks.base import Task
from pituning.tasks.carded import SOURCE, write_task_card

UCI = {
    "origin": "Sentiment Labelled Sentences, UCI Machine Learning Repository (Kotzias et al., KDD 2015)",
    "licence": "CC BY 4.0",
}
SNLI = {"origin": "SNLI 1.0, development split (Bowman et al., EMNLP 2015)", "licence": "CC BY-SA 4.0"}
STS = {"origin": "STS benchmark, development split (Cer et al., SemEval 2017)", "licence": "CC BY-SA 4.0"}
BANKING = {"origin": "BANKING77, test split (Casanueva et al., 2020)", "licence": "CC BY 4.0"}
CLINC = {"origin": "CLINC150 (Larson et al., EMNLP 2019)", "licence": "CC BY 3.0"}

Row = tuple[str, str]
"""Text and answer."""
SPLITS = {"train": 0.5, "validation": 0.1, "test": 0.4}
INTENTS = 8
"""Intents of a task: as many as sixteen shots of each can be learned from in minutes."""


@dataclass(frozen=True, kw_only=True)
class RealTask:
    """One task.

    Args:
        instruction: what opens every prompt.
        origin, licence: of the data.
        rows: reads them from the directory of the sources.
        most: rows that are kept, in all splits together.
    """

    name: str
    title: str
    instruction: str
    rows: Callable[[Path], list[Row]]
    origin: str
    licence: str
    most: int = 600


def labelled_sentences(file: str) -> Callable[[Path], list[Row]]:
    """Sentiment Labelled Sentences: a text, a tab, 0 or 1."""

    def rows(source: Path) -> list[Row]:
        lines = (source / file).read_text(encoding="utf-8").splitlines()
        pairs = [line.rsplit("\t", 1) for line in lines if "\t" in line]
        return [(text.strip(), ("negative", "positive")[int(label)]) for text, label in pairs]

    return rows


def snli(half: int, answers: dict[str, str]) -> Callable[[Path], list[Row]]:
    """SNLI: every other row, so that two tasks share none."""

    def rows(source: Path) -> list[Row]:
        rows_read = []
        for line in (source / "snli_dev_part.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["gold_label"] in answers:
                text = f"Premise: {row['sentence1']}\nHypothesis: {row['sentence2']}"
                rows_read.append((text, answers[row["gold_label"]]))
        return rows_read[half::2]

    return rows


def relatedness(source: Path) -> list[Row]:
    """STS benchmark: pairs that are clearly similar or clearly not; those between are left out."""
    frame = pd.read_csv(source / "stsb_dev.tsv", sep="\t", quoting=csv.QUOTE_NONE, header=None)
    rows = []
    for first, second, score in frame[[7, 8, 9]].itertuples(index=False):
        if score >= 3.5 or score <= 1.5:
            rows.append((f"First: {first}\nSecond: {second}", "similar" if score >= 3.5 else "different"))
    return rows


def banking(source: Path) -> list[Row]:
    """BANKING77: the first intents by name."""
    frame = pd.read_csv(source / "banking77_test.csv")
    kept = sorted(frame["category"].unique())[: 8 * INTENTS : 8]
    return [(row.text, row.category.replace("_", " ")) for row in frame.itertuples() if row.category in kept]


def clinc(source: Path) -> list[Row]:
    """CLINC150: some of the intents."""
    document = json.loads((source / "clinc_36_intents.json").read_text(encoding="utf-8"))
    rows = [pair for part in ("train", "val", "test") for pair in document[part]]
    kept = sorted({label for _, label in rows})[: 4 * INTENTS : 4]
    return [(text, label.replace("_", " ")) for text, label in rows if label in kept]


TASKS = (
    RealTask(
        name="shop-reviews", title="Shop reviews", rows=labelled_sentences("amazon_cells_labelled.txt"),
        instruction="What is the sentiment of this product review, positive or negative?",
        **UCI,
    ),
    RealTask(
        name="film-reviews", title="Film reviews", rows=labelled_sentences("imdb_labelled.txt"),
        instruction="What is the sentiment of this film review, positive or negative?",
        **UCI,
    ),
    RealTask(
        name="inference", title="Inference", rows=snli(
            0, {"entailment": "yes", "neutral": "maybe", "contradiction": "no"}
        ),
        instruction="Does the hypothesis follow from the premise? Answer yes, maybe or no.",
        **SNLI,
    ),
    RealTask(
        name="contradiction", title="Contradiction", rows=snli(
            1, {"entailment": "consistent", "neutral": "consistent", "contradiction": "contradictory"}
        ),
        instruction="Are the two statements consistent or contradictory?",
        **SNLI,
    ),
    RealTask(
        name="relatedness", title="Relatedness", rows=relatedness,
        instruction="Are the two sentences similar or different in meaning?",
        **STS,
    ),
    RealTask(
        name="bank-intents", title="Bank intents", rows=banking,
        instruction="What does this bank customer ask about?",
        **BANKING,
    ),
    RealTask(
        name="assistant-intents", title="Assistant intents", rows=clinc,
        instruction="What does this person want from the assistant?",
        **CLINC,
    ),
)  # fmt: skip


def split_rows(rows: list[Row], most: int, seed: int = 0) -> Iterator[tuple[str, str, str]]:
    """Text, answer and split of at most ``most`` rows, each answer's share the same in all splits."""
    unique = list(dict(rows).items())
    generator = np.random.default_rng(seed)
    by_answer: dict[str, list[Row]] = {}
    for index in generator.permutation(len(unique)):
        by_answer.setdefault(unique[int(index)][1], []).append(unique[int(index)])
    share = min(1.0, most / len(unique))
    for answer in sorted(by_answer):
        kept = by_answer[answer][: max(3, round(share * len(by_answer[answer])))]
        ends = np.round(np.cumsum(list(SPLITS.values())) * len(kept)).astype(int)
        begin = 0
        for split, end in zip(SPLITS, ends, strict=True):
            yield from ((text, label, split) for text, label in kept[begin:end])
            begin = int(end)


def write(source: Path, out: Path) -> list[str]:
    """Writes the tables; the commands that add them."""
    out.mkdir(parents=True, exist_ok=True)
    commands = []
    for task in TASKS:
        frame = pd.DataFrame(list(split_rows(task.rows(source), task.most)), columns=["text", "label", "split"])
        path = out / f"{task.name}.csv"
        frame.to_csv(path, index=False)
        words = ["pituning", "tasks", "add", str(path), "--name", task.name, "--title", task.title,
                 "--instruction", task.instruction]  # fmt: skip
        commands.append(shlex.join(words))
    (out / "add.sh").write_text("set -e\n" + "\n".join(commands) + "\n", encoding="utf-8")
    return commands


def write_cards(source: Path, out: Path) -> None:
    """Writes the card of each task without its examples."""
    for task in TASKS:
        labels = tuple(sorted({answer for _, answer in task.rows(source)}))
        whole = Task(
            name=task.name, title=task.title, instruction=task.instruction, modality="language", metric="accuracy",
            labels=labels, source=SOURCE, splits={},
        )  # fmt: skip
        write_task_card(whole, out / f"{task.name}.json", origin=task.origin, licence=task.licence)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_tasks", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cards", type=Path)
    options = parser.parse_args()
    if options.cards is not None:
        write_cards(options.source, options.cards)
    print("\n".join(write(options.source, options.out)))
