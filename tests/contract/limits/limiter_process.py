"""A gateway process as far as its limiter goes: one order a line on stdin, one answer a line on stdout (JSON).

Orders: `many` lets clients ask at once and settles what was let in; `hold` lets in and keeps running; `settle` ends
what is held; `ledger` says what the ledger has; `figures` reads the limiter's numbers.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.outcome import Admitted
from tollgate.services.limits.redis_counters import RedisCounters
from tollgate.services.limits.resp import Redis
from tollgate.services.limits.rules import rules_of
from tollgate.services.limits.spent import Question

ROOT = Path(__file__).resolve().parents[3]


class LimiterProcess:
    """The test's side of it."""

    def __init__(self, name: str, address: str, password: str, **options: float) -> None:
        order = json.dumps({"name": name, "address": address, "password": password, **options})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.limits.limiter_process"],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.tell(order)

    def tell(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def begin(self, do: str, **order: Any) -> None:
        self.tell(json.dumps({"do": do, **order}))

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        self.begin(do, **order)
        return self.answer()

    def kill(self) -> None:
        """As the kernel does it. A second time does nothing."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


class Worker:
    def __init__(self, name: str, address: str, password: str, lease: float, renew_every: float, away: float) -> None:
        self.name = name
        self.number = 0
        self.spent: int | None = 0
        counters = RedisCounters(Redis(address, password, timeout=1.0), lease)
        self.limiter = Limiter(counters, self.ledger, renew_every=renew_every, away=away)
        self.held: list[Admitted] = []

    async def ledger(self, questions: Sequence[Question]) -> list[int | None]:
        return [self.spent for _ in questions]

    async def admit(self, order: dict[str, Any]) -> Any:
        self.number += 1
        rules = rules_of(order["team"], None)
        now = datetime.fromisoformat(order["now"])
        tokens, nano = order.get("tokens", 1), order.get("nano", 0)
        return await self.limiter.admit(rules, f"{self.name}-{self.number}", "m", tokens, nano, now)

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        if order["do"] == "ledger":
            self.spent = order["spent"]
        elif order["do"] == "hold":
            return await self.hold(order)
        elif order["do"] == "many":
            return await self.many(order)
        elif order["do"] == "settle":
            held, self.held = self.held, []
            for one in held:
                await self.limiter.settle(one, order.get("tokens", 1), order.get("cost", 0), True)
        figures = self.limiter.figures
        return {name: getattr(figures, name) for name in ("redis_away", "redis_full", "money_unheld")}

    async def hold(self, order: dict[str, Any]) -> dict[str, Any]:
        outcomes = await asyncio.gather(*(self.admit(order) for _ in range(order.get("count", 1))))
        self.held += [one for one in outcomes if isinstance(one, Admitted)]
        whys = Counter(one.why for one in outcomes if not isinstance(one, Admitted))
        return {"let_in": len(outcomes) - whys.total(), "whys": whys}

    async def many(self, order: dict[str, Any]) -> dict[str, Any]:
        """`clients` ask one request after the other until all `count` are asked."""
        left, let_in, running, most = order["count"], 0, 0, 0

        async def client() -> None:
            nonlocal left, let_in, running, most
            while left > 0:
                left -= 1
                outcome = await self.admit(order)
                if not isinstance(outcome, Admitted):
                    continue
                let_in, running = let_in + 1, running + 1
                most = max(most, running)
                await asyncio.sleep(0)  # others ask while this one runs
                await self.limiter.settle(outcome, order.get("tokens", 1), order.get("cost", 0), True)
                running -= 1

        await asyncio.gather(*(client() for _ in range(order["clients"])))
        return {"let_in": let_in, "most": most}


async def serve() -> None:
    async def line() -> dict[str, Any] | None:
        text = await asyncio.to_thread(sys.stdin.readline)
        return json.loads(text) if text else None

    options = await line()
    assert options is not None
    worker = Worker(**options)
    while order := await line():
        sys.stdout.write(json.dumps(await worker.do(order)) + "\n")
        sys.stdout.flush()
    await worker.limiter.close()


if __name__ == "__main__":
    asyncio.run(serve())
