"""From rollouts to the advantage of every token, one prompt at a time: what notebook 06 shows of section 4.2.

Nothing is computed here that training does not compute: verdicts, relevance and advantages come from the functions
that `RTTGRPOTrainer` calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import pandas as pd
import torch
import transformers
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from rtt_lib.bench.generate import prompt_ids
from rtt_lib.credit import combine, response_advantage, token_advantage
from rtt_lib.errors import RTTError
from rtt_lib.methods.rl import relevance_source
from rtt_lib.methods.task import Task
from rtt_lib.models import device_for, load_causal_lm, load_tokenizer
from rtt_lib.profile import RL
from rtt_lib.relevance.base import RelevanceSource, Rollouts
from rtt_lib.relevance.sources import DiscriminatorSource
from rtt_lib.relevance.spans import token_offsets
from rtt_lib.report.theme import hex_of, shade
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.studies.spec import RunSpec
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.registry import rule_of
from rtt_lib.verify.verdict import aon, csr

END = "<end>"

STYLE = """<style>
.rtt-credit { font: 14px/1.4 system-ui, sans-serif; color: #1a1a1a; background: #fff; padding: .5rem; }
.rtt-credit p { margin: .7rem 0 .2rem; } .rtt-credit .note { font-size: 12px; color: #555; }
.rtt-credit .token { display: inline-block; text-align: center; padding: .1em .35em; margin: 1px; border-radius: 3px; }
.rtt-credit .token small { display: block; font-size: 10px; color: #000; font-variant-numeric: tabular-nums; }
</style>"""


@dataclass(frozen=True)
class Group:
    """G responses to one prompt with everything RTT-GRPO makes of them.

    rewards, a_res [G]; verdicts [G, K]; relevance [G, K, T]; a_tok, advantage [G, T]
    """

    rollouts: Rollouts
    verdicts: Tensor
    rewards: Tensor
    relevance: Tensor
    a_res: Tensor
    a_tok: Tensor
    advantage: Tensor
    scheme: str

    def tokens(self, i: int) -> list[str]:
        """The tokens of response i as text; the one without text is the end of the response."""
        response = self.rollouts.responses[i]
        return [response[a:b].strip() or END for a, b in self.rollouts.offsets[i]]


@dataclass(frozen=True)
class Walkthrough:
    """One prompt and what a profile's policies make of it, sampled as in training.

    base: the base policy, a folder or a model's name; relevance: what `RTT-CSR` reads
    """

    question: RubricPrompt
    base: str | Path
    relevance: RelevanceSource
    rl: RL
    verifier: Verifier

    @property
    def unrounded(self) -> RelevanceSource:
        return replace(self.relevance, raw=True) if isinstance(self.relevance, DiscriminatorSource) else self.relevance

    def roll_out(self, policy: str | Path) -> Rollouts:
        return roll_out(*load_policy(policy), self.question, self.rl, self.verifier)


def walkthrough(spec: RunSpec) -> Walkthrough:
    """Of six fresh prompts the one that shows most (`telling_prompt`), and what `spec` does to it."""
    base, profile, verifier = spec.home.base(spec.seed), spec.profile, spec.home.verifier()
    model, tokenizer = load_policy(base)
    question = telling_prompt(model, tokenizer, spec.home.questions(6), profile.rl, verifier)
    seed = spec.discriminator_seed
    task = Task(spec.arm, profile.rl, profile.compute, seed, spec.home, model, tokenizer, [question], spec.folder)
    return Walkthrough(question, base, relevance_source(task), profile.rl, verifier)


def load_policy(name: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    transformers.utils.logging.disable_progress_bar()  # how fast a file loads is no result
    model = load_causal_lm(name)
    return model.to(device_for(model)).eval(), load_tokenizer(name)


@torch.no_grad()
def roll_out(model, tokenizer, question: RubricPrompt, rl: RL, verifier: Verifier, seed: int = 0) -> Rollouts:
    """One group of sampled responses to one prompt, verified."""
    size, prompt = rl.group_size, torch.tensor([prompt_ids(question, tokenizer)] * rl.group_size)
    # The checkpoint's own defaults (a repetition penalty, say) are not those of training.
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=rl.temperature,
        top_p=rl.top_p,
        top_k=rl.top_k,
        max_new_tokens=rl.max_response_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ids = model.generate(
            prompt.to(model.device),
            attention_mask=torch.ones_like(prompt).to(model.device),
        )
    ids = ids[:, prompt.shape[1] :].cpu()
    mask = (ids == tokenizer.eos_token_id).cumsum(1).cumsum(1) <= 1  # up to and with the first end token
    read = [token_offsets(tokenizer, row[kept].tolist()) for row, kept in zip(ids, mask, strict=True)]
    texts, offsets = zip(*read, strict=True)
    prompts, rubrics = [question.prompt] * size, [question.criteria] * size
    return Rollouts(prompts, texts, rubrics, verifier(prompts, texts, rubrics), ids, mask, offsets)


def samples(spec: RunSpec, n: int) -> pd.DataFrame:
    """What the base policy writes to the first `n` prompts that no policy is trained on, one response each."""
    model, tokenizer = load_policy(spec.home.base(spec.seed))
    one, verifier = replace(spec.profile.rl, group_size=1), spec.home.verifier()
    rows = []
    for number, question in enumerate(spec.home.questions(n)):
        rollouts = roll_out(model, tokenizer, question, one, verifier, seed=number)
        held = [verdict.value for verdict in rollouts.verdicts[0]].count(True)
        row = {"prompt": question.prompt, "response": rollouts.responses[0]}
        rows.append(row | {"satisfied": f"{held} of {len(question.criteria)}"})
    return pd.DataFrame(rows)


def telling_prompt(model, tokenizer, questions: Sequence[RubricPrompt], rl: RL, verifier: Verifier) -> RubricPrompt:
    """The prompt whose responses show most."""
    return max(questions, key=lambda q: shows(roll_out(model, tokenizer, q, rl, verifier).verdict_tensor(), q.criteria))


def shows(verdicts: Tensor, criteria: Sequence[Criterion]) -> tuple[bool, bool, bool, float]:
    """What makes a group [G, K] worth a look, the first thing first: AON is known for all responses; all of them fail
    something, so that AON is silent; a criterion is global; CSR differs."""
    failed, known = (verdicts == 0).any(1), ~verdicts.isnan().any(1)
    whole = any(c.verifier and rule_of(c).scope == "global" for c in criteria)
    spread = verdicts.nanmean(1).nan_to_num().std().item()
    return bool((failed | known).all()), bool(failed.all()), whole, spread


def telling_response(group: Group) -> int:
    """The response that satisfies most among those that violate something; the best one if none does."""
    flawed, satisfied = (group.verdicts == 0).any(1), group.verdicts.nanmean(1).nan_to_num()
    return int(satisfied.masked_fill(~flawed, -1).argmax() if flawed.any() else satisfied.argmax())


def silence(group: Group) -> str:
    """Whether AON is silent about the group, in one sentence."""
    held, size = int((group.verdicts == 1).all(1).sum()), len(group.verdicts)
    tokens = group.a_tok[group.rollouts.mask].abs().mean().item()
    said = f"{held} of {size} responses satisfy every criterion"
    if held in (0, size):
        return f"{said}: AON gives all the same reward, A_res is 0, and yet the mean |A_tok| is {tokens:.2f}."
    return f"{said}: here AON is not silent; the mean |A_tok| is {tokens:.2f}."


def assign_credit(
    rollouts: Rollouts, source: RelevanceSource, reward: str = "csr", beta: float = 0.5, scheme: str = "intra"
) -> Group:
    """Section 4.2 on one group: rewards (Eq. 2, 3), A_res, relevance (Eq. 4), A_tok, and Eq. 7."""
    size = len(rollouts.responses)
    score = {"aon": aon, "csr": csr}[reward]
    rewards = torch.tensor([score([v.value for v in row]) for row in rollouts.verdicts])
    verdicts = rollouts.verdict_tensor()
    relevance = source(rollouts)
    a_res = response_advantage(rewards, size)
    a_tok = token_advantage(verdicts, relevance, rollouts.mask, size, scheme)
    advantage = combine(a_res, a_tok, beta=beta) * rollouts.mask
    return Group(rollouts, verdicts, rewards, relevance, a_res, a_tok, advantage, scheme)


def verdict_table(group: Group) -> pd.DataFrame:
    """One row per response: its text, every verdict, both rewards, A_res."""
    table = pd.DataFrame({"response": group.rollouts.responses})
    for k, criterion in enumerate(group.rollouts.criteria[0]):
        table[criterion.text] = [{1.0: "yes", 0.0: "no"}.get(v, "unknown") for v in group.verdicts[:, k].tolist()]
    values = [[v.value for v in row] for row in group.rollouts.verdicts]
    table["AON"], table["CSR"] = [aon(row) for row in values], [csr(row) for row in values]
    return table.assign(A_res=group.a_res.tolist())


def criterion_advantages(group: Group, i: int) -> Tensor:
    """A_k(i, t) of response i for each criterion alone, [K, T]: the others' verdicts are hidden (NaN)."""
    alone = torch.full_like(group.verdicts, torch.nan)
    rows = []
    for k in range(group.verdicts.shape[1]):
        one = alone.clone()
        one[:, k] = group.verdicts[:, k]
        rows.append(token_advantage(one, group.relevance, group.rollouts.mask, len(one), group.scheme)[i])
    return torch.stack(rows)


def steps_table(group: Group, i: int, k: int) -> pd.DataFrame:
    """The chain for one response and one criterion: p_k, r_k = s_k p_k, A_k, token by token."""
    n = len(group.tokens(i))
    p = group.relevance[i, k, :n]
    sign = 2 * (group.verdicts[i, k] - 0.5)
    a_k = criterion_advantages(group, i)[k, :n]
    return pd.DataFrame({"token": group.tokens(i), "p_k": p, "r_k = s_k p_k": sign * p, "A_k": a_k})


def spread_table(raw: Group, group: Group, i: int) -> pd.DataFrame:
    """Per criterion: how far relevance varies over response i, and how strong the credit is after standardising.

    raw: the same responses with relevance as the discriminator gives it; group: as training reads it, rounded.
    """
    table = pd.DataFrame(
        {
            "criterion": [criterion.text for criterion in group.rollouts.criteria[i]],
            "verdict": [_yes(value) for value in group.verdicts[i]],
        }
    )
    for name, one in (("unrounded", raw), ("rounded", group)):
        spread = one.relevance[i, :, : len(one.tokens(i))].std(1, correction=0)
        table[f"std p_k, {name}"] = [f"{value:.1e}" for value in spread.tolist()]  # tiny, and yet not zero
        table[f"largest |A_k|, {name}"] = criterion_advantages(one, i).abs().amax(1)
    return table


def credit_table(group: Group, i: int) -> pd.DataFrame:
    """Response i, token by token: A_k of every criterion, their mean A_tok, A_res, and A of Eq. 7."""
    n = len(group.tokens(i))
    table = pd.DataFrame({"token": group.tokens(i)})
    for criterion, a_k in zip(group.rollouts.criteria[i], criterion_advantages(group, i), strict=True):
        table[f"A_k: {criterion.text}"] = a_k[:n].tolist()
    table["A_tok"], table["A_res"] = group.a_tok[i, :n].tolist(), group.a_res[i].item()
    return table.assign(A=group.advantage[i, :n].tolist())


def relevance_html(group: Group, i: int) -> str:
    """Response i once per criterion, each token shaded by its relevance, verdict in front."""
    lines = [
        (f"{criterion.text}: {_yes(group.verdicts[i, k])}", group.relevance[i, k])
        for k, criterion in enumerate(group.rollouts.criteria[i])
    ]
    parts = [f"<p>{escape(name)}</p>{_tokens(group.tokens(i), p, 1.0, '{:.2f}')}" for name, p in lines]
    note = "Number and shade: relevance p_k(i, t), 0 to 1."
    return f'{STYLE}<div class="rtt-credit"><p class="note">{note}</p>{"".join(parts)}</div>'


def advantage_html(group: Group, responses: Sequence[int], title: str) -> str:
    """Responses with every token's combined advantage: blue is raised, vermilion lowered, the number says by what."""
    largest = max(group.advantage.abs().max().item(), 1e-9)
    parts = []
    for i in responses:
        held = int(group.verdicts[i].nansum().item())
        line = f"{held} of {len(group.rollouts.criteria[i])} satisfied, A_res {group.a_res[i]:+.2f}"
        parts.append(f"<p>{line}</p>{_tokens(group.tokens(i), group.advantage[i], largest, '{:+.2f}')}")
    note = (
        f"A(i, t) under each token. Blue, +: made more likely. Orange, -: less likely. Strongest here: {largest:.2f}."
    )
    prompt = escape(group.rollouts.prompts[0])
    return (
        f'{STYLE}<div class="rtt-credit"><p><b>{escape(title)}</b></p><p>Prompt: <code>{prompt}</code></p>'
        f'<p class="note">{note}</p>{"".join(parts)}</div>'
    )


def _tokens(tokens: Sequence[str], values: Tensor, largest: float, number: str) -> str:
    spans = []
    for token, value in zip(tokens, values.tolist(), strict=False):
        color = hex_of(shade(0.75 * value, largest))  # lighter than in figures: the letters stay black
        number_below = f"<small>{number.format(value)}</small>"
        spans.append(f'<span class="token" style="background: {color}">{escape(token)}{number_below}</span>')
    return f"<div>{''.join(spans)}</div>"


def _yes(value: Tensor) -> str:
    return {1.0: "satisfied", 0.0: "violated"}.get(value.item(), "unknown")


def credit_summary(groups: dict[str, Group]) -> pd.DataFrame:
    """How much each group's tokens are pushed: by A_res, by A_tok, together; and A_tok of ends that were reached."""
    rows = []
    for name, group in groups.items():
        mask = group.rollouts.mask
        ended = torch.tensor([group.tokens(i)[-1] == END for i in range(len(mask))])
        ends = group.a_tok[torch.arange(len(mask)), mask.sum(1) - 1][ended]
        everything = torch.tensor([aon([v.value for v in row]) for row in group.rollouts.verdicts]).nanmean()
        row = {"group": name, "AON": everything, "CSR": group.verdicts.nanmean(), "tokens": mask.sum(1).float().mean()}
        a_res = group.a_res.unsqueeze(1).expand_as(mask)[mask]  # a mean over tokens, as those of the other columns
        row |= {"mean |A_res|": a_res.abs().mean(), "mean |A_tok|": group.a_tok[mask].abs().mean()}
        row |= {"mean |A|": group.advantage[mask].abs().mean(), f"A_tok of {END}": ends.mean()}
        rows.append({key: value if isinstance(value, str) else float(value) for key, value in row.items()})
    return pd.DataFrame(rows)


def first_of(specs: Sequence[RunSpec], arm: str) -> RunSpec:
    """The first planned run of an arm, to look at closely."""
    for spec in specs:
        if spec.arm.name == arm:
            return spec
    raise RTTError(f"no run of {arm} is planned: the profile's experiment `core` has to name it, with seeds and worlds")


def policies_here(specs: Sequence[RunSpec], arms: Sequence[str]) -> dict[str, str | Path]:
    """The base policy and the trained ones that are on this machine: policies are not published."""
    chosen = [first_of(specs, arm) for arm in arms]
    trained = {spec.arm.name: spec.policy for spec in chosen if Path(spec.policy, "config.json").is_file()}
    return {"base": chosen[0].home.base(chosen[0].seed)} | trained
