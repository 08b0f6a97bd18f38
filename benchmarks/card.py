"""What a card can do, and what a step asks of it: peaks, kernels, seconds. All of it also works on a CPU, to be tested.

Times are wall-clock seconds between two waits for the device, the best of three.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["launches", "memory", "peaks", "seconds", "traffic", "wait"]


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device, least: float = 0.2) -> float:
    """Seconds per call: a first one that does not count, then as many as fill `least` seconds, three times."""

    def timed(repeats: int) -> float:
        wait(device)
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        wait(device)
        return (time.perf_counter() - start) / repeats

    timed(1)
    repeats = max(1, round(least / timed(1)))
    return min(timed(repeats) for _ in range(3))


def peaks(device: torch.device, size: int = 8192, length: int = 2**28, least: float = 0.2) -> dict[str, float]:
    """Measured operations per second of a square matrix product, by precision, and bytes per second of a copy.

    Parameters
    ----------
    device
        Where.
    size
        Rows of the matrices.
    length
        Float32 numbers of the copy, each read and written.
    least
        As for :func:`seconds`.
    """
    found = {}
    before = torch.backends.cuda.matmul.allow_tf32
    for name, dtype in (("float32", torch.float32), ("TF32", torch.float32), ("bfloat16", torch.bfloat16)):
        if name == "TF32" and device.type != "cuda":
            continue
        a = torch.randn(size, size, device=device).to(dtype)
        out = torch.empty_like(a)
        torch.backends.cuda.matmul.allow_tf32 = name == "TF32"
        try:
            found[name] = 2 * size**3 / seconds(partial(torch.matmul, a, a, out=out), device, least)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
    source = torch.ones(length, device=device)
    target = torch.empty_like(source)
    found["memory"] = 8 * length / seconds(partial(target.copy_, source), device, least)
    return found


def launches(work: Callable[[], object], device: torch.device) -> int | None:
    """Kernels and copies that a call gives to a card; on a CPU the operators of torch that call no other.

    None if the profiler sees nothing of the card, as where its counters are reserved for root.

    >>> one, two = torch.ones(3), torch.ones(3)
    >>> launches(lambda: one.add_(two).mul_(two), torch.device("cpu"))
    2
    """
    cuda = device.type == "cuda"
    wait(device)
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as seen:
        work()
        wait(device)
    if cuda:
        return sum(event.device_type == DeviceType.CUDA for event in seen.events()) or None
    return sum(event.name.startswith("aten::") and not event.cpu_children for event in seen.events())


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of what every operator is given and returns, unless it is a view."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            met = [one for one in tree_leaves((args, kwargs, found)) if isinstance(one, Tensor)]
            self.bytes += sum(one.numel() * one.itemsize for one in met)
        return found


def traffic(work: Callable[[], object]) -> int:
    """Bytes that the operators of torch read and write in a call, each by itself; what is not torch's is not seen.

    >>> one, two = torch.ones(3), torch.ones(3)
    >>> traffic(lambda: one.add_(two.view(3)))  # two are read, one is written
    36
    """
    with _Traffic() as seen:
        work()
    return seen.bytes


def memory(device: torch.device) -> int | None:
    """Bytes held at most since the last call; None on a CPU."""
    if device.type != "cuda":
        return None
    held = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return held
