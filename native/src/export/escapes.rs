//! JSON text in the escapes that OrientDB's importer reads; `ascii_json` of quiesce/orientdb/escapes.py says which.

use crate::json::code_unit;

/// Appends text in ASCII. None where it is not compact JSON in UTF-8; `out` may have grown then.
pub fn push_ascii(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    // Without a branch, so that the compiler takes many bytes at once: nearly all text passes whole.
    let special = text.iter().fold(0, |any, byte| any | special(*byte));
    if special == 0 {
        out.extend_from_slice(text);
        return Some(());
    }
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| self::special(*byte) != 0) {
        let (plain, found) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = match found {
            [b'\\', b'u', ..] => {
                push_code(found.get(2..6)?, out)?;
                found.get(6..)?
            }
            [b'\\', letter, after @ ..] => {
                out.extend_from_slice(match letter {
                    b'b' => b"\\u0008",
                    b'f' => b"\\u000c",
                    b'n' => b"\\u000a",
                    b'r' => b"\\u000d",
                    b't' => b"\\u0009",
                    b'/' => b"/",
                    b'"' => b"\\\"",
                    b'\\' => b"\\\\",
                    _ => return None,
                });
                after
            }
            [0x7f, after @ ..] => {
                push_unit(0x7f, out);
                after
            }
            [0x80..=0xff, ..] => {
                let end = found.iter().position(u8::is_ascii).unwrap_or(found.len());
                let (wide, after) = found.split_at(end);
                for unit in std::str::from_utf8(wide).ok()?.encode_utf16() {
                    push_unit(unit, out);
                }
                after
            }
            _ => return None,
        };
    }
    out.extend_from_slice(rest);
    Some(())
}

/// Not 0 for what may not stay as it is.
fn special(byte: u8) -> u8 {
    u8::from(byte < 0x20) | u8::from(byte >= 0x7f) | u8::from(byte == b'\\')
}

/// Appends what the four hexadecimal digits behind `\u` stand for.
fn push_code(digits: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let code = u16::try_from(code_unit(digits, 0)?).ok()?;
    match u8::try_from(code) {
        Ok(byte @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', byte]),
        Ok(byte @ 0x20..0x7f) => out.push(byte),
        _ => push_unit(code, out),
    }
    Some(())
}

fn push_unit(unit: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        let digit = usize::from(unit >> shift & 0xf);
        out.extend(b"0123456789abcdef".get(digit));
    }
}
