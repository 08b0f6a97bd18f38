"""Print the benchmarks: ``python -m benchmarks [NAME ...] [--quick] [--format json]``, from a checkout."""

import argparse
import json
import os
import sys
from dataclasses import asdict

os.environ.setdefault("OMP_NUM_THREADS", "1")


def main() -> int:
    """Run the named benchmarks and print their rows; exit code 2 for an unknown name."""
    from benchmarks import NAMES, bench, table

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="less work and fewer rounds, for a first impression")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="output format")
    asked, rows = parser.parse_args(), []
    try:
        for row in bench(asked.names or NAMES, asked.quick):
            print(
                f"{row.name}: {row.ratio:.1f} times as fast as the strongest of the others, {row.strongest}",
                file=sys.stderr,
                flush=True,
            )
            rows.append(row)
    except LookupError as error:
        parser.error(str(error.args[0]))
    print(json.dumps([asdict(row) for row in rows], indent=1) if asked.format == "json" else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
