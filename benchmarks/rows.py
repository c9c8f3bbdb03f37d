"""A table of a million rows becomes a task: how much memory and processor time that takes.

    python benchmarks/rows.py

Limits: a peak under 1 GiB, and under two minutes of processor time.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

PEAK_MIB, SECONDS = 1024, 120
SENTENCE = "the pump runs smooth and quiet but leaks at seal after two weeks of rain in a cold shed near town"


def write_table(path: Path, rows: int) -> None:
    """A CSV of ``rows`` sentences of 16 words with one of 100 labels."""
    generator, known = np.random.default_rng(0), SENTENCE.split()
    with path.open("w", encoding="utf-8") as stream:
        stream.write("id,text,label\n")
        for begin in range(0, rows, 10_000):
            words = generator.integers(len(known), size=(min(10_000, rows - begin), 16))
            for number, row in enumerate(words, start=begin):
                stream.write(f'{number},"{" ".join(known[w] for w in row)}, {number}",label {number % 100}\n')


def measure(rows: int) -> dict[str, float]:
    """Adds such a table to a new workspace."""
    from pituning.tasks.adding import AddOptions, plan_task
    from pituning.tasks.files import load_saved_task, save_task
    from pituning.workspace.layout import Workspace

    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        write_table(table, rows)
        workspace = Workspace.open(Path(folder) / "workspace")
        begin, wall = time.process_time(), time.monotonic()
        task = plan_task(table, AddOptions(name="rows", instruction="which?")).make()
        directory = save_task(task, workspace)
        added, waited = time.process_time() - begin, time.monotonic() - wall
        loaded = load_saved_task(directory)
        shots = loaded.shots(16, seed=0)
        return {
            "rows": rows,
            "table_mib": round(table.stat().st_size / 2**20, 1),
            "added_processor_seconds": round(added, 1),
            "added_seconds": round(waited, 1),
            "loaded_processor_seconds": round(time.process_time() - begin - added, 1),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10),
            "shots": len(shots),
        }


def main() -> None:
    """Prints the measurement; fails where it is over the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    result = measure(parser.parse_args().rows)
    print(json.dumps(result, indent=1))
    if result["peak_mib"] > PEAK_MIB or result["added_processor_seconds"] > SECONDS:
        raise SystemExit(f"over the limits of {PEAK_MIB} MiB and {SECONDS} s")


if __name__ == "__main__":
    main()
