"""Claims of the user's own: a decorator, files that hold such claims, and who has which name."""

from __future__ import annotations

import inspect
import math
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, ClassVar, TypeVar, overload

import numpy as np

from empirics.claims.base import Claim
from empirics.claims.clusters import clusters_of
from empirics.claims.fits import Estimate, mean_of
from empirics.claims.protocol import KNOBS
from empirics.claims.suite import CLAIMS
from empirics.claims.table import Table
from empirics.claims.verdict import KINDS, Verdict

__all__ = ["ClaimError", "Claims", "claim", "in_words", "load_claims", "together"]

Measurement = Callable[[Table], Any]
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

#: What stands for claims: a file, a claim, or several of these.
Claims = str | Path | Claim | Iterable[str | Path | Claim]

#: Claims that were decorated in this session, outside of files given by name.
_session: dict[str, Claim] = {}

#: Where a decorated claim goes: the file being read, if one is.
_reading: list[dict[str, Claim]] = []


class ClaimError(ValueError):
    """A claim cannot be used; the message is one line that names the file and the claim."""


class _Measured(Claim):
    """A claim in one form, from a function that measures it."""

    kind: ClassVar[str]
    theory: ClassVar[float]
    margin: ClassVar[float]
    needs: ClassVar[tuple[str, ...]]
    source: ClassVar[str]
    measure: ClassVar[Measurement]

    def verdicts(self, table: Table) -> list[Verdict]:
        """Measure, and hold it against the theory."""
        if missing := table.missing(*self.needs):
            return [self.not_measured(table, self.title, self.kind, self.theory, missing)]
        found = _as_estimate(type(self).measure(table), table)
        return [self.verdict(table, self.title, self.kind, self.theory, self.margin, found, self.source)]


def _as_estimate(found: Any, table: Table) -> Estimate:
    """Take an estimate as it is, and the mean of numbers that stand for runs; refuse anything else."""
    if isinstance(found, Estimate):
        return found
    wanted = "return an Estimate (`mean_of`, `fit`) or an array with one finite number for each run"
    try:
        values = np.asarray(found, dtype=float)
    except (TypeError, ValueError):
        raise ClaimError(f"returned {_short(found)}; {wanted}") from None
    if values.ndim != 1 or not len(values):
        raise ClaimError(f"returned {_short(found)}; {wanted}")
    if bad := int((~np.isfinite(values)).sum()):
        raise ClaimError(f"returned {bad} of {len(values)} numbers that are not finite; {wanted}")
    return mean_of(values, clusters_of(table) if len(values) == table.used.sum() else None)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"


@overload
def claim(what: type[Claim]) -> type[Claim]: ...


@overload
def claim(
    what: str,
    *,
    title: str,
    kind: str,
    theory: float,
    margin: float,
    protocols: Sequence[str] = ...,
    optimizers: Sequence[str] = ...,
    needs: Sequence[str] = ...,
    source: str = ...,
) -> Callable[[Decorated], Decorated]: ...


def claim(
    what: Any,
    *,
    title: str = "",
    kind: str = "",
    theory: float = math.nan,
    margin: float = math.nan,
    protocols: Sequence[str] = ("fixed-lr",),
    optimizers: Sequence[str] = ("sgd",),
    needs: Sequence[str] = (),
    source: str = "",
) -> Any:
    """Make a claim of a function that measures it, or of a class.

    Parameters
    ----------
    what : str, or a class derived from `Claim`
        The claim's name, which no other claim may have; or, without brackets, above a class that judges a claim in
        several forms.
    title : str
        The claim in words.
    kind : {"identity", "symmetry", "physics"}
        What it stands on: true of any stationary run (a gate, no evidence), of any scale-invariant loss, or only with
        further assumptions.
    theory, margin : float
        The value derived, and how far off still counts as equal: fixed before the runs are looked at.
    protocols, optimizers : sequence of str
        For which runs it is stated ("fixed-lr", "fixed-elr", "fixed-sphere"; "sgd", "momentum", ...).
    needs : sequence of str
        Variables of the summary without which it is "not measured".
    source : str
        Where the theory comes from.

    Returns
    -------
    callable
        A decorator, which leaves the function as it is. The function takes a `Table` and returns an `Estimate`, or an
        array with one number per run, of which the mean is judged.

    Raises
    ------
    ClaimError
        If the name is taken or what the claim declares is not possible.

    Examples
    --------
    >>> @claim("V3", title="Mine", kind="physics", theory=1.0, margin=0.05)
    ... def measure(table):
    ...     return table.values("temperature")
    Traceback (most recent call last):
    ...
    empirics.claims.own.ClaimError: ...: claim 'V3' is already there, in thermo-theory: choose another name
    """
    if isinstance(what, type) and issubclass(what, Claim):
        _register(_instance(what), what)
        return what
    if not isinstance(what, str):
        raise ClaimError(
            f"{_place(what)}: @claim needs a name and what is claimed, "
            'as @claim("my claim", title=..., kind=..., theory=..., margin=...)'
        )

    def decorate(function: Decorated) -> Decorated:
        if not callable(function):
            raise ClaimError(f"claim {what!r}: @claim stands above a function, not above a {type(function).__name__}")
        said = {"title": title, "kind": kind, "theory": theory, "margin": margin, "source": source}
        lists = {"protocols": protocols, "optimizers": optimizers, "needs": needs}
        for key, value in lists.items():
            if isinstance(value, str):
                raise ClaimError(f"{_place(function)}: claim {what!r}: {key} is {value!r}; give a list, as [{value!r}]")
        members = said | {key: tuple(value) for key, value in lists.items()}
        made = type("OwnClaim", (_Measured,), members | {"name": what, "measure": staticmethod(function)})
        _register(_instance(made), function)
        return function

    return decorate


def _instance(kind: type[Claim]) -> Claim:
    """Make the claim; refuse a class that is not complete."""
    try:
        return kind()
    except TypeError as error:
        raise ClaimError(f"{_place(kind)}: claim {kind.__name__!r}: {error}") from None


def _place(defined: Any) -> str:
    """File in which a function or class is defined, as the user would name it."""
    try:
        path = Path(inspect.getsourcefile(defined) or "")
    except (TypeError, OSError):
        path = Path()
    if not path.suffix:  # a notebook or a prompt
        return "this session"
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _register(made: Claim, defined: Any) -> None:
    """Enter a claim among those of the file being read, or of the session, unless its name is taken or it is wrong."""
    made.origin = _place(defined)
    if wrong := _wrong(made):
        raise ClaimError(f"{made.origin}: claim {getattr(made, 'name', defined.__name__)!r}: {wrong}")
    target = _reading[-1] if _reading else _session
    twice = target.get(made.name)
    # A cell of a notebook that is run again means the same claim again.
    if twice is not None and (_reading or twice.origin != made.origin):
        raise ClaimError(f"{made.origin}: claim {made.name!r} is already there, in {twice.origin}: choose another name")
    together(CLAIMS, {}, [made])
    target[made.name] = made


def _wrong(made: Claim) -> str:
    """What is not possible in what a claim says of itself; empty if nothing."""
    for name in ("name", "title"):
        text = getattr(made, name, None)
        if not isinstance(text, str) or not text.strip():
            return f"its {name} is {text!r}; give a text"
    protocols = getattr(made, "protocols", ())
    if not protocols or not set(protocols) <= set(KNOBS):
        return f"its protocols are {', '.join(map(str, protocols)) or 'none'}; give some of {', '.join(KNOBS)}"
    if not isinstance(made, _Measured):
        return ""
    if made.kind not in KINDS:
        return f"its kind is {made.kind!r}; give one of {', '.join(KINDS)}"
    for name in ("theory", "margin"):
        value = getattr(made, name)
        if not isinstance(value, int | float | np.number) or not math.isfinite(value):
            return f"its {name} is {value!r}; give a number"
    if made.margin <= 0:
        return f"its margin is {made.margin:g}; give a positive number, fixed before the runs are looked at"
    return ""


@contextmanager
def _into(target: dict[str, Claim]) -> Iterator[None]:
    """Enter what is decorated meanwhile there."""
    _reading.append(target)
    try:
        yield
    finally:
        _reading.pop()


def load_claims(path: str | Path) -> tuple[Claim, ...]:
    """Read the claims of a Python file, which is executed.

    Parameters
    ----------
    path : str or pathlib.Path
        The file, in which claims are made with the decorator `claim`.

    Returns
    -------
    tuple of Claim
        In the order of the file; they are not remembered.

    Raises
    ------
    ClaimError
        If there is no such file, it cannot be executed, or it holds no claim.
    """
    file = Path(path)
    if not file.is_file():
        raise ClaimError(f"no file {file}: give a Python file with claims")
    spec = spec_from_file_location(f"_claims_of_{abs(hash(file.resolve())):x}", file) if file.suffix == ".py" else None
    if spec is None or spec.loader is None:
        raise ClaimError(f"{file} is not a Python file: give one that ends in .py")
    module, found = module_from_spec(spec), dict[str, Claim]()
    sys.modules[spec.name] = module  # dataclasses and pickle look there
    try:
        with _into(found):
            spec.loader.exec_module(module)
    except ClaimError:
        raise
    except (Exception, SystemExit) as error:
        raise ClaimError(f"{file}: {in_words(error, str(file))}") from error
    finally:
        del sys.modules[spec.name]
    if not found:
        raise ClaimError(f'{file}: no claim in it; make one with @claim("name", ...) from empirics.claims')
    return tuple(found.values())


def in_words(error: BaseException, origin: str) -> str:
    """Say in one line what was raised, and in which line of the file it comes from."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    text, file = " ".join(str(error).split()), Path(origin).resolve()
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == file]
    return type(error).__name__ + (f": {text}" if text else "") + (f" (line {lines[-1]})" if lines else "")


def together(built_in: Sequence[Claim], session: dict[str, Claim] | None = None, own: Claims = ()) -> dict[str, Claim]:
    """All claims by name: those that come with the package, those of the session, and the ones given.

    By default the session's are what was decorated in it. One of `own`, files or claims, that the session has too, from
    the same file, takes its place.

    Raises
    ------
    ClaimError
        If two have one name, or a file cannot be used.
    """
    found = {one.name: one for one in built_in} | (_session if session is None else session)
    given: dict[str, Claim] = {}
    for item in [own] if isinstance(own, str | Path | Claim) else own:
        for one in load_claims(item) if isinstance(item, str | Path) else [item]:
            if not isinstance(one, Claim):
                raise ClaimError(f"claims must be files or claims, got {_short(one)}")
            there = given.get(one.name, found.get(one.name))
            if there is not None and there is not one and (one.name in given or there.origin != one.origin):
                raise ClaimError(
                    f"{one.origin}: claim {one.name!r} is already there, in {there.origin}: choose another name"
                )
            given[one.name] = one
    return found | given
