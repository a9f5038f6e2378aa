//! Finds random words in a text: uids of blobs, checksums, wrapped keys, nonces.

/// Numbers of hex digits of a checksum, a wrapped key and a nonce.
const NAMED: &[(usize, &str)] = &[(128, "<checksum>"), (80, "<envkey>"), (32, "<nonce>")];
/// The fewest hex digits of a checksum that was cut.
const PIECE: usize = 65;

/// `line` with such words replaced. Blobs are numbered: the n-th one in `blobs` becomes `<blob n>`.
pub fn normal(line: &str, blobs: &mut Vec<String>) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        add(&mut out, &word, blobs);
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

fn add(out: &mut String, word: &str, blobs: &mut Vec<String>) {
    let is_hex = word.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    if is_hex {
        let name = NAMED.iter().find(|(length, _)| *length == word.len()).map(|(_, name)| *name);
        out.push_str(name.unwrap_or(if word.len() >= PIECE { "<checksum>" } else { word }));
        return;
    }
    if word.len() != 32 {
        out.push_str(word);
        return;
    }
    // In a path, the uid is preceded by folders named by its first letters.
    let folders = format!("/{}/{}/", &word[..2], &word[2..4]);
    if out.ends_with(&folders) {
        out.truncate(out.len() - folders.len());
        out.push_str("/*/*/");
    }
    let number = blobs.iter().position(|blob| blob == word).unwrap_or_else(|| {
        blobs.push(word.to_owned());
        blobs.len() - 1
    });
    out.push_str(&format!("<blob {}>", number + 1));
}

/// The version uids in `text`.
pub fn uids(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for start in 0..text.len().saturating_sub(35) {
        let Some(piece) = text.get(start..start + 36) else { continue };
        let is_uid = piece.bytes().enumerate().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == b'-',
            _ => c.is_ascii_digit() || (b'a'..=b'f').contains(&c),
        });
        if is_uid && !found.iter().any(|uid| uid == piece) {
            found.push(piece.to_owned());
        }
    }
    found
}

#[test]
fn random_words_become_placeholders() {
    let mut blobs = Vec::new();
    let line = "a /x/e6/05/e605be996cg4HetpBzyJY6qKE7HQChgp.blob e605be996cg4HetpBzyJY6qKE7HQChgp";
    assert_eq!(normal(line, &mut blobs), "a /x/*/*/<blob 1>.blob <blob 1>");
    assert_eq!(normal("c818a4a119fxwtprJHP3xAxnniVR4nsP|1", &mut blobs), "<blob 2>|1");
    assert_eq!(normal(&format!("({})", "0a".repeat(64)), &mut blobs), "(<checksum>)");
    let uid = "432db764-e504-11f1-90ca-02fc00000001";
    assert_eq!(uids(&format!("ä {uid} ({uid}")), [uid]);
}
