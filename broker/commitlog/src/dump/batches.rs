//! Walks through the batches of a file of any size in bounded memory. Stops where the bytes are no batch; says how far
//! it came. The printers of segments and indexes drive it.

use std::io;

use barnabas_runtime::File;
use barnabas_wire::record::{Batch, RecordError};
use bytes::{Bytes, BytesMut};

use crate::limits::SCAN_CHUNK_BYTES;

/// A reader of batches.
pub(super) struct BatchWalk<'a> {
    file: &'a dyn File,
    /// Read and not yet walked.
    buffer: Bytes,
    /// Position of the buffer's first byte.
    position: u64,
    /// Position behind the last byte that may be read.
    end: u64,
}

impl<'a> BatchWalk<'a> {
    /// The batches of `file` from `position`, which is a batch's, up to `end` or the end of the file.
    pub(super) async fn new(file: &'a dyn File, position: u64, end: Option<u64>) -> io::Result<Self> {
        let size = file.size().await?;
        Ok(Self { file, buffer: Bytes::new(), position, end: end.map_or(size, |end| end.min(size)) })
    }

    /// Position of the next batch; after the last one, of the bytes that are none.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// The next batch; none at the end and where the bytes are no whole batch.
    pub(super) async fn next(&mut self) -> io::Result<Result<Option<Batch>, RecordError>> {
        loop {
            let before = self.buffer.len();
            match Batch::split_first(&mut self.buffer) {
                Ok(batch) => {
                    self.position += (before - self.buffer.len()) as u64;
                    return Ok(Ok(Some(batch)));
                }
                Err(RecordError::Truncated { needed, .. }) => {
                    let left = self.end.saturating_sub(self.position);
                    if left < needed as u64 {
                        return Ok(Ok(None));
                    }
                    self.fill(needed).await?;
                    if self.buffer.len() < needed {
                        return Ok(Ok(None));
                    }
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Reads until the buffer holds `needed` bytes, and further ones along.
    async fn fill(&mut self, needed: usize) -> io::Result<()> {
        let have = self.buffer.len();
        let from = self.position + have as u64;
        let left = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
        let wanted = (needed - have).max(SCAN_CHUNK_BYTES).min(left);
        let read = self.file.read_at(from, wanted).await?;
        if have == 0 {
            self.buffer = read;
            return Ok(());
        }
        let mut joined = BytesMut::with_capacity(have + read.len());
        joined.extend_from_slice(&self.buffer);
        joined.extend_from_slice(&read);
        self.buffer = joined.freeze();
        Ok(())
    }
}
