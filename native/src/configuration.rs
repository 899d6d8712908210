//! Who votes and who only listens: changes of it, one node at a time.

use prost::Message;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry,
    EntryType,
};
use raft::Raft;

use crate::view::LogView;

fn single(kind: ConfChangeType, node_id: u64) -> ConfChangeSingle {
    let mut one = ConfChangeSingle {
        node_id,
        ..ConfChangeSingle::default()
    };
    one.set_change_type(kind);
    one
}

fn simple(change: ConfChangeSingle) -> ConfChangeV2 {
    ConfChangeV2 {
        changes: vec![change],
        ..ConfChangeV2::default()
    }
}

/// Returns the entry of a change by its name, or None where there is no such; `data` is the caller's.
pub fn entry(kind: &str, node_id: u64, data: Vec<u8>) -> Option<Entry> {
    let kind = match kind {
        "add_learner" => ConfChangeType::AddLearnerNode,
        "promote" => ConfChangeType::AddNode,
        "remove" => ConfChangeType::RemoveNode,
        _ => return None,
    };
    let mut entry = Entry {
        data: simple(single(kind, node_id)).encode_to_vec(),
        context: data,
        ..Entry::default()
    };
    entry.set_entry_type(EntryType::EntryConfChangeV2);
    Some(entry)
}

/// Says whether a change may be on its way, or a leader has yet to commit an entry of its own term.
pub fn changing(raft: &Raft<LogView>) -> bool {
    raft.has_pending_conf() || !raft.commit_to_current_term()
}

/// Returns the changes that lead from a configuration to another, to be made one after the other.
pub fn steps(now: &ConfState, voters: &[u64], learners: &[u64]) -> Vec<ConfChangeV2> {
    // Voters come first: there is never a configuration without any.
    let missing = |from: &[u64], node: &u64| !from.contains(node);
    let mut changes = Vec::new();
    for node in voters.iter().filter(|node| missing(&now.voters, node)) {
        changes.push(single(ConfChangeType::AddNode, *node));
    }
    for node in learners.iter().filter(|node| missing(&now.learners, node)) {
        changes.push(single(ConfChangeType::AddLearnerNode, *node));
    }
    for node in now.voters.iter().chain(&now.learners) {
        if missing(voters, node) && missing(learners, node) {
            changes.push(single(ConfChangeType::RemoveNode, *node));
        }
    }
    if changes.len() < 2 || now.voters.is_empty() {
        return changes.into_iter().map(simple).collect();
    }
    // Several at once, as an installed state may bring: nothing may be committed by a majority of some step between.
    let mut enter = ConfChangeV2 {
        changes,
        ..ConfChangeV2::default()
    };
    enter.set_transition(ConfChangeTransition::Explicit);
    vec![enter, ConfChangeV2::default()]
}
