"""The three networks of docs/results/watched.md, small, each with data, a loss, and the recipe it is trained with.

A perceptron and a ResNet are trained on scikit-learn's digits. The third is a class of the transformers package (extra
"integrations") with its default initialisation: a language model with LayerNorm whose queries and keys are normalised
one head at a time.
"""

import os
import sysconfig
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from empirics.data.loading import load
from empirics.data.table import Data

os.environ["HF_HUB_OFFLINE"] = "1"  # configurations alone are used, nothing is fetched


class Momentum:
    """SGD with momentum 0.9 along a cosine to 0, weight decay on everything."""

    lr, momentum, weight_decay, clip = 0.1, 0.9, 5e-4, None

    def decays(self, parameter):
        return True

    def optimizer(self, groups):
        return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum)

    def schedule(self, optimizer, steps):
        return CosineAnnealingLR(optimizer, steps)


class Adam:
    """AdamW with gradients clipped, a warm-up and a cosine to a tenth, weight decay on matrices."""

    lr, weight_decay, clip, warm_up = 3e-3, 0.1, 1.0, 60

    def decays(self, parameter):
        return parameter.ndim > 1

    def optimizer(self, groups):
        return torch.optim.AdamW(groups, lr=self.lr, betas=(0.9, 0.95))

    def schedule(self, optimizer, steps):
        rising = LinearLR(optimizer, 1 / self.warm_up, total_iters=self.warm_up - 1)
        falling = CosineAnnealingLR(optimizer, steps - self.warm_up, eta_min=self.lr / 10)
        return SequentialLR(optimizer, [rising, falling], [self.warm_up])


class Digits:
    """Scikit-learn's digits: 1,347 images of 8 x 8 to train on, 450 to test; minibatches without replacement."""

    batch, every, steps, seeds = 64, 10, 420, 8

    def __init__(self):
        data = load(Data(name="digits-images", test_share=0.25))
        self.x, self.test_x = (
            torch.as_tensor(x).float().reshape(-1, *data.shape) for x in (data.inputs, data.test_inputs)
        )
        self.y, self.test_y = torch.as_tensor(data.labels), torch.as_tensor(data.test_labels)

    def batches(self, seed):
        draw = torch.Generator().manual_seed(seed)
        while True:
            for rows in torch.randperm(len(self.x), generator=draw).split(self.batch)[: len(self.x) // self.batch]:
                yield self.x[rows], self.y[rows]

    def loss(self, model, batch):
        return cross_entropy(model(batch[0]), batch[1])

    def settle(self, model, seed):
        """Make BatchNorm's running statistics again, for a network that no step has seen."""
        batches = self.batches(1000 + seed)
        torch.optim.swa_utils.update_bn((next(batches)[0] for _ in range(50)), model)

    @torch.no_grad()
    def judge(self, model):
        out = model.eval()(self.test_x)
        model.train()
        accuracy = (out.argmax(1) == self.test_y).float().mean()
        return {"test loss": float(cross_entropy(out, self.test_y)), "accuracy": float(accuracy)}


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


class DigitsResNet(Momentum, Digits):
    """Two basic blocks: 15,000 weights."""

    name = "ResNet on digits"

    def build(self):
        stem = nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
        return nn.Sequential(*stem, Block(16, 16, 1), Block(16, 32, 2), *head)


class DigitsPerceptron(Adam, Digits):
    """Two hidden layers of 64 with LayerNorm: 9,300 weights."""

    name = "perceptron on digits"

    def build(self):
        hidden = [layer for _ in range(2) for layer in (nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU())]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 10))


class Text(Adam):
    """Bytes of Python's own library and a language model of two layers: 100,000 weights."""

    name, steps, batch, every, length, seeds = "language model", 600, 16, 20, 64, 8
    tried = ("as found", "decay x 10 on invariant", "decay on invariant alone", "decay x 10 on invariant alone")

    def __init__(self):
        files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        text = b"".join(path.read_bytes() for path in files)
        codes = torch.as_tensor(np.frombuffer(text, np.uint8).astype("i8")).clamp(max=127)
        at = int(0.9 * len(codes))
        self.codes, self.held_out = codes[:at], codes[at:]

    def build(self):
        from transformers import CohereConfig, CohereForCausalLM

        return CohereForCausalLM(
            CohereConfig(
                vocab_size=128, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=4, max_position_embeddings=self.length, use_qk_norm=True, logit_scale=1.0,
                pad_token_id=0, bos_token_id=0, eos_token_id=0,
            )
        )  # fmt: skip

    def _pieces(self, codes, starts):
        return codes[starts[:, None] + torch.arange(self.length)]

    def batches(self, seed):
        draw = torch.Generator().manual_seed(seed)
        while True:
            yield self._pieces(self.codes, torch.randint(len(self.codes) - self.length, (self.batch,), generator=draw))

    def loss(self, model, batch):
        return model(input_ids=batch, labels=batch).loss

    @torch.no_grad()
    def judge(self, model):
        model.eval()
        starts = torch.randint(len(self.held_out) - self.length, (512,), generator=torch.Generator().manual_seed(0))
        losses = [model(input_ids=b, labels=b).loss for b in self._pieces(self.held_out, starts).split(64)]
        model.train()
        return {"test loss": float(torch.stack(losses).mean())}
