"""What a person can mend ends the command with a message; what nobody foresaw keeps its traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rtt_lib.command import guarded
from rtt_lib.errors import RTTError
from rtt_lib.profile import REPOSITORY


def raising(error: BaseException):
    def work() -> int:
        raise error

    return work


def test_an_error_for_a_person_ends_the_command_with_2_and_its_message(capsys):
    assert guarded(raising(RTTError("small.yaml:3: rl.steps: must be at least 1"))) == 2
    assert capsys.readouterr() == ("", "rtt: small.yaml:3: rl.steps: must be at least 1\n")


def test_an_error_that_nobody_foresaw_keeps_its_traceback():
    with pytest.raises(KeyError):
        guarded(raising(KeyError("a")))


def test_no_traceback_reaches_a_person():
    code = "import sys\nfrom rtt_lib.command import guarded\nfrom rtt_lib.files import read_json\n"
    command = [sys.executable, "-c", code + "sys.exit(guarded(lambda: read_json('nowhere.json')))"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "rtt: nowhere.json: cannot be read (No such file or directory)\n"
