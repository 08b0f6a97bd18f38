"""Dask distributed as the executor of a run: a cluster of processes on this machine, or an existing scheduler.

Also a preload of Dask workers (``--preload empirics.running.cluster``): they then leave Ctrl-C to the process that
leads the run, which asks the shards to save and stop.
"""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

from empirics.experiment import ExperimentError
from empirics.running.device import SHARED_OUT, cards_of, take_card
from empirics.running.provenance import PACKAGES, version_of

__all__ = ["connected", "dask_setup"]

#: How long to wait for the scheduler, and for its first worker, in seconds.
PATIENCE = 30

_FORMS = "local:N for N processes on this machine, or tcp://HOST:PORT of a Dask scheduler"


@contextlib.contextmanager
def connected(address: str, device: str = "cpu") -> Iterator[Executor]:
    """Connect to a Dask cluster, or start one on this machine for as long as the block runs.

    Parameters
    ----------
    address
        ``local:N`` for N worker processes on this machine, or the address of a scheduler, ``tcp://host:port`` or
        ``tls://host:port``.
    device
        Of a cluster on this machine every worker gets a card of its own where the device is ``"cuda"``.

    Yields
    ------
    concurrent.futures.Executor
        For :func:`empirics.run`.

    Raises
    ------
    ExperimentError
        If there is no such cluster, it has no workers, or its workers are unsuitable; before any worker starts, if
        there are fewer cards than workers.

    Examples
    --------
    >>> with connected("local:many"):
    ...     pass
    Traceback (most recent call last):
    ...
    empirics.experiment.schema.ExperimentError: cluster local:many: must be local:N for N processes on this ...
    """
    kind, _, rest = address.partition(":")
    if kind == "local" and rest.isdecimal() and int(rest) > 0:
        with _local(int(rest), cards_of(int(rest), device)) as there, _client(there, address) as client:
            yield client.get_executor(pure=False)
    elif kind in ("tcp", "tls") and rest.startswith("//") and rest[2:]:
        with _client(address, address) as client:
            yield client.get_executor(pure=False)
    else:
        raise ExperimentError(f"cluster {address}: must be {_FORMS}")


@contextlib.contextmanager
def _local(workers: int, cards: Sequence[str]) -> Iterator[Any]:
    """Start worker processes on this machine, each with its card if there are any, until the block ends."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=0,  # a worker that nears a limit would be killed; whether a shard fits is asked before
        dashboard_address=None,
        silence_logs=logging.ERROR,
        preload=[__name__],
        env={SHARED_OUT: ",".join(cards)},
    ) as there:
        yield there


@contextlib.contextmanager
def _client(there: Any, address: str) -> Iterator[Any]:
    """Connect to a scheduler until the block ends; refuse one without workers, or with unsuitable ones."""
    from distributed import Client

    try:
        client = Client(there, timeout=PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ExperimentError(f"cluster {address}: no Dask scheduler there ({str(error).splitlines()[0]})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise ExperimentError(
                f"cluster {address}: has no workers: start some, `dask worker {address} --nthreads 1 --nworkers N`"
            ) from None
        _check(client, address)
        yield client


def _check(client: Any, address: str) -> None:
    """Refuse workers with several threads, or with other versions of the packages that the numbers depend on."""
    for worker, threads in client.nthreads().items():
        if threads != 1:
            raise ExperimentError(
                f"cluster {address}: worker {worker} has {threads} threads: start workers with --nthreads 1, "
                "and as many of them (--nworkers) as there are cores"
            )
    found = client.run(_versions)
    for worker, versions in found.items():
        for package, ours in _versions().items():
            if versions[package] != ours:
                raise ExperimentError(
                    f"cluster {address}: worker {worker} has {package} {versions[package]}, here it is {ours}: install "
                    "the same versions everywhere, or the numbers depend on which worker did what"
                )


def _versions() -> dict[str, str]:
    """Versions of the packages that the numbers depend on."""
    return {package: version_of(package) for package in PACKAGES}


def dask_setup(worker: Any) -> None:
    """Take a card of its own, and leave Ctrl-C to the process that leads the run; Dask calls this in every worker.

    Parameters
    ----------
    worker
        The Dask worker, in the main thread of its process.
    """
    take_card(worker.name)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
