"""What an arm of a job measures. `tests/test_gpu_job_merge.py` has it in a whole job."""

from __future__ import annotations

import time

import pytest
from text_toy import spec_of

from rtt_lib.run.gpu_job.arm import MEASURED, of_steps, per_rollout_step, seconds_a_step
from rtt_lib.studies.execute import is_trained


def test_a_rollout_step_by_hand():
    assert per_rollout_step([9.0, 10.0, 11.0, 12.0, 14.0, 15.0], minibatches=2) == 2.5  # ends at 10, 12 and 15
    assert per_rollout_step([5.0, 6.0, 8.0], minibatches=1) == 1.5


@pytest.mark.usefixtures("without_hub")
def test_measuring_takes_so_many_steps_and_leaves_no_run(text_profile, empty_store):
    spec, started = spec_of(of_steps(text_profile, MEASURED), "RL-CSR", "A0"), time.perf_counter()
    seconds = seconds_a_step(spec)
    assert 0 < seconds * (MEASURED - 1) < time.perf_counter() - started
    assert not is_trained(spec) and not list(empty_store.rglob("*.safetensors"))
