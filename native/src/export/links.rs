//! Which records need a closer look for their links: most name only records that the export holds.

use std::collections::{HashMap, HashSet};

use memchr::{memchr_iter, memmem};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PySet, PyTuple};

type Rid = (u64, u64);

/// Places of kind and body in an ExportedRecord.
const KIND: usize = 3;
pub const BODY: usize = 4;

/// The ids of an export's records.
///
/// Args: for each cluster the starts and the ends of its runs of positions, ascending; ids in those runs that do not count;
/// and those that the caller adds to as it goes on.
#[pyclass(frozen)]
pub struct KnownRecords {
    runs: HashMap<u64, (PyBuffer<u64>, PyBuffer<u64>)>,
    apart: HashSet<Rid>,
    skipped: Py<PySet>,
}

#[pymethods]
impl KnownRecords {
    #[new]
    fn new(
        runs: HashMap<u64, (PyBuffer<u64>, PyBuffer<u64>)>,
        apart: HashSet<Rid>,
        skipped: Py<PySet>,
    ) -> Self {
        Self {
            runs,
            apart,
            skipped,
        }
    }

    /// Looks through the bodies of those of `records` that are of `kind`.
    ///
    /// Returns how many texts are ids of known records, and the places of the records that need a closer look: an id in
    /// them is not known, or may be hidden in escapes, or `closely` is set and there is one at all. Texts of those do not count.
    fn look(
        &self,
        py: Python<'_>,
        records: &Bound<'_, PyList>,
        kind: i32,
        closely: bool,
    ) -> PyResult<(u64, Vec<usize>)> {
        let mut resolved = 0;
        let mut suspects = Vec::new();
        for (place, record) in records.iter().enumerate() {
            let record = record.cast::<PyTuple>()?;
            if record.get_item(KIND)?.extract::<i32>()? != kind {
                continue;
            }
            let body = record.get_item(BODY)?;
            match self.known(py, body.cast::<PyBytes>()?.as_bytes())? {
                Some(count) if count == 0 || !closely => resolved += count,
                _ => suspects.push(place),
            }
        }
        Ok((resolved, suspects))
    }
}

impl KnownRecords {
    /// How many ids a body has; None where not all of them are known, or may not be seen.
    fn known(&self, py: Python<'_>, body: &[u8]) -> PyResult<Option<u64>> {
        if has_escaped_rid(body) {
            return Ok(None);
        }
        let mut count = 0;
        let mut behind = 0;
        for hash in memchr_iter(b'#', body) {
            // The quote before must not be the one that ended the id before.
            if hash < behind + 2 || body[hash - 1] != b'"' {
                continue;
            }
            match after_rid(body, hash + 1) {
                Text::Other => {}
                Text::Unknown => return Ok(None),
                Text::Rid(rid, end) => {
                    if !self.contains(py, rid)? {
                        return Ok(None);
                    }
                    count += 1;
                    behind = end;
                }
            }
        }
        Ok(Some(count))
    }

    fn contains(&self, py: Python<'_>, rid: Rid) -> PyResult<bool> {
        let Some((starts, ends)) = self.runs.get(&rid.0) else {
            return Ok(false);
        };
        let (Some(starts), Some(ends)) = (starts.as_slice(py), ends.as_slice(py)) else {
            return Ok(false);
        };
        let behind = starts.partition_point(|start| start.get() <= rid.1);
        let inside = behind > 0 && ends.get(behind - 1).is_some_and(|end| rid.1 < end.get());
        if !inside || self.apart.contains(&rid) {
            return Ok(false);
        }
        let skipped = self.skipped.bind(py);
        Ok(skipped.is_empty() || !skipped.contains(rid)?)
    }
}

enum Text {
    /// No record id.
    Other,
    /// One that no record can have.
    Unknown,
    /// And where its closing quote is.
    Rid(Rid, usize),
}

/// Reads what stands behind `"#`.
fn after_rid(body: &[u8], at: usize) -> Text {
    let Some((cluster, colon)) = digits(body, at) else {
        return Text::Other;
    };
    if body.get(colon) != Some(&b':') {
        return Text::Other;
    }
    let Some((position, quote)) = digits(body, colon + 1) else {
        return Text::Other;
    };
    if body.get(quote) != Some(&b'"') {
        return Text::Other;
    }
    match (cluster, position) {
        (Some(cluster), Some(position)) => Text::Rid((cluster, position), quote),
        _ => Text::Unknown,
    }
}

/// Digits, perhaps behind a minus, and where they end; without a number where that is negative or too large.
fn digits(body: &[u8], at: usize) -> Option<(Option<u64>, usize)> {
    let negative = *body.get(at)? == b'-';
    let begin = at + usize::from(negative);
    let mut number = (!negative).then_some(0u64);
    let mut end = begin;
    while let Some(digit) = body.get(end).filter(|byte| byte.is_ascii_digit()) {
        number =
            number.and_then(|so_far| so_far.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
        end += 1;
    }
    (end > begin).then_some((number, end))
}

/// Whether a character of a record id may be written as an escape: `\u002…` or `\u003…`.
fn has_escaped_rid(body: &[u8]) -> bool {
    memmem::find_iter(body, b"\\u00").any(|at| matches!(body.get(at + 4), Some(b'2' | b'3')))
}
