"""The slow, obvious reference: one run, torch.nn, torch.optim, a plain loop."""

import torch
from plain_optimizers import Plain
from torch import nn

from empirics.training.sampling import Drawing, Minibatches, Stream


def torch_optimizer(weights, run, training):
    decay = 0.0 if run.protocol == "fixed-sphere" else run.weight_decay
    rate = run.effective_lr if run.protocol == "fixed-elr" else run.lr
    adam = {"betas": (training.momentum, training.beta2), "eps": training.optimizer_eps}
    if run.optimizer == "sgd":
        return torch.optim.SGD(weights, lr=rate, weight_decay=decay)
    if run.optimizer in ("momentum", "nesterov"):
        nesterov = run.optimizer == "nesterov"
        return torch.optim.SGD(weights, rate, momentum=training.momentum, weight_decay=decay, nesterov=nesterov)
    if run.optimizer not in ("adamw", "adam-l2"):
        settings = training.momentum, training.beta2, training.optimizer_eps, training.scale
        return Plain(weights, run.optimizer, rate, decay, *settings)
    kind = {"adamw": torch.optim.AdamW, "adam-l2": torch.optim.Adam}[run.optimizer]
    return kind(weights, lr=rate, weight_decay=decay, **adam)


def squared(tensors):
    return sum(float(t.detach().square().sum()) for t in tensors)


def plain_loop(network, run, training, inputs, labels, steps):
    """Train the network's trainable parameters in place; yields them after every step."""
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch_optimizer(weights, run, training)
    picks = Minibatches(Drawing((run,), training.batch_size, torch.device("cpu")), len(labels), Stream.MINIBATCH)
    for step in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(inputs[picks.at(step)]), labels[picks.at(step)])
        loss.backward()
        if run.protocol == "fixed-elr":
            power = 0.5 if training.adaptive else 1
            optimizer.param_groups[0]["lr"] = run.effective_lr * squared(weights) ** power
        optimizer.step()
        if run.protocol == "fixed-sphere":
            with torch.no_grad():
                scale = run.radius / squared(weights) ** 0.5
                for w in weights:
                    w.mul_(scale)
        yield weights
