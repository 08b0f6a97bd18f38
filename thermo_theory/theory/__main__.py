"""Find again what every claim needs: ``python -m thermo_theory.theory`` writes theory/needs.json (some minutes)."""

from __future__ import annotations

import json

from thermo_theory import derivations
from thermo_theory.engine.needs import STORE, record

if __name__ == "__main__":
    found = {row.title: record(row) for row in derivations()}
    STORE.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
