//! `train`: from a configuration and texts to a model folder.
//!
//! | file | what |
//! |---|---|
//! | `options.rs` | what it takes, and the settings and the start that follow |
//! | `teller.rs` | what is said while it trains |
//! | `result.rs` | what is said at the end |
//! | `loss_curve.rs` | the loss as a drawing |

mod loss_curve;
mod options;
mod result;
mod teller;

use pollster::block_on;
use polysketch::files::cache_dir;
use polysketch::train::run::{self, Data};

pub use options::Options;

use super::failure::{Outcome, catch_interrupt};
use super::options::{Common, folder_name};
use super::output::{amount, plural};
use super::progress::{Progress, Unit};
use teller::Teller;

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let (start, settings, folder) = options.start(common)?;
    let data = {
        let bar = Progress::bar(common, "cutting into tokens", 0, Unit::Bytes);
        let cache = cache_dir().map(|folder| folder.join("tokens"));
        Data::open(&settings, &start, cache.as_deref(), &mut |done, total| {
            bar.total(total as u64);
            bar.set(done);
        })?
    };
    let engine = super::model::engine(common)?;
    let name = folder_name(&options.out);
    let what = match (settings.task, data.tokens) {
        (Some(task), _) => format!("task {}", task.kind.as_str()),
        (None, tokens) => plural(tokens.unwrap_or_default(), "token"),
    };
    let step = plural(settings.tokens(1) as usize, "token");
    let parameters = amount(start.source.config.parameter_count());
    let about = format!("{name}: {parameters} parameters, {what}, {step} a step, on {}", engine.name());
    let first = start.resumed.as_ref().map_or(0, |(_, progress)| progress.step);
    catch_interrupt();
    let mut teller = Teller::new(common, &settings, &options.out, &name, about, first);
    let finished =
        block_on(run::run(&engine, &settings, start, data, folder, &mut |event| teller.tell(&event)));
    // Also after a failure: what was learned until then shows why.
    teller.draw();
    drop(teller);
    let finished = finished?;
    let lengths = if finished.interrupted {
        Vec::new()
    } else {
        result::by_length(common, &engine, &settings, &options.out)?
    };
    result::report(common, options, &settings, &engine, first, &finished, &lengths)
}
