"""The benchmark of training: gates, limits, goals and files. Speeds themselves are not tested."""

import dataclasses
import importlib.util

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks import peers, training
from benchmarks.ceilings import (
    BYTES_PER_WEIGHT,
    PASSES,
    Ceilings,
    Work,
    count_work,
    measure_ceilings,
)
from benchmarks.peers import (
    Author,
    Lightning,
    Ours,
    Runner,
    Task,
    Timm,
    TimmCompiled,
    Torchvision,
    Worker,
)
from benchmarks.report import fit, write_report
from benchmarks.training import (
    QUICK,
    Goal,
    Verdict,
    goals,
    run_gates,
    scaling_rows,
    summary,
    with_limits,
)
from vaaffect.__main__ import main
from vaaffect.base.errors import UserError

CPU = torch.device("cpu")
with_peers = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in peers.NEEDED),
    reason="the extra bench is not installed",
)


class Forgetful(Author):
    """Never forgets a gradient: they add up."""

    name = "wrong"

    def train(self, batches):
        losses = []
        self.model.train()
        self.begin()
        for x, y in batches:
            loss = nn.functional.mse_loss(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        self.end()
        return losses


class Frozen(Author):
    """Right losses for the gate's first steps, then it stops to learn."""

    name = "lazy"
    steps = 0

    def train(self, batches):
        self.steps += 1
        if self.steps == 1:
            return super().train(batches)
        self.seconds = 0.0
        return []


class Broken(Author):
    name = "broken"

    def train(self, batches):
        raise RuntimeError("no such device")


class Reseeded(Author):
    """Starts from other weights than it was given."""

    name = "reseeded"


@pytest.fixture(scope="module")
def task_data():
    """Pictures whose brightness and tint are their labels."""
    rng = np.random.default_rng(0)
    va = rng.uniform(-1, 1, (64, 2)).astype(np.float32)
    images = rng.normal(128, 20, (64, 32, 32, 3))
    images += 60 * va[:, None, None, :1] + 40 * va[:, None, None, 1:] * np.array([1, 0, -1])
    return images.clip(0, 255).astype(np.uint8), va


SHORT = dataclasses.replace(QUICK, gate_steps=12, gate_more=80)


def test_the_gate_passes_a_right_loop_and_catches_wrong_ones(task_data):
    runners = [Runner(kind) for kind in (Author, Torchvision, Ours, Forgetful, Frozen, Broken)]
    said = []
    results = run_gates(runners, *task_data, SHORT, said.append)
    assert results[Torchvision.name] == Verdict(0.0, 0.0)  # the same arithmetic on a CPU
    assert not results[Ours.name].fault and results[Ours.name].loss > 0
    assert "its loss is" in results["wrong"].fault
    assert "its CCC is" in results["lazy"].fault and results["lazy"].loss == 0
    assert results["broken"].fault == "broken: RuntimeError: no such device"
    assert len(said) == len(runners)


def test_the_gate_needs_a_reference_that_learns_and_the_same_weights(task_data, monkeypatch):
    images, va = task_data
    shuffled = np.random.default_rng(1).permutation(va)
    short = dataclasses.replace(SHORT, gate_steps=2, gate_more=4)
    with pytest.raises(UserError, match=r"only, 0\.8 is needed"):
        run_gates([Runner(Author)], images, shuffled, short, print)
    other = Runner(Reseeded)
    start = other.start
    monkeypatch.setattr(other, "start", lambda t, *a: start(dataclasses.replace(t, seed=1), *a))
    with pytest.raises(UserError, match="did not start from the same weights"):
        run_gates([Runner(Author), other], images, va, SHORT, print)


@with_peers
def test_peers_take_the_same_steps(task_data):
    images, va = task_data
    batches = np.arange(48).reshape(6, 8)
    seen = {}
    for kind in (Author, Torchvision, Lightning, Timm, Ours):
        runner = Runner(kind)
        runner.start(Task("vgg_tiny_bn", 32, 8, dropout=False), images, va)
        seen[kind] = runner.losses(batches)
        assert len(seen[kind]) == 6
        assert runner.seconds(batches) > 0 and runner.contender.seconds > 0
        # Momentum and weights went on: the second time the same batches are better known.
        assert np.mean(runner.losses(batches)) < np.mean(seen[kind])
    assert seen[Torchvision] == seen[Author]
    assert seen[Lightning] == pytest.approx(seen[Author], rel=1e-5)
    for kind in (Timm, Ours):
        allowed = training.LOSS_WITHIN[kind.precision(CPU)]
        assert seen[kind] == pytest.approx(seen[Author], rel=allowed)


def test_a_process_gives_the_same_losses_and_tells_its_faults(task_data):
    batches = np.arange(16).reshape(2, 8)
    local, remote = Runner(Author), Worker(Author)
    try:
        task = Task("vgg_tiny_bn", 32, 8, dropout=False)
        hashes = [r.call("start", task, *task_data) for r in (local, remote)]
        assert hashes[0] == hashes[1]
        losses = [r.call("losses", batches) for r in (local, remote)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        with pytest.raises(UserError, match="plain fp32 loop: IndexError"):
            remote.call("losses", batches + 10_000)
    finally:
        remote.close()
    with pytest.raises(UserError, match="its process ended"):
        remote.call("losses", batches)


def test_work_is_counted_as_published():
    # 2 x 11.512 and 2 x 7.605 GMAC forward with two outputs, and a little less than thrice that.
    for model, forward, weights in (("resnet152", 23.02, 58.15), ("vgg11_bn", 15.21, 128.78)):
        work = count_work(model, 224)
        assert 2.9 < work.flop / (forward * 1e9) < 3
        assert work.weights / 1e6 == pytest.approx(weights, abs=0.01)
    one = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False))
    assert sum(p.numel() for p in one.parameters()) == 216


def test_the_limit_is_the_sum_of_its_parts():
    ceilings = Ceilings(1e12, 4e12, 2e12, 3e12, 1e10)
    work = Work(flop=8e9, outputs=1_000_000, weights=1_000_000)
    moved = PASSES * 1e6 * 2 + BYTES_PER_WEIGHT * 1e6 / 16
    assert work.seconds(ceilings, "bf16", 16) == pytest.approx(8e9 / 4e12 + moved / 1e10)
    moved = PASSES * 1e6 * 4 + BYTES_PER_WEIGHT * 1e6 / 4
    assert work.seconds(ceilings, "fp32", 4) == pytest.approx(8e9 / 2e12 + moved / 1e10)
    slower = dataclasses.replace(ceilings, gemm_fp32=0.5e12)
    assert ceilings.best(slower) == ceilings == slower.best(ceilings)
    assert ceilings.drift(slower) == pytest.approx(0.5)


def test_ceilings_are_measured_or_nan():
    results = measure_ceilings(CPU, seconds=0.02, small=True)
    assert results.gemm_fp32 > 1e8 and results.conv_fp32 > 1e8 and results.copy > 1e7
    mixed = Timm.precision(CPU) == "bf16"
    assert np.isfinite(results.gemm_low) == np.isfinite(results.conv_low) == mixed


def rows_of(speeds: dict[str, float], model: str = "resnet152") -> pd.DataFrame:
    """Kernel rows as they are measured."""
    common = {"track": "kernels", "model": model, "setting": "batch 16, 224 px", "unit": "img/s"}
    common |= {
        "batch": 16,
        "px": 224,
        "precision": "bf16",
        "gate": "passed",
        "blocks": 3,
        "once": 1.5,
    }
    return pd.DataFrame(
        common | {"contender": name, "value": v, "low": v, "high": v} for name, v in speeds.items()
    )


def test_shares_ratios_and_goals_come_from_the_rows():
    rows = rows_of({Author.name: 2.0, "wrong": np.nan, "vaaffect": 5.0})
    rows.loc[1, "gate"] = "failed: its loss is 3 off"
    work = Work(flop=1e11, outputs=0, weights=0)
    results = with_limits(rows, Ceilings(1, 2e12, 1, 1e12, 1e10), {("resnet152", 224): work})
    assert results["ours"].tolist()[::2] == [2.5, 1.0] and np.isnan(results["ours"][1])
    assert results["of_conv"].tolist()[::2] == [0.2, 0.5]
    assert results["of_limit"].tolist()[::2] == [0.1, 0.25]
    by_name = {(g.goal, g.what): g for g in goals(results, CPU)}
    ratio = by_name["C1", "ResNet152 beside the fp32 loop"]
    assert (ratio.measured, ratio.outcome) == (2.5, "met")
    assert by_name["C1", "ResNet152, share of the conv ceiling"].outcome == "missed"
    assert by_name["C2", "VGG11-bn beside the fp32 loop"].outcome == "not measured"
    # Without bfloat16 the goals, which are about it, are not measured.
    single = {g.outcome for g in goals(results.assign(precision="fp32"), CPU) if g.goal == "C1"}
    assert single == {"not measured"}
    shown = "\n".join(summary(results, {"a": Verdict(0.0, 0.0)}))
    assert "failed: its loss is 3 off" in shown and "2.50 x" in shown
    assert Goal("x", "y", 0.02, 0.01, at_least=False).outcome == "missed"


def test_goals_of_a_gpu_come_from_the_rows():
    speeds = {Torchvision.name: 1000.0, Timm.name: 1500.0, TimmCompiled.name: 2200.0}
    big = rows_of(speeds | {"vaaffect": 2000.0}).assign(setting="batch 256, 224 px", of_limit=0.6)
    small = rows_of({Timm.name: 500.0, "vaaffect": 1000.0}).assign(setting="batch 32, 224 px")
    rows = pd.concat([big, small.assign(of_limit=0.6, once=20.0)], ignore_index=True)
    ours = rows["setting"].map({s: r["value"].iloc[-1] for s, r in rows.groupby("setting")})
    results = goals(rows.assign(ours=ours / rows["value"]), torch.device("cuda"))
    said = {(g.goal, g.what): (g.measured, g.outcome) for g in results}
    assert said["G1", "resnet152 beside torchvision"] == (2.0, "met")
    assert said["G1", "resnet152 beside timm, compiled"] == (pytest.approx(1 / 1.1), "missed")
    assert said["G1", "resnet152, share of the limit"] == (0.6, "missed")
    assert said["G3", "resnet152, batch 32, beside timm"] == (2.0, "met")
    assert said["G7", "resnet152, compiling (s)"] == (1.5, "met")
    assert said["G7", "resnet152, recording a graph (s)"] == (20.0, "missed")
    assert said["G2", "vgg11_bn beside timm"][1] == "not measured"


GROWING = {"frames": 3, "folds": 3, "batch": 5, "side": 4, "threads": 2}  # points of each curve


@pytest.mark.thorough  # half a minute for a figure of the benchmark
def test_growth_is_measured():
    rows = pd.DataFrame(scaling_rows(dataclasses.replace(QUICK, scaling_s=0.01), CPU, print))
    assert (rows["value"] > 0).all() and set(rows["curve"]) == set(GROWING)


def test_the_report_is_written_with_failures_and_without_names_of_computers(tmp_path):
    rows = rows_of({Author.name: 2.0, "wrong": np.nan, "vaaffect": 5.0})
    rows.loc[1, "gate"] = "failed: its loss is 3 off"
    ceilings = Ceilings(1, 2e12, 1, 1e12, 1e10)
    rows = with_limits(rows, ceilings, {("resnet152", 224): Work(1e11, 0, 0)})
    common = {"track": "scaling", "model": "resnet10", "contender": "vaaffect", "unit": "s"}
    common |= {"setting": "batch 4, 32 px"}
    growth = [
        common | {"curve": curve, "x": x, "value": 2.0 * x, "low": x, "high": 3.0 * x}
        for curve, points in GROWING.items()
        for x in range(1, points + 1)
    ]
    rows = pd.concat([rows, pd.DataFrame(growth)], ignore_index=True)
    line = pd.DataFrame({"track": "scaling", "curve": "frames", "x": [10, 20, 40]})
    assert fit(line.assign(value=3 + 0.5 * line["x"]), "frames") == pytest.approx((3, 0.5))
    verdicts = {"wrong": Verdict(3.0, 0.0, "its loss is 3 off")}
    write_report(tmp_path, rows, goals(rows, CPU), verdicts, CPU, 1.0, 0.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "train-cpu.csv", "train-cpu.md", "train-cpu.png"
    ]  # fmt: skip
    text = (tmp_path / "train-cpu.md").read_text()
    assert "| ResNet152 | batch 16, 224 px | wrong |" in text and "its loss is 3 off" in text
    assert "not measured" in text and "commit" in text and "torch 2" in text
    import platform

    assert platform.node() not in text or len(platform.node()) < 3
    again = pd.read_csv(tmp_path / "train-cpu.csv")
    assert again["ours"].iloc[0] == 2.5 and {"device", "date", "commit"} <= set(again)


def test_missing_libraries_are_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(peers, "NEEDED", ("lightning_that_is_not_there",))
    assert main(["bench", "train", "--quick"]) == 1
    said = capsys.readouterr().err
    assert "needs lightning_that_is_not_there" in said and "pip install -e '.[bench]'" in said
    assert main(["bench", "crops", "--quick"]) == 1
    assert "has no --quick" in capsys.readouterr().err


@with_peers
@pytest.mark.slow
def test_the_quick_run_measures_everything(tmp_path, capsys):
    assert main(["bench", "train", "--quick", "--out", str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "train-cpu.csv")
    assert set(rows["track"]) == {"ceilings", "kernels", "loaders", "fed", "scaling"}
    kernels = rows[rows["track"] == "kernels"]
    assert (kernels["value"] > 0).all() and (kernels["gate"] == "passed").all()
    assert len(kernels) == len(QUICK.kernels) * len(peers.contenders(CPU))
    assert "vaaffect is" in capsys.readouterr().out
