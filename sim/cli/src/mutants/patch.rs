//! The text form of a planted bug, and its edits on a copy of the workspace. `ci/planted/README.md` tells people; files
//! and processes are other modules' business.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use barnabas_plan::Lane;

/// What a bug does to what clients were promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// Something acknowledged is gone.
    Loses,
    /// Something is there twice, or owned twice.
    Duplicates,
    /// Something is out of order.
    Reorders,
    /// Clients are told what is not so.
    Misreports,
    /// Nothing that a client must see.
    None,
}

impl Harm {
    const WORDS: [(&'static str, Self); 5] = [
        ("loses", Self::Loses),
        ("duplicates", Self::Duplicates),
        ("reorders", Self::Reorders),
        ("misreports", Self::Misreports),
        ("none", Self::None),
    ];

    /// Whether client histories alone must show it.
    pub(crate) const fn shows_to_clients(self) -> bool {
        match self {
            Self::Loses | Self::Duplicates | Self::Reorders | Self::Misreports => true,
            Self::None => false,
        }
    }

    fn read(word: &str) -> Result<Self> {
        let known = Self::WORDS.iter().find(|(name, _)| *name == word);
        known.map(|(_, harm)| *harm).with_context(|| format!("`{word}` is no harm"))
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(_, harm)| harm == self).map(|(word, _)| *word);
        f.write_str(word.expect("every harm has its word"))
    }
}

/// What is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The broker: the campaign must find it.
    Broker,
    /// The simulator itself: it must be found, or let these bugs of the broker survive, so that the campaign fails.
    Harness { blinds: Vec<String> },
}

/// One replacement in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Path below the root of the workspace.
    pub(crate) file: String,
    /// What stands there exactly once.
    pub(crate) find: String,
    /// What takes its place.
    pub(crate) replace: String,
}

/// A planted bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bug {
    /// Its name in plans and reports.
    pub(crate) id: String,
    /// What it does, in a line.
    pub(crate) title: String,
    /// The failure of the real world that it stands for.
    pub(crate) re_enacts: String,
    pub(crate) kind: Kind,
    pub(crate) harm: Harm,
    /// Lanes that may find it, the likeliest first.
    pub(crate) lanes: Vec<Lane>,
    /// Checkers that are expected to be first.
    pub(crate) expects: Vec<String>,
    /// What makes it likely, for people.
    pub(crate) knobs: String,
    /// Why sweeps find it seldom, if they do.
    pub(crate) seldom: Option<String>,
    pub(crate) edits: Vec<Edit>,
}

impl Bug {
    /// Reads a patch file.
    ///
    /// # Errors
    /// The line that cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (header, edits) = split(text)?;
        let mut fields = BTreeMap::new();
        for line in header {
            let (key, value) = line.split_once(' ').with_context(|| format!("`{line}` is not `key value`"))?;
            ensure!(fields.insert(key, value.trim()).is_none(), "`{key}` is said twice");
        }
        let mut take = |key: &str| fields.remove(key);
        let id = take("id").context("`id` is missing")?.to_owned();
        let is_word = !id.is_empty() && id.chars().all(|letter| letter.is_ascii_alphanumeric());
        ensure!(is_word, "`{id}` is no id: letters and digits only");
        let kind = match (take("kind"), take("blinds")) {
            (None, None) => Kind::Broker,
            (Some("harness"), Some(blinds)) => Kind::Harness { blinds: words(blinds) },
            _ => bail!("`kind harness` and `blinds` come together"),
        };
        let lanes = take("lanes").context("`lanes` is missing")?.split_whitespace().map(str::parse);
        let bug = Self {
            id,
            title: take("title").context("`title` is missing")?.to_owned(),
            re_enacts: take("re-enacts").context("`re-enacts` is missing")?.to_owned(),
            kind,
            harm: Harm::read(take("harm").context("`harm` is missing")?)?,
            lanes: lanes.collect::<Result<_, _>>()?,
            expects: words(take("expects").context("`expects` is missing")?),
            knobs: take("knobs").unwrap_or_default().to_owned(),
            seldom: take("seldom").map(str::to_owned),
            edits,
        };
        ensure!(!bug.lanes.is_empty(), "a bug has a lane");
        ensure!(!bug.edits.is_empty(), "a bug has an edit");
        for name in &bug.expects {
            let is_checker = barnabas_checkers::ALL.iter().any(|promise| promise.name == name);
            ensure!(is_checker, "`{name}` in `expects` is no checker: `cargo sim catalog` lists them");
        }
        if let Some((key, _)) = fields.into_iter().next() {
            bail!("`{key}` means nothing here");
        }
        Ok(bug)
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| letter.is_whitespace() || letter == ',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Lines of the header, and the edits.
fn split(text: &str) -> Result<(Vec<&str>, Vec<Edit>)> {
    let mut header = Vec::new();
    let mut edits = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        match line.strip_prefix("@ ") {
            None if line.trim().is_empty() || line.starts_with('#') => {}
            None if edits.is_empty() => header.push(line),
            None => bail!("`{line}` stands between two edits"),
            Some(marker) => {
                let file =
                    marker.strip_prefix("file ").with_context(|| format!("`@ file` begins an edit, not `{line}`"))?;
                ensure!(lines.next() == Some("@ find"), "`@ find` follows `@ file {file}`");
                let find = block(&mut lines, "@ replace")?;
                let replace = block(&mut lines, "@ end")?;
                ensure!(!find.trim().is_empty(), "{file}: there is nothing to find");
                edits.push(Edit { file: file.trim().to_owned(), find, replace });
            }
        }
    }
    Ok((header, edits))
}

fn block<'a>(lines: &mut impl Iterator<Item = &'a str>, end: &str) -> Result<String> {
    let mut block = Vec::new();
    for line in lines {
        if line == end {
            return Ok(block.join("\n"));
        }
        ensure!(!line.starts_with("@ "), "`{line}` stands where `{end}` should");
        block.push(line);
    }
    bail!("`{end}` is missing")
}

/// Applies all edits of all bugs to the files in `sources`, by path. Every `find` stands exactly once in the file as it
/// was and as the bugs before left it, so that no bug depends on the order.
///
/// # Errors
/// The bug and the file where that is not so.
pub(crate) fn apply(bugs: &[Bug], sources: &mut BTreeMap<String, String>) -> Result<()> {
    let originals = sources.clone();
    for bug in bugs {
        for edit in &bug.edits {
            let place = || format!("{} in {}", bug.id, edit.file);
            let original = originals.get(&edit.file).with_context(|| format!("{}: there is no such file", place()))?;
            let count = original.matches(&edit.find).count();
            ensure!(count == 1, "{}: its place is there {count} times:\n{}", place(), edit.find);
            let source = sources.get_mut(&edit.file).expect("it is among the originals");
            let count = source.matches(&edit.find).count();
            ensure!(count == 1, "{}: another bug is planted in the same lines:\n{}", place(), edit.find);
            *source = source.replacen(&edit.find, &edit.replace, 1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
id X01
title twice: everything is written twice
re-enacts nothing
harm duplicates
lanes durable raw
expects duplicate, sequences

@ file a/b.rs
@ find
    one();
@ replace
    one();
    one();
@ end
";

    fn sources(text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("a/b.rs".to_owned(), text.to_owned())])
    }

    #[test]
    fn a_patch_reads() {
        let bug = Bug::parse(TEXT).expect("it is sound");
        assert_eq!((bug.id.as_str(), bug.harm, bug.kind.clone()), ("X01", Harm::Duplicates, Kind::Broker));
        assert_eq!(bug.lanes, [Lane::Durable, Lane::Raw]);
        assert_eq!(bug.expects, ["duplicate", "sequences"]);
        assert_eq!(bug.edits[0].find, "    one();");
    }

    #[test]
    fn a_bad_patch_is_refused_with_its_reason() {
        for (good, bad, reason) in [
            ("id X01\n", "", "`id` is missing"),
            ("harm duplicates", "harm great", "`great` is no harm"),
            ("lanes durable raw", "lanes fast", "nobody knows `fast`"),
            ("expects duplicate", "expects I15", "`I15` in `expects` is no checker: `cargo sim catalog` lists them"),
            ("@ end", "", "`@ end` is missing"),
            ("@ find\n    one();\n", "@ find\n", "a/b.rs: there is nothing to find"),
            ("title", "colour red\ntitle", "`colour` means nothing here"),
            ("harm", "kind harness\nharm", "`kind harness` and `blinds` come together"),
        ] {
            let text = TEXT.replace(good, bad);
            assert_ne!(text, TEXT);
            assert_eq!(Bug::parse(&text).expect_err("it is broken").to_string(), reason);
        }
    }

    #[test]
    fn an_edit_is_applied_where_it_stands_once() {
        let bug = Bug::parse(TEXT).expect("it is sound");
        let mut all = sources("fn f() {\n    one();\n}\n");
        apply(std::slice::from_ref(&bug), &mut all).expect("it fits");
        assert_eq!(all["a/b.rs"], "fn f() {\n    one();\n    one();\n}\n");
    }

    #[test]
    fn an_edit_that_does_not_fit_names_bug_and_file() {
        let bug = Bug::parse(TEXT).expect("it is sound");
        for (text, count) in [("", 0), ("    one();\n    one();\n", 2)] {
            let error = apply(std::slice::from_ref(&bug), &mut sources(text)).expect_err("it does not fit");
            assert_eq!(error.to_string(), format!("X01 in a/b.rs: its place is there {count} times:\n    one();"));
        }
        let error = apply(std::slice::from_ref(&bug), &mut BTreeMap::new()).expect_err("there is no file");
        assert_eq!(error.to_string(), "X01 in a/b.rs: there is no such file");
    }

    #[test]
    fn two_bugs_in_the_same_lines_are_refused() {
        let first = Bug::parse(TEXT).expect("it is sound");
        let second = Bug { id: "X02".to_owned(), ..first.clone() };
        let error = apply(&[first, second], &mut sources("    one();\n")).expect_err("they collide");
        assert!(error.to_string().starts_with("X02 in a/b.rs: another bug"), "{error}");
    }
}
