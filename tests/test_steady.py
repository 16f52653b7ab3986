"""What `SteadyGRPOTrainer` adds to TRL's, beside what tests/test_rtt_grpo.py shows of it through RTT-GRPO."""

from __future__ import annotations

import json
import math
import tempfile
from functools import cache
from pathlib import Path

import pytest
import torch
from rtt_grpo_toy import HERE, logged, make, rollouts, run_python, settings, tiny_model, varied
from transformers import LlamaForCausalLM
from trl.trainer import grpo_trainer

from rtt_lib.errors import RTTError
from rtt_lib.methods.rtt_grpo import RTTGRPOConfig, RTTGRPOTrainer
from rtt_lib.methods.steady import SteadyGRPOConfig
from rtt_lib.relevance.sources import Oracle

# --- DeepSpeed ---


@pytest.mark.parametrize("config", [SteadyGRPOConfig, RTTGRPOConfig])
def test_deepspeed_is_refused_with_the_reason(tmp_path, config, monkeypatch):
    with pytest.raises(RTTError, match=r"inside the backward pass.*could not be skipped.*FSDP2"):
        config(**settings(tmp_path, deepspeed={"zero_optimization": {"stage": 3}}))
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")  # what `accelerate launch --use_deepspeed` sets
    with pytest.raises(RTTError, match="inside the backward pass"):
        config(**settings(tmp_path))


@pytest.mark.parametrize("optim", ["lomo", "adalomo", "galore_adamw_layerwise"])
def test_so_are_optimizers_that_step_inside_the_backward_pass(tmp_path, optim):
    with pytest.raises(RTTError, match=rf"optim='{optim}' updates the weights inside the backward pass"):
        SteadyGRPOConfig(**settings(tmp_path, optim=optim))


# --- out of memory ---

FITS = 2  # responses


class NoGradient(torch.autograd.Function):
    """The pass fails on its way back, when a part of the gradients is there."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise torch.OutOfMemoryError("CUDA out of memory.")


class SmallMachine(RTTGRPOTrainer):
    """From step `tight_from` on no more than `FITS` responses fit; `where` the pass then fails."""

    def _compute_loss(self, model, inputs):
        too_many = len(inputs["completion_ids"]) > FITS and self._step >= self.tight_from
        if too_many and self.where == "forward":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        if too_many and self.where == "CPU":
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes")
        if not (too_many and self.where == "backward"):
            return super()._compute_loss(model, inputs)
        embeddings = model.get_input_embeddings()
        hook = embeddings.register_forward_hook(lambda module, args, output: NoGradient.apply(output))
        try:
            return super()._compute_loss(model, inputs)
        finally:
            hook.remove()


def on_machine(folder, tight_from=math.inf, where="forward", **changes):
    changes = {"max_steps": 3, "optim": "sgd", "learning_rate": 1.0, "lr_scheduler_type": "constant", **changes}
    trainer = make(folder, cls=SmallMachine, relevance=Oracle(), extra=varied(), **changes)
    trainer.tight_from, trainer.where = tight_from, where
    trainer.train()
    return trainer


@cache
def in_one_piece(changes: tuple[tuple[str, object], ...]) -> SmallMachine:
    """Several tests compare with the same run."""
    with tempfile.TemporaryDirectory() as folder:
        return on_machine(Path(folder), **dict(changes))


def flat(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


OTHER_LOSS = {"per_group_token_mean": False}


@pytest.mark.parametrize(
    ("where", "changes"),
    [
        ("forward", {}),
        ("backward", {}),
        ("CPU", {}),
        ("forward", {"gradient_accumulation_steps": 2}),
        ("backward", {"gradient_accumulation_steps": 2}),
        ("backward", {"gradient_accumulation_steps": 2, "steps_per_generation": 4, "num_iterations": 2}),
        ("backward", {"beta": 0.1, "num_iterations": 2}),
        *(("backward", {"loss_type": name, **OTHER_LOSS}) for name in ("grpo", "bnpo", "dr_grpo", "sapo", "luspo")),
        *(("backward", {"loss_type": name, **OTHER_LOSS}) for name in ("cispo", "vespo")),
    ],
    ids=str,
)
def test_what_does_not_fit_is_done_in_halves_with_the_same_update(tmp_path, where, changes, caplog, monkeypatch):
    """With accumulation it is the second pass of the second step that fails, when the first has left its gradients."""
    if "beta" in changes:
        monkeypatch.setattr(grpo_trainer, "create_model_from_path", lambda path, **kwargs: tiny_model())
    whole = in_one_piece(tuple(changes.items()))
    tight_from = 2 * changes.get("gradient_accumulation_steps", 1) - 1
    halved = on_machine(tmp_path / "halved", tight_from, where, **changes)
    assert "out of memory with 8 responses in a pass: going on with 4" in caplog.text
    assert "out of memory with 4 responses in a pass: going on with 2" in caplog.text
    moved = (flat(whole.model) - flat(tiny_model())).abs().max()
    assert moved > 1e-3
    torch.testing.assert_close(flat(halved.model), flat(whole.model), atol=1e-6, rtol=0)
    for name in ("loss", "grad_norm"):
        assert logged(halved, name) == pytest.approx(logged(whole, name), abs=1e-6, rel=1e-5)
    for name in ("reward", "num_tokens"):  # nothing was generated anew
        assert logged(halved, name) == logged(whole, name)


def test_where_one_response_does_not_fit_the_run_stops_with_advice(tmp_path, monkeypatch):
    monkeypatch.setattr("test_steady.FITS", 0)
    with pytest.raises(RTTError, match=r"out of memory with 1 responses in a pass.*shorten max_completion_length"):
        on_machine(tmp_path, tight_from=0)


def test_a_loss_that_is_no_sum_over_responses_is_not_halved(tmp_path):
    with pytest.raises(RTTError, match=r"is no sum over responses\. Set per_device_train_batch_size=4"):
        on_machine(tmp_path, tight_from=0, entropy_coef=0.1)


def test_another_error_is_not_taken_for_a_lack_of_memory(tmp_path):
    class Broken(RTTGRPOTrainer):
        def _compute_loss(self, model, inputs):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        make(tmp_path, cls=Broken).train()


# --- FSDP2 ---


def weights(folder: Path) -> torch.Tensor:
    return torch.cat([p.flatten() for p in LlamaForCausalLM.from_pretrained(folder).parameters()])


def log_of(checkpoint: Path) -> list[dict]:
    return json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]


@pytest.mark.slow
def test_fsdp2_in_two_processes_is_one_process(tmp_path):
    """Advantages, gradients, weights, a checkpoint between two minibatches, a step that is not finite, sampling."""
    script, launch = str(HERE / "two_processes.py"), ("-m", "torch.distributed.run", "--standalone")
    run_python(script, str(tmp_path / "one"), "unsharded", cwd=tmp_path)
    run_python(*launch, "--nproc_per_node", "2", script, str(tmp_path / "two"), "fsdp2", cwd=tmp_path)

    for step in (0, 2):
        one, two = (rollouts(tmp_path / name, step) for name in ("one", "two"))
        assert [row["tokens"] for row in one] == [row["tokens"] for row in two] and len(one) == 12
        for a, b in zip(one, two, strict=True):
            assert a["a_res"] == pytest.approx(b["a_res"], abs=1e-5)
            assert a["a_tok"] == pytest.approx(b["a_tok"], abs=1e-5)
        assert sum(any(row["a_tok"]) for row in one) > 6
    one, two = (log_of(tmp_path / name / "checkpoint-4") for name in ("one", "two"))
    assert [row["grad_norm"] for row in one] == pytest.approx([row["grad_norm"] for row in two], rel=1e-4)

    trained = weights(tmp_path / "one" / "model")
    for name in ("model", "resumed"):
        torch.testing.assert_close(weights(tmp_path / "two" / name), trained, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        weights(tmp_path / "two" / "resumed"), weights(tmp_path / "two" / "model"), atol=0, rtol=0
    )
    assert (weights(tmp_path / "one" / "checkpoint-3") - trained).abs().max() > 1e-3

    first, second, third = (weights(tmp_path / "two" / "bad" / f"checkpoint-{n}") for n in (1, 2, 3))
    assert torch.equal(first, second) and not torch.equal(second, third)
    assert [row["rtt/skipped_steps"] for row in log_of(tmp_path / "two" / "bad" / "checkpoint-3")] == [0, 1, 0]
    assert weights(tmp_path / "two" / "sampled" / "model").isfinite().all()
    assert len(rollouts(tmp_path / "two" / "sampled")) == 12
