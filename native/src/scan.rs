//! Rows of the store to records on the wire, for scans.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::record::HEADER_BYTES;
use crate::wire::Record;

// docs/formats/record.md: database, cluster and position.
const KEY_BYTES: usize = 14;

/// Packs records from where an iterator of rocksdict stands, up to the key `end`.
///
/// Args: the iterator; the key to stop before; the most records; how many bytes of values are enough. Returns the records
/// as they stand in a ScanResponse, how many there are, and whether the iterator has more. Where it has not, the caller
/// must ask for its status: a damaged block ends it as well.
///
/// Raises ValueError: a row is no record.
#[pyfunction]
pub fn pack_records<'py>(
    py: Python<'py>,
    rows: &Bound<'py, PyAny>,
    end: &[u8],
    most: usize,
    enough: usize,
) -> PyResult<(Bound<'py, PyBytes>, usize, bool)> {
    let key = rows.getattr("key")?;
    let value = rows.getattr("value")?;
    let next = rows.getattr("next")?;
    let mut out = Vec::with_capacity(enough + enough / 8);
    let (mut count, mut size) = (0, 0);
    while count < most && size < enough {
        let found = key.call0()?;
        // None behind the last row.
        let Ok(found) = found.cast::<PyBytes>() else {
            return Ok((PyBytes::new(py, &out), count, false));
        };
        if found.as_bytes() >= end {
            return Ok((PyBytes::new(py, &out), count, false));
        }
        let row = value.call0()?;
        let row = row.cast::<PyBytes>()?.as_bytes();
        record(found.as_bytes(), row)
            .ok_or_else(|| {
                let (key, value) = (found.as_bytes().len(), row.len());
                PyValueError::new_err(format!(
                    "a row with a key of {key} and a value of {value} bytes is no record"
                ))
            })?
            .write(&mut out);
        next.call0()?;
        count += 1;
        size += row.len();
    }
    Ok((PyBytes::new(py, &out), count, true))
}

fn record<'data>(key: &[u8], value: &'data [u8]) -> Option<Record<'data>> {
    if key.len() != KEY_BYTES {
        return None;
    }
    let (header, body) = value.split_at_checked(HEADER_BYTES)?;
    Some(Record {
        cluster: number(key.get(4..6)?),
        position: number(key.get(6..)?),
        version: number(header.get(..4)?),
        kind: number(header.get(4..)?),
        body,
    })
}

fn number(big_endian: &[u8]) -> u64 {
    big_endian
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
