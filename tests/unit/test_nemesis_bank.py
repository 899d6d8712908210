import pytest

from quiesce.records import RID, Record, encode_document
from quiesce.records.record import RecordKind
from tests.nemesis.recorder import Recorder
from tests.nemesis.workloads.bank import BALANCE, Bank, Transfer

A, B = RID(5, 0), RID(5, 1)


@pytest.fixture
def bank(tmp_path):
    recorder = Recorder(tmp_path / "log")
    bank = Bank("bank", recorder, accounts=[A, B], opened=10)
    bank.transfers = {
        0: Transfer(0, A, B, 100, "ok", index=12),
        1: Transfer(1, B, A, 30, "unknown"),
        2: Transfer(2, A, B, 7, "failed"),
    }
    return bank


def account(rid, balance):
    return record(rid, {"@class": "Account", "balance": balance})


def record(rid, document):
    return Record(rid, 1, RecordKind.DOCUMENT, encode_document(document))


def done(bank, number, position=0):
    return record(RID(6, position), {"@class": "Transfer", **bank.transfers[number].document()})


def test_what_a_bank_may_hold(bank):
    at_first = [account(A, BALANCE), account(B, BALANCE)]
    first_done = [account(A, BALANCE - 100), account(B, BALANCE + 100), done(bank, 0)]
    both_done = [account(A, BALANCE - 70), account(B, BALANCE + 70), done(bank, 0), done(bank, 1, 1)]
    bank.check("before it was opened", [], 9)
    bank.check("before", at_first, 11)
    bank.check("after", first_done, 12)
    bank.check("with an unknown one", both_done, 20)
    assert bank.recorder.violations == []


@pytest.mark.parametrize(
    ("index", "what", "says"),
    [
        (12, lambda bank: [account(A, BALANCE), account(B, BALANCE)], "are lost"),
        (11, lambda bank: [account(A, BALANCE - 100), account(B, BALANCE + 100), done(bank, 0)], "there already"),
        (12, lambda bank: [account(A, BALANCE - 100), account(B, BALANCE), done(bank, 0)], "the balances are"),
        (12, lambda bank: [account(A, BALANCE - 100), done(bank, 0)], "the balances are"),
        (
            12,
            lambda bank: [account(A, BALANCE - 200), account(B, BALANCE + 200), done(bank, 0), done(bank, 0, 1)],
            "happened twice",
        ),
        (
            12,
            lambda bank: [account(A, BALANCE - 107), account(B, BALANCE + 107), done(bank, 0), done(bank, 2, 1)],
            "though the answer was that it would not",
        ),
        (11, lambda bank: [record(RID(6, 9), {"@class": "Transfer", "number": 77})], "nobody asked for"),
    ],
)
def test_what_a_bank_may_not_hold(bank, index, what, says):
    bank.check("somebody", what(bank), index)
    assert says in bank.recorder.violations[0]
