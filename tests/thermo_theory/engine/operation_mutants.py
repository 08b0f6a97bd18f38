"""Wrong versions of the source of an operation, and whether its battery of tests notices.

The source of the operation and of the helpers in its module is parsed, one place of it is changed (a sign, a number, a
dropped term or guard, exchanged arguments, the other side of an equation, ...), and the function is compiled again in
its module's namespace, which registers it. Then the tests of that operation run.
"""

from __future__ import annotations
import __future__

import ast
import copy
import importlib
import inspect
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise, product
from pathlib import Path
from types import ModuleType
from typing import Any

from thermo_theory.engine.operations import OPERATIONS

#: A mutant that takes longer, in seconds of the processor, is caught.
PATIENCE = 5.0

_OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}

_PAIRS = (
    "lhs rhs",
    "Zero One",
    "Add Mul",
    "Ge Le",
    "sin cos",
    "min max",
    "is_positive is_negative",
    "numer denom",
    "SymProduct SkewProduct",
    "NoiseMean NoiseVariance",
    "Integral Sum",
)
_OTHER = {name: other for pair in _PAIRS for one, two in [pair.split()] for name, other in ((one, two), (two, one))}

#: Functions whose arguments have no order.
_UNORDERED = {"Add", "Dot", "Mul", "Tuple", "atoms", "has", "max", "min"}

#: Functions of one argument that a slip may forget; not those that only write the same in another way.
_TAKEN_OFF = {"Expectation", "Generator", "Inverse", "NoiseMean", "NoiseVariance", "Tr", "exp", "log", "numer", "sqrt"}

_WORDS: dict[Any, Any] = {True: False, False: True, "+": "-"}


@dataclass(frozen=True)
class Mutant:
    """One changed place in a function, and the function with it."""

    words: str
    module: ModuleType
    function: ast.FunctionDef

    def __str__(self) -> str:
        return f"{self.function.name}: {self.words}"


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """What a slip would make of one node."""

    def changed(**fields: Any) -> ast.AST:
        new = copy.copy(node)
        for name, value in fields.items():
            setattr(new, name, value)
        return new

    match node:
        case ast.Constant(value=bool() | "+"):
            yield ast.Constant(_WORDS[node.value])
        case ast.Constant(value=int()):
            yield ast.Constant(node.value + 1)
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield node.operand
        case ast.BinOp():
            yield from (changed(op=other()) for other in _OPERATORS.get(type(node.op), ()))
            yield node.left
            if not isinstance(node.op, ast.Pow):
                yield node.right
        case ast.AugAssign():
            yield from (changed(op=other()) for other in _OPERATORS.get(type(node.op), ()))
        case ast.BoolOp():
            yield from (changed(op=other()) for other in _OPERATORS[type(node.op)])
            for k in range(len(node.values)):
                rest = node.values[:k] + node.values[k + 1 :]
                yield changed(values=rest) if len(rest) > 1 else rest[0]
        case ast.Compare(ops=[op]):
            yield from (changed(ops=[other()]) for other in _OPERATORS[type(op)])
        case ast.IfExp():
            yield from (node.body, node.orelse, changed(body=node.orelse, orelse=node.body))
        case ast.If():
            yield changed(test=ast.Constant(False))
            yield changed(test=ast.UnaryOp(ast.Not(), node.test))
        case ast.comprehension():
            if node.ifs:
                yield changed(ifs=[])
            if ast.unparse(node.iter) == "equation.args":
                backwards = ast.Slice(step=ast.UnaryOp(ast.USub(), ast.Constant(1)))
                yield changed(iter=ast.Subscript(node.iter, backwards, ast.Load()))
        case ast.Call(args=[one], keywords=[], func=function) if ast.unparse(function).rpartition(".")[2] in _TAKEN_OFF:
            yield one
        case ast.Dict(values=[one, other, *rest]):
            yield changed(values=[other, one, *rest])
        case ast.Attribute(attr=name) if name in _OTHER:
            yield changed(attr=_OTHER[name])
        case ast.Name(id=name) if name in _OTHER:
            yield changed(id=_OTHER[name])
        case ast.Call(args=[_, _, *_]) if ast.unparse(node.func).rpartition(".")[2] not in _UNORDERED:
            for k, (one, other) in enumerate(pairwise(node.args)):
                if ast.dump(one) != ast.dump(other) and not isinstance(other, ast.Starred):
                    yield changed(args=[*node.args[:k], other, one, *node.args[k + 2 :]])


def _places(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function's body that do something: no words, types or messages."""
    waiting: list[ast.AST] = list(reversed(function.body))
    while waiting:
        node = waiting.pop()
        named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"
        if isinstance(node, ast.Raise | ast.JoinedStr) or named or getattr(node, "arg", "") == "strict":
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        yield node
        waiting += [
            part for part in reversed([*ast.iter_child_nodes(node)]) if part is not getattr(node, "annotation", 0)
        ]


class _Put(ast.NodeTransformer):
    """Put one node for another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else self.generic_visit(node)


@cache
def _functions(module: ModuleType) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(Path(inspect.getfile(module)).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def registered() -> set[str]:
    """The operations of the package, not those that a test registers."""
    return {name for name, one in OPERATIONS.items() if one.__module__.startswith("thermo_theory.")}


@cache
def targets() -> dict[tuple[str, str], list[str]]:
    """Every operation, and every helper that one reaches in its module, with the operations that reach it."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in sorted(registered()):
        module = OPERATIONS[name].__module__
        known, reached = _functions(sys.modules[module]), [name]
        for one in reached:
            used = {node.id for node in ast.walk(known[one]) if isinstance(node, ast.Name)}
            reached += [other for other in known if other in used - {*reached, *OPERATIONS, "operation"}]
        for one in reached:
            found.setdefault((module, one), []).append(name)
    return found


def mutants(target: tuple[str, str]) -> Iterator[Mutant]:
    """Every mutant of a function's source, in the order of the source."""
    module = sys.modules[target[0]]
    function, seen = _functions(module)[target[1]], Counter[str]()
    for place, node in enumerate(_places(function)):
        for number, _ in enumerate(_variants(node)):
            fresh = copy.deepcopy(function)
            old = next(part for k, part in enumerate(_places(fresh)) if k == place)
            new = next(part for k, part in enumerate(_variants(old)) if k == number)
            words = f"{_short(old)} -> {_short(new)}"
            seen[words] += 1
            changed = ast.fix_missing_locations(_Put(old, new).visit(fresh))
            yield Mutant(words + (f" ({seen[words]})" if seen[words] > 1 else ""), module, changed)


def _short(node: ast.AST) -> str:
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}"
    return " ".join(ast.unparse(node).split())


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The mutant in the place of the function."""
    namespace, name = vars(mutant.module), mutant.function.name
    before, operations = namespace[name], dict(OPERATIONS)
    code = compile(
        ast.Module([mutant.function], []),
        f"<{mutant}>",
        "exec",
        __future__.annotations.compiler_flag,
        dont_inherit=True,
    )
    try:
        exec(code, namespace)
        yield
    finally:
        namespace[name] = before
        OPERATIONS.clear()
        OPERATIONS.update(operations)


class TookTooLong(BaseException):
    """A mutant does not end."""


def _ring(*_: object) -> None:
    raise TookTooLong


def caught(mutant: Mutant, battery: list[Callable[[], None]]) -> bool:
    """Whether a test of the operation fails with the mutant in place."""
    before = signal.signal(signal.SIGVTALRM, _ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        with planted(mutant):
            for test in battery:
                test()
    except (Exception, TookTooLong, _failed()):
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return False


def _failed() -> type[BaseException]:
    import pytest

    return pytest.fail.Exception  # no Exception: what pytest.raises raises where nothing was raised


@cache
def batteries() -> dict[str, list[Callable[[], None]]]:
    """The tests of each operation: those called test_NAME (and more), or those that take its name as an argument."""
    found: dict[str, list[Callable[[], None]]] = {}
    for path in sorted(Path(__file__).parent.glob("test_operations_*.py")):
        for word, test in vars(importlib.import_module(path.stem)).items():
            for values in _cases(test) if word.startswith("test_") else ():
                name = values.get("name", word.removeprefix("test_"))
                known = [one for one in OPERATIONS if f"{name}_".startswith(f"{one}_")]
                found.setdefault(max(known, key=len, default=name), []).append(partial(test, **values))
    return found


def _cases(test: Any) -> Iterator[dict[str, Any]]:
    """The arguments that pytest would give a test."""
    choices = []
    for mark in getattr(test, "pytestmark", ()):
        if mark.name != "parametrize":
            return
        names, values = mark.args
        listed = [part.strip() for part in names.split(",")] if isinstance(names, str) else list(names)
        choices.append([dict(zip(listed, row if len(listed) > 1 else (row,), strict=True)) for row in values])
    for chosen in product(*choices):
        yield {name: value for part in chosen for name, value in part.items()}
