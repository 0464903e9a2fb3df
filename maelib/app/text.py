"""What the web application says, and how it looks."""

import base64
import re

import numpy as np
from PIL import Image

BOOK = "https://seeing-the-unseen.github.io/seeing-the-unseen/"
ABOUT = f"A masked autoencoder from scratch, with the book that builds it: {BOOK}"

CAPTIONS = {
    "original": "original",
    "masked": "masked: what the model sees",
    "raw": "raw: everything it predicts",
    "pasted": "pasted: predicted only where hidden",
    "error": "error of the pasted picture, black is none",
}
STRATEGY_HELP = (
    "**random**: every patch alike, as in training. **block**: one rectangle. **grid**: regularly spaced patches stay. "
    "**half**: one side. **by hand**: you choose."
)
HOW_IT_WORKS = f"""
1. **Cut.** The picture becomes a grid of small squares, the *patches*; each is a token, as a word is for a language model
   ([chapter 01]({BOOK}notebooks/01_patches.html)).
2. **Hide.** Most patches are removed, three quarters of them in training. What is left is too little to copy from: the
   model has to know what pictures are like ([chapter 02]({BOOK}notebooks/02_masking.html)).
3. **Encode.** A transformer reads the visible patches only, which makes training cheap
   ([chapter 03]({BOOK}notebooks/03_encoder.html)).
4. **Decode.** A small transformer puts a placeholder where each patch is missing and predicts its pixels
   ([chapter 04]({BOOK}notebooks/04_decoder.html)).
5. **Learn.** The loss is the squared error of the hidden patches. Nobody labels anything
   ([chapter 05]({BOOK}notebooks/05_loss.html)).

**Try:** a ratio of 90 %. Then *block* at 50 %: one large hole is harder than many small ones. Then a picture with text in it.

**Read the scores with their protocol.** *masked* scores the hidden pixels only. *pasted* scores the whole picture with the
visible patches put back, so it is higher by many decibels for the same prediction. 100 dB stand for no error at all. The
second row is a blur of the visible neighbours that has learned nothing: a model is worth what it has above it.
"""

# Pixels stay square and sharp; four pictures in a square; 64 toggles in a square.
STYLE = """<style>
.stMainBlockContainer { padding-top: 3.75rem; padding-bottom: 3rem; max-width: 1200px; }
.stMainBlockContainer h1 { padding: 0; font-size: 2.2rem; }
.st-key-four img, .st-key-one img, .st-key-errors img { image-rendering: pixelated; border-radius: 4px; width: 100%; }
.st-key-four { display: grid; grid-template-columns: 1fr 1fr; gap: 0.75rem; max-width: 36rem; }
.st-key-one { max-width: 36rem; }
.st-key-four > *, .st-key-one > * { width: 100% !important; min-width: 0; }
[data-testid="stImageCaption"], [data-testid="stImageCaption"] * { color: inherit !important; opacity: 1; }
.st-key-errors { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1rem; }
.st-key-errors > * { width: 100% !important; min-width: 0; }
.st-key-scores table { border-collapse: collapse; width: 100%; max-width: 36rem; font-size: 0.9rem; }
.st-key-scores th, .st-key-scores td { border-bottom: 1px solid rgba(128, 128, 128, 0.35); padding: 0.35rem 0.5rem;
  text-align: left; font-weight: 400; vertical-align: bottom; }
.st-key-scores td { font-variant-numeric: tabular-nums; font-weight: 600; }
.st-key-scores tr > :first-child { padding-left: 0; }
.st-key-scores p { margin: 0 0 0.25rem; }
.st-key-hand [role="group"], .st-key-hand [data-testid="stButtonGroup"] > div { display: grid;
  grid-template-columns: repeat(8, 1fr); gap: 2px; width: 17rem; max-width: 100%; }
.st-key-hand button { width: 100%; min-width: 0; min-height: 0; aspect-ratio: 1; padding: 0; border-radius: 3px; }
.st-key-hand button * { font-size: 0; }
</style>"""


def plain(text: str) -> str:
    """Text from elsewhere (a file's name, an error) for a place that reads Markdown: every mark stands for itself."""
    return re.sub(r"([\\`*_\[\]<>$~|#])", r"\\\1", text).replace("://", ":\\//")


def icon() -> Image.Image:
    """Four by four patches, some of them hidden."""
    hidden = np.array([[0, 1, 1, 0], [1, 1, 0, 1], [1, 0, 1, 1], [0, 1, 1, 1]], dtype=bool)
    colours = np.where(hidden[..., None], (200, 200, 200), (0, 114, 178)).astype(np.uint8)
    return Image.fromarray(colours).resize((64, 64), Image.Resampling.NEAREST)


def inline(png: bytes) -> str:
    """A picture as an address that holds it: the browser need not come back for it, which halves the time of a move."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def sentence(error: BaseException) -> str:
    """The message of an error as one sentence."""
    text = " ".join(str(error).split()) or "there is not enough memory for it"
    return f"{text[0].upper()}{text[1:]}."
