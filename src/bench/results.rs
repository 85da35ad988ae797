//! Files of many owners as one board: each is checked as it is loaded.

use serde::{Deserialize, Serialize};

use super::board::Board;
use super::compare::Set;
use super::schema::Row;
use super::submission::Submission;

/// A file of rows.
#[derive(Clone, Debug, Deserialize)]
pub struct File {
    /// What errors call it.
    pub name: String,
    /// Its lines.
    pub text: String,
    /// Whether it stands among the results: then it must have all that a submission needs.
    #[serde(default)]
    pub published: bool,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    /// Its name.
    pub name: String,
    /// Its rows; 0 where it was refused.
    pub rows: usize,
    /// Why it is not on the board: file, line, field.
    pub refused: Option<String>,
    /// Why it could not be published as it is.
    pub missing: Option<String>,
}

/// All files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// Those that were taken, beside each other.
    pub board: Board,
    /// The file of each of its columns, by its place in `files`.
    pub file_of: Vec<usize>,
    /// What became of each file, in the order they were given.
    pub files: Vec<Told>,
}

impl Results {
    /// Checks files and puts those that are taken beside each other.
    pub fn new(files: &[File]) -> Self {
        let (mut sets, mut owners, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for (at, file) in files.iter().enumerate() {
            let read = if file.published { Submission::accept } else { Submission::read };
            let mut about = Told { name: file.name.clone(), rows: 0, refused: None, missing: None };
            match read(&file.text, &file.name) {
                Ok(read) => {
                    about.rows = read.rows.len();
                    about.missing = read.missing.map(|fault| fault.to_string());
                    let rows: Vec<Row> = read.rows.into_iter().map(|(_, row)| row).collect();
                    for set in Set::split(rows) {
                        sets.push(set);
                        owners.push(at);
                    }
                }
                Err(error) => about.refused = Some(error.message().to_string()),
            }
            told.push(about);
        }
        let board = Board::new(&sets);
        let file_of = board.columns.iter().map(|column| owners[column.set]).collect();
        Self { board, file_of, files: told }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAVAPIPE: &str = include_str!("../../web/page/results/lavapipe.jsonl");
    const H100: &str = include_str!("../../web/page/results/h100.jsonl");

    #[test]
    fn a_file_that_is_refused_leaves_the_others_alone() {
        let file = |name: &str, text: &str, published: bool| File {
            name: name.into(),
            text: text.into(),
            published,
        };
        let few: String = LAVAPIPE.lines().take(3).map(|line| format!("{line}\n")).collect();
        let files = [
            file("a", LAVAPIPE, true),
            file("b", &few, true),
            file("c", &few, false),
            file("d", "{}", false),
            file("e", H100, true),
        ];
        let results = Results::new(&files);
        let refused: Vec<bool> = results.files.iter().map(|file| file.refused.is_some()).collect();
        assert_eq!(refused, [false, true, false, true, false]);
        // What may not be published is shown to its owner, and what it lacks.
        let lacks = results.files[2].missing.as_deref();
        assert!(lacks.is_some_and(|why| why.starts_with("suite: no row of kernels")), "{lacks:?}");
        assert_eq!(results.file_of, [4, 0, 2]);
        let makers: Vec<&str> = results.board.columns.iter().map(|column| column.maker).collect();
        assert_eq!(makers, ["NVIDIA", "software adapters", "software adapters"]);
        // Measured twice in a file: the later row counts.
        let cells = results.board.lines.iter().filter(|line| line.plan == "attention");
        assert!(
            cells.clone().count() > 3 && cells.flat_map(|line| &line.cells).flatten().all(|c| c.steps == 1)
        );
    }
}
