//! The manual pages: clap's text on the commands, and sections that clap does not provide.

use super::grammar;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use std::io::Result;

/// Exit codes and their meanings.
const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "Done."),
    (
        "1",
        "No command was given, or the command could not begin: the configuration is missing or has a bad \
         value, the logfile cannot be written, the database is not initialised or cannot be read, or an \
         expiry date is bad. For a restore also: the target exists and --force was not given, or the target \
         is too small.",
    ),
    ("2", "Wrong usage."),
    (
        "5",
        "The source differs from the base version where the hints say that nothing has changed. The new \
         version is removed.",
    ),
    (
        "6",
        "The data store failed during a backup or a restore. The version of a failed backup stays, is \
         invalid, and can be continued.",
    ),
    (
        "20",
        "A scrub found errors. Or a restore was completed, but some of the data is bad or missing, or the \
         version is invalid. Or check found something wrong, or downgrade-check lists steps.",
    ),
    ("22", "The version to import already exists."),
    ("23", "The file to import was not written by export, or is damaged."),
    ("100", "Every other error."),
    (
        "0, 1, 2, 3",
        "status --check, sla --check: the states OK, WARNING, CRITICAL and UNKNOWN of monitoring plugins. Errors are UNKNOWN.",
    ),
    ("130, 143", "Ended by SIGINT or SIGTERM, after the locks were released."),
];

/// Files and their purposes.
const FILES: &[(&str, &str)] = &[
    (
        "/etc/backy.cfg, /etc/backy/backy.cfg, /etc/backy/conf.d/*, ~/.backy.cfg, ./backy.cfg",
        "The configuration. All of these files that exist are read in this order, and later files override \
         earlier ones key by key. With --configfile only that file is read. A file that contains the key \
         should be readable only for its owner.",
    ),
    ("DIR/backy.cfg", "The configuration with --backupdir DIR."),
    (
        "/var/log/backy.log, /var/cache/backy2, /tmp/backy.sqlite, /tmp",
        "The logfile, the folder for temporary copies, the database, and the folder of the data, unless the \
         configuration names others. For users other than root the logfile is \
         ~/.local/state/backy2/backy.log, and temporary copies are in ~/.cache/backy2.",
    ),
];

/// How a version is named on the command line.
const VERSIONS: &str = "Wherever a VERSION_UID is expected, these are accepted too: the first 6 or more \
                        characters of a uid, if only one version starts with them; NAME or NAME:latest for \
                        the newest valid version of that name; NAME:N for the N-th newest, 0 being the \
                        newest.";

/// All pages: the main page, and one page for each command. Each has a name, without the section, and a text.
///
/// # Errors
/// None in practice, since pages are written to memory.
pub(super) fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut grammar = grammar::documented();
    grammar.build();
    let mut pages = vec![("backy2".to_owned(), main_page(&grammar)?)];
    for command in grammar.get_subcommands() {
        pages.push((format!("backy2-{}", command.get_name()), command_page(command)?));
    }
    Ok(pages)
}

/// The page `backy2(1)`.
fn main_page(grammar: &clap::Command) -> Result<Vec<u8>> {
    let man = man(&grammar.clone().subcommand_help_heading("COMMANDS"));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let mut text = synopsis(grammar);
    text.control("SH", ["DESCRIPTION"]);
    paragraph(
        &mut text,
        "backy2 backs up images and block devices in blocks of a fixed size, 4 MiB unless configured otherwise. A block \
         that is already stored is not stored again, and stored blocks are compressed and encrypted. Each backup \
         is a version, complete in itself: any of them can be restored or removed in any order.",
    );
    paragraph(&mut text, "Global options stand before the command, and options of the command behind it.");
    text.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    main_page_end().to_writer(&mut page)?;
    Ok(page)
}

/// The sections that clap does not provide.
fn main_page_end() -> Roff {
    let mut text = Roff::new();
    text.control("SH", ["VERSIONS"]);
    paragraph(&mut text, VERSIONS);
    text.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        text.control("TP", []);
        text.text([bold(*code)]);
        text.text([roman(*meaning)]);
    }
    text.control("SH", ["FILES"]);
    for (names, meaning) in FILES {
        text.control("TP", []);
        text.text([italic(*names)]);
        text.text([roman(*meaning)]);
    }
    text.control("SH", ["EXAMPLES"]);
    paragraph(&mut text, "Make a self-contained installation and a backup, and list the versions:");
    example(
        &mut text,
        &[
            "backy2 -b /srv/backup init",
            "backy2 -b /srv/backup backup /dev/vg0/vm1 vm1",
            "backy2 -b /srv/backup ls",
        ],
    );
    paragraph(&mut text, "Restore and verify the newest version:");
    let restore = "backy2 -b /srv/backup restore vm1:latest /var/tmp/vm1.img";
    example(&mut text, &["backy2 -b /srv/backup scrub vm1:latest", restore]);
    text
}

/// The page `backy2-COMMAND(1)`.
fn command_page(command: &clap::Command) -> Result<Vec<u8>> {
    let man = man(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(command).to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut text = Roff::new();
    if command.get_arguments().any(|argument| argument.get_id().as_str().contains("version")) {
        text.control("SH", ["VERSIONS"]);
        paragraph(&mut text, VERSIONS);
    }
    if let Some(help) = command.get_after_help() {
        text.control("SH", ["EXAMPLES"]);
        for line in help.to_string().lines() {
            match line.strip_prefix("  ") {
                Some(line) => example(&mut text, &[line]),
                None => paragraph(&mut text, line),
            }
        }
    }
    text.control("SH", ["EXIT STATUS"]);
    paragraph(&mut text, "0 if all went well. The other codes are in backy2(1).");
    text.control("SH", ["SEE ALSO"]);
    text.text([bold("backy2"), roman("(1), also for the options that stand before the command")]);
    text.to_writer(&mut page)?;
    Ok(page)
}

fn man(command: &clap::Command) -> Man {
    let source = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).source(source).manual("backy2 manual")
}

fn paragraph(page: &mut Roff, text: &str) {
    page.control("PP", []);
    page.text([roman(text)]);
}

fn example(page: &mut Roff, lines: &[&str]) {
    page.control("PP", []);
    page.control("RS", ["4"]);
    page.control("nf", []);
    for line in lines {
        page.text([roman(*line)]);
    }
    page.control("fi", []);
    page.control("RE", []);
}

/// The synopsis: each option in its short form if it has one, then the arguments.
fn synopsis(command: &clap::Command) -> Roff {
    let mut words = vec![bold(command.get_bin_name().unwrap_or_else(|| command.get_name()))];
    for option in command.get_arguments().filter(|argument| !argument.is_positional()) {
        let long = || format!("--{}", option.get_long().unwrap_or_default());
        let name = option.get_short().map_or_else(long, |letter| format!("-{letter}"));
        words.extend([roman(" ["), bold(name)]);
        if option.get_action().takes_values() {
            words.extend([roman(" "), italic(value_name(option))]);
        }
        words.push(roman("]"));
    }
    for argument in command.get_positionals() {
        let (before, after) = if argument.is_required_set() { (" ", "") } else { (" [", "]") };
        words.extend([roman(before), italic(value_name(argument)), roman(after)]);
    }
    if command.has_subcommands() {
        words.extend([roman(" "), italic("COMMAND"), roman(" ...")]);
    }
    let mut text = Roff::new();
    text.control("SH", ["SYNOPSIS"]);
    // No justification: these lines are no prose.
    text.control("ad", ["l"]);
    text.text(words);
    text.control("ad", []);
    text
}

fn value_name(argument: &clap::Arg) -> String {
    argument.get_value_names().map_or_else(|| argument.get_id().to_string(), |names| names.join(" "))
}
