//! One record: its id, its version, and its body in the form of docs/formats/record.md.

use super::field_types::holds;
use crate::json::{
    after_literal, after_number, after_space, after_string, integer, is_space, DEEPEST,
};

const LARGEST_CLUSTER: u64 = 32_767;
const LARGEST_POSITION: u64 = i64::MAX as u64;
const LARGEST_VERSION: u64 = i32::MAX as u64;

pub struct Document {
    /// Where it begins in the data.
    pub at: usize,
    pub cluster: u64,
    pub position: u64,
    pub version: u64,
    /// Where its body ends among the bodies.
    pub body_end: usize,
}

/// A cursor in the data that writes what it reads, without white space, behind `out`.
pub struct Reading<'data> {
    data: &'data [u8],
    pub at: usize,
    out: &'data mut Vec<u8>,
    pub types_twice: u64,
}

/// The texts of a record's @-keys, without quotes.
#[derive(Default)]
struct Keys<'data> {
    kind: Option<&'data [u8]>,
    rid: Option<&'data [u8]>,
    version: Option<&'data [u8]>,
    class: Option<&'data [u8]>,
    class_written: bool,
    types: Option<&'data [u8]>,
}

/// Sets what must be there once at most.
fn once<'data>(place: &mut Option<&'data [u8]>, text: &'data [u8]) -> Option<()> {
    place.replace(text).is_none().then_some(())
}

/// None for a name that is an @-key in disguise, in escapes.
fn plain(name: &[u8]) -> Option<()> {
    let disguised =
        name.contains(&b'\\') && (name.starts_with(b"@") || name.starts_with(b"\\u0040"));
    (!disguised).then_some(())
}

impl<'data> Reading<'data> {
    pub fn new(data: &'data [u8], at: usize, out: &'data mut Vec<u8>) -> Self {
        Reading {
            data,
            at,
            out,
            types_twice: 0,
        }
    }

    /// Reads a record, from its brace on.
    pub fn record(&mut self) -> Option<Document> {
        let start = self.at;
        let body = self.out.len();
        let mut keys = Keys::default();
        self.out.push(b'{');
        self.take(b'{')?;
        if !self.ends(b'}') {
            loop {
                self.field(&mut keys)?;
                if self.ends(b'}') {
                    break;
                }
                self.take(b',')?;
            }
        }
        if !matches!(keys.kind.unwrap_or(b"d"), b"d" | b"v" | b"e") {
            return None;
        }
        if let (Some(class), false) = (keys.class, keys.class_written) {
            self.class_first(body, class);
        }
        if let Some(types) = keys.types {
            self.push_types(body, types);
        }
        self.out.push(b'}');
        if !self.out.get(body..)?.is_ascii() {
            std::str::from_utf8(self.out.get(body..)?).ok()?;
        }
        let rid = keys.rid?.strip_prefix(b"#")?;
        let colon = rid.iter().position(|byte| *byte == b':')?;
        let document = Document {
            at: start,
            cluster: integer(rid.get(..colon)?, 5)?,
            position: integer(rid.get(colon + 1..)?, 19)?,
            version: integer(keys.version.unwrap_or(b"1"), 10)?,
            body_end: self.out.len(),
        };
        let fits = document.cluster <= LARGEST_CLUSTER
            && document.position <= LARGEST_POSITION
            && document.version <= LARGEST_VERSION;
        fits.then_some(document)
    }

    fn field(&mut self, keys: &mut Keys<'data>) -> Option<()> {
        let name = self.string()?;
        self.take(b':')?;
        plain(name)?;
        match name {
            b"@type" => once(&mut keys.kind, self.string()?),
            b"@rid" => once(&mut keys.rid, self.string()?),
            b"@class" => {
                let class = self.string()?;
                if self.out.last() == Some(&b'{') {
                    self.push_name(name);
                    self.push_string(class);
                    keys.class_written = true;
                }
                once(&mut keys.class, class)
            }
            b"@version" => {
                self.at = after_space(self.data, self.at);
                let end = after_number(self.data, self.at)?;
                let text = self.data.get(self.at..end)?;
                self.at = end;
                once(&mut keys.version, text)
            }
            b"@fieldTypes" => {
                let late = self.types()?;
                if let Some(early) = keys.types.replace(late) {
                    self.types_twice += 1;
                    holds(late, early).then_some(())?;
                }
                Some(())
            }
            _ => {
                if self.out.last() != Some(&b'{') {
                    self.out.push(b',');
                }
                self.push_name(name);
                self.value(DEEPEST)
            }
        }
    }

    fn types(&mut self) -> Option<&'data [u8]> {
        let text = self.string()?;
        // An entry `name==b` changes the value beside it: see quiesce/orientdb/import_traps.py.
        let ours = text.windows(3).any(|part| part == b"==b");
        (!ours && !text.contains(&b'\\')).then_some(text)
    }

    fn value(&mut self, deeper: usize) -> Option<()> {
        self.at = after_space(self.data, self.at);
        let end = match *self.data.get(self.at)? {
            b'{' => return self.object(deeper.checked_sub(1)?),
            b'[' => return self.array(deeper.checked_sub(1)?),
            b'"' => after_string(self.data, self.at)?,
            b't' | b'f' | b'n' => after_literal(self.data, self.at)?,
            _ => after_number(self.data, self.at)?,
        };
        self.out.extend_from_slice(self.data.get(self.at..end)?);
        self.at = end;
        Some(())
    }

    fn array(&mut self, deeper: usize) -> Option<()> {
        self.take(b'[')?;
        self.out.push(b'[');
        if !self.ends(b']') {
            loop {
                self.value(deeper)?;
                if self.ends(b']') {
                    break;
                }
                self.take(b',')?;
                self.out.push(b',');
            }
        }
        self.out.push(b']');
        Some(())
    }

    /// An embedded document or a map: its `@fieldTypes`, if any, once and at its end.
    fn object(&mut self, deeper: usize) -> Option<()> {
        self.take(b'{')?;
        let start = self.out.len();
        self.out.push(b'{');
        let mut types: Option<&'data [u8]> = None;
        if !self.ends(b'}') {
            loop {
                let name = self.string()?;
                self.take(b':')?;
                plain(name)?;
                if name == b"@fieldTypes" {
                    let late = self.types()?;
                    if let Some(early) = types.replace(late) {
                        self.types_twice += 1;
                        holds(late, early).then_some(())?;
                    }
                } else {
                    if self.out.len() > start + 1 {
                        self.out.push(b',');
                    }
                    self.push_name(name);
                    self.value(deeper)?;
                }
                if self.ends(b'}') {
                    break;
                }
                self.take(b',')?;
            }
        }
        if let Some(types) = types {
            self.push_types(start, types);
        }
        self.out.push(b'}');
        Some(())
    }

    fn push_name(&mut self, name: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b"\":");
    }

    /// Writes `@fieldTypes` as the last key of the object that began at `start`.
    fn push_types(&mut self, start: usize, types: &[u8]) {
        if self.out.len() > start + 1 {
            self.out.push(b',');
        }
        self.push_name(b"@fieldTypes");
        self.push_string(types);
    }

    fn push_string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(text);
        self.out.push(b'"');
    }

    /// Puts `@class` in front of the fields of the body that began at `start`.
    fn class_first(&mut self, start: usize, class: &[u8]) {
        let comma: &[u8] = if self.out.len() > start + 1 {
            b","
        } else {
            b""
        };
        let lead = [b"\"@class\":\"".as_slice(), class, b"\"", comma].concat();
        self.out.splice(start + 1..start + 1, lead);
    }

    /// Takes a string and returns what is between its quotes.
    fn string(&mut self) -> Option<&'data [u8]> {
        self.at = after_space(self.data, self.at);
        let end = after_string(self.data, self.at)?;
        let text = self.data.get(self.at + 1..end - 1)?;
        self.at = end;
        Some(text)
    }

    /// Takes one byte, behind white space.
    fn take(&mut self, expected: u8) -> Option<()> {
        if self.data.get(self.at).copied().is_some_and(is_space) {
            self.at = after_space(self.data, self.at);
        }
        (*self.data.get(self.at)? == expected).then(|| self.at += 1)
    }

    /// Takes the bracket that ends something, if it is there.
    fn ends(&mut self, bracket: u8) -> bool {
        self.take(bracket).is_some()
    }
}
