"""The stub lists, for type checkers, the arguments that formulas take."""

import os
import subprocess
import sys

import pytest

from thermo_theory.theory.stubs import PATH, stub

RIGHT = """from thermo_theory import FixedELR, FixedLR, vmf
FixedLR.temperature(eta=0.1, lam=0.1, sigma=[1.0, 2.0], d=11)
FixedLR.with_optimizer("adamw").radius(eta=0.1, lam=0.1, d=11, invalid="nan")
FixedELR.temperature(eta_eff=0.1, sigma=1.0)
vmf.energy(d=3, T=1)
"""


def test_the_stub_is_current():
    assert PATH.read_text(encoding="utf-8") == stub(), "python -m thermo_theory.theory"


@pytest.mark.long
def test_a_type_checker_knows_the_arguments(tmp_path):
    wrong = RIGHT.replace("eta=", "lr=").replace("eta_eff=", "eta=").replace("T=", "kappa=").replace("d=11, in", "in")
    for text, faults in ((RIGHT, 0), (wrong, 4)):
        (tmp_path / "cell.py").write_text(text)
        command = [
            sys.executable,
            "-m",
            "mypy",
            "--follow-imports",
            "silent",
            "--cache-dir",
            str(tmp_path / "cache"),
            "cell.py",
        ]
        here = os.environ | {"MYPYPATH": str(PATH.parents[1])}  # mypy does not see an editable installation
        done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, check=False)
        assert done.stdout.count("error: ") == faults, done.stdout
