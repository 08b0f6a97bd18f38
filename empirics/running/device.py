"""Devices: a card for every worker, arithmetic that can be repeated, and what is recorded of both."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from empirics.experiment import ExperimentError

__all__ = ["arithmetic", "card_of", "cards_of", "check_device", "facts", "take_card"]

#: Name of the environment variable with the cards that a process sees, and of ours with those of all local workers.
VISIBLE, SHARED_OUT = "CUDA_VISIBLE_DEVICES", "THERMO_THEORY_CARDS"


def check_device(device: str) -> None:
    """Refuse a device that torch does not know or cannot reach, or that has no numbers.

    Raises
    ------
    ExperimentError
        If it cannot be used; the message names those that can.
    """
    import torch

    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        reason = str(error).splitlines()[0].rstrip(".")
        raise ExperimentError(f"device {device!r} cannot be used; available: {', '.join(known)} ({reason})") from None


def cards_of(workers: int, device: str) -> list[str]:
    """Cards for the workers of this machine, one each, in the words of CUDA_VISIBLE_DEVICES; none on a CPU.

    Raises
    ------
    ExperimentError
        If there is no card, or fewer than workers.
    """
    kind, _, number = device.partition(":")
    if kind != "cuda":
        check_device(device)
        return []
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise ExperimentError(f"cluster local:{workers}: device {device!r} cannot be used: no card was found; give cpu")
    if number and workers > 1:
        raise ExperimentError(
            f"cluster local:{workers}: {workers} workers cannot share the 1 card of device {device!r}: give local:1, "
            f"or cuda for a card each ({count} found)"
        )
    if workers > count:
        raise ExperimentError(
            f"cluster local:{workers}: {workers} workers need a card each, and this machine has {count}: give local:"
            f"{count}"
        )
    seen = os.environ.get(VISIBLE)
    return (seen.split(",") if seen else list(map(str, range(count))))[:workers] if not number else []


def take_card(worker: int) -> None:
    """Let this process see the card of its worker alone; before CUDA is first used."""
    if cards := os.environ.get(SHARED_OUT):
        os.environ[VISIBLE] = cards.split(",")[worker]


class _Arithmetic:
    """How torch computes while any shard of this process runs; shards may run in threads, side by side."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before: tuple[Any, ...] = ()

    @contextlib.contextmanager
    def __call__(self, deterministic: bool) -> Iterator[None]:
        """Compute on one thread, without TF32, which rounds factors to 10 bits, and with deterministic algorithms.

        Torch and BLAS are on one thread because sums that are cut differently among threads round differently.

        Parameters
        ----------
        deterministic
            Use algorithms that give the same bits again on the same card, and refuse operations that have none, until
            the block ends. If false, what was set before stays. When the last block ends everything is as it was
            before the first.

        Yields
        ------
        None
            While it holds.
        """
        import torch

        memory: Any = torch.utils.deterministic
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        with self._lock:
            if self._inside == 0:
                warn = torch.is_deterministic_algorithms_warn_only_enabled()
                self._before = torch.are_deterministic_algorithms_enabled(), warn
                self._before += torch.get_num_threads(), memory.fill_uninitialized_memory
                self._before += cudnn.benchmark, matmul.allow_tf32, cudnn.allow_tf32
            self._inside += 1
            torch.set_num_threads(1)
            matmul.allow_tf32 = cudnn.allow_tf32 = False
            if deterministic:
                os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS may add in another order
                torch.use_deterministic_algorithms(True)
                # Memory is written before it is read; and the fastest convolution of a trial is another one each time.
                memory.fill_uninitialized_memory = cudnn.benchmark = False
        try:
            with threadpool_limits(1):
                yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    on, warn, threads, *kept = self._before
                    torch.set_num_threads(threads)
                    torch.use_deterministic_algorithms(on, warn_only=warn)
                    memory.fill_uninitialized_memory, cudnn.benchmark, matmul.allow_tf32, cudnn.allow_tf32 = kept


#: The one of this process.
arithmetic = _Arithmetic()


def facts(device: str, deterministic: bool) -> dict[str, Any]:
    """What the last bits depend on besides the code: card and driver, CUDA, cuDNN, and how torch computes.

    Examples
    --------
    >>> facts("cpu", deterministic=False)
    {'tf32': False, 'torch_compile': 'off', 'deterministic_algorithms': False}
    """
    import torch

    how = {
        "tf32": False,
        "torch_compile": "off",
        "deterministic_algorithms": deterministic or torch.are_deterministic_algorithms_enabled(),
    }
    if torch.device(device).type != "cuda":
        return how
    if not torch.cuda.is_available():  # this process leads workers elsewhere, whose cards are in the diaries of shards
        return how | {"card": None}
    card = torch.cuda.get_device_properties(torch.device(device))
    return how | {
        "card": card.name,
        "card_memory_gib": round(card.total_memory / 2**30, 1),
        "compute_capability": f"{card.major}.{card.minor}",
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def card_of(device: str) -> dict[str, str]:
    """Name of the card of a device, for the diary of a shard; nothing on a CPU."""
    if not device.startswith("cuda"):
        return {}
    import torch

    return {"card": torch.cuda.get_device_name(torch.device(device))}


def _driver() -> str | None:
    """Version of NVIDIA's driver, if its program is at hand."""
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(said.split()), None)
