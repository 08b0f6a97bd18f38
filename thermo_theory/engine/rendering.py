"""How derivations are shown: as text, LaTeX, Markdown, and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from thermo_theory.engine.printing import latex_words, to_latex, to_text
from thermo_theory.engine.registry import Registered

__all__ = ["Rendered", "html_table", "text_table"]


class Rendered(Registered):
    """The faces of a derivation; `Derivation` has the contents."""

    if TYPE_CHECKING:
        steps: tuple[Any, ...]

        @property
        def kind(self) -> str:  # noqa: D102
            ...

        @property
        def assumptions(self) -> tuple[str, ...]:  # noqa: D102
            ...

    def _brackets(self) -> str:
        where = [str(self.protocol)] if self.protocol is not None else []
        if self.assumptions:
            where.append("assumes " + ", ".join(self.assumptions))
        return f"[{'; '.join([*where, f'{len(self.steps)} steps'])}]"

    def __repr__(self) -> str:
        claim = to_text(self.steps[-1].equation)
        return f"{claim}{'    ' if chr(10) not in claim else chr(10)}{self._brackets()}"

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.summary}", self._brackets(), f"Kind: {self.kind}. Source: {self.source}.", ""]
        lines += [f"{step}\n" for step in self.steps]
        lines += ["Every step is checked by `verify()` in explicit examples that do not use these formulas:"]
        lines += [f"  - {maker.__doc__}" for maker in self.worlds]
        return "\n".join(lines)

    def to_latex(self) -> str:
        """Return the derivation as a LaTeX document that compiles as it stands (it uses amsmath and amssymb)."""
        lines = [
            r"\documentclass{article}",
            r"\usepackage{amsmath,amssymb}",
            r"\begin{document}",
            rf"\section*{{{latex_words(self.title)}}}",
            rf"{latex_words(self.summary)}.",
            rf"Assumes: {latex_words(', '.join(self.assumptions) or 'nothing')}.",
            rf"Kind: {self.kind}. Source: {latex_words(self.source)}.",
        ]
        for step in self.steps:
            words = latex_words(step.done + (f": {step.because}" if step.because else ""))
            lines.append(rf"\begin{{equation}}\tag{{{step.number}}} {to_latex(step.equation)} \end{{equation}}")
            lines.append(rf"\noindent\textit{{{words}.}}")
        return "\n".join([*lines, r"\end{document}", ""])

    def to_markdown(self) -> str:
        """Return the derivation as Markdown with LaTeX formulas."""
        lines = [f"### {self.title}", "", f"{self.summary}.", "", f"$$ {to_latex(self.steps[-1].equation)} $$", ""]
        lines += [
            f"*Assumes:* {', '.join(self.assumptions) or 'nothing'}. *Kind:* {self.kind}. *Source:* {self.source}."
        ]
        for step in self.steps:
            words = step.done + (f": {step.because}" if step.because else "")
            lines += ["", f"({step.number}) {words}", "", f"$$ {to_latex(step.equation)} $$"]
        return "\n".join(lines) + "\n"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {to_latex(self.steps[-1].equation)}\\qquad\\text{{{latex_words(self._brackets())}}}$"


#: Names of the columns of a list of derivations.
_COLUMNS = ("name", "protocol", "kind", "claim")


def text_table(rows: Sequence[tuple[str, str, str, str]]) -> str:
    """Align name, protocol, kind and claim in columns."""
    cells = [_COLUMNS, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in cells
    )


def html_table(rows: Sequence[tuple[str, str, str, str]], formulas: Sequence[str]) -> str:
    """Write the same table for a notebook, with the formula of each claim in LaTeX."""
    head = "".join(f"<th>{column}</th>" for column in (*_COLUMNS, "formula"))
    body = [
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}<td>{formula}</td></tr>"
        for row, formula in zip(rows, formulas, strict=True)
    ]
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"
