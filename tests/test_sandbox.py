"""The sandbox: honest checkers get their verdict, hostile ones get None, and nothing outside changes."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion
from rtt_lib.verify import check, sandbox
from rtt_lib.verify.sandbox import Sandbox, Worker, isolation, run_checker
from rtt_lib.verify.verdict import Verdict

SECONDS = 1.0
PATIENCE = 10.0  # where the time limit must not come first, as a second can on a busy machine
needs_seccomp = pytest.mark.skipif(not isolation(), reason="this system has no seccomp: nothing is run")


def body(text: str, arguments: str = "response") -> str:
    """The source of a checker named f with that body."""
    return f"def f({arguments}):\n" + "\n".join("    " + line for line in text.strip("\n").split("\n")) + "\n"


# Should the sandbox ever fail, these must not take the developer's machine with it: signal 0, 64 forks.
# Each must come back as None with a reason that contains the word, within the limit. {place} is a folder outside,
# {secret} a file in it, {port} a listening socket, {pid} the process of the tests.
HOSTILE: dict[str, tuple[str, str]] = {
    "infinite loop": (body("while True: pass"), "time limit"),
    "loop that swallows everything": (
        body("while True:\n  try:\n    while True: pass\n  except BaseException: pass"),
        "time",
    ),
    "module level loop": ("while True: pass\n" + body("return True"), "time limit"),
    "deep recursion": (body("return f(response)"), "RecursionError"),
    "recursion without limit": (
        "import sys\nsys.setrecursionlimit(10**9)\n" + body("return max([f(response)], key=lambda x: x)"),
        "",
    ),
    "regex catastrophe": ("import re\n" + body("return bool(re.match('(a+)+$', 'a' * 50 + 'b'))"), "time limit"),
    "huge power": (body("return len(str(7 ** 10**9)) > 3"), ""),
    "sleep": ("import time\n" + body("time.sleep(60)\nreturn True"), "time limit"),
    "endless generator": ("import itertools\n" + body("return sum(itertools.count()) > 0"), "time limit"),
    "deadlock": ("import threading\n" + body("lock = threading.Lock()\nlock.acquire()\nlock.acquire()"), "time limit"),
    "10 GB at once": (body("return len(bytearray(10 << 30)) > 0"), "MemoryError"),
    "memory bit by bit": (body("pile = []\nwhile True: pile.append(bytearray(40 << 20))"), "MemoryError"),
    "huge string": (body("return 'a' * (1 << 40)"), "MemoryError"),
    "fork": ("import os\n" + body("os.fork()\nreturn True"), "PermissionError"),
    "fork bomb": ("import os\n" + body("for _ in range(6): os.fork()\nwhile True: pass"), "PermissionError"),
    "thread": ("import threading\n" + body("threading.Thread(target=print).start()\nreturn True"), "RuntimeError"),
    "subprocess": ("import subprocess\n" + body("subprocess.run(['touch', '{place}/made'])\nreturn True"), ""),
    "os.system": ("import os\n" + body("return os.system('touch {place}/made') == 0 or 1 / 0"), "ZeroDivision"),
    "exec a program": (
        "import os\n" + body("os.execv('/bin/sh', ['sh', '-c', 'touch {place}/made'])"),
        "PermissionError",
    ),
    "spawn": ("import os\n" + body("os.posix_spawn('/bin/true', ['true'], {})"), "PermissionError"),
    "write a file": (body("open('{place}/made', 'w').write('x')\nreturn True"), "PermissionError"),
    "write in the working directory": (body("open('made', 'w')\nreturn True"), "PermissionError"),
    "append to the secret": (body("open('{secret}', 'a').write('x')\nreturn True"), "PermissionError"),
    "shared memory": (body("open('/dev/shm/rtt-made', 'w')\nreturn True"), "PermissionError"),
    "read /etc/passwd": (body("return 'root' in open('/etc/passwd').read()"), "PermissionError"),
    "read the secret": (body("return 'hunter2' in open('{secret}').read()"), "PermissionError"),
    "does the secret exist": ("import os\n" + body("os.stat('{secret}')\nreturn True"), "PermissionError"),
    "list a folder": ("import os\n" + body("return bool(os.listdir('/'))"), "PermissionError"),
    "unlink": ("import os\n" + body("os.unlink('{secret}')\nreturn True"), "PermissionError"),
    "chmod": ("import os\n" + body("os.chmod('{secret}', 0o777)\nreturn True"), "PermissionError"),
    "symlink": ("import os\n" + body("os.symlink('{secret}', '{place}/made')\nreturn True"), "PermissionError"),
    "rename": ("import os\n" + body("os.rename('{secret}', '{place}/made')\nreturn True"), "PermissionError"),
    "mkdir": ("import os\n" + body("os.mkdir('{place}/made')\nreturn True"), "PermissionError"),
    "chroot": ("import os\n" + body("os.chroot('{place}')\nreturn True"), "PermissionError"),
    "import socket": ("import socket\n" + body("socket.create_connection(('127.0.0.1', {port}))\nreturn True"), ""),
    "import _socket": ("import _socket\n" + body("_socket.socket().connect(('127.0.0.1', {port}))\nreturn True"), ""),
    "sys.exit": ("import sys\n" + body("sys.exit(0)"), "SystemExit"),
    "sys.exit at module level": ("import sys\nsys.exit()\n" + body("return True"), "SystemExit"),
    "os._exit": ("import os\n" + body("os._exit(0)"), "without an answer"),
    "kill itself": ("import os\n" + body("os.kill(os.getpid(), 9)"), "PermissionError"),
    "kill the tests": ("import os\n" + body("os.kill({pid}, 10)\nreturn True"), "PermissionError"),
    "kill its parent": ("import os\n" + body("os.kill(os.getppid(), 9)\nreturn True"), "PermissionError"),
    "kill everything": ("import os\n" + body("os.kill(-1, 0)\nreturn True"), "PermissionError"),
    "abort": ("import os\n" + body("os.abort()"), "without an answer"),
    "ignored signals": (
        "import signal\ntry: signal.signal(15, signal.SIG_IGN)\nexcept OSError: pass\n" + body("while True: pass"),
        "time limit",
    ),
    "frames by a signal handler": (
        "import signal, _thread\nkept = []\n"
        + body("signal.signal(2, lambda n, frame: kept.append(frame))\n_thread.interrupt_main()\nreturn bool(kept)"),
        "PermissionError",
    ),
    "code from marshal": ("import marshal\n" + body("return marshal.loads(b'N') is None"), "ValueError"),
    "alarm clock": ("import signal\n" + body("signal.setitimer(signal.ITIMER_REAL, 0.1)\nsignal.pause()"), ""),
    "signals through fcntl": ("import fcntl\n" + body("fcntl.fcntl(3, fcntl.F_SETOWN, {pid})\nreturn True"), ""),
    "ctypes": ("import ctypes\n" + body("return ctypes.CDLL(None).getpid() > 0"), "No module"),
    "ctypes by the back door": (
        body(
            "cdll = [c for c in object.__subclasses__() if c.__name__ == 'CDLL'][0]\n"
            "return cdll(None).unlink(b'{secret}') == 0"
        ),
        "ValueError",
    ),
    "prctl through the loaded libc": (
        body(
            "cdll = [c for c in object.__subclasses__() if c.__name__ == 'CDLL'][0]\n"
            "lib = cdll.__init__.__globals__['pythonapi']\nreturn lib.prctl(22, 0, 0, 0, 0) == 0"
        ),
        "ValueError",
    ),
    "executable memory": ("import mmap\n" + body("mmap.mmap(-1, 4096, prot=7)\nreturn True"), ""),
    "/proc/self/mem": (body("open('/proc/self/mem', 'r+b')\nreturn True"), "PermissionError"),
    "/proc/PID/environ": (body("return bool(open('/proc/{pid}/environ').read())"), "PermissionError"),
    "setuid": ("import os\n" + body("os.setuid(0)\nreturn True"), "PermissionError"),
    "raise the limits": (
        "import resource\n" + body("resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nreturn True"),
        "",
    ),
    "be nice": ("import os\n" + body("os.nice(-5)\nreturn True"), "PermissionError"),
    "open a pipe": ("import os\n" + body("os.pipe()\nreturn True"), "PermissionError"),
    "import this library": ("import rtt_lib\n" + body("return True"), "No module"),
    "import an installed package": ("import torch\n" + body("return True"), "No module"),
    "environment": ("import os\n" + body("return 'RTT_SECRET' in os.environ and True or 1 / 0"), "ZeroDivision"),
    "frames": ("import sys\n" + body("return bool(sys._getframe(1).f_locals)"), "ValueError"),
    "frames by traceback": (
        body("try: 1 / 0\nexcept Exception as e: return bool(e.__traceback__.tb_frame)"),
        "ValueError",
    ),
    "frames by generator": (body("g = (f for f in [1])\nreturn g.gi_frame is None"), "ValueError"),
    "every object": ("import gc\n" + body("return bool(gc.get_objects())"), "ValueError"),
    "crafted bytecode": (body("f.__code__ = f.__code__.replace(co_code=b'\\x7c\\xff')\nreturn True"), "ValueError"),
    "results on every pipe": (
        "import os\n"
        + body(
            'for fd in range(64):\n  for text in (b\'{"value": true}\\n\', b"true", b"True"):\n'
            "    try: os.write(fd, text)\n    except OSError: pass\nos._exit(0)"
        ),
        "wrote to the result pipe",
    ),
    "flood of the result pipe": ("import os\n" + body("while True: os.write(3, b'true' * 1000)"), "result pipe"),
    "closed result pipe": ("import os\n" + body("os.close(3)\nreturn True"), "without an answer"),
    "stdout flood": (body("while True: print('true' * 1000, flush=True)"), "time limit"),
    "stdout forgery": (
        "import sys\n" + body('sys.__stdout__.write(\'{"value": true, "reason": ""}\\n\')\nsys.exit(0)'),
        "SystemExit",
    ),
    "number": (body("return 1"), "neither True nor False"),
    "string": (body("return 'True'"), "neither True nor False"),
    "nothing": (body("pass"), "neither True nor False"),
    "pretends to be a bool": (
        "class B:\n  __class__ = bool\n  def __bool__(self): return True\n  def __eq__(self, o): return True\n"
        + body("return B()"),
        "neither",
    ),
    "bool of a bool": ("class B(int): pass\n" + body("return B(1)"), "neither True nor False"),
    "a generator": (body("yield True"), "neither True nor False"),
    "a coroutine": ("async " + body("return True"), "neither True nor False"),
    "hanging destructor": (
        "class D:\n  def __del__(self):\n    while True: pass\n" + body("d = D()\nreturn True"),
        "time limit",
    ),
    "exception that hangs when shown": (
        "class E(Exception):\n  def __str__(self):\n    while True: pass\n" + body("raise E()"),
        "time limit",
    ),
    "exception with terminal codes": (body("raise ValueError('\\x1b[2J' + 'x' * 10**6)"), "\\x1b[2Jxxx"),
    "exception that is not one": ("class E(BaseException): pass\n" + body("raise E('x')"), "E: x"),
    "syntax error": ("def f(response) return True", "SyntaxError"),
    "NUL in the source": ("def f(response):\0 return True", "SyntaxError"),
    "no such function": ("def g(response): return True", "KeyError"),
    "not a function": ("f = 3", "TypeError"),
    "too many arguments": (body("return True", "a, b, c"), "takes"),
    "nested exec": (body("exec('import os; os.fork()')\nreturn True"), "PermissionError"),
    "nested eval": (body("return eval(\"open('/etc/passwd')\") is not None"), "PermissionError"),
    "patched builtins": (
        "import builtins, os, json\nbuiltins.bool = builtins.isinstance = lambda *a: True\n"
        "os.write = os._exit = json.dumps = builtins.type = lambda *a: '{\"value\": true}'\n"
        + body("raise OSError('x')"),
        "",
    ),
}

# Each does its harm with every error swallowed and then says True, which is its right; the harm must not be done.
BRAZEN: dict[str, str] = {
    "patches for the next check": "import json, builtins, re\njson.loads = builtins.len = re.match = None",
    "atexit": "import atexit\natexit.register(lambda: open('{place}/made', 'w'))",
    "signal handlers": "import signal\nfor s in range(1, 32):\n"
    "  try: signal.signal(s, lambda *a: None)\n  except OSError: pass",
    "closed standard streams": "import sys, os\nsys.stdout.close(); sys.stderr.close(); os.close(0)",
    "replaced stdout": "import sys, io\nsys.stdout = sys.stderr = io.StringIO()\nprint('true')",
    "changed environment": "import os\nos.environ['RTT_MADE'] = '1'",
    "changed path": "import sys\nsys.path.insert(0, '{place}'); sys.modules.clear()",
    "connect": "try:\n  import socket; socket.create_connection(('127.0.0.1', {port}), 0.2)\nexcept Exception: pass",
    "write": "try: open('{place}/made', 'w')\nexcept OSError: pass",
    "kill": "import os\ntry: os.kill({pid}, 10)\nexcept OSError: pass",
    "raised recursion": "import sys\nsys.setrecursionlimit(10**6)",
}


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory):
    """A folder with a secret, a listening socket and a signal counter: whatever a checker might touch."""
    place = tmp_path_factory.mktemp("outside")
    secret = place / "secret.txt"
    secret.write_text("hunter2")
    received: list[int] = []
    previous = signal.signal(signal.SIGUSR1, lambda *_: received.append(1))
    os.environ["RTT_SECRET"] = "hunter2"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.0)
        names = {"place": place, "secret": secret, "port": server.getsockname()[1], "pid": os.getpid()}

        def fill(source: str) -> str:
            for name, value in names.items():
                source = source.replace("{" + name + "}", str(value))
            return source

        yield place, secret, server, received, fill
    signal.signal(signal.SIGUSR1, previous)
    del os.environ["RTT_SECRET"]


@pytest.fixture(scope="module")
def verdicts(outside) -> dict[str, tuple[Verdict, float]]:
    """Every hostile and every brazen checker once, with the seconds each took: through a pool with a short time limit,
    or with a long one where another reason is expected than time."""
    fill = outside[-1]
    sources = {name: source for name, (source, _) in HOSTILE.items()}
    sources |= {name: f"{source}\ndef f(response): return True\n" for name, source in BRAZEN.items()}
    others = {name for name, (_, reason) in HOSTILE.items() if reason not in ("", "time", "time limit")}

    def timed(name: str) -> None:
        start = time.monotonic()
        pool = patient if name in others else strict
        verdict = pool.run({"code": fill(sources[name]), "function": "f"}, "prompt", "response")
        results[name] = verdict, time.monotonic() - start

    results: dict[str, tuple[Verdict, float]] = {}
    strict = Sandbox(workers=2, seconds=SECONDS, megabytes=256)
    patient = Sandbox(workers=2, seconds=PATIENCE, megabytes=256)
    with strict, patient:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(timed, sources))
        honest = [({"code": body("return 'ok' in response"), "function": "f"}, "", "ok")] * 8
        again = strict.run_many(honest) + patient.run_many(honest)
    assert [verdict.value for verdict in again] == [True] * 16
    return results


@needs_seccomp
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_checker_is_undecided_with_a_reason_in_time(name: str, verdicts) -> None:
    verdict, seconds = verdicts[name]
    assert verdict.value is None
    assert verdict.reason and HOSTILE[name][1] in verdict.reason
    assert verdict.reason.isprintable() and len(verdict.reason) < 500
    assert seconds < SECONDS + 10  # the wall limit, and slack for a machine that is busy with other tests


@needs_seccomp
def test_nothing_outside_has_changed(verdicts, outside) -> None:
    place, secret, server, received, _ = outside
    assert all(verdicts[name][0].value in (True, None) for name in BRAZEN)
    assert [entry.name for entry in place.iterdir()] == ["secret.txt"]
    assert secret.read_text() == "hunter2" and secret.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    assert not Path("/dev/shm/rtt-made").exists() and "RTT_MADE" not in os.environ
    assert received == []
    with pytest.raises(BlockingIOError):
        server.accept()


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@needs_seccomp
def test_the_harm_is_real_without_the_sandbox(tmp_path: Path) -> None:
    """The same file write succeeds in a plain process: the test above can fail."""
    source = BRAZEN["write"].replace("{place}", str(tmp_path))
    subprocess.run([sys.executable, "-c", source], check=True)
    assert (tmp_path / "made").exists()


@needs_seccomp
def test_no_process_is_left_behind() -> None:
    with Sandbox(workers=1, seconds=0.2) as pool:
        pool.run({"code": body("while True: pass"), "function": "f"}, "", "")
        children = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children").read_text().split()
        grandchildren = [Path(f"/proc/{c}/task/{c}/children").read_text().split() for c in children]
    assert not any(grandchildren)


@needs_seccomp
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (body("return response == 'resp'"), True),
        (body("return instruction == 'inst' and response == 'resp'", "instruction, response"), True),
        (body("return instruction == 'inst' and response == 'resp'", "response, instruction"), True),
        (body("return instruction == 'inst' and response == 'resp'", "instruction, response=None"), True),
        (body("return response == 'resp' and least == 3", "response, least=3"), True),
        (body("return text == 'other'", "text"), False),
        ("f = lambda prompt, response: prompt == 'inst' and response == 'resp'", True),
    ],
)
def test_both_signatures(source: str, expected: bool) -> None:
    assert run_checker({"code": source, "function": "f"}, "inst", "resp") == Verdict(expected)


@needs_seccomp
def test_the_standard_library_is_there() -> None:
    source = (
        "import re, json, string, math, collections, unicodedata, datetime, enum, dataclasses, typing, csv, io\n"
        "import xml.etree.ElementTree as ET\nfrom html.parser import HTMLParser\n"
        "P = collections.namedtuple('P', 'a')\nE = enum.Enum('E', 'A')\nN = typing.NamedTuple('N', [('a', int)])\n"
        + body(
            "return (P(1).a == E.A.value == N(1).a and json.loads('[1]') == [1] and ET.fromstring('<a/>').tag == 'a'\n"
            "        and datetime.datetime.strptime('2024-01-02', '%Y-%m-%d').day == 2\n"
            "        and list(csv.reader(['a,b'])) == [['a', 'b']] and 'é'.encode('utf-16') != b'')"
        )
    )
    assert run_checker({"code": source, "function": "f"}, "", "") == Verdict(True)


@needs_seccomp
@pytest.mark.parametrize("response", ["", "\0", "\ud800", "العربية", "a\nb\r\n\u2028c", "x" * 5_000_000])
def test_any_response_arrives_unchanged(response: str) -> None:
    source = body(
        "return (len(response), [ord(c) for c in response[:9]]) == " + repr((len(response), [*map(ord, response[:9])]))
    )
    assert run_checker({"code": source, "function": "f"}, "", response) == Verdict(True)


@needs_seccomp
@settings(max_examples=100, deadline=None)
@given(st.text(), st.text(), st.text())
def test_any_source_gives_a_verdict(code: str, function: str, response: str) -> None:
    verdict = run_checker({"code": code, "function": function}, "", response)
    assert verdict.value is None and verdict.reason


@needs_seccomp
def test_the_same_checker_gives_the_same_verdict_in_every_worker() -> None:
    """Set order and the random module are fixed, and one check leaves nothing for the next."""
    draw = "import random\n" + body(
        "return random.random() < 0.5 if next(iter({'a', 'b', 'c', 'd'})) > 'b' else random.random() < 0.5"
    )
    spoil = "import random, builtins\n" + body("random.seed(99); random.random(); builtins.len = None; return True")
    seen = set()
    for _ in range(3):
        with Sandbox(workers=1) as pool:
            for source in (draw, spoil, draw):
                seen.add((source, pool.run({"code": source, "function": "f"}, "", "").value))
    assert len(seen) == 2


@needs_seccomp
def test_run_many_keeps_the_order() -> None:
    jobs = [({"code": body(f"return response == '{n}'"), "function": "f"}, "", str(n % 5)) for n in range(10)]
    with Sandbox(workers=3) as pool:
        assert [v.value for v in pool.run_many(jobs)] == [True] * 5 + [False] * 5


@needs_seccomp
def test_a_killed_worker_is_replaced() -> None:
    job = ({"code": body("return True"), "function": "f"}, "", "")
    with Sandbox(workers=1) as pool:
        assert pool.run(*job).value is True
        worker = pool._pool.get()
        worker.process.kill()
        worker.process.wait()
        pool._pool.put(worker)
        first, second = pool.run(*job), pool.run(*job)
    assert first.value is None and "worker failed" in first.reason
    assert second.value is True


def test_without_isolation_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "isolation", lambda: [])
    monkeypatch.setattr(sandbox, "Worker", lambda: pytest.fail("a worker was started"))
    verdict = Sandbox(workers=1).run({"code": body("return True"), "function": "f"}, "", "")
    assert verdict.value is None and "no isolation" in verdict.reason


def run_child(prefix: str) -> list[dict]:
    """The child program's answers to one request, started after `prefix` in a process of its own."""
    fields = {"function": "f", "prompt": "", "response": "", "nonce": "n", "seconds": 5, "megabytes": 256}
    request = json.dumps({"code": body("return True")} | fields).encode()
    start = f"import os, sys\n{prefix}\nos.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    command = [sys.executable, "-c", start, *sandbox.FLAGS, str(sandbox.CHILD)]
    output = subprocess.run(command, input=request, capture_output=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


@needs_seccomp
def test_it_stands_without_any_privilege() -> None:
    """Root without a single capability is no more than anybody; for anybody else this changes nothing."""
    drop_all = "import ctypes\nfor capability in range(64): ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)"
    hello, answer = run_child(drop_all)
    assert "seccomp" in hello["isolation"] and answer == {"value": True, "reason": ""}


@needs_seccomp
def test_where_filters_are_forbidden_no_code_is_run() -> None:
    """As in a container that denies prctl(PR_SET_SECCOMP): the worker says so and ends."""
    number = {"x86_64": 157, "aarch64": 167}[platform.machine()]
    forbid = f"""
sys.path.insert(0, {str(sandbox.CHILD.parent)!r})
import struct, sandbox_child as c
steps = [(c.BPF_LOAD, 0, 0, 0), (c.BPF_EQUAL, 0, 3, {number}), (c.BPF_LOAD, 0, 0, 16),
         (c.BPF_EQUAL, 0, 1, c.PR_SET_SECCOMP), (c.BPF_RETURN, 0, 0, c.SECCOMP_EPERM),
         (c.BPF_RETURN, 0, 0, c.SECCOMP_ALLOW)]
assert c.enter_seccomp(b"".join(struct.pack("=HBBI", *step) for step in steps))
"""
    (hello,) = run_child(forbid)
    assert hello["isolation"] == []


def test_an_unknown_processor_has_no_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    from rtt_lib.verify import sandbox_child

    monkeypatch.setattr(sandbox_child.platform, "machine", lambda: "riscv64")
    assert sandbox_child.isolate_server() == []


def test_a_worker_that_cannot_start_offers_no_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "CHILD", Path("/nowhere.py"))
    worker = Worker()
    worker.close()
    assert worker.isolation == []


@pytest.mark.parametrize("args", [{}, {"code": "x"}, {"code": 3, "function": "f"}, {"code": "x", "function": None}])
def test_missing_arguments_are_named(args: dict) -> None:
    with pytest.raises(RTTError, match=r"code:python: argument '(code|function)' must be a string"):
        check(Criterion("c", "code:python", args), "", "")


@pytest.mark.parametrize("setting", [{"workers": 0}, {"seconds": 0}, {"megabytes": 8}])
def test_impossible_settings_are_refused(setting: dict) -> None:
    with pytest.raises(RTTError):
        Sandbox(**setting)
