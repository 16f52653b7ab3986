"""What decides a run: its settings, its base policy, its discriminator and the code that it imports."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_execute import PROFILE, SPEC, TINY, of

from rtt_lib import fingerprint
from rtt_lib.methods import METHODS
from rtt_lib.methods.arms import find_arm


def test_the_fingerprint_follows_settings_and_discriminator():
    learned = of("RTT-CSR")
    other_d = replace(PROFILE, discriminator=replace(PROFILE.discriminator, samples=7))
    prints = [
        SPEC.training_fingerprint,
        learned.training_fingerprint,
        replace(learned, profile=other_d).training_fingerprint,
        of("RTT-CSR truncated").training_fingerprint,
        of(steps=13).training_fingerprint,
        replace(SPEC, seed="B0").training_fingerprint,
        replace(SPEC, world="S").training_fingerprint,
        replace(SPEC, profile=replace(PROFILE, policy=replace(PROFILE.policy, pretrain_steps=3))).training_fingerprint,
    ]
    assert len(set(prints)) == len(prints) and replace(SPEC).training_fingerprint == prints[0]
    assert replace(SPEC, profile=other_d).training_fingerprint == prints[0], "an oracle's run reads no discriminator"


def test_settings_of_an_arm_are_those_of_its_run_and_of_no_other():
    tuned = of("RTT-CSR lr 0.002 steps 3")
    assert tuned.profile == replace(PROFILE, rl=replace(TINY, learning_rate=0.002, steps=3))
    assert replace(tuned, seed="B0").profile == tuned.profile and of("RTT-CSR").profile.rl == TINY
    names = ("RTT-CSR", "RTT-CSR lr 0.002", "RTT-CSR lr 0.003", "RTT-CSR steps 3", "RTT-CSR beta 0.25")
    prints = {of(name).training_fingerprint for name in names}
    assert len(prints) == len(names)
    assert len({of(name).home.training_inputs("A0", "taxonomy")["discriminator"] for name in names}) == 1


def test_the_discriminator_of_another_base_policy_is_another_run():
    """RTT-AON from base policy A with the discriminator of B is neither A's run nor B's; with A's it is A's in new
    words, though not by name."""
    others = of("RTT-AON discriminator B")
    assert (of("RTT-AON").discriminator_seed, others.discriminator_seed, others.seed) == ("A0", "B0", "A0")
    inputs = [spec._inputs() for spec in (of("RTT-AON"), others, replace(of("RTT-AON"), seed="B0"))]
    assert inputs[0]["base"] == inputs[1]["base"] != inputs[2]["base"]
    assert inputs[0]["discriminator"] != inputs[1]["discriminator"] == inputs[2]["discriminator"]
    assert of("RTT-AON discriminator A")._inputs() == inputs[0]


def test_an_evaluation_of_other_size_is_the_same_training():
    more = replace(SPEC, profile=replace(PROFILE, evaluation=replace(PROFILE.evaluation, prompts=17)))
    assert more.training_fingerprint == SPEC.training_fingerprint and more.fingerprint != SPEC.fingerprint
    assert more.folder == SPEC.folder and more.evaluation != SPEC.evaluation


def test_words_decide_nothing():
    reworded = replace(SPEC, arm=replace(SPEC.arm, about="in other words"))
    renamed = replace(SPEC, profile=replace(PROFILE, name="another", about="x"))
    assert {reworded.fingerprint, renamed.fingerprint} == {SPEC.fingerprint}


def test_the_kind_of_discriminator_that_an_arm_reads():
    kinds = {name: find_arm(name).discriminator for name in ("RTT-AON", "RTT-AON truncated", "RTT-AON raw")}
    assert set(kinds.values()) == {"taxonomy"} and find_arm("RTT-AON greedy").discriminator == "greedy"
    for name in ("RL-CSR", "RTT-AON oracle", "RTT-CSR random", "base"):
        assert find_arm(name).discriminator is None


A_RUN = """
from dataclasses import replace
from test_execute import of
from rtt_lib.studies import execute
spec = of("{arm}", steps=1)
spec = replace(spec, profile=replace(spec.profile, discriminator=replace(spec.profile.discriminator, samples=8)))
execute.run(spec)
import sys
print(*spec.home.code, file=sys.stderr)
print(*(n for n in list(sys.modules) if n.split('.')[0] == 'rtt_lib'))
"""
# What starts a run and reads it back; and what an arm is, which is in the settings of the run.
AROUND = ("rtt_lib.studies", "rtt_lib.command", "rtt_lib.methods", "rtt_lib.methods.arms", "rtt_lib.worlds")


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["RTT-CSR", "SFT", "DPO"])
def test_a_fingerprint_knows_the_code_that_a_run_imports(empty_store, tmp_path, arm):
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{tests}:{tests.parent}", "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-c", A_RUN.replace("{arm}", arm)]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    imported = set(done.stdout.splitlines()[-1].split())
    known = set(fingerprint.import_closure(*SPEC.home.code, METHODS[find_arm(arm).trainer]))
    left_out = {name for name in imported - known if not name.startswith(AROUND)}
    assert left_out <= fingerprint.NEUTRAL
    assert {"rtt_lib.credit", "rtt_lib.methods.rtt_grpo"} <= known or arm != "RTT-CSR"
    assert TINY.steps != 1, "the run is a short one"
