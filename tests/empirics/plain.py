"""The networks of one run, written plainly with torch.nn: the references of the ensembles."""

import itertools

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional


def batch_norm(channels, eps, of=nn.BatchNorm2d):
    return of(channels, eps=eps, affine=False, track_running_stats=False)


class RMS(nn.Module):
    def __init__(self, eps):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return x / (x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()


def mlp(model):
    norms = {"batch": lambda n: batch_norm(n, model.eps, nn.BatchNorm1d), "rms": lambda n: RMS(model.eps)}
    norms["layer"] = lambda n: nn.LayerNorm(n, eps=model.eps, elementwise_affine=False)
    widths = [model.features, *model.hidden]
    layers = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b, bias=False), norms[getattr(model, "norm", "batch")](b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], model.classes, bias=False))


class Images(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.shape, self.eps = model.shape, model.eps
        self.build(model.width)
        self.head = nn.Linear(8 * model.width, model.classes, bias=False)

    def forward(self, x):
        return self.head(self.features(x.view(-1, *self.shape)).mean((2, 3)))

    def conv(self, a, b, size=3, stride=1):
        conv = nn.Conv2d(a, b, size, stride, size // 2, bias=False)
        return nn.Sequential(conv, batch_norm(b, self.eps))


class PlainConvNet(Images):
    def build(self, k):
        layers, a = [], self.shape[0]
        for i, b in enumerate((k, 2 * k, 4 * k, 8 * k)):
            layers += [self.conv(a, b), nn.ReLU()] + [nn.MaxPool2d(2)] * (i < 3)
            a = b
        self.features = nn.Sequential(*layers)


class PlainPaperConvNet(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.shape, layers, a = model.shape, [], model.shape[0]
        for i, b in enumerate(model.width * 2**i for i in range(4)):
            layers += [nn.Conv2d(a, b, 3, 1, 1, bias=False), batch_norm(b, model.eps), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] * (i > 0)
            a = b
        self.features = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.head = nn.Linear(a, model.classes)

    def forward(self, x):
        return self.head(self.features(x.view(-1, *self.shape)))


class BasicBlock(nn.Module):
    def __init__(self, conv, a, b, stride):
        super().__init__()
        self.main = nn.Sequential(conv(a, b, 3, stride), nn.ReLU(), conv(b, b))
        self.shortcut = conv(a, b, 1, stride) if stride > 1 or a != b else nn.Identity()

    def forward(self, x):
        return torch.relu(self.main(x) + self.shortcut(x))


class PlainResNet18(Images):
    def build(self, k):
        layers = [self.conv(self.shape[0], k), nn.ReLU()]
        a = k
        for b, stride in ((k, 1), (2 * k, 2), (4 * k, 2), (8 * k, 2)):
            layers += [BasicBlock(self.conv, a, b, stride), BasicBlock(self.conv, b, b, 1)]
            a = b
        self.features = nn.Sequential(*layers)


class PreActBlock(nn.Module):
    def __init__(self, a, b, stride, eps):
        super().__init__()
        self.norm1, self.conv1 = batch_norm(a, eps), nn.Conv2d(a, b, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = batch_norm(b, eps), nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride > 1:
            self.shortcut = nn.Sequential(batch_norm(a, eps), nn.Conv2d(a, b, 1, stride, bias=False))

    def forward(self, x):
        y = torch.relu(self.norm1(x))
        x = x if self.shortcut is None else self.shortcut(y)
        return x + self.conv2(torch.relu(self.norm2(self.conv1(y))))


class PreActResNet(nn.Module):
    """The paper's ResNet-18, every convolution a module."""

    def __init__(self, model):
        super().__init__()
        k = a = model.width
        self.shape, self.stem = model.shape, nn.Conv2d(model.shape[0], k, 3, 1, 1, bias=False)
        units = []
        for b, stride in ((k, 1), (2 * k, 2), (4 * k, 2), (8 * k, 2)):
            units += [PreActBlock(a, b, stride, model.eps), PreActBlock(b, b, 1, model.eps)]
            a = b
        self.units, self.norm = nn.Sequential(*units), batch_norm(a, model.eps)
        self.head = nn.Linear(a, model.classes, bias=False)

    def forward(self, x):
        x = self.units(self.stem(x.view(-1, *self.shape)))
        return self.head(torch.relu(self.norm(x)).mean((2, 3)))


#: The convolutions of each of our tensors, rows side by side.
STAGES = [
    [[entering, f"units.{i}.conv2", f"units.{i + 1}.conv2"], [f"units.{i}.conv1"], [f"units.{i + 1}.conv1"]]
    for i, entering in ((0, "stem"), *((i, f"units.{i}.shortcut.1") for i in (2, 4, 6)))
]


class PlainPreActResNet18(nn.Module):
    """The same, its convolutions' weights read from parameters like ours."""

    def __init__(self, model):
        super().__init__()
        self.inner = (PreActResNet(model).double(),)  # in a tuple, so that its parameters are none of ours
        self.weights = nn.ParameterList(torch.empty(block.shape) for block in model.blocks)
        self.head = nn.Linear(8 * model.width, model.classes, bias=False)

    def forward(self, x):
        named = {"head.weight": self.head.weight}
        for names, rows in zip(itertools.chain(*STAGES), self.weights, strict=True):
            weights = [self.inner[0].get_parameter(f"{name}.weight") for name in names]
            for name, w, part in zip(
                names, weights, rows.flatten(1).split([w[0].numel() for w in weights], 1), strict=True
            ):
                named[f"{name}.weight"] = part.reshape(w.shape)
        return functional_call(self.inner[0], named, (x,))


class OnSphere(nn.Linear):
    """A linear layer whose matrix acts by its direction alone."""

    def __init__(self, a, b, eps):
        super().__init__(a, b, bias=False)
        self.eps = eps

    def direction(self):
        return self.weight / (self.weight.pow(2).sum() / len(self.weight) + self.eps).sqrt()

    def forward(self, x):
        return functional.linear(x, self.direction())


class PlainUnit(nn.Module):
    """Softmax regression with a weight matrix of norm 1, and a corner of a simplex for every class."""

    def __init__(self, model):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.empty(model.blocks[0].shape)), model.eps
        self.head = nn.Linear(model.classes - 1, model.classes, bias=False)

    def forward(self, x):
        return self.head(x @ self.weight.T) / (self.weight.pow(2).sum() + self.eps).sqrt()


class PlainTransformer(nn.Module):
    def __init__(self, model):
        super().__init__()
        width, eps = model.width, model.eps
        self.channels, self.tokens, self.heads, self.norm = model._channels, model.tokens, model.heads, RMS(eps)
        self.embedding = OnSphere(model.features // model.tokens, width, eps)
        self.position = OnSphere(width, model.tokens, eps)
        made = []
        for _ in range(model.depth):
            sizes = [(width, width)] * 4 + [(width, 4 * width), (4 * width, width)]
            made.append(nn.ModuleList([OnSphere(a, b, eps) for a, b in sizes]))
        self.layers = nn.ModuleList(made)
        self.head = nn.Linear(width, model.classes, bias=False)

    def forward(self, x):
        if self.channels:
            x = x.view(len(x), self.channels, self.tokens, -1).permute(0, 2, 1, 3)
        x = self.embedding(x.reshape(len(x), self.tokens, -1)) + self.position.direction()
        for query, key, value, out, up, down in self.layers:
            h = self.norm(x)
            q, k, v = (f(h).view(*h.shape[:2], self.heads, -1).transpose(1, 2) for f in (query, key, value))
            h = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + out(h)
            x = x + down(functional.gelu(up(self.norm(x))))
        return self.head(self.norm(x).mean(1))


KINDS = {"EnsembleMLP": mlp, "NormedMLP": mlp, "ConvNet": PlainConvNet, "PaperConvNet": PlainPaperConvNet}
KINDS |= {
    "ResNet18": PlainResNet18,
    "PreActResNet18": PlainPreActResNet18,
    "Transformer": PlainTransformer,
    "Unit": PlainUnit,
}


def plain_network(model, weights, frozen):
    """The plain network of one run, with these weights, in float64, its last layer frozen."""
    network = KINDS[type(model).__name__](model).double()
    for parameter, w in zip(network.parameters(), (*weights, *frozen), strict=True):
        assert parameter.shape == w.shape
        parameter.data.copy_(w)
    network.head.requires_grad_(False) if hasattr(network, "head") else network[-1].requires_grad_(False)
    return network
