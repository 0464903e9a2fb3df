"""Several processes, one model: what torchrun says, and the operations that the trainer needs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


class PeerFailed(RuntimeError):
    """Another process of this run has failed, and says why."""

    said_by = "other"


@dataclass(frozen=True)
class World:
    """This process among its peers."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def wrap_ddp(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model, its gradients averaged over all processes."""
        if self.world_size == 1:
            return model
        return nn.parallel.DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)

    def all_reduce_mean(self, value: Tensor) -> Tensor:
        """Mean of a tensor over all processes."""
        if self.world_size > 1:
            value = value.clone()
            dist.all_reduce(value)
            value = value / self.world_size
        return value

    def all_reduce_max(self, value: Tensor) -> Tensor:
        """Largest value of a tensor over all processes."""
        if self.world_size > 1:
            value = value.clone()
            dist.all_reduce(value, dist.ReduceOp.MAX)
        return value

    def all_gather(self, value: Tensor) -> Tensor:
        """The tensors of all processes, stacked by rank."""
        found = [torch.empty_like(value) for _ in range(self.world_size)]
        if self.world_size == 1:
            return value[None]
        dist.all_gather(found, value)
        return torch.stack(found)

    @contextmanager
    def together(self) -> Iterator[None]:
        """No process goes on before all have done the block, and where it fails in one, it fails in all.

        Raises
        ------
        PeerFailed
            The block failed in another process, which raises what went wrong; the first one does where several failed.
        """
        error = None
        try:
            yield
        except Exception as caught:
            error = caught
        if self.world_size > 1:
            device = "cuda" if dist.get_backend() == "nccl" else "cpu"
            failed = self.all_gather(torch.tensor(int(error is not None), device=device)).tolist()
            if any(failed) and failed.index(1) != self.rank:
                raise PeerFailed(f"process {failed.index(1)} of this run has failed") from error
        if error is not None:
            raise error


@contextmanager
def blaming_peers() -> Iterator[None]:
    """A connection that is lost within it is no fault of this process: `PeerFailed` is raised in its place."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise PeerFailed("another process of this run has ended") from error
        raise


def init_distributed(device: str | None = None) -> tuple[World, torch.device]:
    """Join the processes that torchrun started, or be alone; returns the world and this process's device."""
    world = World(
        *(int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    )
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    chosen = torch.device("cuda", world.local_rank) if kind == "cuda" else torch.device(kind)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world.world_size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return world, chosen


def shutdown_distributed() -> None:
    """Part from the other processes, if there are any."""
    if dist.is_initialized():
        dist.destroy_process_group()
