"""What notebook 12 shows of SERL: one group of responses that the policy judges itself, and what the runs came to.

Rewards and advantages come from the functions that `SERLTrainer` calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rtt_lib.profile import RL
from rtt_lib.report.figures import empty_figure
from rtt_lib.report.rtt_grpo import load_policy, roll_out
from rtt_lib.schema import RubricPrompt
from rtt_lib.self_judge import SelfJudge
from rtt_lib.self_rewards import (
    actor_rewards,
    group_advantages,
    judge_rewards,
    length_weight,
    pairs,
    swapped,
    verdicts,
    wins,
)
from rtt_lib.studies.records import only_records
from rtt_lib.studies.spec import RunSpec

MARGIN = 0.2  # alpha of the length filter
JUDGMENTS = 4  # K
MARKERS = "osD^vP*"  # of worlds: there are more of them than colours


@dataclass(frozen=True)
class JudgedGroup:
    """N responses to one prompt and what the policy that wrote them says of their pairs.

    met, lengths [N]: criteria that hold, and words;  said [P, K]: 1, 2, or 0 for nothing readable
    """

    question: RubricPrompt
    responses: Sequence[str]
    met: Tensor
    lengths: Tensor
    said: Tensor

    @property
    def verdict(self) -> Tensor:
        return verdicts(self.said)

    @property
    def rewards(self) -> Tensor:
        """R_A [N]"""
        return actor_rewards(wins(self.verdict, len(self.responses)), length_weight(self.lengths, MARGIN))

    @property
    def judge_rewards(self) -> Tensor:
        """R_J [P, K]"""
        return judge_rewards(self.verdict, self.rewards)


def group_here(specs: Sequence[RunSpec]) -> JudgedGroup | None:
    """Of the first base policy that SERL trains; None where no run is planned, or only records are read."""
    spec = next((spec for spec in specs if spec.arm.name == "SERL"), None)
    return None if spec is None or only_records() else judged_group(spec)


def judged_group(spec: RunSpec) -> JudgedGroup:
    """Of six fresh prompts the one whose responses by the base policy differ most in criteria met, judged by it."""
    model, tokenizer = load_policy(spec.home.base(spec.seed))
    rl, verifier, judge = spec.profile.rl, spec.home.verifier(), spec.home.self_judge()
    groups = [(question, roll_out(model, tokenizer, question, rl, verifier)) for question in spec.home.questions(6)]
    met = [torch.tensor([sum(v.value for v in row) for row in rollouts.verdicts]) for _, rollouts in groups]
    best = max(range(len(groups)), key=lambda i: met[i].float().std().item())
    question, rollouts = groups[best]
    lengths = torch.tensor([len(text.split()) for text in rollouts.responses])
    said = _judge(model, tokenizer, judge, question.prompt, rollouts.responses, rl)
    return JudgedGroup(question, rollouts.responses, met[best], lengths, said)


@torch.no_grad()
def _judge(model, tokenizer, judge: SelfJudge, prompt: str, responses: Sequence[str], rl: RL) -> Tensor:
    """[P, K]: every pair K times, half of them in each order, sampled as in training."""
    asked = []
    for i, j in pairs(len(responses)).tolist():
        both = (responses[i], responses[j])
        asked += [judge.compare(prompt, *(both[::-1] if turned else both)) for turned in swapped(JUDGMENTS).tolist()]
    batch = tokenizer(asked, return_tensors="pt", padding=True).to(model.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        options = {"do_sample": True, "temperature": rl.temperature, "top_k": rl.top_k, "top_p": rl.top_p}
        ids = model.generate(**batch, max_new_tokens=judge.tokens, **options)
    answers = tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return torch.tensor([judge.picked(answer) for answer in answers]).view(-1, JUDGMENTS)


def response_table(group: JudgedGroup) -> pd.DataFrame:
    """One row a response: what the rules say, and what the policy's own verdicts make of it."""
    won = wins(group.verdict, len(group.responses)).sum((-2, -1))
    return pd.DataFrame(
        {
            "response": group.responses,
            "words": group.lengths.tolist(),
            "criteria met": group.met.tolist(),
            "judgments won": won.int().tolist(),
            "R_A": group.rewards.tolist(),
            "advantage": group_advantages(group.rewards).tolist(),
        }
    )


def verdict_table(group: JudgedGroup) -> pd.DataFrame:
    """One row a pair: who won its judgments, in the order in which they were asked, and what they earn the judge."""
    rows = []
    advantages = group_advantages(group.judge_rewards)
    for p, (i, j) in enumerate(pairs(len(group.responses)).tolist()):
        names = {1: str(i), -1: str(j), 0: "?"}
        better = "tied" if group.met[i] == group.met[j] else str(i if group.met[i] > group.met[j] else j)
        rows.append(
            {
                "pair": f"{i}, {j}",
                "winners": " ".join(names[int(value)] for value in group.verdict[p]),
                "better by the rules": better,
                "R_J": " ".join(f"{value:+.0f}" for value in group.judge_rewards[p].tolist()),
                "advantages": " ".join(f"{value:+.2f}" for value in advantages[p].tolist()),
            }
        )
    return pd.DataFrame(rows)


def dose_figure(found: pd.DataFrame, turning: dict) -> Figure:
    """One mark a run: the actor's gain by the judge's accuracy at the start, and both measures of the judge after."""
    if found.empty:
        return empty_figure("What SERL makes of judges")
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    for n, (world, rows) in enumerate(found.groupby("world", sort=False)):
        style = {"label": world, "color": f"C{n}", "marker": MARKERS[n % len(MARKERS)], "alpha": 0.8}
        left.scatter(rows["accuracy before"], rows["actor's gain"], **style)
        right.scatter(rows["agreement after"], rows["accuracy after"], **style)
    left.axhline(0, color="grey", lw=1)
    if turning["accuracy"] is not None:
        left.axvline(turning["accuracy"], color="grey", ls=":", lw=1)
    left.set(xlabel="judge's accuracy at the start", ylabel="gain in criteria met", title="Does the actor gain?")
    right.axhline(0.5, color="grey", lw=1)
    right.set(xlabel="order agreement after", ylabel="accuracy after", title="Does consistency tell?")
    right.legend(title="world", fontsize=8)
    fig.tight_layout()
    return fig
