//! Reads Rust source as text: finds names, items and functions in formatted code.

use std::path::{Path, PathBuf};

/// All Rust files below these folders of `project`, sorted.
pub fn files_below(project: &Path, folders: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| project.join(folder)).collect();
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// `text` with blanks instead of comments, strings and character literals.
pub fn blank_out(text: &str) -> String {
    let source: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < source.len() {
        let end = literal_end(&source, at);
        if end == at {
            code.push(source[at]);
            at += 1;
            continue;
        }
        code.extend(source[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

/// The string literals of `text` and their line numbers, without those in comments and in an inline module of tests.
pub fn strings(text: &str) -> Vec<(usize, String)> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let source: Vec<char> = code.chars().collect();
    let (mut at, mut line, mut found) = (0, 1, Vec::new());
    while at < source.len() {
        let end = literal_end(&source, at).max(at + 1).min(source.len());
        let literal: String = source[at..end].iter().collect();
        if literal.starts_with('"') || literal.starts_with("r\"") || literal.starts_with("r#") {
            let body = literal.trim_start_matches(['r', '#']).trim_end_matches('#');
            found.push((line, joined(body.trim_matches('"'))));
        }
        line += literal.matches('\n').count();
        at = end;
    }
    found
}

/// `literal` without line breaks after a backslash, and the blanks that follow them.
fn joined(literal: &str) -> String {
    let mut parts = literal.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start())
}

/// The end of the comment or literal that begins at `at`; `at` if none begins there.
fn literal_end(source: &[char], at: usize) -> usize {
    let find = |from: usize, what: &str| {
        let what: Vec<char> = what.chars().collect();
        let rest = source.get(from..).unwrap_or_default();
        rest.windows(what.len()).position(|w| w == what).map_or(source.len(), |n| from + n + what.len())
    };
    let next = |n: usize| source.get(at + n).copied().unwrap_or(' ');
    let in_word = at > 0 && (source[at - 1].is_alphanumeric() || source[at - 1] == '_');
    match source[at] {
        '/' if next(1) == '/' => find(at, "\n") - 1,
        '/' if next(1) == '*' => find(at + 2, "*/"),
        'r' if !in_word || source[at - 1] == 'b' => {
            let hashes = source[at + 1..].iter().take_while(|c| **c == '#').count();
            let opens = next(1 + hashes) == '"';
            if opens { find(at + hashes + 2, &format!("\"{}", "#".repeat(hashes))) } else { at }
        }
        '"' => escaped_end(source, at + 1, '"'),
        '\'' if next(1) == '\\' => escaped_end(source, at + 1, '\''),
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
}

/// The position after the `quote` that ends a literal whose content begins at `at`.
fn escaped_end(source: &[char], mut at: usize, quote: char) -> usize {
    while at < source.len() && source[at] != quote {
        at += if source[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `code` without items that follow `#[cfg(test)]`.
pub fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept += &rest[..at];
        let length = item_length(&rest[at..]);
        kept.extend(rest[at..at + length].chars().filter(|c| *c == '\n'));
        rest = &rest[at + length..];
    }
    kept + rest
}

/// Bytes up to the end of the item at the beginning of `code`: a semicolon, or the closing brace of its body.
fn item_length(code: &str) -> usize {
    // A semicolon within brackets belongs to an array type.
    let (mut braces, mut others) = (0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => others += 1,
            ')' | ']' => others -= 1,
            '{' if others == 0 => braces += 1,
            '}' if others == 0 && braces == 1 => return at + 1,
            '}' if others == 0 => braces -= 1,
            ';' if others == 0 && braces == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The line number, from 1, of byte `at` in `text`.
fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The line numbers of `word` in `code`, without places where it is the end of a longer name.
pub fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let starts = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(word).filter(|(at, _)| starts(*at)).map(|(at, _)| line_of(code, at)).collect()
}

/// The modules of the crate that `code` names as `crate::…`, with their line numbers.
pub fn modules_named(code: &str) -> Vec<(String, usize)> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut named = Vec::new();
    for (at, start) in code.match_indices("crate::") {
        let (line, rest) = (line_of(code, at), &code[at + start.len()..]);
        let Some(group) = rest.strip_prefix('{') else {
            named.push((rest.chars().take_while(|c| is_name(*c)).collect(), line));
            continue;
        };
        // `crate::{a::b, c::{d, e}}`: take the first name of each part.
        let mut depth = 0;
        let mut part = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    let name: String = part.trim().chars().take_while(|c| is_name(*c)).collect();
                    named.push((name, line));
                    part.clear();
                    if c == '}' {
                        break;
                    }
                    continue;
                }
                _ => {}
            }
            part.push(c);
        }
    }
    named.retain(|(name, _)| !name.is_empty());
    named
}

/// The name, line and length in lines of every function with a body.
pub fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let begins_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if begins_word && !name.is_empty() {
            let length = item_length(&code[at..]);
            let lines = code[at..at + length].matches('\n').count() + 1;
            found.push((name, line_of(code, at), lines));
        }
    }
    found
}
