"""The numbers the paper prints (Tables 1 to 5, Figure 3), and its own arithmetic done again from them.

Everything is in per cent as printed. Figure 3's scores are read off a plot, and `text` in the data is what the
running text says about the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from rtt_lib.files import read_json

DATA = Path(__file__).parent / "data" / "paper.json"
SAME_REWARD = {"RTT-AON": "RL-AON", "RTT-CSR": "RL-CSR"}  # an arm of RTT and the baseline with its reward
TABLE_3_ARMS = {"intra": "RTT-AON", "inter": "RTT-AON inter"}
TABLE_4_ARMS = {
    "random": "RTT-AON random",
    "uniform (RL-AON)": "RL-AON",
    "greedy": "RTT-AON greedy",
    "ours (RTT-AON)": "RTT-AON",
}


@cache
def published() -> dict:
    return read_json(DATA)


def table1() -> pd.DataFrame:
    """Model and arm by the seven benchmark columns."""
    return _by_model_and_arm(published()["table1"], published()["columns"])


def table2() -> pd.DataFrame:
    """Out of domain: MATH-500, GPQA, MMLU-Pro. The paper has no RL row here."""
    data = published()["table2"]
    return _by_model_and_arm(data["scores"], data["columns"])


def table3() -> pd.DataFrame:
    """Inter- against intra-sample normalisation, all-or-nothing reward."""
    return _by_model_and_arm(published()["table3"], published()["columns"])


def table4() -> pd.DataFrame:
    """Token weights, Qwen3-4B, with the mean over the seven columns that the paper does not print."""
    data = published()["table4"]
    frame = pd.DataFrame.from_dict(data["scores"], orient="index", columns=published()["columns"])
    return frame.assign(mean=frame.mean(axis=1)).rename_axis("weights")


def table5() -> pd.DataFrame:
    """GPU hours by part of a training step, and their share of RTT's total."""
    data = published()["table5"]
    frame = pd.DataFrame.from_dict(data["rows"], orient="index", columns=data["columns"]).rename_axis("part")
    return frame.assign(recomputed=_shares(frame.iloc[:, 0])).rename(columns={"recomputed": "percent, recomputed"})


def figure3() -> pd.DataFrame:
    """beta and the mean of IFEval, IFBench and MulDimIF, read off the plot."""
    data = published()["figure3"]
    return pd.DataFrame({"beta": data["beta"], "score": data["score"]})


def instruction_level() -> list[str]:
    """Columns that ask whether all constraints of a prompt hold: what our `all satisfied` measures."""
    return list(published()["instruction_level"])


def rubric_level() -> list[str]:
    """Columns that ask for the share of constraints: what our `per constraint` measures."""
    return list(published()["rubric_level"])


def arm_means() -> pd.DataFrame:
    """Table 1 by arm: the mean over models and columns of each level."""
    frame = table1()
    means = {"instruction-level": instruction_level(), "rubric-level": rubric_level()}
    found = pd.DataFrame({name: frame[columns].mean(axis=1) for name, columns in means.items()})
    return found.groupby(level="arm", sort=False).mean()


def gains() -> pd.DataFrame:
    """RTT minus RL with the same reward, for every model and column of Table 1."""
    frame = table1()
    rows = {
        (model, arm): frame.loc[(model, arm)] - frame.loc[(model, baseline)]
        for model in published()["table1"]
        for arm, baseline in SAME_REWARD.items()
    }
    return pd.DataFrame(rows).T.rename_axis(["model", "arm"])


def best_gains() -> pd.DataFrame:
    """The better RTT arm minus the better RL arm, for every model and column of Table 1."""
    frame, rows = table1(), {}
    for model in published()["table1"]:
        scores = frame.loc[model]
        rows[model] = scores.loc[list(SAME_REWARD)].max() - scores.loc[list(SAME_REWARD.values())].max()
    return pd.DataFrame(rows).T.rename_axis("model")


def difference(arm: str, baseline: str, level: str) -> float:
    """arm - baseline in points, from the first table that has both: its mean over models and columns of `level`.

    Tables 3 and 4 under our names of their arms; NaN where the paper has no such comparison.
    """
    columns = {"instruction-level": instruction_level(), "rubric-level": rubric_level()}[level]
    for table in (table1(), table3().rename(TABLE_3_ARMS, level="arm"), _table4_by_arm()):
        arms = table.index.get_level_values("arm")
        if arm in arms and baseline in arms:
            by = table[columns].xs(arm, level="arm") - table[columns].xs(baseline, level="arm")
            return float(by.to_numpy().mean())
    return float("nan")


def _table4_by_arm() -> pd.DataFrame:
    model = published()["table4"]["model"]
    frame = table4().rename(TABLE_4_ARMS).drop(columns="mean").rename_axis("arm")
    return pd.concat({model: frame}, names=["model"])


def arithmetic() -> pd.DataFrame:
    """What the paper's text says beside what its tables give: statement, text (NaN where silent), recomputed."""
    text, same, best = published()["text"], gains(), best_gains()
    instruction, rubric = instruction_level(), rubric_level()
    aon, csr = (same.xs(arm, level="arm").to_numpy() for arm in SAME_REWARD)
    hours, swept = table5().iloc[:, 0], figure3().set_index("beta")["score"]
    rows = [
        ("mean gain over RL with the same reward, instruction level", "gain instruction-level", same[instruction]),
        ("mean gain over RL with the same reward, rubric level", "gain rubric-level", same[rubric]),
        ("better RTT minus better RL in each cell, instruction level", None, best[instruction]),
        ("better RTT minus better RL in each cell, rubric level", None, best[rubric]),
        ("mean gain with the all-or-nothing reward, seven columns", "gain AON", aon),
        ("mean gain with the constraint satisfaction rate, seven columns", "gain CSR", csr),
        ("discriminator's share of RTT's GPU hours", "discriminator share", _shares(hours)["discriminator forward"]),
        (
            "GPU hours over the RL baseline's",
            "discriminator overhead",
            100 * (hours["RTT total"] / hours["RL baseline"] - 1),
        ),
    ]
    found = [(name, text.get(key), _mean(values)) for name, key, values in rows]
    for beta, arm in ((0.0, "RL-AON"), (0.5, "RTT-AON")):
        # The figure's metric is the mean of three benchmarks whose columns Table 1 has: the two should agree.
        columns = [column for column in instruction if not column.startswith("AdvancedIF")]
        table = table1().loc[(published()["figure3"]["model"], arm), columns].mean()
        found.append((f"Figure 3 at beta {beta:g} (read off) against Table 1's {arm}", swept[beta], float(table)))
    return pd.DataFrame(found, columns=["statement", "the paper's text", "recomputed"])


def exceptions() -> pd.DataFrame:
    """Cells of Table 1 where an RTT arm is below an RL arm, whichever the reward: model, column, arm, baseline, by."""
    rows = []
    for model in published()["table1"]:
        scores = table1().loc[model]
        for column in scores:
            for arm in SAME_REWARD:
                for baseline in SAME_REWARD.values():
                    difference = scores.loc[arm, column] - scores.loc[baseline, column]
                    if difference < 0:
                        rows.append((model, column, arm, baseline, difference))
    return pd.DataFrame(rows, columns=["model", "column", "arm", "baseline", "difference"])


def _by_model_and_arm(scores: dict[str, dict[str, list[float]]], columns: Sequence[str]) -> pd.DataFrame:
    rows = {(model, arm): row for model, arms in scores.items() for arm, row in arms.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(columns))
    frame.index = pd.MultiIndex.from_tuples(rows, names=["model", "arm"])
    return frame


def _shares(hours: pd.Series) -> pd.Series:
    return (100 * hours / hours["RTT total"]).where(hours.index != "RL baseline")


def _mean(values: object) -> float:
    """The mean of a frame, an array or a single number."""
    return float(pd.DataFrame(values).to_numpy().mean()) if hasattr(values, "shape") and values.shape else float(values)
