from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from benchmarks.browser import SECOND
from tests.browser.conftest import Studio, no_errors, press, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def studio(standing: Studio) -> Studio:
    """Here nothing is changed."""
    return standing


HIGH = """key => {
    const canvas = document.querySelector(`.st-key-${key}`)
    return canvas && canvas.getBoundingClientRect().height > (key === 'graph_canvas' ? 0.6 : 0.4) * innerHeight
}"""


AS_HIGH = """() => {
  const { height, bottom } = document.querySelector(".st-key-graph_canvas").getBoundingClientRect()
  return height > 0.66 * innerHeight && bottom > 0.93 * innerHeight && bottom <= innerHeight
}"""


def high(page: Page, key: str = "graph_canvas") -> None:
    """Waits until a graph has its height, which the browser reads from the style (frame.css)."""
    page.wait_for_function(HIGH, arg=key)


def test_the_app_opens_and_a_click_on_a_task_opens_its_panel(studio: Studio, page: Page) -> None:
    page.goto(studio.url)
    settle(page)
    expect(page.get_by_role("heading", name="Which of your tasks help each other?")).to_be_visible()
    expect(page.locator(".st-key-hero_chart svg text", has_text="Sentiment")).to_be_visible()
    no_errors(page)

    page.get_by_role("button", name="Explore the task graph").click()
    label = page.locator(".st-key-graph_chart svg text", has_text="Sentiment")
    expect(label).to_be_visible()
    expect(page.get_by_text("No task chosen")).to_be_visible()
    high(page)
    press(label)

    expect(page.get_by_role("heading", name="Sentiment")).to_be_visible()
    expect(page.get_by_text("Nearest tasks")).to_be_visible()
    expect(page).to_have_url(f"{studio.url}/graph?task=sentiment")
    no_errors(page)

    page.reload()
    settle(page)
    expect(page.get_by_role("heading", name="Sentiment")).to_be_visible()

    high(page)
    press(page.locator(".st-key-graph_chart svg text", has_text="Handwritten digits"))
    expect(page.get_by_role("heading", name="Handwritten digits")).to_be_visible()
    images = page.locator('[data-testid="stImage"] img')
    expect(images.first).to_be_visible()
    assert images.first.evaluate("image => image.naturalWidth") >= 192

    page.get_by_role("button", name="Use as target of a run").click()
    expect(page.get_by_role("heading", name="New run")).to_be_visible()
    expect(page).to_have_url(f"{studio.url}/new-run?target=digits")
    no_errors(page)

    page.get_by_role("link", name="Home").click()  # whose graph leads to the same panel, on a narrow window, too
    page.set_viewport_size({"width": 800, "height": 700})
    label = page.locator(".st-key-hero_chart svg text", has_text="Captioning")
    expect(label).to_be_visible()
    high(page, "hero_canvas")
    press(label)
    expect(page.get_by_role("heading", name="Captioning")).to_be_visible()
    expect(page).to_have_url(f"{studio.url}/graph?task=caption")
    no_errors(page)


def test_the_graph_is_as_high_as_the_window_and_stays_beside_its_panel(studio: Studio, page: Page) -> None:
    for width, height in ((1280, 800), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{studio.url}/graph?task=nli")
        settle(page)
        expect(page.get_by_text("Measured transfer", exact=False).last).to_be_visible()
        high(page)
        page.wait_for_function(AS_HIGH)
        page.get_by_text("Instruction").scroll_into_view_if_needed()
        page.mouse.move(width - 120, height - 80)
        page.mouse.wheel(0, 400)
        label = page.locator(".st-key-graph_chart svg text", has_text="Natural language inference")
        expect(label).to_be_in_viewport()
        no_errors(page)


CONTROLS = re.compile(r"/static/js/(ButtonGroup|Selectbox|Slider)\.")
"""The code of what stands above the graph."""

# Where the label of a task is, for every frame in which it can be seen; each place once.
WATCH = """() => {
    window.places = []
    const look = () => {
        const label = [...document.querySelectorAll('.st-key-graph_chart svg text')]
            .find((one) => one.textContent.includes('Sentiment'))
        if (label?.checkVisibility({ visibilityProperty: true })) {
            const { x, y } = label.getBoundingClientRect()
            const [last] = window.places.slice(-1)
            if (!last || last.x !== x || last.y !== y) window.places.push({ x, y })
        }
        window.looking = requestAnimationFrame(look)
    }
    look()
}"""


GRAPH = b"lines between similar ones"
"""Said of the graph alone: how it is read aloud."""


def test_the_graph_stands_still_from_the_first_moment_that_it_can_be_clicked(studio: Studio, page: Page) -> None:
    """Over a slow line: the graph comes, then the code of each control above it, then all that is drawn later."""
    controls: list[Route] = []
    messages: list[Callable[[], None]] = []
    graph_came = all_came = False

    def line(socket: WebSocketRoute) -> None:
        def arrives(message: str | bytes) -> None:
            nonlocal graph_came
            assert isinstance(message, bytes)
            send = partial(socket.send, message)
            if graph_came and not all_came:
                messages.append(send)
            else:
                send()
            graph_came = graph_came or GRAPH in message

        socket.connect_to_server().on_message(arrives)

    page.route_web_socket(re.compile("/_stcore/stream"), line)
    page.goto(studio.url)
    settle(page)
    expect(page.locator(".st-key-hero_chart svg text", has_text="Sentiment")).to_be_visible()  # graphs can be drawn
    page.route(CONTROLS, lambda route: controls.append(route))
    page.evaluate(WATCH)
    page.get_by_role("button", name="Explore the task graph").click()
    label = page.locator(".st-key-graph_chart svg text", has_text="Sentiment")
    label.wait_for(state="attached")
    while controls:
        controls.pop(0).continue_()
        page.wait_for_timeout(0.3 * SECOND)
    ended = page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]')
    while not ended.count() or messages:
        if messages:
            messages.pop(0)()
        page.wait_for_timeout(0.15 * SECOND)
    all_came = True

    expect(page.get_by_text("No task chosen")).to_be_visible()
    expect(label).to_be_visible()
    page.evaluate("cancelAnimationFrame(window.looking)")  # under the mouse the label grows
    press(label, delay=0.1 * SECOND)
    expect(page.get_by_role("heading", name="Sentiment")).to_be_visible()
    assert len(page.evaluate("window.places")) == 1
    no_errors(page)


def test_the_graph_stands_still_in_a_window_that_opens(studio: Studio, page: Page) -> None:
    """The browser has no code yet; Streamlit's own for a page's style is the last to come."""
    waiting: list[Route] = []
    page.route(re.compile(r"/static/js/Html\."), lambda route: waiting.append(route))
    page.add_init_script(f"({WATCH})()")
    page.goto(f"{studio.url}/graph")
    expect(page.locator(".st-key-graph_chart svg text", has_text="Sentiment")).to_be_visible()
    expect(page.get_by_text("No task chosen")).to_be_visible()
    for route in waiting:
        route.continue_()
    settle(page)
    page.wait_for_timeout(0.3 * SECOND)
    assert len(page.evaluate("window.places")) == 1
    no_errors(page)


MIDDLES = """() => [...document.querySelectorAll('.st-key-graph_chart svg path[fill="none"][stroke]')]
    .filter(path => path.getAttribute('stroke-width') !== '0')
    .filter(path => path.getTotalLength() > 40)
    .sort((a, b) => b.getTotalLength() - a.getTotalLength())
    .map(path => {
        const middle = path.getPointAtLength(path.getTotalLength() / 2);
        const at = new DOMPoint(middle.x, middle.y).matrixTransform(path.getScreenCTM());
        return [at.x, at.y];
    })"""
"""Of all lines, which are paths with a stroke that is seen and no filling; the middle of a long one lies under no other
mark."""

FRAMES = """
const draw = window.requestAnimationFrame.bind(window);
const held = [];
window.requestAnimationFrame = frame => window.holding ? held.push(frame) : draw(frame);
window.release = () => { window.holding = false; held.splice(0).forEach(frame => draw(frame)); };
"""
"""What is to be drawn waits while ``holding``, as on a machine that is busy."""


def test_a_press_is_a_click_when_the_line_is_drawn_anew_before_its_release(studio: Studio, page: Page) -> None:
    """Under the mouse a line is drawn above the others: its element is moved."""
    page.add_init_script(FRAMES)
    for line in range(2):  # without the rule about it each was lost in about half of the tries
        page.goto(f"{studio.url}/graph")
        settle(page)
        expect(page.locator(".st-key-graph_chart svg text", has_text="Sentiment")).to_be_visible()
        expect(page.get_by_text("No task chosen")).to_be_visible()  # the panel makes the graph narrower when it comes
        middles = page.evaluate(MIDDLES)
        page.evaluate("window.holding = true")
        page.mouse.move(*middles[line])
        page.mouse.down()
        page.evaluate("window.release()")
        page.wait_for_timeout(0.1 * SECOND)
        page.mouse.up()
        page.wait_for_url("**other=**", timeout=20 * SECOND)
        page.mouse.move(0, 0)
    no_errors(page)


MOVED = """before => {
    const label = [...document.querySelectorAll('.st-key-graph_chart svg text')]
        .find((one) => one.textContent.includes('Sentiment'))
    return label && Math.abs(label.getBoundingClientRect().x - before) > 4
}"""
"""The label of a task stands elsewhere."""


def test_a_click_on_a_line_opens_its_pair_and_nothing_moves_nor_does_the_zoom(studio: Studio, page: Page) -> None:
    page.goto(f"{studio.url}/graph")
    settle(page)
    label = page.locator(".st-key-graph_chart svg text", has_text="Sentiment")
    expect(label).to_be_visible()
    expect(page.get_by_text("No task chosen")).to_be_visible()  # the panel makes the graph narrower when it comes
    high(page)
    label.element_handle().wait_for_element_state("stable")
    before = label.bounding_box()
    middles = page.evaluate(MIDDLES)
    assert middles
    page.mouse.click(*middles[0])
    page.wait_for_url("**other=**")
    assert "task=" in page.url
    expect(page.get_by_text("Where they are alike")).to_be_visible()
    expect(page.get_by_text("Predicted and measured")).to_be_visible()
    assert label.bounding_box() == before

    page.mouse.move(before["x"] - 200, before["y"] - 200)
    page.wait_for_timeout(0.6 * SECOND)  # Streamlit leaves the wheel to the page until the mouse has rested on a chart
    page.mouse.wheel(0, -480)
    page.wait_for_function(MOVED, arg=before["x"])
    page.mouse.move(0, 0)
    zoomed = label.bounding_box()
    press(label)
    page.wait_for_url(re.compile(r"task=sentiment$"))
    page.mouse.move(0, 0)
    expect(page.get_by_role("heading", name="Sentiment")).to_be_visible()
    page.get_by_role("radio", name="Community").click()
    page.wait_for_url(re.compile("colour=Community"))
    settle(page)
    after = label.bounding_box()
    assert abs(after["x"] + after["width"] / 2 - zoomed["x"] - zoomed["width"] / 2) < 2
    assert abs(after["y"] - zoomed["y"]) < 8  # a chosen task is larger
    no_errors(page)

    page.reload()
    settle(page)
    expect(page.get_by_role("heading", name="Sentiment")).to_be_visible()


def test_nothing_sticks_out_of_the_page(studio: Studio, page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 800, "height": 900})
    for path in ("", "graph?task=vqa", "map", "similarity?task=vqa&other=colour&against=lora.paper", "new-run", "runs"):
        page.goto(f"{studio.url}/{path}")
        settle(page)
        main = page.locator('[data-testid="stMain"]')
        assert main.evaluate("element => element.scrollWidth - element.clientWidth") <= 1, path
        no_errors(page)
