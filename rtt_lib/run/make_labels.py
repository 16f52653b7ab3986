"""The discriminator's training data after the paper (section 4.1, App. C): LLMs write, break and label.

    python -m rtt_lib.run.make_labels paper-qwen3-4b LABELS.jsonl --omitter http://localhost:8002/v1 MODEL
    accelerate launch -m rtt_lib.run.train_discriminator paper-qwen3-4b --labels LABELS.jsonl

What is written and how is said in `rtt_lib.relevance.llm_corpus`. The paper lets Qwen3-4B-Instruct withhold a
criterion: name it with --omitter, otherwise the profile's judge does it. The paper names no other of these models.

The responses to HiR-16K's prompts are left as FILE.responses.jsonl too: named as data.responses, they train SFT and
DPO. For labels of another kind on the same responses (`--set discriminator.annotator=greedy`) give the same --answers,
--seed and servers. A key is read from $RTT_API_KEY for the profile's judge, from $RTT_API_KEY_WRITER and so on for the
others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rtt_lib.command import guarded, parse_overrides
from rtt_lib.endpoint import Endpoint
from rtt_lib.errors import RTTError
from rtt_lib.files import write_json, write_jsonl
from rtt_lib.origin import git_state
from rtt_lib.profile import REPOSITORY, Profile
from rtt_lib.relevance.corpus import write_labelled
from rtt_lib.relevance.llm_corpus import READING, TULU_READ, WRITING, Servers, build, counts, shares
from rtt_lib.rubrics import sources
from rtt_lib.studies.profiles import load_profile
from rtt_lib.templates import RETRIES, SECONDS
from rtt_lib.worlds.text.sources import SOFT


def servers_of(profile: Profile, options: argparse.Namespace) -> Servers:
    """Those on the command line, each with a key of its own; for what it does not name, the profile's judge."""
    judge = (profile.compute.judge_url, profile.compute.judge_model)

    def endpoint(name: str, parameters: dict[str, Any]) -> Endpoint:
        named = getattr(options, name)
        url, model = named or judge
        if not url or not model:
            raise RTTError(f"name a server: --{name} URL MODEL (or the profile's compute.judge_url and judge_model)")
        key = f"RTT_API_KEY_{name.upper()}" if named else "RTT_API_KEY"
        return Endpoint(url, model, parameters, key, timeout=SECONDS, retries=RETRIES, whole=True)

    cache = options.answers or options.file.with_name(f"{options.file.name}.answers")
    return Servers(endpoint("writer", WRITING), endpoint("omitter", WRITING), endpoint("annotator", READING), cache)


def make(profile: Profile, options: argparse.Namespace) -> None:
    """Write FILE and, beside it, what it was made of."""
    source, made_at, settings = profile.data.source, git_state(REPOSITORY), profile.discriminator
    if source not in SOFT:
        raise RTTError(f"profile {profile.name}: no LLM is needed where rules label the data source '{source}'")
    servers = servers_of(profile, options)
    hir = sources.load(source, profile.data.path)
    tulu = sources.load("tulu3", options.tulu, TULU_READ * shares(settings.samples)[0], options.seed, drawn=True)
    rows, own = build(hir, tulu, settings.samples, servers, settings.annotator, options.seed)
    if not rows:
        raise RTTError(f"no example is left; lost: {dict(servers.lost)}")
    write_labelled(options.file, rows, settings.annotator)
    responses = [{"id": demonstration.prompt.id, "response": demonstration.response} for demonstration in own]
    write_jsonl(options.file.with_name(f"{options.file.name}.responses.jsonl"), responses)
    about = {
        "examples": len(rows),
        "made": counts(rows),
        "lost": dict(servers.lost),
        "asked": {name: getattr(servers, name).model for name in ("writer", "omitter", "annotator")},
        "usage of the last run": asdict(servers.usage),
        "annotator": settings.annotator,
        "seed": options.seed,
        **made_at,
    }
    write_json(options.file.with_name(f"{options.file.name}.about.json"), about)
    print(f"{options.file}: {len(rows)} examples {about['made']}; lost: {about['lost']}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m rtt_lib.run.make_labels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("profile", help="a profile's name or path: data, samples and the annotator's template")
    parser.add_argument("file", type=Path, metavar="FILE", help="the labels to be written, a .jsonl")
    parser.add_argument("--tulu", metavar="PATH", help="Tulu-3's SFT mixture, if not from the hub")
    for name in ("writer", "omitter", "annotator"):
        parser.add_argument(f"--{name}", nargs=2, metavar=("URL", "MODEL"), help="default: the profile's judge")
    parser.add_argument("--answers", type=Path, metavar="DIR", help="where answers are kept; default: FILE.answers")
    parser.add_argument("--set", metavar="KEY=VALUE", dest="overrides", nargs="+", action="extend", default=[])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    return guarded(lambda: make(load_profile(options.profile, parse_overrides(options.overrides)), options))


if __name__ == "__main__":
    sys.exit(main())
