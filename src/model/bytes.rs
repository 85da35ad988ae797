//! The bytes of a file of weights: in memory, mapped, or fetched range by range.

use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use crate::error::{Error, ErrorKind, Result};

/// Bytes that will come.
pub type Coming<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>>> + 'a>>;

/// A file whose bytes come range by range: one that a browser holds.
pub trait Ranges: Debug {
    /// All its bytes.
    fn length(&self) -> u64;
    /// Some of its bytes, all of which are there.
    fn fetch(&self, range: Range<u64>) -> Coming<'_>;
}

/// A file whose bytes come range by range. Natively models go from thread to thread; in a browser nothing does.
#[cfg(not(target_arch = "wasm32"))]
pub type Remote = Box<dyn Ranges + Send + Sync>;
/// A file whose bytes come range by range. Natively models go from thread to thread; in a browser nothing does.
#[cfg(target_arch = "wasm32")]
pub type Remote = Box<dyn Ranges>;

/// The contents of a file of weights.
#[derive(Debug)]
pub enum Bytes {
    /// In memory.
    Memory(Cow<'static, [u8]>),
    /// Mapped.
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(memmap2::Mmap),
    /// To be fetched.
    Remote(Remote),
}

impl Bytes {
    /// Maps the file at `path`, which must be `what`. It must not be cut short while it is open.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], naming the path.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &std::path::Path, what: &str) -> Result<Self> {
        use crate::files::{Whole, read_bytes};
        if crate::files::is_standard(path) {
            return Ok(Bytes::Memory(read_bytes(path, Whole::Content)?.into()));
        }
        let io_error = |e: std::io::Error| Error::io(path.display(), &e);
        let file = std::fs::File::open(path).map_err(io_error)?;
        let meta = file.metadata().map_err(io_error)?;
        if meta.is_dir() {
            let text = format!("{}: is a folder, must be {what}", path.display());
            return Err(Error::new(ErrorKind::Io, text));
        }
        if meta.len() == 0 || !meta.is_file() {
            // Nothing to map: an empty file, a pipe.
            return Ok(Bytes::Memory(read_bytes(path, Whole::Content)?.into()));
        }
        // SAFETY: the map is read-only and private to this process; the requirement on others is in the doc
        // comment.
        Ok(Bytes::Mapped(unsafe { memmap2::Mmap::map(&file) }.map_err(io_error)?))
    }

    /// All of them, where they are at hand.
    pub fn at_hand(&self) -> Option<&[u8]> {
        match self {
            Bytes::Memory(bytes) => Some(bytes),
            #[cfg(not(target_arch = "wasm32"))]
            Bytes::Mapped(map) => Some(map),
            Bytes::Remote(_) => None,
        }
    }

    /// How many.
    pub fn length(&self) -> u64 {
        match self {
            Bytes::Remote(file) => file.length(),
            at_hand => at_hand.at_hand().map_or(0, |bytes| bytes.len() as u64),
        }
    }

    /// Some of them; those that are not there are left out.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>> {
        let end = range.end.min(self.length());
        let range = range.start.min(end)..end;
        match (self, self.at_hand()) {
            (Bytes::Remote(file), _) => file.fetch(range).await.map(Cow::Owned),
            (_, bytes) => Ok(bytes.map_or(&[][..], |b| &b[range.start as usize..range.end as usize]).into()),
        }
    }
}

/// What comes of bytes that are at hand: it waits for nothing.
///
/// # Errors
/// Its own; [`ErrorKind::Io`] for bytes that have to be fetched.
pub fn at_once<T>(coming: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(coming).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::new(ErrorKind::Io, "the bytes of a file are not here yet")
            .help("give the file as bytes in memory")),
    }
}
