//! The records of a scan's answer as they stand in an export. It writes plain documents, and leaves everything else to
//! the caller's slow and careful way (quiesce/orientdb/record_form.py), whose text it takes: what it writes is what that
//! way would write.

use memchr::memchr_iter;
use prost::DecodeError;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::escapes::push_ascii;
use crate::wire::{read_scan, Record};

const DOCUMENT: u64 = 1;
const U64_DIGITS: usize = 20;
/// Clusters, and how many records of each.
type Counts = Vec<(u64, usize)>;

/// Writes the records of the messages of one scan.
///
/// Args: what stands before each record; the ids of records that are always left to `careful`; the clusters whose
/// records are wanted, None: all; the clusters that have another id in the file, which are (id, id there); and
/// `careful(cluster, position, version, kind, body)`, which returns the text of a record, or None to leave it out.
#[pyclass(frozen)]
pub struct RecordTexts {
    separator: Vec<u8>,
    apart: Vec<(u64, u64)>,
    wanted: Option<Vec<u64>>,
    moved: Vec<(u64, u64)>,
    careful: Py<PyAny>,
}

#[pymethods]
impl RecordTexts {
    #[new]
    #[pyo3(signature = (*, separator, apart, wanted, moved, careful))]
    fn new(
        separator: Vec<u8>,
        apart: Vec<(u64, u64)>,
        wanted: Option<Vec<u64>>,
        moved: Vec<(u64, u64)>,
        careful: Py<PyAny>,
    ) -> Self {
        RecordTexts {
            separator,
            apart,
            wanted,
            moved,
            careful,
        }
    }

    /// Returns a ScanResponse's index, the text of its records, and how many of them are of which cluster, in their
    /// order: a list of (cluster, records).
    ///
    /// Raises ValueError: it is no ScanResponse.
    fn of<'py>(
        &self,
        py: Python<'py>,
        message: &[u8],
    ) -> PyResult<(u64, Bound<'py, PyBytes>, Counts)> {
        let mut out = Vec::with_capacity(message.len() + message.len() / 2);
        let mut counts = Counts::new();
        let index = read_scan::<Failure>(message, |record| {
            if self.push(py, &record, &mut out)? {
                match counts.last_mut() {
                    Some((cluster, count)) if *cluster == record.cluster => *count += 1,
                    _ => counts.push((record.cluster, 1)),
                }
            }
            Ok(())
        })
        .map_err(|failure| failure.0)?;
        Ok((index, PyBytes::new(py, &out), counts))
    }
}

impl RecordTexts {
    /// Appends the text of a record, and returns whether there is one.
    fn push(&self, py: Python<'_>, record: &Record<'_>, out: &mut Vec<u8>) -> PyResult<bool> {
        let apart = self.apart.contains(&(record.cluster, record.position));
        let unwanted = |wanted: &Vec<u64>| !wanted.contains(&record.cluster);
        if !apart && self.wanted.as_ref().is_some_and(unwanted) {
            return Ok(false);
        }
        let start = out.len();
        out.extend_from_slice(&self.separator);
        if !apart && record.kind == DOCUMENT {
            if self.push_document(record, out).is_some() {
                return Ok(true);
            }
            out.truncate(start + self.separator.len());
        }
        let text = self.careful.bind(py).call1((
            record.cluster,
            record.position,
            record.version,
            record.kind,
            PyBytes::new(py, record.body),
        ))?;
        if text.is_none() {
            out.truncate(start);
            return Ok(false);
        }
        out.extend_from_slice(text.cast::<PyBytes>()?.as_bytes());
        Ok(true)
    }

    /// None where it takes more care; `out` may have grown then.
    fn push_document(&self, record: &Record<'_>, out: &mut Vec<u8>) -> Option<()> {
        let (b'{', fields) = record.body.split_first()? else {
            return None;
        };
        // Not as we write it: there may be more white space further on.
        if fields.first() == Some(&b' ') || fields.last() != Some(&b'}') {
            return None;
        }
        let moved = self.moved.iter().find(|(id, _)| *id == record.cluster);
        out.extend_from_slice(b"{\"@type\":\"d\",\"@rid\":\"#");
        push_number(moved.map_or(record.cluster, |(_, there)| *there), out);
        out.push(b':');
        push_number(record.position, out);
        out.extend_from_slice(b"\",\"@version\":");
        push_number(record.version, out);
        if fields.len() > 1 {
            out.push(b',');
        }
        let start = out.len();
        push_ascii(fields, out)?;
        let text = out.get(start..)?;
        (!may_trap(text) && !self.may_link_to_moved(text)).then_some(())
    }

    /// Whether a string in it may be the id of a record whose cluster has another id in the file.
    fn may_link_to_moved(&self, text: &[u8]) -> bool {
        if self.moved.is_empty() {
            return false;
        }
        memchr_iter(b'#', text).any(|at| {
            let rest = text.get(at + 1..).unwrap_or_default();
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (id, tail) = rest.split_at(digits);
            let place = matches!(tail, [b':', b'0'..=b'9', ..]);
            let same = |(moved, _): &(u64, u64)| moved.to_string().as_bytes() == id;
            place && self.moved.iter().any(same)
        })
    }
}

/// Whether there may be a value in it at which OrientDB's importer ends: see quiesce/orientdb/import_traps.py.
fn may_trap(text: &[u8]) -> bool {
    let coded = memchr_iter(b'=', text).any(|at| text.get(at + 1) == Some(&b'b'));
    let suspect = |at: usize| {
        matches!(
            text.get(at + 1..).unwrap_or_default(),
            [b'"', b'"', ..] | [b'-', b'1', b'0'..=b'2', b'0'..=b'9', b',' | b'}', ..]
        )
    };
    coded && memchr_iter(b':', text).any(suspect)
}

fn push_number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; U64_DIGITS];
    let mut rest = number;
    let mut length = 0;
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            length = place + 1;
            break;
        }
    }
    out.extend(digits.get(U64_DIGITS - length..).unwrap_or_default());
}

struct Failure(PyErr);

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Failure(error)
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Failure(PyValueError::new_err(error.to_string()))
    }
}
