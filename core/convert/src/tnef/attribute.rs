//! Attributes: what a TNEF stream consists of (MS-OXTNEF 2.1.1, 2.1.2).

use ringpost_mapi::{
    CodecError, FileTime, Reader,
    calendar::{SECONDS_PER_DAY, civil_from_days, days_from_civil, weekday},
};

/// The first four bytes of a stream.
pub(super) const SIGNATURE: u32 = 0x223e_9f78;

/// Whether an attribute is the message's or an attachment's.
pub(super) const MESSAGE: u8 = 1;
pub(super) const ATTACHMENT: u8 = 2;

/// Attribute ids, with the type of the data in the high half.
pub(super) mod id {
    pub(in super::super) const FROM: u32 = 0x0000_8000;
    pub(in super::super) const SUBJECT: u32 = 0x0001_8004;
    pub(in super::super) const DATE_SENT: u32 = 0x0003_8005;
    pub(in super::super) const DATE_RECEIVED: u32 = 0x0003_8006;
    pub(in super::super) const MESSAGE_CLASS: u32 = 0x0007_8008;
    pub(in super::super) const MESSAGE_ID: u32 = 0x0001_8009;
    pub(in super::super) const BODY: u32 = 0x0002_800c;
    pub(in super::super) const PRIORITY: u32 = 0x0004_800d;
    pub(in super::super) const ATTACH_DATA: u32 = 0x0006_800f;
    pub(in super::super) const ATTACH_TITLE: u32 = 0x0001_8010;
    pub(in super::super) const ATTACH_META_FILE: u32 = 0x0006_8011;
    pub(in super::super) const ATTACH_CREATE_DATE: u32 = 0x0003_8012;
    pub(in super::super) const ATTACH_MODIFY_DATE: u32 = 0x0003_8013;
    pub(in super::super) const DATE_MODIFIED: u32 = 0x0003_8020;
    pub(in super::super) const ATTACH_TRANSPORT_FILENAME: u32 = 0x0006_9001;
    pub(in super::super) const ATTACH_REND_DATA: u32 = 0x0006_9002;
    pub(in super::super) const MESSAGE_PROPERTIES: u32 = 0x0006_9003;
    pub(in super::super) const RECIPIENT_TABLE: u32 = 0x0006_9004;
    pub(in super::super) const ATTACHMENT_PROPERTIES: u32 = 0x0006_9005;
    pub(in super::super) const TNEF_VERSION: u32 = 0x0008_9006;
    pub(in super::super) const OEM_CODE_PAGE: u32 = 0x0006_9007;
}

/// An attribute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub(super) level: u8,
    pub(super) id: u32,
    pub(super) data: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Reads the next attribute. Its checksum is not looked at: real streams have wrong ones around data that
    /// is right, and what is damaged shows in what it says.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, CodecError> {
        let level = reader.u8("attribute")?;
        if !matches!(level, MESSAGE | ATTACHMENT) {
            return Err(CodecError::Invalid("level of an attribute"));
        }
        let id = reader.u32("attribute")?;
        let length = reader.u32("attribute")? as usize;
        let data = reader.take(length, "attribute")?;
        // The stream may end with the data.
        let _checksum = reader.u16("attribute");
        Ok(Self { level, id, data })
    }

    /// Appends an attribute.
    pub(super) fn write(out: &mut Vec<u8>, level: u8, id: u32, data: &[u8]) -> Result<(), CodecError> {
        let length = u32::try_from(data.len()).map_err(|_| CodecError::OverLimit("attribute"))?;
        out.push(level);
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(data);
        let sum = data
            .iter()
            .fold(0_u16, |sum, &byte| sum.wrapping_add(u16::from(byte)));
        out.extend_from_slice(&sum.to_le_bytes());
        Ok(())
    }
}

/// Reads a `DTR`: year, month, day, hour, minute, second, day of the week (2.1.3.3.3).
pub(super) fn read_date(data: &[u8]) -> Result<FileTime, CodecError> {
    let mut reader = Reader::new(data);
    let mut next = || reader.u16("date").map(i64::from);
    let (year, month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?, next()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return Err(CodecError::Invalid("date"));
    }
    let days = days_from_civil(year, month, day);
    Ok(FileTime::from_unix_seconds(
        days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second,
    ))
}

/// A `DTR`; its fractions of a second are lost.
pub(super) fn write_date(time: FileTime) -> Vec<u8> {
    let seconds = time.unix_seconds();
    let (days, second) = (
        seconds.div_euclid(SECONDS_PER_DAY),
        seconds.rem_euclid(SECONDS_PER_DAY),
    );
    let (year, month, day) = civil_from_days(days);
    let fields = [
        year,
        month,
        day,
        second / 3600,
        second / 60 % 60,
        second % 60,
        weekday(days),
    ];
    fields
        .iter()
        .flat_map(|&field| (field as u16).to_le_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_specification_s_date() {
        // MS-OXTNEF 3.1: Tuesday, 02/17/2004, 11:25:35.
        let bytes = b"\xd4\x07\x02\0\x11\0\x0b\0\x19\0\x23\0\x02\0";
        let time = read_date(bytes).unwrap();
        assert_eq!(time, FileTime::from_unix_seconds(1_077_017_135));
        assert_eq!(write_date(time), bytes);
    }

    proptest! {
        #[test]
        fn dates_come_back(seconds in -11_000_000_000_i64..30_000_000_000) {
            let time = FileTime::from_unix_seconds(seconds);
            prop_assert_eq!(read_date(&write_date(time)).unwrap(), time);
        }
    }
}
