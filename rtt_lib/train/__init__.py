"""Learning: RTT-GRPO on TRL, its baselines, every arm by name."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`RTTGRPOTrainer` and `RTTGRPOConfig`, imported when asked for: TRL takes seconds, which `rtt --help` need not."""
    if name in ("RTTGRPOConfig", "RTTGRPOTrainer"):
        from rtt_lib.methods import rtt_grpo

        return getattr(rtt_grpo, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
