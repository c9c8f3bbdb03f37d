"""The Studio in a real browser: how soon it draws, how fast it answers, how much memory it takes, how many it serves.

All times are the browser's own: from the click to the frame in which what was asked for is on the screen and the server
has nothing left to do. The limits that they should keep are in `LIMITS`; ``bench app`` measures and judges nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from benchmarks import large
from benchmarks.browser import SECOND, Server, Troubles, chromium, quantile, serving, tab
from benchmarks.visitors import Visitor
from pituning.errors import ArtefactError
from pituning.progress import Reporter, Silent
from pituning.tasks.mini import TASK_NAMES
from pituning.tasks.registry import list_tasks

LIMITS = {
    "cold_graph_s": 6.0,
    "page_p95_s": 0.8,
    "click_p95_s": 0.4,
    "server_mib": 400.0,
    "own_task_s": 20.0,
    "large_click_p95_s": 1.0,
    "sessions_p95_s": 2.0,
}
PAGES = {
    "/": ("Which of your tasks help each other?", ".st-key-hero_chart svg text, .st-key-hero_chart canvas"),
    "/graph": ("Task graph", ".st-key-graph_chart svg text, .st-key-graph_chart canvas"),
    "/map": ("Map", ".js-plotly-plot .main-svg"),
    "/similarity": ("Similarity", ".js-plotly-plot .main-svg"),
    "/transfer": ("Transfer", ".js-plotly-plot .main-svg"),
    "/experts": ("Experts", "[data-testid=stDataFrame] canvas"),
    "/new-run": ("New run", ".st-key-launch button"),
    "/runs": ("Runs", "[data-testid=stAlertContainer], [data-testid=stMarkdown], [data-testid=stDataFrame]"),
    "/present": ("Present", "[data-testid=stSelectbox], [data-testid=stTextInput], button"),
}
"""Of each page its title and what must be there for it to be drawn."""

COLD_STARTS = 3
ROUNDS = 5
CLICKS = 30
SESSIONS = 20
THINK_SECONDS = (2.0, 8.0)
"""How long somebody looks at what a click has shown, at least and at most."""

CLICK_SHARE = 0.6
"""Of what somebody does on the graph: a click on a task."""

SAMPLE_SECONDS = 5.0
SETTLED = 0.2
"""Part of the minutes after which memory should not grow any more: by then every page has been seen."""

# Runs in the page: frame by frame until what is waited for holds, then the seconds since the click.
WAIT = """([title, content, path, began]) => new Promise((done, failed) => {
    const limit = performance.now() + 60000;
    const look = () => {
        const app = document.querySelector('[data-testid="stApp"]');
        const heading = [...document.querySelectorAll('[data-testid="stMain"] h1, [data-testid="stMain"] h2')];
        const drawn = app && app.dataset.testScriptState === 'notRunning'
            && (path === null || location.pathname === path)
            && heading.some(one => one.textContent.trim() === title)
            && [...document.querySelectorAll(content)].some(one => one.getClientRects().length)
            && !document.querySelector('[data-testid="stSkeleton"]');
        if (drawn) requestAnimationFrame(() => done((performance.now() - (began ?? window.benchClick)) / 1000));
        else if (performance.now() > limit) failed(new Error(`${title} was not drawn in a minute`));
        else requestAnimationFrame(look);
    };
    look();
})"""
# The same after a click on a task: seconds until its panel and its place in the graph show it, and until all is done.
CLICKED = """title => new Promise((done, failed) => {
    const limit = performance.now() + 60000;
    const since = () => (performance.now() - window.benchClick) / 1000;
    const has = (selector, test) => [...document.querySelectorAll(selector)].some(test);
    let shown = null;
    const look = () => {
        if (shown === null
            && has('[data-testid="stMain"] h2', one => one.textContent.trim() === title)
            && has('[class*="st-key-neighbours-"]',
                   one => one.dataset.stale === 'false' && one.querySelector('canvas'))
            && has('.st-key-graph_chart svg text', one => one.textContent === title
                   && Number(getComputedStyle(one).fontWeight) >= 700)) shown = since();
        const app = document.querySelector('[data-testid="stApp"]');
        if (shown !== null && app.dataset.testScriptState === 'notRunning') done([shown, since()]);
        else if (performance.now() > limit) failed(new Error(`${title} was not shown in a minute`));
        else requestAnimationFrame(look);
    };
    look();
})"""
LABELS = """() => [...document.querySelectorAll('.st-key-graph_chart svg text')].map(one => {
    const box = one.getBoundingClientRect();
    return [one.textContent, box.x + box.width / 2, box.y + box.height / 2];
})"""


def run(
    *,
    sessions: int = SESSIONS,
    minutes: float = 10.0,
    with_large: bool = True,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Measures everything on a new workspace over the embedded default.

    Args:
        sessions: how many people look about at once; all but one without a browser (`benchmarks.visitors`).
        minutes: for how long; 0 leaves it out.
        with_large: whether to measure 2,000 tasks and 100,000 points as well.

    Raises:
        ArtefactError: Playwright or Chromium is missing.
    """
    return asyncio.run(_run(sessions, minutes, with_large, reporter or Silent()))


async def _run(sessions: int, minutes: float, with_large: bool, report: Reporter) -> dict[str, Any]:
    troubles, result = Troubles(), {}
    with tempfile.TemporaryDirectory(prefix="bench-app-") as name:
        folder = Path(name)
        async with chromium() as browser:
            report.phase("cold starts", COLD_STARTS)
            cold = [await _cold(browser, folder / f"cold-{i}", troubles, report) for i in range(COLD_STARTS)]
            result["cold_graph_s"] = round(sorted(cold)[COLD_STARTS // 2], 2)
            result["cold_starts_s"] = [round(one, 2) for one in cold]
            async with serving(folder / "usual", troubles) as server:
                result |= await _pages(browser, server, troubles, report)
                result |= await _clicks(browser, server, troubles, report)
                result["server_mib"] = round(_mib(server), 1)
                report.phase("a task of one's own", 1)
                result["own_task_s"] = round(await _own_task(browser, server, folder, troubles), 2)
                report.advance()
                if minutes:
                    result |= await _crowd(browser, server, sessions, minutes, troubles, report)
            if with_large:
                result |= await _large(browser, folder / "large", troubles, report)
    result["errors"] = len(troubles.messages)
    result["error_messages"] = sorted(set(troubles.messages))[:20]
    return result


async def _cold(browser: Any, workspace: Path, troubles: Troubles, report: Reporter) -> float:
    """From the command to a graph on the screen, on a workspace that is not there yet."""
    began = time.monotonic()
    async with serving(workspace, troubles) as server, tab(browser, troubles) as page:
        await page.goto(f"{server.url}/graph")
        await page.evaluate(WAIT, [*PAGES["/graph"], "/graph", 0])
        seconds = time.monotonic() - began
    report.advance()
    return seconds


async def _open(page: Any, server: Server, path: str) -> None:
    await page.goto(f"{server.url}{path}")
    await page.evaluate(WAIT, [*PAGES[path.split("?")[0]], None, 0])


async def _pages(browser: Any, server: Server, troubles: Troubles, report: Reporter) -> dict[str, Any]:
    """Every page from the navigation, after one round in which all are seen for the first time."""
    times: dict[str, list[float]] = {path: [] for path in PAGES}
    report.phase("pages", (ROUNDS + 1) * len(PAGES))
    async with tab(browser, troubles) as page:
        await _open(page, server, "/")
        for number in range(ROUNDS + 1):
            for path in [*list(PAGES)[1:], "/"]:
                seconds = await _go(page, path)
                if number:
                    times[path].append(seconds)
                report.advance()
    every = [one for values in times.values() for one in values]
    return {
        "page_p95_s": quantile(every, 0.95),
        "page_median_s": quantile(every, 0.5),
        "page_slowest": {path: round(max(values), 3) for path, values in times.items()},
    }


async def _go(page: Any, path: str) -> float:
    """Seconds from a click in the navigation to the page."""
    title, content = PAGES[path]
    link = page.locator(f'[data-testid="stTopNavLinkContainer"] a[href$="{path}"]').first
    await link.click()
    return float(await page.evaluate(WAIT, [title, content, path, None]))


async def _clicks(browser: Any, server: Server, troubles: Troubles, report: Reporter) -> dict[str, Any]:
    """Clicks on tasks of the graph: from the click to the task's panel."""
    report.phase("clicks", CLICKS)
    luck, seconds = random.Random(0), []
    async with tab(browser, troubles) as page:
        await _open(page, server, "/graph")
        for _ in range(CLICKS):
            seconds.append(await _click_a_task(page, luck))
            report.advance()
    shown, done = zip(*seconds, strict=True)
    return {
        "click_p95_s": quantile(shown, 0.95),
        "click_median_s": quantile(shown, 0.5),
        "click_all_p95_s": quantile(done, 0.95),
    }


async def _click_a_task(page: Any, luck: random.Random) -> tuple[float, float]:
    """Clicks on a task whose whole title stands in the graph, and that is not the chosen one.

    Returns:
        Seconds until it is shown, in its panel with its nearest tasks and in the graph, and until all else is done.
    """
    shown = await page.locator('[data-testid="stMain"] h2').all_inner_texts()
    labels = [one for one in await page.evaluate(LABELS) if one[0] in _titles() and one[0] not in shown]
    title, x, y = luck.choice(labels)
    await page.mouse.click(x, y)
    seconds, whole = await page.evaluate(CLICKED, title)
    return float(seconds), float(whole)


@cache
def _titles() -> set[str]:
    return {info.title for info in list_tasks()}


async def _own_task(browser: Any, server: Server, folder: Path, troubles: Troubles) -> float:
    """Seconds from the click that keeps an uploaded table to its relatives being known, when it stands on the graph."""
    words = {"good": ("lovely", "friendly", "fresh"), "bad": ("cold", "rude", "bland")}
    rows = [f"the soup was {words[label][i % 3]} on day {i},{label}" for i in range(40) for label in words]
    table = folder / "soups.csv"
    table.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    async with tab(browser, troubles) as page:
        await page.goto(f"{server.url}/new-run?source=A+table+of+my+own")
        await page.locator("input[type=file]").set_input_files(table)
        instruction = page.get_by_role("textbox", name="Instruction")
        await instruction.fill("is this review good or bad?")
        await instruction.press("Enter")
        await page.get_by_text("As the model will read it").wait_for()
        keep = page.get_by_role("button", name="Keep the task and find its relatives")
        await keep.wait_for()
        began = time.monotonic()
        await keep.click()
        door = page.get_by_role("link", name="Soups on the task graph")
        await door.wait_for()
        seconds = time.monotonic() - began
        await door.click()
        await page.locator(".st-key-graph_chart svg text", has_text="Soups").first.wait_for()
    return seconds


async def _crowd(
    browser: Any, server: Server, sessions: int, minutes: float, troubles: Troubles, report: Reporter
) -> dict[str, Any]:
    """Many sessions that look about, each at its own pace, one of them in a browser; the server's memory meanwhile."""
    until = time.monotonic() + 60 * minutes
    answered: list[float] = []
    drawn: list[float] = []
    memory: list[float] = []
    report.phase(f"{sessions} sessions", round(60 * minutes / SAMPLE_SECONDS))

    async def visitor(number: int) -> None:
        luck = random.Random(number)
        await asyncio.sleep(luck.uniform(0, THINK_SECONDS[1]))
        visitor = await Visitor.arrive(server.port)
        try:
            while time.monotonic() < until:
                await asyncio.sleep(luck.uniform(*THINK_SECONDS))
                answered.append(await visitor.go(*_somewhere(luck)))
        finally:
            troubles.messages += ["exception on a page"] * visitor.exceptions
            await visitor.leave()

    async def watcher() -> None:
        luck, path = random.Random(-1), "/"
        async with tab(browser, troubles) as page:
            await _open(page, server, path)
            while time.monotonic() < until:
                await asyncio.sleep(luck.uniform(*THINK_SECONDS))
                if path == "/graph" and luck.random() < CLICK_SHARE:
                    drawn.append((await _click_a_task(page, luck))[1])
                else:
                    path = luck.choice([one for one in PAGES if one != path])
                    drawn.append(await _go(page, path))

    async def sampler() -> None:
        while time.monotonic() < until:
            await asyncio.sleep(SAMPLE_SECONDS)
            memory.append(_mib(server))
            report.advance()

    tasks = [sampler(), watcher(), *map(visitor, range(sessions - 1))]
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, BaseException):
            troubles.messages.append(f"a session ended early: {str(ended).splitlines()[0]}")
    settled = memory[int(SETTLED * len(memory))] if memory else math.nan
    return {
        "sessions": sessions,
        "sessions_minutes": minutes,
        "sessions_actions": len(answered) + len(drawn),
        "sessions_p95_s": quantile(answered, 0.95),
        "sessions_median_s": quantile(answered, 0.5),
        "sessions_browser_p95_s": quantile(drawn, 0.95),
        "sessions_mib_settled": round(settled, 1),
        "sessions_mib_end": round(memory[-1], 1) if memory else None,
    }


def _somewhere(luck: random.Random) -> tuple[str, str]:
    """A page, and on the graph often a task."""
    path = luck.choice([*PAGES, "/graph", "/graph"])
    if path == "/graph" and luck.random() < CLICK_SHARE:
        return path, f"task={luck.choice(TASK_NAMES)}"
    return path, ""


async def _large(browser: Any, workspace: Path, troubles: Troubles, report: Reporter) -> dict[str, Any]:
    """A graph of 2,000 tasks and 20,000 lines, and a map of 100,000 points."""
    report.phase("a large workspace", CLICKS + 3)
    made = large.make(workspace)
    report.advance()
    luck, seconds = random.Random(0), []
    async with serving(workspace, troubles) as server, tab(browser, troubles) as page:
        began = time.monotonic()
        await page.goto(f"{server.url}/graph?graph={large.TABLE}&lines=Above&threshold={made.weakest:.3f}")
        await page.evaluate(WAIT, [*PAGES["/graph"], None, 0])
        graph_seconds = time.monotonic() - began
        report.advance()
        frames = await _drag(page)
        for _ in range(CLICKS):
            seconds.append(await _click_a_point(page, luck))
            report.advance()
        began = time.monotonic()
        await page.goto(f"{server.url}/map?around=Resamplings")
        await page.evaluate(WAIT, [*PAGES["/map"], None, 0])
        map_seconds = time.monotonic() - began
        report.advance()
        points = await page.evaluate(
            "() => Math.max(...[...document.querySelectorAll('.js-plotly-plot')].map(one => "
            "one.data.reduce((sum, trace) => sum + (trace.x ? trace.x.length : 0), 0)))"
        )
        mib = _mib(server)
    return {
        "large_tasks": made.tasks,
        "large_lines": made.lines,
        "large_graph_s": round(graph_seconds, 2),
        "large_frame_p95_s": quantile(frames, 0.95),
        "large_click_p95_s": quantile(seconds, 0.95),
        "large_click_median_s": quantile(seconds, 0.5),
        "map_points": points,
        "map_s": round(map_seconds, 2),
        "large_server_mib": round(mib, 1),
    }


async def _drag(page: Any) -> list[float]:
    """Seconds between frames while the graph is dragged about and zoomed, in which the server has no part."""
    chart = page.locator(".st-key-graph_chart canvas").first
    box = await chart.bounding_box()
    await page.evaluate(
        """() => { window.benchFrames = []; let last = performance.now(); window.benchDragging = true;
            const tick = now => { window.benchFrames.push((now - last) / 1000); last = now;
                if (window.benchDragging) requestAnimationFrame(tick); };
            requestAnimationFrame(tick); }"""
    )
    x, y = box["x"] + 12, box["y"] + 12  # a corner without points
    await page.mouse.move(x, y)
    await page.mouse.down()
    for step in range(20):
        await page.mouse.move(x + 8 * step, y + 5 * step)
    await page.mouse.up()
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for turn in (-120, -120, 120, 120):
        await page.mouse.wheel(0, turn)
    await page.mouse.move(x + 152, y + 95)
    await page.mouse.down()
    for step in range(20):
        await page.mouse.move(x + 152 - 8 * step, y + 95 - 5 * step)
    await page.mouse.up()
    frames = await page.evaluate("() => { window.benchDragging = false; return window.benchFrames; }")
    return [float(one) for one in frames[1:]]


async def _click_a_point(page: Any, luck: random.Random) -> float:
    """Seconds from a click on a point of a canvas to the panel of its task.

    Where a point is can only be tried: until the address names another task than before.
    """
    box = await page.locator(".st-key-graph_chart canvas").first.bounding_box()
    for _ in range(200):
        before = page.url
        await page.mouse.click(
            box["x"] + luck.uniform(0.2, 0.8) * box["width"], box["y"] + luck.uniform(0.2, 0.7) * box["height"]
        )
        with contextlib.suppress(Exception):
            await page.wait_for_function("before => location.href !== before", arg=before, timeout=1.5 * SECOND)
            return float(await page.evaluate(WAIT, ["Task graph", ".st-key-graph_chart canvas", None, None]))
    raise ArtefactError("no point of the large graph answered a click")


def _mib(server: Server) -> float:
    assert server.process is not None
    return float(psutil.Process(server.process.pid).memory_info().rss) / 2**20


if __name__ == "__main__":
    print(json.dumps(run()))
