"""The map of the machine: shapes of the configuration, what is lit, words for who cannot see it, colours of the page."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from maelib.config import PRESETS
from maelib.machine import PARTS, RATIO, machine_map
from maelib.masking import Masking
from maelib.model import create_model


def drawings(*lit: str, **options) -> list[ElementTree.Element]:
    """Both layouts, parsed."""
    html = machine_map(*lit, **options)._repr_html_()
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.S)]


def words(element: ElementTree.Element) -> list[str]:
    return [text.text for text in element.iter("text")]


@pytest.mark.parametrize("name", ["mae_tiny_patch4_64", "mae_base_patch16_224"])
def test_shapes_are_those_of_a_model(name):
    model = create_model(name)
    c = model.config
    masking = Masking.random(1, c.grid[0] * c.grid[1], RATIO)
    K, M = masking.visible.shape[1], masking.hidden.shape[1]
    shapes = {f"{K + M} × {c.patch_dim}", f"{K} × {c.patch_dim}", f"{M} × {c.patch_dim}", f"{1 + K} × {c.width}"}
    shapes |= {f"{M} × {model.decoder.mask_token.numel()}", f"{c.channels} × {c.hw[0]} × {c.hw[1]}"}
    for drawing in drawings(config=c):
        assert shapes <= set(words(drawing))
    text = machine_map(config=c).text
    assert all(number in text for number in (f"1 + K = {1 + K}", f"M = {M} mask tokens", f"P = {c.patch_dim}"))


def test_both_layouts_say_the_same_but_for_their_places():
    wide, upright = drawings()
    assert sorted(words(wide)) == sorted(words(upright))
    assert {"(1 + K, D)", "mask tokens", "loss", "+ positions", "class token"} <= set(words(wide))


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_lit_and_nothing_else(part):
    for drawing in drawings(part):
        groups = [group.get("class").split() for group in drawing]
        assert {classes[0] for classes in groups} == set(PARTS)
        assert {classes[0] for classes in groups if "lit" in classes} == {part}
    assert machine_map(part).text.endswith(f"Lit: {part}.")


def test_a_part_that_is_not_there_is_one_sentence():
    with pytest.raises(ValueError, match=r"no part 'head'; there are: patches, "):
        machine_map("encoder", "head")


def test_it_can_be_read_without_eyes_and_stands_twice_on_a_page():
    html = machine_map("loss")._repr_html_()
    label = re.search(r'role="img" aria-label="([^"]{200,})"', html).group(1)
    assert label == machine_map("loss").text
    assert html.count('aria-hidden="true"') == html.count("<svg") == 2
    assert " id=" not in html, "two maps on one page would have the same"
    assert max(map(len, repr(machine_map("loss")).splitlines())) <= 74


def test_colours_are_the_pages_but_for_one_accent():
    html = machine_map(*PARTS)._repr_html_()
    colours = set(re.findall(r"(?:fill|stroke|color): ?([^;\s}]+)", html))
    assert colours == {"currentColor", "none", "inherit", "#D55E00"}
    assert not re.search(r'(fill|stroke)="', html)


@pytest.mark.parametrize("layout", [0, 1])
def test_nothing_stands_outside_the_drawing(layout):
    """Corners and the ends of words, at 6.6 pixels a letter of the wide drawing and 7.7 of the upright one."""
    drawing = drawings(config=PRESETS["mae_huge_patch14_224_paper"])[layout]
    width, height = map(float, drawing.get("viewBox").split()[2:])
    letter = (6.6, 7.7)[layout]
    for group in drawing.iter("g"):
        begins = "left" in (group.get("class") or "")
        for text in group.findall("text"):
            x, y, long = float(text.get("x")), float(text.get("y")), letter * len(text.text)
            left = x if begins else x - long / 2
            assert 0 <= left < left + long <= width, text.text
            assert 8 <= y <= height - 3, text.text
    for line in drawing.iter("polyline"):
        for point in line.get("points").split():
            x, y = map(float, point.split(","))
            assert 0 < x < width
            assert 0 < y < height
