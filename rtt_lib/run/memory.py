"""What a profile of several GPUs needs on each of them, added up part by part; for `rtt run --dry-run`."""

from __future__ import annotations

from dataclasses import dataclass

from rtt_lib.profile import Profile
from rtt_lib.run.sizes import billions_of

CARD = 80  # GB, of the cards that the paper used
VLLM_SHARE = 0.3  # TRL's vllm_gpu_memory_utilization: of the card, for vLLM's weights and its cache
STATE = 16  # bytes a weight: float32 weights, gradients and Adam's two moments
COMPUTED_ON = 2  # bytes a weight in bfloat16


@dataclass(frozen=True)
class Part:
    """`gigabytes` on each GPU; `how`: the arithmetic."""

    name: str
    gigabytes: float
    how: str


def parts(profile: Profile) -> list[Part]:
    """Activations come on top: with gradient checkpointing a few GB, by the length of the sequences."""
    compute, policy = profile.compute, billions_of(profile.policy.model)
    discriminator = billions_of(profile.discriminator.model)
    if not compute.policy_gpus or policy is None:
        return []
    gpus, lora = compute.policy_gpus, bool(profile.policy.lora_rank)
    state = COMPUTED_ON * 2 if lora else STATE  # LoRA: frozen float32 weights, adapters beside them are small
    what = "float32 weights" if lora else "float32 weights, gradients, Adam's two moments"
    found = [Part("policy", state * policy / gpus, f"{policy:g} x {state} / {gpus} ({what}, FSDP2)")]
    if discriminator is not None:
        how = f"{discriminator:g} x {COMPUTED_ON} (bfloat16, whole on every GPU)"
        found.append(Part("discriminator", COMPUTED_ON * discriminator, how))
    if compute.vllm == "colocate":
        how = f"{VLLM_SHARE:g} x {CARD} (its weights, {policy:g} x {COMPUTED_ON}, and its cache)"
        found.append(Part("vLLM", VLLM_SHARE * CARD, how))
    return found


def lines(profile: Profile) -> list[str]:
    """One line a part, then the sum beside the card."""
    found = parts(profile)
    if not found:
        return []
    total = sum(part.gigabytes for part in found)
    verdict = "fits" if total < CARD else "does not fit"
    return [
        *(f"memory of a GPU: {part.name:14} {part.gigabytes:6.1f} GB = {part.how}" for part in found),
        f"memory of a GPU: together       {total:6.1f} GB and activations; {verdict} a card of {CARD} GB",
    ]
