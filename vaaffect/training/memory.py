"""Memory: kept between steps, given back, and what is done where it runs out.

Where it runs out, the batches of that epoch and of those after it go through in twice as many parts
(see `step.take_step`); memory.json in the run folder says since which epoch.
"""

import ctypes
import gc
import json
import resource
from pathlib import Path

import torch

from ..base import UserError, write_atomically
from ..base.cache import damaged, read_record
from .recipe import Recipe


def keep_freed_memory() -> None:
    """Let freed memory stay with this process instead of going back to the kernel (glibc only).

    Gradients and activations are freed and asked for again in every step on a CPU; from the kernel
    they would come back page by page, each zeroed first, which costs VGG11 a quarter of its time.
    """
    # In a limited address space what one size of tensor leaves behind could not be had as another.
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return
    if libc := _glibc():
        mmap_max, trim_threshold = -4, -1  # names of mallopt(3)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)


def give_back_memory() -> None:
    """Give freed memory back, so that it can be had again in other pieces."""
    gc.collect()
    if libc := _glibc():
        libc.malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _glibc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libc.so.6")
    except OSError:
        return None  # another C library or system, which has its own ways


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: on a GPU, or on a CPU where it is limited
    (ulimit -v); a Linux kernel that ran out itself ends the process instead.

    The end of a CUDA graph's recording raises an error of its own over the one that ended it."""
    if isinstance(error.__context__, Exception) and is_out_of_memory(error.__context__):
        return True
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # PyTorch has no class of its own for these. "Could not create a primitive" is oneDNN's, which
    # does not say why.
    names = ("DefaultCPUAllocator", "std::bad_alloc", "could not create a primitive",
             "CUDA error: out of memory", "STATUS_ALLOC_FAILED")  # fmt: skip
    return isinstance(error, RuntimeError) and any(name in str(error) for name in names)


def read_memory(run: Path) -> dict[int, int]:
    """{epoch: parts}: since that epoch, each batch goes through in so many parts."""
    path = run / "memory.json"
    try:
        divided = read_record(path) or {}
        return {int(epoch): int(parts) for epoch, parts in divided.items()}
    except (ValueError, TypeError) as error:
        raise damaged(path, "it does not say into how many parts batches go") from error


def parts_in(divided: dict[int, int], epoch: int) -> int:
    """In how many parts the batches of an epoch (1-based) go through."""
    return max((parts for since, parts in divided.items() if since <= epoch), default=1)


def divide_batches(run: Path, model: str, recipe: Recipe, epoch: int, why: str) -> None:
    """Double the number of parts from this epoch on, say so, and write it down."""
    divided = read_memory(run)
    parts = 2 * parts_in(divided, epoch)
    # Batch normalisation cannot normalise by a single image, nor can a sequence be divided.
    if recipe.batch_size * recipe.sequence // parts < max(2, recipe.sequence):
        raise UserError(
            f"{run}: memory does not suffice to train {model} on even two or three images at "
            f"a time ({why}); use a smaller SIZE, a smaller model, or a machine with more memory."
        )
    earlier = {since: n for since, n in divided.items() if since < epoch}
    write_atomically(run / "memory.json", json.dumps(earlier | {epoch: parts}))
    print(
        f"{run.name}: memory ran out in epoch {epoch} ({why}). From there on each batch of "
        f"{recipe.batch_size} goes through in {parts} parts of at most "
        f"{-(-recipe.batch_size // parts)} images; gradients add up to those of the batch, but "
        "batch normalisation sees one part at a time."
    )
