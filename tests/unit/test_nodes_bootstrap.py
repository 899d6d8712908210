from dataclasses import replace

import pytest
import structlog

from nodes.bootstrap import bootstrap, confirm_identity
from nodes.config import node_config
from nodes.consensus.recovery import recover_log
from nodes.data_directory import DataDirectory
from nodes.identity import read_identity
from quiesce.daemon.logs import RateLimit
from quiesce.errors import DirectoryNotEmpty, InvalidConfiguration, NodeRemoved

MEMBERS = "1=a:1,2=b:2,3=c:3"


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path / "data")
    data.lock()
    yield data
    data.unlock()


def config(data, **more):
    return node_config({"node_id": 2, "data": data.path, "members": MEMBERS, "cluster_id": "x", **more})


def test_a_new_node_has_a_log_of_its_voters_and_then_an_identity(data):
    identity = bootstrap(config(data), data)
    assert read_identity(data.path) == identity
    assert sorted(recover_log(data.raft).log.state.voters) == [1, 2, 3]
    with pytest.raises(DirectoryNotEmpty):
        bootstrap(config(data), data)


def test_a_bootstrap_that_died_before_the_identity_begins_anew(data):
    bootstrap(config(data), data)
    (data.path / "identity.json").unlink()
    (data.path / "bootstrap.unfinished").touch()
    assert bootstrap(config(data), data).node_id == 2


def test_what_begins_anew_is_no_node_any_more(data):
    bootstrap(config(data), data)
    (data.path / "bootstrap.unfinished").touch()
    data.begin()
    assert read_identity(data.path) is None


@pytest.mark.parametrize("missing", ["members", "cluster_id"])
def test_a_new_node_must_be_told_everything(data, missing):
    with pytest.raises(InvalidConfiguration, match=missing):
        bootstrap(config(data, **{missing: None}), data)
    assert [entry.name for entry in data.path.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"node_id": 3}, "node_id"),
        ({"cluster_id": "y"}, "cluster_id"),
    ],
)
def test_a_directory_stays_who_it_is(data, change, words):
    found = bootstrap(config(data), data)
    with pytest.raises(InvalidConfiguration, match=words):
        confirm_identity(config(data, **change), data, found)
    assert read_identity(data.path) == found


def test_what_the_configuration_says_of_the_members_is_for_later(data):
    found = bootstrap(config(data), data)
    assert found.configured == found.members
    for members in (None, "1=d:1,2=e:2,3=c:3", "2=b:2"):
        assert confirm_identity(config(data, members=members, cluster_id=None), data, found) == found


def test_a_removed_node_stays_removed(data):
    found = replace(bootstrap(config(data), data), removed=True)
    with pytest.raises(NodeRemoved, match="Node 2 was removed"):
        confirm_identity(config(data), data, found)


def test_a_cluster_is_founded_by_seven_at_most(data):
    many = ",".join(f"{node}=a:{node}" for node in range(1, 9))
    with pytest.raises(InvalidConfiguration, match="7 voting nodes at most"):
        bootstrap(config(data, members=many), data)


def test_a_line_that_repeats_is_held_back_and_counted():
    time = [0.0]
    limit = RateLimit(lambda: time[0], burst=2, interval_s=10)
    passed = []

    def say(event):
        try:
            passed.append(limit(None, "info", {"event": event}))
        except structlog.DropEvent:
            return False
        return True

    assert [say("same") for _ in range(5)] == [True, True, False, False, False]
    assert say("other")
    time[0] = 10
    assert say("same")
    assert passed[-1] == {"event": "same", "held_back": 3}
    assert say("same")
    assert not say("same")
