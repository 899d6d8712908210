//! The core: one raft-rs RawNode, used by one thread at a time.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Message, MessageType};
use raft::{Config, RawNode, ReadOnlyOption, SnapshotStatus, StateRole};

use crate::configuration;
use crate::convert;
use crate::ready::{LightReady, Ready};
use crate::status::Status;
use crate::view::LogView;

/// Committed entries copied by raft-rs into one ready, at most, in bytes.
const COMMITTED_BYTES: u64 = 16 << 20;

#[pyclass(module = "quiesce._native")]
pub struct RaftCore {
    node: RawNode<LogView>,
    /// The ready that was given out and not yet advanced.
    pending: Option<raft::Ready>,
    /// The last change of the membership whose commitment the caller was told to write before it leaves.
    announced: u64,
}

create_exception!(
    quiesce._native,
    LogCutShort,
    PyException,
    "A leader counts on entries that this node has acknowledged and does not have: (leader, index, last index here)."
);

fn failed(error: raft::Error) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

#[pymethods]
impl RaftCore {
    #[new]
    #[pyo3(signature = (*, node_id, applied, hard_state, voters, learners, base, entries, election_tick, heartbeat_tick,
        max_size_per_msg, max_inflight_msgs, pre_vote=true, check_quorum=true, priority=0))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        node_id: u64,
        applied: u64,
        hard_state: (u64, u64, u64),
        voters: Vec<u64>,
        learners: Vec<u64>,
        base: (u64, u64),
        entries: Vec<Bound<'_, PyBytes>>,
        election_tick: usize,
        heartbeat_tick: usize,
        max_size_per_msg: u64,
        max_inflight_msgs: usize,
        pre_vote: bool,
        check_quorum: bool,
        priority: i64,
    ) -> PyResult<Self> {
        let config = Config {
            id: node_id,
            election_tick,
            heartbeat_tick,
            applied,
            max_size_per_msg,
            max_inflight_msgs,
            check_quorum,
            pre_vote,
            read_only_option: ReadOnlyOption::Safe,
            // Merged appends know no bound, and a message must fit the transport.
            batch_append: false,
            priority,
            max_committed_size_per_ready: COMMITTED_BYTES,
            ..Config::default()
        };
        let mut state = HardState::default();
        (state.term, state.vote, state.commit) = hard_state;
        let conf: ConfState = (voters, learners).into();
        let entries: Vec<Entry> = entries
            .iter()
            .map(|bytes| convert::decode(bytes.as_bytes()))
            .collect::<PyResult<_>>()?;
        let view = LogView::new(state, conf, base, entries);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, view, &logger).map_err(failed)?;
        Ok(RaftCore {
            node,
            pending: None,
            announced: 0,
        })
    }

    /// Moves the core's clock on by one tick.
    fn tick(&mut self) -> bool {
        self.node.tick()
    }

    /// Takes messages of peers. Returns how many were refused: not a message, of a stranger, or of a local kind.
    /// Raises LogCutShort where a leader counts on entries that are not in the log any more.
    fn step(&mut self, messages: Vec<Bound<'_, PyBytes>>) -> PyResult<usize> {
        let mut refused = 0;
        for bytes in messages {
            let stepped = match convert::decode::<Message>(bytes.as_bytes()) {
                Ok(message) => {
                    self.check_kept(&message)?;
                    self.node.step(message).is_ok()
                }
                Err(_) => false,
            };
            refused += usize::from(!stepped);
        }
        Ok(refused)
    }

    /// Appends entries on the leader. Returns (first index, term), or None where all were refused.
    fn propose(&mut self, entries: Vec<Bound<'_, PyBytes>>) -> PyResult<Option<(u64, u64)>> {
        let entries = entries.iter().map(|data| Entry {
            data: data.as_bytes().to_vec(),
            ..Entry::default()
        });
        self.append(entries.collect())
    }

    /// Appends an entry that changes the membership, on the leader: `kind` is `add_learner`, `promote` or `remove`.
    /// Returns (index, term), or None where it was refused: no leader, a transfer, or `changing`.
    fn propose_membership(
        &mut self,
        kind: &str,
        node_id: u64,
        data: Vec<u8>,
    ) -> PyResult<Option<(u64, u64)>> {
        // raft-rs would put an empty entry in the place of a second change.
        if configuration::changing(&self.node.raft) {
            return Ok(None);
        }
        let entry = configuration::entry(kind, node_id, data)
            .ok_or_else(|| PyValueError::new_err(format!("`{kind}` is no change")))?;
        self.append(vec![entry])
    }

    /// Makes these nodes the configuration. The caller has applied the entry that says so, or installed a state that
    /// does; a leader that is no voter any more steps down. Returns whether anything changed.
    fn configure(&mut self, voters: Vec<u64>, learners: Vec<u64>) -> PyResult<bool> {
        if self.pending.is_some() {
            return Err(PyRuntimeError::new_err("a ready has not been advanced"));
        }
        let now = self.node.raft.prs().conf().to_conf_state();
        let steps = configuration::steps(&now, &voters, &learners);
        for step in &steps {
            let conf = self.node.apply_conf_change(step).map_err(failed)?;
            self.node.mut_store().set_conf_state(conf);
        }
        let raft = &mut self.node.raft;
        // raft-rs keeps such a leader, and comes to grief when its own disk answers.
        if raft.state != StateRole::Follower && !raft.promotable() {
            raft.become_follower(raft.term, raft::INVALID_ID);
        }
        Ok(!steps.is_empty())
    }

    /// Asks for read states, one for each context.
    fn read_index(&mut self, contexts: Vec<Vec<u8>>) {
        for context in contexts {
            self.node.read_index(context);
        }
    }

    fn campaign(&mut self) -> PyResult<()> {
        self.node.campaign().map_err(failed)
    }

    /// Returns what is to be done, or None. `advance` must follow before anything else.
    fn ready(&mut self, py: Python<'_>) -> PyResult<Option<Ready>> {
        if self.pending.is_some() {
            return Err(PyRuntimeError::new_err(
                "the ready before has not been advanced",
            ));
        }
        if !self.node.has_ready() {
            return Ok(None);
        }
        let commit_first = self.commit_first();
        let mut ready = self.node.ready();
        let plain = Ready::from_raft(py, &mut ready, commit_first)?;
        self.pending = Some(ready);
        Ok(Some(plain))
    }

    /// Says that the last ready is on disk, and its snapshot installed.
    fn advance(&mut self, py: Python<'_>) -> PyResult<LightReady> {
        let Some(mut ready) = self.pending.take() else {
            return Err(PyRuntimeError::new_err("there is no ready to advance"));
        };
        let installed = ready.snapshot().get_metadata().index;
        if installed != 0 {
            let metadata = ready.snapshot().get_metadata().clone();
            self.node.mut_store().reset(&metadata);
        }
        let entries = ready.take_entries();
        self.node.mut_store().append(entries);
        let mut light = self.node.advance_append(ready);
        if installed != 0 {
            self.node.advance_apply_to(installed);
        }
        LightReady::from_raft(py, &mut light, self.commit_first())
    }

    /// Says that entries up to `index` have been applied; more than is committed here counts as what is committed.
    fn advance_apply_to(&mut self, index: u64) {
        let log = &self.node.raft.raft_log;
        let reachable = index.min(log.committed).min(log.persisted);
        if reachable > log.applied {
            self.node.advance_apply_to(reachable);
        }
    }

    /// Returns [(index, term, data, changes the membership)] of committed entries in [low, high), at least one if there
    /// is any.
    fn entries(&self, py: Python<'_>, low: u64, high: u64, max_bytes: u64) -> PyResult<Py<PyList>> {
        let view = self.node.store();
        if low < view.first()
            || high > self.node.raft.raft_log.committed + 1
            || high > view.last() + 1
            || low > high
        {
            return Err(PyValueError::new_err(format!(
                "entries {low} to {high} are not in the committed log of {} to {}",
                view.first(),
                view.last()
            )));
        }
        let list = PyList::empty(py);
        for entry in view.slice(low, high, Some(max_bytes)) {
            let changes = entry.get_entry_type() != EntryType::EntryNormal;
            let data = if changes {
                entry.get_context()
            } else {
                entry.get_data()
            };
            list.append((entry.index, entry.term, PyBytes::new(py, data), changes))?;
        }
        Ok(list.unbind())
    }

    /// Returns the term of an entry, or None where it is not here.
    fn term_at(&self, index: u64) -> Option<u64> {
        match self.node.raft.raft_log.term(index) {
            Ok(0) | Err(_) => None,
            Ok(term) => Some(term),
        }
    }

    /// Forgets entries up to `index`, at most up to what has been applied.
    fn compact(&mut self, index: u64) -> PyResult<()> {
        let applied = self.node.raft.raft_log.applied;
        self.node
            .mut_store()
            .compact(index.min(applied))
            .map_err(failed)
    }

    /// Gives the answer to a follower that is too far behind; the nodes are those of the configuration at `index`.
    fn set_snapshot(
        &mut self,
        index: u64,
        term: u64,
        data: Vec<u8>,
        voters: Vec<u64>,
        learners: Vec<u64>,
    ) {
        let conf = (voters, learners).into();
        self.node.mut_store().set_snapshot(index, term, data, conf);
    }

    fn clear_snapshot(&mut self) {
        self.node.mut_store().clear_snapshot();
    }

    /// Starts the log anew behind the snapshot that a message carries and the caller has installed. It is committed in
    /// whatever term, so it counts also where this node has come to a later one than the message since.
    fn restore(&mut self, message: &[u8]) -> PyResult<()> {
        let mut message = convert::snapshot_of(message)?;
        let raft = &mut self.node.raft;
        if message.term >= raft.term {
            // What fails is a stranger's message, or one that tells nothing new.
            let _ = self.node.step(message);
            return Ok(());
        }
        if raft.state != StateRole::Follower {
            raft.become_follower(raft.term, raft::INVALID_ID);
        }
        raft.restore(message.take_snapshot());
        Ok(())
    }

    /// Returns (follower, least index) where a snapshot was asked for and there was none; forgets it.
    fn snapshot_wanted(&self) -> Option<(u64, u64)> {
        self.node.store().take_wanted()
    }

    fn report_unreachable(&mut self, node_id: u64) {
        self.node.report_unreachable(node_id);
    }

    fn report_snapshot(&mut self, node_id: u64, arrived: bool) {
        let status = if arrived {
            SnapshotStatus::Finish
        } else {
            SnapshotStatus::Failure
        };
        self.node.report_snapshot(node_id, status);
    }

    fn transfer_leader(&mut self, to: u64) {
        self.node.transfer_leader(to);
    }

    fn set_priority(&mut self, priority: i64) {
        self.node.set_priority(priority);
    }

    /// Sets the ticks of silence after which this node campaigns, until the next change of its role or term.
    /// For runs that must be reproducible; it must lie in [election_tick, 2 * election_tick).
    fn set_randomized_election_timeout(&mut self, ticks: usize) -> PyResult<()> {
        let least = self.node.raft.election_timeout();
        if ticks < least || ticks >= 2 * least {
            return Err(PyValueError::new_err(format!(
                "{ticks} is not in [{least}, {})",
                2 * least
            )));
        }
        self.node.raft.set_randomized_election_timeout(ticks);
        Ok(())
    }

    fn status(&self) -> Status {
        Status::from_raft(&self.node)
    }
}

impl RaftCore {
    fn append(&mut self, entries: Vec<Entry>) -> PyResult<Option<(u64, u64)>> {
        let raft = &mut self.node.raft;
        if raft.state != StateRole::Leader || entries.is_empty() {
            return Ok(None);
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = raft.id;
        message.set_entries(entries);
        let first = raft.raft_log.last_index() + 1;
        match raft.step(message) {
            Ok(()) => Ok(Some((first, raft.term))),
            Err(raft::Error::ProposalDropped) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// A leader's heartbeat names no commit index behind what this node has acknowledged to it. raft-rs ends in a panic
    /// at one that lies behind the log, which says nothing to whoever has to find out what happened to the disk.
    fn check_kept(&self, message: &Message) -> PyResult<()> {
        let raft = &self.node.raft;
        let last = raft.raft_log.last_index();
        if message.get_msg_type() == MessageType::MsgHeartbeat
            && message.term >= raft.term
            && message.commit > last
        {
            return Err(LogCutShort::new_err((message.from, message.commit, last)));
        }
        Ok(())
    }

    /// Says, once for each, whether a change of the membership is committed that was not when this was last asked.
    fn commit_first(&mut self) -> bool {
        let raft = &self.node.raft;
        let change = raft.pending_conf_index;
        let found = raft.state == StateRole::Leader
            && change > self.announced
            && raft.raft_log.committed >= change;
        if found {
            self.announced = change;
        }
        found
    }
}
