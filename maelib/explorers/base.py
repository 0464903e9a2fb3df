"""What every explorer is: controls, a pure `render`, pictures that follow."""

import base64
import html
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import ipywidgets as W
import numpy as np
import traitlets

from ..drawing import png, side_by_side

STYLE = """
.maelib-explorer img { image-rendering: pixelated; height: auto; }
.maelib-explorer { max-width: 100%; }
.maelib-caption { margin: 0; line-height: 1.4; font-weight: 600; }
.maelib-scores th, .maelib-scores td { padding: 0 0.8em 0 0; text-align: left; font-weight: normal; line-height: 1.5; }
"""


@dataclass(frozen=True)
class Rendered:
    """What a state looks like: pictures (H, W, 3) uint8 by role, scores by name, and a text in HTML."""

    pictures: dict[str, np.ndarray]
    scores: dict[str, float | None] = field(default_factory=dict)
    text: str = ""


class Picture(W.Image):
    """An Image with a description: the front end of ipywidgets 8 asks every widget that has a tooltip for one."""

    description = traitlets.Unicode("").tag(sync=True)


class Explorer(W.VBox):
    """Controls above pictures. A subclass gives `name`, the controls, the pictures' descriptions, and `render`.

    Core ipywidgets only, and no Output widget, so that it works in every front end and, driven by the page's script,
    without a kernel. Front ends keep at most one message of a slider on its way and fold later moves into the next, so
    the newest state wins; a state that is shown already is not computed again.
    """

    name = ""
    plain_height = 256  # pixels of the plain picture, at least

    def __init__(self) -> None:
        self.controls: dict[str, Any] = self.build_controls()
        self.images = {
            role: described(Picture(format="png", layout=W.Layout(width=width)), alt)
            for role, (alt, width, _) in self.build_images().items()
        }
        self.text, self.status = W.HTML(), W.HTML()
        self.style_sheet = W.HTML(f"<style>{STYLE}{self.extra_style()}</style>")
        self._shown: dict[str, Any] | None = None
        self._waiting = False
        super().__init__([*self.arrange(), self.status, self.style_sheet])
        self.add_class("maelib-explorer").add_class(f"maelib-explorer-{self.name}")
        self.style_sheet.add_class("maelib-style")
        for role, widget in {**self.controls, **self.images, "text": self.text, "status": self.status}.items():
            widget.add_class(f"maelib-role-{role}")
        for control in self.controls.values():
            control.observe(self._changed, "value")
        self.show()

    # -- what a subclass says ------------------------------------------------------------------------------------

    def build_controls(self) -> dict[str, Any]:
        """Widgets with a value, by role."""
        raise NotImplementedError

    def build_images(self) -> dict[str, tuple[str, str, str]]:
        """Description, CSS width and caption of each picture, by role."""
        raise NotImplementedError

    def render(self, state: dict[str, Any]) -> Rendered:
        """What a state looks like. The same state gives the same result."""
        raise NotImplementedError

    def arrange(self) -> list[W.Widget]:
        """The rows of the explorer."""
        controls = W.VBox(list(self.controls.values()))
        return [controls, row(self.figures()), self.text]

    def figures(self) -> list[W.Widget]:
        """The pictures, each below its caption."""
        captions = {role: caption for role, (_, _, caption) in self.build_images().items()}
        return [
            W.VBox([W.HTML(f"<p class='maelib-caption'>{captions[role]}</p>"), image]).add_class("maelib-figure")
            for role, image in self.images.items()
        ]

    def extra_style(self) -> str:
        """Rules of its own for the style sheet."""
        return ""

    # -- what all do ---------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The values of the controls."""
        return {role: control.value for role, control in self.controls.items()}

    def choose(self, state: dict[str, Any]) -> None:
        """Set several controls at once."""
        with self.waiting():
            for role, value in state.items():
                self.controls[role].value = value

    def published_states(self) -> list[dict[str, Any]]:
        """Every state that the published page holds: all that the controls can reach."""
        values = [choices(control) for control in self.controls.values()]
        return [dict(zip(self.controls, combination, strict=True)) for combination in product(*values)]

    def show(self) -> None:
        """Bring the pictures up to the controls; a state that cannot be leaves them, with a sentence below."""
        state = self.state()
        if state == self._shown:
            self.say("")
            return
        try:
            rendered = self.render(state)
        except ValueError as error:
            self.say(str(error))
            return
        for role, picture in rendered.pictures.items():
            self.images[role].value = png(picture)
        self.text.value = rendered.text
        self.say("")
        self._shown = state
        self.shown(rendered)

    def shown(self, rendered: Rendered) -> None:
        """Called after the pictures have changed."""

    def say(self, sentence: str) -> None:
        """A message to the reader; it may quote anything, so it is escaped."""
        self.status.value = f'<p role="status">{html.escape(sentence)}</p>' if sentence else ""

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Render once at the end, however many controls are set inside."""
        outer, self._waiting = self._waiting, True
        try:
            yield
        finally:
            self._waiting = outer
        self._changed()

    def _changed(self, change: Any = None) -> None:
        if not self._waiting:
            self.show()

    # -- a plain picture for whoever has no widgets --------------------------------------------------------------

    def plain_picture(self) -> bytes:
        """The pictures side by side as one PNG, without any widget."""
        return png(side_by_side(list(self.render(self.state()).pictures.values()), self.plain_height))

    def _bundle(self) -> dict[str, Any]:
        return {
            "text/plain": f"{type(self).__name__}()",
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            },
            "image/png": base64.b64encode(self.plain_picture()).decode(),
        }

    if int(W.__version__.split(".")[0]) >= 8:

        def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
            return self._bundle()

    else:  # version 7 displays itself

        def _ipython_display_(self, **kwargs: Any) -> None:
            from IPython.display import display

            display(self._bundle(), raw=True)
            self._handle_displayed(**kwargs)


def choices(control: Any) -> list[Any]:
    """Every value that a slider or a selection can take."""
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    return list(range(control.min, control.max + 1, control.step))


def described(widget: Any, sentence: str) -> Any:
    """The widget with a description for screen readers, where this version of ipywidgets has a place for it."""
    if "tooltip" in widget.traits():
        widget.tooltip = sentence
    return widget


def slider(label: str, value: int, low: int, high: int, step: int = 1, about: str = "") -> W.IntSlider:
    """A slider over whole numbers."""
    made = W.IntSlider(value, low, high, step, description=label, layout=W.Layout(width="20rem", max_width="95%"))
    return described(made, about or label)


def buttons(label: str, options: Any, value: Any, about: str = "") -> W.ToggleButtons:
    """A choice among a few: (text, value) pairs or values."""
    made = W.ToggleButtons(options=options, value=value, description=label)
    made.style.button_width = "auto"
    return described(made, about or label)


def row(widgets: Any) -> W.HBox:
    """Beside one another where there is room, else below."""
    return W.HBox(list(widgets), layout=W.Layout(flex_flow="row wrap", grid_gap="0.6rem"))
