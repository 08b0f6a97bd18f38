"""The book: pages, plots and the dictionary, generated from the derivations themselves."""

from thermo_theory.book.pages import names, number, page, write

__all__ = ["names", "number", "page", "write"]
