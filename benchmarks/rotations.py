"""The rotation of each matrix of a small language model against its stationary value, long after relaxation.

    OMP_NUM_THREADS=1 python -m benchmarks.rotations [adamw|muon] [RELAXATIONS]

A Llama of 2 layers of width 64 (RMSNorm, rotary positions, SwiGLU, no biases), on bytes of Python's standard library,
at constant learning rate and weight decay; with Muon (momentum 0.95, Nesterov) for the matrices of the layers and AdamW
for the rest. Prints the probe's `angular_update` over its stationary value for each kind of matrix.
"""

import argparse
import pathlib
import sysconfig
import time

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention, silu

import empirics
from benchmarks.contest import at_least

WIDTH, HEADS, DEPTH, LENGTH, BATCH = 64, 4, 2, 64, 8
LR, RELAXATION = {"adamw": 2e-3, "muon": 2e-2}, 400  # steps, 1/(2 lr wd)

BETA = 0.95  # Muon's momentum: the step is (1 - b) g + b m, of gradients in the past with these weights
STEP = (1 - BETA) * np.array([1 + BETA, *BETA ** np.arange(2, 1000)])
WHITE = float((STEP**2).sum())  # stationary angle^2 over 2 lr wd where gradients are white


def text():
    files = sorted(pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return torch.frombuffer(bytearray(b"".join(file.read_bytes() for file in files)), dtype=torch.uint8).long()


def turned(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        for name in "qkvo":
            setattr(self, name, nn.Linear(WIDTH, WIDTH, bias=False))
        self.gate, self.up = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.down = nn.Linear(3 * WIDTH, WIDTH, bias=False)
        self.norm1, self.norm2 = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)

    def forward(self, x, cos, sin):
        y = self.norm1(x)
        q, k, v = (one(y).unflatten(-1, (HEADS, -1)).transpose(1, 2) for one in (self.q, self.k, self.v))
        mixed = scaled_dot_product_attention(turned(q, cos, sin), turned(k, cos, sin), v, is_causal=True)
        x = x + self.o(mixed.transpose(1, 2).flatten(2))
        y = self.norm2(x)
        return x + self.down(silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.layers = nn.Embedding(256, WIDTH), nn.ModuleList(Layer() for _ in range(DEPTH))
        self.norm, self.head = nn.RMSNorm(WIDTH), nn.Linear(WIDTH, 256, bias=False)
        half = WIDTH // HEADS // 2
        angles = torch.outer(torch.arange(LENGTH), 1e4 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        for p in self.parameters():
            if p.ndim > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, x):
        x = self.words(x)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return self.head(self.norm(x))


def made(name, model):
    """The optimisers: decay on matrices, with the same relaxation time for both rules."""
    inside = [p for p in model.layers.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    rest = [model.words.weight, model.head.weight]
    decay = {key: 1 / (2 * lr * RELAXATION) for key, lr in LR.items()}
    adamw = [{"params": rest + (inside if name == "adamw" else [])}, {"params": others, "weight_decay": 0.0}]
    found = [torch.optim.AdamW(adamw, lr=LR["adamw"], weight_decay=decay["adamw"], betas=(0.9, 0.95))]
    if name == "muon":
        found.append(torch.optim.Muon(inside, lr=LR["muon"], weight_decay=decay["muon"]))
    return found


def main(name, relaxations):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    start, model, data = time.process_time(), Llama(), text()
    optimizers, generator = made(name, model), torch.Generator().manual_seed(1)
    watch, losses = empirics.watch(model, optimizers[-1], every=16), []
    for _ in range(round(relaxations * RELAXATION)):
        at = torch.randint(len(data) - LENGTH, (BATCH,), generator=generator)
        batch = data[at[:, None] + torch.arange(LENGTH + 1)]
        loss = cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        for one in optimizers:
            one.zero_grad()
        loss.backward()
        for one in optimizers:
            one.step()
        losses.append(float(loss.detach()))
    frame = watch.frame().set_index("group")
    columns = {"rotation / stationary": frame["angular_update"] / frame["angular_equilibrium"]}
    if (
        name == "muon"
    ):  # the stationary rotation above is from the measured balance; this one is that of white gradients
        columns = {"rotation / white": frame["angular_update"] / (WHITE / RELAXATION) ** 0.5}
    columns |= {"balance": frame["balance"], "radial": frame["radial"]}
    kinds = {"q, k": (".q.", ".k."), "v, o": (".v.", ".o."), "MLP": (".gate.", ".up.", ".down.")}
    kinds |= {"embedding, head": ("words.", "head.")} if name == "adamw" else {}
    first, last = (int(frame[end].iloc[0]) for end in ("first", "last"))
    print(f"| {name}, steps {first:,} to {last:,} | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")

    for kind, parts in kinds.items():
        mine = [group for group in frame.index if any(part in group for part in parts)]
        spans = [f"{values[mine].min():.2f} to {values[mine].max():.2f}" for values in columns.values()]
        print(f"| {kind} | {' | '.join(spans)} |", flush=True)
    print(f"\nloss {np.mean(losses[-200:]):.3f}, {time.process_time() - start:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rotations")
    parser.add_argument("name", nargs="?", choices=tuple(LR), default="adamw", help="optimiser (default: %(default)s)")
    parser.add_argument("relaxations", nargs="?", type=at_least(1), default=10.0, help="relaxation times (default: 10)")
    given = parser.parse_args()
    main(given.name, given.relaxations)
