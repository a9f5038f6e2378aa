//! Decodes the output of `od -c`.

/// `text` with each dump of `od -c` replaced by the lines that were dumped.
pub fn decoded(text: &str) -> String {
    let mut out = String::new();
    let mut bytes: Vec<u8> = Vec::new();
    for line in text.lines() {
        let cells = cells(line);
        if cells.is_none() || line.starts_with("0000000 ") {
            flush(&mut out, &mut bytes);
        }
        match cells {
            Some(cells) => bytes.extend(cells),
            None => out.push_str(&format!("{line}\n")),
        }
    }
    flush(&mut out, &mut bytes);
    out
}

/// The bytes in a line of a dump.
fn cells(line: &str) -> Option<Vec<u8>> {
    let offset = line.get(..7)?;
    if !offset.bytes().all(|c| (b'0'..b'8').contains(&c))
        || !line.get(7..).is_some_and(|r| r.is_empty() || r.starts_with(' '))
    {
        return None;
    }
    let rest: Vec<char> = line[7..].chars().collect();
    rest.chunks(4).map(|cell| byte(&cell.iter().collect::<String>())).collect()
}

fn byte(cell: &str) -> Option<u8> {
    match cell.trim_start() {
        "" => Some(b' '),
        "\\r" => Some(b'\r'),
        "\\n" => Some(b'\n'),
        "\\0" => Some(0),
        text if text.len() == 1 => Some(text.as_bytes()[0]),
        octal => u8::from_str_radix(octal, 8).ok(),
    }
}

fn flush(out: &mut String, bytes: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.split_inclusive('\n') {
        // The text may begin or end in the middle of a hex number; a blob's uid only begins like one.
        let hex = |c: char| c.is_ascii_hexdigit();
        let begin = line.chars().take_while(|c| hex(*c)).count();
        let ends = !line[begin..].starts_with(|c: char| c.is_ascii_alphanumeric());
        let shown = if ends && (12..32).contains(&begin) {
            format!("<tail of hex>{}", &line[begin..])
        } else {
            line.to_owned()
        };
        out.push_str(&format!("od: {shown:?}\n"));
    }
    bytes.clear();
}

#[test]
fn dumps_of_bytes_are_decoded() {
    let text = "x\n0000000   b   a       3 303   y  \\r  \\n   4\n0000011\ny\n";
    assert_eq!(decoded(text), "x\nod: \"ba 3\u{fffd}y\\r\\n\"\nod: \"4\"\ny\n");
}
