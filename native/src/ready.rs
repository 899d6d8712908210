//! What the core wants done: plain values, so that Python crosses the border once.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use raft::eraftpb::Entry;

use crate::convert;

/// (index, term, data, voters, learners).
type SnapshotParts = (u64, u64, Py<PyBytes>, Vec<u64>, Vec<u64>);

#[pyclass(frozen, get_all, module = "quiesce._native")]
pub struct Ready {
    /// [(to, message)] that may leave at once.
    messages: Py<PyList>,
    /// [(to, index, message)] that carry a snapshot.
    snapshots: Py<PyList>,
    /// [(to, message)] that may leave only when everything here is on disk.
    persisted_messages: Py<PyList>,
    /// [(index, term, encoded entry)] to write; they replace what is there from the first one's index on.
    entries: Py<PyList>,
    /// (term, vote, commit) where it changed.
    hard_state: Option<(u64, u64, u64)>,
    must_sync: bool,
    /// Entries up to this index may be applied; 0: no more than before.
    committed: u64,
    /// [(index, context)].
    read_states: Py<PyList>,
    /// A snapshot to start the log anew from.
    snapshot: Option<SnapshotParts>,
    /// (leader, role) where it changed.
    soft_state: Option<(u64, u8)>,
    /// The messages tell of the commitment of a change of the membership: they may leave only when the commit index is
    /// on disk. A node that learns from them of its removal leaves, and the others must not need it any more.
    commit_first: bool,
}

impl Ready {
    pub fn from_raft(
        py: Python<'_>,
        ready: &mut raft::Ready,
        commit_first: bool,
    ) -> PyResult<Self> {
        let (messages, snapshots) = convert::messages(py, ready.take_messages())?;
        let (persisted_messages, _) = convert::messages(py, ready.take_persisted_messages())?;
        let read_states = PyList::empty(py);
        for state in ready.take_read_states() {
            read_states.append((state.index, PyBytes::new(py, &state.request_ctx)))?;
        }
        let snapshot = (!ready.snapshot().is_empty()).then(|| {
            let metadata = ready.snapshot().get_metadata();
            let conf = metadata.get_conf_state();
            let data = PyBytes::new(py, ready.snapshot().get_data()).unbind();
            (
                metadata.index,
                metadata.term,
                data,
                conf.voters.clone(),
                conf.learners.clone(),
            )
        });
        Ok(Ready {
            messages,
            snapshots,
            persisted_messages,
            entries: convert::entries(py, ready.entries())?,
            hard_state: ready.hs().map(|hs| (hs.term, hs.vote, hs.commit)),
            must_sync: ready.must_sync(),
            committed: last_index(&ready.take_committed_entries()),
            read_states: read_states.unbind(),
            snapshot,
            soft_state: ready
                .ss()
                .map(|ss| (ss.leader_id, convert::role(ss.raft_state))),
            commit_first,
        })
    }
}

/// What became possible by a `Ready` being on disk.
#[pyclass(frozen, get_all, module = "quiesce._native")]
pub struct LightReady {
    messages: Py<PyList>,
    snapshots: Py<PyList>,
    committed: u64,
    /// The commit index where it moved; it need not be written by itself.
    commit: Option<u64>,
    /// As in `Ready`.
    commit_first: bool,
}

impl LightReady {
    pub fn from_raft(
        py: Python<'_>,
        light: &mut raft::LightReady,
        commit_first: bool,
    ) -> PyResult<Self> {
        let (messages, snapshots) = convert::messages(py, light.take_messages())?;
        Ok(LightReady {
            messages,
            snapshots,
            committed: last_index(&light.take_committed_entries()),
            commit: light.commit_index(),
            commit_first,
        })
    }
}

fn last_index(entries: &[Entry]) -> u64 {
    entries.last().map_or(0, |entry| entry.index)
}
