//! What waits to be sent: what is pushed, and what is wanted, piece by piece.

use std::collections::VecDeque;

use warp_net::frame::Frame;

use super::Place;

/// What is wanted.
pub(super) enum Job {
    Chunks { request: u64, page: u32, spans: VecDeque<(u16, u16)> },
    Metadata { request: u64, number: u64, place: Place },
}

impl Job {
    pub fn request(&self) -> u64 {
        match self {
            Self::Chunks { request, .. } | Self::Metadata { request, .. } => *request,
        }
    }
}

/// One piece of a job.
pub(super) enum Work {
    Chunk { request: u64, page: u32, index: u16 },
    Metadata { number: u64, place: Place },
}

#[derive(Default)]
pub(super) struct Queues {
    pub pushed: VecDeque<Frame>,
    pub pushed_bytes: usize,
    /// The caller was told that there is no room.
    pub refused: bool,
    pub jobs: VecDeque<Job>,
}

/// The next piece of the first job.
pub(super) fn next(jobs: &mut VecDeque<Job>) -> Option<Work> {
    loop {
        match jobs.front_mut()? {
            Job::Chunks { request, page, spans } => {
                if let Some((first, count)) = spans.front_mut() {
                    let work = Work::Chunk { request: *request, page: *page, index: *first };
                    (*first, *count) = (*first + 1, *count - 1);
                    if *count == 0 {
                        spans.pop_front();
                    }
                    return Some(work);
                }
            }
            Job::Metadata { number, place, .. } => {
                let work = Work::Metadata { number: *number, place: *place };
                jobs.pop_front();
                return Some(work);
            }
        }
        jobs.pop_front();
    }
}
