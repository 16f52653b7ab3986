"""Checkers that ship as code inside a data set, run where they can do no harm.

HiR's VerIF rows carry Python functions written by a language model. `run_checker` never runs them in this process:
a pool of worker processes (`sandbox_child.py`, an empty environment, an empty working directory, isolated Python)
forks a fresh cell for each check. A cell has

- a seccomp filter that allows computing, memory, the clock, sleeping and writing to its one result pipe, and nothing
  else: no open, socket, fork, thread, exec, kill, ptrace, setuid, executable memory (so no file is read either; the
  pure standard library is loaded before);
- Landlock and fresh user, network, IPC and host name namespaces on top of it, where the system has them;
- limits on CPU time, address space, processes, file size, open files and core dumps; at the wall time limit it is
  killed. Nothing of it is left for the next check: patched modules, builtins and signal handlers die with it.

All of this works without root. Without seccomp (another system than Linux, another processor than x86_64 or aarch64,
a container that forbids filters) checkers are not run: the verdict is None and says so.

The result counts only as the exact bytes that our own code writes after the function has returned True or False,
with a nonce that changes with every check and to which the ways of Python code (frames, tracebacks, the garbage
collector, ctypes) are closed. An exception, an exit, a
kill, a limit or anything else returned is None with a reason, never False.

What it does not stop: bugs in the kernel; side channels (timing, caches); using up the CPU, memory and time that
the limits grant; native memory corruption inside the cell, which could forge that checker's own verdict, as
`return True` could, but no other's; reading what the worker's memory still holds of earlier prompts and responses
(it has nowhere to send them). A checker may read the clock, so its verdict may depend on it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import queue
import secrets
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.verify.verdict import Verdict

CHILD = Path(__file__).with_name("sandbox_child.py")
# Like `python -I -S` (no user site, no site-packages, no script folder on the path, no PYTHON* of the user's), but the
# hash seed can be fixed, so that a checker that walks a set gives the same verdict every time.
FLAGS = ("-s", "-S", "-P", "-B", "-X", "utf8")
START, GRACE = 60.0, 10.0  # seconds for a worker to start, and beyond a check's own limit, before it is given up
NO_ISOLATION = "code checkers are not run: this system offers no isolation (no seccomp; needs Linux)"

Job = tuple[Mapping[str, Any], str, str]  # args, prompt, response


def child_environment() -> dict[str, str]:
    """An empty environment, but for the variable by which a Python finds its own shared library."""
    library_path = os.environ.get("LD_LIBRARY_PATH")
    return {"PYTHONHASHSEED": "0"} | ({"LD_LIBRARY_PATH": library_path} if library_path else {})


def checker_source(args: Mapping[str, Any]) -> tuple[str, str]:
    """The two arguments of a `code:python` criterion: the source and the name of the function in it."""
    for name in ("code", "function"):
        if not isinstance(args.get(name), str):
            raise RTTError(f"code:python: argument '{name}' must be a string, found {type(args.get(name)).__name__}")
    return args["code"], args["function"]


class Worker:
    """One fork server and the two pipes to it. It ends by itself when our end of its standard input closes."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory(prefix="rtt-sandbox-") as folder:  # gone as soon as the worker stands in it
            self.process = subprocess.Popen(
                [sys.executable, *FLAGS, str(CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=child_environment(),
                start_new_session=True,  # Ctrl-C is for us: we close the pipe
            )
            try:
                self.isolation: list[str] = self.read(START)["isolation"]
            except (OSError, ValueError):
                self.isolation = []

    def read(self, seconds: float) -> dict:
        """The next JSON line; ValueError if it does not come whole, or not in time."""
        poll = select.poll()  # unlike select(), at home with file numbers above 1023
        poll.register(self.process.stdout, select.POLLIN)
        if not poll.poll(1000 * seconds):
            raise ValueError("no answer in time")
        return json.loads(self.process.stdout.readline())

    def ask(self, request: dict) -> dict:
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return self.read(request["seconds"] + GRACE)

    def close(self) -> None:
        self.process.kill()
        with contextlib.suppress(OSError):  # the last request may still sit in the buffer
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@functools.cache
def isolation() -> list[str]:
    """The protections that work on this system, found by trying them: seccomp and, on top of it, namespaces, landlock.

    Empty where seccomp cannot be had: then no checker is run.
    """
    if not sys.platform.startswith("linux"):
        return []
    worker = Worker()
    worker.close()
    return worker.isolation


class Sandbox:
    """A pool of at most `workers` workers; each check may take `seconds` and `megabytes`. Safe to use from threads."""

    def __init__(self, workers: int = 2, seconds: float = 5.0, megabytes: int = 512) -> None:
        if workers < 1 or seconds <= 0 or megabytes < 64:
            raise RTTError("Sandbox: workers must be at least 1, seconds above 0, megabytes at least 64")
        self.workers, self.seconds, self.megabytes = workers, seconds, megabytes
        self._pool: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._pool.put(None)  # started at first need
        atexit.register(self.close)

    def run(self, args: Mapping[str, Any], prompt: str, response: str) -> Verdict:
        """The verdict of one checker. Waits for a free worker."""
        code, function = checker_source(args)
        if not isolation():
            return Verdict(None, NO_ISOLATION)
        limits = {"seconds": self.seconds, "megabytes": self.megabytes, "nonce": secrets.token_hex(16)}
        request = {"code": code, "function": function, "prompt": prompt, "response": response, **limits}
        worker, healthy = self._pool.get(), False
        try:
            worker = worker or Worker()
            answer = worker.ask(request)
            healthy = True
            return Verdict(answer["value"], answer["reason"])
        except (OSError, ValueError) as error:
            return Verdict(None, f"the sandbox worker failed ({error}); the next check starts a new one")
        finally:  # also after Ctrl-C: a worker with an unread answer would give it to the next check
            if worker is not None and not healthy:
                worker.close()
            self._pool.put(worker if healthy else None)

    def run_many(self, jobs: Iterable[Job]) -> list[Verdict]:
        """Verdicts in the order of the jobs, `workers` at a time."""
        with ThreadPoolExecutor(self.workers) as threads:
            return list(threads.map(lambda job: self.run(*job), jobs))

    def close(self) -> None:
        """End the idle workers; the pool can still be used, it then starts new ones."""
        atexit.unregister(self.close)
        idle = []
        with contextlib.suppress(queue.Empty):
            while True:
                idle.append(self._pool.get_nowait())
        for worker in idle:
            if worker is not None:
                worker.close()
            self._pool.put(None)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@functools.cache
def _sandbox_of(process: int) -> Sandbox:
    return Sandbox(workers=min(8, os.cpu_count() or 1))


def default_sandbox() -> Sandbox:
    """The pool of this process (one that forked must not share its parent's pipes)."""
    return _sandbox_of(os.getpid())


def run_checker(args: Mapping[str, Any], prompt: str, response: str) -> Verdict:
    """Run one shipped checker, args = {"code": Python source, "function": name}, in the default pool."""
    return default_sandbox().run(args, prompt, response)
