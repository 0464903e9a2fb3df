"""Training: configuration, optimizer, batches, checkpoints, the trainer (chapter 06)."""

from .config import TrainConfig
from .interrupts import Stopped, TimeLimitReached
from .trainer import Trainer, TrainingDiverged

__all__ = ["Stopped", "TimeLimitReached", "TrainConfig", "Trainer", "TrainingDiverged"]
