"""The reconstruction explorer of the pages in a real browser: pictures and scores as in Python, and the newest action wins."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from book_site import serve
from live_site import Watched, build_site, names, painted_as_in_the_page, picture_file, shown, wire_bytes
from PIL import Image

from maelib.explorers import state as explorer_state
from maelib.explorers.reconstruction import STORED

PAIR = ".maelib-pair"
STATES: list[dict[str, Any]] = [
    {}, {"ratio": 0}, {"ratio": 95}, {"ratio": 37, "seed": 3}, {"view": "raw"}, {"seed": 999}, {"view": "original"},
    {"view": "error"}, {"view": "error", "sample": "coffee"}, {"strategy": "block", "seed": 8}, {"strategy": "grid", "seed": 2},
    {"strategy": "half", "seed": 1, "ratio": 50}, {"sample": "camera", "view": "raw"}, {"sample": "coins", "seed": 77},
    {"sample": "hubble_deep_field", "ratio": 90}, {"strategy": "hand", "hand": "10" * 32},
    {"strategy": "hand", "hand": "0111" * 64, "view": "raw"}, {"strategy": "hand", "hand": ""},
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build_site(tmp_path_factory.mktemp("live"))) as url:
        yield url


@pytest.fixture(scope="module")
def page(browser: Any, site: str) -> Iterator[Watched]:
    """One page for most tests, without motion."""
    watched = Watched(browser, site + "one.html", viewport={"width": 1300, "height": 900}, reduced_motion="reduce")
    yield watched
    watched.assert_clean()


def move(watched: Watched, state: dict[str, Any], until: str = "model") -> None:
    watched.after(
        0, until, lambda: watched.page.evaluate(f"(s) => void document.querySelector('{PAIR}').driver.set(s)", state)
    )


def start(watched: Watched) -> None:
    """The first state, painted by the model."""
    move(watched, {k: v for k, v in explorer_state.DEFAULT.items() if k not in ("own", "view")} | {"view": "pasted"})


def answers(watched: Watched, action: Any) -> np.ndarray:
    """What is painted after an action."""
    watched.after(0, "model", action)
    return shown(watched)


def hand(watched: Watched) -> str:
    return watched.page.evaluate(f"() => document.querySelector('{PAIR}').driver.mask().join('')")


def numbers(text: str) -> list[float]:
    return [float(x) for x in re.findall(r"\d+\.\d+", re.sub("<[^>]*>", " ", text))]


def test_pictures_and_scores_agree_with_python(page: Watched):
    """At most 2/255 away from the same graph in Python, PSNR to 0.02 dB, SSIM to 0.002."""
    start(page)
    page.page.locator(".open-more").click()
    for change in STATES:
        state = explorer_state.DEFAULT | {"view": "pasted"} | change
        move(page, {key: value for key, value in state.items() if key != "own"})
        r = painted_as_in_the_page(state)
        far = np.abs(shown(page).astype(int) - explorer_state.views(r)[state["view"]]).max()
        assert far <= 2, f"{far}/255 in {change}"
        table = explorer_state.scores_html(explorer_state.scores(r), int(r.mask.sum()), r.mask.size)
        found = page.page.locator(".scores").inner_html()
        if r.mask.any():
            assert np.allclose(numbers(found), numbers(table), atol=0.021), f"{found} {table}"
            sees = shown(page, "sees")
            assert np.array_equal(sees[~r.hidden], explorer_state.views(r)["original"][~r.hidden])
            model_db, plain = (each["pasted"]["psnr"] for each in explorer_state.scores(r).values())
            sentence = page.page.locator(".verdict").inner_text()
            gap = round(model_db - plain, 1)
            assert str(abs(gap)) in sentence or abs(gap) < 0.11, f"{sentence} {gap}"
        else:
            assert "Nothing is hidden" in page.page.locator(".verdict").inner_text()
    page.page.locator(".open-more").click()


def test_every_control_changes_what_is_painted(page: Watched, tmp_path: Path):
    start(page)
    before = shown(page)
    locate = page.page.locator
    locate(".open-more").click()
    for action in (
        locate(".tile[data-source=coffee]").click,
        lambda: locate("input[type=range]").press("ArrowLeft"),
        locate(".again").click,
        locate(".choice button[value=block]").click,
        lambda: (locate("input.seed").fill("7"), locate("input.seed").press("Enter")),
    ):
        after = answers(page, action)
        assert not np.array_equal(after, before)
        before = after
    for view in ("raw", "average", "error", "original", "pasted"):
        locate(f".choice button[value={view}]").click()
        assert locate(f".choice button[value={view}]").get_attribute("aria-pressed") == "true"
        assert not np.array_equal(shown(page), before) or view == "pasted"
        before = shown(page)
    with page.page.expect_download() as download:
        locate(".save").click()
    assert download.value.suggested_filename.endswith(".png")
    locate(".open-more").click()
    own = answers(page, lambda: locate("input[type=file]").set_input_files(str(picture_file(tmp_path / "mine.png"))))
    assert not np.array_equal(own, before)
    assert locate(".tile.own").get_attribute("aria-pressed") == "true"
    assert "#" not in page.page.url or "sample=own" not in page.page.url
    start(page)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b"no picture <b>at all</b>", "not a picture"), ("truncated", "damaged or truncated")],
)
def test_a_refused_upload_says_why_on_the_picture_and_changes_nothing(
    page: Watched, tmp_path: Path, content: Any, sentence: str
):
    start(page)
    file = tmp_path / "bad.png"
    if content == "truncated":
        content = picture_file(file).read_bytes()[:-400]
    file.write_bytes(content)
    before = shown(page)
    page.after(0, "refused", lambda: page.page.locator("input[type=file]").set_input_files(str(file)))
    status = page.page.locator(".status")
    assert sentence in status.inner_text()
    box, picture = status.bounding_box(), page.page.locator(".paints canvas").bounding_box()
    assert picture["y"] < box["y"] < picture["y"] + picture["height"]
    page.page.wait_for_timeout(300)
    assert sentence in status.inner_text()
    assert np.array_equal(shown(page), before)
    assert page.page.locator(".tile[aria-pressed=true]").get_attribute("data-source") == "chelsea"
    page.page.locator(".status button").click()
    assert "telling" not in page.page.locator(PAIR).get_attribute("class")


def test_of_two_uploads_and_a_choice_the_newest_wins(page: Watched, tmp_path: Path):
    """The older one is large and takes longer to open; what is chosen last is what is shown."""
    start(page)
    large, small = picture_file(tmp_path / "large.png", (3000, 2000)), picture_file(tmp_path / "small.png", (90, 120))
    file = page.page.locator("input[type=file]")

    def both() -> None:
        file.set_input_files(str(large))
        file.set_input_files(str(small))

    page.after(0, "model", both)
    page.page.wait_for_timeout(1500)
    config = explorer_state.embedded_model().config
    state = {"sample": "own", "own": explorer_state.own_picture(small.read_bytes(), config)}
    wanted = np.rint(explorer_state.pixels_of(state, config) * 255)
    seen = page.page.evaluate(f"() => Array.from(document.querySelector('{PAIR}').driver.own.data)")
    assert np.abs(np.array(seen).reshape(wanted.shape) * 255 - wanted).max() <= 4  # the rounding of two passes
    file.set_input_files(str(large))
    page.after(0, "model", page.page.locator(".tile[data-source=rocket]").click)
    page.page.wait_for_timeout(1500)
    assert page.page.locator(".tile[aria-pressed=true]").get_attribute("data-source") == "rocket"


def test_everything_hidden_is_refused_in_a_sentence(page: Watched):
    move(page, {"strategy": "hand", "hand": "1" * 256}, "refused")
    assert "Leave at least one patch" in page.page.locator(".status").inner_text()
    start(page)
    assert page.page.locator(".status").inner_text() == ""


def test_brush_with_mouse_and_keyboard(page: Watched):
    start(page)
    model = explorer_state.embedded_model()
    rows, columns = model.config.grid
    canvas = page.page.locator(".sees canvas")
    box = canvas.bounding_box()
    at = lambda r, c: (box["x"] + (c + 0.5) * box["width"] / columns, box["y"] + (r + 0.5) * box["height"] / rows)  # noqa: E731
    before = np.array(list(hand(page))).reshape(rows, columns) == "1"

    def stroke() -> None:
        page.page.mouse.move(*at(2, 1))
        page.page.mouse.down()
        page.page.mouse.move(*at(9, 8))  # in one step: a fast stroke leaves no holes
        page.page.mouse.up()

    painted = answers(page, stroke)
    after = np.array(list(hand(page))).reshape(rows, columns) == "1"
    line = np.zeros_like(before)
    line[range(2, 10), range(1, 9)] = True
    assert (after[line] == (not before[2, 1])).all()
    assert np.array_equal(after[~line], before[~line])
    state = explorer_state.DEFAULT | {"strategy": "hand", "hand": explorer_state.hand_of(after)}
    r = painted_as_in_the_page(state)
    assert np.abs(painted.astype(int) - explorer_state.views(r)["pasted"]).max() <= 2
    canvas.focus()
    page.page.keyboard.press("ArrowUp")
    page.after(0, "model", lambda: page.page.keyboard.press("Space"))
    assert (np.array(list(hand(page))) != np.array(list(explorer_state.hand_of(after)))).sum() == 1
    assert re.fullmatch(r"row \d+, column \d+, (hidden|visible)", page.page.locator(".quiet").inner_text())
    hidden = hand(page).count("1")
    page.after(0, "model", lambda: page.page.locator("input[type=range]").press("ArrowRight"))
    assert abs(hand(page).count("1") - hidden) <= 4  # the slider goes on from the brushed mask


def test_the_address_restores_what_is_shown(browser: Any, site: str, page: Watched):
    start(page)
    for change in (
        {"sample": "coffee", "ratio": 60, "seed": 5, "strategy": "block"},
        {"strategy": "hand", "hand": "011" * 85 + "0"},
    ):
        move(page, change)
        page.page.wait_for_timeout(500)
        other = Watched(browser, page.page.url)
        assert hand(other) == hand(page)
        sample = f"() => document.querySelector('{PAIR}').driver.state.sample"
        assert other.page.evaluate(sample) == page.page.evaluate(sample)
        if change.get("strategy") == "hand":
            assert "paint it" in other.page.locator(".status").inner_text()
        assert not [url for url in other.requests if "model-" in url or "runtime-" in url]
        other.context.close()
    broken = Watched(browser, site + "one.html#sample=coffee&hand=%%%&ratio=x&seed=-3&strategy=magic")
    assert broken.page.evaluate(f"() => document.querySelector('{PAIR}').driver.state.ratio") == 75
    broken.assert_clean()
    broken.context.close()


def test_the_opening_plays_once_and_rests(browser: Any, site: str):
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    view = context.new_page()
    view.goto(site + "one.html")
    view.wait_for_function(f"() => document.querySelector('{PAIR} output')?.textContent === '0 %'")
    view.wait_for_function(f"() => document.querySelector('{PAIR}').dataset.state === 'preview'", timeout=15_000)
    assert view.locator("output").inner_text() == "75 %"
    assert "The model" in view.locator(".verdict").inner_text()
    context.close()


def test_nothing_of_the_model_is_fetched_before_a_gesture(browser: Any, site: str):
    without = browser.new_page()
    without.goto(site + "index.html", wait_until="networkidle")
    plain = wire_bytes(without)
    without.close()
    watched = Watched(browser, site + "one.html", viewport={"width": 1300, "height": 900})
    watched.page.wait_for_function(f"() => !document.querySelector('{PAIR}').driver.opening.running", timeout=15_000)
    watched.page.mouse.move(500, 500)
    watched.page.mouse.wheel(0, 300)
    watched.page.wait_for_load_state("networkidle")
    assert wire_bytes(watched.page) - plain < 300_000
    assert not [url for url in watched.requests if "model-" in url or "runtime-" in url or "worker" in url]
    watched.after(0, "model", lambda: watched.page.locator("input[type=range]").press("ArrowLeft"))
    size = watched.page.evaluate(f"() => document.querySelector('{PAIR}').driver.engine.size")
    assert size <= 8_000_000
    watched.assert_clean()
    watched.context.close()


def broken_page(browser: Any, site: str, script: str = "", block: str = "") -> Any:
    context = browser.new_context(reduced_motion="reduce")
    if script:
        context.add_init_script(script)
    page = context.new_page()
    if block:
        page.route(re.compile(block), lambda route: route.fulfill(status=404))
    page.goto(site + "one.html")
    page.wait_for_function(f"() => document.querySelector('{PAIR}').dataset.state")
    page.locator("input[type=range]").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"() => document.querySelector('{PAIR}').dataset.state === 'failed'")
    return page


def answering(kind: str, message: str) -> str:
    """A script in which the worker answers its first question with an error."""
    error = f"{{ data: {{ id: 1, error: {{ kind: '{kind}', message: '{message}' }} }} }}"
    return (
        "Object.defineProperty(globalThis, 'Worker', { value: class extends Worker { constructor(...all) { super(...all);"
        f" Promise.resolve().then(() => this.onmessage({error})); }} }} }})"
    )


FAILURES = {
    "browser": ("delete globalThis.WebAssembly", "", "cannot run the model"),
    "server": ("", "model-", "could not be fetched"),
    "offline": (answering("offline", ""), "", "seem to be offline"),
    "memory": (answering("model", "WebAssembly.Memory(): could not allocate memory"), "", "too little memory"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_says_what_it_is_and_the_slider_still_moves(browser: Any, site: str, kind: str):
    script, block, sentence = FAILURES[kind]
    page = broken_page(browser, site, script, block)
    assert sentence in page.locator(".status").inner_text()
    slider = page.locator("input[type=range]")
    for sample in ("coffee", "chelsea"):  # thumbnails still show what is stored
        page.locator(f".tile[data-source={sample}]").click()
        slider.fill(str(STORED[1]))
        page.wait_for_function(f"() => !document.querySelector('{PAIR}').classList.contains('dim')")
        assert page.locator("output").inner_text() == f"{STORED[1]} %"
        assert "The model" in page.locator(".verdict").inner_text()
    page.context.close()


def test_without_scripts_there_is_a_sentence_and_a_picture(browser: Any, site: str):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site + "one.html")
    assert "With JavaScript on" in page.locator(f"{PAIR} noscript, {PAIR} p").first.inner_text()
    assert page.locator(".maelib-plain").bounding_box()["width"] > 300
    context.close()


def test_touch_at_400_pixels(browser: Any, site: str):
    """A swipe over the picture scrolls and hides nothing; brushing is a mode, in which nothing scrolls."""
    options = {"viewport": {"width": 400, "height": 800}, "has_touch": True, "reduced_motion": "reduce"}
    watched = Watched(browser, site + "one.html", **options)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.locator(".tile.cam").dispatch_event("pointerdown", {"pointerType": "touch", "bubbles": True})
    small = page.evaluate(
        "() => [...document.querySelectorAll('.maelib-pair :is(button, input)')].filter((e) => e.checkVisibility())"
        ".map((e) => [e.className, e.getBoundingClientRect()]).filter(([, box]) => box.width && box.height < 40)"
        ".map(([name, box]) => `${name} ${box.height}`)"
    )
    assert not [each for each in small if "average" not in each and "what" not in each], small  # words of a sentence
    canvas = page.locator(".sees canvas")
    client = watched.context.new_cdp_session(page)

    def swipe() -> float:
        box = canvas.bounding_box()
        before, y = page.evaluate("scrollY"), box["y"] + 0.7 * box["height"]
        for i, kind in enumerate(["touchStart", *["touchMove"] * 10, "touchEnd"]):
            points = [{"x": 200, "y": y - 20 * i}] if kind != "touchEnd" else []
            client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            page.wait_for_timeout(20)
        page.wait_for_timeout(500)
        return page.evaluate("scrollY") - before

    mask = hand(watched)
    assert swipe() >= 100
    assert hand(watched) == mask
    assert not [url for url in watched.requests if "model-" in url]
    page.evaluate("scrollTo(0, 0)")
    page.locator(".pill.brush").tap()
    assert swipe() == 0
    assert hand(watched) != mask
    page.locator(".pill.brush").tap()
    watched.assert_clean()
    watched.context.close()


def test_the_front_page_opens_with_the_explorer(browser: Any, book_url: str):
    for name in ("book/intro.html", "notebooks/00_seeing_the_unseen.html"):
        watched = Watched(browser, book_url + name, viewport={"width": 1300, "height": 900}, reduced_motion="reduce")
        for selector in (".tile.own", ".tile.cam", ".sees canvas", ".paints canvas", "input[type=range]", ".verdict"):
            box = watched.page.locator(selector).bounding_box()
            if "intro" in name or ".tile" in selector or "input" in selector:
                assert box["y"] + box["height"] < 900, f"{selector} on {name} is below the fold"
            if "canvas" in selector:
                assert box["width"] >= 320
        watched.after(0, "model", lambda w=watched: w.page.locator("input[type=range]").press("ArrowLeft"))
        watched.assert_clean()
        watched.context.close()


def test_the_site_has_one_pair_for_each_explorer(page: Watched):
    assert names().count("reconstruction") == page.page.locator(PAIR).count() == 1


# -- camera, game, share -----------------------------------------------------------------------------------------------


def camera_is(watched: Watched, on: bool) -> bool:
    return watched.page.wait_for_function(f"(on) => document.querySelector('{PAIR}').driver.camera.on === on", arg=on)


def test_the_camera_is_painted_live_and_a_frozen_frame_is_a_photo(browser: Any, site: str):
    watched = Watched(browser, site + "one.html", viewport={"width": 1300, "height": 900}, permissions=["camera"])
    page, driver = watched.page, f"document.querySelector('{PAIR}').driver"
    assert not page.evaluate(f"{driver}.camera.on")
    page.locator(".tile.cam").click()
    camera_is(watched, True)
    page.wait_for_function(f"() => Number(document.querySelector('{PAIR}').dataset.rate) > 0", timeout=60_000)
    first = hand(watched)
    page.wait_for_timeout(1500)
    assert hand(watched) != first, "the patches dance"
    page.locator(".dance").click()
    assert page.locator(".dance").get_attribute("aria-checked") == "false"
    assert hand(watched) == hand(watched)
    assert "camera" not in page.url
    page.locator(".freeze").click()
    camera_is(watched, False)
    assert page.locator(".tile[aria-pressed=true]").get_attribute("data-source") == "own"
    assert page.evaluate(f"{driver}.camera.stream") is None
    page.locator(".tile.cam").click()
    camera_is(watched, True)
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true });"
                  "document.dispatchEvent(new Event('visibilitychange'))")  # fmt: skip
    camera_is(watched, False)
    assert [url for url in watched.requests if "blob:" not in url and watched.host not in url] == []
    watched.assert_clean()
    watched.context.close()


def test_a_refused_camera_changes_nothing(page: Watched):
    start(page)
    before = shown(page)
    page.after(0, "refused", page.page.locator(".tile.cam").click)
    assert "camera was not allowed" in page.page.locator(".status").inner_text()
    assert page.page.locator(".tile[aria-pressed=true]").get_attribute("data-source") == "chelsea"
    page.page.locator(".status button").click()
    assert np.array_equal(shown(page), before)


def test_the_game_counts_judges_and_can_be_left(page: Watched):
    start(page)
    verdict, click = page.page.locator(".verdict"), lambda name: page.page.locator(name).click()
    click(".play")
    assert "You may keep 64 of 256" in verdict.inner_text()
    page.after(0, "model", lambda: click(".lucky"))
    assert hand(page).count("0") == 64
    kept = np.array(list(hand(page)))
    score = painted_as_in_the_page({"strategy": "hand", "hand": "".join(kept)}).scores()["pasted"]["psnr"]
    assert abs(page.page.evaluate(f"() => document.querySelector('{PAIR}').driver.game.score") - score) < 0.02
    page.page.locator(".sees canvas").focus()
    page.page.keyboard.press("ArrowUp")
    corner = page.page.evaluate(f"() => document.querySelector('{PAIR}').driver.stage.cursor")
    page.page.keyboard.press("Space")
    full = hand(page).count("0")
    assert full == (64 if kept[corner] == "1" else 63), "a full hand takes no more"
    click(".clear")
    assert hand(page).count("0") == 0
    box = page.page.locator(".sees canvas").bounding_box()
    page.page.mouse.move(box["x"] + 60, box["y"] + 10)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 60, box["y"] + box["height"] - 10)
    page.page.mouse.up()
    assert hand(page).count("0") == 16
    assert "48 left to keep" in verdict.inner_text()
    mask = hand(page)
    click(".leave")
    assert hand(page) == mask, "the slider goes on from the choice"
    start(page)


def test_sharing_gives_a_link_and_a_card(page: Watched, tmp_path: Path):
    start(page)
    locate = page.page.locator
    locate(".share").click()
    assert "link opens this picture" in locate("dialog .note").inner_text()
    with page.page.expect_download() as download:
        locate("dialog .keep").click()
    with Image.open(download.value.path()) as card:
        assert card.size == (1200, 630)
        pixels = np.asarray(card.convert("RGB")).astype(int)
    original = explorer_state.views(painted_as_in_the_page({}))
    side = 448 / len(original["pasted"])
    centres = np.s_[int(62 + side / 2) : 510 : int(side), int(648 + side / 2) : 1096 : int(side)]
    assert np.abs(pixels[centres] - original["pasted"]).max() <= 3
    locate("dialog .close").click()
    answers(page, lambda: locate("input[type=file]").set_input_files(str(picture_file(tmp_path / "mine.png"))))
    locate(".share").click()
    assert "not in the link" in locate("dialog .note").inner_text()
    locate("dialog .close").click()
    start(page)
