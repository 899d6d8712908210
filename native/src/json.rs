//! The tokens and values of JSON, checked strictly. Each function returns the place behind a token that begins at `at`, or None
//! where there is none that is whole and right.

/// Deeper values are left to the caller: a document is read by recursion.
pub const DEEPEST: usize = 200;

pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

pub fn after_space(data: &[u8], mut at: usize) -> usize {
    while data.get(at).is_some_and(|byte| is_space(*byte)) {
        at += 1;
    }
    at
}

/// A string with its quotes. UTF-8 is not checked.
pub fn after_string(data: &[u8], at: usize) -> Option<usize> {
    if *data.get(at)? != b'"' {
        return None;
    }
    let mut at = at + 1;
    loop {
        match *data.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at = after_escape(data, at)?,
            0..=0x1f => return None,
            _ => at += 1,
        }
    }
}

fn after_escape(data: &[u8], at: usize) -> Option<usize> {
    match *data.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => match code_unit(data, at + 2)? {
            0xd800..=0xdbff => {
                let low = data.get(at + 6..at + 8)? == b"\\u"
                    && (0xdc00..=0xdfff).contains(&code_unit(data, at + 8)?);
                low.then_some(at + 12)
            }
            0xdc00..=0xdfff => None,
            _ => Some(at + 6),
        },
        _ => None,
    }
}

/// The four hexadecimal digits of an escape.
pub fn code_unit(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..at + 4)?.iter().try_fold(0, |code, byte| {
        Some(code * 16 + char::from(*byte).to_digit(16)?)
    })
}

/// A number. One that touches the end of `data` may go on behind it: None.
pub fn after_number(data: &[u8], at: usize) -> Option<usize> {
    let at = at + usize::from(*data.get(at)? == b'-');
    let mut end = match *data.get(at)? {
        b'0' => at + 1,
        b'1'..=b'9' => after_digits(data, at)?,
        _ => return None,
    };
    if *data.get(end)? == b'.' {
        end = after_digits(data, end + 1)?;
    }
    if matches!(*data.get(end)?, b'e' | b'E') {
        end += 1 + usize::from(matches!(*data.get(end + 1)?, b'+' | b'-'));
        end = after_digits(data, end)?;
    }
    matches!(
        *data.get(end)?,
        b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n'
    )
    .then_some(end)
}

/// One digit or more.
fn after_digits(data: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while data.get(end)?.is_ascii_digit() {
        end += 1;
    }
    (end > at).then_some(end)
}

pub fn after_literal(data: &[u8], at: usize) -> Option<usize> {
    [b"true".as_slice(), b"false", b"null"]
        .into_iter()
        .find(|word| data.get(at..).is_some_and(|rest| rest.starts_with(word)))
        .map(|word| at + word.len())
}

/// An object whose values nest at most `deeper` levels. `takes` sees each name, with its quotes, and the first byte of what
/// it names, and says whether that is right.
pub fn after_object(
    data: &[u8],
    at: usize,
    deeper: usize,
    takes: &dyn Fn(&[u8], u8) -> bool,
) -> Option<usize> {
    let mut at = after(data, at, b'{')?;
    if let Some(end) = after(data, at, b'}') {
        return Some(end);
    }
    loop {
        at = after_space(data, at);
        let name_end = after_string(data, at)?;
        let value = after_space(data, after(data, name_end, b':')?);
        if !takes(data.get(at..name_end)?, *data.get(value)?) {
            return None;
        }
        at = after_value(data, value, deeper)?;
        if let Some(end) = after(data, at, b'}') {
            return Some(end);
        }
        at = after(data, at, b',')?;
    }
}

fn after_value(data: &[u8], at: usize, deeper: usize) -> Option<usize> {
    match *data.get(at)? {
        b'{' => after_object(data, at, deeper.checked_sub(1)?, &|_, _| true),
        b'[' => after_array(data, at, deeper.checked_sub(1)?),
        b'"' => after_string(data, at),
        b't' | b'f' | b'n' => after_literal(data, at),
        _ => after_number(data, at),
    }
}

fn after_array(data: &[u8], at: usize, deeper: usize) -> Option<usize> {
    let mut at = after(data, at, b'[')?;
    if let Some(end) = after(data, at, b']') {
        return Some(end);
    }
    loop {
        at = after_value(data, after_space(data, at), deeper)?;
        if let Some(end) = after(data, at, b']') {
            return Some(end);
        }
        at = after(data, at, b',')?;
    }
}

/// The place behind one byte and the white space before it.
fn after(data: &[u8], at: usize, expected: u8) -> Option<usize> {
    let at = after_space(data, at);
    (*data.get(at)? == expected).then_some(at + 1)
}

/// The decimal number that a text is, with at most so many digits.
pub fn integer(text: &[u8], digits: usize) -> Option<u64> {
    if text.is_empty() || text.len() > digits || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
