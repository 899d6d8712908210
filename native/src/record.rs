//! Records on their way into the store, many at a time; docs/formats/record.md.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::json::{after_object, after_space};

/// Version and kind, before the body.
pub const HEADER_BYTES: usize = 5;
/// Far below what the store takes: the caller looks at deeper ones.
const DEEPEST: usize = 100;

/// Returns the places of the bodies that are not JSON objects in UTF-8 beyond doubt, or may name a class by something else
/// than a string; what those are is the caller's to say.
#[pyfunction]
pub fn doubtful_bodies(bodies: &Bound<'_, PyList>) -> PyResult<Vec<usize>> {
    let mut doubtful = Vec::new();
    for (place, body) in bodies.iter().enumerate() {
        if !is_plain(body.cast::<PyBytes>()?.as_bytes()) {
            doubtful.push(place);
        }
    }
    Ok(doubtful)
}

/// Returns keys and values of records as the store has them. `cluster` is the key's beginning: database and cluster.
#[pyfunction]
pub fn stored_records<'py>(
    py: Python<'py>,
    cluster: &[u8],
    kind: u8,
    positions: Vec<u64>,
    versions: Vec<u32>,
    bodies: &Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyDict>> {
    let records = PyDict::new(py);
    let mut key = cluster.to_vec();
    for ((position, version), body) in positions.into_iter().zip(versions).zip(bodies.iter()) {
        let body = body.cast::<PyBytes>()?.as_bytes();
        key.truncate(cluster.len());
        key.extend_from_slice(&position.to_be_bytes());
        let value = PyBytes::new_with(py, HEADER_BYTES + body.len(), |bytes| {
            let (header, rest) = bytes.split_at_mut(HEADER_BYTES);
            header[..4].copy_from_slice(&version.to_be_bytes());
            header[4] = kind;
            rest.copy_from_slice(body);
            Ok(())
        })?;
        records.set_item(PyBytes::new(py, &key), value)?;
    }
    Ok(records)
}

fn is_plain(body: &[u8]) -> bool {
    (body.is_ascii() || std::str::from_utf8(body).is_ok())
        && after_document(body).is_some_and(|end| after_space(body, end) == body.len())
}

/// The place behind an object whose `@class`, under this very spelling, is a string.
fn after_document(body: &[u8]) -> Option<usize> {
    after_object(body, after_space(body, 0), DEEPEST, &|name, value| {
        !name.contains(&b'\\') && (name != b"\"@class\"" || value == b'"')
    })
}
