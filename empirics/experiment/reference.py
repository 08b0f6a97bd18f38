"""The reference of experiment files, docs/experiment-file.md, from the tables themselves.

python -m empirics.experiment.reference docs/experiment-file.md
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from empirics.experiment import KINDS, Experiment
from empirics.experiment.schema import TomlTable, show

__all__ = ["page"]

HEAD = """# Experiment files

An experiment is a TOML file; those behind the published results are in `experiments/`. Every key is checked before any
work starts, and for a misspelt key the closest known one is suggested. This page is generated from the code
(`python -m empirics.experiment.reference docs/experiment-file.md`).

Three keys come before the tables: `name`, `kind` (`"network"` or `"isotropic"`) and `seeds`, a list of integers; the
whole grid is run once per seed. A list of rates may be written `{log10 = [-2, -1], count = 5}`.
"""


def page() -> str:
    """Write the page: the tables of every kind, and the default and meaning of every key.

    Examples
    --------
    >>> "| `batch_size` | required |" in page()
    True
    """
    lines = [HEAD]
    for kind in KINDS.names:
        lines += [f"## kind = {show(kind)}", ""]
        for table in _tables(KINDS.get(kind)):
            lines += _section(table)
    return "\n".join(lines).rstrip() + "\n"


def _tables(experiment: type[Experiment]) -> Iterator[type[TomlTable]]:
    """The classes of an experiment's tables, in its order."""
    types = inspect.get_annotations(experiment, eval_str=True)
    for field in dataclasses.fields(experiment):
        kind = types.get(field.name)
        if isinstance(kind, type) and issubclass(kind, TomlTable):
            yield kind


def _section(table: type[TomlTable]) -> list[str]:
    words = inspect.cleandoc(table.__doc__ or "")
    summary = _plain(" ".join(words.split("\n\n")[0].split()))
    fields = {field.name: field for field in dataclasses.fields(table)}
    lines = [f"### {summary}", "", "| key | default | meaning |", "|---|---|---|"]
    for names, meaning in _meanings(words):
        keys = ", ".join(f"`{name}`" for name in names)
        lines.append(f"| {keys} | {', '.join(_default(fields.pop(name)) for name in names)} | {meaning} |")
    lines += [f"| `{name}` | {_default(field)} |  |" for name, field in fields.items()]
    return [*lines, ""]


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is None:
        return "by optimizer"
    return "required" if field.default is dataclasses.MISSING else f"`{show(field.default)}`"


def _plain(text: str) -> str:
    """Turn the text of a docstring into Markdown."""
    return re.sub(r":[a-z]+:`", "`", text.replace("``", "`")).replace("|", "\\|")


def _meanings(words: str) -> list[tuple[list[str], str]]:
    """Read the section "Attributes" of a docstring: names that share a paragraph, and the paragraph."""
    found: list[tuple[list[str], str]] = []
    for line in words.partition("Attributes\n----------\n")[2].splitlines():
        if re.fullmatch(r"[a-z_0-9]+(, [a-z_0-9]+)*", line):
            found.append((line.split(", "), ""))
        elif line.startswith("    ") and found:
            names, text = found[-1]
            found[-1] = (names, f"{text} {_plain(line.strip())}".strip())
    return found


def main() -> None:
    """Write the page to the file named."""
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
