//! IDLE (RFC 2177): changes are told as they happen.

use ringpost_host::{Connection, Host};

use super::{
    Session,
    notify::Wake,
    reply::{End, Failure, Reply},
};
use crate::limits;

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn idle(&mut self) -> Result<Reply, Failure> {
        self.idled = true;
        self.out.extend_from_slice(b"+ idling\r\n");
        loop {
            self.sync(true).await?;
            if self.notify.is_some() {
                Box::pin(self.tell_watched()).await?;
            }
            self.flush().await?;
            if let Some(end) = memchr::memchr(b'\n', &self.stream.input) {
                let line: Vec<u8> = self.stream.input.drain(..=end).collect();
                return if line.trim_ascii().eq_ignore_ascii_case(b"DONE") {
                    Ok(Reply::ok("IDLE completed"))
                } else {
                    Err(Reply::bad("expected DONE").into())
                };
            }
            if self.stream.input.len() > limits::LINE_BYTES {
                return Err(End::Bye("expected DONE").into());
            }
            if let (Wake::Selected, Some(selected)) = (self.wait().await?, &mut self.selected) {
                selected.mark_stale();
            }
        }
    }
}
