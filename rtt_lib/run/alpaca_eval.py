"""AlpacaEval 2 by its own package, with any OpenAI-compatible judge.

    python -m venv /somewhere && /somewhere/bin/pip install alpaca_eval
    python -m rtt_lib.run.alpaca_eval POLICY REFERENCES.json OUT --python /somewhere/bin/python \\
        --url http://localhost:8001/v1 --model Qwen/Qwen3-30B-A3B-Instruct-2507

The package is no dependency of this project and lives in an environment of its own. REFERENCES is a JSON list of
`instruction`, `output` and `generator`: the 805 questions with the answers of GPT-4 Turbo, from the hub's
tatsu-lab/alpaca_eval (alpaca_eval_gpt4_baseline.json). Left in OUT:

    outputs.json         the policy's responses, as the package wants them
    annotator/           the package's own question, to this judge; its probabilities of both answers are the preference
    leaderboard.csv      what the package says; annotations.json: each preference

The length-controlled rate reads how hard each question is, which the package gets from the hub, and is for the 805
questions alone. `--metric get_winrate` needs neither. Another judge than GPT-4 Turbo gives numbers that no published
leaderboard has. A key is read from $RTT_API_KEY.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtt_lib.bench.generate import BATCH_SIZE, generate
from rtt_lib.command import guarded
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl, write_json
from rtt_lib.models import precision
from rtt_lib.profile import Evaluation
from rtt_lib.schema import RubricPrompt

NAME = "judge"  # of the annotator
QUESTION = "alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"  # the package's, of its weighted_alpaca_eval_gpt4_turbo
START = "from alpaca_eval.main import main; main()"
METRICS = {"get_length_controlled_winrate": "length_controlled_winrate", "get_winrate": "win_rate"}


def read_references(path: Path) -> list[dict[str, Any]]:
    rows = read_json(path)
    wanted = ("instruction", "output", "generator")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and {*wanted} <= {*row} for row in rows):
        raise RTTError(f"{path}: expected a JSON list of objects with {', '.join(wanted)}")
    return rows


def outputs(references: Sequence[dict[str, Any]], responses: Sequence[str], generator: str) -> list[dict[str, str]]:
    """The policy's responses as the package wants them, in the order of the references."""
    return [
        {"instruction": row["instruction"], "output": response, "generator": generator}
        for row, response in zip(references, responses, strict=True)
    ]


def annotator(model: str, question: Path) -> dict[str, Any]:
    """As the package's weighted_alpaca_eval_gpt4_turbo, with another model: one token, and its probabilities.

    requires_chatml: the package takes a model with `instruct` in its name for one that completes text.
    """
    return {
        NAME: {
            "prompt_template": str(question),
            "fn_completions": "openai_completions",
            "completions_kwargs": {
                "model_name": model,
                "max_tokens": 1,
                "temperature": 1,
                "logprobs": True,
                "top_logprobs": 5,
                "requires_chatml": True,
                "price_per_token": 0,
            },
            "fn_completion_parser": "logprob_parser",
            "completion_parser_kwargs": {
                "numerator_token": "m",
                "denominator_tokens": ["m", "M"],
                "is_binarize": False,
            },
            "completion_key": "completions_all",
            "batch_size": 1,
        }
    }


def respond(policy: str, references: Sequence[dict[str, Any]], options: argparse.Namespace) -> list[str]:
    prompts = [RubricPrompt(f"alpaca-{n}", row["instruction"], ()) for n, row in enumerate(references)]
    settings = Evaluation((), None, 1, options.temperature, 1.0, 0, options.max_tokens)
    made = generate(prompts, policy, settings, options.out / "responses.jsonl", options.backend, precision())
    return [row["response"] for _, row in read_jsonl(made)]


def package_says(python: str, code: str, *words: str, **environment: str) -> str:
    """What the package's own Python prints."""
    known = {name: value for name, value in os.environ.items() if name != "OPENAI_CLIENT_CONFIG_PATH"}
    try:
        done = subprocess.run(
            [python, "-c", code, *words], env=known | environment, stdout=subprocess.PIPE, text=True, check=False
        )
    except OSError as error:
        raise RTTError(f"--python {python}: cannot be started ({error.strerror})") from error
    if done.returncode:
        raise RTTError(f"--python {python}: alpaca_eval ended with status {done.returncode}; its message stands above")
    return done.stdout


def run(options: argparse.Namespace) -> None:
    references = read_references(options.references)
    configs = package_says(options.python, "from alpaca_eval import constants as c; print(c.EVALUATORS_CONFIG_DIR)")
    question = Path(configs.strip().splitlines()[-1]) / QUESTION
    options.out.mkdir(parents=True, exist_ok=True)
    responses = respond(options.policy, references, options)
    write_json(options.out / "outputs.json", outputs(references, responses, options.name or Path(options.policy).name))
    write_json(options.out / "annotator" / "configs.yaml", annotator(options.model, question))  # JSON is YAML
    print(
        package_says(
            options.python,
            START,
            "evaluate",
            f"--model_outputs={(options.out / 'outputs.json').resolve()}",
            f"--reference_outputs={options.references.resolve()}",
            f"--annotators_config={(options.out / 'annotator').resolve()}",
            f"--output_path={options.out.resolve()}",
            f"--fn_metric={options.metric}",
            f"--sort_by={METRICS[options.metric]}",
            "--precomputed_leaderboard=None",
            "--is_cache_leaderboard=False",
            OPENAI_API_BASE=options.url,
            OPENAI_API_KEYS=os.environ.get("RTT_API_KEY", "none"),
        )
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m rtt_lib.run.alpaca_eval",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("policy", metavar="POLICY", help="a folder with a model, or a hub id")
    parser.add_argument("references", metavar="REFERENCES", type=Path, help="the other model's outputs, a .json")
    parser.add_argument("out", metavar="OUT", type=Path, help="a folder for all that is made")
    parser.add_argument("--python", required=True, metavar="FILE", help="the Python that has the package alpaca_eval")
    parser.add_argument("--url", required=True, help="the judge's server, up to and including /v1")
    parser.add_argument("--model", required=True, help="its model")
    parser.add_argument("--name", help="of the policy in the table (default: the name of its folder)")
    parser.add_argument("--metric", choices=METRICS, default="get_length_controlled_winrate")
    parser.add_argument("--backend", choices=BATCH_SIZE, default="transformers", help="who generates the responses")
    parser.add_argument("--temperature", type=float, default=0.7, help="of the responses; 0 is greedy (0.7)")
    parser.add_argument("--max-tokens", type=int, default=2048, metavar="N", help="of a response (2048)")
    options = parser.parse_args(arguments)
    return guarded(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
