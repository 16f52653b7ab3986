"""How fast are steps, relevance, credit, sampling and grading? `python -m rtt_lib.run.speed`, or name one with it.

nothing: a table, where a step's time goes: GRPO, and RTT-GRPO with each kind of discriminator; and the machine.
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

import random
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForTokenClassification,
    PreTrainedModel,
)

from rtt_lib.bench.draw import noise
from rtt_lib.bench.fast import FastSampler
from rtt_lib.bench.generate import prompt_ids
from rtt_lib.credit import SCHEMES, token_advantage
from rtt_lib.errors import RTTError
from rtt_lib.machine import hardware
from rtt_lib.models import SMOLLM2, device_for, load_causal_lm, load_tokenizer, precision
from rtt_lib.profile import REPOSITORY, Evaluation
from rtt_lib.relevance.discriminator import MICRO_TEMPLATE, TEMPLATE_KEY, Discriminator
from rtt_lib.relevance.packed import PackedDiscriminator
from rtt_lib.relevance.sources import DiscriminatorSource
from rtt_lib.relevance.spans import token_offsets
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.run.manifest import git_state
from rtt_lib.tables import markdown_table
from rtt_lib.worlds.micro.language import MAX_WORDS, Language, find_world, sample_prompts
from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer

if TYPE_CHECKING:
    from rtt_lib.methods.rtt_grpo import RTTGRPOTrainer

RESPONSES, CRITERIA, TOKENS, GROUP = 512, 7, 4096, 8
WARM_UP = 3  # steps that are not counted
KINDS = {"per criterion": Discriminator, "packed": PackedDiscriminator}
SMOLLM2_SHAPE = {
    "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True,
}  # fmt: skip
SAMPLING = Evaluation(temperature=0.99, top_p=0.99, top_k=100)  # as in the paper's rollouts


def random_batch(responses: int, tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Verdicts [B, K], relevance [B, K, T] and mask [B, T]; responses of 1 to `tokens` tokens."""
    rng = torch.Generator().manual_seed(0)
    verdicts = torch.randint(0, 2, (responses, CRITERIA), generator=rng).float()
    relevance = torch.rand(responses, CRITERIA, tokens, generator=rng)
    mask = torch.arange(tokens) < torch.randint(1, tokens + 1, (responses, 1), generator=rng)
    return verdicts, relevance, mask


def list_based(groups: list[tuple[list, list, list]]) -> list[Tensor]:
    """The released algorithm as it works, in our words: a group's token rewards arrive as nested lists.

    Each group: lists to float64 tensors, rows reshaped to [K, G, T] (the mixing of `released`), masked mean and
    standard deviation over tokens, mean over criteria.
    """
    advantages = []
    for verdicts, relevance, mask in groups:
        sign = 2 * torch.tensor(verdicts, dtype=torch.float64) - 1
        tokens = torch.tensor(mask, dtype=torch.float64)
        rewards = sign.unsqueeze(-1) * torch.tensor(relevance, dtype=torch.float64)
        size, criteria, length = rewards.shape
        rewards = (rewards * tokens.unsqueeze(1)).reshape(criteria, size, length)
        count = tokens.sum(-1, keepdim=True).clamp(min=1)
        mean = (rewards * tokens).sum(-1, keepdim=True) / count
        variance = ((rewards - mean).square() * tokens).sum(-1, keepdim=True) / count
        standardised = (rewards - mean) / variance.sqrt().clamp(min=1e-6)
        advantages.append((standardised * tokens).mean(0))
    return advantages


def nested_lists(verdicts: Tensor, relevance: Tensor, mask: Tensor) -> list[tuple[list, list, list]]:
    return [
        (verdicts[i : i + GROUP].tolist(), relevance[i : i + GROUP].tolist(), mask[i : i + GROUP].tolist())
        for i in range(0, len(mask), GROUP)
    ]


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def credit(
    rounds: int = 5, responses: int = RESPONSES, tokens: int = TOKENS, schemes: Sequence[str] = tuple(SCHEMES)
) -> None:
    """Prints each scheme's median time, the ratio to the list-based way, and the peak memory over the input."""
    batch = random_batch(responses, tokens)
    eighth = [x[: responses // 8] for x in batch]  # as nested lists the whole batch would take 500 MB
    lists = nested_lists(*eighth)
    agree = torch.cat(list_based(lists)) - token_advantage(*(x.double() for x in eighth), GROUP, "released")
    if agree.abs().max() > 1e-6:
        raise RTTError("the list-based algorithm and scheme 'released' disagree: the comparison would mean nothing")
    works = {name: lambda name=name: token_advantage(*batch, GROUP, name) for name in schemes}
    works["lists"] = lambda: list_based(lists)
    for work in works.values():
        work()
    times = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    lists_seconds = 8 * median(times.pop("lists"))
    print(f"{responses} x {CRITERIA} x {tokens}, {torch.get_num_threads()} threads, median of {rounds}")
    print(f"nested lists: {lists_seconds:.2f} s (8 x an eighth of the batch)")
    for name, values in times.items():
        command = [sys.executable, "-m", "rtt_lib.run.speed", "memory", name, str(responses), str(tokens)]
        extra = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        ratio = lists_seconds / median(values)
        print(f"{name:10} {median(values):.3f} s, {ratio:.0f} times faster, peak memory {float(extra):.2f} x its input")


def memory(scheme: str, responses: int, tokens: int) -> None:
    """Measured in a process of its own: by how much one call raises the memory peak, in units of the input's size."""
    batch = random_batch(responses, tokens)
    token_advantage(*(x[:GROUP, ..., :8] if x.dim() > 2 else x[:GROUP, :8] for x in batch), GROUP, scheme)
    before = _peak()
    token_advantage(*batch, GROUP, scheme)
    peak = _peak()
    size = sum(x.numel() * x.element_size() for x in batch)
    print((peak - before) / size)


def _peak() -> int:
    """Bytes; Linux's high-water mark of this process (what getrusage gives, a child inherits from its parent)."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def step(steps: int = 50, prompts: int = 16) -> None:
    """Prints the median of the paired ratios of an RTT-GRPO step to a GRPO step, without the relevance source."""
    with tempfile.TemporaryDirectory() as folder:
        rtt, grpo = (_trainer(folder, beta, steps, prompts) for beta in (0.5, 0.0))
        times = {"rtt": [], "grpo": [], "relevance": []}
        for place in range(steps + WARM_UP):
            whole = seconds(lambda place=place: _rollout_step(rtt, place))
            relevance = rtt.state.log_history[-1]["rtt/relevance_seconds"]
            plain = seconds(lambda place=place: _rollout_step(grpo, place))
            if place >= WARM_UP:
                for name, value in (("rtt", whole - relevance), ("grpo", plain), ("relevance", relevance)):
                    times[name].append(value)
    ratio = median(times["rtt"]) / median(times["grpo"])
    paired = median(a / b for a, b in zip(times["rtt"], times["grpo"], strict=True))
    share = median(times["relevance"]) / (median(times["rtt"]) + median(times["relevance"]))
    responses = prompts * rtt.num_generations
    print(
        f"micro world, {responses} responses a step, {torch.get_num_threads()} threads, "
        f"median of {steps} alternating steps"
    )
    print(f"GRPO {1000 * median(times['grpo']):.1f} ms, RTT-GRPO {1000 * median(times['rtt']):.1f} ms")
    print(f"ratio of medians {ratio:.3f}, median of ratios {paired:.3f}; relevance takes {share:.1%} of RTT's step")


def _trainer(folder: str, beta: float, steps: int, prompts: int) -> RTTGRPOTrainer:
    """The micro world's trainer with a learning rate of 0: both arms answer with the same text at every step."""
    from rtt_lib.methods.arms import find_arm
    from rtt_lib.methods.rl import trainer_of
    from rtt_lib.methods.task import Task
    from rtt_lib.profile import RL, Data, Discriminator, Policy, Profile
    from rtt_lib.worlds import open_world

    sampling = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_response_tokens": 24}
    rl = RL(steps=steps + WARM_UP, prompts_per_step=prompts, learning_rate=0.0, **sampling)
    profile = Profile("speed", "", Data("micro"), Policy("micro"), Discriminator("micro"), rl)
    torch.manual_seed(0)
    tokenizer, world = micro_tokenizer(), open_world(profile, "L")
    model, arm = LlamaForCausalLM(micro_config(len(tokenizer))), replace(find_arm("RTT-CSR oracle"), beta=beta)
    questions, _ = world.prompts(0, tokenizer)
    trainer = trainer_of(Task(arm, rl, profile.compute, 0, world, model, tokenizer, questions, Path(folder)))
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1
    trainer.batches = iter(trainer.get_train_dataloader())
    return trainer


def _rollout_step(trainer: RTTGRPOTrainer, seed: int) -> None:
    """Generate, score, two minibatches with their optimizer steps, log: what `trainer.train()` does once a rollout."""
    torch.manual_seed(seed)
    for _ in range(trainer.args.steps_per_generation):
        trainer.training_step(trainer.model, next(trainer.batches), None)
        trainer._get_grad_norm(trainer.model, trainer._clip_grad_norm(trainer.model))
        trainer.optimizer.step()
        trainer.model.zero_grad()
    trainer.log({})


@dataclass
class Clock:
    """Seconds spent in the functions that were wrapped, by name."""

    spent: dict[str, float] = field(default_factory=dict)

    def wrap(self, name: str, work: Callable) -> Callable:
        def timed(*positional: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return work(*positional, **named)
            finally:
                self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - started

        return timed


def whole_step(steps: int = 50, prompts: int = 16) -> None:
    """Prints where the time of a step goes, for GRPO and for RTT-GRPO with each kind of discriminator.

    Everything is the micro world's and untrained, which takes as long. The three take each step in turn, on the same
    responses; a ratio is the median over the steps of one time through GRPO's time at that step.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainers = {"GRPO": _trainer(folder, 0.0, steps, prompts)}
        for name, kind in KINDS.items():
            trainers[f"RTT, {name}"] = trainer = _trainer(folder, 0.5, steps, prompts)
            trainer.relevance = DiscriminatorSource(untrained(kind))
        clocks = {name: watched(trainer) for name, trainer in trainers.items()}
        times: dict[str, list[dict[str, float]]] = {name: [] for name in trainers}
        for place in range(steps + WARM_UP):
            for name, trainer in trainers.items():
                clocks[name].spent = {}
                whole = seconds(partial(_rollout_step, trainer, place))
                if place >= WARM_UP:
                    times[name].append(parts_of(whole, clocks[name].spent))
    responses = prompts * trainers["GRPO"].num_generations
    about = f"{responses} responses a step, five criteria each, median of {steps} steps, parts in % of the step"
    print(f"micro world, {about}; {this_machine()}\n")
    print(markdown_table(step_table(times)))


def watched(trainer: RTTGRPOTrainer) -> Clock:
    """The parts of this trainer's step are timed from now on."""
    clock = Clock()
    parts = {"_generate": "generation", "_verify": "verification", "_token_advantage": "credit",
             "relevance": "relevance", "_generate_and_score_completions": "scored"}  # fmt: skip
    for attribute, name in parts.items():
        if getattr(trainer, attribute) is not None:
            setattr(trainer, attribute, clock.wrap(name, getattr(trainer, attribute)))
    return clock


def parts_of(whole: float, spent: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each part, `update` and `rest` by difference. The update is what follows the scored rollouts."""
    inner = {name: spent.get(name, 0.0) for name in ("generation", "verification", "relevance", "credit")}
    rest = spent["scored"] - sum(inner.values())
    return {"whole": whole, **inner, "update": whole - spent["scored"], "rest": rest}


def step_table(times: Mapping[str, Sequence[Mapping[str, float]]]) -> pd.DataFrame:
    """One row a trainer, of the seconds of its steps' parts; the first one is what the others are compared with."""
    reference = [step["whole"] for step in next(iter(times.values()))]
    rows = []
    for name, steps in times.items():
        ratio = median(step["whole"] / other for step, other in zip(steps, reference, strict=True))
        row = {"step": name, "ms": 1000 * median(step["whole"] for step in steps), "of GRPO's": ratio}
        parts = (part for part in steps[0] if part != "whole")
        rows.append(row | {part: 100 * median(step[part] / step["whole"] for step in steps) for part in parts})
    return pd.DataFrame(rows)


def relevance(
    rounds: int = 15, counts: Sequence[int] = (1, 2, 5, 10, 20), responses: int = 8 * GROUP, longest: int = MAX_WORDS
) -> None:
    """Prints what each kind of discriminator takes for so many criteria a response, relative to one criterion."""
    tokenizer, language, rng = micro_tokenizer(), Language(), random.Random("speed of relevance")
    texts = [" ".join(language.words(rng.randint(2, longest), rng)) for _ in range(responses)]
    offsets = [token_offsets(tokenizer, [*tokenizer(text)["input_ids"], tokenizer.eos_token_id])[1] for text in texts]
    pool = [criterion for prompt in sample_prompts(find_world("M"), 100, "speed") for criterion in prompt.criteria]
    works = {}
    for count in counts:
        groups = [rng.sample(pool, count) for _ in range(-(-responses // GROUP))]
        rubrics = [rubric for rubric in groups for _ in range(GROUP)][:responses]
        for name, kind in KINDS.items():
            works[name, count] = partial(untrained(kind).predict, rubrics, texts, offsets)
    times = {key: [] for key in works}
    for _ in range(rounds + 1):
        for key, work in works.items():
            times[key].append(seconds(work))
    print(f"micro world, {responses} responses in groups of {GROUP}, median of {rounds}; {this_machine()}\n")
    rows = []
    for name in KINDS:
        row = {"discriminator": name, "ms for one criterion": 1000 * median(times[name, counts[0]][1:])}
        for count in counts:  # the first round warms up
            pairs = zip(times[name, count][1:], times[name, counts[0]][1:], strict=True)
            row[f"K = {count}"] = median(a / b for a, b in pairs)
        rows.append(row)
    print(markdown_table(pd.DataFrame(rows)))


def untrained(kind: type[Discriminator]) -> Discriminator:
    """Of the micro world's size."""
    tokenizer = micro_tokenizer()
    config = micro_config(len(tokenizer))
    config.num_labels = kind.OUTPUTS
    setattr(config, TEMPLATE_KEY, MICRO_TEMPLATE)
    torch.manual_seed(0)
    return kind(LlamaForTokenClassification(config), tokenizer)


def this_machine() -> str:
    found, git = hardware(), git_state(REPOSITORY)
    commit = f"commit {(git['commit'] or 'unknown')[:12]}" + (", with changes" if git["dirty"] else "")
    return f"{found['cpu']}, {torch.get_num_threads()} threads, {', '.join(found['gpus']) or 'no GPU'}; {commit}"


def sampler(
    models: Sequence[str] = ("micro", SMOLLM2), batches: Sequence[int] = (32, 128), tokens: int = 96, rounds: int = 3
) -> None:
    """Prints tokens a second of both, for responses of `tokens` tokens each in groups of 8, as in a rollout.

    No response ends before, so that both do the same work. Where responses do end, the fast loop saves some more.
    """
    for name in models:
        try:
            model, asked = _model_and_prompts(name)
        except RTTError as error:
            print(f"{name}: left out, {error}")
            continue
        for batch in batches:
            prompts = [ids for ids in asked[: -(-batch // GROUP)] for _ in range(GROUP)][:batch]
            works = {
                "generate": partial(_generate, model, prompts, tokens),
                "fast": partial(_fast, FastSampler(model, [], 0), prompts, tokens),
            }
            times = {kind: [] for kind in works}
            for _ in range(rounds + 1):
                for kind, work in works.items():
                    times[kind].append(seconds(work))
            rate = {kind: batch * tokens / median(values[1:]) for kind, values in times.items()}  # first: warming up
            print(
                f"{name}, {model.dtype}, {batch} x {tokens} tokens, {torch.get_num_threads()} threads, {model.device}, "
                f"median of {rounds}: generate {rate['generate']:.0f}, fast {rate['fast']:.0f} tokens/s, "
                f"{rate['fast'] / rate['generate']:.2f} times"
            )


def _model_and_prompts(name: str) -> tuple[LlamaForCausalLM, list[list[int]]]:
    """A model and 16 prompts; the micro one untrained, which takes as long."""
    if name == "micro":
        tokenizer, prompts = micro_tokenizer(), sample_prompts(find_world("L"), 16, "speed")
        model = LlamaForCausalLM(micro_config(len(tokenizer)))
    else:
        tokenizer, prompts = load_tokenizer(name), compose(default_tasks(), 16, 0)
        model = load_causal_lm(name, getattr(torch, precision()))
        model.to(device_for(model))
    return model.eval(), [prompt_ids(prompt, tokenizer) for prompt in prompts]


def _generate(model: LlamaForCausalLM, prompts: list[list[int]], tokens: int) -> None:
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    settings = GenerationConfig(
        do_sample=True, max_new_tokens=tokens, eos_token_id=[], pad_token_id=0, temperature=SAMPLING.temperature,
        top_p=SAMPLING.top_p, top_k=SAMPLING.top_k,
    )  # fmt: skip
    with torch.inference_mode():
        model.generate(ids, attention_mask=mask, generation_config=settings)


def _fast(sampler: FastSampler, prompts: list[list[int]], tokens: int) -> None:
    sampler.sample(prompts, replace(SAMPLING, max_tokens=tokens), noise(range(len(prompts)), tokens))


def shared_prompts(
    model: PreTrainedModel | None = None, name: str = "SmolLM2-135M's shape, random weights", prompts: int = 1,
    prompt_tokens: int = 130, tokens: int = 96, rounds: int = 6,
) -> None:  # fmt: skip
    """Prints a table: seconds of both passes without and with shared prompts, and the median of the paired ratios.

    The interval is the smallest and the largest ratio: of six, that holds the true median in 97 of 100 cases. Times
    are in the precision that training has here. Loss and gradient are compared in float32.
    """
    from trl.trainer.utils import add_fused_lm_head

    if model is None:
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**SMOLLM2_SHAPE))
    model.to(device_for(model)).train()
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    ids, mask = prompts_and_responses(model, prompts, prompt_tokens, tokens)
    ways = {
        "without": partial(plain_log_probs, model, ids, mask, tokens),
        "with": partial(shared_log_probs, model, ids, mask, tokens),
    }
    (loss, gradient), (other, other_gradient) = (loss_and_gradient(model, way) for way in ways.values())
    times = {(task, way): [] for task in PASSES for way in ways}
    for _ in range(rounds + 1):
        for task, work in PASSES.items():
            for way, compute in ways.items():
                times[task, way].append(seconds(partial(_as_in_training, model, partial(work, model, compute))))
    rows = []
    for task in PASSES:
        without, shared = times[task, "without"][1:], times[task, "with"][1:]  # the first round warms up
        ratios = [a / b for a, b in zip(without, shared, strict=True)]
        row = {"pass": task, "seconds without": median(without), "seconds with": median(shared)}
        rows.append(row | {"times faster": median(ratios), "least": min(ratios), "most": max(ratios)})
    shape = f"{prompts} x {GROUP} responses of {tokens} tokens, prompts of {prompt_tokens}"
    print(f"{name}; {shape}; {precision()}; median of {rounds} pairs; {this_machine()}\n")
    print(markdown_table(pd.DataFrame(rows)))
    largest = (gradient - other_gradient).abs().max() / gradient.abs().max()
    print(f"float32: the loss differs by {abs(loss - other):.1e}, the gradient by {largest:.1e} of its largest entry")


def prompts_and_responses(model: PreTrainedModel, prompts: int, length: int, tokens: int) -> tuple[Tensor, Tensor]:
    """ids and mask [B, P + T]: random tokens, the same prompt before each of a group's responses."""
    rng = torch.Generator().manual_seed(0)
    asked = torch.randint(0, model.config.vocab_size, (prompts, length), generator=rng)
    responses = torch.randint(0, model.config.vocab_size, (prompts * GROUP, tokens), generator=rng)
    ids = torch.cat([asked.repeat_interleave(GROUP, 0), responses], 1).to(model.device)
    return ids, torch.ones_like(ids, dtype=torch.bool)


def plain_log_probs(model: PreTrainedModel, ids: Tensor, mask: Tensor, tokens: int) -> Tensor:
    """[B, T] as TRL computes them: every row reads its prompt."""
    from rtt_lib.methods.shared_prompts import IGNORED

    labels = ids.clone()
    labels[:, :-tokens] = IGNORED
    found = model(input_ids=ids, attention_mask=mask.long(), labels=labels, fused_lm_head=True, use_cache=False)
    return found.log_probs[:, -tokens:]


def shared_log_probs(model: PreTrainedModel, ids: Tensor, mask: Tensor, tokens: int) -> Tensor:
    """[B, T]: a prompt is read once for its group."""
    from rtt_lib.methods.shared_prompts import log_probs

    return log_probs(model, ids, mask, tokens)[0]


def training_pass(model: PreTrainedModel, compute: Callable[[], Tensor]) -> Tensor:
    """The loss of a policy gradient with half the responses up and half of them down, and its gradient."""
    model.zero_grad()
    logps = compute()
    advantages = torch.tensor([1.0, -1.0], device=logps.device).repeat(len(logps) // 2)
    loss = -(logps * advantages[:, None]).mean()
    loss.backward()
    return loss.detach()


@torch.no_grad()
def old_log_probs(model: PreTrainedModel, compute: Callable[[], Tensor]) -> Tensor:
    return compute()


PASSES = {"training": training_pass, "old log-probabilities": old_log_probs}


def loss_and_gradient(model: PreTrainedModel, compute: Callable[[], Tensor]) -> tuple[float, Tensor]:
    loss = float(training_pass(model, compute))
    return loss, torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def _as_in_training(model: PreTrainedModel, work: Callable[[], Tensor]) -> None:
    with torch.autocast(model.device.type, torch.bfloat16, enabled=precision() == "bfloat16"):
        work()
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def grading(data: str, responses: str, command: str, rounds: int = 5) -> None:
    """Prints the wall time and the processor time of each, from start to exit, and the ratios of ours to the other."""
    with tempfile.TemporaryDirectory() as folder:
        ours = [sys.executable, "-m", "rtt_lib", "grade", "ifeval", responses, "--data", data]
        commands = {"ours": [*ours, "--out", f"{folder}/verdicts.jsonl"], "other": shlex.split(command)}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, words in commands.items():
                times[name].append(wall_and_processor(words))
    found = {name: [median(values) for values in zip(*times[name], strict=True)] for name in commands}
    for place, kind in enumerate(("wall", "processor")):
        mine, other = found["ours"][place], found["other"][place]
        print(f"{kind} time, median of {rounds}: ours {mine:.2f} s, other {other:.2f} s, {mine / other:.2f} times")


def wall_and_processor(command: Sequence[str]) -> tuple[float, float]:
    """Seconds of a command and of its own children."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: list[str]) -> None:
    match arguments:
        case []:
            whole_step()
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
            usage = "[relevance|credit|step|sampler|prompts [--model NAME]|grading DATA RESPONSES COMMAND]"
            raise SystemExit(f"usage: python -m rtt_lib.run.speed {usage}")


if __name__ == "__main__":
    main(sys.argv[1:])
