"""Draw what the model makes of the cat: python book/images/draw_card.py

That is card.png, the preview that social media show for the book, and reconstruction.png, on top of the README.
"""

from pathlib import Path

import matplotlib.pyplot as plt

import maelib
from maelib.datasets import sample_path

result = maelib.reconstruct(maelib.load("mae_tiny_patch4_64"), sample_path("chelsea"))
result.panel().save(Path(__file__).parent / "reconstruction.png")
figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor="white")
figure.text(0.05, 0.84, "Seeing the Unseen", size=46, weight="bold", color="#1b1f24")
figure.text(0.05, 0.75, "Masked autoencoders from scratch, in notebooks you can run", size=22, color="#444c56")
for column, picture in enumerate((result.original, result.masked, result.pasted)):
    axes = figure.add_axes((0.05 + 0.31 * column, 0.08, 0.28, 0.56))
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
figure.savefig(Path(__file__).parents[1] / "static" / "card.png")
