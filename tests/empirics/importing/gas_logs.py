"""Runs of the exact gas with a log each, and what writes them the way other programs do."""

import json

import numpy as np

import empirics

D, POINTS, EVERY = 301, 200, 25
MEASURED = ("radius_sq", "grad_sq", "grad_variance", "loss")


def gas_logs(points=POINTS, memory=0.6, seed=5):
    """A grid of 4 x 3 runs: settings, means, and series that begin off the mean and scatter by 1 % about it."""
    rng, runs = np.random.default_rng(seed), []
    for lr in (0.01, 0.02, 0.04, 0.08):
        for wd in (0.01, 0.03, 0.09):
            squared = (lr * (D - 1) / (wd * (2 - lr * wd))) ** 0.5
            means = {"radius_sq": squared, "grad_sq": (D - 1) / squared, "grad_variance": (D - 1) / squared}
            means["loss"] = 0.2 + (lr * wd) ** 0.5
            noise = rng.standard_normal((points, len(MEASURED)))
            for i in range(1, points):
                noise[i] = memory * noise[i - 1] + (1 - memory**2) ** 0.5 * noise[i]
            series = {name: means[name] * np.exp(0.01 * noise[:, k]) for k, name in enumerate(MEASURED)}
            series["radius_sq"] *= 1 + 5 * np.exp(-np.arange(points) / 8)
            runs.append({"lr": lr, "weight_decay": wd, "means": means, "series": series})
    return runs


def steps(run):
    return [EVERY * (i + 1) for i in range(len(run["series"]["loss"]))]


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def csv(rows, separator=","):
    return "\n".join(separator.join(map(str, row)) for row in (rows[0], *(row.values() for row in rows))) + "\n"


def log(run, **more):
    """Rows of a log, one per step."""
    return [
        {"step": step, **more, **{name: run["series"][name][i] for name in MEASURED}}
        for i, step in enumerate(steps(run))
    ]


def settings(run):
    return {"lr": run["lr"], "weight_decay": run["weight_decay"]}


def yaml(values):
    return "".join(f"{name}: {value}\n" for name, value in values.items())


def lightning(folder, runs):
    for n, run in enumerate(runs):
        put(folder / f"version_{n}" / "hparams.yaml", yaml(settings(run)) + "betas: !!python/tuple [0.9, 0.99]\n")
        rows = [{"epoch": i // 50, **row, "val_acc": ""} for i, row in enumerate(log(run))]
        held_out = dict.fromkeys(rows[0], "") | {"epoch": 0, "step": rows[-1]["step"], "val_acc": 0.5}
        put(folder / f"version_{n}" / "metrics.csv", csv([*rows, held_out]))


def hydra(folder, runs):
    for n, run in enumerate(runs):
        nested = f"wd: {run['weight_decay']}\noptim:\n  lr: {run['lr']}\n  weight_decay: ${{wd}}\n"
        put(folder / str(n) / ".hydra" / "config.yaml", nested)
        put(folder / str(n) / ".hydra" / "overrides.yaml", f"- +optim.lr={run['lr']}\n")
        put(folder / str(n) / "train.jsonl", "\n".join(json.dumps(row) for row in log(run)))


def trainer(folder, runs):
    for n, run in enumerate(runs):
        put(folder / f"run{n}" / "config.json", settings(run))
        history = [row | {"epoch": i / 50} for i, row in enumerate(log(run))]
        for last in (50, len(history)):
            state = {"global_step": history[last - 1]["step"], "log_history": history[:last]}
            put(folder / f"run{n}" / f"checkpoint-{history[last - 1]['step']}" / "trainer_state.json", state)


def deepobs(folder, runs):
    for n, run in enumerate(runs):
        series = {name: list(run["series"][name]) for name in MEASURED[:-1]}
        content = {
            "optimizer_name": "SGD",
            "optimizer_hyperparams": settings(run) | {"momentum": 0.0},
            "random_seed": 42,
        }
        put(folder / "SGD" / f"seed__{n}.json", content | series | {"train_losses": list(run["series"]["loss"])})


def wandb(folder, runs):
    """Run folders as wandb leaves them offline: settings and the last values, which are the means here."""
    for n, run in enumerate(runs):
        files = folder / f"offline-run-20260101_0000{n:02d}-abcdef{n:02d}" / "files"
        values = "".join(f"{name}:\n  desc: null\n  value: {value}\n" for name, value in settings(run).items())
        put(files / "config.yaml", "wandb_version: 1\n" + values + "_wandb:\n  desc: null\n  value: {}\n")
        put(files / "wandb-summary.json", run["means"] | {"_step": 5000, "_runtime": 9.0})
    (folder / "latest-run").symlink_to(files.parent, target_is_directory=True)


def long_table(path, runs):
    rows = [
        {"run": f"r{n}", "step": row["step"], "tag": tag, "value": row[tag]}
        for n, run in enumerate(runs)
        for row in log(run, **settings(run))
        for tag in row
        if tag != "step"
    ]
    put(path, csv(rows))


def wide_table(path, runs):
    put(path, csv([{**settings(run), **row} for run in runs for row in log(run)]))


def arrays(path, runs):
    series = {name: np.stack([run["series"][name] for run in runs]) for name in MEASURED}
    np.savez(path, steps=steps(runs[0]), **{name: [run[name] for run in runs] for name in settings(runs[0])}, **series)


def read(path, **options):
    return empirics.read_runs(path, "fixed-lr", dimension=D, **options)


def check(data, runs, rel=0.01):
    """The runs are those, each with its means."""
    assert data.sizes["run"] == len(runs)
    order = np.lexsort((data["weight_decay"], data["lr"]))
    for name in (*settings(runs[0]), *MEASURED):
        wanted = [run.get(name, run["means"].get(name)) for run in runs]
        np.testing.assert_allclose(data[name].values[order], wanted, rtol=1e-6 if name in runs[0] else rel)


#: Name of the file or folder, what writes it, and whether it has series.
FORMATS = {
    "lightning_logs": (lightning, True),
    "multirun": (hydra, True),
    "trainer": (trainer, True),
    "deepobs": (deepobs, True),
    "wandb": (wandb, False),
    "long.csv": (long_table, True),
    "wide.csv": (wide_table, True),
    "arrays.npz": (arrays, True),
}
