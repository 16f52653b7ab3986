"""`docs/trl-options.md` says of every option of TRL's GRPO whether it works here; this shows it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from rtt_grpo_toy import DATA, TOKENIZER, Advantages, finite, make, same, settings, tiny_model
from transformers import LlamaForCausalLM, PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from rtt_lib.errors import RTTError
from rtt_lib.methods.rtt_grpo import RTTGRPOConfig, RTTGRPOTrainer
from rtt_lib.methods.verification import parse_rubric
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.verdict import csr
from rtt_lib.worlds.micro.policy import micro_config

TABLE = Path(__file__).parents[1] / "docs" / "trl-options.md"
ROW = re.compile(r"^\| (?P<options>`.+`) \| (?P<state>works|refused|untested) \|.*\|$", re.M)

# Options that are tried together. With `token_beta=0` and without Eq. 6 each must train exactly as TRL does; with token
# credit it must train, by advantages of every token.
TRIED = {
    "learning": {
        "optim": "adamw_torch", "weight_decay": 0.1, "adam_beta1": 0.8, "adam_beta2": 0.95, "adam_epsilon": 1e-6,
        "max_grad_norm": 0.1, "warmup_steps": 1, "lr_scheduler_type": "cosine", "learning_rate": 3e-2,
        "gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "torch_empty_cache_steps": 1, "seed": 3, "data_seed": 4,
        "save_strategy": "steps", "save_steps": 1, "save_total_limit": 1, "save_only_model": True,
        "logging_strategy": "steps", "logging_steps": 1, "logging_first_step": True, "log_completions": True,
        "num_completions_to_print": 0, "log_unique_prompts": True, "include_num_input_tokens_seen": True,
    },
    "generation": {
        "temperature": 0.7, "top_p": 0.9, "top_k": 20, "min_p": 0.001, "repetition_penalty": 1.1,
        "cache_implementation": "dynamic", "generation_kwargs": {"min_new_tokens": 3}, "generation_batch_size": 16,
        "shuffle_dataset": False, "pad_to_multiple_of": 8, "mask_truncated_completions": True,
        "max_completion_length": 20,
    },
    "batches": {
        "num_generations": 2, "gradient_accumulation_steps": 2, "steps_per_generation": 4, "num_iterations": 2,
        "per_device_train_batch_size": 4, "max_steps": 4,
    },
    "epochs": {"num_train_epochs": 0.5, "max_steps": -1, "dataloader_num_workers": 1, "dataloader_drop_last": True},
    "clipping": {
        "epsilon": 0.1, "epsilon_high": 0.3, "delta": 1.5, "num_iterations": 2, "max_steps": 4,
        "top_entropy_quantile": 0.5, "entropy_coef": 0.01,
    },
    "grpo": {"loss_type": "grpo", "reward_weights": [1.0, 0.5], "scale_rewards": "batch"},
    "bnpo": {
        "loss_type": "bnpo", "reward_weights": [1.0, 0.5], "multi_objective_aggregation": "normalize_then_sum",
    },
    "dr_grpo": {
        "loss_type": "dr_grpo", "use_adaptive_entropy": True, "entropy_coef_min": 0.001, "entropy_coef_max": 0.5,
        "entropy_coef_delta": 0.01, "entropy_target": 9.0,
    },
    "luspo": {"loss_type": "luspo", "importance_sampling_level": "token", "cast_lm_head_to_fp32": True},
    "cispo": {"loss_type": "cispo", "epsilon_high": 5.0, "num_iterations": 2, "max_steps": 4},
    "sapo": {
        "loss_type": "sapo", "sapo_temperature_neg": 1.2, "sapo_temperature_pos": 0.9, "num_iterations": 2,
        "max_steps": 4,
    },
    "vespo": {
        "loss_type": "vespo", "vespo_k_pos": 1.5, "vespo_lambda_pos": 2.0, "vespo_k_neg": 2.0, "vespo_lambda_neg": 1.5,
        "num_iterations": 2, "max_steps": 4,
    },
    "KL": {
        "beta": 0.1, "use_bias_correction_kl": False, "sync_ref_model": True, "ref_model_mixup_alpha": 0.5,
        "ref_model_sync_steps": 1, "disable_dropout": True, "model_init_kwargs": {"dtype": "float32"},
    },
    "evaluation": {
        "eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 8, "num_generations_eval": 2,
        "eval_on_start": True, "do_eval": True,
    },
}  # fmt: skip
# Shown by tests of their own.
ELSEWHERE = {
    "bf16": "test_rtt_grpo.py::test_in_bfloat16_it_learns_from_the_same_rollouts",
    "fsdp": "test_steady.py::test_fsdp2_in_two_processes_is_one_process",
    "fsdp_config": "test_steady.py::test_fsdp2_in_two_processes_is_one_process",
    "max_tool_calling_iterations": "test_rtt_grpo_chats.py::test_with_tools_every_group_has_the_same_share_of_the_loss",
    "resume_from_checkpoint": "test_rtt_grpo.py::test_ten_steps_are_five_and_five_more",
    **dict.fromkeys(
        ("output_dir", "max_steps", "use_cpu", "report_to", "disable_tqdm", "dataloader_pin_memory"),
        "test_rtt_grpo_loss.py::test_token_beta_zero_is_plain_grpo",
    ),
}
REFUSED = {
    "deepspeed": ({"deepspeed": {}}, "DeepSpeed's engine updates the weights inside the backward pass"),
    "ds3_gather_for_generation": ({"deepspeed": {}, "ds3_gather_for_generation": False}, "DeepSpeed's engine"),
    "optim": ({"optim": "galore_adamw_layerwise"}, "inside the backward pass.*could not be skipped"),
    "off_policy_mask_threshold": ({"off_policy_mask_threshold": 0.5}, "some tokens of a response"),
    "auto_find_batch_size": ({"auto_find_batch_size": True}, "auto_find_batch_size is not supported by GRPO"),
    "importance_sampling_level": ({"importance_sampling_level": "sequence"}, "token credit, .*, cancels"),
    "vllm_importance_sampling_correction": ({"use_vllm": True, "top_p": 0.9}, "Eq. 6 has no such factor"),
    "loss_type": ({"loss_type": "grpo", "per_group_token_mean": True}, "set it to False"),
    "remove_unused_columns": ({"remove_unused_columns": True}, "column 'criteria': found nothing"),
    "router_aux_loss_coef": ({"router_aux_loss_coef": 0.1}, "is not a Mixture-of-Experts model"),
}


def rows() -> dict[str, str]:
    """Option -> state."""
    found = {}
    for match in ROW.finditer(TABLE.read_text(encoding="utf-8")):
        for option in re.findall(r"`([^`]+)`", match["options"]):
            assert option not in found, f"{option} has two rows"
            found[option] = match["state"]
    return found


def test_the_table_has_every_option_of_the_installed_trl_and_no_other():
    options = {field.name for field in dataclasses.fields(GRPOConfig)}
    assert set(rows()) == options, f"missing {options - set(rows())}, unknown {set(rows()) - options}"


def test_what_the_table_says_is_what_is_tried():
    tried = {option for group in TRIED.values() for option in group} | set(ELSEWHERE)
    states = rows()
    assert {option for option, state in states.items() if state == "works"} == tried
    assert {option for option, state in states.items() if state == "refused"} == set(REFUSED) - tried
    for place in ELSEWHERE.values():
        file, name = place.split("::")
        assert f"def {name}(" in (Path(__file__).parent / file).read_text(encoding="utf-8"), place


def reward(prompts, completions, criteria, **kwargs):
    return [
        csr([v.value for v in row]) for row in Verifier()(prompts, completions, [parse_rubric(c) for c in criteria])
    ]


def length(completion_ids, **kwargs):
    return [len(ids) / 10 for ids in completion_ids]


def model_for(changes: dict, folder: Path):
    """A folder where TRL loads the reference model, or the policy, by itself."""
    if "beta" not in changes:
        torch.manual_seed(0)
        tied = "cast_lm_head_to_fp32" not in changes
        config = micro_config(len(TOKENIZER), width=16, layers=1, heads=2)
        config.tie_word_embeddings = tied
        return LlamaForCausalLM(config)
    tiny_model().save_pretrained(folder / "model")
    return str(folder / "model")


def trained(trainer: GRPOTrainer):
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer


@pytest.mark.parametrize("group", TRIED)
def test_an_option_trains_as_in_trl_and_with_token_credit(tmp_path, group):
    changes = TRIED[group]
    more = [length] if "reward_weights" in changes else []
    data = {
        "train_dataset": DATA.select(range(8)) if group == "epochs" else DATA,
        "eval_dataset": DATA.select(range(4)),
    }
    plain = trained(
        GRPOTrainer(
            model_for(changes, tmp_path), [reward, *more], GRPOConfig(**settings(tmp_path / "trl", **changes)), **data,
            processing_class=TOKENIZER,
        )
    )  # fmt: skip
    shared = {"reward_funcs": more, **data}
    without = {"token_beta": 0.0, "per_group_token_mean": False, "response_reward": "csr", **changes}
    ours = trained(make(tmp_path / "ours", model=model_for(changes, tmp_path), extra=shared, **without))
    assert same(ours.model, plain.model) and not same(ours.model, model_of(changes, tmp_path))

    eq6 = changes.get("loss_type", "dapo") == "dapo"
    credited = make(
        tmp_path / "rtt", model=model_for(changes, tmp_path), cls=Advantages, extra=shared, per_group_token_mean=eq6,
        **changes,
    )  # fmt: skip
    credited = trained(credited)
    assert credited.advantages.dim() == 2 and finite(credited.model) and not same(credited.model, plain.model)
    if group == "evaluation":
        assert {"eval_verdict/csr", "eval_credit/a_tok_abs"} <= set().union(*credited.state.log_history)


def model_of(changes: dict, folder: Path) -> LlamaForCausalLM:
    model = model_for(changes, folder)
    return LlamaForCausalLM.from_pretrained(model) if isinstance(model, str) else model


@pytest.mark.parametrize("option", REFUSED)
def test_what_is_refused_says_why(tmp_path, option):
    changes, message = REFUSED[option]
    data = Dataset.from_list([{"prompt": "no commas :", "criteria": "[]"}] * 8)
    with pytest.raises((RTTError, ValueError), match=message):
        args = RTTGRPOConfig(**settings(tmp_path, **changes))
        RTTGRPOTrainer(
            tiny_model(), Verifier(), lambda rollouts: None, args=args, train_dataset=data, processing_class=TOKENIZER
        ).train()
