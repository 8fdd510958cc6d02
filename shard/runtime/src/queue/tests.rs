//! A core's part of the queue: shared syncs, large messages, a disk that fails.

use std::path::Path;

use ringpost_host::{Envelope, EnvelopeRecipient};

use super::*;
use crate::{
    sys::FAIL_SYNCS,
    testing::{disk_folder, on_core},
    waiters::within,
};

fn queue(shard: &Rc<Shard>, folder: &Path) -> ShardQueue {
    let (spool, found) = Spool::open(folder).unwrap();
    let parts = QueueParts {
        active: spool.create_segment().unwrap(),
        spool: Arc::new(spool),
        found: found.segments,
        memory_max: 100,
    };
    ShardQueue {
        shard: Rc::clone(shard),
        store: Rc::new(QueueStore::new(parts).unwrap()),
    }
}

fn message(content: &str) -> Outgoing {
    Outgoing {
        envelope: Envelope::default(),
        recipients: vec![EnvelopeRecipient::new("a@example.net")],
        content: Bytes::from(content.to_owned()),
    }
}

fn listed(folder: &Path) -> usize {
    ringpost_spool::read_only(folder).unwrap().len()
}

fn segments(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("journal")).unwrap().count()
}

#[test]
fn messages_that_come_together_share_syncs_and_survive_the_process() {
    on_core(1, |shard| async move {
        let folder = disk_folder();
        let queue = queue(&shard, folder.path());
        let before = shard.metrics.syncs.get();
        let tasks: Vec<_> = (0..50)
            .map(|number| {
                let queue = queue.clone();
                ringpost_executor::spawn_local(async move {
                    queue
                        .enqueue(message(&format!("message {number}")))
                        .await
                        .unwrap()
                })
            })
            .collect();
        let mut ids = Vec::new();
        for task in tasks {
            ids.push(task.await);
        }
        assert!(shard.metrics.syncs.get() - before <= 4, "they share their syncs");
        assert_eq!(queue.arrivals().await.len(), 50);
        assert_eq!(listed(folder.path()), 50);
        // Also those that found no room in memory.
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(queue.content(*id).await.unwrap(), format!("message {number}"));
            assert_eq!(queue.content(*id).await.unwrap(), format!("message {number}"));
        }
        let report = QueueUpdate {
            remove: true,
            messages: vec![message("report")],
            ..QueueUpdate::default()
        };
        queue.update(ids[0], &report).await.unwrap();
        let told = queue.arrivals().await;
        assert_eq!(queue.content(told[0].id).await.unwrap(), "report");
        for id in &ids[1..] {
            let done = QueueUpdate {
                remove: true,
                ..QueueUpdate::default()
            };
            queue.update(*id, &done).await.unwrap();
        }
        assert_eq!(listed(folder.path()), 1);
        assert_eq!(queue.store.figures().messages, 1);
        assert_eq!(queue.store.figures().bytes, 6);
    });
}

#[test]
fn a_large_message_has_a_segment_that_goes_with_it() {
    on_core(1, |shard| async move {
        let folder = disk_folder();
        let queue = queue(&shard, folder.path());
        let large = "x".repeat(LARGE);
        let id = queue.enqueue(message(&large)).await.unwrap();
        assert_eq!(segments(folder.path()), 2);
        assert_eq!(queue.arrivals().await[0].id, id);
        assert_eq!(queue.content(id).await.unwrap(), large);
        let done = QueueUpdate {
            remove: true,
            ..QueueUpdate::default()
        };
        queue.update(id, &done).await.unwrap();
        while segments(folder.path()) > 1 {
            ringpost_executor::timer::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn what_the_disk_does_not_confirm_is_refused_and_never_sent() {
    on_core(1, |shard| async move {
        let folder = disk_folder();
        let queue = queue(&shard, folder.path());
        FAIL_SYNCS.set(true);
        let refused = queue.enqueue(message("lost")).await;
        assert!(matches!(refused, Err(EnqueueError::NotDurable(_))));
        FAIL_SYNCS.set(false);
        assert!(
            within(Duration::from_millis(20), queue.arrivals())
                .await
                .is_none()
        );
        assert_eq!(listed(folder.path()), 0, "it does not come back");
        // Another segment takes what comes next, as soon as it is made.
        while queue.enqueue(message("next")).await.is_err() {
            ringpost_executor::timer::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(queue.arrivals().await.len(), 1);
        assert!(matches!(
            queue
                .enqueue(Outgoing {
                    recipients: Vec::new(),
                    ..message("")
                })
                .await,
            Err(EnqueueError::Recipients)
        ));
    });
}
