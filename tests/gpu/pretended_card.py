"""A CUDA card that is not there: tensors say `cuda:0`, hold real numbers, and obey a card's rules.

A tensor on the card wraps a tensor of the host, which has the values. Every operation below autograd passes through
`_run`, which raises what a card would raise, writes down what costs time on a card, and lets the host compute. So all
numbers are the CPU's. What a card does that is not shown: streams and their order, speed, its own rounding, cuDNN, more
than one card.
"""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from card_ledger import LEDGER
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

CARD = torch.device("cuda", 0)
#: Bytes of memory that the card reports.
MEMORY = 80 * 2**30

#: Operations at which the host waits for the card, by torch's documentation or source: the size of the result depends
#: on values, the result is on the host, or (linear algebra) the host looks whether the algorithm converged.
WAITING = frozenset(
    """_local_scalar_dense nonzero masked_select equal is_nonzero _unique2 unique_dim unique_consecutive bincount histc
    repeat_interleave.Tensor _linalg_svd _linalg_eigh linalg_eig linalg_eigvals linalg_lstsq _linalg_check_errors
    """.split()  # noqa: SIM905
)
#: Operations that neither compute nor are views.
IDLE = frozenset(
    "_unsafe_view empty empty_strided empty_like new_empty new_empty_strided is_same_size sym_size".split()  # noqa: SIM905
)
INDEXING = frozenset(("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"))


class _Rule(NamedTuple):
    """What an operation does on a card."""

    name: str
    launches: bool  # at least one kernel
    waits: bool
    makes: bool  # a tensor on a device that it is given
    reshapes: bool  # its argument, in place
    written: tuple[tuple[int, str], ...]  # arguments that it returns, by position and name


@cache
def _rule(func: Any) -> _Rule:
    schema = func._schema
    name = schema.name.partition("::")[2]
    returned = [one.alias_info for one in schema.returns if one.alias_info is not None]
    written = tuple(
        next(
            (i, argument.name)
            for i, argument in enumerate(schema.arguments)
            if argument.alias_info is not None and argument.alias_info.before_set == alias.before_set
        )
        for alias in returned
        if alias.is_write
    )
    view = any(not alias.is_write for alias in returned)
    waits = name in WAITING or f"{name}.{schema.overload_name}" in WAITING
    makes = any(argument.name == "device" for argument in schema.arguments)
    reshapes = torch.Tag.inplace_view in func.tags
    return _Rule(name, not (view or reshapes or name in IDLE), waits, makes, reshapes, written)


class Card(Tensor):
    """A tensor on the card; `inner` has its values."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Card":
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=CARD,
        )
        made.inner = inner
        storage = inner.untyped_storage()
        made.memory = storage._cdata
        LEDGER.allocated(made.memory, storage.nbytes())
        return made

    def __del__(self) -> None:
        LEDGER.freed(self.memory)

    def __repr__(self) -> str:
        return f"Card({self.inner})"

    def tolist(self) -> Any:
        """Torch has none for wrappers."""
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Refuse, in torch's words for a real card, unless forced."""
        if force:
            return self.detach().cpu().numpy()
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor first")

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], context: None, size: Any, stride: Any) -> "Card":
        return Card(inner["inner"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Everywhere(TorchDispatchMode):
    """Brings operations without a tensor of the card, as those that make one, to `_run`."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch's compiler would be imported

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)([_mapped(function, one) for one in value])
    return function(value)


def _inner(value: Any) -> Any:
    return _mapped(lambda one: one.inner if isinstance(one, Card) else one, value)


def _on_card(value: Any) -> Any:
    return _mapped(lambda one: Card(one) if isinstance(one, Tensor) else one, value)


def _collect(values: Any, kind: type, found: list[Any]) -> list[Any]:
    for one in values:
        if isinstance(one, kind):
            found.append(one)
        elif isinstance(one, (list, tuple)):
            _collect(one, kind, found)
    return found


def _on_host(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Let the host compute, on the values."""
    return func(*_inner(args), **{name: _inner(value) for name, value in kwargs.items()})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    rule = _rule(func)
    if rule.name in SPECIAL:
        return SPECIAL[rule.name](func, args, kwargs)
    tensors = _collect((args, tuple(kwargs.values())), Tensor, [])
    cards = [one for one in tensors if isinstance(one, Card)]
    there = bool(cards)
    if rule.makes:
        if (wanted := kwargs.get("device")) is not None:
            there, kwargs = _is_card(wanted), kwargs | {"device": _of_inner(wanted)}
        if kwargs.pop("pin_memory", False):
            return _pinned(func(*args, **kwargs))
    if not there and not cards:
        return func(*args, **kwargs)
    if there:
        _check_generators(func, args, kwargs)
    if rule.name in INDEXING:
        _check_indices(rule.name, *args[1:])
    elif any(not isinstance(one, Card) and one.dim() for one in tensors):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
            f"(when checking arguments of {func})"
        )
    return _done(rule, func, args, kwargs, there)


def _done(rule: _Rule, func: Any, args: Any, kwargs: dict[str, Any], there: bool) -> Any:
    """Compute on the host, and write down what a card would have done."""
    if rule.waits:
        LEDGER.waited(rule.name)
    if rule.launches:
        LEDGER.launches[rule.name] += 1
    found = _on_host(func, args, kwargs)
    if not rule.written:
        return _on_card(found) if there else found
    if rule.reshapes:
        with no_dispatch():
            func(*args, **kwargs)  # the wrapper follows its values
    written = [args[i] if i < len(args) else kwargs[name] for i, name in rule.written]
    for one in _collect(written, Card, []):
        if one.shape != one.inner.shape:
            raise NotImplementedError(f"the pretended card cannot give another size to a tensor ({func})")
    return written[0] if len(written) == 1 else tuple(written)


def _is_card(wanted: Any) -> bool:
    device = torch.device(wanted)
    if device.type == "cuda" and device.index:
        raise RuntimeError("CUDA error: invalid device ordinal")
    return device.type == "cuda"


def _of_inner(wanted: Any) -> torch.device:
    """Where the values are of a tensor that is wanted on a device."""
    return torch.device("cpu") if _is_card(wanted) else torch.device(wanted)


def _check_generators(func: Any, args: Any, kwargs: dict[str, Any]) -> None:
    for one in _collect((args, tuple(kwargs.values())), torch.Generator, []):
        if one.device.type != "cuda":
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu' ({func})")


def _check_indices(name: str, given: Any, values: Tensor | None = None, accumulate: bool = False, *_: Any) -> None:
    indices = _collect(given, Tensor, [])
    masks = [one for one in indices if one.dtype in (torch.bool, torch.uint8)]
    # torch fills where a single mask is set, without looking at it, if the value is one number of the host.
    filled = len(masks) == len(indices) == 1 and isinstance(values, Tensor) and values.numel() == 1 and not accumulate
    if masks and not (filled and not isinstance(values, Card)):
        LEDGER.waited(f"{name} by a mask")
    for one in indices:
        if not isinstance(one, Card):
            LEDGER.copied("to the card", one.nbytes)
            LEDGER.waited(f"{name} by indices of the host")


# Copies ------------------------------------------------------------------------------------------------------------

#: Page-locked memory of the host, by address; it is kept, so that no other tensor gets the address.
_locked: dict[int, Any] = {}


def _pinned(tensor: Tensor) -> Tensor:
    _locked[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
    return tensor


def _is_pinned(tensor: Tensor) -> bool:
    return not isinstance(tensor, Card) and tensor.untyped_storage().data_ptr() in _locked


def _moved(source: Tensor, up: bool, size: int, host: Tensor | None, direct: bool) -> None:
    """Write down a copy; without a wait only between the card and page-locked memory, and as the bytes are."""
    LEDGER.copied("to the card" if up else "to the host", size)
    if not (direct and source.is_contiguous() and (host is None or _is_pinned(host))):
        LEDGER.waited("copy to the card" if up else "copy to the host")


def _to_copy(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    source, wanted = args[0], kwargs.get("device")
    here = isinstance(source, Card)
    there = here if wanted is None else _is_card(wanted)
    kwargs = kwargs | ({"device": _of_inner(wanted)} if wanted is not None else {})
    lock, free = kwargs.pop("pin_memory", False), kwargs.get("non_blocking", False)
    found = _on_host(func, args, kwargs)
    if here != there:
        # To the host without blocking, torch takes page-locked memory for the result.
        _moved(source, there, found.nbytes, source if there else None, free and source.dtype == found.dtype)
    elif here:
        LEDGER.launches["_to_copy"] += 1
    if not there and (lock or (here and free)):
        return _pinned(found)
    return Card(found) if there else found


def _copy_(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    target, source = args[:2]
    up = isinstance(target, Card)
    if up != isinstance(source, Card):
        direct = (args[2] if len(args) > 2 else kwargs.get("non_blocking", False)) and source.dtype == target.dtype
        _moved(source, up, source.numel() * target.element_size(), source if up else target, direct)
    elif up:
        LEDGER.launches["copy_"] += 1
    _on_host(func, args, kwargs)
    return target


def _local_scalar_dense(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if isinstance(args[0], Card):
        LEDGER.copied("to the host", args[0].element_size())
        LEDGER.waited("look at a value (item, bool, float, int)")
    return _on_host(func, args, kwargs)


def _pin_memory(func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
    if isinstance(args[0], Card):
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    return _pinned(args[0].clone())


SPECIAL: dict[str, Callable[..., Any]] = {
    "_to_copy": _to_copy,
    "copy_": _copy_,
    "_local_scalar_dense": _local_scalar_dense,
    "_pin_memory": _pin_memory,
    "is_pinned": lambda func, args, kwargs: _is_pinned(args[0]),
    # The plain program of attention (SDPBackend.MATH): its parts are on the card.
    "_fused_sdp_choice": lambda func, args, kwargs: 0,
}


# torch.cuda --------------------------------------------------------------------------------------------------------


def _sync_debug_mode(mode: int | str) -> None:
    LEDGER.mode = {0: "default", 1: "warn", 2: "error"}.get(mode, mode)


def _reset_peak(device: Any = None) -> None:
    LEDGER.peak = LEDGER.held


PROPERTIES = SimpleNamespace(
    name="a pretended card", total_memory=MEMORY, major=9, minor=0, multi_processor_count=132, L2_cache_size=50 * 2**20
)
INSTEAD: dict[str, Any] = {
    "_lazy_init": lambda: None,
    "is_available": lambda: True,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "is_current_stream_capturing": lambda: False,
    "get_device_name": lambda device=None: PROPERTIES.name,
    "get_device_properties": lambda device=None: PROPERTIES,
    "get_sync_debug_mode": lambda: ("default", "warn", "error").index(LEDGER.mode),
    "set_sync_debug_mode": _sync_debug_mode,
    "synchronize": lambda device=None: LEDGER.waited("synchronize"),
    "mem_get_info": lambda device=None: (MEMORY - LEDGER.held, MEMORY),
    "memory_allocated": lambda device=None: LEDGER.held,
    "max_memory_allocated": lambda device=None: LEDGER.peak,
    "reset_peak_memory_stats": _reset_peak,
    "get_rng_state": lambda device=None: torch.get_rng_state(),
    "set_rng_state": lambda state, device=None: torch.set_rng_state(state),
}


def install() -> None:
    """Put the card into this process, for this thread; autograd too stays in it.

    Threads of autograd's own would let go of our tensors when Python has ended, which aborts the process.
    """
    torch.autograd.set_multithreading_enabled(False)
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(values, device="cuda") is made on the host, then copied
    for name, instead in INSTEAD.items():
        setattr(torch.cuda, name, instead)
    _Everywhere().__enter__()
