//! Estimates how fast a command could be on this machine, from the cost of its stages in pure loops.
//!
//! `cargo bench --bench limit -- IMAGE [--json] [--runs N] [first|unchanged|scrub|restore]…` does the work of a command
//! on the blocks of IMAGE with the program's own modules, without the pipeline, the database and files of blobs. It
//! does so on one thread, which gives the CPU time of every stage, and on one thread per core, which shows how well the
//! cores scale. The limit is the CPU time divided by that scale: the wall time if all cores are always busy. The
//! results are medians of N rounds.
//!
//! IMAGE should be in the page cache. Work files are made beside it and removed.

#[path = "support/image.rs"]
mod image;
#[path = "support/loops.rs"]
mod loops;

use image::Image;
use loops::{Costs, Way, Work};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: limit IMAGE [--json] [--runs N] [first|unchanged|scrub|restore]...";

/// The command line.
struct Asked {
    image: String,
    ways: Vec<Way>,
    json: bool,
    runs: usize,
}

fn asked() -> Option<Asked> {
    let mut asked = Asked { image: String::new(), ways: Vec::new(), json: false, runs: 3 };
    // Cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match &argument[..] {
            "--json" => asked.json = true,
            "--runs" => asked.runs = arguments.next()?.parse().ok().filter(|runs| *runs > 0)?,
            option if option.starts_with('-') => return None,
            _ if asked.image.is_empty() => asked.image = argument,
            way => asked.ways.push(Way::ALL.into_iter().find(|known| known.name() == way)?),
        }
    }
    if asked.ways.is_empty() {
        asked.ways = Way::ALL.to_vec();
    }
    (!asked.image.is_empty()).then_some(asked)
}

/// The median of the rounds of one command.
struct Limit {
    way: Way,
    one: Duration,
    all: Duration,
    costs: Costs,
}

impl Limit {
    /// How many times faster all cores are than one.
    fn scale(&self) -> f64 {
        self.one.as_secs_f64() / self.all.as_secs_f64()
    }

    /// The limit in seconds: the CPU time divided by the scale.
    fn seconds(&self) -> f64 {
        self.one.as_secs_f64() / self.scale()
    }

    fn text(&self, work: &Work<'_>, threads: usize) -> String {
        let stages: Vec<String> = self
            .costs
            .stages()
            .iter()
            .map(|(name, cost)| {
                let rate = cost.bytes as f64 / cost.time.as_secs_f64() / 1e9;
                format!("{name} {:.3} s ({rate:.2} GB/s)", cost.time.as_secs_f64())
            })
            .collect();
        format!(
            "{}: {} blocks\n  one thread {:.3} s: {}\n  {threads} threads {:.3} s, {:.2} times as fast\n  limit {:.3} s",
            self.way.name(),
            work.blocks(self.way),
            self.one.as_secs_f64(),
            stages.join(", "),
            self.all.as_secs_f64(),
            self.scale(),
            self.seconds()
        )
    }

    fn json(&self, work: &Work<'_>) -> serde_json::Value {
        let stages: serde_json::Map<String, serde_json::Value> = self
            .costs
            .stages()
            .iter()
            .map(|(name, cost)| {
                (
                    (*name).to_owned(),
                    serde_json::json!({ "seconds": cost.time.as_secs_f64(), "bytes": cost.bytes }),
                )
            })
            .collect();
        serde_json::json!({
            "blocks": work.blocks(self.way),
            "cpu_seconds": self.one.as_secs_f64(),
            "scale": self.scale(),
            "limit_seconds": self.seconds(),
            "stages": stages,
        })
    }
}

/// Runs `way` on one thread and on all, `runs` times each, and takes the medians.
fn measure(work: &Work<'_>, way: Way, runs: usize, threads: usize) -> Limit {
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        one.push(work.run(way, 1));
        all.push(work.run(way, threads).0);
    }
    one.sort_unstable_by_key(|(time, _)| *time);
    all.sort_unstable();
    let (middle, costs) = one.swap_remove(runs / 2);
    Limit { way, one: middle, all: all[runs / 2], costs }
}

fn main() -> ExitCode {
    let Some(asked) = asked() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let image = Image::open(&asked.image);
    let work = Work::new(&image, asked.ways.iter().any(|way| way.reads_blobs()));
    let limits: Vec<Limit> = asked.ways.iter().map(|way| measure(&work, *way, asked.runs, threads)).collect();
    if asked.json {
        let ways: serde_json::Map<String, serde_json::Value> =
            limits.iter().map(|limit| (limit.way.name().to_owned(), limit.json(&work))).collect();
        println!("{}", serde_json::json!({ "threads": threads, "ways": ways }));
    } else {
        println!("{}", image.summary());
        limits.iter().for_each(|limit| println!("{}", limit.text(&work, threads)));
    }
    ExitCode::SUCCESS
}
