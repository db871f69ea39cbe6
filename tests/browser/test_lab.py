"""The widgets where they live: JupyterLab in Chromium, with a camera that shows a drawn face.

VAAFFECT_SCREENSHOTS names a folder for pictures of what was seen.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import ELSEWHERE, FRAMES, NOTEBOOK, START, Lab, truth
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CELL = {name: index for index, name in enumerate(NOTEBOOK)}
COLD = [  # nothing of Chromium's own goes out either
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What the page does with cameras, seen from outside the widget.
SPY = """
window.tracks = [];
if (navigator.mediaDevices) {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wishes) => {
    const stream = await ask(wishes);
    window.tracks.push(...stream.getTracks());
    return stream;
  };
}
"""


@pytest.fixture(scope="session")
def launch(chromium, clip) -> Iterator[Callable[..., Browser]]:
    with sync_playwright() as playwright:

        def start(camera: bool = True) -> Browser:
            resolver = f"MAP {ELSEWHERE} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
            options = [*COLD, f"--host-resolver-rules={resolver}"]
            cameras = "" if camera else "=device-count=0"
            options.append(f"--use-fake-device-for-media-stream{cameras}")
            if camera:
                options.append(f"--use-file-for-fake-video-capture={clip}")
            return playwright.chromium.launch(executable_path=chromium, args=options)

        yield start


@pytest.fixture(scope="session")
def browser(launch) -> Iterator[Browser]:
    opened = launch()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def outside() -> Iterator[list[str]]:
    """Addresses beyond this machine that a page asked for: there must be none."""
    asked: list[str] = []
    yield asked
    assert asked == []


def open_lab(
    browser: Browser, lab: Lab, outside: list[str], allowed: bool = True, host: str = "127.0.0.1"
) -> Page:
    """The notebook in a context of its own, ready to run."""
    lab.wait_until_ready()
    context: BrowserContext = browser.new_context(
        viewport={"width": 1280, "height": 1000}, has_touch=True
    )
    if allowed:
        context.grant_permissions(["camera"])
    context.add_init_script(SPY)
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.set_default_navigation_timeout(1000 * START)

    def note(url: str) -> None:
        if urlsplit(url).hostname not in ("127.0.0.1", ELSEWHERE, None):
            outside.append(url)

    page.on("request", lambda request: note(request.url))
    page.on("websocket", lambda socket: note(socket.url))
    page.goto(lab.address(host))
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.content?.widgets?.length > 1")
    return page


def command(page: Page, name: str, arguments: dict | None = None) -> None:
    page.evaluate("([n, a]) => window.jupyterapp.commands.execute(n, a)", [name, arguments or {}])


def run_cell(page: Page, name: str) -> None:
    """Run one cell and wait for its end."""
    index = CELL[name]
    page.evaluate(
        """async (index) => {
          const panel = window.jupyterapp.shell.currentWidget;
          panel.content.activeCellIndex = index;
          await window.jupyterapp.commands.execute("notebook:run-cell");
        }""",
        index,
    )


def printed(page: Page, name: str, word: str) -> object:
    """What a cell printed after a word."""
    run_cell(page, name)
    text = page.locator(".jp-CodeCell").nth(CELL[name]).locator(".jp-OutputArea").inner_text()
    return json.loads(re.search(rf"{word} (.*)", text, re.DOTALL)[1])


def wait_for_kernel(page: Page) -> None:
    """JupyterLab drops what is run before its kernel is connected."""
    page.wait_for_function(
        """() => {
          const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel;
          return kernel?.connectionStatus === "connected" && kernel.status === "idle";
        }"""
    )


def wait_until(page: Page, condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        page.wait_for_timeout(50)  # not a sleep: the page's events go on


def tracks(page: Page) -> list[str]:
    return page.evaluate("window.tracks.map((track) => track.readyState)")


def picture(page: Page, name: str, widget: str = "") -> None:
    """A screenshot, where somebody wants one."""
    folder = os.environ.get("VAAFFECT_SCREENSHOTS")
    if not folder:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    where = page.locator(widget).first if widget else page
    if widget:
        where.scroll_into_view_if_needed()
    where.screenshot(path=Path(folder) / f"{name}.png")


def start_camera(page: Page) -> None:
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_selector('.va-widget[data-state="on"][data-pace]')


def alert(page: Page) -> str:
    return page.locator(".va-alert:visible").first.inner_text()


@pytest.fixture(scope="module")
def page(lab, browser, outside) -> Iterator[Page]:
    """The notebook with its first cell run and the camera's widget shown."""
    page = open_lab(browser, lab, outside)
    show_camera(page)
    yield page
    page.context.close()


def test_predictions_follow_the_face_and_a_pose_is_kept(page):
    picture(page, "camera_off", ".va-widget")
    start_camera(page)
    assert tracks(page) == ["live"]
    page.get_by_role("combobox", name="Pose").fill("moving")
    page.get_by_role("button", name="Hold the pose").click()
    page.wait_for_selector(".va-big.va-now:visible")
    picture(page, "camera_hold", ".va-widget")
    page.wait_for_selector("table.va-poses td")
    picture(page, "camera_on", ".va-widget")
    pace = json.loads(page.locator(".va-widget").get_attribute("data-pace"))
    print("\ncamera:", {k: round(v, 1) for k, v in pace.items()})
    page.get_by_role("button", name="Stop the camera").click()
    assert tracks(page) == ["ended"]
    page.wait_for_selector('.va-widget[data-state="off"]')

    result = printed(page, "result", "RESULT")
    noted = np.array(result["noted"])
    assert len(noted) > 15 and len(np.unique(noted[:, 0])) > FRAMES / 10
    true = np.array([truth(int(frame)) for frame in noted[:, 0]])
    for dimension in (0, 1):
        assert np.corrcoef(true[:, dimension], noted[:, 1 + dimension])[0, 1] > 0.9
    (pose,) = result["poses"]
    assert pose["pose"] == "moving" and pose["seconds"] == 3 and 5 < pose["frames"] < len(noted)
    # The predictions of some run of consecutive pictures have exactly this mean.
    count = pose["frames"]
    runs = np.stack([noted[i : i + count, 1:].mean(axis=0) for i in range(len(noted) - count + 1)])
    held = np.array([pose["valence"], pose["arousal"]])
    assert np.abs(runs - held).max(axis=1).min() < 1e-9
    assert pose["valence_sd"] > 0.05 and result["on"] is False


def test_running_the_cell_again_and_clearing_it_end_the_camera(page):
    start_camera(page)
    run_cell(page, "camera")
    wait_until(page, lambda: "live" not in tracks(page), 3, "the track ends when the cell reruns")
    page.wait_for_selector(".va-widget .va-start")
    start_camera(page)
    assert tracks(page)[-1] == "live"
    before = page.locator(".va-widget").get_attribute("data-predictions")
    run_cell(page, "busy")
    after = page.locator(".va-widget").get_attribute("data-predictions")
    assert (
        int(after) - int(before) > 2
    )  # predictions go on while a cell runs, not just the last one
    page.evaluate("(i) => {window.jupyterapp.shell.currentWidget.content.activeCellIndex = i}",
                  CELL["camera"])  # fmt: skip
    command(page, "notebook:clear-cell-output")
    wait_until(page, lambda: "live" not in tracks(page), 3, "the track ends with the output")


def test_an_unplugged_camera_is_named(page):
    run_cell(page, "camera")
    page.wait_for_selector(".va-widget .va-start")
    start_camera(page)
    # There is no wire to pull: the event that the browser gives when somebody does.
    page.evaluate("window.tracks.at(-1).dispatchEvent(new Event('ended'))")
    assert "unplugged" in alert(page)
    assert "live" not in tracks(page)


def test_a_point_is_dragged_and_the_face_and_the_prediction_follow(page):
    run_cell(page, "plane")
    plane = page.locator(".va-widget:has(.va-point)")
    page.wait_for_selector(".va-widget[data-drawn]")
    plane.scroll_into_view_if_needed()
    picture(page, "plane_before", ".va-widget:has(.va-point)")

    def drawn() -> dict:
        return json.loads(plane.get_attribute("data-drawn"))

    def pixels() -> np.ndarray:
        return np.array(
            page.evaluate("""async () => {
              const face = document.querySelector(".va-face");
              await face.decode();
              const canvas = new OffscreenCanvas(60, 60);
              const context = canvas.getContext("2d");
              context.drawImage(face, 0, 0, 60, 60);
              return [...context.getImageData(0, 0, 60, 60).data];
            }"""),
            float,
        )[np.arange(4 * 60 * 60) % 4 < 3]  # without alpha

    first, face = drawn(), pixels()
    disc = plane.locator(".va-disc").bounding_box()
    middle = disc["x"] + disc["width"] / 2, disc["y"] + disc["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    waits = []
    for step in np.linspace(0, 1, 15):
        page.mouse.move(
            middle[0] + step * 0.4 * disc["width"], middle[1] - step * 0.2 * disc["height"]
        )
        page.wait_for_timeout(30)
        waits.append(drawn()["milliseconds"])
    page.mouse.up()
    wait_until(page, lambda: np.allclose(drawn()["va"], (0.8, 0.4), atol=0.02), 5, "the drag's end")
    print("\nplane: a face in", round(float(np.median(waits))), "ms")
    picture(page, "plane_after", ".va-widget:has(.va-point)")
    assert np.abs(pixels() - face).mean() > 1
    assert drawn()["prediction"][0] - first["prediction"][0] > 0.4
    assert np.allclose(printed(page, "where", "WHERE"), [drawn()["va"], drawn()["prediction"]])

    active = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    plane.locator(".va-point").focus()
    before = page.evaluate(active)
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    wait_until(page, lambda: np.allclose(drawn()["va"], (0.6, 0.35), atol=0.02), 5, "arrow keys")
    assert page.evaluate(active) == before  # the notebook's own arrow keys stay out of it

    plane.scroll_into_view_if_needed()  # running a cell has scrolled the notebook
    disc = plane.locator(".va-disc").bounding_box()
    page.touchscreen.tap(disc["x"] + disc["width"] / 2, disc["y"] + disc["height"] / 4)
    wait_until(page, lambda: np.allclose(drawn()["va"], (0, 0.5), atol=0.02), 5, "a touch")

    face, prediction = pixels(), drawn()["prediction"]
    page.get_by_label("Turn").press("End")
    wait_until(page, lambda: np.abs(pixels() - face).mean() > 1, 5, "the head turns")
    assert drawn()["prediction"] != prediction
    picture(page, "plane_turned", ".va-widget:has(.va-point)")


def test_a_start_is_dragged_over_the_surface_and_the_path_follows(page):
    run_cell(page, "descent")
    page.wait_for_selector(".va-widget[data-walk]")
    widget = page.locator(".va-widget[data-walk]")
    widget.scroll_into_view_if_needed()
    picture(page, "descent_before", ".va-widget[data-walk]")

    def walk() -> dict:
        return json.loads(widget.get_attribute("data-walk"))

    def drawn() -> list[list[float]]:
        """The path as it is drawn, in units of the surface's SVG (200 wide)."""
        text = widget.locator(".va-surface .va-walk").get_attribute("d")
        return [[float(x) for x in place.split()] for place in text[1:].split("L")]

    assert np.allclose(walk()["start"], (0.8, -0.6)) and walk()["steps"] == 60
    assert widget.locator(".va-steps circle").count() == 60
    square = widget.locator(".va-frame").first.bounding_box()
    page.mouse.move(square["x"] + 0.9 * square["width"], square["y"] + 0.8 * square["height"])
    page.mouse.down()
    for step in np.linspace(0, 1, 12):
        page.mouse.move(
            square["x"] + (0.9 - 0.8 * step) * square["width"],
            square["y"] + (0.8 - 0.6 * step) * square["height"],
        )
        page.wait_for_timeout(30)
    page.mouse.up()
    wait_until(
        page, lambda: np.allclose(walk()["start"], (-0.8, 0.6), atol=0.02), 5, "the drag's end"
    )
    picture(page, "descent_after", ".va-widget[data-walk]")
    told = printed(page, "walk", "WALK")
    assert told["lr"] == pytest.approx(0.1) and told["momentum"] == 0.9
    expected = 100 + 100 * np.array(told["path"]) * (1, -1)
    assert np.allclose(drawn(), expected, atol=1e-6) and np.allclose(
        walk()["end"], told["path"][-1]
    )

    widget.locator(".va-point").focus()
    page.keyboard.press("ArrowRight")
    wait_until(page, lambda: np.allclose(walk()["start"][0], -0.76, atol=0.02), 5, "arrow keys")

    # The slider's arrow keys are its own: the notebook would go to the heading above.
    active = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    cell, momentum = page.evaluate(active), page.get_by_label("Momentum")
    for key, value in (("ArrowLeft", "0.89"), ("ArrowUp", "0.9")):
        momentum.press(key)
        assert momentum.input_value() == value and page.evaluate(active) == cell, key

    wait_until(page, lambda: walk()["momentum"] == 0.9, 5, "the last key's walk")
    before = walk()
    page.get_by_label("Form").select_option("as written (3.9)")
    wait_until(page, lambda: walk()["form"] != before["form"], 5, "the other momentum")
    assert walk()["cost"] > before["cost"]
    page.get_by_label("Learning rate").press("End")
    wait_until(page, lambda: walk()["diverges"] is False, 5, "3 times a tenth is below the limit")
    page.get_by_label("Momentum").press("Home")
    wait_until(page, lambda: walk()["diverges"], 5, "without momentum it diverges")
    assert widget.locator(".va-said").inner_text().startswith("It diverges")
    picture(page, "descent_diverges", ".va-widget[data-walk]")
    page.get_by_role("button", name="Reset", exact=True).click()
    wait_until(page, lambda: np.allclose(walk()["start"], (0.8, -0.6)), 5, "everything as it was")
    assert walk()["diverges"] is False


def test_traces_are_shifted_and_averaged(page):
    run_cell(page, "traces")
    widget = page.locator(".va-widget:has(.va-traces)")
    widget.locator("xpath=self::*[@data-mixed]").wait_for()
    widget.scroll_into_view_if_needed()

    def mixed() -> dict:
        return json.loads(widget.get_attribute("data-mixed"))

    before = mixed()
    picture(page, "traces_before", ".va-widget:has(.va-traces)")
    slider = widget.locator(".va-shift-3")
    slider.fill("-1")
    wait_until(page, lambda: mixed()["shifts"]["3"] == -1, 10, "the third rater moved")
    wait_until(page, lambda: mixed()["rows"]["3"][0] > 0.99, 10, "agreement follows")
    assert before["rows"]["3"][0] < 0.8
    assert slider.locator("xpath=../output").inner_text() == "−1.0 s"
    widget.locator(".va-on-2").uncheck()
    wait_until(page, lambda: mixed()["on"] == ["1", "3"], 10, "the second rater is off")
    wait_until(page, lambda: mixed()["rows"]["3"][1] > 0.99, 10, "concordance follows")
    assert widget.locator(".va-trace.va-off").count() == 1
    picture(page, "traces_after", ".va-widget:has(.va-traces)")
    widget.get_by_role("button", name="Put all back").click()
    wait_until(page, lambda: mixed()["rows"] == before["rows"], 10, "as before")


def test_a_camera_that_is_denied_is_explained(browser, lab, outside):
    page = open_lab(browser, lab, outside, allowed=False)
    show_camera(page)
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_selector(".va-alert:visible")
    assert "did not allow" in alert(page)
    picture(page, "camera_denied", ".va-widget:has(.va-start)")
    page.context.close()


def test_a_page_from_another_address_is_told_about_the_tunnel(browser, lab, outside):
    page = open_lab(browser, lab, outside, allowed=False, host=ELSEWHERE)
    assert page.evaluate("window.isSecureContext") is False
    show_camera(page)
    page.get_by_role("button", name="Start the camera").click()
    assert f"ssh -L {lab.port}:localhost:{lab.port} {ELSEWHERE}" in alert(page)
    page.context.close()


def test_a_machine_without_a_camera_is_told_so(launch, lab, outside):
    browser = launch(camera=False)
    page = open_lab(browser, lab, outside)
    show_camera(page)
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_selector(".va-alert:visible")
    assert "No camera was found" in alert(page)
    browser.close()


def test_a_restarted_kernel_ends_the_camera(page):
    run_cell(page, "camera")
    page.wait_for_selector(".va-widget .va-start")
    start_camera(page)
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    wait_until(page, lambda: "live" not in tracks(page), 5, "the track ends with the kernel")
    assert "kernel is not there" in alert(page)
    picture(page, "camera_kernel_gone", ".va-widget:has(.va-start)")


def show_camera(page: Page) -> None:
    wait_for_kernel(page)
    run_cell(page, "imports")
    run_cell(page, "camera")
    page.wait_for_selector(".va-widget .va-start")
