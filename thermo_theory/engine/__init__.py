"""Machinery without physics: steps, chains, derivations, formulas, operations, their evaluation and printing."""
