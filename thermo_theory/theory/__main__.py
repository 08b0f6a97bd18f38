"""Find again what is stored of every claim: ``python -m thermo_theory.theory`` (some minutes).

It writes theory/needs.json, what claims need, and typed.pyi, what formulas take.
"""

from __future__ import annotations

import json

from thermo_theory import derivations
from thermo_theory.engine.needs import STORE, record
from thermo_theory.theory import stubs

if __name__ == "__main__":
    stubs.PATH.write_text(stubs.stub(), encoding="utf-8")
    found = {row.title: record(row) for row in derivations()}
    STORE.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
