"""The probe inside other people's trainers, in two processes, and its sinks, against the real packages."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import multiprocessing, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import cross_entropy
from watched import data, network, row, trained

from empirics.probe import ThermoProbe

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("default")]


def samples(count=256):
    return data(torch.Generator().manual_seed(1), count)


def _process(rank, port, probed, out, sharded=False):
    torch.set_num_threads(1)
    store = torch.distributed.TCPStore("127.0.0.1", port, 2, rank == 0)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    torch.manual_seed(0)
    start = network("layer" if sharded else "batch")
    model = fully_shard(start) if sharded else nn.parallel.DistributedDataParallel(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.02)
    probe = ThermoProbe(model, optimizer, every=4) if probed else None
    generator = torch.Generator().manual_seed(rank)
    for _ in range(200):
        x, y = data(generator)
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    frame = probe.frame() if probe else None
    whole = {k: v.full_tensor() if sharded else v.clone() for k, v in start.state_dict().items()}
    torch.save((frame, whole), f"{out}/{probed}-{rank}.pt")
    torch.distributed.destroy_process_group()


def _port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize("sharded", [False, True])
def test_two_processes_see_the_same_and_are_not_changed(tmp_path, sharded):
    """Under DDP, and with every tensor sharded by FSDP2."""
    for probed in (False, True):
        multiprocessing.spawn(_process, (_port(), probed, str(tmp_path), sharded), nprocs=2)
    found = {
        (probed, rank): torch.load(tmp_path / f"{probed}-{rank}.pt", weights_only=False)
        for probed in (False, True)
        for rank in (0, 1)
    }
    for rank in (0, 1):
        plain, watched = (found[probed, rank][1] for probed in (False, True))
        assert all(torch.equal(plain[name], watched[name]) for name in plain)
    one, other = found[True, 0][0], found[True, 1][0]
    assert list(one["group"]) == ["0.weight", "1.weight", "1.bias", "3.weight", "3.bias"]
    assert one["blocks"].tolist() == [1 if sharded else 16, 0, 0, 0, 0]
    norms = [float(found[True, 0][1][name].norm()) for name in one["group"]]
    assert one["norm"].tolist() == pytest.approx(norms, rel=1e-5)
    np.testing.assert_array_equal(
        one.drop(columns=["group", "role"]).to_numpy(float), other.drop(columns=["group", "role"]).to_numpy(float)
    )


def module_of(lightning, net):
    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net

        def training_step(self, batch, _):
            return cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.02)

    return Module()


QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}


def test_lightning(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    from lightning.pytorch.loggers import CSVLogger
    from torch.utils.data import DataLoader, TensorDataset

    from empirics.probe.lightning import ThermoCallback

    torch.manual_seed(0)
    start = network()
    loader = DataLoader(TensorDataset(*samples()), batch_size=32)
    ends = []
    for callbacks in ([], [ThermoCallback(every_n_steps=20, every=2)]):
        module = module_of(lightning, copy.deepcopy(start))
        logger = CSVLogger(tmp_path, name=f"with-{len(callbacks)}")
        trainer = lightning.Trainer(
            max_epochs=10,
            callbacks=callbacks,
            logger=logger,
            enable_checkpointing=False,
            gradient_clip_val=0.1,
            **QUIET,
        )
        trainer.fit(module, loader)
        ends.append(module.net.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ends[0].values(), ends[1].values(), strict=True))
    (probe,) = callbacks[0].probes
    assert probe.steps == 80
    assert row(probe, "net.0.weight")["scale_invariant"]
    # All gradients are clipped to a norm of 0.1 together.
    assert 0.5 * 0.01 < probe.frame()["grad_norm"].pow(2).sum() < 1.01 * 0.01
    assert "loss" in probe.line()
    assert "thermo/temperature" in (tmp_path / "with-1" / "version_0" / "metrics.csv").read_text()


def test_lightning_goes_on_from_its_checkpoint(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    from torch.utils.data import DataLoader, TensorDataset

    from empirics.probe.lightning import ThermoCallback

    torch.manual_seed(0)
    start = network()
    loader = DataLoader(TensorDataset(*samples()), batch_size=32)

    def fit(epochs, held=None):
        callback = ThermoCallback(every=6)
        trainer = lightning.Trainer(
            max_epochs=epochs, callbacks=[callback], logger=False, enable_checkpointing=False, **QUIET
        )
        trainer.fit(module_of(lightning, copy.deepcopy(start)), loader, ckpt_path=held)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return callback.probes[0]

    whole = fit(10)
    fit(4)
    resumed = fit(10, tmp_path / "4.ckpt")
    assert resumed.steps == whole.steps == 80
    pd.testing.assert_frame_equal(resumed.frame(), whole.frame(), check_exact=True)


def test_hugging_face_trainer(tmp_path):
    transformers = pytest.importorskip("transformers")
    from empirics.probe.huggingface import ThermoCallback

    class Net(nn.Module):
        def __init__(self, inside):
            super().__init__()
            self.inside = inside

        def forward(self, x, labels):
            out = self.inside(x)
            return {"loss": cross_entropy(out, labels), "logits": out}

    torch.manual_seed(0)
    start = network()
    x, y = samples()
    rows = [{"x": a, "labels": b} for a, b in zip(x, y, strict=True)]
    ends = []
    for callbacks in ([], [ThermoCallback(every=2)]):
        args = transformers.TrainingArguments(
            output_dir=str(tmp_path), max_steps=60, per_device_train_batch_size=16, gradient_accumulation_steps=2,
            learning_rate=0.01, weight_decay=0.5, logging_steps=20, report_to=[], save_strategy="no", use_cpu=True,
            disable_tqdm=True, seed=1,
        )  # fmt: skip
        trainer = transformers.Trainer(Net(copy.deepcopy(start)), args, train_dataset=rows, callbacks=callbacks)
        trainer.train()
        ends.append(trainer.model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ends[0].values(), ends[1].values(), strict=True))
    probe = callbacks[0].probe
    assert probe.steps == 60
    found = row(probe, "inside.0.weight")
    assert found["scale_invariant"]
    assert found["relaxation_steps"] > 0
    assert any("thermo/temperature" in entry for entry in trainer.state.log_history)


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    from empirics.probe.sinks import TensorBoard

    watch = trained(lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.02), 60)[1]
    with SummaryWriter(str(tmp_path)) as writer:
        watch.log(TensorBoard(writer))
    events = EventAccumulator(str(tmp_path)).Reload()
    for name, value in watch.summary().items():
        (event,) = events.Scalars(name)
        assert event.value == pytest.approx(value, rel=1e-6)
        assert event.step == 60


def test_weights_and_biases_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    from empirics.probe.sinks import WeightsAndBiases

    monkeypatch.setenv("WANDB_SILENT", "true")
    watch = trained(lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.02), 60)[1]
    with wandb.init(mode="offline", dir=str(tmp_path), project="probe") as run:
        watch.log(WeightsAndBiases(run))
        assert run.summary["thermo/step"] == 60
        values = watch.summary()
        assert {name: run.summary[name] for name in values} == pytest.approx(values)
    assert list(tmp_path.rglob("*.wandb"))
