//! What the gauge and its worker say to each other: messages of JSON, each behind its length.

use std::io::{Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::AdapterReport;

/// Longer messages are a broken worker's.
const LONGEST: usize = 256 << 20;

/// The first words of a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Hello {
    /// It has a device.
    Ready(Box<Device>),
    /// It has none, and why.
    Failed(String),
}

/// The device of a worker, as its driver reports it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Device {
    /// As the engine sees it.
    pub adapter: AdapterReport,
    /// What shaders are translated for.
    pub target: Target,
}

/// What of a device decides how wgpu translates a shader for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Version of SPIR-V.
    pub version: (u8, u8),
    /// The driver bounds accesses to buffers exactly (`robustBufferAccess2`), so that shaders need not.
    pub robust: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// Products of packed integers.
    pub packed_products: bool,
    /// Integers of 8 bits.
    pub bytes: bool,
    /// 16-bit floats and cooperative matrices: in mixed precision.
    #[serde(default)]
    pub cooperative: bool,
}

/// A shader to compile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// SPIR-V, entry point `main`.
    pub words: Vec<u32>,
    /// Storage buffers, from binding 1 on.
    pub storage: u32,
    /// Whether to give the compiler's texts back.
    pub texts: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// It compiled.
    Compiled(Compiled),
    /// The driver refuses it, and why.
    Refused(String),
}

/// A compiled shader, in the driver's own words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Compiled {
    /// Invocations of a subgroup.
    pub subgroup: u32,
    /// Name and value.
    pub statistics: Vec<(String, f64)>,
    /// Name and text of each stage of the compilation.
    pub texts: Vec<(String, String)>,
}

impl Compiled {
    /// A statistic by its name.
    pub fn statistic(&self, name: &str) -> Option<u64> {
        self.statistics.iter().find(|(known, _)| known == name).map(|(_, value)| *value as u64)
    }

    /// The last of the texts whose name holds `part`.
    pub fn text(&self, part: &str) -> Option<&str> {
        self.texts.iter().rev().find(|(name, _)| name.contains(part)).map(|(_, text)| text.as_str())
    }
}

/// Writes a message.
///
/// # Errors
/// [`ErrorKind::Io`] where nobody reads.
pub fn send(to: &mut impl Write, message: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec(message).map_err(|e| broken(&e.to_string()))?;
    let length = u32::try_from(bytes.len()).map_err(|e| broken(&e.to_string()))?;
    let written = to.write_all(&length.to_le_bytes()).and_then(|()| to.write_all(&bytes));
    written.and_then(|()| to.flush()).map_err(|e| broken(&e.to_string()))
}

/// Reads a message; none where the other side has ended.
///
/// # Errors
/// [`ErrorKind::Io`] for what is no message.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other.map_err(|e| broken(&e.to_string()))?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(broken(&format!("a message of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).map_err(|e| broken(&e.to_string()))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| broken(&e.to_string()))
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Io, format!("the compiler's process: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_or_not_at_all() {
        let request = Request { words: vec![0x0723_0203, u32::MAX], storage: 3, texts: true };
        let mut bytes = Vec::new();
        send(&mut bytes, &request).expect("written");
        send(&mut bytes, &Reply::Refused("no".into())).expect("written");
        let mut from = &bytes[..];
        let again: Request = receive(&mut from).expect("read").expect("is there");
        assert_eq!((again.words, again.storage, again.texts), (request.words, 3, true));
        assert!(matches!(receive(&mut from).expect("read"), Some(Reply::Refused(_))));
        assert!(receive::<Reply>(&mut from).expect("the end").is_none());
        for cut in [6, bytes.len() - 1] {
            let mut from = &bytes[..cut];
            let mut read = || receive::<serde_json::Value>(&mut from);
            assert!(read().is_err() || read().is_err(), "cut at {cut}");
        }
        assert!(receive::<Reply>(&mut &u32::MAX.to_le_bytes()[..]).is_err());
    }
}
