//! What can be seen of the core.

use pyo3::prelude::*;
use raft::{ProgressState, RawNode};

use crate::configuration;
use crate::convert;
use crate::view::LogView;

#[pyclass(frozen, get_all, module = "quiesce._native")]
pub struct Status {
    term: u64,
    vote: u64,
    commit: u64,
    applied: u64,
    first_index: u64,
    last_index: u64,
    leader: u64,
    role: u8,
    /// To whom leadership is being transferred; 0: nobody.
    transferee: u64,
    /// Bytes of the entries held in memory.
    bytes: u64,
    /// On the leader: [(node, match index, next index, is sent a snapshot)].
    progress: Vec<(u64, u64, u64, bool)>,
    voters: Vec<u64>,
    learners: Vec<u64>,
    /// On the leader: the membership cannot be changed now.
    changing: bool,
}

impl Status {
    pub fn from_raft(node: &RawNode<LogView>) -> Self {
        let status = node.status();
        let mut progress: Vec<_> = status
            .progress
            .map(|tracker| {
                tracker
                    .iter()
                    .map(|(id, one)| {
                        (
                            *id,
                            one.matched,
                            one.next_idx,
                            one.state == ProgressState::Snapshot,
                        )
                    })
                    .collect()
            })
            .unwrap_or_default();
        progress.sort_unstable();
        let mut conf = node.raft.prs().conf().to_conf_state();
        conf.voters.sort_unstable();
        conf.learners.sort_unstable();
        Status {
            term: status.hs.term,
            vote: status.hs.vote,
            commit: status.hs.commit,
            applied: status.applied,
            first_index: node.store().first(),
            last_index: node.raft.raft_log.last_index(),
            leader: status.ss.leader_id,
            role: convert::role(status.ss.raft_state),
            transferee: node.raft.lead_transferee.unwrap_or(0),
            bytes: node.store().bytes(),
            progress,
            voters: conf.voters,
            learners: conf.learners,
            changing: configuration::changing(&node.raft),
        }
    }
}
