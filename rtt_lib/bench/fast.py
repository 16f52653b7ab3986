"""Sampling from Llama models in large batches, with less work a token than `model.generate` does.

- Keys and values of all tokens lie in one tensor that is made once. A step writes its column in place.
- Queries, keys and values are one matrix product, and so are the two of the MLP that read the same input.
- Responses to the same prompt share the prompt's pass.
- Responses that have ended leave the batch.
- On a GPU a step is captured as a CUDA graph and replayed. That part has run on no GPU yet: the tests run on CPUs.

The numerics are those of transformers: activations between layers in the type of the model's weights, matrix products
in `dtype`. So a float32 model with `dtype` bfloat16 is what autocast computes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedModel

from rtt_lib.bench.draw import draw
from rtt_lib.errors import RTTError
from rtt_lib.profile import Evaluation

log = logging.getLogger(__name__)

FIXED_ROPE = ("default", "linear", "llama3")  # angles that do not depend on how long a text is
PROMPT_TOKENS = 16_384  # in one pass over prompts
CHECK_EVERY = 8  # tokens between two looks at how many responses have ended
SHRINK_AT = 0.75  # a batch is made smaller once at most this share of it goes on
GRAPH_ROWS, GRAPH_COLUMNS = 32, 64  # a graph is for one size: rows and columns are rounded up to these

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


def unsupported(model: PreTrainedModel) -> str | None:
    """Why the fast sampler cannot run this model; None: it can."""
    if type(model) is not LlamaForCausalLM:
        return f"it is a {type(model).__name__}, and only LlamaForCausalLM is written here"
    config = model.config
    reasons = {
        "its projections have biases": config.attention_bias or config.mlp_bias,
        f"its activation is {config.hidden_act}, not silu": config.hidden_act != "silu",
        f"its rotary embedding is {_rope(config)}, not one of {', '.join(FIXED_ROPE)}": _rope(config) not in FIXED_ROPE,
        f"its weights are {model.dtype}, not float32 or bfloat16": model.dtype not in (torch.float32, torch.bfloat16),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _rope(config) -> str:
    return config.rope_parameters["rope_type"]


# ------------------------------------------------------------------------------------------------------------- model


@dataclass(frozen=True)
class Layer:
    """The weights of a layer. Products that read the same input are one matrix."""

    attention_norm: Tensor  # [D]
    qkv: Tensor  # [(heads + 2 x key heads) x size, D]
    o: Tensor  # [D, heads x size]
    mlp_norm: Tensor  # [D]
    gate_up: Tensor  # [2 x I, D]
    down: Tensor  # [D, I]


class Llama:
    """A copy of a model's weights and its forward pass, without the attention itself."""

    def __init__(self, model: LlamaForCausalLM, dtype: torch.dtype):
        config = model.config
        self.dtype, self.eps = dtype, config.rms_norm_eps
        self.heads, self.key_heads = config.num_attention_heads, config.num_key_value_heads
        self.size = model.model.layers[0].self_attn.head_dim
        self.tied = model.lm_head.weight is model.model.embed_tokens.weight
        with torch.no_grad():
            self.layers = [Layer(*(w.clone() for w in self._weights(layer))) for layer in model.model.layers]
            self.embedding = model.model.embed_tokens.weight.clone()
            self.norm = model.model.norm.weight.clone()
            self.head = self.embedding if self._shares_the_head else model.lm_head.weight.to(dtype, copy=True)
            positions = torch.arange(config.max_position_embeddings, device=model.device)
            self.cos, self.sin = (x[0] for x in model.model.rotary_emb(self.embedding, positions[None]))  # [P, size]

    @property
    def _shares_the_head(self) -> bool:
        return self.tied and self.embedding.dtype == self.dtype

    @torch.no_grad()
    def load(self, model: LlamaForCausalLM) -> None:
        """Take over the weights of a model that has been trained further; a captured graph reads the same memory."""
        for mine, layer in zip(self.layers, model.model.layers, strict=True):
            for field, weight in zip(fields(Layer), self._weights(layer), strict=True):
                getattr(mine, field.name).copy_(weight)
        self.embedding.copy_(model.model.embed_tokens.weight)
        self.norm.copy_(model.model.norm.weight)
        if not self._shares_the_head:
            self.head.copy_(model.lm_head.weight)

    def _weights(self, layer) -> list[Tensor]:
        """In the order of `Layer`."""
        attention, mlp = layer.self_attn, layer.mlp
        return [
            layer.input_layernorm.weight,
            self._stacked(attention.q_proj, attention.k_proj, attention.v_proj),
            self._stacked(attention.o_proj),
            layer.post_attention_layernorm.weight,
            self._stacked(mlp.gate_proj, mlp.up_proj),
            self._stacked(mlp.down_proj),
        ]

    def _stacked(self, *projections) -> Tensor:
        return torch.cat([each.weight for each in projections]).to(self.dtype)

    def __call__(self, ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """ids and positions [B, T] -> logits [B, V] after the last token.

        attend: of a layer's number, queries [B, H, T, size], keys and values [B, KV, T, size] makes [B, H, T, size]
        """
        x = F.embedding(ids, self.embedding)
        cos, sin = self.cos[positions].unsqueeze(2), self.sin[positions].unsqueeze(2)  # [B, T, 1, size]
        for number, layer in enumerate(self.layers):
            qkv = F.linear(self._normed(x, layer.attention_norm), layer.qkv).unflatten(-1, (-1, self.size))
            qk, v = qkv.split([self.heads + self.key_heads, self.key_heads], 2)
            q, k = self._turned(qk, cos, sin).split([self.heads, self.key_heads], 2)
            attended = attend(number, *(each.transpose(1, 2) for each in (q, k, v)))
            x = x + F.linear(attended.transpose(1, 2).flatten(2), layer.o)
            gate, up = F.linear(self._normed(x, layer.mlp_norm), layer.gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer.down)
        return F.linear(self._normed(x[:, -1], self.norm), self.head)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self.eps).to(self.dtype)

    def _turned(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotary positions: the halves of a head are the two coordinates of what is turned."""
        first, second = x.chunk(2, -1)
        return (x * cos + torch.cat([-second, first], -1) * sin).to(self.dtype)


# ------------------------------------------------------------------------------------------------------------- batch


@dataclass
class Batch:
    """All that a step reads and writes, always in place. The first rows are at work, those behind them are free.

    keys, values [L, B, KV, C, size]; bias [B, 1, 1, C]: 0 where a token can be seen, else -inf; token, position and
    response [B]: which token comes next, where it stands, whose it is; done [B]; uniform [B, T]: the random numbers;
    out [B, T]: what was sampled; column and step [1]: where the next token goes in the cache and in `out`.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor
    token: Tensor
    position: Tensor
    response: Tensor
    done: Tensor
    uniform: Tensor
    out: Tensor
    column: Tensor
    step: Tensor

    @classmethod
    def empty(cls, model: Llama, rows: int, columns: int, tokens: int) -> Batch:
        device = model.embedding.device
        cache = (len(model.layers), rows, model.key_heads, columns, model.size)
        whole = {"dtype": torch.long, "device": device}
        return cls(
            keys=torch.zeros(cache, dtype=model.dtype, device=device),
            values=torch.zeros(cache, dtype=model.dtype, device=device),
            bias=torch.zeros(rows, 1, 1, columns, dtype=model.dtype, device=device),
            token=torch.zeros(rows, **whole),
            position=torch.zeros(rows, **whole),
            response=torch.zeros(rows, **whole),
            done=torch.zeros(rows, dtype=torch.bool, device=device),
            uniform=torch.zeros(rows, tokens, device=device),
            out=torch.zeros(rows, tokens, **whole),
            column=torch.zeros(1, **whole),
            step=torch.zeros(1, **whole),
        )

    def holds(self, rows: int, columns: int, tokens: int) -> bool:
        return rows <= self.keys.shape[1] and columns <= self.keys.shape[3] and tokens == self.out.shape[1]

    def begin(self, uniform: Tensor, width: int, pad: int) -> None:
        """Responses with these random numbers [R, T] to prompts of `width` tokens. Rows beyond them are done."""
        rows = len(uniform)
        self.bias.fill_(-torch.inf)
        self.position.zero_()
        self.response.copy_(torch.arange(len(self.response)))
        self.done.fill_(True)
        self.done[:rows] = False
        self.uniform[:rows] = uniform
        self.out.fill_(pad)
        self.column.fill_(width)
        self.step.zero_()

    def shrink(self, rows: int, fewer: int, columns: int) -> None:
        """Move those of the first `rows` that go on to the front; some that are done fill up the `fewer` rows."""
        kept = self.done[:rows].int().argsort(stable=True)[:fewer]
        for cache in (self.keys, self.values):
            for layer in cache[..., :columns, :]:
                layer[:fewer] = layer[kept]
        for x in (self.bias, self.token, self.position, self.response, self.done, self.uniform, self.out):
            x[:fewer] = x[kept]


# ----------------------------------------------------------------------------------------------------------- sampler


class FastSampler:
    """Samples from the weights that `model` has now; `load` takes over those that it has later.

    stops: the tokens that end a response; pad: what is left behind them
    dtype: of the matrix products and the cache, by default that of the weights
    """

    def __init__(
        self, model: PreTrainedModel, stops: Sequence[int], pad: int, dtype: torch.dtype | None = None
    ) -> None:
        if reason := unsupported(model):
            raise RTTError(f"the fast sampler does not run this model: {reason}; choose the sampler 'transformers'")
        self.model, self.pad = Llama(model, dtype or model.dtype), pad
        self.device = model.device
        self.stops = torch.tensor(sorted(stops), dtype=torch.long, device=self.device)
        self.graphs: dict[tuple, torch.cuda.CUDAGraph | None] = {}
        self.use_graphs = self.device.type == "cuda"
        self.pool = torch.cuda.graph_pool_handle() if self.use_graphs else None  # all graphs use the same memory
        self.batch: Batch | None = None

    def load(self, model: PreTrainedModel) -> None:
        self.model.load(model)

    @torch.no_grad()
    def sample(self, prompts: Sequence[Sequence[int]], settings: Evaluation, uniform: Tensor) -> Tensor:
        """One response to each prompt: token ids [B, T], with the stop token, then padding; T <= max_tokens.

        Temperature 0 is greedy. uniform [B, max_tokens]: a response's random numbers, see `draw.noise`
        """
        width = max(map(len, prompts))
        if width + settings.max_tokens > (longest := len(self.model.cos)):
            raise RTTError(f"{width} tokens of prompt and {settings.max_tokens} of response: the model has {longest}")
        rows, columns = self._rows(len(prompts)), width + settings.max_tokens
        batch = self._room_for(rows, columns, settings.max_tokens)
        batch.begin(uniform, width, self.pad)
        self._choose(self._read(prompts, width), len(prompts), settings)
        found = torch.full_like(batch.out[: len(prompts)], self.pad)
        for step in range(1, settings.max_tokens):
            if step % CHECK_EVERY == 0:
                alive = int((~batch.done[:rows]).sum())
                if not alive:
                    break
                fewer = self._rows(alive)
                if fewer <= SHRINK_AT * rows:
                    self._keep(found, rows)
                    batch.shrink(rows, fewer, width + step)
                    rows = fewer
            self._step(rows, self._columns(width + step), settings)
        self._keep(found, rows)
        return found[:, : int(batch.step)].cpu()

    def _room_for(self, rows: int, columns: int, tokens: int) -> Batch:
        """The batch that is there, if it is large enough; else a new one, after the old one's memory is free."""
        columns = self._columns(columns)
        if self.batch is None or not self.batch.holds(rows, columns, tokens):
            self.graphs.clear()
            self.batch = None
            self.batch = Batch.empty(self.model, rows, columns, tokens)
        return self.batch

    def _rows(self, rows: int) -> int:
        return -(-rows // GRAPH_ROWS) * GRAPH_ROWS if self.use_graphs else rows

    def _columns(self, columns: int) -> int:
        return -(-columns // GRAPH_COLUMNS) * GRAPH_COLUMNS if self.use_graphs else columns

    def _keep(self, found: Tensor, rows: int) -> None:
        """Put what the first rows have sampled where their responses belong; rows that fill up a graph have none."""
        of = self.batch.response[:rows]
        real = of < len(found)
        found[of[real]] = self.batch.out[:rows][real]

    # --- prompts ---

    def _read(self, prompts: Sequence[Sequence[int]], width: int) -> Tensor:
        """Fill the cache with the prompts, each different one once; logits [B, V] of every response's first token."""
        different = list(dict.fromkeys(map(tuple, prompts)))
        number = {prompt: n for n, prompt in enumerate(different)}
        of = torch.tensor([number[tuple(prompt)] for prompt in prompts], device=self.device)
        logits, at_once = [], max(1, PROMPT_TOKENS // width)
        for start in range(0, len(different), at_once):
            part = different[start : start + at_once]
            ids = torch.tensor([[self.pad] * (width - len(ids)) + list(ids) for ids in part], device=self.device)
            known = torch.tensor([[False] * (width - len(ids)) + [True] * len(ids) for ids in part], device=self.device)
            rows = ((of >= start) & (of < start + len(part))).nonzero()[:, 0]
            logits.append(self._read_part(ids, known, rows, of[rows] - start))
        return torch.cat(logits)[of]

    def _read_part(self, ids: Tensor, known: Tensor, rows: Tensor, of: Tensor) -> Tensor:
        """Prompts [U, P], padded on the left, into the cache's `rows`, of which each has prompt number `of`."""
        batch, width = self.batch, ids.shape[1]
        positions = (known.cumsum(1) - 1).clamp(min=0)
        causal = torch.ones(width, width, dtype=torch.bool, device=self.device).tril()
        itself = torch.eye(width, dtype=torch.bool, device=self.device)  # padding sees something, or it would be NaN
        mask = causal & known[:, None, None, :] | itself
        batch.bias[rows, 0, 0, :width] = batch.bias.new_zeros(known.shape).masked_fill(~known, -torch.inf)[of]
        batch.position[rows] = known.sum(1)[of]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            batch.keys[layer, rows, :, :width] = k[of]
            batch.values[layer, rows, :, :width] = v[of]
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)

        return self.model(ids, positions, attend)

    # --- one token more ---

    def _step(self, rows: int, columns: int, settings: Evaluation) -> None:
        """Replay a graph, where there are graphs. The first step of a size runs without, to set up CUDA's libraries."""
        key = (rows, columns, settings)
        if self.use_graphs and key in self.graphs:
            self.graphs[key] = self.graphs[key] or self._captured(*key)
        if self.graphs.setdefault(key, None) is None:
            self._next(*key)
        else:
            self.graphs[key].replay()

    def _captured(self, rows: int, columns: int, settings: Evaluation) -> torch.cuda.CUDAGraph | None:
        """Capturing runs nothing; where it fails, no more is tried."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, self.pool, capture_error_mode="thread_local"):  # other threads may go on
                self._next(rows, columns, settings)
        except RuntimeError as error:
            log.warning("no CUDA graph (%s): going on without, which is slower", error)
            self.use_graphs = False
            return None
        return graph

    def _next(self, rows: int, columns: int, settings: Evaluation) -> None:
        """Each row's next token, seeing the first `columns` of the cache."""
        batch, model = self.batch, self.model
        batch.bias[:rows].index_fill_(3, batch.column, 0.0)
        queries = model.heads // model.key_heads
        bias = batch.bias[:rows, ..., :columns].expand(-1, -1, queries, -1)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            """All queries that share a key head go in as several queries of one head: [B, KV, queries, size]."""
            keys, values = batch.keys[layer, :rows], batch.values[layer, :rows]
            keys.index_copy_(2, batch.column, k)
            values.index_copy_(2, batch.column, v)
            q = q.reshape(rows, model.key_heads, queries, model.size)
            seen = F.scaled_dot_product_attention(q, keys[:, :, :columns], values[:, :, :columns], attn_mask=bias)
            return seen.reshape(rows, model.heads, 1, model.size)

        logits = model(batch.token[:rows, None], batch.position[:rows, None], attend)
        batch.position[:rows] += 1
        batch.column += 1
        self._choose(logits, rows, settings)

    def _choose(self, logits: Tensor, rows: int, settings: Evaluation) -> None:
        """Sample from logits [rows, V] and write it down; a response that has ended gets padding."""
        batch = self.batch
        if settings.temperature == 0:
            token = logits.argmax(1)
        else:
            token = draw(logits, batch.uniform[:rows].index_select(1, batch.step)[:, 0], settings)
        token = token.masked_fill(batch.done[:rows], self.pad)
        batch.out[:rows].index_copy_(1, batch.step, token[:, None])
        batch.done[:rows] |= (token[:, None] == self.stops).any(1)
        batch.token[:rows] = token
        batch.step += 1
