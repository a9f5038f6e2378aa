//! Makes the images and hints files that the recorded commands name. Their content was inferred from the recorded
//! statistics and from `du`.

use super::stage::Stage;
use std::fs;

const BLOCK: usize = 4 << 20;

/// `length` pseudo-random bytes, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut data);
    data
}

fn hint(offset: usize, length: usize, exists: &str) -> String {
    format!("{{\"offset\": {offset}, \"length\": {length}, \"exists\": {exists}}}")
}

/// Writes all files.
pub fn write(stage: &Stage) {
    let write = |name: &str, data: &[u8]| fs::write(stage.path(name), data).expect("write");
    let rnd40 = noise(1, 10 * BLOCK);
    // Block 1 has changed.
    let mut rnd40b = rnd40.clone();
    rnd40b[BLOCK..2 * BLOCK].copy_from_slice(&noise(2, BLOCK));
    write("rnd40b.img", &rnd40b);
    write("odd.img", &rnd40[..10_000_001]);
    write("rnd40.img", &rnd40);
    write("other40.img", &noise(3, 10 * BLOCK));
    write("slow.img", &noise(4, 8 * BLOCK));
    write("new8.img", &noise(5, 8 * BLOCK));
    write("one.img", &noise(6, BLOCK));
    let dups = [noise(7, BLOCK).repeat(9), noise(8, BLOCK)].concat();
    write("dups.img", &dups);
    write("notadir", b"");
    write("incomplete.out", b"");
    let changed = |quote: &str| {
        let exists = |what: &str| format!("{quote}{what}{quote}");
        let hints = [hint(BLOCK, BLOCK, &exists("true")), hint(3 * BLOCK, BLOCK, &exists("false"))];
        format!("[{}]", hints.join(", "))
    };
    write("h1.json", changed("\"").as_bytes());
    write("h1b.json", changed("").as_bytes());
    write(
        "hml.json",
        changed("").replace("[", "[\n").replace("}, ", "},\n").replace("]", "\n]\n").as_bytes(),
    );
    write("hpast.json", format!("[{}]", hint(10 * BLOCK, BLOCK, "true")).as_bytes());
    write("hbig.json", format!("[{}]", hint(0, 9 * BLOCK, "true")).as_bytes());
    write("hempty.json", b"[]");
    write("hzero.json", format!("[{}]", hint(BLOCK, 0, "true")).as_bytes());
    write("hspan.json", format!("[{}]", hint(BLOCK - 5, 10, "true")).as_bytes());
}
