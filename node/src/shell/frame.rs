//! Frames on a link: a `u32` length, little-endian, and so many bytes.
//!
//! The length is compared with the limit of the moment before anything is allocated, and memory
//! grows only as bytes come in: a claimed length alone costs nothing.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes that are read at once; a frame's memory grows in such steps.
const STEP_BYTES: usize = 64 << 10;
/// Frames that leave as one write have at most so many bytes: what a TLS record holds.
const TOGETHER_BYTES: usize = 16 << 10;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side closed the link between two frames.
    #[error("the link was closed")]
    Closed,
    /// The link broke.
    #[error("the link broke: {0}")]
    Io(#[from] io::Error),
    /// A length above the limit.
    #[error("a frame of {length} bytes, the limit is {limit}")]
    TooLong {
        /// The claimed length.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

/// Reads one frame of at most `limit` bytes.
///
/// # Errors
/// [`FrameError`]; after [`FrameError::TooLong`] the link is of no more use.
pub async fn read(
    link: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Vec<u8>, FrameError> {
    let mut length = [0; 4];
    let mut have = 0;
    while have < length.len() {
        match link.read(&mut length[have..]).await? {
            0 if have == 0 => return Err(FrameError::Closed),
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => have += count,
        }
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    let mut frame = Vec::new();
    while frame.len() < length {
        let start = frame.len();
        frame.resize(length.min(start + STEP_BYTES), 0);
        link.read_exact(&mut frame[start..]).await?;
    }
    Ok(frame)
}

/// Writes one frame and flushes.
///
/// # Errors
/// Whatever the link says.
///
/// # Panics
/// From 2^32 bytes on; every frame has a limit far below.
pub async fn write(link: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    write_all(link, &[frame]).await
}

/// Writes frames one after the other and flushes once: small ones leave together, as one write.
///
/// # Errors
/// Whatever the link says.
///
/// # Panics
/// From 2^32 bytes on; every frame has a limit far below.
pub async fn write_all(
    link: &mut (impl AsyncWrite + Unpin),
    frames: &[impl AsRef<[u8]>],
) -> io::Result<()> {
    let mut together = Vec::new();
    for frame in frames {
        let frame = frame.as_ref();
        let length = u32::try_from(frame.len()).expect("frames are far smaller");
        together.extend_from_slice(&length.to_le_bytes());
        if together.len() + frame.len() <= TOGETHER_BYTES {
            together.extend_from_slice(frame);
            continue;
        }
        link.write_all(&together).await?;
        together.clear();
        if frame.len() < TOGETHER_BYTES {
            together.extend_from_slice(frame);
        } else {
            link.write_all(frame).await?;
        }
    }
    link.write_all(&together).await?;
    link.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8], limit: usize) -> Result<Vec<u8>, FrameError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let mut bytes = bytes;
        runtime
            .expect("a runtime without a driver")
            .block_on(read(&mut bytes, limit))
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).expect("a small body");
        [&length.to_le_bytes(), body].concat()
    }

    #[test]
    fn the_limit_is_the_last_length_that_passes() {
        let body = vec![7; 200_000];
        let frame = framed(&body);
        assert_eq!(read_all(&frame, body.len()).expect("at the limit"), body);
        let refused = read_all(&frame, body.len() - 1);
        assert!(matches!(
            refused,
            Err(FrameError::TooLong {
                length: 200_000,
                limit: 199_999
            })
        ));
        assert!(matches!(
            read_all(&[0xff; 4], 1 << 20),
            Err(FrameError::TooLong { .. })
        ));
    }

    #[test]
    fn frames_that_leave_together_come_one_by_one() {
        let sizes = [
            0,
            1,
            600,
            600,
            TOGETHER_BYTES - 4,
            TOGETHER_BYTES,
            3,
            90_000,
            0,
            20_000,
        ];
        let frames: Vec<_> = sizes
            .iter()
            .zip(0u8..)
            .map(|(size, n)| vec![n; *size])
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime
            .expect("a runtime without a driver")
            .block_on(async {
                let mut bytes = Vec::new();
                write_all(&mut bytes, &frames)
                    .await
                    .expect("memory takes everything");
                let framed: Vec<_> = frames.iter().flat_map(|frame| framed(frame)).collect();
                assert_eq!(bytes, framed, "as if each had been written alone");
                let mut rest = bytes.as_slice();
                for frame in &frames {
                    assert_eq!(&read(&mut rest, 1 << 20).await.expect("it is there"), frame);
                }
            });
    }

    #[test]
    fn cut_frames_are_told_from_a_closed_link() {
        assert!(matches!(read_all(&[], 10), Err(FrameError::Closed)));
        let frame = framed(b"hello");
        for end in 1..frame.len() {
            assert!(
                matches!(read_all(&frame[..end], 10), Err(FrameError::Io(_))),
                "{end}"
            );
        }
        assert!(read_all(&framed(&[]), 0).expect("a ping").is_empty());
    }
}
