use std::{
    cell::{Cell, RefCell},
    fs::File,
    io::{Read, Write},
    net,
    os::fd::AsRawFd,
    rc::Rc,
    sync::mpsc,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    channel::bounded,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    timer::sleep,
};

const SOON: Duration = Duration::from_millis(10);

/// Runs `test` on an executor; its panics become the caller's.
fn on_executor<F>(test: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    Builder::new("test").spawn(test).unwrap().join().unwrap();
}

#[test]
fn tasks_run_in_turns_and_give_their_results() {
    on_executor(|| async {
        let order: Rc<RefCell<Vec<u32>>> = Rc::default();
        let tasks: Vec<_> = (0..3)
            .map(|number| {
                let order = Rc::clone(&order);
                spawn_local(async move {
                    for turn in 0..2 {
                        order.borrow_mut().push(turn * 10 + number);
                        yield_now().await;
                    }
                    number
                })
            })
            .collect();
        for (number, task) in (0..).zip(tasks) {
            assert_eq!(task.await, number);
        }
        let mut order = order.take();
        assert_eq!(order[0], 0);
        // Whoever had a little less time is first, so the turns may mix; all had both.
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 10, 11, 12]);
    });
}

#[test]
fn who_wants_little_does_not_wait_for_a_turn_of_all_who_want_much() {
    const GREEDY: u32 = 50;
    on_executor(|| async {
        let stop: Rc<Cell<bool>> = Rc::default();
        let turns: Rc<Cell<u32>> = Rc::default();
        let shared = Account::default();
        for number in 0..GREEDY {
            let (stop, turns) = (Rc::clone(&stop), Rc::clone(&turns));
            // Half of them are steps for the same one, each a task of its own.
            let account = if number % 2 == 0 {
                shared.clone()
            } else {
                Account::default()
            };
            let greedy = async move {
                while !stop.get() {
                    let begun = Instant::now();
                    while begun.elapsed() < Duration::from_millis(1) {}
                    turns.set(turns.get() + 1);
                    yield_now().await;
                }
            };
            spawn_local_for(greedy, TaskQueue::DEFAULT, account).detach();
        }
        // Everybody has had a turn.
        while turns.get() < 2 * GREEDY {
            yield_now().await;
        }
        let mut between = Vec::new();
        for _ in 0..20 {
            let before = turns.get();
            sleep(Duration::from_millis(1)).await;
            between.push(turns.get() - before);
        }
        stop.set(true);
        between.sort_unstable();
        // Not one of fifty, as it would be in turns.
        assert!(between[10] <= 5, "{between:?} turns of others");
    });
}

#[test]
fn newcomers_do_not_starve_who_had_much() {
    on_executor(|| async {
        let done: Rc<Cell<bool>> = Rc::default();
        let is_done = Rc::clone(&done);
        spawn_local(async move {
            for _ in 0..3 {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_millis(30) {}
                yield_now().await;
            }
            is_done.set(true);
        })
        .detach();
        let begun = Instant::now();
        while !done.get() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it starves");
            // Two new ones before the last have ended, for ever.
            for _ in 0..2 {
                spawn_local(async {
                    let begun = Instant::now();
                    while begun.elapsed() < Duration::from_micros(200) {}
                })
                .detach();
            }
            yield_now().await;
        }
    });
}

#[test]
fn timers_come_in_order_and_not_too_early() {
    on_executor(|| async {
        let order: Rc<RefCell<Vec<u64>>> = Rc::default();
        let begun = Instant::now();
        let tasks: Vec<_> = [30, 10, 20]
            .into_iter()
            .map(|wait| {
                let order = Rc::clone(&order);
                spawn_local(async move {
                    sleep(Duration::from_millis(wait)).await;
                    assert!(begun.elapsed() >= Duration::from_millis(wait));
                    order.borrow_mut().push(wait);
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        assert_eq!(*order.borrow(), [10, 20, 30]);
    });
}

#[test]
fn a_timer_that_is_dropped_keeps_nothing() {
    on_executor(|| async {
        let mut timer = timer::Timer::new(Duration::from_hours(1));
        std::future::poll_fn(|context| {
            assert!(Pin::new(&mut timer).poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        let core = Core::current();
        assert!(core.timers.borrow().next().is_some());
        drop(timer);
        assert!(core.timers.borrow().next().is_none());
    });
}

#[test]
fn a_loop_that_yields_starves_no_other_queue_and_no_timer() {
    on_executor(|| async {
        let [many, few] = [900, 100].map(TaskQueue::new);
        let counts: Rc<[Cell<u64>; 2]> = Rc::default();
        for (number, queue) in [many, few].into_iter().enumerate() {
            let counts = Rc::clone(&counts);
            spawn_local_into(
                async move {
                    loop {
                        let begun = Instant::now();
                        while begun.elapsed() < Duration::from_micros(20) {}
                        counts[number].set(counts[number].get() + 1);
                        yield_now().await;
                    }
                },
                queue,
            )
            .detach();
        }
        for _ in 0..20 {
            sleep(SOON).await;
        }
        let [many, few] = [counts[0].get(), counts[1].get()];
        // Nine times as many, but for what other processes take from either's time.
        assert!(few > 0 && many > few, "{many} and {few} turns");
    });
}

#[test]
fn another_thread_wakes_a_sleeping_executor() {
    on_executor(|| async {
        for _ in 0..100 {
            let (sender, receiver) = mpsc::channel();
            let mut begun = false;
            let begin = Instant::now();
            std::future::poll_fn(|context| {
                if !std::mem::replace(&mut begun, true) {
                    let (waker, sender) = (context.waker().clone(), sender.clone());
                    std::thread::spawn(move || {
                        sender.send(()).unwrap();
                        waker.wake();
                    });
                }
                match receiver.try_recv() {
                    Ok(()) => Poll::Ready(()),
                    Err(_) => Poll::Pending,
                }
            })
            .await;
            assert!(begin.elapsed() < Duration::from_secs(5));
        }
    });
}

#[test]
fn values_cross_between_executors_in_order() {
    const COUNT: u64 = 20_000;
    let (to, from) = bounded::<u64>(16);
    let (back, answers) = bounded::<u64>(16);
    let echo = Builder::new("echo")
        .spawn(move || async move {
            while let Some(value) = from.recv().await {
                back.send(value + 1).await.unwrap();
            }
        })
        .unwrap();
    let caller = Builder::new("caller")
        .spawn(move || async move {
            let reader = spawn_local(async move {
                for value in 0..COUNT {
                    assert_eq!(answers.recv().await, Some(value + 1));
                }
            });
            for value in 0..COUNT {
                to.send(value).await.unwrap();
            }
            reader.await;
            // `to` goes here, and the echo with it.
        })
        .unwrap();
    caller.join().unwrap();
    echo.join().unwrap();
}

#[test]
fn files_are_read_and_synced() {
    on_executor(|| async {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content of a file").unwrap();
        file::sync_data(file.as_raw_fd()).await.unwrap();
        assert_eq!(
            file::read_at(file.as_raw_fd(), 8, 100).await.unwrap(),
            b"of a file"
        );
        assert_eq!(file::read_at(file.as_raw_fd(), 100, 8).await.unwrap(), b"");
        let folder = File::open(std::env::temp_dir()).unwrap();
        file::sync_all(folder.as_raw_fd()).await.unwrap();
        let path = |path: &std::path::Path| {
            std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())).unwrap()
        };
        let there = tempfile::NamedTempFile::new().unwrap();
        file::look_up(path(there.path())).await.unwrap();
        let error = file::look_up(path(&there.path().join("none"))).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        file::read_ahead(file.as_raw_fd(), 0, 4096);
        file::read_ahead(-1, 0, 4096);
        let error = file::sync_data(-1).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    });
}

#[test]
fn more_operations_than_the_ring_holds_are_all_done() {
    on_executor(|| async {
        let file = Rc::new(tempfile::tempfile().unwrap());
        let tasks: Vec<_> = (0..5000)
            .map(|_| {
                let file = Rc::clone(&file);
                spawn_local(async move { file::sync_data(file.as_raw_fd()).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let core = Core::current();
        assert_eq!(core.operations_in_flight(), 0);
    });
}

#[test]
fn who_is_turned_away_hears_why() {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    on_executor(move || async move {
        let listener = TcpListener::from_std(listener).unwrap();
        match listener.turn_away(b"no room\r\n").await {
            Ok(nobody) => assert!(!nobody, "nobody waits, and this does not either"),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::Unsupported);
                return;
            }
        }
        // More than the ring's table has places for.
        for _ in 0..100 {
            let mut client = net::TcpStream::connect(address).unwrap();
            assert!(listener.turn_away(b"no room\r\n").await.unwrap());
            let mut heard = String::new();
            client.read_to_string(&mut heard).unwrap();
            assert_eq!(heard, "no room\r\n");
        }
        let mut client = net::TcpStream::connect(address).unwrap();
        assert!(listener.turn_away(b"").await.unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(net::TcpStream::connect(address).unwrap());
        assert!(listener.turn_away(b"no room\r\n").await.unwrap());
        assert!(!listener.turn_away(b"no room\r\n").await.unwrap());
    });
}

#[test]
fn connections_are_accepted_read_and_written() {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let mut client = net::TcpStream::connect(address).unwrap();
        std::thread::sleep(SOON);
        client.write_all(b"ping").unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        answer.len()
    });
    on_executor(move || async move {
        let listener = TcpListener::from_std(listener).unwrap();
        let (mut stream, peer) = listener.accept().await.unwrap();
        assert!(peer.ip().is_loopback());
        let mut buffer = [0; 64];
        let read = std::future::poll_fn(|context| stream.poll_read(context, &mut buffer)).await;
        assert_eq!(&buffer[..read.unwrap()], b"ping");
        // More than the socket takes at once.
        let data = vec![7; 20_000_000];
        let mut sent = 0;
        while sent < data.len() {
            let written = std::future::poll_fn(|context| stream.poll_write(context, &data[sent..])).await;
            sent += written.unwrap();
        }
    });
    assert_eq!(client.join().unwrap(), 20_000_000);
}

#[test]
fn a_read_that_is_given_up_leaves_nothing_behind() {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    on_executor(move || async move {
        let mut stream = TcpStream::from_std(server).unwrap();
        let mut buffer = [0; 8];
        std::future::poll_fn(|context| {
            assert!(stream.poll_read(context, &mut buffer).is_pending());
            Poll::Ready(())
        })
        .await;
        let core = Core::current();
        assert_eq!(core.operations_in_flight(), 1);
        drop(stream);
        while core.operations_in_flight() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    });
    // The client sees the end: nothing keeps the socket.
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn permits_are_given_in_order_and_come_back() {
    on_executor(|| async {
        let semaphore = Semaphore::new(1);
        let first = semaphore.acquire().await;
        assert!(semaphore.try_acquire().is_none());
        let order: Rc<RefCell<Vec<u32>>> = Rc::default();
        let wait = |number| {
            let (semaphore, order) = (Rc::clone(&semaphore), Rc::clone(&order));
            spawn_local(async move {
                let _permit = semaphore.acquire().await;
                order.borrow_mut().push(number);
            })
        };
        let (second, leaves, third) = (wait(2), wait(0), wait(3));
        yield_now().await;
        drop(leaves);
        drop(first);
        second.await;
        third.await;
        assert_eq!(*order.borrow(), [2, 3]);
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn the_end_drops_tasks_that_wait() {
    struct Tell(mpsc::Sender<&'static str>, &'static str);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.send(self.1);
        }
    }
    let (sender, dropped) = mpsc::channel();
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    on_executor(move || async move {
        let timer = Tell(sender.clone(), "timer");
        spawn_local(async move {
            sleep(Duration::from_hours(1)).await;
            drop(timer);
        })
        .detach();
        let socket = Tell(sender.clone(), "socket");
        spawn_local(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let _ = listener.accept().await;
            drop(socket);
        })
        .detach();
        sleep(SOON).await;
    });
    let mut dropped: Vec<_> = dropped.iter().collect();
    dropped.sort_unstable();
    assert_eq!(dropped, ["socket", "timer"]);
}

#[test]
fn no_wake_up_is_lost_between_busy_and_sleeping() {
    // Two executors that go to sleep and wake each other as fast as they can.
    let (to, from) = bounded::<()>(1);
    let (back, answers) = bounded::<()>(1);
    let echo = Builder::new("echo")
        .spawn(move || async move {
            while from.recv().await.is_some() {
                back.send(()).await.unwrap();
            }
        })
        .unwrap();
    let (done, is_done) = mpsc::channel();
    Builder::new("caller")
        .spawn(move || async move {
            for _ in 0..20_000 {
                to.send(()).await.unwrap();
                answers.recv().await.unwrap();
            }
            done.send(()).unwrap();
        })
        .unwrap();
    is_done.recv_timeout(Duration::from_mins(1)).unwrap();
    echo.join().unwrap();
}

#[test]
fn no_wake_up_is_lost_between_polling_and_sleeping() {
    // Pauses around the time that is polled: some answers come before it is over, some behind, some just then.
    const ROUNDS: u32 = 10_000;
    const WINDOW: Duration = Duration::from_micros(50);
    let pause = |round: u32| {
        let begun = Instant::now();
        while begun.elapsed() < WINDOW / 32 * (round % 48) {
            std::hint::spin_loop();
        }
    };
    let (to, from) = bounded::<u32>(1);
    let (back, answers) = bounded::<u32>(1);
    let echo = Builder::new("echo")
        .poll(WINDOW)
        .spawn(move || async move {
            while let Some(round) = from.recv().await {
                pause(round / 7);
                back.send(round).await.unwrap();
            }
        })
        .unwrap();
    let (done, is_done) = mpsc::channel();
    Builder::new("caller")
        .poll(WINDOW)
        .spawn(move || async move {
            for round in 0..ROUNDS {
                pause(round);
                to.send(round).await.unwrap();
                assert_eq!(answers.recv().await, Some(round));
            }
            done.send(polled()).unwrap();
        })
        .unwrap();
    // How many were found by polling is the machine's matter: others may want its processors.
    let polled = is_done.recv_timeout(Duration::from_mins(1)).unwrap();
    assert!(polled.found + polled.missed + polled.taken > 0, "{polled:?}");
    echo.join().unwrap();
}

#[test]
fn who_polls_sleeps_when_nothing_comes() {
    /// What this thread has had of processors.
    fn processor_time() -> Duration {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    }
    let (to, from) = bounded::<()>(1);
    let (back, answers) = bounded::<()>(1);
    let echo = Builder::new("echo")
        .poll(Duration::from_micros(100))
        .spawn(move || async move {
            for _ in 0..5000 {
                from.recv().await.unwrap();
                back.send(()).await.unwrap();
            }
            let before = processor_time();
            for _ in 0..100 {
                sleep(Duration::from_millis(5)).await;
            }
            let used = processor_time().saturating_sub(before);
            // Half a second, of which a hundred turns of polling would be a fiftieth.
            assert!(used < Duration::from_millis(9), "{used:?} for nothing");
        })
        .unwrap();
    Builder::new("caller")
        .poll(Duration::from_micros(100))
        .spawn(move || async move {
            for _ in 0..5000 {
                to.send(()).await.unwrap();
                answers.recv().await.unwrap();
            }
        })
        .unwrap()
        .join()
        .unwrap();
    echo.join().unwrap();
}

#[test]
fn timers_and_the_disk_end_polling() {
    Builder::new("test")
        .poll(Duration::from_micros(100))
        .spawn(|| async {
            let file = tempfile::tempfile().unwrap();
            for wait in 0..300 {
                let begun = Instant::now();
                let wait = Duration::from_micros(wait);
                sleep(wait).await;
                assert!(begun.elapsed() >= wait);
                file::read_at(file.as_raw_fd(), 0, 8).await.unwrap();
            }
            let core = Core::current();
            assert_eq!(core.operations_in_flight(), 0);
        })
        .unwrap()
        .join()
        .unwrap();
}

/// All that comes until the end, by reads into `size` bytes.
async fn read_to_end(stream: &mut TcpStream, size: usize) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; size]);
    loop {
        let read = std::future::poll_fn(|context| stream.poll_read(context, &mut buffer)).await;
        match read.unwrap() {
            0 => return all,
            read => all.extend_from_slice(&buffer[..read]),
        }
    }
}

#[test]
fn the_end_is_seen_however_it_comes_with_the_last_bytes() {
    for pause in [None, Some(Duration::ZERO), Some(SOON)] {
        for size in [3, 4, 64] {
            let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, _) = listener.accept().unwrap();
            let client = std::thread::spawn(move || {
                for _ in 0..3 {
                    std::thread::sleep(SOON);
                    client.write_all(b"ping").unwrap();
                }
                if let Some(pause) = pause {
                    std::thread::sleep(pause);
                }
                client.shutdown(net::Shutdown::Write).unwrap();
                // The connection stays, half closed: only the end of what comes is told.
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).unwrap();
            });
            on_executor(move || async move {
                let mut stream = TcpStream::from_std(server).unwrap();
                assert_eq!(read_to_end(&mut stream, size).await, b"pingpingping");
                // And again, for who asks again.
                assert!(read_to_end(&mut stream, size).await.is_empty());
            });
            client.join().unwrap();
        }
    }
}

#[test]
fn nothing_that_comes_while_it_is_read_is_overlooked() {
    const COUNT: u32 = 20_000;
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    let (server, _) = listener.accept().unwrap();
    let client = std::thread::spawn(move || {
        for number in 0..COUNT {
            client.write_all(&number.to_ne_bytes()).unwrap();
            for _ in 0..number % 977 {
                std::hint::spin_loop();
            }
        }
    });
    Builder::new("test")
        .poll(Duration::from_micros(30))
        .spawn(move || async move {
            let mut stream = TcpStream::from_std(server).unwrap();
            let all = read_to_end(&mut stream, 100).await;
            let expected: Vec<u8> = (0..COUNT).flat_map(u32::to_ne_bytes).collect();
            assert!(all == expected);
        })
        .unwrap()
        .join()
        .unwrap();
    client.join().unwrap();
}

/// Not a test: prints what a round trip to another executor costs.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_round_trip() {
    const COUNT: u32 = 100_000;
    let (to, from) = bounded::<()>(1);
    let (back, answers) = bounded::<()>(1);
    let echo = Builder::new("echo")
        .poll(Duration::from_micros(50))
        .cpu(Some(0))
        .spawn(move || async move {
            while from.recv().await.is_some() {
                back.send(()).await.unwrap();
            }
        })
        .unwrap();
    Builder::new("caller")
        .poll(Duration::from_micros(50))
        .cpu(Some(1))
        .spawn(move || async move {
            let begun = Instant::now();
            for _ in 0..COUNT {
                to.send(()).await.unwrap();
                answers.recv().await.unwrap();
            }
            eprintln!("{:?} a round trip", begun.elapsed() / COUNT);
        })
        .unwrap()
        .join()
        .unwrap();
    echo.join().unwrap();
}
