"""Budgets of what a step costs on a card, as ratchets: none may be exceeded, and what has become cheaper is tightened.

``python -m pytest tests/gpu --write-budgets`` writes them anew, for the difference to be read before it is committed.
"""

import json
from pathlib import Path
from typing import Any

import torch

TABLE = Path(__file__).with_name("budgets.json")
#: A cost below this share of its budget asks for a smaller budget.
LOOSE = 0.9


def read() -> dict[str, Any]:
    """The version of torch that was measured, and the budgets of every configuration."""
    found: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return found


def write(name: str, costs: dict[str, float]) -> None:
    """Make the costs of a configuration its budget; memory is rounded up to two digits."""
    budget = costs | {memory: _two_digits(costs[memory]) for memory in ("bytes taken in a step", "peak bytes")}
    budgets = (read()["budgets"] if TABLE.exists() else {}) | {name: budget}
    version = json.dumps(torch.__version__.partition("+")[0])
    rows = ",\n".join(f"  {json.dumps(one)}: {json.dumps(budgets[one])}" for one in sorted(budgets))
    TABLE.write_text(f'{{"torch": {version}, "budgets": {{\n{rows}\n}}}}\n', encoding="utf-8")


def _two_digits(size: float) -> int:
    unit = 10 ** max(0, len(str(int(size))) - 2)
    return -(-int(size) // unit) * unit


def broken(costs: dict[str, float], budget: dict[str, float]) -> list[str]:
    """Say which costs exceed their budget, and which are far below it.

    Examples
    --------
    >>> broken({"launches per step": 99, "bytes per step": 0}, {"launches per step": 90, "bytes per step": 64})
    ['launches per step: 99, over its budget of 90', 'bytes per step: 0, far below its budget of 64: tighten it']
    """
    found = []
    for name, limit in budget.items():
        if costs[name] > limit:
            found.append(f"{name}: {costs[name]:g}, over its budget of {limit:g}")
        elif costs[name] < LOOSE * limit:
            found.append(f"{name}: {costs[name]:g}, far below its budget of {limit:g}: tighten it")
    return found
