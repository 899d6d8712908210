"""Every error a user can meet: its message, its exit code and its gRPC status.

The docstring of a class is its message; names in braces are its fields. `docs/errors.md` is generated from this module.
Exit codes: 1 unexpected, 2 wrong usage (click), 10-19 reaching a cluster, 20-39 data, 40-59 snapshots and rotation,
60-69 files in OrientDB's format, 70-89 a node's own disk and start, 90-109 what coordinators do over time, 110-119
merging and transfers, 120-124 exports, 125-129 comparing exports,
131-139 statements of the console.
"""

from __future__ import annotations

import errno
import inspect
from typing import ClassVar

import grpc

Status = grpc.StatusCode


class QuiesceError(Exception):
    """Something went wrong that Quiesce has no better name for: {detail}."""

    exit_code: ClassVar[int] = 1
    status: ClassVar[grpc.StatusCode] = Status.INTERNAL
    # True where the same request may succeed elsewhere or later, and nothing of it has happened.
    retryable: ClassVar[bool] = False

    def __init__(self, **fields: object) -> None:
        self.fields = {name: str(value) for name, value in fields.items()}
        super().__init__(self.message())

    @classmethod
    def reason(cls) -> str:
        """Return the name of the class as it travels in google.rpc.ErrorInfo: `StaleVersion` is `STALE_VERSION`."""
        return "".join("_" + c if c.isupper() and i else c for i, c in enumerate(cls.__name__)).upper()

    @classmethod
    def template(cls) -> str:
        """Return the message with its fields still in braces."""
        return " ".join(inspect.cleandoc(cls.__doc__ or "").split())

    def message(self) -> str:
        """Return the message with the fields filled in."""
        return self.template().format_map(_Missing(self.fields))


class _Missing(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"<{key}>"


# --- reaching a cluster


class Unavailable(QuiesceError):
    """No node of {addresses} answered within {seconds} s: {detail}. Is the cluster running, and is the address
    right?
    """

    exit_code = 10
    status = Status.UNAVAILABLE
    retryable = True


class NotLeader(QuiesceError):
    """Node {node_id} is not the leader; the leader is {leader_address}."""

    exit_code = 11
    status = Status.UNAVAILABLE
    retryable = True


class OutOfRotation(QuiesceError):
    """Node {node_id} is out of rotation ({why}); ask {others}."""

    exit_code = 12
    status = Status.UNAVAILABLE
    retryable = True


class DeadlineExceeded(QuiesceError):
    """{operation} did not finish within {seconds} s. Whether it took effect is not known."""

    exit_code = 13
    status = Status.DEADLINE_EXCEEDED


class Overloaded(QuiesceError):
    """Node {node_id} has {waiting} requests waiting, its limit; try again after {retry_ms} ms."""

    exit_code = 14
    status = Status.RESOURCE_EXHAUSTED
    retryable = True


class NoLeader(QuiesceError):
    """The cluster has no leader at the moment: fewer than a majority of its nodes reach each other."""

    exit_code = 15
    status = Status.UNAVAILABLE
    retryable = True


class OutcomeUnknown(QuiesceError):
    """The answer to the write was lost ({detail}) and it could not be asked again: it may or may not have taken
    effect.
    """

    exit_code = 16
    status = Status.UNKNOWN


class SessionExpired(QuiesceError):
    """Session {session_id} is not known: it was unused for too long. Open another one."""

    exit_code = 17
    status = Status.FAILED_PRECONDITION


class WrongCluster(QuiesceError):
    """This is cluster {actual}, not {expected}. Was it restored, or is the address of another cluster?"""

    exit_code = 18
    status = Status.FAILED_PRECONDITION


class InvalidRequest(QuiesceError):
    """The request is not valid: {detail}."""

    exit_code = 19
    status = Status.INVALID_ARGUMENT


# --- data


class UnknownDatabase(QuiesceError):
    """There is no database `{database}`. `quiesce databases` lists those that exist."""

    exit_code = 20
    status = Status.NOT_FOUND


class DatabaseExists(QuiesceError):
    """There is a database `{database}` already. Choose another name, or drop it first."""

    exit_code = 21
    status = Status.ALREADY_EXISTS


class DatabaseImporting(QuiesceError):
    """Database `{database}` is being imported and cannot be used before that is finished."""

    exit_code = 22
    status = Status.FAILED_PRECONDITION


class UnknownClass(QuiesceError):
    """There is no class `{class_name}` in database `{database}`."""

    exit_code = 23
    status = Status.NOT_FOUND


class UnknownRecordCluster(QuiesceError):
    """There is no cluster {cluster} in database `{database}`."""

    exit_code = 24
    status = Status.NOT_FOUND


class UnknownRecord(QuiesceError):
    """There is no record {rid} in database `{database}`."""

    exit_code = 25
    status = Status.NOT_FOUND


class StaleVersion(QuiesceError):
    """Record {rid} is at version {actual}, not {expected}: someone changed it meanwhile. Read it again."""

    exit_code = 26
    status = Status.ABORTED


class DuplicateKey(QuiesceError):
    """Key {key} of the unique index `{index}` belongs to record {rid} and was wanted for {other}; nothing of the batch
    was applied.
    """

    exit_code = 27
    status = Status.ALREADY_EXISTS


class UnknownIndex(QuiesceError):
    """There is no index `{index}` in database `{database}`."""

    exit_code = 28
    status = Status.NOT_FOUND


class IndexNotMaintained(QuiesceError):
    """Index `{index}` of type {type} is kept as a definition only and cannot be asked."""

    exit_code = 29
    status = Status.FAILED_PRECONDITION


class RecordTooLarge(QuiesceError):
    """A record of {size} bytes is over the limit of {limit} bytes. Split it, or keep large content outside the
    store.
    """

    exit_code = 30
    status = Status.INVALID_ARGUMENT


class BatchTooLarge(QuiesceError):
    """A batch of {size} {unit} is over the limit of {limit} {unit}. Write it in several batches."""

    exit_code = 31
    status = Status.INVALID_ARGUMENT


class InvalidDocument(QuiesceError):
    """The document for {where} is not valid: {detail}."""

    exit_code = 32
    status = Status.INVALID_ARGUMENT


class ConstraintViolated(QuiesceError):
    """Property `{property}` of class `{class_name}`: {detail}; nothing of the batch was applied."""

    exit_code = 33
    status = Status.INVALID_ARGUMENT


class InvalidSchemaChange(QuiesceError):
    """The schema of database `{database}` cannot be changed so: {detail}."""

    exit_code = 34
    status = Status.FAILED_PRECONDITION


class InvalidDatabaseName(QuiesceError):
    """`{database}` is not a name for a database: use letters, digits, `$`, `_` and `-`, and not `system`."""

    exit_code = 35
    status = Status.INVALID_ARGUMENT


class DatabaseNotImporting(QuiesceError):
    """Database `{database}` is not being imported, so positions and versions cannot be given for it."""

    exit_code = 36
    status = Status.FAILED_PRECONDITION


class AnswerTooLarge(QuiesceError):
    """The {records} records asked for are over {limit} bytes together. Ask for fewer at once, or scan them."""

    exit_code = 37
    status = Status.OUT_OF_RANGE


class ScanStalled(QuiesceError):
    """The scan was ended: its caller took nothing for {seconds} s. Scan on behind the last record that came."""

    exit_code = 38
    status = Status.ABORTED
    retryable = True


class DefinitionTooLarge(QuiesceError):
    """With the definition of database `{database}` there would be {size} {unit}; the limit is {limit}. Drop clusters,
    classes, indexes or databases that are not needed.
    """

    exit_code = 39
    status = Status.FAILED_PRECONDITION


# --- rotation, snapshots, repositories


class UnknownNode(QuiesceError):
    """There is no node {node_id} in this cluster; its nodes are {known}."""

    exit_code = 40
    status = Status.NOT_FOUND


class RotationHeld(QuiesceError):
    """Node {node_id} is out of rotation already, for {owner} ({reason}), until {expires}; only one may be at a time."""

    exit_code = 41
    status = Status.FAILED_PRECONDITION


class ClusterDegraded(QuiesceError):
    """No node can leave rotation now: {detail}. Bring the cluster back to health first."""

    exit_code = 42
    status = Status.FAILED_PRECONDITION


class LeaseLost(QuiesceError):
    """The rotation lease of epoch {epoch} has ended; what was done under it does not count."""

    exit_code = 43
    status = Status.ABORTED


class UnknownSnapshot(QuiesceError):
    """There is no snapshot `{snapshot_id}` in repository {repository}. `quiesce snapshots` lists those that exist."""

    exit_code = 44
    status = Status.NOT_FOUND


class DamagedObject(QuiesceError):
    """Object {object} in repository {repository} is damaged: {detail}. Restore another snapshot, or another copy
    of it.
    """

    exit_code = 45
    status = Status.DATA_LOSS


class RepositoryUnusable(QuiesceError):
    """Repository {repository} cannot be used: {detail}."""

    exit_code = 46
    status = Status.FAILED_PRECONDITION


class RepositoryFull(QuiesceError):
    """Repository {repository} is full: {detail}. Make room, then run the backup again."""

    exit_code = 47
    status = Status.RESOURCE_EXHAUSTED


class UnknownJob(QuiesceError):
    """There is no job `{job_id}`."""

    exit_code = 48
    status = Status.NOT_FOUND


class BackupFailed(QuiesceError):
    """The backup failed at the step {step}: {detail}."""

    exit_code = 49
    status = Status.ABORTED


class BackupCancelled(QuiesceError):
    """The backup {job_id} was cancelled."""

    exit_code = 50
    status = Status.CANCELLED


class NoCheckpoint(QuiesceError):
    """Node {node_id} has no checkpoint of epoch {epoch}; it may have been restarted. Run the backup again."""

    exit_code = 51
    status = Status.FAILED_PRECONDITION


class NotAwaitingRestore(QuiesceError):
    """Node {node_id} at {address} holds data already; a snapshot is restored into new nodes only."""

    exit_code = 52
    status = Status.FAILED_PRECONDITION


class AwaitingRestore(QuiesceError):
    """Node {node_id} waits for a snapshot to be restored into it and cannot answer this."""

    exit_code = 53
    status = Status.UNAVAILABLE
    retryable = True


class SnapshotWorkerFailed(QuiesceError):
    """The snapshot worker on node {node_id} ended with code {code}: {detail}."""

    exit_code = 54
    status = Status.ABORTED


class SnapshotExists(QuiesceError):
    """Snapshot `{snapshot_id}` is in repository {repository} already and is never overwritten."""

    exit_code = 55
    status = Status.ALREADY_EXISTS


class NodeIdTaken(QuiesceError):
    """Node id {node_id} is taken: {detail}. Ids are never used again; give the new node another."""

    exit_code = 56
    status = Status.ALREADY_EXISTS


class MembershipChangeRefused(QuiesceError):
    """The members were not changed: {detail}."""

    exit_code = 57
    status = Status.FAILED_PRECONDITION


class MembershipChanging(QuiesceError):
    """Another change of the members is under way. Ask again in a moment."""

    exit_code = 58
    status = Status.FAILED_PRECONDITION
    retryable = True


# --- files in OrientDB's format


class MalformedExport(QuiesceError):
    """{file} is not a valid OrientDB export: {detail}, at byte {byte} in section {section}."""

    exit_code = 60
    status = Status.INVALID_ARGUMENT


class TruncatedExport(QuiesceError):
    """{file} ends too early, at byte {byte} in section {section}{record}. Copy it again from where it was exported."""

    exit_code = 61
    status = Status.INVALID_ARGUMENT


class FileUnusable(QuiesceError):
    """{file} cannot be used: {detail}."""

    exit_code = 62
    status = Status.INVALID_ARGUMENT


class FileExists(QuiesceError):
    """{file} exists already. Choose another name, or pass --overwrite."""

    exit_code = 63
    status = Status.ALREADY_EXISTS


class DuplicateKeyInExport(DuplicateKey):
    """{file} cannot be imported: {count} keys of unique indexes belong to two records. The first is key {key} of index
    `{index}`, in the records {rid} and {other}. Nothing was imported. `quiesce import --dry-run` lists them,
    --on-error=skip leaves the later record out.
    """

    exit_code = 64
    status = Status.ALREADY_EXISTS


class ImportIncomplete(QuiesceError):
    """Cluster `{cluster}` of database `{database}` holds {actual} records after the import and should hold
    {expected}. The database was not published.
    """

    exit_code = 65
    status = Status.INTERNAL


class ImportLeftBehind(QuiesceError):
    """The import into `{database}` failed: {detail}. What it had written could not be removed: {cleanup}. Nobody sees
    it; the next import of that name removes it with --discard-unfinished.
    """

    exit_code = 66
    status = Status.ABORTED


class UnfinishedImport(QuiesceError):
    """An import into `{database}` is running, or was interrupted. If none is running, --discard-unfinished removes what
    is there of it; nobody else sees it.
    """

    exit_code = 67
    status = Status.ALREADY_EXISTS


class MergeConflict(QuiesceError):
    """{file} cannot be merged into database `{database}`, which defines some things in another way: {detail}. Nothing
    was imported.
    """

    exit_code = 110
    status = Status.FAILED_PRECONDITION


class TransferRefused(QuiesceError):
    """The coordinator takes no transfer at the moment: {detail}."""

    exit_code = 111
    status = Status.RESOURCE_EXHAUSTED


class TransferFailed(QuiesceError):
    """The transfer ended at the coordinator: {detail}."""

    exit_code = 112
    status = Status.INTERNAL


# --- a node's own disk and start


class AddressInUse(QuiesceError):
    """{address} cannot be listened on: {detail}. Is another daemon running, or is the port taken?"""

    exit_code = 70
    status = Status.UNAVAILABLE


class DamagedLog(QuiesceError):
    """The Raft log is damaged in {file} at byte {byte}: {detail}. This node's data cannot be trusted. Replace the
    node: `quiesce nodes remove`, then `quiesce nodes add` with a new id and an empty directory.
    """

    exit_code = 71
    status = Status.DATA_LOSS


class DiskFailed(QuiesceError):
    """{operation} on {path} failed: {detail}. The node stops, because what it holds is no longer certain. Look at the
    disk before it is started again.
    """

    exit_code = 72
    status = Status.DATA_LOSS


class DamagedStore(QuiesceError):
    """The store in {path} is damaged: {detail}. Replace the node: `quiesce nodes remove`, then `quiesce nodes add` with
    a new id and an empty directory.
    """

    exit_code = 73
    status = Status.DATA_LOSS


class InvalidConfiguration(QuiesceError):
    """The configuration is not valid: {detail}."""

    exit_code = 74
    status = Status.INVALID_ARGUMENT


class DirectoryInUse(QuiesceError):
    """{path} is in use by another process (it holds the lock {lock}). Stop that one first."""

    exit_code = 75
    status = Status.FAILED_PRECONDITION


class DirectoryNotEmpty(QuiesceError):
    """{path} is not empty. Name a new directory; nothing was written."""

    exit_code = 76
    status = Status.FAILED_PRECONDITION


class PeersUnreachable(QuiesceError):
    """No majority of {members} was reached within {seconds} s: the cluster has no leader. Start the other nodes,
    or check their addresses.
    """

    exit_code = 77
    status = Status.UNAVAILABLE


class StoreClosed(QuiesceError):
    """The store of this node was closed or replaced while it was read. Ask again, or another node."""

    exit_code = 78
    status = Status.UNAVAILABLE
    retryable = True


class NodeRemoved(QuiesceError):
    """Node {node_id} was removed from cluster {cluster_id} and takes no part in it any more. To use the machine again,
    start a node with a new id and an empty data directory, after `quiesce nodes add`.
    """

    exit_code = 79
    status = Status.FAILED_PRECONDITION


class DiskFull(QuiesceError):
    """Node {node_id} takes no writes: the disk of {path} has {free} left, and {reserve} are kept free. It goes on by
    itself when there is room.
    """

    exit_code = 80
    status = Status.RESOURCE_EXHAUSTED
    retryable = True


class DiskOutOfSpace(DiskFailed):
    """{operation} on {path} failed: {detail}. The node stops; started again, it waits until there is room."""

    exit_code = 81
    status = Status.RESOURCE_EXHAUSTED


class ClusterAlive(QuiesceError):
    """Cluster {cluster_id} is alive: node {node_id} at {address} has a leader, node {leader_id}. Nothing of it needs
    to be salvaged: start this node again, or replace it with `quiesce nodes remove` and `quiesce nodes add`.
    """

    exit_code = 84
    status = Status.FAILED_PRECONDITION


class DirectoryLost(QuiesceError):
    """Node {node_id} has been part of cluster {cluster_id}, as node {witness} knows, and {path} holds nothing of it.
    What it had promised is forgotten, so it takes no part under this id again. Start it on the directory that it had,
    or replace it: `quiesce nodes remove {node_id}`, then `quiesce nodes add` with a new id.
    """

    exit_code = 85
    status = Status.FAILED_PRECONDITION


def disk_failed(operation: str, path: object, error: OSError) -> DiskFailed:
    """Return our error for what the disk has answered to `operation`."""
    kind = DiskOutOfSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else DiskFailed
    return kind(operation=operation, path=path, detail=error.strerror or error)


class LogRolledBack(QuiesceError):
    """Node {node_id} has the log up to entry {last}, and has acknowledged it up to entry {acknowledged}, as node
    {leader_id} knows: its directory was put back to an earlier state, or its disk lost what it had synced. It takes no
    part any more. Replace it: `quiesce nodes remove {node_id}`, then `quiesce nodes add` with a new id.
    """

    exit_code = 86
    status = Status.DATA_LOSS


# --- policies of the coordinator


class UnknownPolicy(QuiesceError):
    """There is no policy `{policy}`. `quiesce policies` lists those that there are."""

    exit_code = 90
    status = Status.NOT_FOUND


class PolicyExists(QuiesceError):
    """There is a policy `{policy}` already. Delete it first, or choose another name."""

    exit_code = 91
    status = Status.ALREADY_EXISTS


# --- retention


class SnapshotPinned(QuiesceError):
    """Snapshot `{snapshot_id}` in repository {repository} is kept: {reason}. Where nobody needs it any more,
    `quiesce snapshots unpin {snapshot_id}` lets it go; a restore or a check lets go by itself when it ends.
    """

    exit_code = 92
    status = Status.FAILED_PRECONDITION


class LastSnapshot(QuiesceError):
    """Without snapshot `{snapshot_id}` there would be {left} whole ones of policy {policy}, and {wanted} are to stay.
    `quiesce snapshots delete {snapshot_id} --force` removes it all the same.
    """

    exit_code = 93
    status = Status.FAILED_PRECONDITION


class SnapshotObjectGone(QuiesceError):
    """Snapshot `{snapshot_id}` was not published: {object}, which it needs, was removed from repository {repository}
    while it was made. Run the backup again; what is missing is uploaded anew.
    """

    exit_code = 94
    status = Status.ABORTED


class SnapshotBeingRemoved(QuiesceError):
    """Snapshot `{snapshot_id}` in repository {repository} is being removed, by {by}. Choose another one, or ask again
    in a moment: a removal that was given up leaves it there.
    """

    exit_code = 95
    status = Status.FAILED_PRECONDITION
    retryable = True


# --- attestation


class ReplicaDiverged(QuiesceError):
    """Node {node_id} did not hold at the mark what the other replicas held: {detail}. Its snapshot is refused. See
    docs/guide/attestation.md for what to do with a node that has diverged.
    """

    exit_code = 97
    status = Status.DATA_LOSS


class NodesDiverged(QuiesceError):
    """Snapshot {snapshot_id} is whole and published, but node {nodes} did not hold at its mark what the majority held.
    Replace it: `quiesce nodes remove`, then `quiesce nodes add` with a new id; see docs/guide/attestation.md.
    """

    exit_code = 98
    status = Status.DATA_LOSS


# --- drills of the coordinator


class DrillFailed(QuiesceError):
    """Snapshot {snapshot_id} in {repository} was not proven by drill {drill_id}: the step {step} failed:
    {detail}.
    """

    exit_code = 99
    status = Status.DATA_LOSS


class NoRoomForDrill(QuiesceError):
    """A drill of snapshot {snapshot_id} needs {needed} in {path}, and {free} are free. Nothing was restored: make room
    there, or name another directory with the coordinator's `drill_directory`.
    """

    exit_code = 100
    status = Status.RESOURCE_EXHAUSTED


class DrillRunning(QuiesceError):
    """Drill {drill_id} of snapshot {snapshot_id} is running, and two do not at once. `quiesce drills list` shows it."""

    exit_code = 101
    status = Status.FAILED_PRECONDITION


# --- probes


class NotServing(QuiesceError):
    """{address} answers, and says of {service}: {detail}."""

    exit_code = 102
    status = Status.UNAVAILABLE
    retryable = True


# --- coordinators


class NotLeading(QuiesceError):
    """The coordinator at {address} does not run the jobs; the one that leads is at {leader_address}."""

    exit_code = 103
    status = Status.UNAVAILABLE
    retryable = True


class JobTakenOver(QuiesceError):
    """Another coordinator goes on with job {job_id}. `quiesce jobs show {job_id}` says how it gets on."""

    exit_code = 104
    status = Status.ABORTED


class InvalidExportOption(QuiesceError):
    """`{option}` is no option of an export: {detail}."""

    exit_code = 120
    status = Status.INVALID_ARGUMENT


# --- comparing


class ExportsDiffer(QuiesceError):
    """{left} and {right} differ in {count} places."""

    exit_code = 125
    status = Status.FAILED_PRECONDITION


def all_errors() -> list[type[QuiesceError]]:
    """Return every error class, by exit code."""

    def below(cls: type[QuiesceError]) -> list[type[QuiesceError]]:
        return [cls, *(found for sub in cls.__subclasses__() for found in below(sub))]

    return sorted(below(QuiesceError), key=lambda cls: cls.exit_code)


def from_reason(reason: str, fields: dict[str, str]) -> QuiesceError:
    """Rebuild an error that came over the wire; one of a newer server becomes a plain QuiesceError."""
    for cls in all_errors():
        if cls.reason() == reason:
            return cls(**fields)
    return QuiesceError(detail=f"{reason} {fields}")


# --- statements


class InvalidStatement(QuiesceError):
    """Line {line}, column {column}: found `{found}`; expected {expected}."""

    exit_code = 131
    status = Status.INVALID_ARGUMENT


class StatementNotSupported(QuiesceError):
    """{what} is not supported{instead}."""

    exit_code = 132
    status = Status.UNIMPLEMENTED


class StatementTooLarge(QuiesceError):
    """The statement would keep over {limit} {unit} in memory for {purpose}; {remedy}."""

    exit_code = 133
    status = Status.RESOURCE_EXHAUSTED


class NoDatabaseChosen(QuiesceError):
    """No database is in use. Choose one: USE name. LIST DATABASES shows them."""

    exit_code = 134
    status = Status.FAILED_PRECONDITION


class UnfitValue(QuiesceError):
    """{detail}."""

    exit_code = 135
    status = Status.INVALID_ARGUMENT


class PartlyApplied(QuiesceError):
    """{applied} records are changed, and the statement ended before the others: {cause}. Each record is changed as a
    whole or not at all; run the statement again if it may be applied twice to a record.
    """

    exit_code = 136
    status = Status.ABORTED


class CheckFailed(QuiesceError):
    """Database `{database}`: {problems} problems were found."""

    exit_code = 137
    status = Status.DATA_LOSS


class PositionTaken(QuiesceError):
    """The next record in cluster {cluster} gets position {actual}, not {expected}: others write there as well. Read the
    database's definition again, and try again.
    """

    exit_code = 139
    status = Status.ABORTED


class UnreadableScript(QuiesceError):
    """{path} cannot be read: {detail}."""

    exit_code = 138
    status = Status.INVALID_ARGUMENT
