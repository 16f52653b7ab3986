"""The other side of `sandbox.py`: a small fork server that runs one untrusted checker per forked process.

It is started as a program of its own (never imported by the library), imports the standard library only, and has
two kinds of process. The *server* is trusted: it reads one JSON request a line from standard input and answers one
JSON line. For each request it forks a *cell*, which closes everything but one pipe, locks itself down and only then
runs the checker. A cell is assumed to be hostile down to native code: what holds it is the kernel, not Python.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import inspect
import json
import os
import platform
import random
import resource
import select
import signal
import struct
import sys
import time

# Loaded before the lock-down, because a cell cannot open any file, not even the standard library's.
PRELOAD = """
abc array ast base64 binascii bisect calendar cmath codecs collections collections.abc colorsys contextlib copy csv
dataclasses datetime decimal difflib enum fnmatch fractions functools hashlib heapq hmac html html.entities html.parser
io itertools json keyword locale math numbers operator pprint queue random re reprlib secrets shlex statistics string
stringprep struct textwrap threading time token tokenize traceback types typing unicodedata urllib.parse uuid warnings
weakref xml.dom.minidom xml.etree.ElementTree xml.parsers.expat xml.sax zlib zoneinfo _strptime
encodings.ascii encodings.cp1252 encodings.idna encodings.latin_1 encodings.unicode_escape encodings.utf_16
encodings.utf_32 encodings.utf_8_sig
"""
# What gives a frame, and with it the variables of our own functions, away to Python code.
FRAME_EVENTS = """
sys._getframe sys._current_frames sys._current_exceptions sys.settrace sys.setprofile code.__new__
gc.get_objects gc.get_referents gc.get_referrers marshal.loads
"""

# What a cell may ask of the kernel; anything else answers "operation not permitted". Numbers are (x86_64, aarch64),
# None where the architecture lacks the call. No call here names a path, a process, a socket or a new program, and
# none sets a signal handler (Python hands its frame to a handler).
ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "poll": (7, None),
    "lseek": (8, 62),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "select": (23, None),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "time": (201, None),
    "futex": (202, 98),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "pselect6": (270, 72),
    "ppoll": (271, 73),
    "getrandom": (318, 278),
}
MEMORY = {"mmap": (9, 222), "mprotect": (10, 226)}  # allowed unless they ask for executable memory
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_*

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER = 2
SECCOMP_ALLOW, SECCOMP_EPERM, SECCOMP_KILL = 0x7FFF0000, 0x00050001, 0x80000000
BPF_LOAD, BPF_EQUAL, BPF_ANY_BIT, BPF_RETURN = 0x20, 0x15, 0x45, 0x06
NEW_USER, NEW_NETWORK, NEW_IPC, NEW_UTS = 0x10000000, 0x40000000, 0x08000000, 0x04000000
LANDLOCK_CREATE, LANDLOCK_RESTRICT = 444, 446  # the same numbers on every architecture
LANDLOCK_FILES = {1: 13, 2: 14, 3: 15, 4: 15}  # how many access rights to files each version knows; 16 from version 5

ANSWER_BYTES = 4096
MESSAGE_CHARACTERS = 160

LIBC = ctypes.CDLL(None, use_errno=True)


# --- isolation ------------------------------------------------------------------------------------------------------


def seccomp_program() -> bytes:
    """The filter as classic BPF: the right architecture, a known call, no executable memory; else EPERM."""
    column, audit_arch = ARCHITECTURES[platform.machine()]
    allowed = [numbers[column] for numbers in ALLOWED.values() if numbers[column] is not None]
    memory = [numbers[column] for numbers in MEMORY.values()]
    steps = [(BPF_LOAD, 0, 0, 4), (BPF_EQUAL, 1, 0, audit_arch), (BPF_RETURN, 0, 0, SECCOMP_KILL), (BPF_LOAD, 0, 0, 0)]
    calls = memory + allowed
    # The tail after the list: [0] deny, [1] load the protection argument, [2] executable? deny, [3] deny, [4] allow.
    for index, number in enumerate(calls):
        after = len(calls) - index - 1
        steps.append((BPF_EQUAL, after + (1 if number in memory else 4), 0, number))
    steps += [
        (BPF_RETURN, 0, 0, SECCOMP_EPERM),
        (BPF_LOAD, 0, 0, 32),  # low word of the third argument
        (BPF_ANY_BIT, 0, 1, 0x4),  # PROT_EXEC
        (BPF_RETURN, 0, 0, SECCOMP_EPERM),
        (BPF_RETURN, 0, 0, SECCOMP_ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def enter_seccomp(program: bytes) -> bool:
    """Filter this process' system calls from here on; irrevocable."""
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) == 0


def enter_landlock() -> bool:
    """Give up every file (and, where the kernel knows how, TCP, abstract sockets and signals to others)."""
    version = LIBC.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    words = [(1 << LANDLOCK_FILES.get(version, 16)) - 1]
    words += [0b11] if version >= 4 else []
    words += [0b11] if version >= 6 else []
    rules = struct.pack(f"={len(words)}Q", *words)
    ruleset = LIBC.syscall(LANDLOCK_CREATE, rules, ctypes.c_size_t(len(rules)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    entered = LIBC.syscall(LANDLOCK_RESTRICT, ruleset, ctypes.c_uint32(0)) == 0
    os.close(ruleset)
    return entered


def enter_namespaces() -> bool:
    """A network without any interface, and our own IPC and host name; works without root where users may."""
    return LIBC.unshare(NEW_USER | NEW_NETWORK | NEW_IPC | NEW_UTS) == 0


def seccomp_holds(program: bytes) -> bool:
    """Try it in a child: after the filter, /dev/null (which everyone may open) must be out of reach."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if enter_seccomp(program):
                os.open("/dev/null", os.O_RDONLY)
        except PermissionError:
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def isolate_server() -> list[str]:
    """Give up what the server itself does not need. Returns the names of the protections that work, none without
    seccomp."""
    # The probe comes before Landlock, which would deny it as well.
    if platform.machine() not in ARCHITECTURES or not seccomp_holds(seccomp_program()):
        return []
    further = {"namespaces": enter_namespaces(), "landlock": enter_landlock()}
    return ["seccomp", *(name for name, stands in further.items() if stands)]


def limit_resources(seconds: float, megabytes: int) -> None:
    limits = {
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_AS: megabytes << 20,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 16,
    }
    for name, value in limits.items():
        hard = resource.getrlimit(name)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (value, value))


# --- the cell: where the untrusted code runs ------------------------------------------------------------------------


def arguments(function: object, prompt: str, response: str) -> tuple[str, ...]:
    """(prompt, response), (response, prompt) or (response,), as the checker's signature asks."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind in positional]
    names = [p.name for p in parameters]
    required = sum(p.default is inspect.Parameter.empty for p in parameters)
    if required == 2 or names[1:2] == ["response"]:
        return (response, prompt) if names[0] == "response" else (prompt, response)
    if required < 2 and names:
        return (response,)
    raise TypeError(f"a checker takes (instruction, response) or (response), this one takes ({', '.join(names)})")


def hide_frames() -> None:
    """No way from the checker to the variables of our own functions: the nonce is among them.

    ValueError is what the standard library itself expects where frames cannot be had (namedtuple, enum, typing).
    """
    attributes = frozenset(("tb_frame", "gi_frame", "cr_frame", "ag_frame"))
    events = frozenset(FRAME_EVENTS.split())

    def hook(event: str, details: tuple, refusal: type = ValueError) -> None:
        if event in events or event[:7] == "ctypes." or (event == "object.__getattr__" and details[1] in attributes):
            raise refusal("not to be had in the sandbox")

    sys.addaudithook(hook)


def describe(error: BaseException) -> bytes:
    """`TypeName: message`, short; the server makes it printable."""
    return f"{type(error).__name__}: {error}"[:MESSAGE_CHARACTERS].encode("utf-8", "replace")


def run_cell(request: dict, program: bytes, devnull: int, pipe: int) -> None:
    """Lock this process down, run the checker, write `nonce + outcome` to the pipe and end. Never returns.

    Everything used after the checker is bound to a local before it, so that patching modules or builtins changes
    nothing; the outcome is compared by identity, so that nothing but True and False counts.
    """
    write, end, explain = os.write, os._exit, describe
    yes, no, other, raised = (request["nonce"].encode() + word for word in (b"true", b"false", b"other", b"error"))
    try:
        for standard in (0, 1, 2):
            os.dup2(devnull, standard)
        os.dup2(pipe, 3)
        os.closerange(4, 1 << 16)
        os.setsid()
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        limit_resources(request["seconds"], request["megabytes"])
        for name in ("ctypes", "_ctypes", "resource", "__main__"):
            sys.modules.pop(name, None)
        if not enter_seccomp(program):
            end(70)
        hide_frames()
        random.seed(0)  # after the fork, which reseeds: a checker that draws gives the same verdict every time
        namespace = {"__name__": "checker", "__builtins__": __builtins__}
        exec(compile(request["code"], "<checker>", "exec"), namespace)
        function = namespace[request["function"]]
        value = function(*arguments(function, request["prompt"], request["response"]))
        write(3, yes if value is True else no if value is False else other)
    except BaseException as error:
        write(3, raised + explain(error))
    finally:
        end(0)


# --- the server -----------------------------------------------------------------------------------------------------


def read_answer(pipe: int, seconds: float) -> tuple[bytes, bool]:
    """All the cell wrote until it ended, and whether it ended in time; at most ANSWER_BYTES are kept."""
    data, deadline = b"", time.monotonic() + seconds
    while len(data) <= ANSWER_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return data, False
        chunk = os.read(pipe, ANSWER_BYTES)
        if not chunk:
            return data, True
        data += chunk
    return data, True


def decide(data: bytes, nonce: bytes, status: int) -> tuple[bool | None, str]:
    """The verdict: only the exact answer of our own code in the cell counts."""
    if data in (nonce + b"true", nonce + b"false"):
        return data.endswith(b"true"), ""
    if data == nonce + b"other":
        return None, "the checker returned neither True nor False"
    if data.startswith(nonce + b"error"):
        message = data.removeprefix(nonce + b"error").decode("utf-8", "replace")[:MESSAGE_CHARACTERS]
        return None, "the checker raised " + message.encode("unicode_escape").decode()
    if data:
        return None, "the checker wrote to the result pipe itself"
    signalled = os.WIFSIGNALED(status)
    how = signal.strsignal(os.WTERMSIG(status)) if signalled else f"exit status {os.waitstatus_to_exitcode(status)}"
    return None, f"the checker ended without an answer ({how})"


def serve_one(request: dict, program: bytes, devnull: int) -> dict:
    """Fork a cell for the request, wait for it within the limit, and leave nothing of it behind."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        run_cell(request, program, devnull, writable)
    os.close(writable)
    data, in_time = read_answer(readable, request["seconds"])
    os.close(readable)
    os.kill(child, signal.SIGKILL)  # not reaped yet, so the number is still its own
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # nobody should be there, since a cell cannot fork
    status = os.waitpid(child, 0)[1]
    if not in_time:
        return {"value": None, "reason": f"the checker ran into the time limit of {request['seconds']:g} s"}
    value, reason = decide(data, request["nonce"].encode(), status)
    return {"value": value, "reason": reason}


def main() -> None:
    """Preload, isolate, say which protections work, then serve until standard input ends."""
    for name in PRELOAD.split():
        with contextlib.suppress(ImportError):  # a Python built without zlib or expat is still a Python
            importlib.import_module(name)
    devnull = os.open(os.devnull, os.O_RDWR)
    walls = isolate_server()
    print(json.dumps({"isolation": walls}), flush=True)
    if not walls:
        return
    program = seccomp_program()
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(serve_one(request, program, devnull)), flush=True)


if __name__ == "__main__":
    main()
