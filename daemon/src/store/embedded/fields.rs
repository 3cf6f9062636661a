//! Length-prefixed fields, the ground of every binary record.

use bytes::{Buf, Bytes};

use crate::store::record::Damaged;

/// Appends `value`, seven bits a byte, low bits first.
pub(super) fn put_number(record: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        record.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    record.push(value as u8);
}

/// Appends the length of `bytes` and the bytes.
pub(super) fn put_bytes(record: &mut Vec<u8>, bytes: &[u8]) {
    put_number(record, bytes.len());
    record.extend_from_slice(bytes);
}

/// Takes fields off the front of a record.
#[derive(Debug)]
pub(super) struct Fields(pub(super) Bytes);

impl Fields {
    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        self.0.try_get_u8().map_err(|_| "a byte is missing".into())
    }

    pub(super) fn number(&mut self) -> Result<usize, Damaged> {
        let mut value = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number does not end".into())
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Damaged> {
        let len = self.number()?;
        self.exactly(len)
    }

    pub(super) fn exactly(&mut self, len: usize) -> Result<Bytes, Damaged> {
        if len > self.0.len() {
            return Err("a field is cut short".into());
        }
        Ok(self.0.split_to(len))
    }

    pub(super) fn text(&mut self) -> Result<String, Damaged> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| "a text is not UTF-8".into())
    }

    /// Refuses what is left over.
    pub(super) fn end(&self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err("bytes are left over".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_a_cut_record_is_damaged() {
        let mut record = Vec::new();
        put_number(&mut record, usize::MAX);
        put_bytes(&mut record, &[7; 300]);
        let whole = Bytes::from(record);
        let mut fields = Fields(whole.clone());
        assert_eq!(fields.number(), Ok(usize::MAX));
        assert_eq!(fields.bytes().unwrap(), vec![7; 300]);
        assert_eq!(fields.end(), Ok(()));
        for cut in 0..whole.len() {
            let mut fields = Fields(whole.slice(..cut));
            let read = fields.number().and_then(|_| fields.bytes());
            assert!(matches!(read, Err(Damaged(_))), "{cut}");
        }
    }
}
