"""How a policy is trained: every method by the name that an arm gives it.

A method is a module with `train(task, folder)`, which leaves the trained policy in `folder` and returns its log, and
knows no world. A new method is one module and one line here; arms that use it are lines in `rtt_lib.methods.arms`.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from rtt_lib.errors import RTTError

METHODS = {
    "rtt-grpo": "rtt_lib.methods.rl",
    "sft": "rtt_lib.methods.sft",
    "dpo": "rtt_lib.methods.dpo",
    "user-rule": "rtt_lib.methods.user_rule",
    "conversations": "rtt_lib.methods.conversations",
    "curriculum": "rtt_lib.methods.curriculum",
    "serl": "rtt_lib.methods.serl",
    "serl-criteria": "rtt_lib.methods.serl_criteria",
}


def find_method(name: str) -> ModuleType:
    if name not in METHODS:
        raise RTTError(f"unknown method '{name}': choose one of {', '.join(METHODS)}")
    return importlib.import_module(METHODS[name])
