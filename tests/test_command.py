"""What every command shares: values given by --set, messages, exit statuses."""

from __future__ import annotations

import errno

import pytest

from rtt_lib.command import complain, guarded, parse_overrides
from rtt_lib.errors import RTTError
from rtt_lib.fingerprint import LIBRARY


def test_overrides_keep_what_follows_the_first_equals_sign():
    assert parse_overrides(["data.path=a=b", "rl.steps="]) == {"data.path": "a=b", "rl.steps": ""}
    with pytest.raises(RTTError, match="expected key=value"):
        parse_overrides(["=3"])


def test_a_message_goes_to_standard_error_and_commands_no_terminal(capsys):
    complain("a line\n\tand \x1b[2J another é")
    assert capsys.readouterr() == ("", "rtt: a line\n\tand \\x1b[2J another é\n")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "tables/x.csv"), 1, "tables/x.csv: No space left on device"),
        (OSError("the connection broke"), 1, "the connection broke"),
        (KeyboardInterrupt(), 130, "interrupted; the same command carries on from here"),
    ],
)
def test_what_stops_a_command_has_a_status_and_a_message(error, status, said, capsys):
    def work() -> int:
        raise error

    assert guarded(work) == status
    assert capsys.readouterr() == ("", f"rtt: {said}\n")


def test_without_an_error_the_status_is_the_works_own(capsys):
    assert [guarded(lambda value=value: value) for value in (None, 0, 1, 3)] == [0, 0, 1, 3]
    assert capsys.readouterr() == ("", "")


# Processes that others start, files that run without this package, and what reads nothing that a person gave.
UNGUARDED = {
    *("methods/user_rule.py", "verify/sandbox_child.py", "verify/answers_child.py"),
    *("bench/conform/ports.py", "run/gpu_job/start.py"),
    *("analysis/coverage.py", "bench/conform/mutants.py", "report/picture.py"),
}


def test_every_command_of_python_m_is_guarded():
    texts = {path.relative_to(LIBRARY).as_posix(): path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.py")}
    commands = {name: text for name, text in texts.items() if '\nif __name__ == "__main__":' in text}
    assert {name for name, text in commands.items() if "guarded(" not in text} == UNGUARDED
