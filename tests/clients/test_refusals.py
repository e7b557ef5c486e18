"""The text that a user of Claude Code reads after a refusal, and how often Claude Code retries before it shows it.

Claude Code runs with its own defaults. If it retried a refusal for three minutes, the time limit of ClaudeCode.run
would end it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.support import plain
from tests.support.claude_code import ClaudeCode, Finished, packages
from tests.support.clock import until_the_hour_has_left
from tests.support.eventually import eventually
from tests.support.routes import DIRECT
from tests.support.stack import Stack


@dataclass(frozen=True)
class Case:
    """`says` stand in what the user reads; `posts` is how often the gateway is asked at most."""

    key: str
    says: tuple[str, ...]
    statuses: tuple[str, ...]
    posts: int = 1
    prompt: str = "Say hello."
    model: str = "test-model"
    settings: dict[str, str] = field(default_factory=dict)


A_WHILE_S = 180
PING_S = 15
pytestmark = pytest.mark.on_both_routes
LEDGER = ("-XqAt", "-U", "litellm", "-d", "litellm")
NO_RETRIES = {"CLAUDE_CODE_MAX_RETRIES": "0"}
CASES = {
    # It waits as long as the gateway says, which is up to an hour here: one try is enough to read it.
    "rate limit": Case("hasty", ("Request rejected (429)", "per hour"), ("429",), settings=NO_RETRIES),
    "budget": Case(
        "pauper", ("Request rejected (429)", "pauper", "daily budget of $0.0001", "reopens", "UTC"), ("429",)
    ),
    "unknown key": Case("unknown", ("Failed to authenticate", "401", "does not know this key"), ("401",)),
    "expired key": Case("expired", ("Failed to authenticate", "401", "expired"), ("401",)),
    "revoked key": Case("revoked", ("Failed to authenticate", "401", "revoked"), ("401",)),
    "model not allowed": Case("developer", ("API Error: 424", "has no model", "/model"), ("424",), model="gpt-4o-mini"),
    # It asks three times for Opus and eleven for any other model, five seconds apart: one time more shows that it does.
    "upstream down": Case(
        "developer",
        ("529", "did not answer properly"),
        ("529",),
        posts=2,
        prompt="Say hello. [[status=500]]",
        model="claude-haiku-5-5",
        settings={"CLAUDE_CODE_MAX_RETRIES": "1"},
    ),
    "prompt too long": Case("developer", ("Prompt is too long",), ("400",), posts=3, prompt="Say. [[context=10]]"),
}
# The direct route passes an Anthropic upstream's own refusal as it came: its status, its words.
DIRECTLY = {"upstream down": replace(CASES["upstream down"], says=("500", "Internal server error"), statuses=("500",))}


def case_of(name: str, route: str) -> Case:
    return DIRECTLY.get(name, CASES[name]) if route == DIRECT else CASES[name]


@pytest.fixture(scope="module")
def keys(stack: Stack) -> Iterator[dict[str, str]]:
    """Of tenants that are over their limits, and keys that were right once.

    For as long as the tests here take: budgets are open again on the next day, a rate limit in the next hour.
    """
    packages()
    master = {"Authorization": f"Bearer {stack.secret('litellm_master_key')}"}
    found = {tenant: stack.key(tenant) for tenant in ("pauper", "hasty", "developer")}
    found["unknown"] = "sk-0123456789abcdef0123456789abcdef"
    with plain.Client(base_url=stack.admin_url, headers=master, timeout=60, trust_env=False) as admin:
        until_the_hour_has_left(A_WHILE_S)

        def made(**more: object) -> str:
            asked = {"team_id": "developer", "models": ["test-model"], **more}
            return str(admin.post("/key/generate", json=asked).raise_for_status().json()["key"])

        found["expired"], found["revoked"] = made(duration="1s"), made()
        admin.post("/key/block", json={"key": found["revoked"]}).raise_for_status()
        passed = spent(stack, found["pauper"])
        eventually(lambda: booked(stack, "pauper", passed), within=60)
        spent(stack, found["expired"], found["hasty"])
        yield found
        made_here = {"keys": [found["expired"], found["revoked"]]}
        admin.post("/key/delete", json=made_here).raise_for_status()


def spent(stack: Stack, *keys: str) -> int:
    """Ask until each is refused; return how often one was answered."""
    passed = 0
    body = {
        "model": "test-model",
        "max_tokens": 200,
        "messages": [{"role": "user", "content": "[[tokens=100]] Spend."}],
    }
    with plain.Client(base_url=stack.url, timeout=60, trust_env=False) as client:
        for key in keys:
            headers = {"Authorization": f"Bearer {key}"}

            def refused(headers: dict[str, str] = headers) -> bool:
                nonlocal passed
                status = client.post("/v1/messages", json=body, headers=headers).status_code
                passed += status == 200
                return status in (401, 429)

            eventually(refused, within=60)
    return passed


def booked(stack: Stack, tenant: str, requests: int) -> bool:
    """Whether the ledger has so many lines of a tenant, and its sum is theirs: replicas write both by and by."""
    lines = f"""FROM "LiteLLM_SpendLogs" WHERE team_id = '{tenant}' AND spend > 0"""
    spend = f"""SELECT spend FROM "LiteLLM_TeamTable" WHERE team_id = '{tenant}'"""  # noqa: S608  a name of our own
    question = f"SELECT (SELECT count(*) {lines}) >= {requests} AND abs(({spend}) - (SELECT sum(spend) {lines})) < 1e-9"
    return stack.compose.ask("exec", "-T", "postgres", "psql", *LEDGER, "-c", question).strip() == "t"


@pytest.fixture(scope="module")
def runs(stack: Stack, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    """All cases at once: each is a person at a machine of their own."""

    def run(name: str) -> Finished:
        case = CASES[name]
        settings = {"ANTHROPIC_BASE_URL": stack.url, "ANTHROPIC_AUTH_TOKEN": keys[case.key], **case.settings}
        claude = ClaudeCode(stack, home(name), settings)
        return claude.ask(case.prompt, "--model", case.model)

    def home(name: str) -> Path:
        return tmp_path_factory.mktemp(name.replace(" ", "-"))

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(CASES, pool.map(run, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_what_its_user_reads(runs: dict[str, Finished], name: str, route: str) -> None:
    case, run = case_of(name, route), runs[name]
    assert run.returncode == 1
    assert [words for words in case.says if words not in run.out] == [], run.out
    rows = run.seen()
    # On a busy machine LiteLLM's retries outlast a ping. Then the status has been sent, and the refusal is an event.
    in_time = [row for row in rows if float(row["request_time"]) < PING_S]
    assert {row["status"] for row in in_time} == set(case.statuses)
    assert len(rows) <= case.posts, f"asked {len(rows)} times"


def test_only_a_wrong_key_is_a_matter_of_authentication(runs: dict[str, Finished]) -> None:
    said = {name: [word for word in ("authenticate", "login") if word in runs[name].out] for name in CASES}
    assert said["model not allowed"] == []
    assert said["unknown key"] == ["authenticate"], "twin"


@pytest.mark.parametrize("name", CASES)
def test_nothing_of_the_insides_is_said(runs: dict[str, Finished], name: str) -> None:
    insides = ("litellm", "LiteLLM", "Exception", "provider:8080", "hosted_vllm", "sk-")
    assert [word for word in insides if word in runs[name].out] == []


def test_a_twin_that_is_allowed_works(stack: Stack, keys: dict[str, str], tmp_path: Path) -> None:
    settings = {"ANTHROPIC_BASE_URL": stack.url, "ANTHROPIC_AUTH_TOKEN": keys["developer"]}
    run = ClaudeCode(stack, tmp_path, settings).ask("Say hello.", "--model", "test-model")
    assert run.returncode == 0
    assert "You asked" in run.out


def test_refused_requests_cost_nothing(stack: Stack, keys: dict[str, str]) -> None:
    master = {"Authorization": f"Bearer {stack.secret('litellm_master_key')}"}

    def spend() -> float:
        answer = plain.get(
            f"{stack.admin_url}/team/info",
            params={"team_id": "pauper"},
            headers=master,
            timeout=60,
            trust_env=False,
        )
        return float(answer.json()["team_info"]["spend"])

    before = spend()
    assert before > 0
    assert spent(stack, *[keys["pauper"]] * 5) == 0
    assert spend() == before
