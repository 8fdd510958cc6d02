//! What a protocol derives from a mailbox and keeps with it while it is open, so that the next request need not
//! derive it again. The store does not look into it.

use std::any::Any;

use crate::Mailbox;

/// One value of each type.
#[derive(Default)]
pub(crate) struct Memos(Vec<Memo>);

struct Memo {
    value: Box<dyn Any + Send>,
    bytes: u64,
}

impl Memos {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Memory of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|memo| memo.bytes).sum()
    }
}

impl Mailbox {
    /// Takes what was kept of this type, or makes a new one. Whoever takes it gives it back
    /// ([`Self::keep_memo`]), bounds its memory, and looks by change numbers whether it is still true; what was
    /// seen in a transaction must not be kept. It is lost when the mailbox is closed or trimmed, or a transaction
    /// fails.
    pub fn take_memo<T: Any + Send + Default>(&mut self) -> Box<T> {
        let memos = &mut self.memos.0;
        memos
            .iter()
            .position(|memo| memo.value.is::<T>())
            .and_then(|at| memos.swap_remove(at).value.downcast().ok())
            .unwrap_or_default()
    }

    /// Keeps a value, which takes so much memory, until it is taken.
    pub fn keep_memo<T: Any + Send>(&mut self, value: Box<T>, bytes: u64) {
        let memos = &mut self.memos.0;
        memos.retain(|known| !known.value.is::<T>());
        memos.push(Memo { value, bytes });
    }

    /// Lets others run if this step has held the core for its slice: for long loops between two reads.
    pub fn breathe(&mut self) {
        ringpost_vfs::breathe();
    }
}
