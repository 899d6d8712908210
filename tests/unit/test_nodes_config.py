import json
from dataclasses import fields
from pathlib import Path

import pytest

from nodes.config import KEYS, NodeConfig, node_config
from nodes.data_directory import DataDirectory
from nodes.identity import FILE_NAME, Identity, read_identity, write_identity
from nodes.members import format_members, parse_members
from quiesce.daemon.configuration import read_toml
from quiesce.errors import DamagedStore, DirectoryInUse, DirectoryNotEmpty, InvalidConfiguration
from quiesce.v1.node_pb2 import Mark

ROOT = Path(__file__).resolve().parents[2]
MINIMAL = {"node_id": 2, "data": "d", "members": "1=a:1,2=b:2,3=c:3", "cluster_id": "x"}


def test_defaults():
    config = node_config(MINIMAL)
    assert config.listen == "127.0.0.1:7102"
    assert config.advertise == "b:2"
    assert config.members == {1: "a:1", 2: "b:2", 3: "c:3"}
    assert config.data == Path("d")


def test_every_key_is_a_field_and_is_documented():
    assert [key.name for key in KEYS] == [field.name for field in fields(NodeConfig)]
    guide = (ROOT / "docs" / "guide" / "node.md").read_text()
    for key in KEYS:
        assert f"| `{key.name}` |" in guide


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("node_id", 0),
        ("node_id", "two"),
        ("node_id", None),
        ("data", None),
        ("data", ""),
        ("listen", "7101"),
        ("listen", "a:b"),
        ("listen", "a:70000"),
        ("listen", "::1:7101"),
        ("members", "1=a:1"),
        ("members", "1=a:1,1=b:2"),
        ("members", "1=a:1,2=a:1"),
        ("members", "a:1"),
        ("advertise", "other:2"),
        ("cluster_id", "a b"),
        ("log_level", "loud"),
        ("await_restore", "perhaps"),
        ("tick_ms", 0),
        ("election_ticks", 5),
        ("stop_grace", "soon"),
        ("drain_grace", "nan"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_key(key, value):
    with pytest.raises(InvalidConfiguration, match=key):
        node_config({**MINIMAL, key: value})


def test_addresses_to_join():
    assert node_config(MINIMAL).join == ()
    assert node_config({**MINIMAL, "join": "a:1,[::1]:2,a:1"}).join == ("a:1", "[::1]:2")
    assert node_config({**MINIMAL, "join": ["a:1", "b:2"]}).join == ("a:1", "b:2")


def test_members_as_a_table_and_back():
    members = parse_members("members", {"2": "b:2", "1": "[::1]:1"})
    assert members == {1: "[::1]:1", 2: "b:2"}
    assert parse_members("members", format_members(members)) == members


def test_a_file(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text('node_id = 2\ndata = "d"\n[members]\n1 = "a:1"\n2 = "b:2"\n')
    assert node_config(read_toml(path, KEYS)).members == {1: "a:1", 2: "b:2"}
    path.write_text("nodeid = 2")
    with pytest.raises(InvalidConfiguration, match="no key `nodeid`"):
        read_toml(path, KEYS)
    path.write_text("node_id = ")
    with pytest.raises(InvalidConfiguration, match=r"node\.toml"):
        read_toml(path, KEYS)
    with pytest.raises(InvalidConfiguration, match="absent"):
        read_toml(tmp_path / "absent", KEYS)


def test_identity_round_trip(tmp_path):
    assert read_identity(tmp_path) is None
    members = {1: "a:1", 2: "b:2"}
    for identity in (
        Identity(2, "x", members),
        Identity(2, "x", members, {1: "c:1", 2: "b:2"}),
        Identity(2, "x", members, members, removed=True),
    ):
        write_identity(tmp_path, identity)
        assert read_identity(tmp_path) == identity


def test_an_identity_of_before_members_could_change(tmp_path):
    old = {"format": 1, "node_id": 1, "cluster_id": "x", "members": {"1": "a:1", "2": "b:2"}}
    (tmp_path / FILE_NAME).write_text(json.dumps(old))
    members = {1: "a:1", 2: "b:2"}
    assert read_identity(tmp_path) == Identity(1, "x", members, members)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        json.dumps({"format": 9, "node_id": 1, "cluster_id": "x", "members": {"1": "a:1"}}),
        json.dumps({"format": 1, "node_id": 1, "cluster_id": "x", "members": {"2": "a:1"}}),
        json.dumps({"format": 1, "node_id": 1, "cluster_id": "", "members": {"1": "a:1"}}),
        json.dumps({"format": 1, "node_id": 1, "cluster_id": "x", "members": ["a:1"]}),
        json.dumps({"format": 2, "node_id": 1, "cluster_id": "x", "members": {"1": "a:1"}}),
    ],
)
def test_a_damaged_identity_is_no_identity(tmp_path, content):
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(DamagedStore, match=r"identity\.json"):
        read_identity(tmp_path)


def test_any_flipped_bit_of_an_identity_is_found(tmp_path):
    write_identity(tmp_path, Identity(2, "x", {1: "a:1", 2: "b:2"}))
    path = tmp_path / FILE_NAME
    sound = path.read_bytes()
    for bit in range(8 * len(sound)):
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(DamagedStore, match=r"identity\.json"):
            read_identity(tmp_path)


def test_a_directory_is_held_by_one(tmp_path):
    first, second = DataDirectory(tmp_path / "d"), DataDirectory(tmp_path / "d")
    first.lock()
    with pytest.raises(DirectoryInUse):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_a_bootstrap_that_died_begins_anew_and_foreign_files_stay(tmp_path):
    data = DataDirectory(tmp_path / "d")
    data.lock()
    data.begin()
    data.raft.mkdir()
    (data.raft / "log").touch()
    data.begin()
    assert not data.raft.exists()
    data.finished()
    (data.path / "photo.jpg").touch()
    with pytest.raises(DirectoryNotEmpty):
        data.begin()
    assert (data.path / "photo.jpg").exists()


def test_a_checkpoint_counts_only_with_its_mark(tmp_path):
    data = DataDirectory(tmp_path)
    assert data.checkpoint_epochs() == []
    for name in ("9", "5", ".5.part"):
        (data.checkpoints / name).mkdir(parents=True)
    assert data.checkpoint_epochs() == [5, 9]
    assert data.checkpoint(9) is None
    data.note_mark(Mark(epoch=9, index=40, term=2))
    assert data.checkpoint(9) == (data.checkpoints / "9", Mark(epoch=9, index=40, term=2))
    assert data.checkpoint(5) is None
    sound = (tmp_path / "mark").read_bytes()
    for at in range(len(sound)):
        (tmp_path / "mark").write_bytes(sound[:at] + bytes((sound[at] ^ 1 << at % 8,)) + sound[at + 1 :])
        assert data.checkpoint(9) is None
    data.remove_checkpoint(9)
    data.remove_checkpoint(9)
    assert data.checkpoint(9) is None
