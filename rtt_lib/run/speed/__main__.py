"""How fast are steps, relevance, credit, sampling and grading? `python -m rtt_lib.run.speed`, or name one with it.

nothing: a table, where a step's time goes: GRPO, and RTT-GRPO with each kind of discriminator; and the machine.
text:   the same table for SmolLM2-135M on composed prompts, with a few small steps; a quarter of an hour on a CPU.
relevance: each kind of discriminator on 1 to 20 criteria a response.
credit: `token_advantage` against the released code's way of working, on 512 responses x 7 criteria x 4,096 tokens,
        and the memory it takes beside its input.
step:   an RTT-GRPO step against the GRPO step of the same trainer, in the micro world.
sampler: tokens a second of `rtt_lib.bench.fast` against those of `model.generate`.
prompts: a training pass, and the pass for the old log-probabilities, with and without `compute.share_prompts`, on a
        model of SmolLM2-135M's shape; `prompts --model NAME` takes a model of yours.
grading DATA RESPONSES COMMAND: `rtt grade ifeval` against a command that grades the same, the official script say.
Whatever is compared runs alternately, so that a busy machine slows both; medians are printed.
"""

from __future__ import annotations

import sys

from rtt_lib.command import guarded
from rtt_lib.models import load_causal_lm
from rtt_lib.run.speed.credit import credit, memory
from rtt_lib.run.speed.discriminators import relevance
from rtt_lib.run.speed.grading import grading
from rtt_lib.run.speed.sampling import sampler
from rtt_lib.run.speed.shared_prompts import shared_prompts
from rtt_lib.run.speed.steps import TEXT, step, whole_step


def main(arguments: list[str]) -> None:
    match arguments:
        case []:
            whole_step()
        case ["text"]:
            whole_step(steps=4, prompts=2, place=TEXT)
        case ["relevance"]:
            relevance()
        case ["credit"]:
            credit()
        case ["step"]:
            step()
        case ["sampler"]:
            sampler()
        case ["prompts"]:
            shared_prompts()
        case ["prompts", "--model", name]:
            shared_prompts(load_causal_lm(name), name)
        case ["grading", data, responses, command]:
            grading(data, responses, command)
        case ["memory", scheme, responses, tokens]:
            memory(scheme, int(responses), int(tokens))
        case _:
            usage = "[text|relevance|credit|step|sampler|prompts [--model NAME]|grading DATA RESPONSES COMMAND]"
            raise SystemExit(f"usage: python -m rtt_lib.run.speed {usage}")


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
