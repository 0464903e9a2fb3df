"""The live explorers in a real browser: every control does what it should, and the pictures are those of Python."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from book_site import serve
from live_site import BY_HAND, Watched, build_site, names, picture_file, wire_bytes
from PIL import Image

from maelib.explorers import state as explorer_state
from maelib.explorers.reconstruction import ReconstructionExplorer

MEGABYTE = 1_000_000
FRAMES = [name for name in names() if name != "reconstruction"]
IMAGES = {
    "patch": ("picture", "patch", "mean"), "position": ("picture", "similarity"), "mask": ("masked", "filled"),
    "attention": ("picture", "attention"), "learning": ("pictures", "curve"),
}  # fmt: skip
STATES: list[dict[str, Any]] = [
    {"ratio": 75}, {"ratio": 0}, {"ratio": 95}, {"ratio": 37, "seed": 3}, {"view": "raw"}, {"view": "pasted", "seed": 999},
    {"view": "masked", "strategy": "block"}, {"view": "original"}, {"view": "error"}, {"view": "error", "sample": "coffee"},
    {"strategy": "block", "seed": 8},
    {"strategy": "grid", "seed": 2}, {"strategy": "half", "seed": 1, "ratio": 50}, {"strategy": "half", "seed": 4},
    {"sample": "astronaut"}, {"sample": "camera", "view": "raw"}, {"sample": "hubble_deep_field", "ratio": 90},
    {"sample": "brick", "strategy": "grid"}, {"sample": "retina", "view": "pasted"}, {"sample": "coins", "seed": 77},
    {"strategy": "hand", "hand": "10" * 32}, {"strategy": "hand", "hand": "1" * 63 + "0", "view": "raw"},
]  # fmt: skip


@pytest.fixture(scope="module")
def live_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build_site(tmp_path_factory.mktemp("live"))) as url:
        yield url


@pytest.fixture(scope="module")
def page(browser: Any, live_url: str) -> Iterator[Watched]:
    """One page for most tests; each says which explorer it moves."""
    watched = Watched(browser, live_url + "deep/all.html", viewport={"width": 1300, "height": 900})
    yield watched
    watched.assert_clean()


def reconstruction_place() -> int:
    return names().index("reconstruction")


def python_explorer(name: str) -> Any:
    from live_assets import explorer_class

    return explorer_class(name)()


@pytest.mark.parametrize("name", FRAMES)
def test_every_control_of_an_explorer_with_frames(page: Watched, name: str):
    explorer, i = python_explorer(name), names().index(name)
    assert_frame(page, i, explorer, name)
    for role, control in explorer.controls.items():
        element = page.place(i).locator(f".maelib-role-{role}")
        if hasattr(control, "options"):
            buttons = element.locator("button")
            for k in (buttons.count() - 1, 0):
                page.after(i, "frames", buttons.nth(k).click)
                control.index = k
                assert buttons.nth(k).get_attribute("aria-pressed") == "true"
                assert_frame(page, i, explorer, name)
        else:
            key = "ArrowLeft" if control.value > control.min else "ArrowRight"
            page.after(i, "frames", lambda e=element, k=key: e.locator("[role=slider]").press(k))
            control.value += -control.step if key == "ArrowLeft" else control.step
            assert_frame(page, i, explorer, name)
    if play := getattr(explorer, "play", None):
        page.after(i, "frames", page.place(i).get_by_label("play or pause").click)
        page.place(i).get_by_label("play or pause").click()
        assert play.max == explorer.controls["frame"].max


def assert_frame(page: Watched, i: int, explorer: Any, name: str) -> None:
    rendered = explorer.render(explorer.state())
    assert set(rendered.pictures) == set(IMAGES[name])
    for role, picture in rendered.pictures.items():
        assert np.array_equal(page.pixels(i, role), picture), f"{name} {role} {explorer.state()}"
    assert words(page.text(i)) == words(re.sub(r"<[^>]*>", " ", rendered.text))


def words(text: str) -> list[str]:
    return text.split()


def test_a_notebook_keeps_its_controls_and_other_widgets(browser: Any, live_url: str):
    watched, explorer = Watched(browser, live_url + "deep/stored.html"), python_explorer("mask")
    explorer.controls["ratio"].value = 30
    assert_frame(watched, 0, explorer, "mask")
    explorer.controls["ratio"].value = 25
    watched.after(0, "frames", lambda: watched.place(0).locator(".maelib-role-ratio [role=slider]").press("ArrowLeft"))
    assert_frame(watched, 0, explorer, "mask")
    other = watched.place(2).locator("[role=slider]")
    other.press("ArrowRight")
    assert other.get_attribute("aria-valuenow") == "4.0"
    by_hand = ReconstructionExplorer()
    for view in ("side by side", "masked"):
        by_hand.choose(BY_HAND | {"view": view})
        if view == "masked":
            button = watched.place(1).locator(".maelib-role-view button", has_text="masked")
            watched.after(1, "model", button.click)
        assert "32 of 256 patches" in watched.text(1)
        rendered = by_hand.render(by_hand.state()).pictures["picture"]
        assert np.abs(watched.pixels(1).astype(int) - rendered).max() <= 2
    watched.assert_clean()
    watched.context.close()


def test_two_explorers_of_one_kind_are_independent(page: Watched):
    first, second = names().index("mask"), len(names())
    untouched = page.pixels(second, "masked")
    page.after(first, "frames", lambda: page.place(first).locator(".maelib-role-ratio [role=slider]").press("Home"))
    assert np.array_equal(page.pixels(second, "masked"), untouched)
    page.after(second, "frames", lambda: page.place(second).locator(".maelib-role-ratio [role=slider]").press("End"))
    assert not np.array_equal(page.pixels(second, "masked"), page.pixels(first, "masked"))


def test_pictures_and_scores_agree_with_python(page: Watched):
    """20 states and more, error maps too: at most 2/255 away from PyTorch in float32, PSNR to 0.02 dB, SSIM to 0.002."""
    explorer, i = ReconstructionExplorer(), reconstruction_place()
    assert len(STATES) >= 20
    for change in STATES:
        state = explorer_state.DEFAULT | change
        wanted = {key: value for key, value in state.items() if key != "own"}
        page.after(i, "model", lambda s=wanted: set_state(page, i, s))
        rendered = explorer.render(state)
        far = np.abs(page.pixels(i).astype(int) - rendered.pictures["picture"]).max()
        assert far <= 2, f"{far}/255 in {change}"
        shown = [float(x) for x in re.findall(r"\d+\.\d+", page.text(i))]
        wanted_scores = [float(x) for x in re.findall(r"\d+\.\d+", re.sub("<[^>]*>", " ", rendered.text))]
        assert np.allclose(shown, wanted_scores, atol=0.021), f"{shown} {wanted_scores}"
    page.after(i, "model", lambda: set_state(page, i, {k: v for k, v in explorer_state.DEFAULT.items() if k != "own"}))


def set_state(page: Watched, i: int, state: dict[str, Any]) -> None:
    page.page.evaluate("([i, s]) => document.querySelectorAll('.maelib-live')[i].driver.set(s)", [i, state])


def test_every_control_of_the_reconstruction_explorer(page: Watched, tmp_path: Path):
    i = reconstruction_place()
    place, shown = page.place(i), lambda: page.pixels(i)

    def changes(action: Any, picture: bool = True) -> None:
        before, text = shown(), page.text(i)
        page.after(i, "model", action)
        assert np.array_equal(shown(), before) != picture
        assert picture or page.text(i) != text

    for role, label in (("sample", "coffee"), ("view", "masked"), ("view", "error"), ("strategy", "block")):
        changes(place.locator(f".maelib-role-{role} button", has_text=label).click)
    for role in ("ratio", "seed"):
        changes(lambda r=role: place.locator(f".maelib-role-{r} [role=slider]").press("ArrowRight"))
    changes(place.get_by_role("button", name="new mask").click)
    changes(lambda: place.locator(".maelib-cell").nth(9).press("Space"))
    assert place.locator(".maelib-cell").nth(9).get_attribute("aria-pressed") == "true"
    assert place.locator(".maelib-role-strategy button", has_text="hand").get_attribute("aria-pressed") == "true"
    place.locator(".maelib-cell").nth(9).press("ArrowRight")
    assert page.page.evaluate("document.activeElement.getAttribute('aria-label')") == "row 2, column 3"
    box = place.locator(".maelib-role-picture").bounding_box()
    middle = {"x": box["width"] * 0.56, "y": box["height"] * 0.56}  # row 5, column 5 of the error map
    changes(lambda: place.locator(".maelib-role-picture").click(position=middle))
    assert place.locator(".maelib-cell").nth(4 * 8 + 4).get_attribute("aria-pressed") == "true"
    changes(place.get_by_role("button", name="clear").click)
    assert place.locator(".maelib-cell[aria-pressed=true]").count() == 0
    file = picture_file(tmp_path / "mine.png")
    changes(lambda: upload(page, i, file))
    assert place.locator(".maelib-role-sample [aria-pressed=true]").count() == 0
    changes(place.locator(".maelib-role-view button", has_text="original").click)
    config = explorer_state.embedded_model().config
    state = {"sample": "own", "own": explorer_state.own_picture(file.read_bytes(), config)}
    own = explorer_state.pixels_of(state, config)
    assert np.abs(shown().astype(int) - np.rint(own * 255)).max() <= 2
    with page.page.expect_download() as download:
        place.locator(".maelib-role-save a").click()
    saved = np.asarray(Image.open(download.value.path()).convert("RGB"))
    assert download.value.suggested_filename.endswith(".png")
    assert np.array_equal(saved[2::4, 2::4], shown())
    place.locator(".maelib-role-sample button", has_text="chelsea").click()
    page.after(i, "model", place.get_by_label("play or pause").click)
    place.get_by_label("play or pause").click()


def upload(page: Watched, i: int, file: Path) -> None:
    with page.page.expect_file_chooser() as chooser:
        page.place(i).locator("button.maelib-role-upload").click()
    chooser.value.set_files(str(file))


def test_a_dropped_picture_is_shown(page: Watched, tmp_path: Path):
    i = reconstruction_place()
    content = list(picture_file(tmp_path / "dropped.png", (90, 120)).read_bytes())
    before = page.pixels(i)
    drop = """([i, content]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(content)], 'dropped.png', { type: 'image/png' }));
      const place = document.querySelectorAll('.maelib-live')[i];
      place.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    page.after(i, "model", lambda: page.page.evaluate(drop, [i, content]))
    assert not np.array_equal(page.pixels(i), before)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b"no picture <b>at all</b>", "not a picture"), ("truncated", "damaged or truncated")],
)
def test_a_bad_upload_gives_a_sentence(page: Watched, tmp_path: Path, content: Any, sentence: str):
    i, file = reconstruction_place(), tmp_path / "bad.png"
    if content == "truncated":
        content = picture_file(file).read_bytes()[:-400]
    file.write_bytes(content)
    before = page.pixels(i)
    page.after(i, "refused", lambda: upload(page, i, file))
    assert sentence in page.place(i).locator("[role=status]").inner_text()
    assert np.array_equal(page.pixels(i), before)
    page.after(i, "model", page.place(i).get_by_role("button", name="new mask").click)  # it stays usable


def test_all_hidden_by_hand_is_refused_in_a_sentence(page: Watched):
    i = reconstruction_place()
    page.after(i, "refused", lambda: set_state(page, i, {"strategy": "hand", "hand": "1" * 64}))
    assert "leave at least one visible" in page.place(i).locator("[role=status]").inner_text()
    page.after(i, "model", page.place(i).get_by_role("button", name="clear").click)


def test_everything_has_a_name(page: Watched):
    unnamed = page.page.evaluate(
        """() => [...document.querySelectorAll('.maelib-live :is(img, button, [role=slider], [contenteditable])')]
        .filter((e) => !(e.alt || e.getAttribute('aria-label') || e.textContent.trim())).map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []


def test_bytes_before_and_after_the_first_touch(browser: Any, live_url: str):
    without = browser.new_page()
    without.goto(live_url + "index.html", wait_until="networkidle")
    plain = wire_bytes(without)
    without.close()
    watched = Watched(browser, live_url + "one.html")
    watched.page.wait_for_load_state("networkidle")
    untouched = wire_bytes(watched.page)
    assert untouched - plain < MEGABYTE
    watched.after(0, "model", lambda: watched.place(0).locator(".maelib-role-ratio [role=slider]").press("ArrowLeft"))
    sizes = watched.page.evaluate("document.querySelector('.maelib-live').driver.engine.files")
    loaded = sum(sizes[name]["size"] for name in ("runtime", "model", "state"))
    assert wire_bytes(watched.page) + loaded <= 16 * MEGABYTE
    watched.assert_clean()
    watched.context.close()


def test_where_the_model_cannot_run_precomputed_pictures_play(browser: Any, live_url: str):
    context = browser.new_context()
    context.add_init_script("delete globalThis.WebAssembly")
    page = context.new_page()
    page.goto(live_url + "one.html")
    page.wait_for_function("() => document.querySelector('.maelib-live')?.dataset.state === 'ready'")
    place = page.locator(".maelib-live")
    place.locator(".maelib-role-ratio [role=slider]").press("Home")
    page.wait_for_function("() => document.querySelector('.maelib-live').dataset.state === 'failed'")
    assert "cannot run in this browser" in place.locator("[role=status]").inner_text()
    assert "0 of 256 patches hidden" in place.locator(".maelib-role-text").inner_text()
    context.close()


def test_touch_at_400_pixels_and_less_motion(browser: Any, live_url: str):
    options = {"viewport": {"width": 400, "height": 800}, "has_touch": True, "reduced_motion": "reduce"}
    watched = Watched(browser, live_url + "one.html", **options)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    small = page.evaluate(
        "() => [...document.querySelectorAll('.maelib-live :is(button, [role=slider])')].map((e) => e.getBoundingClientRect())"
        ".filter((box) => box.width && Math.min(box.width, box.height) < 22).length"
    )
    assert small == 0  # 24 CSS pixels less a border
    assert page.evaluate(
        "() => [...document.querySelectorAll('.maelib-live *')].every((e) => getComputedStyle(e).transitionDuration === '0s')"
    )
    watched.after(0, "model", watched.place(0).locator(".maelib-role-strategy button", has_text="half").tap)
    watched.assert_clean()
    watched.context.close()


def test_the_front_page_opens_with_the_explorer(browser: Any, book_url: str):
    watched = Watched(browser, book_url + "book/intro.html", viewport={"width": 1300, "height": 900})
    box = watched.place(0).locator(".maelib-role-picture").bounding_box()
    assert box["y"] + box["height"] < 900  # the whole picture is above the fold
    watched.after(0, "model", lambda: watched.place(0).locator(".maelib-role-ratio [role=slider]").press("ArrowLeft"))
    watched.assert_clean()
    watched.context.close()
