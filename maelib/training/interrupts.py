"""When a run saves, when it stops before its end, and how it speaks where nobody may be listening."""

import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

import torch
from tqdm import tqdm

from .distributed import World

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))  # Windows has none
AGREE_EVERY = 8  # steps after which processes compare notes: each asks its own clock and gets its own signals


class Stopped(Exception):
    """The run was asked to stop (Ctrl-C, SIGTERM, SIGHUP) and has saved its state."""

    said_by = "main"


class TimeLimitReached(Stopped):
    """The run has used the time it was given and has saved its state."""


class Interrupts:
    """Turns signals and clocks into answers that all processes agree upon, so that no process saves or stops alone.

    Within it, the first Ctrl-C, SIGTERM or SIGHUP (a terminal that closes; nohup has it ignored) is kept for the end of the
    step at hand; a second Ctrl-C or SIGTERM interrupts. The end of torchrun is a stop, too: nobody else would end its processes.
    """

    def __init__(self, checkpoint_minutes: float, max_minutes: float | None, world: World, device: torch.device):
        self.checkpoint_minutes, self.max_minutes, self.world, self.device = (
            checkpoint_minutes,
            max_minutes,
            world,
            device,
        )
        self.requested, self.parent = False, os.getppid()
        self.began = self.saved = time.monotonic()

    def after_step(self, step: int, epoch_ends: bool) -> tuple[bool, type[Stopped] | None]:
        """Whether to save now, and how to stop, if at all. Several processes agree every few steps; one answers at once."""
        if self.world.world_size > 1 and step % AGREE_EVERY and not epoch_ends:
            return False, None
        now = time.monotonic()
        due = now - self.saved > self.checkpoint_minutes * 60 > 0
        late = self.max_minutes is not None and now - self.began > self.max_minutes * 60
        if self.world.world_size > 1:
            self.requested |= os.getppid() != self.parent
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
            for number in SIGNALS:
                if number in SIGNALS[:2] or signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._on_signal)
        except ValueError:
            pass  # not the main thread: signals stay with whoever has them
        return self

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.requested and number in SIGNALS[:2]:  # a shell passes its own SIGHUP on: two come for one
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def say(text: str) -> None:
    """Print a line. A standard output that is closed or full is given up with a word on the other: training goes on."""
    try:
        tqdm.write(text)
        if sys.stdout:  # None where the caller has closed it
            sys.stdout.flush()
    except (OSError, ValueError, AttributeError) as error:
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            print(f"maelib: standard output is lost ({error}), the work goes on", file=sys.stderr)
