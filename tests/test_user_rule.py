"""A credit rule from a file: what is wrong is said before anything trains; what is right trains as it would here."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from test_execute import of

from rtt_lib.credit import token_advantage
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json
from rtt_lib.methods import user_rule
from rtt_lib.methods.arms import Arm
from rtt_lib.methods.user_rule import SCHEME, TRAINER, UserRule, check, load, main, whole
from rtt_lib.rivals import RIVALS, Batch, cripo
from rtt_lib.studies import execute
from rtt_lib.studies.spec import RunSpec

INTRA = """
from rtt_lib.credit import token_advantage

def intra(verdicts, relevance, mask, group_size):
    "The paper's own rule.\\n\\nIn a file."
    return token_advantage(verdicts, relevance, mask, group_size)
"""
AN_ARM = "from rtt_lib.methods.arms import Arm\narm = Arm"
HEAD = "def rule(verdicts, relevance, mask, group_size):\n    "


@pytest.fixture
def write(tmp_path):
    def written(text: str, name: str = "my_rule.py") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return written


def wrong(path: Path) -> str:
    with pytest.raises(RTTError) as caught:
        check(load(path))
    return str(caught.value)


def test_a_file_with_one_function_is_an_arm_with_the_defaults(write):
    rule = load(write(INTRA))
    assert rule.arm == Arm("my_rule", "The paper's own rule.", trainer=TRAINER, reward="csr")
    check(rule)


def test_a_file_may_set_reward_relevance_and_beta(write):
    arm = f'{AN_ARM}("Mine", "in short", relevance="oracle", beta=0.2)\n'
    assert load(write(arm + INTRA)).arm == Arm("Mine", "in short", TRAINER, relevance="oracle", beta=0.2)
    alone = load(write(arm))
    assert alone == UserRule(Arm("Mine", "in short", relevance="oracle", beta=0.2)) and alone.function is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return (mask / 0.0) * 0", "values are NaN or infinite"),
        ("return relevance.mean(1).cumsum(1) / relevance.sum(1).sum(1, keepdim=True) * mask", "no relevance"),
        ("return relevance", "an ordinary batch, B = 16, K = 5, T = 24, group_size = 8: it returns [16, 5, 24], not"),
        ("return relevance.mean(1)", "tokens outside the mask get credit: multiply by the mask"),
        ("return mask", "it returns torch.bool, not floats"),
        ("return 0", "it returns int, not a tensor"),
        (
            "return verdicts.nan_to_num()[:, 1:2] * mask",
            "one criterion, B = 8, K = 1, T = 24, group_size = 8: Runtime",
        ),
        ("return relevance[:, 0].std(1, keepdim=True) * mask", "one token, B = 8, K = 5, T = 1"),
        ("return verdicts.mean(1, keepdim=True) * mask", "nothing known"),
        ("import torch; return torch.rand(mask.shape) * mask", "asked twice, it gives two answers"),
        ("return missing", "NameError: name 'missing' is not defined (line 2)"),
    ],
)
def test_a_wrong_rule_is_told_with_the_batch_that_shows_it(write, body, message):
    assert message in wrong(write(HEAD + body))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "neither a public function nor an `arm`"),
        ("arm = 3", "`arm` is int, not an Arm"),
        ("def a(): pass\ndef b(): pass", "several public functions (a, b): let the names of helpers begin with _"),
        ("def a(verdicts, mask): pass", "a takes no relevance, group_size"),
        ("def a(verdicts, relevance, mask, group_size, logits): pass", "parameters of a: logits; there are: verdicts"),
        ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this' (line 1)"),
        ("x = (", "SyntaxError"),
        (
            f"from rtt_lib.methods.arms import Arm\narm = Arm('a', '', beta=0.0)\n{INTRA}",
            "would leave the function out",
        ),
        (
            f"from rtt_lib.methods.arms import Arm\narm = Arm('a', '', scheme='inter')\n{INTRA}",
            "arm.scheme has no effect",
        ),
        (
            "from rtt_lib.methods.arms import Arm\narm = Arm('a', '', trainer='sft')",
            "only RTT-GRPO reads a credit rule",
        ),
    ],
)
def test_a_file_that_holds_no_rule_says_why(write, text, message):
    assert message in wrong(write(text))


def test_a_helper_and_an_import_are_no_rules(write):
    text = f"from rtt_lib.credit import combine\ndef _half(x): return x / 2\n{INTRA}"
    assert load(write(text)).function.__name__ == "intra"


def test_a_rule_cannot_change_what_the_trainer_reads(write):
    rule = load(write(HEAD + "mask[:] = False; return mask.float()"))
    (_, batch), *_ = user_rule.batches()
    before = batch.mask.clone()
    rule(batch)
    assert torch.equal(batch.mask, before) and before.any()


def test_checks_hold_what_they_say():
    found = dict(user_rule.batches())
    assert found["one criterion, one token"].relevance.shape == (2, 1, 1)
    assert not found["a response without tokens"].mask[3].any() and found["an ordinary batch"].mask.any(1).all()
    assert found["some verdicts unknown"].verdicts.isnan().any() and found["nothing known"].verdicts.isnan().all()
    assert all(batch.relevance.ge(0).all() and batch.relevance.le(1).all() for batch in found.values())
    assert all(len(batch.mask) % batch.group_size == 0 for batch in found.values())


def test_the_child_writes_the_arm_or_what_is_wrong(write, tmp_path):
    answer = tmp_path / "answer.json"
    main([str(write(INTRA)), str(answer)])
    assert Arm(**read_json(answer)["arm"]) == Arm("my_rule", "The paper's own rule.", trainer=TRAINER, reward="csr")
    main([str(write("x = 1")), str(answer)])
    assert read_json(answer) == {"error": "neither a public function nor an `arm`"}


def test_a_rule_is_added_to_the_response_or_stands_for_all(write):
    batch = Batch(
        torch.tensor([1.0, -1.0]),
        torch.tensor([[1.0], [0.0]]),
        torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]]),
        torch.ones(2, 2, dtype=torch.bool),
        2,
        0.25,
    )
    added = load(write(INTRA))  # A_tok is +1, -1 and -1, +1
    assert whole(added, 0.5)(batch).tolist() == [[1.5, 0.5], [-1.5, -0.5]]
    assert whole(added, 0.5, decays=True)(batch).tolist() == [[1.375, 0.625], [-1.375, -0.625]]
    instead = write("def f(verdicts, relevance, mask, group_size, a_res, progress):\n    return -a_res[:, None] * mask")
    assert whole(load(instead), 0.5)(batch).tolist() == [[-1.0, -1.0], [1.0, 1.0]]


def test_another_papers_rule_in_a_file_gives_what_it_gives_here(write):
    text = """
    from rtt_lib.rivals import Batch, cripo
    def rule(verdicts, relevance, mask, group_size, a_res):
        return cripo(Batch(a_res, verdicts, relevance, mask, group_size))
    """
    rule = load(write(text))
    for name, batch in user_rule.batches():
        assert torch.equal(whole(rule, 0.5)(batch), cripo(batch)), name


@pytest.mark.slow
def test_the_papers_rule_from_a_file_trains_as_the_paper(write, empty_store):
    """Up to rounding: A_res is added and taken away once more on the way."""
    here = of("RTT-CSR oracle", steps=3, learning_rate=1e-4)
    arm = replace(load(write(INTRA)).arm, relevance="oracle", scheme=str(write(INTRA)))
    there = RunSpec(arm, here.world, here.seed, here.profile)
    assert there.training_fingerprint != here.training_fingerprint
    logs = []
    for spec in (here, there):
        execute.train(spec)
        logs.append(pd.read_csv(spec.folder / "log.csv"))
    logs[0]["credit/a_tok_abs"] *= here.profile.rl.beta  # of a rule the log has what it adds to A_res
    for measure in ("reward", "entropy", "grad_norm", "credit/a_tok_abs", "credit/suppressed_criteria"):
        assert logs[1][measure].tolist() == pytest.approx(logs[0][measure].tolist(), rel=1e-3, abs=1e-5), measure
    assert logs[0]["credit/a_tok_abs"].gt(0).all() and SCHEME not in RIVALS


@pytest.mark.slow
def test_a_rule_that_fails_while_it_trains_stops_the_run(write, empty_store):
    """The checks cannot find everything: this one fails half way."""
    text = HEAD.replace("group_size", "group_size, progress") + "return mask.float() if progress < 0.5 else mask / 0.0"
    path = write(text)
    spec = of("RTT-CSR oracle", steps=4)
    arm = replace(spec.arm, trainer=TRAINER, scheme=str(path))
    with pytest.raises(RTTError, match="values are NaN or infinite"):
        execute.train(RunSpec(arm, spec.world, spec.seed, spec.profile))
    assert SCHEME not in RIVALS and not execute.is_trained(RunSpec(arm, spec.world, spec.seed, spec.profile))


def test_the_rule_of_a_file_is_the_papers_formula(write):
    rule = load(write(INTRA))
    _, batch = next(user_rule.batches())
    expected = token_advantage(batch.verdicts, batch.relevance, batch.mask, batch.group_size)
    assert torch.equal(rule(batch), expected)


@pytest.mark.parametrize("settings", [(("steps", 240),), (("learning_rate", 0.001),)])
def test_rates_and_steps_of_its_own_are_refused(tmp_path, settings):
    file = tmp_path / "rule.py"
    arm = f"Arm('x', 'longer', reward='csr', settings={settings!r})"
    file.write_text(f"from rtt_lib.methods.arms import Arm\narm = {arm}\n")
    with pytest.raises(RTTError, match="all rules are trained alike"):
        load(file)
