"""The book: pages, plots and the dictionary, generated from the derivations themselves."""

from thermo_theory.book.numbers import number
from thermo_theory.book.pages import names, pages_of, write

__all__ = ["names", "number", "pages_of", "write"]
