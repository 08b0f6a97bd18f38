"""Tables that studies and benchmarks print, kept as summaries: ``python docs/results/printed.py NAME ...`` runs them.

A page asks for them by name: ``{{ plans tables }}`` are all that the program printed, ``{{ plans table.2 }}`` is the
second, ``{{ plans cell.2.1.5 }}`` the fifth cell of its first row, and ``{{ plans made }}`` says by what, when and on
what.
"""

import os
import re
import subprocess
import sys

import stored

from empirics.running import provenance

ROOT = stored.HERE.parents[1]
#: By name: the words after ``python`` that print the tables, from the root of a checkout.
PROGRAMS = {
    "attacks": "tests/empirics/claims/study_attack.py",
    "averages": "tests/empirics/steering/study_averaging.py",
    "benchmarks": "-m benchmarks",
    "coverage": "tests/empirics/claims/test_coverage.py",
    "entropies": "tests/empirics/measure/study_entropy.py",
    "measuring": "-m benchmarks.measuring",
    "plans": "tests/empirics/isotropic/study_plans.py",
    "probe-cost": "-m benchmarks.probe",
    "rotations": "-m benchmarks.rotations",
    "scaling": "-m benchmarks.scaling",
}


def tables(lines):
    """Tables in Markdown among printed lines: each a list of its lines."""
    return [found.splitlines() for found in re.findall(r"(?:^\|.*\n)+", "\n".join([*lines, ""]), flags=re.MULTILINE)]


def asked(name, query):
    """A table, or one of its cells, or how they were made; a remark in place of what nobody has measured yet.

    Raises
    ------
    ValueError
        If nothing of the kind was printed.
    """
    if not (stored.SUMMARIES / f"{name}.json").exists():
        return f"(No result is stored: `python docs/results/printed.py {name}` measures and stores it.)"
    printed, (kind, *places) = stored.load(name).more[name], query.split(".")
    if kind == "made":
        return f"`python docs/results/printed.py {name}`, {printed['day']}, {printed['machine']}"
    if kind == "tables":
        return "\n\n".join("\n".join(one) for one in tables(printed["lines"]))
    table, *cell = (int(place) - 1 for place in places or ["1"])
    found = tables(printed["lines"])
    if not 0 <= table < len(found):
        raise ValueError(f"{name} printed {len(found)} tables, none is number {table + 1}")
    if kind == "table":
        return "\n".join(found[table])
    row, column = cell
    return re.split(r"(?<!\\)\|", found[table][2 + row])[1 + column].strip()


def record(name):
    """Run a program, and keep what it prints."""
    words = PROGRAMS[name].split()
    here = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'empirics'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=here, stdout=subprocess.PIPE, text=True, check=True)
    now = provenance.session("cpu", {})
    versions = ", ".join(f"{one} {now['versions'][one]}" for one in ("python", "torch", "numba"))
    path = ROOT / (words[1].replace(".", "/") if words[0] == "-m" else words[0])
    kept = {"day": now["started"][:10], "machine": f"{now['machine']['cpu']}, {versions}"}
    sources = sorted(path.glob("*.py")) or [path if path.suffix else path.with_suffix(".py")]
    stored.record_study(name, kept | {"lines": done.stdout.splitlines()}, sources)


if __name__ == "__main__":
    for name in sys.argv[1:] or PROGRAMS:
        record(name)
