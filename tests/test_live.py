"""The live explorers with frames in a real browser: every control does what it should, and the pictures are those of Python."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from book_site import serve
from live_site import BY_HAND, Watched, build_site, names

from maelib.explorers import state as explorer_state

FRAMES = [name for name in names() if name != "reconstruction"]
IMAGES = {
    "patch": ("picture", "patch", "mean"), "position": ("picture", "similarity"), "mask": ("masked", "filled"),
    "attention": ("picture", "attention"), "learning": ("pictures",),
}  # fmt: skip


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
    by_hand = watched.place(1)  # the mask of the stored notebook
    assert by_hand.evaluate("(e) => e.driver.state.sample") == BY_HAND["sample"]
    shown = by_hand.evaluate("(e) => e.driver.mask().join('')")
    grid = explorer_state.embedded_model().config.grid
    assert shown == explorer_state.hand_of(explorer_state.hidden_by_hand(BY_HAND["hand"], grid))
    watched.assert_clean()
    watched.context.close()


def test_two_explorers_of_one_kind_are_independent(page: Watched):
    first, second = names().index("mask"), len(names())
    untouched = page.pixels(second, "masked")
    page.after(first, "frames", lambda: page.place(first).locator(".maelib-role-ratio [role=slider]").press("Home"))
    assert np.array_equal(page.pixels(second, "masked"), untouched)
    page.after(second, "frames", lambda: page.place(second).locator(".maelib-role-ratio [role=slider]").press("End"))
    assert not np.array_equal(page.pixels(second, "masked"), page.pixels(first, "masked"))


def test_everything_has_a_name(page: Watched):
    unnamed = page.page.evaluate(
        """() => [...document.querySelectorAll(':is(.maelib-live, .maelib-pair) :is(img, canvas, button, input, [role=slider],' +
        ' [contenteditable])')].filter((e) => e.checkVisibility())
        .filter((e) => !(e.alt || e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))
        .map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []


@pytest.mark.parametrize("name", ["patch", "position", "attention"])
def test_a_click_on_the_picture_picks_the_patch_there(browser: Any, live_url: str, name: str):
    """First and last patch too, and those that a drag comes to."""
    page = Watched(browser, live_url + "deep/all.html", viewport={"width": 1300, "height": 900})
    explorer, i = python_explorer(name), names().index(name)
    if name == "patch":
        page.after(i, "frames", page.place(i).locator(".maelib-role-size button").first.click)
        explorer.controls["size"].index = 0
    picture = page.place(i).locator(".maelib-role-picture")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    ends = {role: (explorer.controls[role].min, explorer.controls[role].max) for role in ("row", "column")}
    for share, which in ((0.01, 0), (0.99, 1)):
        place = {"x": share * box["width"], "y": (1 - share) * box["height"]}
        page.after(i, "frames", lambda p=place: picture.click(position=p))
        explorer.choose(explorer.state() | {"column": ends["column"][which], "row": ends["row"][1 - which]})
        assert_frame(page, i, explorer, name)
    page.page.mouse.move(box["x"] + 0.99 * box["width"], box["y"] + 0.01 * box["height"])
    page.page.mouse.down()
    page.after(i, "frames", lambda: page.page.mouse.move(box["x"] + 2, box["y"] + 2))
    page.page.mouse.up()
    explorer.choose(explorer.state() | {role: low for role, (low, _) in ends.items()})
    assert_frame(page, i, explorer, name)
    page.assert_clean()
    page.context.close()


def test_nothing_is_called_null(page: Watched):
    assert page.page.locator("[title=null]").count() == 0


def test_no_frame_is_drawn_around_a_picture_in_the_dark(browser: Any, book_url: str):
    """A padding there would also make a click hit the next patch."""
    for name in ("01_patches", "02_masking", "03_encoder", "06_trainer"):
        watched = Watched(browser, f"{book_url}notebooks/{name}.html", color_scheme="dark")
        styles = "[...document.querySelectorAll('.maelib-live img')].map((e) => getComputedStyle(e).padding)"
        assert set(watched.page.evaluate(styles)) == {"0px"}, name
        watched.context.close()
