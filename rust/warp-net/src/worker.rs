//! One thread of an endpoint, with a runtime of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use crate::endpoint::Shared;
use crate::{Error, Result};

/// How long an endpoint that closes waits for the other sides to hear of it.
const CLOSING: Duration = Duration::from_secs(1);
/// How often a thread says how much it has worked.
const LOOK: Duration = Duration::from_millis(200);

/// A thread that moves frames until it is dropped.
pub(crate) struct Worker {
    /// The thread has it, so that its sockets are closed with it.
    pub shared: Weak<Shared>,
    pub runtime: tokio::runtime::Handle,
    stop: Arc<Notify>,
    /// Nanoseconds of a processor.
    worked: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread that begins with `serve`, within its runtime; it says how much it works if it is `watched`.
    pub fn start(
        serve: impl FnOnce() -> Result<Arc<Shared>> + Send + 'static,
        watched: bool,
    ) -> Result<Self> {
        let (ready, started) = mpsc::sync_channel(1);
        let (stop, worked) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
        let (stopping, working) = (Arc::clone(&stop), Arc::clone(&worked));
        let thread = std::thread::Builder::new()
            .name("warp-net".into())
            .spawn(move || {
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(ready.send(Err(Error::io("runtime", &error)))),
                };
                runtime.block_on(async move {
                    match serve() {
                        Ok(shared) => {
                            let runtime = tokio::runtime::Handle::current();
                            drop(ready.send(Ok((Arc::downgrade(&shared), runtime))));
                            tokio::select! {
                                () = stopping.notified() => {}
                                () = watch(&working), if watched => {}
                            }
                            shared.quic.close(0u32.into(), b"");
                            let _ = tokio::time::timeout(CLOSING, shared.quic.wait_idle()).await;
                        }
                        Err(error) => drop(ready.send(Err(error))),
                    }
                });
            })
            .map_err(|error| Error::io("thread", &error))?;
        let (shared, runtime) = started.recv().map_err(|_| Error::Cancelled)??;
        Ok(Self { shared, runtime, stop, worked, thread: Some(thread) })
    }

    /// Has it end; to drop it waits for that.
    pub fn stop(&self) {
        self.stop.notify_one();
    }

    /// Time that a processor spent on it, as it was a moment ago.
    pub fn worked(&self) -> Duration {
        Duration::from_nanos(self.worked.load(Ordering::Relaxed))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // A panic was printed by the thread itself.
            let _ = thread.join();
        }
    }
}

async fn watch(worked: &AtomicU64) {
    loop {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let nanoseconds = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
        worked.store(nanoseconds, Ordering::Relaxed);
        tokio::time::sleep(LOOK).await;
    }
}
