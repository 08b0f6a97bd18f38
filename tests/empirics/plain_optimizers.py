"""Optimisers that torch does not have, or only to bfloat16, by their formulas: one run, one tensor after the other."""

import torch


def polar(matrix):
    """U Vᵀ of the 2-D matrix, by SVD in float64."""
    left, sizes, right = torch.linalg.svd(matrix.double().flatten(1), full_matrices=False)
    rank = int((sizes > 1e-13 * sizes[0]).sum())
    return (left[:, :rank] @ right[:rank]).view_as(matrix).to(matrix.dtype)


class Plain:
    """Steps on a list of tensors, with the interface of torch.optim."""

    def __init__(self, weights, name, lr, weight_decay=0.0, momentum=0.0, beta2=0.999, eps=0.0, scale=1.0):
        self.weights, self.name, self.momentum, self.beta2 = list(weights), name, momentum, beta2
        self.eps, self.scale, self.age = eps, scale, 0
        self.param_groups = [{"lr": lr, "weight_decay": weight_decay}]
        self.first, self.second = ([torch.zeros_like(w) for w in self.weights] for _ in range(2))

    def zero_grad(self):
        for w in self.weights:
            w.grad = None

    @torch.no_grad()
    def step(self):
        lr, decay = self.param_groups[0]["lr"], self.param_groups[0]["weight_decay"]
        self.age += 1
        whole = sum(float(w.grad.square().sum()) for w in self.weights) ** 0.5
        steps = [self.of_tensor(w, i, decay, whole) for i, w in enumerate(self.weights)]
        for w, step in zip(self.weights, steps, strict=True):
            kept = 1 if self.name in ("lars", "lamb") else 1 - lr * decay
            w.mul_(kept).sub_(lr * step)

    def of_tensor(self, w, i, decay, whole):
        beta, beta2, g, m, v = self.momentum, self.beta2, w.grad, self.first[i], self.second[i]
        if self.name == "signsgd":
            return g.sign()
        if self.name == "normalised-sgd":
            return g / whole
        if self.name == "lion":
            pushed = beta * m + (1 - beta) * g
            m.copy_(beta2 * m + (1 - beta2) * g)
            return pushed.sign()
        if self.name == "muon":
            m.copy_(beta * m + (1 - beta) * g)
            return self.scale * polar(beta * m + (1 - beta) * g)
        if self.name == "lars":
            pull = g + decay * w
            m.copy_(beta * m + w.norm() * pull / pull.norm())
            return m.clone()
        assert self.name == "lamb"
        m.copy_(beta * m + (1 - beta) * g)
        v.copy_(beta2 * v + (1 - beta2) * g**2)
        pull = m / (1 - beta**self.age) / ((v / (1 - beta2**self.age)).sqrt() + self.eps) + decay * w
        return w.norm() * pull / pull.norm()
