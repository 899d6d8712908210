//! Records on their way into the store, many at a time; docs/formats/record.md.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::export::text::{after_literal, after_number, after_space, after_string};

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
        let value = PyBytes::new_with(py, 5 + body.len(), |bytes| {
            let (header, rest) = bytes.split_at_mut(5);
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

/// `takes` sees each name, with its quotes, and the first byte of what it names.
fn after_object(
    body: &[u8],
    at: usize,
    deeper: usize,
    takes: &dyn Fn(&[u8], u8) -> bool,
) -> Option<usize> {
    let mut at = after(body, at, b'{')?;
    if let Some(end) = after(body, at, b'}') {
        return Some(end);
    }
    loop {
        at = after_space(body, at);
        let name_end = after_string(body, at)?;
        let value = after_space(body, after(body, name_end, b':')?);
        if !takes(body.get(at..name_end)?, *body.get(value)?) {
            return None;
        }
        at = after_value(body, value, deeper)?;
        if let Some(end) = after(body, at, b'}') {
            return Some(end);
        }
        at = after(body, at, b',')?;
    }
}

fn after_value(body: &[u8], at: usize, deeper: usize) -> Option<usize> {
    match *body.get(at)? {
        b'{' => after_object(body, at, deeper.checked_sub(1)?, &|_, _| true),
        b'[' => after_array(body, at, deeper.checked_sub(1)?),
        b'"' => after_string(body, at),
        b't' | b'f' | b'n' => after_literal(body, at),
        _ => after_number(body, at),
    }
}

fn after_array(body: &[u8], at: usize, deeper: usize) -> Option<usize> {
    let mut at = after(body, at, b'[')?;
    if let Some(end) = after(body, at, b']') {
        return Some(end);
    }
    loop {
        at = after_value(body, after_space(body, at), deeper)?;
        if let Some(end) = after(body, at, b']') {
            return Some(end);
        }
        at = after(body, at, b',')?;
    }
}

/// The place behind one byte and the white space before it.
fn after(body: &[u8], at: usize, expected: u8) -> Option<usize> {
    let at = after_space(body, at);
    (*body.get(at)? == expected).then_some(at + 1)
}
