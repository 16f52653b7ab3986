"""A method for the tests: the policy learns to say what every prompt asks for."""

from __future__ import annotations

import torch

from rtt_lib.methods.task import Task


def train(task: Task, folder):
    wanted = {criterion.args["word"] for prompt in task.prompts for criterion in prompt.criteria}
    (id,) = task.tokenizer(" ".join(wanted))["input_ids"]
    with torch.no_grad():
        task.model.lm_head.weight.zero_()
        task.model.lm_head.weight[id] = 1.0
        task.model.model.norm.weight.fill_(1.0)
    task.model.save_pretrained(folder)
    task.tokenizer.save_pretrained(folder)
    return [{"step": 1, "loss": 0.0}]
