//! Structures of MAPI as clients send them: restrictions, rule actions, id sets, entry ids, values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_mapi::{
    change, codec::Reader, entryid, idset, restriction::Restriction, rule_action, wire::WireFormat,
};

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let format = if choice & 0x80 == 0 {
        WireFormat::ROP
    } else {
        WireFormat::EXTENDED_RULE
    };
    match choice & 0x7f {
        0 => drop(Restriction::decode(data, format)),
        1 => drop(rule_action::RuleActions::decode(data, format)),
        2 => drop(idset::IdSet::<u16>::decode(data)),
        3 => drop(change::PredecessorChangeList::decode(data)),
        4 => drop(entryid::FolderEntryId::decode(data)),
        5 => drop(entryid::MessageEntryId::decode(data)),
        6 => drop(format.read_tagged(&mut Reader::new(data))),
        _ => drop(format.read_typed(&mut Reader::new(data))),
    }
});
