"""What commands share: values given by --set, counts, messages on standard error, exit statuses, processes that end."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

from rtt_lib.errors import RTTError


def parse_overrides(settings: Sequence[str]) -> dict[str, str]:
    overrides = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise RTTError(f"--set {setting}: expected key=value, as in --set rl.steps=3")
        overrides[key] = value
    return overrides


def count(text: str) -> int:
    """The type of an option that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def complain(message: str) -> None:
    """On standard error, control characters written out: an error may quote what a model wrote."""
    shown = (char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in message)
    print(f"rtt: {''.join(shown)}", file=sys.stderr)


def guarded(work: Callable[[], int | None]) -> int:
    """The exit status of `work`; what a person can mend is a message."""
    try:
        return work() or 0
    except RTTError as error:
        complain(str(error))
        return 2
    except OSError as error:  # a full disk, a folder that may not be written
        complain(f"{error.filename}: {error.strerror or error}" if error.filename else str(error))
        return 1
    except ModuleNotFoundError as error:  # `pip install rtt` brings what grading needs
        complain(f"this needs the package {error.name}: pip install 'rtt[all]', or make env")
        return 2
    except KeyboardInterrupt:
        print("rtt: interrupted; the same command carries on from here", file=sys.stderr)
        return 130


def end_with(parent: int) -> None:
    """End this process when `parent` is gone: nobody waits for it, and the next attempt may write into its folder."""

    def watch() -> None:
        while True:
            try:
                os.kill(parent, 0)
            except ProcessLookupError:
                os._exit(1)
            if os.getppid() == 1 and parent != 1:  # the parent's number may be somebody else's by now
                os._exit(1)
            time.sleep(0.5)

    threading.Thread(target=watch, daemon=True).start()
