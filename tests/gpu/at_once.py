"""How many trainings at a time one GPU does fastest: pictures per second in all, for 1, 2 and 4.

    python tests/gpu/at_once.py [SECONDS]

Processes take the study's own steps, of VGG11-bn and ResNet152 at 224 pixels with the thesis's
batch sizes, on pictures in the GPU's memory. The last line is the number that takes least time for
as many pictures of each network. About 12 seconds to begin, then 6 times SECONDS (4).
"""

import sys
import time
from pathlib import Path

import torch
from torch import multiprocessing as mp

sys.path.insert(0, str(Path(__file__).parents[2]))

NETWORKS = {"vgg11_bn": 20, "resnet152": 50}  # batch sizes of the thesis
NUMBERS = (1, 2, 4)


def work(rank: int, barrier, taken, seconds: float) -> None:
    """Take steps whenever this process is among those that do; `taken` gets pictures in all."""
    from vaaffect.training import Recipe, build_model
    from vaaffect.training.batches import Batch
    from vaaffect.training.epoch import build_optimizer
    from vaaffect.training.step import fastest_step

    gpu = torch.device("cuda")
    torch.backends.cudnn.benchmark = True
    for place, (name, batch) in enumerate(NETWORKS.items()):
        recipe = Recipe("at once", 1, batch, "adamw", 1e-4, flip=True, shift=0.05, jitter=0.2)
        model = build_model(name).to(gpu, memory_format=torch.channels_last).train()
        step = fastest_step(model, build_optimizer(model, recipe), recipe)
        pictures = torch.randint(0, 256, (batch, 224, 224, 3), dtype=torch.uint8, device=gpu)
        rows = torch.rand(batch, 2, device=gpu), torch.rand(6, batch, device=gpu)
        one = Batch(pictures, *rows)
        step(one)
        torch.cuda.synchronize()
        for turn, number in enumerate(NUMBERS):
            barrier.wait()
            if rank < number:
                until, steps = time.perf_counter() + seconds, 0
                while time.perf_counter() < until:
                    for _ in range(4):
                        step(one)
                    torch.cuda.synchronize()
                    steps += 4
                with taken.get_lock():
                    taken[place * len(NUMBERS) + turn] += steps * batch
            barrier.wait()
        del model, step
        torch.cuda.empty_cache()


def main() -> None:
    """Measure, and print."""
    if not torch.cuda.is_available():
        sys.exit("at_once.py: needs a GPU, and torch finds none here.")
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    context = mp.get_context("spawn")
    barrier, taken = context.Barrier(max(NUMBERS)), context.Array("d", 2 * len(NUMBERS))
    mp.spawn(work, (barrier, taken, seconds), nprocs=max(NUMBERS))
    rates = [pictures / seconds for pictures in taken]
    for place, name in enumerate(NETWORKS):
        for number, rate in zip(NUMBERS, rates[place * len(NUMBERS) :], strict=False):
            print(f"{name}, {number} at a time: {rate:.0f} pictures per second", flush=True)
    times = [1 / rates[turn] + 1 / rates[len(NUMBERS) + turn] for turn in range(len(NUMBERS))]
    print(NUMBERS[times.index(min(times))])


if __name__ == "__main__":
    main()
