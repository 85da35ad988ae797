//! In what numbers products are computed.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// In what numbers a plan computes its products. What is in memory does not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32 throughout.
    #[default]
    F32,
    /// Both operands of large products as halves, their sums in f32, where the device has cooperative matrices
    /// (docs/DEVELOPING.md, mixed precision).
    Mixed,
}

impl Precision {
    /// All, in the order of help texts.
    pub const ALL: [Precision; 2] = [Precision::F32, Precision::Mixed];

    /// Its word in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Mixed => "mixed",
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|known| known.as_str() == word).ok_or_else(|| {
            Error::new(ErrorKind::Input, format!("there is no precision {word:?}")).help("give f32 or mixed")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for precision in Precision::ALL {
            assert_eq!(precision.as_str().parse::<Precision>().ok(), Some(precision));
        }
        assert!("f16".parse::<Precision>().is_err_and(|e| e.message().contains("\"f16\"")));
    }
}
