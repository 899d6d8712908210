//! Which records may hold dates as texts: few exports have any.

use memchr::memchr_iter;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use super::links::BODY;

/// Returns the places of the records in whose body a text begins as a date does: `"yyyy-MM-dd`.
#[pyfunction]
pub fn maybe_dated(records: &Bound<'_, PyList>) -> PyResult<Vec<usize>> {
    let mut places = Vec::new();
    for (place, record) in records.iter().enumerate() {
        let body = record.cast::<PyTuple>()?.get_item(BODY)?;
        let body = body.cast::<PyBytes>()?.as_bytes();
        if memchr_iter(b'-', body).any(|dash| begins_date(body, dash)) {
            places.push(place);
        }
    }
    Ok(places)
}

/// Whether a dash is the first one of a date.
fn begins_date(body: &[u8], dash: usize) -> bool {
    let Some(text) = dash
        .checked_sub(5)
        .and_then(|start| body.get(start..start + 11))
    else {
        return false;
    };
    text.iter().zip(b"\"0000-00-00").all(|(byte, form)| {
        if *form == b'0' {
            byte.is_ascii_digit()
        } else {
            byte == form
        }
    })
}
