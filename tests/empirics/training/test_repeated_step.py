"""A step from fixed memory: recorded once as a CUDA graph would be, and replayed, it gives the bits of the plain loop.

A CUDA graph repeats kernels with the addresses and the numbers of the host's that they were recorded with. `Tape` does
the same on any device with torch's operations, so that what would be frozen by mistake is frozen here too.
"""

import dataclasses

import pytest
import torch
from test_networks import NETWORKS, experiment
from test_own import OWN
from tiny import tiny
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from empirics.data.loading import load
from empirics.experiment import ExperimentError
from empirics.training import OPTIMIZERS, repeated
from empirics.training.ensemble import Ensemble

pytestmark = pytest.mark.usefixtures("one_thread")


class Tape(TorchDispatchMode):
    """Records operations; replays them on the same memory, with the same numbers."""

    def __init__(self, function):
        super().__init__()
        self._function, self._operations = function, []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        self._operations.append((operation, args, kwargs or {}, made))
        return made

    def __call__(self):
        if not self._operations:
            with self:
                self._function()  # this is the first step: a CUDA graph would be recorded, then replayed
            return
        found = {}  # what each recorded result is in this replay
        known = lambda one: found.get(id(one), one) if isinstance(one, torch.Tensor) else one  # noqa: E731
        for operation, args, kwargs, made in self._operations:
            again = operation(*tree_map(known, args), **tree_map(known, kwargs))
            olds, news = ([one] if isinstance(one, torch.Tensor) else one for one in (made, again))
            for old, new in zip(olds or (), news or (), strict=True):
                if isinstance(old, torch.Tensor):
                    found[id(old)] = new


@pytest.fixture
def taped(monkeypatch):
    """Ensembles whose repeated steps are recorded and replayed."""

    def made(grid, data=None):
        grid = dataclasses.replace(grid, training=dataclasses.replace(grid.training, graph=True))
        ensemble = Ensemble(grid, grid.runs, data or load(grid.data))
        ensemble.model.compiled = False  # compiled gradients are seen by no tape, and are for CPUs
        begin = repeated.RepeatedStep.__init__

        def recorded(self, *arguments):
            begin(self, *arguments)
            self._run = Tape(self.once)

        monkeypatch.setattr(repeated.RepeatedStep, "__init__", recorded)
        return ensemble

    return made


def plain(grid):
    ensemble = Ensemble(grid, grid.runs, load(grid.data))
    ensemble.model.compiled = False
    return ensemble


def equal_after(grid, taped, steps=None):
    ensembles = plain(grid), taped(grid)
    states = [one.start() for one in ensembles]
    for _ in range(steps or grid.total_steps):
        for one, state in zip(ensembles, states, strict=True):
            one.advance(state)
    for one, state in zip(ensembles, states, strict=True):
        one.flush(state)
    a, b = states
    for name in ("flat", "total", "marks", "pairs", "components", "looks", "snapshots"):
        assert torch.equal(getattr(a, name).nan_to_num(-9), getattr(b, name).nan_to_num(-9)), name
    for name, value in a.optimizer.items():
        assert torch.equal(value, b.optimizer[name]), name
    assert torch.isfinite(a.flat).all()
    return ensembles[1]


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network(network, taped):
    assert equal_after(experiment(network, dtype="float32"), taped)._repeated is not None


def test_a_module_of_the_user_s(taped, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    equal_after(tiny(('"mlp"\nhidden = [5, 4]', f'"residual"\nfile = "{path}"\nremainder = "train"')), taped, steps=90)


FAST = ("adamw", "lamb", "nesterov")  # with what the others have: unbiased averages, a pull, a buffer
LONG = [pytest.param(name, marks=pytest.mark.long) for name in OPTIMIZERS.names if name not in (*FAST, "muon")]


@pytest.mark.parametrize("optimizer", [*FAST, *LONG])
def test_every_optimiser(optimizer, taped):
    equal_after(tiny(('"sgd"', f'"{optimizer}"'), ("{noise = 10.0}", "3.0")), taped, steps=80)


ADAMW = ('"sgd"', '"adamw"'), ("{noise = 10.0}", "3.0")
OPTIONS = {
    "halves": "halves = true\nnoise_gain = 0.5",
    "noise": "isotropic_noise = 0.5",
    "float64": 'dtype = "float64"',
    "shared": 'minibatches = "shared"',
    "epochs": 'minibatches = "epochs"',
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option(option, taped):
    equal_after(tiny(('"sgd"', f'"sgd"\n{OPTIONS[option]}')), taped, steps=80)


def test_schedules_label_noise_and_augmentation(taped):
    schedule = "\n[schedule]\nstep = [0, 40, 90]\nlr = [0.1, 1.0, 0.2]\nweight_decay = [1.0, 2.0, 1.0]\n[shards]"
    data = 'name = "digits-images"\nlabel_noise = 0.2\nfresh_noise = true\nshift = 1\nflip = true'
    equal_after(tiny(('name = "digits"', data), ("\n[shards]", schedule), *ADAMW), taped, steps=110)


def test_a_state_that_was_restored_and_another_one(taped):
    grid = tiny()
    whole, ensemble = plain(grid), taped(grid)
    states = [ensemble.start(), ensemble.start()]
    reference = whole.start()
    for _ in range(70):
        whole.advance(reference)
        ensemble.advance(states[0])
    ensemble.advance(states[1])
    states[1].put(states[0].arrays())
    states[1].step = states[0].step
    for _ in range(30):
        whole.advance(reference)
        ensemble.advance(states[1])
    assert torch.equal(reference.flat, states[1].flat)
    assert torch.equal(reference.total, states[1].total)


@pytest.mark.parametrize("frozen", ["minibatch", "row", "numbers", "noise"])
def test_planted_what_a_recording_freezes_is_seen(frozen, taped, monkeypatch):
    """Each of them is taken from the host, as in a plain step: the first step's is used again and again."""
    grid = tiny(ADAMW[0], ("{noise = 10.0}", "3.0\nisotropic_noise = 0.5"))
    right = Ensemble.move

    def wrong(self, state, step, row, numbers, snapshot=None):
        host = state.step
        if frozen == "minibatch":
            indices = self.feeds.train._indices
            monkeypatch.setattr(indices, "at", lambda _: type(indices).at(indices, host))
        if frozen == "noise":
            vectors = self._noise._vectors
            monkeypatch.setattr(vectors, "at", lambda _: type(vectors).at(vectors, host))
        if frozen == "row":
            row = state.rows[state.filled]
        if frozen == "numbers":
            numbers = self.numbers(host)
        right(self, state, step, row, numbers, snapshot)

    def planted(planned, data=None):
        ensemble = taped(planned, data)
        monkeypatch.setattr(Ensemble, "move", lambda self, *a: (wrong if self is ensemble else right)(self, *a))
        return ensemble

    with pytest.raises(AssertionError, match=r"flat|total"):
        equal_after(grid, planted, steps=70)


def test_muon_waits_and_is_refused():
    with pytest.raises(ExperimentError, match=r"\[training\] graph = true: must be false with optimizer = \"muon\""):
        tiny(('"sgd"', '"muon"\ngraph = true'))
