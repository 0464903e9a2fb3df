"""Training: configuration, schedule, optimizer, precision, batches, checkpoints, the trainer (chapter 06)."""

from .config import TrainConfig
from .trainer import Stopped, Trainer, TrainingDiverged

__all__ = ["Stopped", "TrainConfig", "Trainer", "TrainingDiverged"]
