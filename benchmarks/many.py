"""The Studio over 20,000 tasks in a real browser: ``python -m benchmarks.many``, kept in ``results/app-N.json``.

The workspace has a task with a card and a short embedding each, compared as `pituning embed --all` compares them, and a
map that a run made. Judge by the server's processor time: other work on the machine changes the wall clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.app import PAGES
from benchmarks.browser import SECOND, Server, Troubles, chromium, quantile, serving, tab
from benchmarks.large import FAMILIES, task_of_family
from pituning.embedding.many import compare_many
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.predictors import PREDICTORS
from pituning.graph.settings import MapSettings
from pituning.progress import Reporter, Silent
from pituning.runs.configs import ProjectRun
from pituning.runs.projecting import map_zoo
from pituning.tasks.saved import write_task
from pituning.workspace.atomic import write_json
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import save_nearest

TASKS = 20_000
TENSORS = 6
SIZE = 64
"""Of each tensor of an embedding."""

OPENED = 5
"""How often each page is opened."""

POLLING = 0.25 * SECOND
PATIENCE = 180 * SECOND
# Asked now and then: looking in every frame would cost the browser more than the page.
DRAWN = """([title, content]) => {
    const app = document.querySelector('[data-testid="stApp"]');
    return app && app.dataset.testScriptState === 'notRunning'
        && [...document.querySelectorAll('[data-testid="stMain"] h1')].some(one => one.textContent.trim() === title)
        && [...document.querySelectorAll(content)].some(one => one.getClientRects().length)
        && !document.querySelector('[data-testid="stSkeleton"]');
}"""

ADDRESSES = {
    "/graph": ("", "task=task-{n:05d}"),
    "/": ("",),
    "/map": ("",),
    "/similarity": ("task=task-{n:05d}",),
}
"""The pages, and what their addresses ask for."""


def make(root: Path, *, tasks: int = TASKS, reporter: Reporter | None = None) -> dict[str, float]:
    """Makes the workspace; returns the processor seconds of comparing and of the map."""
    report = reporter or Silent()
    root.mkdir(parents=True, exist_ok=True)
    workspace = Workspace.open(root)
    zoo, generator = workspace.zoo(), np.random.default_rng(0)
    families = generator.integers(FAMILIES, size=tasks)
    topics = generator.gamma(0.5, size=(FAMILIES, TENSORS * SIZE))
    vectors = (topics[families] * generator.gamma(1.0, size=(tasks, TENSORS * SIZE))).astype(np.float32)
    names = tuple(f"task-{number:05d}" for number in range(tasks))
    layout = tuple(f"encoder.layers.{t}.fc1" for t in range(TENSORS)), (SIZE,) * TENSORS
    report.phase("make tasks", tasks)
    for number, name in enumerate(names):
        folder = workspace.task_dir(name)
        folder.mkdir(parents=True)
        write_task(task_of_family(name, int(families[number])), folder)
        TaskEmbedding.from_flat(
            vectors[number], task=name, kind="lora", probe="common", names=layout[0], sizes=layout[1]
        ).save(zoo.new_embedding_path("lora", "common", name))
        report.advance()
    began = time.process_time()
    kept = compare_many(PREDICTORS["probe"], names, vectors=vectors, layout=layout, reporter=report)
    save_nearest(zoo.new_similarity_path("lora", "probe"), kept)
    compared = time.process_time()
    map_zoo(ProjectRun(**MapSettings().__dict__), zoo, report)
    return {"compare_processor_s": compared - began, "map_processor_s": time.process_time() - compared}


async def _measure(workspace: Path, tasks: int, pictures: Path | None) -> dict[str, Any]:
    troubles, result, every = Troubles(), {}, []
    async with chromium() as browser, serving(workspace, troubles) as server, tab(browser, troubles) as page:
        for path, queries in ADDRESSES.items():
            for number, query in enumerate(queries):
                times = [await _opened(page, server, path, query, n) for n in range(OPENED)]
                name = path + ("?task" if query else "")
                result[name] = {
                    "first_processor_s": times[0][1], "first_s": times[0][0],
                    "processor_s": quantile([one for _, one in times[1:]], 0.5),
                    "seconds": quantile([one for one, _ in times[1:]], 0.5),
                }  # fmt: skip
                every += [one for _, one in times[1:]]
                if pictures is not None:
                    await page.screenshot(path=pictures / f"{path.strip('/') or 'home'}-{number}.png", full_page=True)
        result["server_mib"] = round(psutil.Process(server.process.pid).memory_info().rss / 2**20)
    result |= {"tasks": tasks, "page_processor_p95_s": quantile(every, 0.95), "errors": troubles.messages}
    return result


async def _opened(page: Any, server: Server, path: str, query: str, number: int) -> tuple[float, float]:
    """Seconds until a page is drawn, and the server's processor seconds meanwhile."""
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    began, before = time.monotonic(), process.cpu_times()
    await page.goto(f"{server.url}{path}?{query.format(n=17 * (number + 1))}")
    await page.wait_for_function(DRAWN, arg=list(PAGES[path]), polling=POLLING, timeout=PATIENCE)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return round(time.monotonic() - began, 2), round(spent, 2)


def main() -> None:
    """Measures, and keeps the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", type=int, nargs="?", default=TASKS)
    parser.add_argument("--workspace", type=Path, help="One that an earlier call made; made there where there is none.")
    parser.add_argument("--pictures", type=Path, help="A directory for screenshots.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-many-") as folder:
        root = given.workspace or Path(folder) / "workspace"
        took = {} if root.exists() else make(root, tasks=given.tasks)
        result = took | asyncio.run(_measure(root, given.tasks, given.pictures))
    write_json(Path(__file__).parent / "results" / f"app-{given.tasks}.json", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
