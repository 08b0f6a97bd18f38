"""A network trained in a plain loop, and saved the way nanoGPT, timm, Lightning and the Trainer of transformers do."""

import argparse
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear, one_hot


class Normed(nn.Module):
    """Two layers whose weight matrices are divided by their norms, a frozen head, and a mask that is a buffer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.randn(6, n)) for n in (8, 6))
        self.register_buffer("head", 5 * torch.eye(3, 6))

    def forward(self, x):
        for weight in (self.first, self.second):
            x = torch.relu(linear(x, weight / weight.norm()))
        return linear(x, self.head)


def trained(steps, every, *, lr=0.3, wd=0.03, seed=0, burn_in=0):
    """Train by SGD on noisy labels; return states in time order, and r^2 and |g|^2 at every step."""
    torch.manual_seed(seed)
    net = Normed()
    optimizer = torch.optim.SGD([net.first, net.second], lr=lr, weight_decay=wd)
    states, squares, slopes = [], [], []
    for step in range(steps + 1):
        if step >= burn_in and step % every == 0:
            weights = {name: value.detach().clone() for name, value in net.state_dict().items()}
            states.append(SimpleNamespace(step=step, weights=weights, optimizer=optimizer.state_dict()))
        x = torch.randn(16, 8)
        y = torch.where(torch.rand(16) < 0.3, torch.randint(0, 3, (16,)), x[:, :3].argmax(1))
        optimizer.zero_grad()
        cross_entropy(net(x), one_hot(y, 3).float()).backward()
        squares.append(sum(float(p.detach().square().sum()) for p in net.parameters()))
        slopes.append(sum(float(p.grad.square().sum()) for p in net.parameters()))
        optimizer.step()
    return states, np.array(squares), np.array(slopes)


def save_as_nanogpt(states, folder):
    """A dictionary with "model", whose names have the prefix of a compiled module, and "iter_num".

    The optimiser has a second group, of tensors without weight decay.
    """
    for state in states:
        groups = [*state.optimizer["param_groups"], {"lr": 0.3, "weight_decay": 0.0, "params": [2]}]
        model = {f"_orig_mod.{name}": value for name, value in state.weights.items()}
        torch.save(
            {
                "model": model,
                "optimizer": state.optimizer | {"param_groups": groups},
                "model_args": {"n_layer": 2, "bias": False},
                "iter_num": state.step,
                "best_val_loss": torch.tensor(1.0),
                "config": {"learning_rate": 0.3, "out_dir": "out"},
            },
            folder / f"ckpt_{state.step}.pt",
        )


def save_as_timm(states, folder):
    """One file an epoch, with the script's arguments, and two copies."""
    for epoch, state in enumerate(states):
        names = [f"checkpoint-{epoch}", *(["last", "model_best"] if state is states[-1] else [])]
        arguments = argparse.Namespace(model="normed", lr=0.3, opt="sgd", img_size=None)
        stored = {"epoch": epoch, "arch": "normed", "state_dict": state.weights, "optimizer": state.optimizer}
        for name in names:
            torch.save(stored | {"version": 2, "args": arguments, "metric": 50.0}, folder / f"{name}.pth.tar")


def save_as_lightning(states, folder):
    """Names with epoch and step, the epoch the same for several files, and last.ckpt."""
    for state in states:
        names = [f"epoch={state.step // 1000}-step={state.step}", *(["last"] if state is states[-1] else [])]
        stored = {
            "epoch": state.step // 1000,
            "global_step": state.step,
            "pytorch-lightning_version": "2.5.0",
            "state_dict": {f"model.{name}": value for name, value in state.weights.items()},
            "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": None, "dirpath": "checkpoints"}},
            "optimizer_states": [state.optimizer],
            "lr_schedulers": [],
        }
        for name in names:
            torch.save(stored, folder / f"{name}.ckpt")


def save_as_transformers(states, folder):
    """A folder for each, with the weights and files that hold none."""
    for state in states:
        inner = folder / f"checkpoint-{state.step}"
        inner.mkdir()
        torch.save(state.weights, inner / "pytorch_model.bin")
        torch.save(state.optimizer, inner / "optimizer.pt")
        torch.save({"last_epoch": state.step}, inner / "scheduler.pt")


def save_by_other_names(states, folder):
    """Names whose order is not that of time, which is in the files."""
    for i, state in enumerate(states):
        stored = {"model_state_dict": state.weights, "optimizer_state_dict": state.optimizer, "step": state.step}
        torch.save(stored, folder / f"part{100 - i}.pth")
