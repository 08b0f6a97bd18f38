"""The benchmarks of ``thermo-theory bench``, from a checkout: ``python benchmarks/bench.py [NAME ...] [--quick]``."""

import sys

from empirics.cli import main

sys.exit(main(["bench", *sys.argv[1:]]))
