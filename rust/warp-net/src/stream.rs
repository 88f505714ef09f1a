//! Frames over one ordered stream of bytes: the TCP carrier, and the pipe in memory.

use std::io::IoSlice;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::frame::Frame;
use crate::link::{Carrying, Link, lost};
use crate::{Error, Result};

/// Moves frames between `link` and a stream until both sides are done or something fails; whether they were done.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S, link: Arc<Link>) -> bool {
    let carrying = Carrying::new(&link);
    let (mut input, mut output) = tokio::io::split(stream);
    let moved = tokio::select! {
        moved = async { tokio::try_join!(read(&link, &mut input), write(&link, &mut output)) } => moved.map(|_| ()),
        () = link.aborted.notified() => Err(Error::Cancelled),
    };
    if let Err(error) = &moved {
        link.fail(error);
    }
    carrying.done();
    moved.is_ok()
}

async fn read<R: AsyncRead + Unpin>(link: &Link, input: &mut R) -> Result<()> {
    let mut expected = 0;
    while let Some(frame) = link.read(input).await? {
        link.deliver(frame, &mut expected).await?;
    }
    link.ended();
    Ok(())
}

async fn write<W: AsyncWrite + Unpin>(link: &Link, output: &mut W) -> Result<()> {
    while let Some(frame) = next(link).await? {
        link.count_sent(&frame);
        send(output, &frame).await.map_err(|error| lost(&error))?;
    }
    output.shutdown().await.map_err(|error| lost(&error))
}

/// Messages go first; the end comes when both queues are closed and empty.
async fn next(link: &Link) -> Result<Option<Frame>> {
    tokio::select! {
        biased;
        message = link.messages_out.pop_async() => match message? {
            Some(frame) => Ok(Some(frame)),
            None => link.next_data().await,
        },
        data = link.next_data() => match data? {
            Some(frame) => Ok(Some(frame)),
            None => link.messages_out.pop_async().await,
        },
    }
}

async fn send<W: AsyncWrite + Unpin>(output: &mut W, frame: &Frame) -> std::io::Result<()> {
    let header = frame.header.to_bytes();
    let mut slices = [IoSlice::new(&header), IoSlice::new(&frame.extension), IoSlice::new(&frame.payload)];
    let mut left = &mut slices[..];
    // Empty slices at the front would look like an end.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match output.write_vectored(left).await? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut left, written),
        }
    }
    output.flush().await
}
