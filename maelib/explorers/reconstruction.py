"""ReconstructionExplorer: hide what you like of a picture, and see what the model makes of the rest (chapters 00 and 09)."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ipywidgets as W
import numpy as np

from ..datasets import ImageError, samples
from ..drawing import bands_shown, png
from ..evaluation.reconstruction import values_of
from ..loading import load
from ..model import MaskedAutoencoder
from .base import Explorer, Rendered, buttons, described, row, slider
from .state import (
    DEFAULT,
    HAND,
    RATIO_MAX,
    STRATEGIES,
    VIEWS,
    check,
    embedded_model,
    flat_scores,
    hand_of,
    hidden_by_hand,
    own_picture,
    reconstruction_of,
    scores,
    scores_html,
    square_of_patches,
    takes,
    thumbnail,
    views,
)

SEEDS = 1000
ENLARGE = 4  # of the picture that is saved
STORED = (25, 40, 50, 60, 70, 75, 80, 85, 90, 95)  # per cent; the published page holds these paintings of each picture


class ReconstructionExplorer(Explorer):
    """Picture, ratio, strategy, seed or a mask by hand; views, scores with their protocols, own pictures, saving.

    Parameters
    ----------
    model
        A model, or what `maelib.load` takes; the embedded one if left out.
    picture
        The file to begin with; needed where the model takes no photographs, but other bands or values.
    bands
        Which bands are shown, as in `maelib.reconstruct`.

    Raises
    ------
    ValueError
        A model or a picture that cannot be read, a picture that the model does not take, or none; bands that it does not have.
    """

    name = "reconstruction"
    plain_height = 390

    def __init__(
        self,
        model: MaskedAutoencoder | str | Path | None = None,
        picture: str | Path | None = None,
        bands: Sequence[int] = (),
    ) -> None:
        if model is not None and not isinstance(model, MaskedAutoencoder):
            model = load(model)
        self.model = model or embedded_model()
        self.hidden = np.zeros(self.model.config.grid, bool)  # patches that the mask by hand hides
        self.bands = bands and bands_shown(self.model.config.channels, bands)
        self.takes = takes(self.model.config, values_of(self.model))
        if self.takes and picture is None:
            raise ValueError(f"{self.takes}: give picture=PATH of one, no shipped picture is")
        # the reader's picture, as `own_picture` makes it
        self.own = self._own(Path(picture).read_bytes()) if picture is not None else ""
        super().__init__()

    def _own(self, content: bytes) -> str:
        return own_picture(content, self.model.config, values=values_of(self.model))

    def build_controls(self) -> dict[str, Any]:
        start = DEFAULT
        names = [] if self.takes else [(n.replace("_", " "), n) for n in samples()]
        sample = buttons("picture", names, None if self.own else start["sample"], "shipped pictures")
        ratio = slider("hidden %", start["ratio"], 0, RATIO_MAX, about="per cent of the patches that is hidden")
        controls = {
            "sample": sample,
            "view": buttons("view", VIEWS, start["view"], "which picture is shown"),
            "ratio": ratio,
            "strategy": buttons("strategy", STRATEGIES, start["strategy"], "how the hidden patches are chosen"),
            "seed": slider("seed", start["seed"], 0, SEEDS - 1, about="another mask of the same kind"),
        }
        self.play = W.Play(value=start["ratio"], min=0, max=RATIO_MAX, step=5, interval=400)
        self.link = W.jslink((self.play, "value"), (ratio, "value"))
        self.renew = described(W.Button(description="new mask", icon="random"), "draw another mask")
        self.clear = described(W.Button(description="clear", icon="eraser"), "show every square of the mask by hand")
        accept = ".tif,.tiff,.npy,.npz,.png" if self.takes else "image/*"
        self.upload = described(W.FileUpload(accept=accept, description="your picture"), "open a picture of yours")
        self.save = W.HTML()
        self.cells = _cells()
        size = f"repeat({HAND}, 1.8rem)"
        self.hand = W.GridBox(self.cells, layout=W.Layout(grid_template_columns=size, grid_gap="1px"))
        for role in ("play", "renew", "clear", "upload", "save", "hand"):
            getattr(self, role).add_class(f"maelib-role-{role}")
        self.renew.on_click(self._renew)
        self.clear.on_click(self._clear)
        self.upload.observe(self._upload, "value")
        for cell in self.cells:
            cell.observe(self._pressed, "value")
        controls["strategy"].observe(self._strategy, "value")
        sample.observe(self._sample, "value")
        return controls

    def build_images(self) -> dict[str, tuple[str, str, str]]:
        about = "the chosen view; side by side: original and masked above, raw and pasted prediction below"
        return {"picture": (about, "390px", "")}

    def arrange(self) -> list[W.Widget]:
        c = self.controls
        legend = W.HTML("<p>mask by hand: a pressed square is hidden</p>")
        sliders = [row([c["ratio"], self.play]), c["strategy"], row([c["seed"], self.renew]), c["view"]]
        right = W.VBox([*sliders, legend, row([self.hand, self.clear]), row([self.upload, self.save])])
        left = W.VBox([self.images["picture"], self.text])
        return [c["sample"], row([right, left])]  # where there is no room beside them, the picture stands below

    def extra_style(self) -> str:
        rules = [
            ".maelib-role-sample button { background-repeat: no-repeat; background-position: center 4px; "
            "padding-top: 52px; height: auto; min-width: 62px; line-height: 1.6; }",
            ".maelib-role-sample .widget-toggle-buttons, .maelib-role-sample > div { flex-wrap: wrap; }",
            ".maelib-cell { margin: 0; padding: 0; border: 1px solid #888; }",
            ".maelib-cell.mod-active { background: #0072b2; }",
        ]
        for i, name in enumerate(samples(), 1):
            picture = base64.b64encode(thumbnail(name)).decode()
            address = f"url(data:image/jpeg;base64,{picture})"
            rules.append(f".maelib-role-sample button:nth-of-type({i}) {{ background-image: {address}; }}")
        return "\n".join(rules)

    # -- state ---------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        values = {role: control.value for role, control in self.controls.items()}
        values["sample"] = values["sample"] or "own"
        values["hand"] = hand_of(self.hidden)
        return {key: {**values, "own": self.own}[key] for key in DEFAULT}

    def choose(self, state: dict[str, Any]) -> None:
        """Set several controls at once; ValueError for a state that cannot be."""
        state = check(self.state() | state, self.model.config.grid)
        with self.waiting():
            self.own = state["own"]
            self._hide(hidden_by_hand(state["hand"], self.model.config.grid))
            for role, control in self.controls.items():
                control.value = None if (role, state[role]) == ("sample", "own") else state[role]

    def published_states(self) -> list[dict[str, Any]]:
        """A few ratios of every shipped picture; the page's model computes the others."""
        return [DEFAULT | {"sample": sample, "ratio": ratio} for sample in samples() for ratio in STORED]

    def render(self, state: dict[str, Any]) -> Rendered:
        r = reconstruction_of(self.model, state, self.bands)
        found = scores(r)
        text = scores_html(found, int(r.mask.sum()), r.mask.size, r.look)
        return Rendered({"picture": views(r)[state["view"]]}, flat_scores(found, r.mask), text)

    def shown(self, rendered: Rendered) -> None:
        content = base64.b64encode(png(rendered.pictures["picture"], ENLARGE)).decode()
        self.save.value = (
            f'<a download="reconstruction.png" href="data:image/png;base64,{content}">save the picture as PNG</a>'
        )

    # -- what the other controls do ------------------------------------------------------------------------------

    def _renew(self, button: Any = None) -> None:
        with self.waiting():
            if self.controls["strategy"].value == "hand":
                self.controls["strategy"].value = "random"
            self.controls["seed"].value = (self.controls["seed"].value + 1) % SEEDS

    def _clear(self, button: Any = None) -> None:
        with self.waiting():
            self._hide(np.zeros_like(self.hidden))
            if self.controls["strategy"].value == "hand":
                self.controls["strategy"].value = "random"

    def _hide(self, hidden: np.ndarray) -> None:
        """Take over a mask by hand; a square is pressed where all patches under it are hidden."""
        self.hidden, squares = hidden, square_of_patches(hidden.shape)
        with self.waiting():
            for i, cell in enumerate(self.cells):
                under = hidden[squares == i]
                cell.value = bool(under.size and under.all())

    def _pressed(self, change: Any) -> None:
        if self._waiting:  # it is the program that presses
            return
        under = square_of_patches(self.hidden.shape) == self.cells.index(change["owner"])
        with self.waiting():
            self._hide(np.where(under, change["new"], self.hidden))
            self.controls["strategy"].value = "hand"

    def _strategy(self, change: Any) -> None:
        if change["new"] == "hand":
            stop(self.play)  # else it cannot be stopped any more
        for widget in (self.controls["ratio"], self.controls["seed"], self.play):
            widget.disabled = change["new"] == "hand"

    def _sample(self, change: Any) -> None:
        if change["new"] is not None:
            self.own = ""

    def _upload(self, change: Any) -> None:
        """Take the reader's file; whatever is wrong with it is said in a sentence, and everything stays as it was."""
        files = self.upload.value
        if not files:
            return
        content = (next(iter(files.values())) if isinstance(files, dict) else files[0])["content"]
        self._forget_upload()
        try:
            self.own = self._own(content)
        except ImageError as error:
            self.say(str(error))
            return
        with self.waiting():
            self.controls["sample"].value = None

    def _forget_upload(self) -> None:
        """So that the file does not travel with the notebook, and can be chosen again."""
        if isinstance(self.upload.value, dict):  # ipywidgets 7
            self.upload.metadata, self.upload.data = [], []
            self.upload._counter = 0
        else:
            self.upload.value = ()


def stop(play: W.Play) -> None:
    """Stop a film, in either version of ipywidgets."""
    setattr(play, "playing" if "playing" in play.traits() else "_playing", False)


def _cells() -> list[W.ToggleButton]:
    """The squares of the mask by hand, row by row; they share one look."""
    layout, style = W.Layout(width="100%", height="1.8rem"), W.ToggleButton().style
    cells = []
    for i in range(HAND**2):
        where = f"row {i // HAND + 1}, column {i % HAND + 1}"
        cell = W.ToggleButton(tooltip=where, layout=layout)
        if style is not None:
            cell.style = style
        cells.append(cell.add_class("maelib-cell"))
    return cells
