"""What a backup cost clients, as people and programs read it."""

from __future__ import annotations

from coordinator.job.impact import Calls, ClientImpact, Wait
from quiesce.cli.impact_text import impact_facts, impact_lines
from quiesce.cli.units import budget_ms

IMPACT = ClientImpact(
    50,
    Wait(10, Calls(900, 1_000, 4_500), Calls()),
    Wait(32, Calls(3_000, 1_100, 5_000), Calls(80, 9_000, 61_234)),
    over_budget_ms=3_000,
    least_rate=1 << 20,
    most_rate=64 << 20,
    last_rate=8 << 20,
)


def test_the_manifest_and_the_job_say_the_same() -> None:
    assert impact_facts(IMPACT.message()) == IMPACT.facts()
    empty = ClientImpact()
    assert impact_facts(empty.message()) == empty.facts()


def test_the_lines() -> None:
    assert impact_lines(IMPACT.facts()) == {
        "before": "reads 1 ms, p99 4.5 ms (in 10 s)",
        "clients": "reads 1.1 ms, p99 5 ms; writes 9 ms, p99 61.2 ms (in 32 s)",
        "budget": "50 ms; longer for 3 s; read at 1.0 MiB/s to 64.0 MiB/s",
    }
    nobody = ClientImpact(0, Wait(10), Wait(2))
    assert impact_lines(nobody.facts()) == {"before": "no calls (in 10 s)", "clients": "no calls (in 2 s)"}
    assert impact_lines(ClientImpact().facts()) == impact_lines(None) == {}


def test_the_line_of_the_job_s_history() -> None:
    assert IMPACT.text() == (
        "clients waited 5.0 ms for reads and 61.2 ms for writes (p99); before the backup 4.5 ms for reads (p99); "
        "over the budget of 50 ms for 3 s; read at 1.0 to 64.0 MiB/s"
    )
    assert ClientImpact(50).text() == ""
    assert ClientImpact(0, None, Wait(2)).text() == "clients waited for nothing: there were no calls"


def test_a_budget() -> None:
    assert [budget_ms("1ms"), budget_ms("60s"), budget_ms("1.5s")] == [1, 60_000, 1_500]
