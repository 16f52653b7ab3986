"""Processes that train, each on a share of the cores. They end with the process that started them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rtt_lib.command import end_with
from rtt_lib.errors import RTTError
from rtt_lib.machine import cores

PARENT = "RTT_PARENT"  # the process that started this run; the run ends with it
# Large pages for large tensors: training of a language model is a fifth faster with them.
LARGE_PAGES = "glibc.malloc.hugetlb=1"
# A small model, trained on one thread, frees its few megabytes and asks for them again hundreds of times a second. The
# process keeps them. Given back, they are cleared each time, which takes two fifths of a run.
KEPT_MEMORY = "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=17179869184"


@contextlib.contextmanager
def worker_pool(workers: int, threads: int | None = None, reuse: bool = True) -> Iterator[ProcessPoolExecutor]:
    """`workers` processes of `threads` threads each (None: the cores shared out).

    reuse: False gives every job a fresh process, with nothing of the last one in memory.
    If one job fails, those under way still finish, and no new one starts.
    """
    share = threads or max(1, cores() // workers)
    memory = f"{LARGE_PAGES}:{KEPT_MEMORY}" if threads == 1 else LARGE_PAGES
    with _environment({"GLIBC_TUNABLES": memory, "OMP_NUM_THREADS": str(share), "MKL_NUM_THREADS": str(share)}):
        pool = ProcessPoolExecutor(
            workers,
            multiprocessing.get_context("spawn"),
            initializer=_begin_worker,
            initargs=(share,),
            max_tasks_per_child=None if reuse else 1,
        )
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    """What processes that start now inherit."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin_worker(threads: int) -> None:
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    import datasets
    import torch
    import transformers

    torch.set_num_threads(threads)
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    end_with(os.getppid())


def end_with_parent() -> None:
    """In a process that a worker started by a command line."""
    if PARENT in os.environ:
        end_with(int(os.environ[PARENT]))


@contextlib.contextmanager
def output_to(log: Path) -> Iterator[None]:
    """All that this process and its libraries print goes to a file, which an error quotes and success removes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for each in (*kept, handle):
            os.close(each)


def tail(log: Path) -> str:
    """The last 2000 characters of what was printed."""
    return log.read_text(encoding="utf-8", errors="replace")[-2000:] if log.is_file() else ""


def failed(what: str, reason: str, log: Path) -> RTTError:
    printed = tail(log)
    return RTTError(f"{what}: {reason}" + (f"; {log} ends with\n{printed}" if printed else ""))
