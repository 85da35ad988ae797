//! The bytes of a tensor of the new file, a piece at a time.

use std::io;

use super::targets::{Content, Part, Target};
use crate::error::{Error, Result};
use crate::model::checkpoint::Checkpoint;

/// Numbers of a piece, or as many as a row has.
const PIECE: usize = 1 << 20;

/// Why writing ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The file system said no.
    Write(io::Error),
    /// Something else.
    Failed(Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Write(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// Takes pieces of a tensor.
type Give<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Stop>;

/// Gives out the bytes of a tensor.
pub(super) fn bytes(target: &Target, checkpoint: &Checkpoint, give: Give<'_>) -> Result<(), Stop> {
    match &target.content {
        Content::Blocks => checkpoint.blocks(&target.name)?.chunks(PIECE).try_for_each(give),
        Content::Values(values) => encode(target, checkpoint, values, give),
        Content::Parts(parts) => match &parts[..] {
            // Nothing but its name and type is another.
            [part] if part.place.is_whole() => rows(target, part, checkpoint, give),
            parts => {
                let mut all = vec![0.0; target.shape.iter().product()];
                for part in parts {
                    part.place.put(&checkpoint.f32(&part.name)?, &part.shape, &mut all);
                }
                encode(target, checkpoint, &all, give)
            }
        },
    }
}

/// A tensor that lies in the new file as we have it.
fn rows(target: &Target, part: &Part, checkpoint: &Checkpoint, give: Give<'_>) -> Result<(), Stop> {
    let [rows, columns] = match target.shape[..] {
        [rows, columns] => [rows, columns],
        _ => return encode(target, checkpoint, &checkpoint.f32(&part.name)?, give),
    };
    let most = (PIECE / columns.max(1)).max(1);
    for first in (0..rows).step_by(most) {
        let elements = first * columns..rows.min(first + most) * columns;
        let values = checkpoint.f32_part(&part.name, elements)?;
        encode(target, checkpoint, &values, give)?;
    }
    Ok(())
}

fn encode(target: &Target, checkpoint: &Checkpoint, values: &[f32], give: Give<'_>) -> Result<(), Stop> {
    let mut out = Vec::new();
    for values in values.chunks(PIECE.next_multiple_of(target.kind.values())) {
        out.clear();
        target.kind.encode(values, &mut out).map_err(|at| {
            let ours = match &target.content {
                Content::Parts(parts) => parts.first().map_or("", |part| &part.name),
                _ => &target.name,
            };
            let error = checkpoint.too_large(ours, values[at], target.kind);
            error.help("convert it to weights of f32")
        })?;
        give(&out)?;
    }
    Ok(())
}
