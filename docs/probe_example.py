"""The worked example of docs/probe.md: a small ResNet on digits, trained as people train, and a probe on it.

OMP_NUM_THREADS=1 python docs/probe_example.py
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import empirics
from empirics.data.loading import load
from empirics.data.table import Data

EPOCHS, BATCH, LR, MOMENTUM = 30, 64, 0.1, 0.9


class Block(nn.Module):
    """A basic block: two 3x3 convolutions, BatchNorm with weight and bias, a shortcut."""

    def __init__(self, before, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.short = nn.Identity() if before == width else nn.Conv2d(before, width, 1, stride, bias=False)

    def forward(self, x):
        h = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(h)) + self.short(x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1, self.layer2 = Block(16, 16, 1), Block(16, 32, 2)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.layer2(self.layer1(torch.relu(self.bn(self.conv(x)))))
        return self.fc(x.mean((2, 3)))


def digits():
    data = load(Data(name="digits-images", test_share=0.25))
    shape = (-1, *data.shape)
    pairs = (data.inputs, data.labels), (data.test_inputs, data.test_labels)
    return [(torch.as_tensor(x).float().reshape(shape), torch.as_tensor(y)) for x, y in pairs]


def train(seed, groups, probed=False):
    (x, y), (test_x, test_y) = digits()
    torch.manual_seed(seed)
    model = ResNet()
    optimizer = torch.optim.SGD(groups(model), lr=LR, momentum=MOMENTUM)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    probe = empirics.watch(model, optimizer, every=10) if probed else None
    said = []
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH)[: len(x) // BATCH]:
            optimizer.zero_grad()
            loss = cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
        if probe and epoch in (EPOCHS // 3, EPOCHS - 1):
            said.append([probe.line(), *probe.warnings()])
            if epoch == EPOCHS // 3:
                table = probe.frame()
    model.eval()
    with torch.no_grad():
        out = model(test_x)
        result = float(cross_entropy(out, test_y)), float((out.argmax(1) == test_y).float().mean())
    return (result, said, table) if probe else (result, said, None)


def everything(decay):
    return lambda model: [{"params": list(model.parameters()), "weight_decay": decay}]


def weights_only(decay):
    """Decay for the tensors that the probe found scale-invariant; here these are the ones that feed a BatchNorm."""

    def groups(model):
        decayed = [p for name, p in model.named_parameters() if p.ndim == 4 and "short" not in name]
        ids = set(map(id, decayed))
        rest = [p for p in model.parameters() if id(p) not in ids]
        return [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]

    return groups


CHOICES = {
    "5e-4 on everything": everything(5e-4),
    "5e-4 on scale-invariant": weights_only(5e-4),
    "5e-3 on everything": everything(5e-3),
    "5e-3 on scale-invariant": weights_only(5e-3),
}


def main(seeds):
    torch.set_num_threads(1)
    for name, groups in CHOICES.items():
        found = [train(seed, groups, probed=seed == 0) for seed in range(seeds)]
        losses, right = np.array([result for result, _, _ in found]).T
        print(f"\n## {name}: test loss {losses.mean():.4f} +- {losses.std(ddof=1) / seeds**0.5:.4f}, "
              f"accuracy {right.mean():.4f} +- {right.std(ddof=1) / seeds**0.5:.4f} ({seeds} seeds)")  # fmt: skip
        _, said, table = found[0]
        for moment in said:
            print(*moment, sep="\n")
        columns = ["group", "blocks", "effective_lr", "balance", "equilibrium_share", "relaxation_steps",
                   "angular_update", "angular_equilibrium", "pv_over_rt"]  # fmt: skip
        print(table[table["scale_invariant"]][columns].to_string(index=False, float_format="{:.3g}".format), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
