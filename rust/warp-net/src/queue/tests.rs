use super::*;

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(60);

#[test]
fn items_come_in_order_and_the_bound_holds() {
    let queue = Queue::new(10);
    assert_eq!(queue.push('a', 6, NOW).unwrap(), None);
    assert_eq!(queue.push('b', 5, NOW).unwrap(), Some('b'));
    assert_eq!(queue.push('c', 4, NOW).unwrap(), None);
    assert_eq!(queue.pop(NOW).unwrap(), Some('a'));
    assert_eq!(queue.pop(NOW).unwrap(), Some('c'));
    assert_eq!(queue.pop(NOW).unwrap(), None);
}

#[test]
fn one_item_fits_however_large_it_is() {
    let queue = Queue::new(1);
    assert_eq!(queue.push((), 1000, NOW).unwrap(), None);
    assert_eq!(queue.push((), 1, NOW).unwrap(), Some(()));
}

#[test]
fn who_takes_some_items_leaves_the_others_and_sees_the_end() {
    let queue = Arc::new(Queue::new(100));
    for number in 1..=4 {
        queue.push(number, 1, NOW).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let even = |number: &i32| number % 2 == 0;
    assert_eq!(runtime.block_on(queue.pop_suited(even)).unwrap(), Some(2));
    assert_eq!(queue.pop(NOW).unwrap(), Some(1));
    assert_eq!(runtime.block_on(queue.pop_suited(even)).unwrap(), Some(4));
    let waiting = Arc::clone(&queue);
    let feeder = std::thread::spawn(move || {
        waiting.push(5, 1, LONG).unwrap();
        waiting.push(6, 1, LONG).unwrap();
        waiting.close();
    });
    assert_eq!(runtime.block_on(queue.pop_suited(even)).unwrap(), Some(6));
    assert_eq!(runtime.block_on(queue.pop_suited(even)).unwrap(), None);
    assert_eq!((queue.pop(NOW).unwrap(), queue.pop(NOW).unwrap()), (Some(3), Some(5)));
    feeder.join().unwrap();
}

#[test]
fn what_waits_is_taken_after_a_close_and_not_after_a_failure() {
    let queue = Queue::new(10);
    queue.push(1, 1, NOW).unwrap();
    queue.close();
    assert!(queue.push(2, 1, NOW).is_err());
    assert_eq!(queue.pop(NOW).unwrap(), Some(1));
    assert!(matches!(queue.pop(LONG), Err(Error::Cancelled)));
    queue.fail(Error::protocol("x"));
    assert!(matches!(queue.pop(LONG), Err(Error::Protocol(_))));
    queue.fail(Error::Cancelled);
    assert!(matches!(queue.pop(LONG), Err(Error::Protocol(_))));
}

#[test]
fn what_waits_is_taken_before_the_reason_why_it_broke_off() {
    let queue = Queue::new(10);
    queue.push(1, 1, NOW).unwrap();
    queue.push(2, 1, NOW).unwrap();
    queue.break_off(Error::protocol("x"));
    assert!(queue.push(3, 1, NOW).is_err() && !queue.is_at_end());
    assert_eq!(queue.pop(NOW).unwrap(), Some(1));
    assert_eq!(queue.drain().unwrap(), [2]);
    assert!(matches!(queue.drain(), Err(Error::Protocol(_))));
    assert!(matches!(queue.pop(LONG), Err(Error::Protocol(_))));
    queue.fail(Error::Cancelled);
    assert!(matches!(queue.drain(), Err(Error::Protocol(_))));
}

#[test]
fn a_queue_that_was_closed_does_not_break_off() {
    let queue = Queue::new(10);
    queue.push(1, 1, NOW).unwrap();
    queue.close();
    queue.break_off(Error::protocol("x"));
    assert!(!queue.is_at_end());
    assert_eq!(queue.drain().unwrap(), [1]);
    assert!(queue.is_at_end() && queue.drain().unwrap().is_empty());
}

#[test]
fn the_bell_can_be_read_exactly_while_there_is_something_to_take() {
    let queue = Queue::new(10);
    queue.push(1, 1, NOW).unwrap();
    let bell = Bell::new().unwrap();
    assert!(!rung(&bell));
    queue.set_bell(Arc::clone(&bell));
    assert!(rung(&bell));
    queue.push(2, 1, NOW).unwrap();
    assert_eq!(queue.pop(NOW).unwrap(), Some(1));
    assert!(rung(&bell));
    assert_eq!(queue.pop(NOW).unwrap(), Some(2));
    assert!(!rung(&bell));
    assert_eq!(queue.pop(NOW).unwrap(), None);
    queue.push(3, 1, NOW).unwrap();
    assert!(rung(&bell));
    assert_eq!(queue.drain().unwrap(), [3]);
    assert!(!rung(&bell));
    for end in [|queue: &Queue<i32>| queue.close(), |queue: &Queue<i32>| queue.fail(Error::Cancelled)] {
        let queue = Queue::new(10);
        let bell = Bell::new().unwrap();
        queue.set_bell(Arc::clone(&bell));
        queue.push(4, 1, NOW).unwrap();
        end(&queue);
        let _ = queue.drain();
        assert!(rung(&bell));
    }
}

fn rung(bell: &Bell) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut descriptors = [PollFd::new(bell, PollFlags::IN)];
    poll(&mut descriptors, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
}

#[test]
fn tasks_and_threads_pass_everything_on() {
    const COUNT: usize = 20_000;
    let (forth, back) = (Arc::new(Queue::new(100)), Arc::new(Queue::new(70)));
    let relays: Vec<_> = (0..3).map(|_| (Arc::clone(&forth), Arc::clone(&back))).collect();
    let tasks = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tasks: Vec<_> = relays
            .into_iter()
            .map(|(forth, back)| {
                runtime.spawn(async move {
                    while let Some(item) = forth.pop_async().await.unwrap() {
                        back.push_async(item, item % 7).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
    });
    let feeder = Arc::clone(&forth);
    let feeding = std::thread::spawn(move || {
        for item in 0..COUNT {
            assert_eq!(feeder.push(item, item % 11, LONG).unwrap(), None);
        }
        feeder.close();
    });
    let mut seen: Vec<_> = (0..COUNT).map(|_| back.pop(LONG).unwrap().unwrap()).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..COUNT));
    feeding.join().unwrap();
    tasks.join().unwrap();
}
