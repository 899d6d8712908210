//! Between raft-rs's messages and Python's bytes, lists and tuples.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use raft::eraftpb::{Entry, Message, MessageType};
use raft::StateRole;

pub type Messages = (Py<PyList>, Py<PyList>);

/// Encodes straight into the Python object.
pub fn encode<'py, M: prost::Message>(
    py: Python<'py>,
    message: &M,
) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, message.encoded_len(), |mut buffer| {
        message
            .encode(&mut buffer)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    })
}

pub fn decode<M: prost::Message + Default>(bytes: &[u8]) -> PyResult<M> {
    M::decode(bytes).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Returns `[(to, message)]` and, apart, `[(to, index, message)]` of those that carry a snapshot.
pub fn messages(py: Python<'_>, sent: Vec<Message>) -> PyResult<Messages> {
    let plain = PyList::empty(py);
    let snapshots = PyList::empty(py);
    for message in sent {
        let bytes = encode(py, &message)?;
        if message.get_msg_type() == MessageType::MsgSnapshot {
            let index = message.get_snapshot().get_metadata().index;
            snapshots.append((message.to, index, bytes))?;
        } else {
            plain.append((message.to, bytes))?;
        }
    }
    Ok((plain.unbind(), snapshots.unbind()))
}

/// Returns `[(index, term, encoded entry)]`.
pub fn entries(py: Python<'_>, entries: &[Entry]) -> PyResult<Py<PyList>> {
    let list = PyList::empty(py);
    for entry in entries {
        list.append((entry.index, entry.term, encode(py, entry)?))?;
    }
    Ok(list.unbind())
}

/// The numbers of quiesce.v1.NodeRole.
pub fn role(role: StateRole) -> u8 {
    match role {
        StateRole::Follower => 1,
        StateRole::Candidate | StateRole::PreCandidate => 2,
        StateRole::Leader => 3,
    }
}

pub fn snapshot_of(message: &[u8]) -> PyResult<Message> {
    let message: Message = decode(message)?;
    if message.get_msg_type() != MessageType::MsgSnapshot {
        return Err(PyValueError::new_err("the message carries no snapshot"));
    }
    Ok(message)
}

/// Returns (sender, index, term) of the snapshot that an encoded message carries.
#[pyfunction]
pub fn describe_snapshot(message: &[u8]) -> PyResult<(u64, u64, u64)> {
    let message = snapshot_of(message)?;
    let metadata = message.get_snapshot().get_metadata();
    Ok((message.from, metadata.index, metadata.term))
}

/// Returns the voters and learners as of the snapshot that an encoded message carries.
#[pyfunction]
pub fn snapshot_members(message: &[u8]) -> PyResult<Vec<u64>> {
    let message = snapshot_of(message)?;
    let conf = message.get_snapshot().get_metadata().get_conf_state();
    Ok(conf.voters.iter().chain(&conf.learners).copied().collect())
}
