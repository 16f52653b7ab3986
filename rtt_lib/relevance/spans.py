"""From tokens to characters and back: which characters of the response does each generated token stand for?

Labels and evidence are character spans, rewards are per token. The offsets are computed from the *generated* ids,
never from the re-tokenised text: a policy may write "wor" + "d" where its tokenizer would write "word".
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby
from weakref import WeakKeyDictionary

import numpy as np
from transformers import PreTrainedTokenizerBase

from rtt_lib.errors import RTTError
from rtt_lib.verify.verdict import Span

BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")


def token_offsets(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> tuple[str, list[Span]]:
    """The decoded text, special tokens removed, and the characters of it that each token touches.

    Every character belongs to at least one token. The pieces of one character (an emoji written by several byte
    tokens) all get that character's span, a space in front of a word belongs to the word's token, and a token
    without text (EOS) has the empty span (n, n) at its place.
    """
    pieces = _pieces_of(tokenizer)
    ids = [int(token) for token in ids]
    kept = [token for token in ids if token not in pieces.special]
    text, spans = pieces.offsets(kept)
    if len(kept) == len(ids):
        return text, spans
    offsets, end, remaining = [], 0, iter(spans)
    for token in ids:
        if token in pieces.special:
            offsets.append((end, end))
        else:
            span = next(remaining)
            end = max(end, span[1])
            offsets.append(span)
    return text, offsets


def own_offsets(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], own: Sequence[int]) -> tuple[str, list[Span]]:
    """`token_offsets` of what the model wrote where tools or an environment wrote too; own[t] is 0 on their tokens.

    Each turn of the model stands on lines of its own; the tokens of others have the empty span at their place.
    """
    text, offsets = "", []
    for is_own, pairs in groupby(zip(ids, own, strict=True), key=lambda pair: bool(pair[1])):
        turn = [token for token, _ in pairs]
        written, spans = token_offsets(tokenizer, turn) if is_own else ("", [(0, 0)] * len(turn))
        text += "\n" if text and written else ""
        offsets += [(start + len(text), end + len(text)) for start, end in spans]
        text += written
    return text, offsets


def label_tokens(offsets: Sequence[Span], spans: Sequence[Span]) -> list[bool]:
    """For each token: does it touch one of the spans? A token without text touches none."""
    merged = _merge(spans)
    if not merged:
        return [False] * len(offsets)
    starts = [start for start, _ in merged]
    labels = []
    for start, end in offsets:
        # The last span that starts before the token ends is the only one that can reach into it.
        last = bisect_right(starts, end - 1) - 1
        labels.append(start < end and last >= 0 and merged[last][1] > start)
    return labels


def _merge(spans: Sequence[Span]) -> list[Span]:
    """Non-empty spans in order, overlapping ones joined."""
    merged: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


class _Pieces:
    """What each token of one tokenizer contributes to the decoded text, remembered per token."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.backend = tokenizer.backend_tokenizer
        self.size = len(tokenizer)
        self.special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
        decoder = self.backend.decoder
        kinds = set() if decoder is None else _decoder_kinds(json.loads(decoder.__getstate__()))
        self.byte_level = "ByteLevel" in kinds
        self.exact = kinds == {"ByteLevel"}  # with other steps beside it (GGUF files) the result is checked
        self.byte_fallback = "ByteFallback" in kinds
        self.cache: dict[int, str | bytes] = {}
        self.anchor = self._find_anchor()

    def offsets(self, ids: list[int]) -> tuple[str, list[Span]]:
        """Text and spans of ids among which there is no special token."""
        if self.exact:
            return self._byte_level_offsets(ids)
        decoded = self.backend.decode(ids, skip_special_tokens=False)
        if self.byte_level:
            text, spans = self._byte_level_offsets(ids)
            spans = spans if text == decoded else None
        else:
            spans = self._piece_offsets(ids, decoded)
        return decoded, _prefix_offsets(self.backend, ids, decoded) if spans is None else spans

    def _byte_level_offsets(self, ids: list[int]) -> tuple[str, list[Span]]:
        chunks = [self.cache.get(id) or self._bytes(id) for id in ids]
        ends = np.cumsum([len(chunk) for chunk in chunks], dtype=np.int64).tolist()
        text, char_of = _decode_bytes(b"".join(chunks))
        spans, start = [], 0
        for end in ends:
            first = char_of[start] if start < len(char_of) else len(text)
            spans.append((first, char_of[end - 1] + 1) if end > start else (first, first))
            start = end
        return text, spans

    def _bytes(self, id: int) -> bytes:
        token = self.backend.id_to_token(id) or ""
        try:
            data = bytes(BYTE_OF[char] for char in token)
        except KeyError:  # an added token, written as it is
            data = token.encode("utf-8")
        return self.cache.setdefault(id, data)

    def _find_anchor(self) -> int:
        """A token that decodes to a word: what follows it shows how a token is joined to its predecessor."""
        if self.byte_level:
            return -1
        for id in range(self.size):
            if id not in self.special and self.backend.decode([id], skip_special_tokens=False).strip().isalnum():
                return id
        return 0

    def _piece(self, id: int) -> str:
        """The text of a token that is not the first one."""
        alone = self.backend.decode([self.anchor], skip_special_tokens=False)
        joined = self.backend.decode([self.anchor, id], skip_special_tokens=False)
        return self.cache.setdefault(id, joined[len(alone) :])

    def _piece_offsets(self, ids: list[int], text: str) -> list[Span] | None:
        """Spans by laying the pieces end to end; None where that does not give the decoded text."""
        spans, position, index = [], 0, 0
        while index < len(ids):
            run = self._byte_run(ids, index) if self.byte_fallback else 0
            if run:
                pieces = self._byte_run_spans(ids[index : index + run], text, position)
                spans += pieces
                position, index = pieces[-1][1], index + run
                continue
            id = ids[index]
            if index:
                piece = self.cache[id] if id in self.cache else self._piece(id)
            else:
                piece = self.backend.decode([id], skip_special_tokens=False)
            if not text.startswith(piece, position):
                return None
            spans.append((position, position + len(piece)))
            position, index = position + len(piece), index + 1
        return spans if position == len(text) else None

    def _byte_run(self, ids: list[int], index: int) -> int:
        end = index
        while end < len(ids) and BYTE_TOKEN.fullmatch(self.backend.id_to_token(ids[end]) or ""):
            end += 1
        return end - index

    def _byte_run_spans(self, run: list[int], text: str, position: int) -> list[Span]:
        """Byte-fallback decoding: a run of byte tokens is UTF-8 as a whole, or else one U+FFFD a byte."""
        data = bytes(int(self.backend.id_to_token(id)[3:5], 16) for id in run)
        try:
            decoded, char_of = data.decode("utf-8"), _decode_bytes(data)[1]
        except UnicodeDecodeError:
            decoded, char_of = "\ufffd" * len(data), list(range(len(data)))
        # At the very start a decoder may strip a space.
        lost = 0 if text.startswith(decoded, position) else 1
        return [(max(position, position + c - lost), max(position, position + c + 1 - lost)) for c in char_of]


_PIECES: WeakKeyDictionary = WeakKeyDictionary()


def _pieces_of(tokenizer: PreTrainedTokenizerBase) -> _Pieces:
    if not tokenizer.is_fast:
        raise RTTError(f"{type(tokenizer).__name__}: needs a fast tokenizer (one with a tokenizer.json)")
    pieces = _PIECES.get(tokenizer)
    if pieces is None or pieces.size != len(tokenizer):  # tokens were added since
        pieces = _PIECES[tokenizer] = _Pieces(tokenizer)
    return pieces


def _decoder_kinds(decoder: dict | None) -> set[str]:
    if decoder is None:
        return set()
    parts = decoder.get("decoders", [])
    return {decoder["type"]} if not parts else set().union(*(_decoder_kinds(part) for part in parts))


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's way to write bytes as visible characters: printable ones stand for themselves, the rest follow 255."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


BYTE_OF = _byte_alphabet()


def _decode_bytes(data: bytes) -> tuple[str, list[int]]:
    """Text of UTF-8 bytes, U+FFFD for each broken sequence, and for each byte the index of its character."""
    text: list[str] = []
    char_of: list[int] = []
    count = position = 0
    while position < len(data):
        try:
            good, bad = data[position:].decode("utf-8"), 0
            stop = len(data)
        except UnicodeDecodeError as error:
            stop, bad = position + error.start, error.end - error.start
            good = data[position:stop].decode("utf-8")
        begins = (np.frombuffer(data[position:stop], np.uint8) & 0xC0) != 0x80
        char_of += (count - 1 + np.cumsum(begins)).tolist()
        text.append(good)
        count += len(good)
        if bad:
            text.append("\ufffd")
            char_of += [count] * bad
            count += 1
        position = stop + bad
    return "".join(text), char_of


def _prefix_offsets(backend, ids: list[int], text: str) -> list[Span]:
    """Spans for any decoder, from the decoded prefixes: quadratic, for the decoders no rule above describes.

    A token begins where all longer prefixes agree with the text. It also covers the character that its own prefix
    leaves open. So a token may get too many characters, but no character is left without a token.
    """
    prefixes = [backend.decode(ids[:n], skip_special_tokens=False) for n in range(len(ids) + 1)]
    settled = [_common_prefix(prefix, text) for prefix in prefixes]
    open_end = [agreed < len(prefix) for agreed, prefix in zip(settled, prefixes, strict=True)]
    for n in range(len(ids) - 1, -1, -1):
        settled[n] = min(settled[n], settled[n + 1])
    spans = []
    for n in range(len(ids)):
        start, end = settled[n], settled[n + 1]
        if open_end[n + 1]:
            end = next((later for later in settled[n + 1 :] if later > end), end)
        spans.append((start, end))
    return spans


def _common_prefix(left: str, right: str) -> int:
    for n, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return n
    return min(len(left), len(right))
