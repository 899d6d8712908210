"""A bank: accounts, and transfers that each change two of them and leave a record, all in one transaction.

So whoever sees all records at one moment can say what every balance must be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from quiesce import AsyncClient
from quiesce.records import RID, Record, create
from quiesce.v1.database_pb2 import ClassDefinition, SchemaChange
from tests.nemesis.recorder import Recorder

ACCOUNTS = 8
BALANCE = 1_000


@dataclass(slots=True)
class Transfer:
    """What became of a transfer: its log index where it was acknowledged, None where it certainly did not happen."""

    number: int
    giver: RID
    taker: RID
    amount: int
    outcome: str = "unknown"
    index: int = 0

    def document(self) -> dict[str, object]:
        return {"number": self.number, "giver": str(self.giver), "taker": str(self.taker), "amount": self.amount}


@dataclass(slots=True)
class Bank:
    """One database with accounts, used for some hundred transfers."""

    database: str
    recorder: Recorder
    accounts: list[RID] = field(default_factory=list)
    opened: int = 0
    transfers: dict[int, Transfer] = field(default_factory=dict)

    async def open(self, client: AsyncClient) -> None:
        """Make the database and its accounts."""
        await client.create_database(self.database)
        classes = [ClassDefinition(name="Account"), ClassDefinition(name="Transfer")]
        await client.alter_schema(self.database, [SchemaChange(create_class=one) for one in classes])
        new = [create({"balance": BALANCE}, class_name="Account") for _ in range(ACCOUNTS)]
        answer = await client.write(self.database, new)
        self.accounts = [RID.of(record) for record in answer.written]
        self.opened = answer.index

    def check(self, who: str, records: Iterable[Record], index: int) -> None:
        """Check the records that somebody saw at a log index, all of them at one moment."""
        wrong = list(self._contradictions(list(records), index))
        if wrong:
            self.recorder.violate(f"{self.database}: {who} at index {index}: {'; '.join(wrong)}")

    def _contradictions(self, records: list[Record], index: int) -> Iterable[str]:
        if index < self.opened:
            return
        expected = dict.fromkeys(self.accounts, BALANCE)
        balances: dict[RID, int] = {}
        seen: set[int] = set()
        for record in records:
            document = record.document()
            if document["@class"] == "Account":
                balances[record.rid] = int(str(document["balance"]))
                continue
            number = int(str(document["number"]))
            transfer = self.transfers.get(number)
            if transfer is None or {**transfer.document(), "@class": "Transfer"} != document:
                yield f"nobody asked for {document}"
                continue
            if number in seen:
                yield f"transfer {number} happened twice"
            seen.add(number)
            if transfer.outcome == "failed":
                yield f"transfer {number} happened, though the answer was that it would not"
            if transfer.index > index:
                yield f"transfer {number} of index {transfer.index} is there already"
            expected[transfer.giver] -= transfer.amount
            expected[transfer.taker] += transfer.amount
        lost = [t.number for t in self.transfers.values() if 0 < t.index <= index and t.number not in seen]
        if lost:
            yield f"transfers {lost} were acknowledged, and are lost"
        if balances != expected:
            yield f"the balances are {_tell(balances)}, and should be {_tell(expected)}"


def _tell(balances: dict[RID, int]) -> str:
    return ", ".join(f"{rid} {balance}" for rid, balance in sorted(balances.items()))
