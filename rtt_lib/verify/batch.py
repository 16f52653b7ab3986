"""Many responses at once: rules here, shipped code in the sandbox, soft criteria with the judge."""

from __future__ import annotations

from collections.abc import Sequence

from rtt_lib.errors import RTTError
from rtt_lib.schema import JUDGE, Criterion
from rtt_lib.verify import check
from rtt_lib.verify.judge import Judge
from rtt_lib.verify.sandbox import NO_ISOLATION, Sandbox, default_sandbox, isolation
from rtt_lib.verify.verdict import Verdict

CODE = "code:python"
NO_JUDGE = Verdict(None, "a soft constraint: no judge LLM is set")

Item = tuple[Criterion, str, str]  # criterion, prompt, response


class Verifier:
    """I(q, y, c) of Eq. 1 for every criterion of every response.

    Without a judge soft criteria are undecided and say so. Verdicts come in the order of the rubrics, whatever the
    order in which they were found.
    """

    def __init__(self, judge: Judge | None = None, sandbox: Sandbox | None = None) -> None:
        self.judge = judge
        self.sandbox = sandbox

    def __call__(
        self, prompts: Sequence[str], responses: Sequence[str], rubrics: Sequence[Sequence[Criterion]]
    ) -> list[list[Verdict]]:
        """verdicts[b][k] of criterion rubrics[b][k] on responses[b]."""
        if not len(prompts) == len(responses) == len(rubrics):
            raise RTTError(
                f"Verifier: {len(prompts)} prompts, {len(responses)} responses and {len(rubrics)} rubrics do not match"
            )
        rows = zip(prompts, responses, rubrics, strict=True)
        items = [(criterion, prompt, response) for prompt, response, rubric in rows for criterion in rubric]
        verdicts = iter(self._decide(items))
        return [[next(verdicts) for _ in rubric] for rubric in rubrics]

    def lack(self, criterion: Criterion) -> str | None:
        """Why no response can get a verdict on this criterion here; None where one can."""
        if criterion.verifier == JUDGE and self.judge is None:
            return NO_JUDGE.reason
        if criterion.verifier == CODE and not isolation():
            return NO_ISOLATION
        return None

    def _decide(self, items: Sequence[Item]) -> list[Verdict]:
        """One verdict per item, in order. The rules come first: a mistake in the data shows before a judge is paid."""
        by_rule = {n: _by_rule(*item) for n, item in enumerate(items) if item[0].verifier not in (CODE, JUDGE)}
        code = {n: (c.args, prompt, response) for n, (c, prompt, response) in enumerate(items) if c.verifier == CODE}
        soft = {n: (c.text, prompt, response) for n, (c, prompt, response) in enumerate(items) if c.verifier == JUDGE}
        by_code = (self.sandbox or default_sandbox()).run_many(code.values()) if code else []
        by_judge = self.judge.check_many(list(soft.values())) if self.judge else [NO_JUDGE] * len(soft)
        verdicts = by_rule | dict(zip(code, by_code, strict=True)) | dict(zip(soft, by_judge, strict=True))
        return [verdicts[n] for n in range(len(items))]


def _by_rule(criterion: Criterion, prompt: str, response: str) -> Verdict:
    try:
        return check(criterion, prompt, response)
    except RTTError as error:
        raise RTTError(f"criterion {criterion.text[:80]!r}, {criterion.verifier}: {error}") from error
