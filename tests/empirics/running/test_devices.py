"""Cards for workers, arithmetic that can be repeated, and what is recorded of both, without a card."""

import json
import os
from types import SimpleNamespace

import pytest
import torch
from tiny import tiny

import empirics
from empirics import cli
from empirics.data.loading import load
from empirics.experiment import ExperimentError
from empirics.pages.sections.provenance import _varies
from empirics.running import cluster, device, runner
from empirics.running.kind import at_work
from empirics.training import memory
from empirics.training.ensemble import Ensemble, held_snapshots
from empirics.training.kind import NetworkKind

GIB = 2**30


@pytest.fixture
def cards(monkeypatch):
    """A machine with so many cards as torch counts them; nothing can be computed on them."""
    monkeypatch.delenv(device.VISIBLE, raising=False)

    def install(count, free=100 * GIB, total=140 * GIB):
        properties = SimpleNamespace(name="NVIDIA H200", total_memory=total, major=9, minor=0)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda card=None: (free, total))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda card=None: properties)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda card=None: properties.name)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)

    return install


# A card for every worker ---------------------------------------------------------------------------


def test_every_worker_has_a_card_of_its_own(cards, monkeypatch):
    cards(3)
    assert device.cards_of(3, "cuda") == ["0", "1", "2"]
    assert device.cards_of(2, "cuda") == ["0", "1"]
    assert device.cards_of(8, "cpu") == []
    assert device.cards_of(1, "cuda:2") == []  # its number is that of all cards, so all are shown
    monkeypatch.setenv(device.VISIBLE, "5,GPU-8a3f,7")  # what a scheduler gave this process is what is shared out
    assert device.cards_of(2, "cuda") == ["5", "GPU-8a3f"]
    for worker, card in enumerate(["5", "GPU-8a3f"]):
        monkeypatch.setenv(device.SHARED_OUT, "5,GPU-8a3f")
        device.take_card(worker)
        assert os.environ[device.VISIBLE] == card


@pytest.mark.parametrize(
    ("count", "workers", "name", "said"),
    [
        (2, 5, "cuda", r"local:5: 5 workers need a card each, and this machine has 2: give local:2$"),
        (2, 3, "cuda", r"local:3: 3 workers need a card each, and this machine has 2: give local:2$"),
        (2, 3, "cuda:1", r"local:3: 3 workers cannot share the 1 card of device 'cuda:1': .*\(2 found\)$"),
        (0, 4, "cuda", r"local:4: device 'cuda' cannot be used: no card was found; give cpu$"),
    ],
)
def test_too_few_cards_are_refused_before_a_worker_starts(
    count, workers, name, said, cards, tmp_path, monkeypatch, capsys
):
    cards(count)
    monkeypatch.setattr(cluster, "_local", lambda *_: pytest.fail("workers were started"))
    with pytest.raises(ExperimentError, match=said):
        device.cards_of(workers, name)
    (tmp_path / "tiny.toml").write_text(tiny().to_toml())
    words = ["run", str(tmp_path / "tiny.toml"), "--cluster", f"local:{workers}", "--device", name]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_planted_worker_too_many_is_noticed_by_the_test_above(cards, monkeypatch, tmp_path):
    cards(2)
    monkeypatch.setattr(cluster, "cards_of", lambda workers, name: [])
    monkeypatch.setattr(cluster, "_local", lambda *_: pytest.fail("workers were started"))
    with pytest.raises(pytest.fail.Exception, match="workers were started"), cluster.connected("local:5", "cuda"):
        pass


def _seen(_):
    import time

    time.sleep(0.5)
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.long
def test_workers_of_a_real_cluster_see_one_card_each(cards):
    pytest.importorskip("distributed")
    cards(2)
    with cluster.connected("local:2", "cuda") as executor:
        seen = dict(executor.map(_seen, range(8)))
    assert len(seen) == 2
    assert sorted(seen.values()) == ["0", "1"]


# Arithmetic ----------------------------------------------------------------------------------------


def flags():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
    )


def without_its_like(state):
    """An operation that has no deterministic algorithm."""
    torch.zeros(4).put_(torch.tensor([1, 1]), torch.ones(2))


@pytest.mark.parametrize("asked", [False, True])
def test_deterministic_algorithms_are_on_in_a_shard_if_asked_for_and_recorded(asked, tmp_path, monkeypatch):
    seen, advance, before = [], Ensemble.advance, flags()

    def watched(self, state):
        seen.append(flags())
        advance(self, state)

    monkeypatch.setattr(Ensemble, "advance", watched)
    grid = tiny(("batch_size = 16", f"batch_size = 16\ndeterministic = {str(asked).lower()}"))
    found = empirics.run(grid, tmp_path, progress=False)
    assert set(seen) == {(True, False, False) if asked else before}
    assert flags() == before
    recorded = json.loads((tmp_path / "provenance.json").read_text())["sessions"][0]["machine"]
    assert recorded["deterministic_algorithms"] is asked
    assert (recorded["tf32"], recorded["torch_compile"]) == (False, "off")
    assert found.status_counts()


def test_a_planted_operation_without_a_deterministic_form_is_refused_if_asked_for():
    with device.arithmetic(deterministic=False):
        without_its_like(None)
    with device.arithmetic(deterministic=True), pytest.raises(RuntimeError, match="deterministic implementation"):
        without_its_like(None)


def test_there_is_no_tf32_in_a_shard_and_a_user_gets_it_back(tmp_path, monkeypatch):
    seen, advance = set(), Ensemble.advance

    def watched(self, state):
        seen.add((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
        advance(self, state)

    monkeypatch.setattr(Ensemble, "advance", watched)
    kinds = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [kind.allow_tf32 for kind in kinds]
    try:
        for kind in kinds:
            kind.allow_tf32 = True
        empirics.run(tiny(), tmp_path, progress=False)
        assert [kind.allow_tf32 for kind in kinds] == [True, True]
    finally:
        for kind, was in zip(kinds, before, strict=True):
            kind.allow_tf32 = was
    assert seen == {(False, False)}


def test_of_two_shards_side_by_side_the_first_to_end_leaves_tf32_off_and_the_last_restores_it():
    matmul, first, last = torch.backends.cuda.matmul, device.arithmetic(False), device.arithmetic(False)
    before = matmul.allow_tf32
    try:
        matmul.allow_tf32 = True
        first.__enter__()
        last.__enter__()
        first.__exit__(None, None, None)
        assert not matmul.allow_tf32
        last.__exit__(None, None, None)
        assert matmul.allow_tf32
    finally:
        matmul.allow_tf32 = before


def test_what_a_user_set_before_is_kept():
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with device.arithmetic(deterministic=True):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert device.facts("cpu", deterministic=False)["deterministic_algorithms"]
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_card_and_what_it_computes_with_are_recorded(cards, monkeypatch):
    cards(1)
    monkeypatch.setattr(device, "_driver", lambda: "580.65.06")
    assert device.facts("cuda:0", deterministic=True) == {
        "tf32": False,
        "torch_compile": "off",
        "deterministic_algorithms": True,
        "card": "NVIDIA H200",
        "card_memory_gib": 140.0,
        "compute_capability": "9.0",
        "driver": "580.65.06",
        "cuda": "13.0",
        "cudnn": 91002,
    }
    assert device.card_of("cuda") == {"card": "NVIDIA H200"}
    assert device.card_of("cpu") == {}


def test_a_leader_without_a_card_records_none(cards):
    cards(0)
    assert device.facts("cuda", deterministic=False)["card"] is None


def test_the_driver_is_asked_of_its_own_program(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device._driver() is None
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\n[ "$1" = --query-gpu=driver_version ] && echo 580.65.06 && echo 580.65.06\n')
    program.chmod(0o755)
    assert device._driver() == "580.65.06"


def test_that_they_are_off_is_reported():
    kind, asked = (
        at_work(tiny(("batch_size = 16", f"batch_size = 16\ndeterministic = {on}"))) for on in ("false", "true")
    )
    (line,) = runner._reported(kind, "cuda")
    assert "deterministic algorithms are off" in line
    assert "deterministic = true" in line
    assert not runner._reported(kind, "cpu")
    assert not runner._reported(asked, "cuda")
    machine = {"device": "cuda", "deterministic_algorithms": False}
    assert _varies({"sessions": [{"machine": machine}]})
    assert not _varies({"sessions": [{"machine": machine | {"deterministic_algorithms": True}}]})
    assert not _varies({"sessions": [{"machine": {"device": "cpu", "tf32": False}}]})


# Memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fits", [1, 3])
def test_a_grid_too_large_for_a_card_is_refused_with_the_runs_that_fit(fits, cards, tmp_path, monkeypatch):
    grid = tiny(("hidden = [5, 4]", "hidden = [200, 100]"))
    one = Ensemble(grid, grid.runs[:1], load(grid.data))
    cards(1)
    least, next_ = (memory.needed(grid, one, runs, "cuda") for runs in (fits, fits + 1))
    cards(1, free=(least + next_) // 2 / memory.USABLE)
    monkeypatch.setattr(NetworkKind, "check_device", lambda self, name: None)
    with pytest.raises(ExperimentError, match=rf"runs_per_shard = 4: 4 runs together .* cuda has .* at most {fits}$"):
        empirics.run(grid, tmp_path / "out", device="cuda", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_card_holds_snapshots_in_a_share_of_its_memory(cards):
    assert held_snapshots(torch.device("cpu")) == 2**28
    cards(1, total=140 * GIB)
    assert held_snapshots(torch.device("cuda")) == 35 * GIB
    cards(1, total=GIB // 2)
    assert held_snapshots(torch.device("cuda")) == 2**28
