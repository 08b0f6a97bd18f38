"""``python -m thermo_theory.book FOLDER`` writes the book into a folder."""

import sys
from pathlib import Path

from thermo_theory.book.pages import write

if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
    sys.exit("usage: python -m thermo_theory.book FOLDER")
sys.stdout.write(f"{write(Path(sys.argv[1]))} files in {sys.argv[1]}\n")
