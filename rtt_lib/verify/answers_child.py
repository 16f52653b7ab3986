"""Compares mathematical answers in a process of its own: one JSON line in, one out. See `rtt_lib.verify.answers`.

math-verify guards itself with SIGALRM, which only a main thread may use and which never interrupts a long step of C
code (9^9^9^9, say). Here the kernel ends the whole process when a comparison has used up its CPU time.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys


def main() -> None:
    seconds, megabytes = (int(word) for word in sys.argv[1:])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from math_verify import LatexExtractionConfig, parse, verify

    # LaTeX alone: the reader of plain expressions is sympy's, which evaluates its text as Python.
    config = [LatexExtractionConfig(boxed_match_priority=0)]

    def read(text: str) -> list:
        return parse(rf"$\boxed{{{text}}}$", config, parsing_timeout=None, raise_on_error=True)

    def equals(right: list, given: str) -> bool:
        try:
            return bool(verify(right, read(given), timeout_seconds=None))
        except (MemoryError, RecursionError):
            raise
        except Exception:  # not mathematics: what cannot be read is not the right answer
            return False

    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF, which nobody handles here
        try:
            right, given = json.loads(line)
            found, reason = equals(read(right), given), ""
        except MemoryError:
            found, reason = None, "comparing the answers took too much memory"
        except RecursionError:
            found, reason = None, "the answers are nested too deeply to be compared"
        except Exception:  # the right answer cannot be read, so nothing can be compared with it
            found, reason = None, "the right answer cannot be read as mathematics"
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps([found, reason]), file=answers, flush=True)


if __name__ == "__main__":
    main()
