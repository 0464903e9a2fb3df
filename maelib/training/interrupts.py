"""When a run saves, and when it stops before its end."""

import signal
import time
from typing import Any

import torch

from .distributed import World

AGREE_EVERY = 8  # steps after which processes compare notes: each asks its own clock and gets its own signals


class Stopped(Exception):
    """The run was asked to stop (Ctrl-C, SIGTERM) and has saved its state."""


class TimeLimitReached(Stopped):
    """The run has used the time it was given and has saved its state."""


class Interrupts:
    """Turns signals and clocks into answers that all processes agree upon, so that no process saves or stops alone.

    Within it, the first Ctrl-C or SIGTERM is kept for the end of the step at hand; a second one interrupts.
    """

    def __init__(self, checkpoint_minutes: float, max_minutes: float | None, world: World, device: torch.device):
        self.checkpoint_minutes, self.max_minutes, self.world, self.device = (
            checkpoint_minutes,
            max_minutes,
            world,
            device,
        )
        self.requested = False
        self.began = self.saved = time.monotonic()

    def after_step(self, step: int, epoch_ends: bool) -> tuple[bool, type[Stopped] | None]:
        """Whether to save now, and how to stop, if at all. Several processes agree every few steps; one answers at once."""
        if self.world.world_size > 1 and step % AGREE_EVERY and not epoch_ends:
            return False, None
        now = time.monotonic()
        due = now - self.saved > self.checkpoint_minutes * 60 > 0
        late = self.max_minutes is not None and now - self.began > self.max_minutes * 60
        if self.world.world_size > 1:
            flags = torch.tensor([due, late, self.requested], dtype=torch.int32, device=self.device)
            due, late, self.requested = (bool(flag) for flag in self.world.all_reduce_max(flags).tolist())
        stop = Stopped if self.requested else TimeLimitReached if late else None
        save = due or epoch_ends or stop is not None
        if save:
            self.saved = now
        return save, stop

    def __enter__(self) -> "Interrupts":
        self._previous: dict[int, Any] = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._on_signal)
        except ValueError:
            pass  # not the main thread: signals stay with whoever has them
        return self

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
