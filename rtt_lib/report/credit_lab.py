"""The credit lab: real responses to play with, in JupyterLab (an anywidget) and on the site (the same module inline).

What the page computes is in `lab/credit_lab.js`; here are the responses it starts from, and its presets.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rtt_lib.credit import token_advantage
from rtt_lib.files import read_json, write_text
from rtt_lib.profile import RESULTS
from rtt_lib.relevance.base import Rollouts
from rtt_lib.report.rtt_grpo import END, Walkthrough, first_of, load_policy, policies_here, roll_out, walkthrough
from rtt_lib.studies.spec import RunSpec
from rtt_lib.verify.registry import rule_of
from rtt_lib.verify.verdict import aon

if TYPE_CHECKING:
    from anywidget import AnyWidget

MODULE = Path(__file__).parent / "lab" / "credit_lab.js"
FILE = "lab.json"  # in a profile's results
TRAINED = " after training"  # ends the name of a group by a trained policy
QUESTIONS = 24  # prompts among which the presets choose


@dataclass(frozen=True)
class Case:
    """One group of G responses of the base policy, with the discriminator's p as it is.

    verdicts [G, K], p [G, K, T], mask [G, T]
    """

    question: str
    rollouts: Rollouts
    verdicts: torch.Tensor
    p: torch.Tensor

    def credit(self, scheme: str = "intra", rounded: bool = True) -> torch.Tensor:
        """A_tok [G, T]."""
        relevance = (self.p >= 0.5).float() if rounded else self.p
        return token_advantage(self.verdicts, relevance, self.rollouts.mask, len(self.p), scheme)

    @property
    def ends(self) -> torch.Tensor:
        """[G, T]: tokens of a response without text, <end> that is."""
        return self.rollouts.mask & ~self.rollouts.has_text()


@dataclass(frozen=True)
class Preset:
    """One thing to see: the group that shows it most (`shows` is largest there), and the settings that show it."""

    name: str
    about: str
    shows: Callable[[Case], float]
    settings: dict[str, Any]


def silent_reward(case: Case) -> float:
    """How much token credit a group has whose rewards are all the same under AON: all responses fail."""
    rewards = [aon([verdict.value for verdict in row]) for row in case.rollouts.verdicts]
    return case.credit()[case.rollouts.mask].abs().mean().item() if set(rewards) == {0.0} else -1.0


def end_pushed_down(case: Case) -> float:
    """How far the token credit of <end> lies below zero."""
    return -case.credit()[case.ends].mean().item() if case.ends.any() else -1.0


def blind_to_global(case: Case) -> float:
    """How much the verdicts on global criteria differ, of which intra sees nothing."""
    places = [k for k, c in enumerate(case.rollouts.criteria[0]) if c.verifier and rule_of(c).scope == "global"]
    return max((case.verdicts[:, k].std(correction=0).item() for k in places), default=-1.0)


def noise_scaled_up(case: Case) -> float:
    """How much token credit there is that rounding takes away."""
    difference = case.credit(rounded=False) - case.credit()
    return difference[case.rollouts.mask].abs().mean().item()


def rows_mixed(case: Case) -> float:
    """How far the released code's credit is from intra's."""
    if case.verdicts.isnan().any():
        return -1.0
    return (case.credit("released") - case.credit())[case.rollouts.mask].abs().mean().item()


PRESETS = (
    Preset(
        "RTT speaks where AON is silent",
        "Every response fails something, so all rewards are 0 and A_res is 0: RL-AON learns nothing here. The token "
        "credit still says which words were right. Set beta to 0 to see what RL-AON sees.",
        silent_reward,
        {"reward": "aon"},
    ),
    Preset(
        "Length drift",
        "Look at <end>. A satisfied local criterion raises its words and lowers every other token, <end> too, so "
        "responses grow. Untick the credit for <end>, or add words to a response.",
        end_pushed_down,
        {"reward": "csr"},
    ),
    Preset(
        "Blind to global criteria",
        "A criterion about the whole response marks every token alike. Its relevance has no spread, so intra gives it "
        "no credit, satisfied or not. Change that verdict: the token credit stays. Then try the scheme relative.",
        blind_to_global,
        {"reward": "aon"},
    ),
    Preset(
        "Noise scaled up",
        "Relevance is not rounded here. Where p hardly varies, intra still scales it to unit spread: differences "
        "without meaning become credit. Tick the rounding to remove it.",
        noise_scaled_up,
        {"reward": "aon", "rounded": False},
    ),
    Preset(
        "Mixed rows of the released code",
        "The released code reshapes where it should transpose: a token gets credit computed from another response or "
        "another criterion. Switch between as released and intra.",
        rows_mixed,
        {"reward": "csr", "scheme": "released"},
    ),
)


def lab_data(specs: Sequence[RunSpec]) -> dict[str, Any]:
    """What the module shows: for each preset the group that shows it most, and groups of trained policies."""
    spec = first_of(specs, "RTT-CSR")
    start = walkthrough(spec)
    model, tokenizer = load_policy(start.base)
    cases = []
    for question in spec.home.questions(QUESTIONS):
        rollouts = roll_out(model, tokenizer, question, start.rl, start.verifier)
        cases.append(_case(question.prompt, rollouts, start))
    chosen = [max(range(len(cases)), key=lambda n, preset=preset: preset.shows(cases[n])) for preset in PRESETS]
    places = sorted(set(chosen))
    groups = [_group(f"base policy, prompt {n + 1}", cases[case]) for n, case in enumerate(places)]
    groups += _trained(specs, start)
    presets = [_preset(preset, places.index(case), cases[case]) for preset, case in zip(PRESETS, chosen, strict=True)]
    return {"groups": groups, "presets": presets}


def _trained(specs: Sequence[RunSpec], start: Walkthrough) -> list[dict[str, Any]]:
    """A group of each trained policy. Where none is on this machine, the groups that the profile has published."""
    arms = [arm for arm in ("RL-CSR", "RTT-CSR") if any(each.arm.name == arm for each in specs)]
    policies = policies_here(specs, arms)
    published = RESULTS / specs[0].profile.name / FILE
    if set(policies) == {"base"} and published.is_file():
        return [group for group in read_json(published)["groups"] if group["name"].endswith(TRAINED)]
    return [
        _group(name + TRAINED, _case(start.question.prompt, start.roll_out(policy), start))
        for name, policy in policies.items()
        if name != "base"
    ]


def _case(question: str, rollouts: Rollouts, start: Walkthrough) -> Case:
    return Case(question, rollouts, rollouts.verdict_tensor(), start.unrounded(rollouts))


def _preset(preset: Preset, group: int, case: Case) -> dict[str, Any]:
    """With the criterion to paint: the one about the whole response where the preset is about it."""
    scopes = [c.verifier and rule_of(c).scope for c in case.rollouts.criteria[0]]
    wanted = "global" if preset.shows is blind_to_global else "local"
    criterion = scopes.index(wanted) if wanted in scopes else 0
    return {"name": preset.name, "about": preset.about, "group": group} | {
        "settings": {**preset.settings, "criterion": criterion}
    }


def _group(name: str, case: Case) -> dict[str, Any]:
    rollouts, responses = case.rollouts, []
    for i, text in enumerate(rollouts.responses):
        spans = rollouts.offsets[i]
        responses.append(
            {
                "tokens": [text[a:b].strip() or END for a, b in spans],
                "text": [b > a for a, b in spans],
                "verdicts": [None if v.value is None else int(v.value) for v in rollouts.verdicts[i]],
                "p": [[round(x, 4) for x in row[: len(spans)]] for row in case.p[i].tolist()],
            }
        )
    criteria = [criterion.text for criterion in rollouts.criteria[0]]
    return {"name": name, "prompt": case.question, "criteria": criteria, "responses": responses}


def widget(data: dict[str, Any]) -> AnyWidget:
    """The lab in a notebook."""
    import anywidget
    import traitlets

    class CreditLab(anywidget.AnyWidget):
        _esm = MODULE
        data = traitlets.Dict().tag(sync=True)

    return CreditLab(data=data)


def save_lab(data: dict[str, Any], results: Path) -> Path:
    """Leave the data in a profile's results, from which the site's first page takes it."""
    return write_text(results / FILE, json.dumps(data, separators=(",", ":")) + "\n")


def site_script(results: Path) -> tuple[str, str] | None:
    """The module with a profile's data as one inline script for the element `#lab`, and its hash for a
    `script-src`. None where the profile left no data."""
    if not (results / FILE).is_file():
        return None
    # A response that says </script> must not end the element.
    data = json.dumps(read_json(results / FILE), separators=(",", ":")).replace("<", "\\u003c")
    script = f'{MODULE.read_text(encoding="utf-8")}\nmount(document.getElementById("lab"), {data});\n'
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return script, f"sha256-{digest}"
