//! IDLE (RFC 2177): changes are told as they happen.

use futures_lite::future::or;
use ringpost_host::{Connection, Host, Subscription};

use super::{
    Session,
    reply::{End, Failure, Reply},
};
use crate::limits;

enum Wake {
    Input,
    Event,
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn idle(&mut self) -> Result<Reply, Failure> {
        self.idled = true;
        self.out.extend_from_slice(b"+ idling\r\n");
        loop {
            self.sync(true).await?;
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
            if let (Wake::Event, Some(selected)) = (self.wait().await?, &mut self.selected) {
                selected.mark_stale();
            }
        }
    }

    async fn wait(&mut self) -> Result<Wake, End> {
        let Some((_, subscription)) = self.subscription.as_mut().filter(|_| self.selected.is_some()) else {
            return self.fill().await.map(|()| Wake::Input);
        };
        let folder = self.selected.as_ref().map(|selected| selected.folder);
        let event = async {
            // Events of other folders need no answer.
            while subscription
                .next()
                .await
                .is_some_and(|event| Some(event.folder) != folder)
            {}
            Ok(Wake::Event)
        };
        let stopping = async {
            self.host.stopping().await;
            Err(End::Bye("the server is shutting down"))
        };
        let timeout = self.settings.autologout_time;
        let input = async {
            match self.stream.fill(timeout).await {
                Ok(0) => Err(End::Closed),
                Ok(_) => Ok(Wake::Input),
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                    Err(End::Bye("automatic logout; idle for too long"))
                }
                Err(_) => Err(End::Closed),
            }
        };
        or(input, or(event, stopping)).await
    }
}
