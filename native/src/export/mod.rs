//! Cuts the records of an OrientDB export out of its bytes. It takes what engines write, and leaves everything else,
//! errors included, to the caller's slow and careful way: what it returns is what that way would return. `texts` is the
//! way back.

mod dates;
mod document;
mod escapes;
mod field_types;
mod links;
mod texts;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

pub use dates::maybe_dated;
use document::{Document, Reading};
pub use links::KnownRecords;
pub use texts::RecordTexts;

/// What one call found: records up to a place, and what was unusual on the way.
#[derive(Default)]
struct Cut {
    records: Vec<Document>,
    /// The bodies of all records, one behind the other.
    bodies: Vec<u8>,
    at: usize,
    separated: bool,
    extra_commas: u64,
    types_twice: u64,
}

/// Cuts records out of `data`, behind the bracket of the list or behind another record.
///
/// Args: where to begin; the place of `data[0]` in the file; whether a comma or the bracket is right before; the most
/// records to return. Returns rows (cluster, position, version, kind, body, byte, flat), where it stopped, whether a comma
/// is right before that place, how many commas too many there were, and in how many documents `@fieldTypes` stood twice.
///
/// It stops before what it does not take: the end of the list, a record that goes on behind `data`, and whatever is
/// not a document as engines write it.
#[pyfunction]
#[pyo3(signature = (data, at, base, separated, most, kind))]
pub fn cut_records<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyBytes>,
    at: usize,
    base: u64,
    separated: bool,
    most: usize,
    kind: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyTuple>> {
    let bytes = data.as_bytes();
    let found = py.detach(|| cut(bytes, at, separated, most));
    let flat = false.into_pyobject(py)?;
    let rows = PyList::empty(py);
    let mut start = 0;
    for one in &found.records {
        let body = found.bodies.get(start..one.body_end).unwrap_or_default();
        start = one.body_end;
        let byte = base + one.at as u64;
        let row = (
            one.cluster,
            one.position,
            one.version,
            kind,
            PyBytes::new(py, body),
            byte,
            flat,
        );
        rows.append(row)?;
    }
    (
        rows,
        found.at,
        found.separated,
        found.extra_commas,
        found.types_twice,
    )
        .into_pyobject(py)
}

fn cut(data: &[u8], at: usize, separated: bool, most: usize) -> Cut {
    let mut found = Cut {
        at,
        separated,
        ..Cut::default()
    };
    while found.records.len() < most {
        let mut commas = u64::from(found.separated);
        let mut place = found.at;
        while let Some(byte) = data.get(place) {
            match byte {
                b',' => commas += 1,
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ => break,
            }
            place += 1;
        }
        if data.get(place) != Some(&b'{') || commas == 0 {
            break;
        }
        let before = found.bodies.len();
        let mut reading = Reading::new(data, place, &mut found.bodies);
        let Some(document) = reading.record() else {
            found.bodies.truncate(before);
            break;
        };
        found.types_twice += reading.types_twice;
        found.at = reading.at;
        found.extra_commas += commas - 1;
        found.separated = false;
        found.records.push(document);
    }
    found
}
