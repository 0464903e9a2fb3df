"""The web application, which `maelib app` and `streamlit run` show: the reconstruction explorer in a page of its own.

Streamlit runs this file from the top whenever a visitor moves something. Pictures and scores come from
`maelib.explorers.state`, as in the notebooks.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import streamlit as st

st.set_page_config("Seeing the Unseen", layout="wide")
st.title("Seeing the Unseen", anchor=False)
with st.spinner("Starting: the model is being loaded"):  # at the first visit what follows takes many seconds
    import numpy as np

    from maelib.app.settings import Settings, open_model, panel_png, report, version_of
    from maelib.app.text import ABOUT, CAPTIONS, HOW_IT_WORKS, STRATEGY_HELP, STYLE, icon, inline, plain, sentence
    from maelib.datasets import samples
    from maelib.drawing import bands_shown, heat, png
    from maelib.evaluation import Reconstruction
    from maelib.evaluation.reconstruction import values_of
    from maelib.explorers import state as explorer
    from maelib.model import MaskedAutoencoder

OTHER = "another checkpoint"


@st.cache_resource(show_spinner=False)
def worker() -> ThreadPoolExecutor:
    """One thread computes for all sessions in turn: together they use no more memory or cores than one."""
    return ThreadPoolExecutor(1, thread_name_prefix="maelib")


@st.cache_resource(max_entries=3, show_spinner="Loading the model")
def shared_model(name: str, version: tuple[int, int]) -> MaskedAutoencoder:
    """A model, loaded once for all sessions, and again when its file has changed."""
    return worker().submit(open_model, name).result()


def main() -> None:
    """The page."""
    st.set_page_config("Seeing the Unseen", icon(), layout="wide", menu_items={"About": ABOUT})
    st.html(STYLE)
    try:
        settings = Settings.from_environment()
    except ValueError as error:
        st.error(plain(f"The application is set up wrongly: {error}."))
        st.stop()
    keep_uploads_in_memory()
    st.markdown("Hide most of a picture. A masked autoencoder has to guess what it cannot see.")
    with st.expander("How it works, in a minute", icon=":material/lightbulb:"):
        st.markdown(HOW_IT_WORKS)

    stage, desk = st.columns([7, 5], gap="large")
    with desk:
        with st.container():  # one place, however many controls it holds, so that those below are not drawn twice
            choose_mask()
        scores_slot, picture_slot = st.container(key="scores"), st.container()
        name, model = choose_model(settings)  # an upload is brought to the model's size
        with picture_slot:
            picture = choose_picture(settings, model)
            bands = choose_bands(model)
    if picture is None:  # a model of other bands or values than the shipped photographs
        stage.info(plain(f"{explorer.takes(model.config, values_of(model))}: upload one."))
        st.stop()
    view = st.session_state.get("view") or explorer.DEFAULT["view"]
    squares, grid = list(st.session_state.get("hand_kept", [])), model.config.grid
    state = picture | {
        "ratio": st.session_state.ratio,
        "strategy": st.session_state.strategy,
        "seed": st.session_state.seed or 0,
        "hand": explorer.hand_of(np.isin(explorer.square_of_patches(grid), squares)),
        "view": view,
    }
    with stage:
        try:
            result = worker().submit(explorer.reconstruction_of, model, state, bands).result()
            st.session_state.shown = (model.config, state)
        except ValueError as error:
            st.warning(plain(sentence(error)))
            config, last = st.session_state.get("shown", (None, None))
            state = (last if config == model.config else explorer.DEFAULT | picture) | {"view": view}
            result = worker().submit(explorer.reconstruction_of, model, state, bands).result()
        views = show_pictures(result, view)
    scores = worker().submit(explorer.scores, result).result()
    scores_slot.html(explorer.scores_html(scores, int(result.mask.sum()), result.mask.size, result.look))
    offer_downloads(result, state, name, views)
    with st.expander("Error of each patch", icon=":material/grid_on:"):
        show_errors(result)


def choose_mask() -> None:
    """Ratio, strategy, seed and squares by hand; all of them land in the session's state."""
    ss, default = st.session_state, explorer.DEFAULT
    for key in ("ratio", "strategy", "seed"):
        ss.setdefault(key, default[key])
    by_hand = ss.strategy == "hand"
    st.slider("Hidden patches", 0, explorer.RATIO_MAX, format="%d %%", key="ratio", disabled=by_hand)
    st.segmented_control(
        "Which patches",
        explorer.STRATEGIES,
        format_func=lambda s: "by hand" if s == "hand" else s,
        key="strategy",
        required=True,
        help=STRATEGY_HELP,
    )
    if by_hand:
        ss.setdefault("hand", ss.get("hand_kept", []))
        side = explorer.HAND
        ss.hand_kept = st.pills(
            "Press squares to hide what is under them",
            range(side**2),
            key="hand",
            selection_mode="multi",
            format_func=lambda cell: f"row {cell // side + 1}, column {cell % side + 1}",
        )
        st.button("Show everything", on_click=lambda: ss.update(hand=[]), icon=":material/grid_off:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input("Seed of the mask", 0, 999, key="seed", width=150)
        st.button("New mask", on_click=lambda: ss.update(seed=((ss.seed or 0) + 1) % 1000), icon=":material/casino:")


def choose_picture(settings: Settings, model: MaskedAutoencoder) -> dict[str, str] | None:
    """A shipped picture or an upload, as `sample` and `own` of a state; a bad upload changes nothing.

    None where the model takes no photographs and there is no upload that it takes.
    """
    ss, values = st.session_state, values_of(model)
    takes = explorer.takes(model.config, values)
    upload = ss.get("upload")
    if upload is None:  # taken away; a refused one leaves the picture before it
        kept = ss.pop("own", {})
        if "complaint" in kept and "made" in kept:
            ss.own = {"key": kept["key"], "made": kept["made"]}
    elif (key := (upload.file_id, model.config, values)) != ss.get("own", {}).get("key"):
        arrived = upload.file_id != ss.get("own", {}).get("key", (None,))[0]
        own: dict[str, Any] = {"key": key}  # `made` is the `own` of a state; beside a complaint it is the one before
        try:
            limits = int(settings.max_megapixels * 1e6), int(settings.max_mb * 1e6)
            job = worker().submit(explorer.own_picture, upload.getvalue(), model.config, *limits, values)
            own["made"] = job.result()
        except (ValueError, MemoryError) as error:
            own["complaint"] = sentence(error)
            before = ss.get("own", {})
            if "made" in before and before["key"][1:] == key[1:]:  # it was brought to this model's size and values
                own["made"] = before["made"]
        ss.own = own
        if arrived and "complaint" not in own:
            ss.sample = None
    own = ss.get("own", {})
    if ss.get("sample") is None and "made" not in own:
        ss.sample = ss.get("sample_kept", explorer.DEFAULT["sample"])
    sample = None
    if not takes:
        names = list(samples())
        sample = st.pills("Picture", names, format_func=lambda name: name.replace("_", " "), key="sample")
        ss.sample_kept = sample or ss.get("sample_kept")
    st.file_uploader(
        "A picture of your own" if takes else "Or a picture of your own",
        key="upload",
        max_upload_size=max(1, int(settings.max_mb)),
        help=f"Up to {settings.max_mb:g} MB and {settings.max_megapixels:g} million pixels. It stays in the server's "
        "memory while this page is open, and is never written to a disk.",
    )
    if "complaint" in own:
        st.error(plain(own["complaint"] if takes else f"{own['complaint']} The picture before it stays."))
    if sample:
        return {"sample": sample, "own": ""}
    return {"sample": "own", "own": own["made"]} if "made" in own else None


def choose_bands(model: MaskedAutoencoder) -> tuple[int, ...]:
    """Which bands are shown, where there are more than a photograph has; the first three unless others are chosen."""
    channels = model.config.channels
    if channels <= 3:
        return ()
    every, first = range(1, channels + 1), bands_shown(channels)
    chosen = st.multiselect(
        "Bands shown as red, green and blue", every, first, key=f"bands{channels}", max_selections=3
    )
    try:
        return bands_shown(channels, chosen)
    except ValueError as error:
        st.warning(plain(sentence(error)))
        return first


def choose_model(settings: Settings) -> tuple[str, MaskedAutoencoder]:
    """The name of the model and the model; one that cannot be loaded leaves the embedded one in place."""
    offered = [explorer.EMBEDDED, *settings.models]
    if settings.paths or (settings.paths is None and visitor_is_operator()):
        offered.append(OTHER)
    name = st.selectbox(
        "Model", offered, format_func=lambda n: f"{n} (embedded)" if n == explorer.EMBEDDED else n, key="model"
    )
    if name == OTHER:
        name = st.text_input("Run folder or file of weights", key="path", placeholder="runs/mine").strip()
    try:
        return name or explorer.EMBEDDED, shared_model(name or explorer.EMBEDDED, version_of(name))
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        st.error(plain(f"{sentence(error)} The embedded model stays in use."))
        return explorer.EMBEDDED, shared_model(explorer.EMBEDDED, (0, 0))


def visitor_is_operator() -> bool:
    """Whether the page is open on the machine that serves it, with no proxy between."""
    forwarded = any(st.context.headers.get(header) for header in ("X-Forwarded-For", "Forwarded", "X-Real-Ip"))
    return not isinstance(st.context.ip_address, str) and not forwarded  # this machine has no address there


def show_pictures(result: Reconstruction, view: str) -> dict[str, np.ndarray]:
    """The chosen view, or four of them; returns all."""
    st.session_state.setdefault("view", view)
    st.segmented_control("View", explorer.VIEWS, key="view", required=True, label_visibility="collapsed")
    views = explorer.views(result)
    names = ("original", "masked", "raw", "pasted") if view == "side by side" else (view,)
    with st.container(key="four" if len(names) > 1 else "one"):
        for name in names:
            alt = f"{CAPTIONS[name]}; {result.mask.sum()} of {result.mask.size} patches are hidden"
            st.image(inline(png(views[name])), CAPTIONS[name], width="stretch", alt=alt)
    return views


def offer_downloads(result: Reconstruction, state: dict[str, Any], model: str, views: dict[str, np.ndarray]) -> None:
    """Buttons that make their file when they are pressed."""
    stem = f"reconstruction-{result.mask.sum()}-of-{result.mask.size}"
    view = state["view"]
    buttons: list[tuple[str, Callable[[], str | bytes], str, str]] = [
        ("This view", lambda: png(views[view], 4), f"{stem}-{view.replace(' ', '-')}.png", "image"),
        ("All, with scores", lambda: panel_png(result), f"{stem}.png", "photo_library"),
        ("Scores (JSON)", lambda: report(result, state, model), f"{stem}.json", "data_object"),
    ]
    with st.container(horizontal=True):
        for label, make, name, symbol in buttons:
            kind = "application/json" if name.endswith("json") else "image/png"
            st.download_button(label, make, name, kind, on_click="ignore", icon=f":material/{symbol}:")


def show_errors(result: Reconstruction) -> None:
    """Where the model is wrong: a map of patches and the five worst."""
    errors = result.hidden_patch_rmse()
    worst = [divmod(int(i), errors.shape[1]) for i in errors.ravel().argsort()[::-1][:5] if errors.ravel()[i] > 0]
    with st.container(key="errors"):
        st.image(
            inline(png(heat(errors, explorer.ERROR_LIMIT))),
            width="stretch",
            caption=f"Black: no error, or visible. Pale yellow: {explorer.ERROR_LIMIT} and more.",
            alt="Map of the error of each patch, brighter where it is larger",
        )
        if worst:
            st.table({"row": [r + 1 for r, _ in worst], "column": [c + 1 for _, c in worst],
                      "error": [f"{errors[place]:.3f}" for place in worst]}, hide_index=True)  # fmt: skip
        else:
            st.markdown("Nothing is hidden, so nothing is predicted.")
    st.caption(
        "Root mean square error of the prediction in a hidden patch; pixels run from 0 to 1. The table: the worst."
    )


def keep_uploads_in_memory() -> None:
    """Starlette, which receives uploads for Streamlit, moves those above 1 MB to a temporary file unless told otherwise."""
    from starlette.formparsers import MultiPartParser

    MultiPartParser.spool_max_size = int(explorer.MAX_BYTES * 2)


main()
