"""Rubric data in tables and figures, and the two problems of response-level rewards (sections 1 and 3.1) measured.

Sparsity: AON gives most groups of responses the same reward, so that they teach nothing. Ambiguity: CSR gives the
same reward to responses that satisfy different criteria. Nothing here shows a benchmark's prompt or a response to one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rtt_lib.analysis.benchmarks import stored_responses
from rtt_lib.bench.benchmarks import FILES, TITLES, benchmark_files
from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl
from rtt_lib.profile import Profile
from rtt_lib.report.theme import readable
from rtt_lib.rubrics.benchmarks import read_benchmark
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import verify
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.micro.language import Dials, Language, find_world, partly_honoured, sample_prompts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Sources = Mapping[str, Sequence[RubricPrompt]]
WORLDS = ("L", "S", "M", "U")
BLUE, ORANGE = "#0072B2", "#D55E00"


# ---------------------------------------------------------------------------------------------------------- sources


def rubric_sources(profile: Profile, micro: int = 500, composed: int = 300) -> tuple[Sources, pd.DataFrame]:
    """Every source of rubrics that can be had here, and a table that says of each where it is from or why it is not."""
    sources: dict[str, Sequence[RubricPrompt]] = {}
    notes = []
    for name in WORLDS:
        sources[f"micro {name}"] = sample_prompts(find_world(name), micro, "rubric data")
        notes.append((f"micro {name}", "made here", find_world(name).about))
    sources["composed"] = compose(default_tasks(), composed, profile.data.seed)
    notes.append(("composed", "made here", "our own tasks with constraints that rules verify"))
    files = benchmark_files(profile)
    for name in FILES:
        if name in files:
            sources[TITLES[name]] = read_benchmark(name, files[name])
            notes.append((TITLES[name], "read", files[name].name))
        else:
            notes.append((TITLES[name], "not here", f"no {FILES[name]} in data.path or in RTT_TEST_DATA/benchmarks"))
    return sources, pd.DataFrame(notes, columns=["source", "state", "what"])


def sizes_table(sources: Sources) -> pd.DataFrame:
    """Per source: prompts, criteria per prompt, shares of hard and soft criteria, families, median length."""
    rows = []
    for name, prompts in sources.items():
        counts = [len(prompt.criteria) for prompt in prompts]
        criteria = [criterion for prompt in prompts for criterion in prompt.criteria]
        hard = np.mean([criterion.hard for criterion in criteria])
        words = np.median([len(prompt.prompt.split()) for prompt in prompts])
        families = len({family(criterion) for criterion in criteria})
        rows.append((name, len(prompts), len(criteria), np.mean(counts), min(counts), max(counts), hard, 1 - hard,
                     families, words))  # fmt: skip
    columns = ["source", "prompts", "criteria", "criteria per prompt", "fewest", "most", "hard", "soft", "families"]
    return pd.DataFrame(rows, columns=[*columns, "median words"])


def family(criterion: Criterion) -> str:
    """What tables group by: the rule's name, and MulDimIF's subtype, whose constraints share one rule."""
    return str(criterion.args.get("subtype", criterion.family))


def families_table(sources: Sources) -> pd.DataFrame:
    """source, family, criteria, share; the most frequent first."""
    rows = []
    for name, prompts in sources.items():
        counts = Counter(family(criterion) for prompt in prompts for criterion in prompt.criteria)
        rows += [(name, kind, n, n / counts.total()) for kind, n in sorted(counts.items(), key=lambda x: (-x[1], x[0]))]
    return pd.DataFrame(rows, columns=["source", "family", "criteria", "share"])


def example_table(sources: Sources) -> pd.DataFrame:
    """One prompt of each source that is made here, with its criteria: never a benchmark's."""
    own = [name for name in sources if name.startswith("micro") or name == "composed"]
    rows = []
    for name in own:
        prompt = min(sources[name], key=lambda prompt: (len(prompt.criteria) < 3, len(prompt.prompt)))
        rows += [(name, prompt.prompt, criterion.text, criterion.verifier) for criterion in prompt.criteria]
    return pd.DataFrame(rows, columns=["source", "prompt", "criterion", "verifier"])


def sizes_figure(sources: Sources) -> Figure:
    """Criteria per prompt (left) and words per prompt (right), a line of dots per source."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 0.7 + 0.5 * len(sources)), sharey=True)
    for place, prompts in enumerate(reversed(list(sources.values()))):
        counts = Counter(len(prompt.criteria) for prompt in prompts)
        for n, count in sorted(counts.items()):
            share = count / len(prompts)
            left.scatter(n, place, s=500 * share + 4, color=BLUE, alpha=0.85)
            if share >= 0.05:
                left.annotate(f"{share:.0%}", (n, place), xytext=(0, -17), textcoords="offset points", ha="center",
                              fontsize=7)  # fmt: skip
        _draw_spread(right, place, [len(prompt.prompt.split()) for prompt in prompts])
    left.set(title="How many criteria does a prompt have?", xlabel="criteria (area: share of the prompts)")
    left.set_yticks(range(len(sources)), list(reversed(sources)))
    left.set_ylim(-0.7, len(sources) - 0.4)
    right.set(title="How long is it?", xlabel="words per prompt (median, 50%, 90%)", xscale="log")
    right.set_xticks([10, 20, 50, 100, 200, 500], [10, 20, 50, 100, 200, 500])
    right.minorticks_off()
    return figure


def _draw_spread(axis: Axes, place: int, values: Sequence[float]) -> None:
    """The median, and the middle half and nine tenths of the values as bars."""
    five, quarter, median, three, most = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    axis.plot([five, most], [place, place], color=BLUE, linewidth=1.5)
    axis.plot([quarter, three], [place, place], color=BLUE, linewidth=6, alpha=0.5)
    axis.plot(median, place, "o", color=BLUE)
    axis.annotate(f"{median:.0f}", (median, place), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8)


def families_figure(sources: Sources) -> Figure:
    """The eight most frequent families of every source."""
    import matplotlib.pyplot as plt

    table = families_table(sources)
    columns = 3
    lines = -(-len(sources) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(12, 2.6 * lines), squeeze=False)
    for axis, name in zip(axes.flat, sources, strict=False):
        rows = table[table["source"] == name]
        shown = rows.head(8)[::-1]
        axis.barh(range(len(shown)), 100 * shown["share"], color=BLUE)
        axis.set_yticks(range(len(shown)), [kind.split(":")[-1].strip() for kind in shown["family"]])
        axis.set(title=f"{name}: {len(rows)} families")
        axis.set_xlabel("per cent of its criteria", fontsize=8)
        axis.tick_params(axis="y", labelsize=8)
        axis.grid(axis="y", visible=False)
    for axis in axes.flat[len(sources) :]:
        axis.set_visible(False)
    return figure


# --------------------------------------------------------------------------------------- verdicts on real responses


def read_responses(path: str | Path, prompts: Sequence[RubricPrompt]) -> list[tuple[RubricPrompt, str]]:
    """The responses of a JSONL file (`id` or `prompt`, and `response`), each with the prompt it answers."""
    by_id, by_text = {prompt.id: prompt for prompt in prompts}, {prompt.prompt: prompt for prompt in prompts}
    pairs = []
    for number, row in read_jsonl(path):
        prompt = by_text.get(row.get("prompt")) or by_id.get(str(row.get("id")))
        if prompt is None:
            raise RTTError(f"{path}:{number}: neither its 'prompt' nor its 'id' is one of the {len(prompts)} prompts")
        if not isinstance(row.get("response"), str):
            raise RTTError(f"{path}:{number}: field 'response' must be a string")
        pairs.append((prompt, row["response"]))
    return pairs


def verdict_rates(pairs: Sequence[tuple[RubricPrompt, str]]) -> pd.DataFrame:
    """Per family: criteria, shares satisfied, violated and undecided; the least satisfied first."""
    prompts, responses = [prompt for prompt, _ in pairs], [response for _, response in pairs]
    rubrics = [prompt.criteria for prompt in prompts]
    verdicts = Verifier()([prompt.prompt for prompt in prompts], responses, rubrics)
    counts: dict[str, Counter] = {}
    for rubric, row in zip(rubrics, verdicts, strict=True):
        for criterion, verdict in zip(rubric, row, strict=True):
            counts.setdefault(family(criterion), Counter())[verdict.value] += 1
    rows = [(kind, c.total(), *(c[value] / c.total() for value in (True, False, None))) for kind, c in counts.items()]
    frame = pd.DataFrame(rows, columns=["family", "criteria", "satisfied", "violated", "undecided"])
    return frame.sort_values(["satisfied", "family"], ignore_index=True)


def stored_verdict_rates(results: Path, sources: Sources, runs: Collection[tuple[str, str]]) -> pd.DataFrame:
    """Verdict rates of the stored responses of these (arm, seed) to benchmarks that are here; empty without any."""
    frames = []
    for arm, seed, benchmark, path in stored_responses(results):
        if TITLES[benchmark] in sources and (arm, seed) in runs:
            rates = verdict_rates(read_responses(path, sources[TITLES[benchmark]]))
            frames.append(rates.assign(responses=f"{arm} {seed}", benchmark=TITLES[benchmark]))
    columns = ["responses", "benchmark", "family", "criteria", "satisfied", "violated", "undecided"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


# ------------------------------------------------------------------------------------------ sparsity and ambiguity


def micro_verdicts(world: Dials, groups: int, group_size: int) -> np.ndarray:
    """Verdicts [groups, G, K] on texts that honour each constraint with the world's probability: the base policy's."""
    language, rng = Language(), random.Random(f"verdicts {world.name} 0")
    return np.array(
        [
            [
                [verify(criterion, prompt.prompt, response) for criterion in prompt.criteria]
                for response in (partly_honoured(prompt, world, language, rng) for _ in range(group_size))
            ]
            for prompt in sample_prompts(world, groups, "verdicts 0")
        ]
    )


def silent(rewards: np.ndarray) -> np.ndarray:
    """rewards [groups, G] -> [groups]: the same reward for all, so that A_res is zero and GRPO learns nothing."""
    return rewards.max(1) == rewards.min(1)


def ambiguous_pairs(verdicts: np.ndarray) -> dict[str, int]:
    """Counts of pairs of responses to one prompt, from verdicts [groups, G, K]: all pairs, those with equal CSR, of
    these those that satisfy different criteria, and those that satisfy no criterion in common (the paper's example;
    each satisfies something)."""
    first, second = np.triu_indices(verdicts.shape[1], 1)
    one, other = verdicts[:, first], verdicts[:, second]  # [groups, pairs, K]
    equal = one.sum(2) == other.sum(2)
    return {
        "pairs": equal.size,
        "equal CSR": int(equal.sum()),
        "of these, other criteria": int((equal & (one != other).any(2)).sum()),
        "of these, disjoint": int((equal & ~(one & other).any(2) & one.any(2)).sum()),
    }


def problems_table(group_size: int, groups: int = 200) -> pd.DataFrame:
    """Both problems in every micro world, on groups of responses as the base policy is taught to write them."""
    rows = []
    for name in WORLDS:
        verdicts = micro_verdicts(find_world(name), groups, group_size)
        aon, csr = verdicts.all(2), verdicts.sum(2)
        pairs = ambiguous_pairs(verdicts)
        rows.append({
            "world": name,
            "satisfied criteria": verdicts.mean(),
            "AON": aon.mean(),
            "silent groups, AON": silent(aon).mean(),
            "silent groups, CSR": silent(csr).mean(),
            "pairs with equal CSR": pairs["equal CSR"] / pairs["pairs"],
            "of these, other criteria": pairs["of these, other criteria"] / max(1, pairs["equal CSR"]),
            "of these, disjoint": pairs["of these, disjoint"] / max(1, pairs["equal CSR"]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def sparsity_table(
    group_size: int, groups: int = 100, rates: Sequence[float] = tuple(np.arange(0.2, 1, 0.1))
) -> pd.DataFrame:
    """Silent groups against how good the policy is: world L with each constraint honoured at growing rates.

    expected: p^G + (1 - p)^G, what groups of G would be if every response satisfied all criteria with probability p.
    """
    rows = []
    for rate in rates:
        verdicts = micro_verdicts(replace(find_world("L"), honour=float(rate)), groups, group_size)
        aon, csr = verdicts.all(2), verdicts.sum(2)
        p = aon.mean()
        expected = p**group_size + (1 - p) ** group_size
        rows.append((rate, p, silent(aon).mean(), silent(csr).mean(), expected))
    return pd.DataFrame(rows, columns=["honoured", "AON", "silent, AON", "silent, CSR", "expected"])


def sparsity_figure(table: pd.DataFrame, group_size: int, groups: int = 100) -> Figure:
    """Silent groups over the share of responses that satisfy everything, with binomial intervals."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7.5, 4.4))
    p = np.linspace(0, 1, 200)
    axis.plot(100 * p, 100 * (p**group_size + (1 - p) ** group_size), color="#888888", linestyle="--", linewidth=1.5)
    # CSR is drawn first and hollow, so that AON stays visible where the two meet.
    for column, color, look in (
        ("silent, CSR", BLUE, {"fmt": "s-", "markersize": 10, "markerfacecolor": "white"}),
        ("silent, AON", ORANGE, {"fmt": "o-", "markersize": 6}),
    ):
        share = table[column]
        half = 1.96 * np.sqrt(share * (1 - share) / groups)
        axis.errorbar(100 * table["AON"], 100 * share, yerr=100 * half, color=color, capsize=3, **look)
    return _label_sparsity(figure, axis, table, group_size)


def _label_sparsity(figure: Figure, axis: Axes, table: pd.DataFrame, group_size: int) -> Figure:
    middle = len(table) // 2
    for column, name, color, below in (("silent, AON", "AON", ORANGE, 12), ("silent, CSR", "CSR", BLUE, 10)):
        point = (100 * table["AON"][middle], 100 * table[column][middle])
        axis.annotate(
            name, point, xytext=(12, below), textcoords="offset points", color=readable(color), fontweight="bold"
        )
    axis.annotate("dashed: all prompts equally hard", (97, 88), ha="right", color="#666666", fontsize=9)
    axis.set(
        title=f"How many groups of {group_size} responses teach nothing?",
        xlabel="responses that satisfy every criterion, per cent",
        ylabel="groups with one reward for all, per cent",
        ylim=(-3, 103),
    )
    return figure
