"""Loss of averaged copies of the gas against R T/N, hot and cold; run as a script it prints a table of docs."""

import math

import torch
from copies import Gas

from empirics.steering.averaging import SphereAverage, averaged_loss, effective_samples
from thermo_theory import FixedLR, vmf

D, COPIES, KEPT = 30, 100, 40


def averaged(lr: float, weight_decay: float) -> tuple[float, ...]:
    """Temperature times d/2, loss of a copy and of its average over the R T/N predicted, exact U over R T."""
    rates = {"eta": lr, "lam": weight_decay, "sigma": 1.0, "d": D}
    radius, heat = FixedLR.radius(**rates), FixedLR.temperature(**rates)
    relaxation = radius**2 / lr
    gas = Gas(COPIES, D, radius, seed=3)
    optimizer = torch.optim.SGD(gas.parameters(), lr=lr, weight_decay=weight_decay)
    average, spacing, single = SphereAverage(gas, {"weights": COPIES}), max(1, round(relaxation / 2)), 0.0
    for step in range(1, (KEPT + 16) * spacing + 1):
        gas.backward()
        optimizer.step()
        if step > 16 * spacing and step % spacing == 0:
            average.update(gas)
            single += gas.measure()[0] / KEPT
    samples = effective_samples(KEPT, correlation=math.exp(-spacing / relaxation))
    predicted = averaged_loss(heat, (D - 1) / 2, samples)
    exact = float(vmf.energy(d=D, T=heat))
    return heat * D / 2, single, average.module.measure()[0], predicted, exact / ((D - 1) / 2 * heat)


if __name__ == "__main__":
    print("| T d/2 | loss of a sample | of the average | R T/N | ratio | U/RT |\n| --- | --- | --- | --- | --- | --- |")
    for lr, decay in ((0.004, 0.01), (0.008, 0.02), (0.02, 0.04), (0.04, 0.1), (0.1, 0.2)):
        warm, single, mean, predicted, exact = averaged(lr, decay)
        print(f"| {warm:.3f} | {single:.4f} | {mean:.5f} | {predicted:.5f} | {mean / predicted:.2f} | {exact:.2f} |")
