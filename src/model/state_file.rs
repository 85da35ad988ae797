//! The bytes of a saved text: header, tensors, checksum. Little-endian, one version.

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};

const MAGIC: &[u8; 8] = b"POLYSKST";
const VERSION: u32 = 1;

/// The bytes of a state file, for [`Session::load`](super::Session::load); of another file no more than its
/// first are read.
///
/// # Errors
/// As [`read_bytes`](crate::files::read_bytes); [`ErrorKind::State`] for a file that is none.
#[cfg(not(target_arch = "wasm32"))]
pub fn read_state(path: &std::path::Path) -> Result<Vec<u8>> {
    crate::files::read_begun(path, crate::files::Whole::Content, MAGIC, no_state)
}

fn no_state(label: &str) -> Error {
    Error::new(ErrorKind::State, format!("{label}: not a polysketch state file"))
        .help("give a file that --state-out wrote")
}

/// One text's state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SavedState {
    pub fingerprint: u64,
    pub position: u64,
    pub ring: u64,
    pub pending: Vec<u32>,
    pub seen: Vec<u32>,
    pub tensors: Vec<SavedTensor>,
}

/// A state tensor of one slot.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SavedTensor {
    pub name: String,
    pub words: Vec<u32>,
}

impl SavedState {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let words = |out: &mut Vec<u8>, words: &[u32]| {
            out.extend((words.len() as u64).to_le_bytes());
            words.iter().for_each(|w| out.extend(w.to_le_bytes()));
        };
        out.extend(VERSION.to_le_bytes());
        out.extend((self.tensors.len() as u32).to_le_bytes());
        for number in [self.fingerprint, self.position, self.ring] {
            out.extend(number.to_le_bytes());
        }
        words(&mut out, &self.pending);
        words(&mut out, &self.seen);
        for tensor in &self.tensors {
            out.extend((tensor.name.len() as u64).to_le_bytes());
            out.extend(tensor.name.as_bytes());
            words(&mut out, &tensor.words);
        }
        let checksum = xxh3_64(&out);
        out.extend(checksum.to_le_bytes());
        out
    }

    /// Reads a state of the model with that fingerprint; the checksum is verified before anything is
    /// allocated.
    pub fn from_bytes(bytes: &[u8], label: &str, fingerprint: u64) -> Result<Self> {
        let fail = |what: String, help: &str| {
            Err(Error::new(ErrorKind::State, format!("{label}: {what}")).help(help))
        };
        if !bytes.starts_with(MAGIC) {
            return Err(no_state(label));
        }
        let version = bytes.get(8..12).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        if version != VERSION {
            return fail(
                format!("a state file of version {version}, this program reads version {VERSION}"),
                "save it again with this version",
            );
        }
        let damaged = "the file is cut short or damaged; use another copy";
        let Some((body, checksum)) = bytes.split_last_chunk::<8>() else {
            return fail(format!("{} bytes are no state", bytes.len()), damaged);
        };
        if xxh3_64(body) != u64::from_le_bytes(*checksum) {
            return fail("its checksum does not fit its contents".into(), damaged);
        }
        let mut reader = Reader(&body[12..]);
        let Some(state) = reader.state() else {
            return fail("its contents end too early".into(), damaged);
        };
        if state.fingerprint != fingerprint {
            return fail(
                format!("saved by model {:016x}, the loaded one is {fingerprint:016x}", state.fingerprint),
                "load the model that saved it (--model, --adapter)",
            );
        }
        Ok(state)
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, n: usize) -> Option<&[u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn words(&mut self) -> Option<Vec<u32>> {
        let n = usize::try_from(self.u64()?).ok()?.checked_mul(4)?;
        Some(self.take(n)?.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    fn state(&mut self) -> Option<SavedState> {
        let tensors = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        let (fingerprint, position, ring) = (self.u64()?, self.u64()?, self.u64()?);
        let (pending, seen) = (self.words()?, self.words()?);
        let mut list = Vec::new();
        for _ in 0..tensors {
            let n = usize::try_from(self.u64()?).ok()?;
            let name = String::from_utf8(self.take(n)?.to_vec()).ok()?;
            list.push(SavedTensor { name, words: self.words()? });
        }
        Some(SavedState { fingerprint, position, ring, pending, seen, tensors: list })
    }
}
