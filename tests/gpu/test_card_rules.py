"""The pretended card obeys a card's rules: what raises, what waits, what launches, and what memory is counted."""

import pytest
import torch
from card_ledger import Waited
from torch import nn


@pytest.fixture
def x(card):
    made = torch.arange(6.0, device="cuda").view(2, 3)
    card.clear()
    return made


def test_values_are_the_host_s_and_the_device_is_the_card(card, x):
    assert (str(x.device), x.is_cuda, x.dtype) == ("cuda:0", True, torch.float32)
    assert torch.equal((x @ x.T).cpu(), torch.tensor([[5.0, 14.0], [14.0, 50.0]]))
    assert card.launches == {"mm": 1}
    assert [event.what for event in card.waits] == ["copy to the host"]


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (lambda x: x + torch.ones(3), "same device"),
        (lambda x: torch.cat([x, torch.ones(2, 3)]), "same device"),
        (lambda x: x.index_select(0, torch.tensor([0])), "same device"),
        (lambda x: torch.add(x, x, out=torch.empty(2, 3)), "same device"),
        (lambda x: torch.randn(3, device="cuda", generator=torch.Generator()), "generator"),
        (lambda x: x.normal_(generator=torch.Generator()), "generator"),
        (lambda x: torch.ones(1, device="cuda:1"), "invalid device ordinal"),
        (lambda x: x.pin_memory(), "cannot pin"),
    ],
)
def test_what_a_card_refuses_is_refused(operation, said, x):
    with pytest.raises(RuntimeError, match=said):
        operation(x)


def test_no_array_shares_its_memory(x):
    with pytest.raises(TypeError, match="cuda:0"):
        x.numpy()


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: float(x[0, 0]),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.to("cpu"),
        lambda x: torch.ones(2).to("cuda"),
        lambda x: torch.ones(2).to("cuda", non_blocking=True),  # the memory is not page-locked
        lambda x: torch.ones(2, pin_memory=True).to("cuda"),
        lambda x: torch.tensor([1.0, 2.0], device="cuda"),
        lambda x: x.copy_(torch.ones(2, 3)),
        lambda x: torch.empty(2, 3).copy_(x, non_blocking=True),
        lambda x: x[x > 2],
        lambda x: x.__setitem__(x > 2, x[0, 0]),
        lambda x: x[torch.tensor([1, 0])],
        lambda x: x.nonzero(),
        lambda x: torch.unique(x),
        lambda x: torch.equal(x, x),
        lambda x: torch.linalg.svd(x),
        lambda x: torch.repeat_interleave(torch.arange(2, device="cuda")),
        lambda x: torch.cuda.synchronize(),
    ],
)
def test_what_makes_the_host_wait_is_noted_and_can_be_refused(operation, card, x):
    operation(x)
    assert card.waits
    assert all(event.place.file == "tests/gpu/test_card_rules.py" for event in card.waits)
    torch.cuda.set_sync_debug_mode("error")
    with pytest.raises(Waited, match=r"synchronizing.*test_card_rules\.py:\d+"):
        operation(x)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x + torch.tensor(2.0),  # one number of the host travels with the launch
        lambda x: x[torch.arange(2, device="cuda")],
        lambda x: x.__setitem__(x > 2, 0.0),  # torch fills, and does not look at the mask
        lambda x: torch.where(x > 2, x, 0.0),
        lambda x: x[0].copy_(x[1]),
        lambda x: torch.ones(2, pin_memory=True).to("cuda", non_blocking=True),
        lambda x: torch.ones(2).pin_memory().to("cuda", non_blocking=True),
        lambda x: torch.empty(2, 3, pin_memory=True)[:].copy_(x, non_blocking=True),
        lambda x: x.to("cpu", non_blocking=True),
        lambda x: torch.randn_like(x),
        lambda x: nn.functional.one_hot(x.long(), 9),
    ],
)
def test_what_does_not_make_the_host_wait(operation, card, x):
    torch.cuda.set_sync_debug_mode("error")
    operation(x)
    assert card.waits == []


def test_views_launch_nothing_and_hold_nothing(card, x):
    before = card.held
    views = [x[0], x.T, x.view(3, 2), x.unsqueeze(0), x.expand(4, 2, 3), x.detach(), *x.unbind(), *x.split(1)]
    assert card.launches.total() == 0
    assert card.held == before
    moved = x.view(1, 6).squeeze_(0)
    assert (moved.shape, moved.unsqueeze_(1).t_().shape) == ((6,), (1, 6))
    assert card.launches.total() == 0
    views[0].zero_()
    assert x[0].tolist() == [0, 0, 0]


def test_memory_is_what_is_alive_at_once(card):
    before = card.held
    torch.cuda.reset_peak_memory_stats()
    first = torch.zeros(1000, device="cuda")  # 4,000 bytes: eight pieces of 512
    second = first + 1
    assert card.held - before == 2 * 4096
    del first
    third = second * 2
    assert torch.cuda.max_memory_allocated() - before == 2 * 4096
    del second, third
    assert torch.cuda.memory_allocated() == before


def test_gradients_are_the_host_s_to_the_bit(card):
    def gradient(device):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4))
        images = torch.randn(5, 1, 8, 8)
        net.to(device)
        net(images.to(device)).logsumexp(1).sum().backward()
        assert all(p.grad.device == p.device == torch.device(device) for p in net.parameters())
        return [p.grad.cpu() for p in net.parameters()]

    there, here = gradient("cuda:0"), gradient("cpu")
    assert all(map(torch.equal, there, here))
    assert card.launches["convolution_backward"] == 1
