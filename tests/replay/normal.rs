//! Makes outputs of two runs comparable: values that differ between runs are replaced by placeholders.
//!
//! `docs/differences-recorded.md` lists these replacements for its readers.

use super::clock::Clock;
use super::tokens;

/// Lines of the recorded texts are cut to this many characters.
const CUT: usize = 400;
/// 2.13 put this before every message.
const PREFIX: &str = "[backy2.logging] ";

/// Replaces everything in `text` that differs from run to run. Folders and uids must already be the recorded ones.
pub fn normal(text: &str, clock: &Clock) -> String {
    let with_duration = text.contains("duration (s)");
    let mut lines: Vec<String> = Vec::new();
    let mut blobs = Vec::new();
    for line in text.lines() {
        // Debug messages are internal to each program.
        if line.starts_with("   DEBUG: ") {
            continue;
        }
        let line = line.replacen(PREFIX, "", 1);
        let mut line = progress(&line);
        line = rates(&line);
        line = waits(&line);
        if with_duration {
            line = duration(&line);
        }
        line = listed_file(&line);
        line = line_number(&line);
        line = holder(&process(&line));
        line = allocated(&line);
        line = clock.normal(&line);
        line = tokens::normal(&line, &mut blobs);
        let repeated = line.contains(" Read Queue [*]") && lines.last() == Some(&line);
        if !repeated {
            lines.push(line);
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Cuts lines as those of `recorded` were cut.
pub fn cut_like(text: &str, recorded: &str) -> String {
    if !recorded.lines().any(|line| line.chars().count() == CUT) {
        return text.to_owned();
    }
    text.lines().map(|line| line.chars().take(CUT).collect::<String>() + "\n").collect()
}

/// Omits the lines of `text` that were omitted in `recorded`, where a line says `… (37 lines) …`.
pub fn elide_like(text: &str, recorded: &str) -> String {
    let recorded: Vec<&str> = recorded.lines().collect();
    let Some(at) = recorded.iter().position(|line| line.starts_with("… (")) else { return text.to_owned() };
    let lines: Vec<&str> = text.lines().collect();
    let after = recorded.len() - at - 1;
    if lines.len() <= at + after {
        return text.to_owned();
    }
    let note = format!("… ({} lines) …", lines.len() - at - after);
    let kept =
        lines[..at].iter().copied().chain([&note[..]]).chain(lines[lines.len() - after..].iter().copied());
    kept.map(|line| format!("{line}\n")).collect()
}

/// Removes the numbers of blobs, which depend on the order of the lines.
pub fn uncounted(text: &str) -> String {
    let mut parts = text.split("<blob ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "<blob>" + part.split_once('>').map_or("", |(_, rest)| rest))
}

/// Lines in byte order.
pub fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Masks queues, percentage, rate and ETA in a progress line.
fn progress(line: &str) -> String {
    let Some((before, rest)) = line.split_once(" Read Queue [") else { return line.to_owned() };
    let Some((_, after)) = rest.split_once(") ") else { return line.to_owned() };
    let after = if after.starts_with("Last ID: ") { "Last ID: *" } else { after };
    format!("{before} Read Queue [*] Write Queue [*] (*) {after}")
}

/// Masks the rates in `Deleted 2 blocks in 0s (224/s). Blocks left: 0 ETA 0s. DB delete took 0s`.
fn rates(line: &str) -> String {
    let Some((before, _)) = line.split_once(" blocks in ").filter(|(before, _)| before.contains("Deleted "))
    else {
        return line.to_owned();
    };
    let left = line.split("Blocks left: ").nth(1).and_then(|text| text.split(' ').next()).unwrap_or_default();
    format!("{before} blocks in *s (*/s). Blocks left: {left} ETA *s. DB delete took *s")
}

/// Masks the time in `15 blobs (60 MiB before compression) wait until 2026-11-27 21:09:07 (UTC): …`.
fn waits(line: &str) -> String {
    match line
        .split_once(" wait until ")
        .and_then(|(before, rest)| Some((before, rest.split_once(" (UTC)")?.1)))
    {
        Some((before, after)) => format!("{before} wait until * (UTC){after}"),
        None => line.to_owned(),
    }
}

/// Masks the last column of `stats`.
fn duration(line: &str) -> String {
    if let Some((before, last)) = line.strip_suffix(" |").and_then(|line| line.rsplit_once("| ")) {
        let digits = last.trim_start();
        if !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) {
            return format!("{before}| {:>width$} |", "*", width = last.len());
        }
    } else if let Some((before, last)) = line.rsplit_once('|')
        && !last.is_empty()
        && last.bytes().all(|c| c.is_ascii_digit())
    {
        return format!("{before}|*");
    }
    line.to_owned()
}

/// Masks owner and time in a line of `ls -l`.
fn listed_file(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_one = words.len() == 9 && words[0].len() == 10 && words[0].starts_with("-rw");
    if is_one { format!("{} * {} * {}", words[0], words[4], words[8]) } else { line.to_owned() }
}

/// Rounds the size that `du -k` prints to whole MiB, as file systems need some blocks for themselves.
fn allocated(line: &str) -> String {
    match line.split_once('\t').map(|(size, name)| (size.parse::<u64>(), name)) {
        Some((Ok(size), name)) => format!("{}\t{name}", size / 1024 * 1024),
        _ => line.to_owned(),
    }
}

/// Masks the holder of a lock in `is held by "TITLE", process 4711 on HOST`.
fn holder(line: &str) -> String {
    const HELD: &str = " is held by \"";
    let Some((before, rest)) = line.split_once(HELD) else { return line.to_owned() };
    let Some((_, rest)) = rest.split_once("\", process ") else { return line.to_owned() };
    let end = rest.find([',', ')']).unwrap_or(rest.len());
    format!("{before}{HELD}*\", process * on *{}", &rest[end..])
}

/// Masks the number in `(process 4711)`.
fn process(line: &str) -> String {
    match line.split_once("(process ").map(|(before, rest)| (before, rest.split_once(')'))) {
        Some((before, Some((_, after)))) => format!("{before}(process *){after}"),
        _ => line.to_owned(),
    }
}

/// Masks the line number that `cmp` prints, which depends on random data.
fn line_number(line: &str) -> String {
    match line.strip_prefix("cmp: ").and_then(|_| line.rsplit_once(", in line ")) {
        Some((before, _)) => format!("{before}, in line *"),
        None => line.to_owned(),
    }
}

#[test]
fn texts_that_vary_become_placeholders() {
    let clock = Clock::new("");
    let line = "    INFO: [backy2.logging] Restore phase 2/2 (data) to null:// Read Queue [====      ] Write Queue \
                [          ] (10.0% 0.0MB/sØ ETA 0s) Last ID: None";
    let short =
        "    INFO: Restore phase 2/2 (data) to null:// Read Queue [*] Write Queue [*] (*) Last ID: *\n";
    assert_eq!(normal(&format!("{line}\n{line}\n"), &clock), short);
    assert_eq!(normal("   DEBUG: x\n", &clock), "");
    let deleted =
        "Deleted 2 blocks in 0s (224/s). Blocks left: 0 ETA 0s. DB delete took 0s\nDeleted 2 blocks.\n";
    let expected =
        "Deleted 2 blocks in *s (*/s). Blocks left: 0 ETA *s. DB delete took *s\nDeleted 2 blocks.\n";
    assert_eq!(normal(deleted, &clock), expected);
    let waiting = "2 blobs (4 MiB before compression) wait until 2026-11-27 21:09:07 (UTC): data\n";
    let expected = "2 blobs (4 MiB before compression) wait until * (UTC): data\n";
    assert_eq!(normal(waiting, &clock), expected);
    let stats = "| bytes | duration (s) |\n|     1 |           12 |\n";
    assert_eq!(normal(stats, &clock), "| bytes | duration (s) |\n|     1 |            * |\n");
    let listed = "-rw-r--r-- 1 root root 50000000 Nov 20 17:07 r2.out\n";
    assert_eq!(normal(listed, &clock), "-rw-r--r-- * 50000000 * r2.out\n");
    assert_eq!(uncounted("a <blob 1>\n<blob 23>.\n"), "a <blob>\n<blob>.\n");
    assert_eq!(elide_like("a\nb\nc\nd\n", "a\n… (2 lines) …\nz\n"), "a\n… (2 lines) …\nd\n");
}
