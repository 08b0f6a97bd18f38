"""What docs/results/tiny.md says beside its tables, and the trial's numbers (isotropic share, ratio) it draws."""

TRIAL = {
    "∫T dS/ΔU": [(0, 0.824), (0.49, 0.880), (0.79, 0.962), (0.95, 0.993)],
    "∫(Var L/T²)dT/ΔU": [(0, 4.69), (0.49, 1.94), (0.79, 1.20), (0.95, 0.99)],
}
START = """# Networks small enough to mix
""".splitlines()
END = []
