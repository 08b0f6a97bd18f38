"""The probe on networks of timm and transformers, initialised at random: groups known by theory, and exact numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from test_probe_oracle import Oracle
from torch import nn
from torch.nn.functional import cross_entropy

import empirics

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("default")]

SMALL = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 64}  # fmt: skip


class Case(NamedTuple):
    """A network, and what its groups are.

    `groups` have their numbers of blocks; names may stand for all layers by `*`. `others`: whether there are more.
    """

    build: Callable[[], nn.Module]
    groups: dict[str, int]
    dead: list[str] = []  # noqa: RUF012
    others: bool = False


def loaded(name: str) -> Any:
    """Import a package, or skip: a torchvision built for another torch raises a RuntimeError."""
    try:
        return pytest.importorskip(name)
    except RuntimeError as error:
        pytest.skip(f"{name} does not load: {error}")


def image_model(name: str, **settings: Any) -> nn.Module:
    return loaded("timm").create_model(name, num_classes=10, **settings)


def language_model(name: str, **settings: Any) -> nn.Module:
    transformers = loaded("transformers")
    config = {**SMALL, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, **settings}
    return getattr(transformers, f"{name}ForCausalLM")(getattr(transformers, f"{name}Config")(**config))


def gpt2() -> nn.Module:
    transformers = loaded("transformers")
    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    config = transformers.GPT2Config(vocab_size=64, n_positions=64, n_embd=32, n_layer=2, n_head=4, **dropout)
    return transformers.GPT2LMHeadModel(config)


def in_layers(found: dict[str, int], layers: int = 2) -> dict[str, int]:
    return {name.replace("*", str(i)): blocks for name, blocks in found.items() for i in range(layers)}


def filters(*names: str) -> dict[str, int]:
    """Convolutions before BatchNorm, with a block per filter; -1 stands for that number."""
    return dict.fromkeys(names, -1)


ATTENTION = "model.layers.*.self_attn."
#: Softmax does not see a shift of all scores of a query, so that the bias of the keys is dead.
CASES = {
    "resnet18": Case(
        lambda: image_model("resnet18"),
        filters("conv1.weight", *(f"layer{i}.{j}.conv{k}.weight" for i in range(1, 5) for j in (0, 1) for k in (1, 2)),
                *(f"layer{i}.0.downsample.0.weight" for i in (2, 3, 4))),
        others=True,  # gains before ReLU and another norm
    ),
    "mobilenetv3": Case(
        lambda: image_model("mobilenetv3_small_050"),
        filters("conv_stem.weight", "blocks.0.0.conv_dw.weight", "blocks.2.1.conv_pwl.weight",
                *(f"blocks.1.0.conv_{name}.weight" for name in ("pw", "dw", "pwl")))
        | {"blocks.1.0.bn1.weight + blocks.1.0.bn1.bias": 40},  # ReLU, depthwise convolution: a block per channel
        others=True,
    ),
    "vit": Case(
        lambda: image_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2), {},
        ["blocks.0.attn.qkv.bias[192:384]", "blocks.1.attn.qkv.bias[192:384]"],
    ),
    "convnext": Case(  # LayerNorm after the depthwise convolutions and the stem
        lambda: image_model("convnext_atto"),
        {f"stages.{i}.blocks.{j}.conv_dw.weight + stages.{i}.blocks.{j}.conv_dw.bias": 1
         for i in range(4) for j in range((2, 2, 6, 2)[i])} | {"stem.0.weight + stem.0.bias": 1},
        others=True,
    ),
    "llama": Case(lambda: language_model("Llama"), {}),
    "gpt2": Case(gpt2, {}, ["transformer.h.0.attn.c_attn.bias[32:64]", "transformer.h.1.attn.c_attn.bias[32:64]"]),
    # Queries and keys are normalised head by head, those of OLMo 2 as a whole; its layers normalise what they add.
    "qwen3": Case(
        lambda: language_model("Qwen3", head_dim=8),
        in_layers({f"{ATTENTION}q_proj.weight": 4, f"{ATTENTION}k_proj.weight": 2}),
    ),
    "cohere": Case(
        lambda: language_model("Cohere", use_qk_norm=True),
        in_layers({f"{ATTENTION}q_proj.weight": 4, f"{ATTENTION}k_proj.weight": 2}),
    ),
    "olmo2": Case(  # with weights large enough for its eps
        lambda: language_model("Olmo2", initializer_range=0.3),
        in_layers({f"{ATTENTION}{name}_proj.weight": 1 for name in "qkvo"}
                  | {f"model.layers.*.mlp.{name}_proj.weight": 1 for name in ("up", "down")}),
    ),
}  # fmt: skip


def minibatch(name: str, generator: torch.Generator) -> Callable[[nn.Module], torch.Tensor]:
    """Return the loss on a new minibatch."""
    if name in ("resnet18", "mobilenetv3", "vit", "convnext"):
        x, y = torch.randn(16, 3, 32, 32, generator=generator), torch.randint(10, (16,), generator=generator)
        return lambda m: cross_entropy(m(x), y)
    words = torch.randint(64, (8, 16), generator=generator)
    return lambda m: m(input_ids=words, labels=words).loss


def optimizer_of(name: str, model: nn.Module) -> torch.optim.Optimizer:
    if name in ("resnet18", "mobilenetv3"):
        return torch.optim.SGD(model.parameters(), lr=0.05, weight_decay=0.01)
    return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1.0)


@pytest.mark.parametrize("name", CASES)
def test_groups_are_those_of_theory_and_rows_those_of_exact_bookkeeping(name):
    case = CASES[name]
    torch.manual_seed(0)
    model, oracle, generator = case.build(), Oracle(), torch.Generator().manual_seed(1)
    optimizer = optimizer_of(name, model)
    watch = empirics.watch(model, optimizer, every=2)
    sizes = {key: len(p) for key, p in model.named_parameters()}
    matrices = [key for key, p in model.named_parameters() if p.ndim > 1]
    first = next((key for key in case.groups if " + " not in key), matrices[-2])
    watched = model.get_parameter(first)
    for _ in range(40):
        optimizer.zero_grad()
        minibatch(name, generator)(model).backward()
        oracle.step(watched, optimizer)
    frame = watch.frame().set_index("group")
    wanted = {key: sizes[key] if blocks < 0 else blocks for key, blocks in case.groups.items()}
    found = frame["blocks"][frame["role"] == "invariant"].to_dict()
    assert {key: found.get(key) for key in wanted} == wanted
    assert case.others or found == wanted
    dead = list(frame.index[frame["role"] == "dead"])
    assert case.others or dead == case.dead
    last = [key for key in frame.index if key in ("fc.weight", "classifier.weight", "head.weight", "lm_head.weight")]
    assert all(frame.loc[key, "role"] == "penalty" for key in last)
    said = frame.loc[first]
    now, averages, balance = oracle.window(int(said["first"]), int(said["last"]))
    assert {key: said[key] for key in now} == pytest.approx(now, rel=1e-5)
    assert {key: said[key] for key in averages} == pytest.approx(averages, rel=0.2)
    assert said["balance"] == pytest.approx(balance, rel=0.05, abs=0.02)
