"""The client of an OpenAI-compatible server, against a real one that serves faults."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from judge_server import Server, ask, endpoint, fails, says

from rtt_lib.endpoint import Endpoint, EndpointError, Usage, chat_many, pause, retry_after
from rtt_lib.errors import RTTError
from rtt_lib.verify.verdict import Verdict


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 422])
def test_our_own_mistake_is_not_tried_again(status: int, server: Server) -> None:
    server.script = [fails(status, b'{"error": "model not found\x1b[2J"}')]
    (verdict,) = ask(server)
    assert verdict.value is None and f"{status}: " in verdict.reason and "model not found\\x1b" in verdict.reason
    assert len(server.seen) == 1


def test_retry_after_is_honoured(server: Server) -> None:
    server.script = [fails(429, retry_after="0.4"), says("YES")]
    assert ask(server) == [Verdict(True)]
    first, second = (when for when, _, _ in server.seen)
    assert 0.4 <= second - first < 2


def test_a_wait_too_long_is_given_up(server: Server) -> None:
    server.script = [fails(429, retry_after="86400")]
    (verdict,) = ask(server)
    assert verdict.value is None and "429" in verdict.reason and len(server.seen) == 1


def test_retry_after_as_number_date_and_nonsense() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after({"retry-after": "7"}) == 7.0
    assert 25 < retry_after({"retry-after": soon}) <= 30
    assert retry_after({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0.0
    assert [retry_after({"retry-after": text}) for text in ("", "soon", "nan", "inf")] == [None] * 4


def test_pauses_double_with_jitter_up_to_the_longest() -> None:
    end = Endpoint("http://h/v1", "m", backoff=1.0, longest_wait=5.0)
    for attempt, top in enumerate([1, 2, 4, 5, 5]):
        waits = [pause(end, attempt, None) for _ in range(50)]
        assert top / 2 <= min(waits) < max(waits) <= top
    assert pause(end, 0, 3.0) == 3.0


def test_retries_leave_the_global_random_state_alone(server: Server) -> None:
    import random

    state = random.getstate()
    server.script = [fails(500), says("YES")]
    ask(server)
    assert random.getstate() == state


def test_concurrency_is_limited_and_used(server: Server) -> None:
    server.script = [lambda handler: (time.sleep(0.05), says("YES")(handler))]
    verdicts = ask(server, *[(f"c{n}", "p", "r") for n in range(20)], concurrency=4)
    assert [v.value for v in verdicts] == [True] * 20
    assert server.busiest == 4


def test_without_a_key_none_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RTT_API_KEY", raising=False)
    ask(server)
    assert "authorization" not in server.seen[0][1]


def test_an_unusable_key_is_refused_unshown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTT_API_KEY", "sk-a\nb")
    with pytest.raises(RTTError, match="RTT_API_KEY") as caught:
        ask(server)
    assert "sk-a" not in str(caught.value) and server.seen == []


@pytest.mark.parametrize(
    "url", ["host:8000", "ftp://h/v1", "http://user:pw@h/v1", "http://h/v1?key=pw", "http://h:port/v1", ""]
)
def test_a_bad_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(RTTError, match="endpoint: url") as caught:
        Endpoint(url, "m")
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"concurrency": 0}, {"timeout": 0}, {"retries": -1}, {"backoff": -1}])
def test_impossible_settings_are_refused(settings: dict) -> None:
    with pytest.raises(RTTError, match="endpoint: "):
        Endpoint("http://h/v1", "m", **settings)


def test_chat_many_gives_an_error_in_its_place(server: Server) -> None:
    server.script = [says("one"), fails(400), says("three")]
    usage = Usage()
    conversations = [[{"role": "user", "content": str(n)}] for n in range(3)]
    answers = chat_many(endpoint(server, concurrency=1), conversations, usage)
    assert answers[0] == "one" and isinstance(answers[1], EndpointError) and answers[2] == "three"
    assert (usage.answers, usage.failures) == (2, 1)
