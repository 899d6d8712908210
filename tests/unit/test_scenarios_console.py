"""tests/scenarios/console.py: the reader of guides."""

from tests.scenarios.console import Step, steps, with_ports

GUIDE = """
```sh
make demo
```

```console
$ quiesce up
It … serves
$ quiesce nodes
```

```python
print(1)
```
"""


def test_takes_commands_and_programs_in_order() -> None:
    assert list(steps(GUIDE)) == [
        Step("console", "quiesce up", ("It … serves",)),
        Step("console", "quiesce nodes"),
        Step("python", "print(1)\n"),
    ]


def test_expected_lines_are_looked_for_whatever_the_spacing() -> None:
    step = Step("console", "x", ("ID  ADDRESS … ROLE", "exit code 20"))
    assert step.missing("ID   ADDRESS          ROLE  LAG\nexit code 20\n") == []
    assert step.missing("ID   ADDRESS\nexit code 2\n") == ["ID  ADDRESS … ROLE", "exit code 20"]
    assert Step("console", "x", ("a.c",)).missing("abc") == ["a.c"]


def test_ports_are_replaced() -> None:
    ports = {"71": 25100, "72": 25200}
    assert with_ports("quiesce up", ports) == "quiesce up --first-port 25100"
    assert with_ports("quiesce up --data restored", ports) == "quiesce up --data restored"
    assert with_ports("x --cluster 127.0.0.1:7101,127.0.0.1:7203", ports) == (
        "x --cluster 127.0.0.1:25101,127.0.0.1:25203"
    )
