//! Records in the wire form of `ScanResponse` (proto/quiesce/v1/record.proto), written and read without an object for
//! each. A message in that form goes on in whatever is written behind it, so records can follow a head made elsewhere.

use prost::encoding::{
    decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint, key_len, skip_field,
    DecodeContext, WireType,
};
use prost::DecodeError;

// Fields of ScanResponse.
const INDEX: u32 = 1;
const RECORDS: u32 = 2;
// Fields of Record.
const CLUSTER: u32 = 1;
const POSITION: u32 = 2;
const VERSION: u32 = 3;
const KIND: u32 = 4;
const BODY: u32 = 5;

#[derive(Default)]
pub struct Record<'data> {
    pub cluster: u64,
    pub position: u64,
    pub version: u64,
    pub kind: u64,
    pub body: &'data [u8],
}

impl<'data> Record<'data> {
    /// Appends the record as one of a ScanResponse's `records`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let numbers = [
            (CLUSTER, self.cluster),
            (POSITION, self.position),
            (VERSION, self.version),
            (KIND, self.kind),
        ];
        // What is zero or empty is left out, as every writer of this form does.
        let given = || numbers.into_iter().filter(|(_, value)| *value != 0);
        let length = self.body.len();
        let mut size: usize = given()
            .map(|(field, value)| key_len(field) + encoded_len_varint(value))
            .sum();
        if length > 0 {
            size += key_len(BODY) + encoded_len_varint(length as u64) + length;
        }
        encode_key(RECORDS, WireType::LengthDelimited, out);
        encode_varint(size as u64, out);
        for (field, value) in given() {
            encode_key(field, WireType::Varint, out);
            encode_varint(value, out);
        }
        if length > 0 {
            encode_key(BODY, WireType::LengthDelimited, out);
            encode_varint(length as u64, out);
            out.extend_from_slice(self.body);
        }
    }

    fn read(mut data: &'data [u8]) -> Result<Self, DecodeError> {
        let mut record = Record::default();
        while !data.is_empty() {
            match decode_key(&mut data)? {
                (CLUSTER, WireType::Varint) => record.cluster = decode_varint(&mut data)?,
                (POSITION, WireType::Varint) => record.position = decode_varint(&mut data)?,
                (VERSION, WireType::Varint) => record.version = decode_varint(&mut data)?,
                (KIND, WireType::Varint) => record.kind = decode_varint(&mut data)?,
                (BODY, WireType::LengthDelimited) => record.body = delimited(&mut data)?,
                (field, form) => skip_field(form, field, &mut data, DecodeContext::default())?,
            }
        }
        Ok(record)
    }
}

/// Calls `each` for every record of a ScanResponse, and returns the response's index.
pub fn read_scan<'data, E: From<DecodeError>>(
    mut data: &'data [u8],
    mut each: impl FnMut(Record<'data>) -> Result<(), E>,
) -> Result<u64, E> {
    let mut index = 0;
    while !data.is_empty() {
        match decode_key(&mut data)? {
            (INDEX, WireType::Varint) => index = decode_varint(&mut data)?,
            (RECORDS, WireType::LengthDelimited) => each(Record::read(delimited(&mut data)?)?)?,
            (field, form) => skip_field(form, field, &mut data, DecodeContext::default())?,
        }
    }
    Ok(index)
}

fn delimited<'data>(data: &mut &'data [u8]) -> Result<&'data [u8], DecodeError> {
    let length = decode_varint(data)?;
    let (taken, rest) = usize::try_from(length)
        .ok()
        .and_then(|length| data.split_at_checked(length))
        .ok_or_else(|| DecodeError::new("a field goes on behind the end of the message"))?;
    *data = rest;
    Ok(taken)
}
