"""A credit rule in a file of somebody else's, as a method: checked before anything trains, then trained.

The file has one public function, whose name is free:

    def rule(verdicts, relevance, mask, group_size):   # -> [B, T], zero outside the mask
        ...

verdicts [B, K] (1 satisfied, 0 violated, NaN unknown or absent), relevance [B, K, T] in [0, 1], mask [B, T] (bool): B
responses in consecutive groups of `group_size`. It returns A_tok of Eq. 7. A rule may also ask for `progress`, the
share of the run that is done, and for `a_res` [B], GRPO's advantage. If it asks for `a_res`, what it returns is the
whole advantage in place of Eq. 7.

The file may also have an `arm` (`rtt_lib.methods.arms.Arm`), which sets the reward, the relevance and beta. Without
one the reward is CSR, the relevance is the discriminator's and beta is the profile's. An `arm` alone, without a
function, is trained as it is.

    python -m rtt_lib.methods.user_rule FILE ANSWER    # checks the file; writes its arm, or what is wrong, to ANSWER

Only child processes load the file. They keep a fault in it away from the command, and are no sandbox.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from rtt_lib.credit import combine
from rtt_lib.errors import RTTError
from rtt_lib.files import write_json
from rtt_lib.methods.arms import Arm
from rtt_lib.methods.task import Task
from rtt_lib.rivals import RIVALS, Batch

TRAINER = "user-rule"  # this method's name in `rtt_lib.methods`
SCHEME = "a rule from a file"  # its name among `RIVALS` while it trains
NEEDED = ("verdicts", "relevance", "mask", "group_size")
OFFERED = (*NEEDED, "a_res", "progress")


@dataclass(frozen=True)
class UserRule:
    """What a file holds. function: None where it holds only an arm."""

    arm: Arm
    function: Callable[..., Tensor] | None = None

    @property
    def asks_for(self) -> list[str]:
        return list(inspect.signature(self.function).parameters)

    def __call__(self, batch: Batch) -> Tensor:
        """What the function returns, [B, T]; what is wrong with it is an error."""
        # Copies: a function that writes into its arguments must not change what the trainer reads.
        values = {name: getattr(batch, name) for name in self.asks_for}
        copies = {name: value.clone() if isinstance(value, Tensor) else value for name, value in values.items()}
        try:
            found = self.function(**copies)
        except Exception as error:
            raise RTTError(_raised(error, self.function.__code__.co_filename)) from error
        if wrong := problem(found, batch):
            raise RTTError(wrong)
        return found


def problem(found: Any, batch: Batch) -> str | None:
    """What is wrong with a rule's answer."""
    if not isinstance(found, Tensor):
        return f"it returns {type(found).__name__}, not a tensor"
    if found.shape != batch.mask.shape:
        return f"it returns {list(found.shape)}, not [B, T] = {list(batch.mask.shape)}"
    if not found.is_floating_point():
        return f"it returns {found.dtype}, not floats"
    if unknown := int((~found.isfinite()).sum()):
        return f"{unknown} of {found.numel()} values are NaN or infinite"
    if outside := int((found.masked_fill(batch.mask, 0) != 0).sum()):
        return f"{outside} tokens outside the mask get credit: multiply by the mask"
    return None


# --- reading the file ---


def load(path: Path) -> UserRule:
    module = _imported(path)
    functions = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    arm = getattr(module, "arm", None)
    if arm is not None and not isinstance(arm, Arm):
        raise RTTError(f"`arm` is {type(arm).__name__}, not an Arm of rtt_lib.methods.arms")
    if len(functions) > 1:
        raise RTTError(f"several public functions ({', '.join(functions)}): let the names of helpers begin with _")
    if not functions:
        return UserRule(_trained_as_it_is(arm))
    (function,) = functions.values()
    _check_parameters(function)
    return UserRule(_of_the_rule(arm or Arm(path.stem, _about(function), reward="csr")), function)


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("rtt_user_rule", path)
    if spec is None:
        raise RTTError("this is no Python file (*.py)")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise RTTError(_raised(error, str(path))) from error
    return module


def _raised(error: Exception, file: str) -> str:
    """The error with its line in the user's file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{type(error).__name__}: {error}" + (f" (line {lines[-1]})" if lines else "")


def _about(function: Callable) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


def _check_parameters(function: Callable) -> None:
    parameters = inspect.signature(function).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    if unknown := [name for name in (p.name for p in parameters) if name not in OFFERED]:
        raise RTTError(f"parameters of {function.__name__}: {', '.join(unknown)}; there are: {', '.join(OFFERED)}")
    if missing := [name for name in NEEDED if name not in names]:
        raise RTTError(f"{function.__name__} takes no {', '.join(missing)}")


def _of_the_rule(arm: Arm) -> Arm:
    """The arm of a file with a function."""
    default = Arm("", "")
    _no_settings(arm)
    for name in ("trainer", "scheme", "credit_eos"):
        if getattr(arm, name) != getattr(default, name):
            raise RTTError(f"arm.{name} has no effect on a function: it decides this itself; remove it")
    if arm.beta == 0:
        raise RTTError("arm.beta = 0 would leave the function out")
    return replace(arm, trainer=TRAINER)


def _trained_as_it_is(arm: Arm | None) -> Arm:
    if arm is None:
        raise RTTError("neither a public function nor an `arm`")
    if arm.trainer != Arm("", "").trainer:
        raise RTTError(f"arm.trainer is '{arm.trainer}': only RTT-GRPO reads a credit rule")
    _no_settings(arm)
    return arm


def _no_settings(arm: Arm) -> None:
    """Rates and steps are the same for every rule of the leaderboard."""
    if arm.settings:
        raise RTTError(f"arm.settings = {arm.settings}: all rules are trained alike; remove it")


# --- checking it ---


def check(rule: UserRule) -> None:
    """On batches as they can come up in training: right answers, the same ones when asked again."""
    for name, batch in batches():
        with torch.random.fork_rng(devices=[]):
            try:
                first, again = rule(batch), rule(batch)
            except RTTError as error:
                raise RTTError(f"{name}, {_sizes(batch)}: {error}") from error
        if not torch.equal(first, again):
            raise RTTError(f"{name}, {_sizes(batch)}: asked twice, it gives two answers")


def _sizes(batch: Batch) -> str:
    (b, k), t = batch.verdicts.shape, batch.mask.shape[1]
    return f"B = {b}, K = {k}, T = {t}, group_size = {batch.group_size}"


def batches() -> Iterator[tuple[str, Batch]]:
    """What a batch is about, and the batch."""
    rng = torch.Generator().manual_seed(0)
    usual = _batch(rng, 16, 5, 24, 8)
    yield "an ordinary batch", usual
    yield "the start of a run", replace(usual, progress=0.0)
    yield "relevance of 0 and 1", replace(usual, relevance=usual.relevance.round())
    yield "no relevance", replace(usual, relevance=torch.zeros_like(usual.relevance))
    yield "everything relevant", replace(usual, relevance=torch.ones_like(usual.relevance))
    for value, name in ((0.0, "everything violated"), (1.0, "everything satisfied"), (torch.nan, "nothing known")):
        yield name, replace(usual, verdicts=torch.full_like(usual.verdicts, value), a_res=torch.zeros(16))
    unknown = torch.rand(usual.verdicts.shape, generator=rng) < 0.3
    yield "some verdicts unknown", replace(usual, verdicts=usual.verdicts.masked_fill(unknown, torch.nan))
    yield "one criterion", _batch(rng, 8, 1, 24, 8)
    yield "one token", _batch(rng, 8, 5, 1, 4)
    yield "one criterion, one token", _batch(rng, 2, 1, 1, 2)
    empty = usual.mask.clone()
    empty[3] = False
    yield "a response without tokens", replace(usual, mask=empty)
    yield "no tokens at all", replace(usual, mask=torch.zeros_like(usual.mask))


def _batch(rng: torch.Generator, size: int, criteria: int, length: int, group: int) -> Batch:
    """Random responses of every length from one token on."""
    lengths = torch.randint(1, length + 1, (size, 1), generator=rng)
    return Batch(
        torch.randn(size, generator=rng),
        (torch.rand(size, criteria, generator=rng) < 0.5).float(),
        torch.rand(size, criteria, length, generator=rng),
        torch.arange(length) < lengths,
        group,
        0.5,
    )


def main(arguments: Sequence[str]) -> None:
    file, answer = map(Path, arguments)
    try:
        rule = load(file)
        if rule.function is not None:
            check(rule)
    except RTTError as error:
        write_json(answer, {"error": str(error)})
    else:
        fields = {name: value for name, value in asdict(rule.arm).items() if name != "settings"}  # there are none
        write_json(answer, {"arm": fields})


# --- training with it ---


def train(task: Task, folder: Path) -> list[dict[str, Any]]:
    """As `rtt_lib.methods.rl.train`. The arm's `scheme` is the path of the file."""
    from rtt_lib.methods import rl  # slow to import, and a check needs none of it

    arm, rule = task.arm, load(Path(task.arm.scheme))
    beta = task.rl.beta if arm.beta is None else arm.beta
    RIVALS[SCHEME] = whole(rule, beta, arm.beta_schedule == "linear")
    try:
        given = replace(arm, scheme=SCHEME, beta=1.0, beta_schedule="constant")
        return rl.train(replace(task, arm=given), folder)
    finally:
        del RIVALS[SCHEME]


def whole(rule: UserRule, beta: float, decays: bool = False) -> Callable[[Batch], Tensor]:
    """The rule as one of `RIVALS`, which give the whole advantage. decays: beta falls to zero over the run."""

    def advantage(batch: Batch) -> Tensor:
        found = rule(batch)
        if "a_res" in rule.asks_for:
            return found
        return combine(batch.a_res, found, beta=beta * (1 - batch.progress) if decays else beta)

    return advantage


if __name__ == "__main__":
    main(sys.argv[1:])
