"""Recipes by name: what is trained, and how."""

from .config import TrainConfig

# The article: Tiny ImageNet at 224 pixels, 25 epochs, linear warm-up and cosine, mixed precision, clipping, targets
# normalised patch by patch, two T4s. It states neither batch nor learning rate nor augmentation: 256 pictures a card,
# the rate of He et al. 2022 for that batch, and flips only, because the figure is taken on whole pictures.
ARTICLE_MODEL = "mae_base_patch16_224"
ARTICLE_RECIPE = TrainConfig(
    epochs=25,
    batch_size=512,
    accumulate=4,  # 64 pictures at a time on each of two cards; 128 where there is one, which 16 GB hold too
    base_lr=1.5e-4,
    warmup_epochs=2.0,
    clip=1.0,
    augment="flip",
)
