//! `gauge`: what the compilers of four vendors make of the kernels.

use std::path::{Path, PathBuf};

use clap::Args;
use polysketch::bench::estimate::Codes;
use polysketch::gauge::table::{self, Comparison, microseconds};
use polysketch::gauge::{
    Checks, MACHINES, Machine, Options as Gauge, Row, Setting, run as gauge, scenes_of, serve,
};
use polysketch::{Error, ErrorKind};

use super::failure::Outcome;
use super::options::Common;
use super::output::{Align, columns, plural, print, print_json, table as lines, wrap};
use super::progress::Progress;

/// What `gauge` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Only kernels or scenes whose name holds this
    kernel: Option<String>,
    /// Whose compilers: nvidia, amd, apple, adreno
    #[arg(long, value_delimiter = ',', value_name = "WORDS")]
    vendor: Vec<String>,
    /// The folder that tests/gauge/setup filled [default: ~/.cache/polysketch-tests/mesa26]
    #[arg(long, value_name = "DIR")]
    mesa: Option<PathBuf>,
    /// Hold the rows against this table, and fail where a kernel became worse
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Write the table anew (--table, or tests/gauge/table.txt), and the codes that the benchmark's estimates take
    /// (src/bench/estimate/codes.txt)
    #[arg(long)]
    update: bool,
    /// Shaders with checks of bounds and divisors, as software adapters have them
    #[arg(long)]
    checked: bool,
    /// Take shaders from this folder (FAMILY/KERNEL.wgsl, shared/NAME.wgsl), as they are edited, in place of the
    /// program's own; overrides and bindings stay
    #[arg(long, value_name = "DIR")]
    shaders: Option<PathBuf>,
    /// Keep the compilers' texts in this folder
    #[arg(long, value_name = "DIR")]
    isa: Option<PathBuf>,
    /// Compile what comes on stdin: the command runs itself so
    #[arg(long, hide = true)]
    worker: bool,
}

/// What estimates beside measured times stand on; written with the table, and built into the program.
const CODES: &str = "src/bench/estimate/codes.txt";

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    if options.worker {
        return Ok(serve()?);
    }
    let asked = gauged(options)?;
    let whole = asked.filter.is_none();
    if options.update
        && (!whole || asked.machines.len() < MACHINES.len() || options.checked || options.shaders.is_some())
    {
        let what = "--update wants every kernel of every vendor, as the engine runs it";
        return Err(Error::new(ErrorKind::Input, what).help("leave out the other options").into());
    }
    // A table that is wrong is told before minutes of work.
    let path = options.table.clone().unwrap_or_else(|| "tests/gauge/table.txt".into());
    let kept = match (&options.table, options.update) {
        (Some(path), false) => {
            let text = polysketch::files::read_text(path, polysketch::files::Whole::Settings)?;
            Some(table::parse(&text, &path.display().to_string())?)
        }
        _ => None,
    };
    if options.update {
        polysketch::files::check_place(&path)?;
    }
    let spinner = Progress::spinner(common, "gauging");
    let report = gauge(&asked, &|what| spinner.say(what))?;
    drop(spinner);
    if options.update {
        polysketch::files::atomic_write(&path, |file| file.write_all(table::text(&report).as_bytes()))?;
        let codes = table::codes(&report).text();
        polysketch::files::atomic_write(Path::new(CODES), |file| file.write_all(codes.as_bytes()))?;
    }
    let every = whole && asked.machines.len() == MACHINES.len() && asked.checks == Checks::Off;
    let found = kept.map(|kept| {
        let mut found = kept.compare(&report, whole);
        // The codes inside the program are those of the same shaders.
        if every && options.shaders.is_none() && table::codes(&report).text() != Codes::ours().text() {
            found.strange.push(format!("{CODES} is not what the compilers make now"));
        }
        found
    });
    match &found {
        _ if common.json => print_json(&report.rows)?,
        // All rows are in the table; what is new is what differs.
        Some(found) => print(&difference(found))?,
        None => print(&shown(&report.rows, &asked.machines))?,
    }
    found.map_or(Ok(()), |found| verdict(&found, &path.display().to_string()))
}

fn gauged(options: &Options) -> Outcome<Gauge> {
    let mut machines: Vec<&'static Machine> = Vec::new();
    for word in &options.vendor {
        let machine = Machine::named(word).ok_or_else(|| {
            let words: Vec<&str> = MACHINES.iter().map(|machine| machine.chip.word).collect();
            Error::new(ErrorKind::Input, format!("no compiler of '{word}'"))
                .help(format!("one of: {}", words.join(", ")))
        })?;
        if !machines.iter().any(|known| known.chip.word == machine.chip.word) {
            machines.push(machine);
        }
    }
    if machines.is_empty() {
        machines.extend(&MACHINES);
    }
    let program = std::env::current_exe().map_err(|e| Error::io("this program's own file", &e))?;
    let mesa = options.mesa.clone().unwrap_or_else(|| {
        let home = |name, rest: &str| std::env::var_os(name).map(|home| PathBuf::from(home).join(rest));
        let cache = home("XDG_CACHE_HOME", "").or_else(|| home("HOME", ".cache")).unwrap_or_default();
        cache.join("polysketch-tests/mesa26")
    });
    Ok(Gauge {
        setting: Setting { program, mesa },
        machines,
        filter: options.kernel.clone(),
        checks: if options.checked { Checks::Kept } else { Checks::Off },
        shaders: options.shaders.clone(),
        isa: options.isa.clone(),
    })
}

/// The rows by scene, vendors beside each other, and the estimate of each scene.
fn shown(rows: &[Row], machines: &[&'static Machine]) -> String {
    const HEAD: [&str; 15] = [
        "step", "kernel", "×", "vendor", "regs", "occ", "spill", "instr", "cycles", "fma", "w/fma", "wg mem",
        "wgs/proc", "GFLOP", "µs",
    ];
    const LEFT: [usize; 3] = [0, 1, 3];
    let align: Vec<Align> =
        (0..HEAD.len()).map(|at| if LEFT.contains(&at) { Align::Left } else { Align::Right }).collect();
    let mut text = String::new();
    for scene in scenes_of(rows) {
        let of_scene: Vec<&Row> = rows.iter().filter(|row| row.scene == scene).collect();
        let about = of_scene.first().map_or("", |row| row.about.as_str());
        text += &format!("{scene}: {about}\n");
        let mut cells = vec![HEAD.map(String::from).to_vec()];
        let mut last = String::new();
        for row in of_scene {
            let new = row.key() != last;
            last = row.key();
            cells.push(numbers(row, new));
        }
        lines(&align, 0, &cells, columns()).into_iter().for_each(|line| text += &(line + "\n"));
        text.push('\n');
    }
    text += &totals(rows, machines);
    text
}

fn numbers(row: &Row, new: bool) -> Vec<String> {
    let name = |text: &str| if new { text.to_string() } else { String::new() };
    let times = if new { row.times.to_string() } else { String::new() };
    let mut cells = vec![name(&row.step), name(&row.kernel), times, row.vendor.to_string()];
    if let Some(why) = &row.failed {
        cells.extend(["-", "-", "-", "-", "-", "-", "-", "-", "-", "-"].map(String::from));
        cells.push(why.clone());
        return cells;
    }
    cells.extend([
        row.registers.to_string(),
        row.occupancy.to_string(),
        row.spills.to_string(),
        row.instructions.to_string(),
        row.cycles.map_or("-".into(), |cycles| cycles.to_string()),
        format!("{:.0} %", 100.0 * row.multiply_adds),
        format!("{:.2}", row.words),
        row.workgroup_memory.to_string(),
        format!("{:.1}", row.workgroups_a_processor),
        format!("{:.3}", 1e-9 * row.flops),
        microseconds(row.seconds),
    ]);
    cells
}

fn totals(rows: &[Row], machines: &[&'static Machine]) -> String {
    let mut cells =
        vec![["scene".to_string()].into_iter().chain(machines.iter().map(|m| m.chip.word.into())).collect()];
    for scene in scenes_of(rows) {
        let of = |machine: &&'static Machine| {
            let of_both = rows.iter().filter(|row| row.scene == scene && row.vendor == machine.chip.word);
            let seconds: Vec<Option<f64>> =
                of_both.map(|row| row.failed.is_none().then_some(row.seconds)).collect();
            match seconds.iter().copied().collect::<Option<Vec<f64>>>() {
                Some(all) if !all.is_empty() => microseconds(all.iter().sum()),
                _ => "-".into(),
            }
        };
        cells.push([scene.to_string()].into_iter().chain(machines.iter().map(of)).collect());
    }
    let align: Vec<Align> =
        (0..=machines.len()).map(|at| if at == 0 { Align::Left } else { Align::Right }).collect();
    let mut text = "estimates, µs\n".to_string();
    lines(&align, 0, &cells, columns()).into_iter().for_each(|line| text += &(line + "\n"));
    for machine in machines {
        let about = format!("{}: {}; occ: {}", machine.chip.word, machine.about(), machine.occupancy_of);
        wrap(&about, 0, columns()).into_iter().for_each(|line| text += &(line + "\n"));
    }
    text
}

fn difference(found: &Comparison) -> String {
    let mut text = String::new();
    let lists = [("changed", &found.changed), ("worse", &found.worse), ("came or went", &found.strange)];
    for (what, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        text += &format!("{what}:\n");
        for line in list {
            wrap(line, 2, columns()).into_iter().for_each(|line| text += &(line + "\n"));
        }
        text.push('\n');
    }
    let mut cells = vec![["estimates", "vendor", "µs before", "µs now", "times"].map(String::from).to_vec()];
    for (scene, vendor, [before, now]) in &found.estimates {
        let times = format!("{:.2}", now / before);
        cells.push(vec![scene.clone(), (*vendor).into(), microseconds(*before), microseconds(*now), times]);
    }
    let align = [Align::Left, Align::Left, Align::Right, Align::Right, Align::Right];
    lines(&align, 0, &cells, columns()).into_iter().for_each(|line| text += &(line + "\n"));
    text
}

fn verdict(found: &Comparison, table: &str) -> Outcome {
    let (worse, strange) = (found.worse.len(), found.strange.len());
    if let Some([of_table, here]) = &found.compilers {
        // Other compilers, other numbers: nobody here made a kernel worse.
        let text = format!("skipped: {table} is of {of_table}, the compilers here are {here}\n");
        return print(&text);
    }
    if worse == 0 && strange == 0 {
        return Ok(());
    }
    let what = match worse {
        0 => format!("{table} is out of date, {}: {}", plural(strange, "difference"), found.strange[0]),
        _ => format!("{} became worse than {table} says: {}", plural(worse, "kernel"), found.worse[0]),
    };
    Err(Error::new(ErrorKind::Limit, what)
        .help("mend it, or if it is worth it: polysketch gauge --update, and say why in the commit")
        .into())
}
