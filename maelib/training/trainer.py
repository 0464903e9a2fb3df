"""The trainer: bookkeeping done exactly."""

import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..datasets import PackedImages
from ..datasets.bands import EIGHT_BIT
from ..hardware import DTYPES, choose_precision
from ..model import MaskedAutoencoder
from ..weights import FORMAT
from ..weights import save as save_weights
from .batches import Batches
from .checkpoint import newest_checkpoint, save_checkpoint
from .config import TrainConfig
from .distributed import World
from .interrupts import Interrupts, say
from .optimizer import check_state, learning_rate, make_optimizer
from .run_folder import RunFolder


class TrainingDiverged(RuntimeError):
    """The loss or the gradients are no longer numbers."""

    said_by = "main"


class Trainer:
    """Trains a masked autoencoder on pictures, in a run folder that it can resume from.

    Parameters
    ----------
    model
        Its weights are where a new run begins; a resumed one takes those of its checkpoint.
    images
        Packed pictures, or (n, H, W, C) uint8, an array or a memory map.
    folder
        Where the run is kept: `config.json`, `metrics.jsonl`, `checkpoints/`, `samples/`, events of TensorBoard.
    resume
        Go on from the newest good checkpoint in the folder; without one, begin anew where none was ever written.
    overwrite
        Remove the run that is in the folder once the first step of this one is done.
    sample
        Called with the model at the end of an epoch, returns a picture (PIL) for `samples/`.
    about
        What else `config.json` should say, such as the data's name, or as `init` whose weights the model has.
    resume_from
        When resuming and the folder holds no run yet: copy the one found below this folder, which may be read-only.
    max_minutes
        Save and stop after this time, counted from the start of the training; `train` then raises `TimeLimitReached`.

    Raises
    ------
    FileExistsError
        The folder holds a run already, and `resume` and `overwrite` are off.
    ValueError
        Another process trains in the folder, its run had another model, recipe or pictures, or has lost its checkpoints, or
        `resume_from` holds another run or several.
    """

    def __init__(
        self, model: MaskedAutoencoder, images: PackedImages | np.ndarray, config: TrainConfig, folder: str | Path, *,
        resume: bool = False, overwrite: bool = False, world: World | None = None, device: torch.device | str = "cpu",
        sample: Callable[[MaskedAutoencoder], Any] | None = None, about: dict[str, Any] | None = None,
        resume_from: str | Path | None = None, max_minutes: float | None = None,
    ):  # fmt: skip
        self.world, self.device, self.config, self.sample = world or World(), torch.device(device), config, sample
        if max_minutes is not None and not 0 < max_minutes < math.inf:
            raise ValueError(f"max_minutes must be positive and finite, got {max_minutes}")
        if resume and overwrite:
            raise ValueError("resume goes on with the run that overwrite removes: leave one of them out")
        self.max_minutes = max_minutes
        self.run = RunFolder(Path(folder), is_main=self.world.is_main)
        try:
            with self.world.together():  # nobody reads the folder before it is complete
                self._prepare(model, images)
                pictures = getattr(images, "made_of", None)  # without it nobody knows
                made_of = {"format": FORMAT, "model": asdict(model.config), "train": asdict(config)}
                made_of |= ({"pictures": {"train": pictures}} if pictures else {}) | (about or {})
                description = json.loads(json.dumps(made_of, allow_nan=False))
                self.run.claim()
                if resume and resume_from is not None and self.world.is_main:
                    self.announce(self.run.copy_earlier_run(Path(resume_from), description))
                self.run.open(description, resume, overwrite)
            if self.batches.left_out:
                self.announce(self.batches.left_out)
            beginning = f"from the weights of {description['init']}" if "init" in description else "from scratch"
            with self.world.together():
                self.announce(self._resume(beginning) if resume else beginning)
                steps = self.world.all_gather(torch.tensor(self.step, device=self.device)).tolist()
                if len(set(steps)) > 1:  # a disk that one of them could not read
                    raise ValueError(f"the processes found checkpoints of steps {steps}: start them again")
            self._forward: nn.Module = self.world.wrap_ddp(self.model, self.device)
            if self.world.world_size > 1:
                self._settle()
            if config.compile:
                self._forward = torch.compile(self._forward)  # type: ignore[assignment]
        except BaseException:
            self.run.close()
            raise

    def _prepare(self, model: MaskedAutoencoder, images: PackedImages | np.ndarray) -> None:
        """All that a step needs, where the recipe and the pictures allow it."""
        config, shape = self.config, model.config
        self.batches = Batches(
            images, config, shape.hw, math.prod(shape.grid), self.world, self.device, shape.pixel_mean
        )
        own: Any = getattr(model, "value_range", None) or EIGHT_BIT
        if tuple(own[:3]) != self.batches.values:  # its weights are saved with it
            model.value_range = self.batches.values  # type: ignore[assignment]
        self.total_steps = config.epochs * self.batches.steps_per_epoch
        self.warmup_steps = round(config.warmup_epochs * self.batches.steps_per_epoch)
        self.precision = choose_precision(config.precision, self.device)
        self.model = model.to(self.device).train()
        self.optimizer = make_optimizer(self.model, config.peak_lr, config.weight_decay, config.betas, config.muon_lr)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.step = 0  # optimizer steps done
        self.seconds = 0.0  # spent in training, over all sessions of the run
        self.sums = torch.zeros(3, device=self.device)  # loss, gradient norm, steps since the last line of metrics
        self._saved_at = -1

    def _settle(self) -> None:
        """A step that is thrown away. DDP puts its gradients into a final order after its first step, and sums of three or
        more processes depend on it in the last bit: so all steps of all sessions have the same order."""
        images, masking = next(self.batches.micro_batches(self.step))
        with self.autocast():
            loss = self._forward(images, masking).loss
        loss.backward()
        self.model.zero_grad(set_to_none=True)

    # -- the loop ------------------------------------------------------------------------------------------------

    def train(self) -> Path:
        """Train to the end and write `model.safetensors` into the run folder; returns its path.

        Raises
        ------
        Stopped
            After Ctrl-C, SIGTERM or SIGHUP, once the state is saved; `TimeLimitReached` when the time is up.
        TrainingDiverged
            The loss became NaN or infinite.
        """
        try:
            with self.world.together():
                self.run.claim()
            return self._train()
        finally:
            self.run.close()

    def _train(self) -> Path:
        per_epoch = self.batches.steps_per_epoch
        interactive = sys.stderr.isatty()
        bar = tqdm(
            total=self.total_steps,
            initial=self.step,
            desc="training",
            unit="step",
            dynamic_ncols=True,
            disable=not (interactive and self.world.is_main),
        )
        with Interrupts(self.config.checkpoint_minutes, self.max_minutes, self.world, self.device) as asked, bar:
            start = time.monotonic()
            since, since_step, before = start, self.step, self.seconds
            while self.step < self.total_steps:
                lr = self.train_step()
                self.run.begin(self.step - 1)
                self.seconds = before + time.monotonic() - start
                bar.update()
                epoch_ends = self.step % per_epoch == 0
                if self.step % self.config.log_every == 0 or epoch_ends:
                    loss = self._log(lr)
                    now = time.monotonic()
                    speed = (self.step - since_step) * self.config.batch_size / max(now - since, 1e-9)
                    self.run.scalar("images_per_second", speed, self.step)
                    bar.set_postfix_str(f"loss {loss:.4f}, lr {lr:.1e}, {speed:.0f} images/s")
                    if epoch_ends:
                        left = (self.total_steps - self.step) * self.config.batch_size / speed
                        if not interactive:
                            epoch = self.step // per_epoch
                            self.announce(
                                f"epoch {epoch}/{self.config.epochs}: loss {loss:.4f}, lr {lr:.1e}, "
                                f"{speed:.0f} images/s, {left / 60:.1f} min left"
                            )
                        since, since_step = now, self.step
                        self._sample(self.step // per_epoch)
                save, stop = asked.after_step(self.step, epoch_ends)
                if save:
                    self.save()
                if stop and self.step < self.total_steps:
                    reason = f"stopped after step {self.step} of {self.total_steps}"
                    self.announce(f"{reason}; --resume auto goes on from here")
                    raise stop(reason)
        path = self.run.folder / "model.safetensors"
        with self.world.together():
            if self.world.is_main:
                save_weights(self.model, path, step=self.step)
        return path

    def train_step(self) -> float:
        """One optimizer step; returns its learning rate. Never waits for the device."""
        c = self.config
        lr = learning_rate(self.step, self.total_steps, self.warmup_steps, c.peak_lr, c.final_lr)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["relative_lr"]
        loss_sum = torch.zeros((), device=self.device)
        for index, (images, masking) in enumerate(self.batches.micro_batches(self.step)):
            last = index == c.accumulate - 1
            with nullcontext() if last or self.world.world_size == 1 else self._forward.no_sync():  # type: ignore[operator]
                with self.autocast():
                    loss = self._forward(images, masking).loss / (c.accumulate / self.batches.weight)
                self.scaler.scale(loss).backward()
            loss_sum += loss.detach()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), c.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.scaler.is_enabled():  # steps that overflow are skipped by the scaler and are no divergence
            norm = norm.nan_to_num(0.0, 0.0, 0.0)
        self.sums += torch.stack([loss_sum, norm.to(loss_sum), torch.ones_like(loss_sum)])
        self.step += 1
        return lr

    def autocast(self) -> Any:
        """Mixed precision for the forward pass, by what was chosen."""
        return torch.autocast(self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32")

    # -- bookkeeping ---------------------------------------------------------------------------------------------

    def _log(self, lr: float) -> float:
        """Write the means since the last line to `metrics.jsonl`; returns the loss."""
        loss, norm, _ = self._means()
        self.sums.zero_()
        line = {
            "step": self.step,
            "epoch": round(self.step / self.batches.steps_per_epoch, 4),
            "loss": loss,
            "lr": lr,
            "grad_norm": norm,
        }
        self.run.write(line)
        return loss

    def _means(self) -> list[float]:
        """Mean loss and gradient norm since the last line, over all processes; TrainingDiverged where they are not finite."""
        sums: Tensor = self.world.all_reduce_mean(self.sums)
        means = (sums / sums[2].clamp(min=1)).tolist()
        if not all(map(math.isfinite, means)):
            good = f"step {self._saved_at} is saved" if self._saved_at >= 0 else "nothing was saved yet"
            raise TrainingDiverged(
                f"loss {means[0]}, gradient norm {means[1]} near step {self.step}; the last good state of {good}. "
                "Lower base_lr, lengthen warmup_epochs, or use precision fp32"
            )
        return means

    def save(self) -> None:
        """Write a checkpoint, unless the state is not finite or already saved."""
        if self.step == self._saved_at:
            return
        self._means()
        sums = self.world.all_gather(self.sums)
        with self.world.together():
            if self.world.is_main:
                self._save(sums)
        self._saved_at = self.step

    def _save(self, sums: Tensor) -> None:
        self.run.begin(self.step)
        state = {
            "format": FORMAT, "config": asdict(self.model.config),
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict(),
            "step": self.step, "seconds": self.seconds, "sums": sums, "torch_random": torch.get_rng_state(),
        }  # fmt: skip
        save_checkpoint(self.run.checkpoints, self.step, state, self.config.keep_checkpoints)

    def _resume(self, beginning: str) -> str:
        """Take the state of the newest good checkpoint; returns what to tell the user."""
        path = newest_checkpoint(self.run.checkpoints, self.announce, self._restore)
        if path is None:
            step = self.run.steps_written()
            if step > self.batches.steps_per_epoch or (self.run.folder / "model.safetensors").exists():
                raise ValueError(
                    f"the run in {self.run.folder} has trained to step {step}, and no checkpoint is left in "
                    f"{self.run.checkpoints}: begin a new one with --overwrite, or choose another --out"
                )
            return f"{beginning}: no checkpoint in {self.run.checkpoints}"
        epoch = self.step / self.batches.steps_per_epoch
        return f"resumes at epoch {epoch:.2f} of {self.config.epochs} (step {self.step}) from {path}"

    def _restore(self, path: Path, state: dict[str, Any]) -> Path:
        """Take a state, whatever raises where it cannot be this run's; returns the path."""
        step, sums = state["step"], state["sums"]
        if type(step) is not int or not 0 < step <= self.total_steps:
            raise ValueError(f"it is of step {step!r} of {self.total_steps}")
        if sums.dim() != 2 or sums.shape[1:] != self.sums.shape:
            raise ValueError(f"its sums have the shape {tuple(sums.shape)}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        check_state(self.optimizer, may_be_empty=self.scaler.is_enabled())  # the scaler may have skipped all steps
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["torch_random"])
        self.step, self.seconds = step, float(state["seconds"])
        # Each process goes on with its own sums; another number of processes shares all of them.
        mine = sums[self.world.rank] if len(sums) == self.world.world_size else sums.mean(0)
        self.sums = mine.to(self.device)
        self._saved_at = step
        return path

    def _sample(self, epoch: int) -> None:
        if self.sample and self.world.is_main and self.config.sample_epochs and epoch % self.config.sample_epochs == 0:
            self.model.eval()
            self.run.sample(self.sample(self.model), epoch)
            self.model.train()

    def announce(self, text: str) -> None:
        """Print a line, from the main process only."""
        if self.world.is_main:
            say(text)
