//! What comes over a link lands: frames are decoded on threads, and handed to the landing in an order that it can use.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use warp_core::catalogue::{MOST_BYTES, Spans};
use warp_core::codec::{Codec, Decoder};
use warp_core::digest::Digest;
use warp_core::unpack::{Arrival, Landing, News, Span};
use warp_net::Link;
use warp_net::frame::{Frame, Kind, RUN_BYTES};

use crate::{Error, Result, lock};

/// How soon a thread that waits notices that everything stopped.
const PATIENCE: Duration = Duration::from_millis(100);
/// A frame decodes to so many bytes at most.
const MOST_RAW: u64 = 8 << 20;
/// Frames that came before what they belong to.
const MOST_EARLY: usize = 512;
/// Their bytes: an honest sender's are those of a few lanes that are not in step.
const MOST_EARLY_BYTES: usize = 64 << 20;

/// Restores a tree that comes over a link. All methods may be called from any thread.
pub struct TreeSink {
    core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
}

struct Core {
    link: Arc<Link>,
    landing: Landing,
    early: Mutex<Early>,
    /// Held by the thread that hands pages over.
    turn: Mutex<()>,
    spared: Spared,
    error: Mutex<Option<Error>>,
    stopped: AtomicBool,
}

/// What came too early: lanes are not in step.
#[derive(Default)]
struct Early {
    pages: BTreeMap<u32, Frame>,
    fragments: Vec<Frame>,
}

/// The first pages, which do not come if they are here.
#[derive(Default)]
struct Spared {
    /// So many are here by what was said.
    here: AtomicU32,
    /// So many do not come.
    said: Mutex<u32>,
    changed: Condvar,
    taken: AtomicU32,
}

impl Spared {
    /// Whether pages may be far ahead.
    fn waits(&self) -> bool {
        self.taken.load(Ordering::Acquire) < self.here.load(Ordering::Acquire)
    }
}

impl Early {
    fn bytes(&self) -> usize {
        self.pages.values().chain(&self.fragments).map(Frame::size).sum()
    }
}

impl TreeSink {
    /// Begins to take data from `link` on so many threads.
    ///
    /// # Errors
    /// [`Error::Core`] if threads cannot start.
    pub fn new(link: Arc<Link>, landing: Landing, threads: usize) -> Result<Self> {
        let core = Arc::new(Core {
            link,
            landing,
            early: Mutex::default(),
            turn: Mutex::default(),
            spared: Spared::default(),
            error: Mutex::new(None),
            stopped: AtomicBool::new(false),
        });
        let mut sink = Self { core, threads: Vec::new() };
        sink.start("warp-spared", Core::take_spared)?;
        for _ in 0..threads.max(1) {
            sink.start("warp-sink", Core::run)?;
        }
        Ok(sink)
    }

    fn start(&mut self, name: &str, work: fn(&Core) -> Result<()>) -> Result<()> {
        let core = Arc::clone(&self.core);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            if let Err(error) = work(&core)
                && !error.is_cancelled()
            {
                core.stop(Some(error));
            }
        });
        self.threads.push(thread.map_err(|error| warp_core::Error::io("start a thread", error))?);
        Ok(())
    }

    /// What an earlier try has left here, and the source need not send if it is still the same: how many pages, and the digest of
    /// their digests. From now on pages may come before those.
    ///
    /// # Errors
    /// [`Error::Core`] if they can't be read.
    pub fn here(&self) -> Result<(u32, Digest)> {
        let (count, digest) = self.core.landing.here()?;
        self.core.spared.here.store(count, Ordering::Release);
        Ok((count, digest))
    }

    /// The first pages are those that are here, and do not come.
    pub fn spare(&self, pages: u32) {
        *lock(&self.core.spared.said) = pages;
        self.core.spared.changed.notify_all();
    }

    /// What is restored.
    pub fn landing(&self) -> &Landing {
        &self.core.landing
    }

    /// What is new; waits until something is, or `timeout` is over.
    ///
    /// # Errors
    /// What ended the sink.
    pub fn news(&self, timeout: Duration) -> Result<News> {
        if let Some(error) = lock(&self.core.error).take() {
            return Err(error);
        }
        match self.core.landing.news(timeout) {
            Err(warp_core::Error::Cancelled) => {
                Err(lock(&self.core.error).take().unwrap_or(Error::Core(warp_core::Error::Cancelled)))
            }
            news => Ok(news?),
        }
    }

    /// The other side can't give these fragments any more.
    ///
    /// # Errors
    /// [`warp_core::Error::Format`] for fragments that are not awaited.
    pub fn lost(&self, number: u32, spans: &Spans) -> Result<()> {
        let mut arrival = self.core.landing.arrival();
        Ok(self.core.landing.lost(&mut arrival, number, spans)?)
    }

    /// Stops, and leaves what is written for another try.
    pub fn stop(&mut self) {
        self.core.stop(None);
        for thread in self.threads.drain(..) {
            // What a panic left is told by then.
            let _ = thread.join();
        }
    }
}

impl Drop for TreeSink {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One thread's codec and buffer.
struct Taker {
    decoder: Decoder,
    raw: Vec<u8>,
    arrival: Arrival,
}

impl Core {
    fn taker(&self) -> Taker {
        Taker { decoder: Decoder::new(), raw: Vec::new(), arrival: self.landing.arrival() }
    }

    fn run(&self) -> Result<()> {
        let mut taker = self.taker();
        while !self.stopped.load(Ordering::Acquire) {
            match self.link.receive_data(PATIENCE) {
                Ok(None) => {}
                Ok(Some(frame)) => self.take(&mut taker, frame)?,
                // Nothing more comes; what was sent is on its way through the other threads.
                Err(warp_net::Error::Cancelled) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take(&self, taker: &mut Taker, frame: Frame) -> Result<()> {
        match frame.header.kind {
            Kind::Page => self.page(taker, frame),
            Kind::Fragments => {
                if let Some(frame) = self.fragments(taker, frame)? {
                    self.keep(|early| early.fragments.push(frame))?;
                    // Its page may have been taken meanwhile.
                    self.retry(taker)?;
                }
                Ok(())
            }
            kind => Err(protocol(format!("a frame of another kind of session: {kind:?}"))),
        }
    }

    fn keep(&self, keep: impl FnOnce(&mut Early)) -> Result<()> {
        let mut early = lock(&self.early);
        keep(&mut early);
        let pages = if self.spared.waits() { 0 } else { early.pages.len() };
        if pages + early.fragments.len() > MOST_EARLY || early.bytes() > MOST_EARLY_BYTES {
            return Err(protocol("frames whose pages do not come".into()));
        }
        Ok(())
    }

    fn page(&self, taker: &mut Taker, frame: Frame) -> Result<()> {
        let number =
            u32::try_from(frame.header.number).map_err(|_| protocol("a page beyond the last".into()))?;
        let mut is_new = true;
        self.keep(|early| is_new = early.pages.insert(number, frame).is_none())?;
        if !is_new {
            return Err(protocol(format!("page {number}, twice")));
        }
        let turn = lock(&self.turn);
        while self.next_page(taker)? {}
        drop(turn);
        self.retry(taker)
    }

    /// Takes the pages that are here as they are spared.
    fn take_spared(&self) -> Result<()> {
        let mut taker = self.taker();
        let spared = &self.spared;
        let mut taken = 0;
        while !self.stopped.load(Ordering::Acquire) {
            let said = lock(&spared.said);
            let waited = spared.changed.wait_timeout_while(said, PATIENCE, |said| *said == taken);
            let said = *waited.unwrap_or_else(PoisonError::into_inner).0;
            if said == taken {
                continue;
            }
            let turn = lock(&self.turn);
            while taken < said {
                self.landing.same()?;
                taken += 1;
                spared.taken.store(taken, Ordering::Release);
            }
            while self.next_page(&mut taker)? {}
            drop(turn);
            self.retry(&mut taker)?;
        }
        Ok(())
    }

    /// Takes the first page that waits, if it is the next one.
    fn next_page(&self, taker: &mut Taker) -> Result<bool> {
        let Some((number, frame)) = lock(&self.early).pages.pop_first() else { return Ok(false) };
        let codec = taker.decode(&frame, MOST_BYTES as u64)?;
        let raw = taker.raw_of(&frame, codec);
        let is_taken = self.landing.page(number, codec, &frame.payload, raw)?;
        if !is_taken {
            self.keep(|early| drop(early.pages.insert(number, frame)))?;
        }
        Ok(is_taken)
    }

    /// Fragments that came before their page are tried once more.
    fn retry(&self, taker: &mut Taker) -> Result<()> {
        let waiting = std::mem::take(&mut lock(&self.early).fragments);
        for frame in waiting {
            if let Some(frame) = self.fragments(taker, frame)? {
                self.keep(|early| early.fragments.push(frame))?;
            }
        }
        Ok(())
    }

    /// Takes fragments; gives them back if their page has not come.
    fn fragments(&self, taker: &mut Taker, frame: Frame) -> Result<Option<Frame>> {
        let spans: Vec<_> = frame.extension.as_chunks::<RUN_BYTES>().0.iter().map(span).collect();
        let codec = taker.decode(&frame, MOST_RAW)?;
        let Taker { arrival, raw, .. } = taker;
        let raw = if codec == Codec::Store { frame.payload.as_ref() } else { raw.as_slice() };
        let is_taken = self.landing.fragments(arrival, &spans, raw)?;
        Ok((!is_taken).then_some(frame))
    }

    fn stop(&self, error: Option<Error>) {
        if let Some(error) = error {
            lock(&self.error).get_or_insert(error);
        }
        self.stopped.store(true, Ordering::Release);
        self.landing.cancel();
    }
}

impl Taker {
    /// Decodes a payload into `raw` unless it is stored; its codec.
    fn decode(&mut self, frame: &Frame, most: u64) -> Result<Codec> {
        let codec = Codec::try_from(frame.header.flags)?;
        let length = frame.header.auxiliary;
        if length > most || (codec == Codec::Store && length != frame.payload.len() as u64) {
            return Err(protocol(format!("a frame that decodes to {length} bytes")));
        }
        if codec != Codec::Store {
            self.decoder.decode_body(codec, &frame.payload, length as usize, &mut self.raw)?;
        }
        Ok(codec)
    }

    fn raw_of<'a>(&'a self, frame: &'a Frame, codec: Codec) -> &'a [u8] {
        if codec == Codec::Store { &frame.payload } else { &self.raw }
    }
}

fn span(bytes: &[u8; RUN_BYTES]) -> Span {
    let [p0, p1, p2, p3, f0, f1, c0, c1] = *bytes;
    Span {
        page: u32::from_le_bytes([p0, p1, p2, p3]),
        first: u16::from_le_bytes([f0, f1]),
        count: u16::from_le_bytes([c0, c1]),
    }
}

fn protocol(what: String) -> Error {
    Error::Net(warp_net::Error::protocol(what))
}
