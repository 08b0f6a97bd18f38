"""The two networks of docs/results/watched.md: somebody else's designs, small, with data and a loss.

Both are classes of the transformers package (extra "integrations") with its default initialisation: a ResNet with
affine BatchNorm, and a language model with LayerNorm whose queries and keys are normalised one head at a time.
"""

import os
import sysconfig
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy, pad

from empirics.data.loading import load
from empirics.data.table import Data

os.environ["HF_HUB_OFFLINE"] = "1"  # configurations alone are used, nothing is fetched


class Images:
    """CIFAR-10 images from files and a ResNet of basic blocks: 80,000 weights, momentum SGD along a cosine."""

    name, steps, batch, every = "resnet", 1000, 64, 20
    lr, momentum, weight_decay = 0.1, 0.9, 5e-4

    def __init__(self, path, kept, samples=6400, tested=2000):
        if not kept.exists():  # decoding all files takes longer than a run
            data = load(Data(name="images", path=str(path), samples=samples))
            x, test_x = (np.asarray(a, "f4").reshape(-1, *data.shape) for a in (data.inputs, data.test_inputs))
            rows = np.random.default_rng(0).permutation(len(test_x))[:tested]
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.savez(kept, x=x, y=data.labels, test_x=test_x[rows], test_y=np.asarray(data.test_labels)[rows])
        with np.load(kept) as held:
            self.x, self.y, self.test_x, self.test_y = (
                torch.as_tensor(held[name]) for name in ("x", "y", "test_x", "test_y")
            )

    def build(self):
        from transformers import ResNetConfig, ResNetForImageClassification

        return ResNetForImageClassification(
            ResNetConfig(
                num_channels=3, embedding_size=16, hidden_sizes=[16, 32, 64], depths=[1, 1, 1], layer_type="basic",
                num_labels=10,
            )
        )  # fmt: skip

    def batches(self, seed):
        """Minibatches without replacement, images mirrored and moved by up to two pixels."""
        draw = torch.Generator().manual_seed(seed)
        while True:
            for rows in torch.randperm(len(self.x), generator=draw).split(self.batch):
                x = self.x[rows]
                mirrored = torch.rand(len(x), 1, 1, 1, generator=draw) < 0.5
                x = pad(torch.where(mirrored, x.flip(3), x), (2, 2, 2, 2))
                down, right = torch.randint(5, (2,), generator=draw).tolist()
                yield x[:, :, down : down + 32, right : right + 32], self.y[rows]

    def loss(self, model, batch):
        return cross_entropy(model(batch[0]).logits, batch[1])

    def settle(self, model, seed):
        """Make BatchNorm's running statistics again, for a network that no step has seen."""
        batches = self.batches(1000 + seed)
        torch.optim.swa_utils.update_bn((next(batches)[0] for _ in range(50)), model)

    @torch.no_grad()
    def judge(self, model):
        model.eval()
        out = torch.cat([model(x).logits for x in self.test_x.split(500)])
        model.train()
        return {
            "test loss": float(cross_entropy(out, self.test_y)),
            "accuracy": float((out.argmax(1) == self.test_y).float().mean()),
        }


class Text:
    """Bytes of Python's own library and a language model of two layers: 100,000 weights, AdamW with warm-up."""

    name, steps, batch, every, length = "transformer", 600, 16, 20, 64
    lr, weight_decay, warm_up, clip = 3e-3, 0.1, 60, 1.0

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
