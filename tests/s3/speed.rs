//! Compares the speed of a bucket with that of the server's own client for as many files of the same size. It prints
//! the results and checks nothing: `benches/s3.sh` runs it alone on a quiet machine.

use crate::common::install::Install;
use crate::common::s3_server::{BUCKET, S3Server, rclone};
use crate::setup::use_bucket;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const BLOCK: usize = 4 << 20;
/// The number of threads on both sides.
const PARALLEL: &str = "20";

fn copy(server: &S3Server, from: &str, to: &str) -> f64 {
    let started = Instant::now();
    let output = Command::new(rclone())
        .args(["copy", "--config", "", "--transfers", PARALLEL, "--checkers", PARALLEL, from, to])
        .env("RCLONE_CONFIG_S_TYPE", "s3")
        .env("RCLONE_CONFIG_S_PROVIDER", "Rclone")
        .env("RCLONE_CONFIG_S_ENDPOINT", server.endpoint())
        .env("RCLONE_CONFIG_S_ACCESS_KEY_ID", &server.key)
        .env("RCLONE_CONFIG_S_SECRET_ACCESS_KEY", &server.secret)
        .output()
        .expect("rclone runs");
    assert!(output.status.success(), "{output:?}");
    started.elapsed().as_secs_f64()
}

fn cut(image: &Path, folder: &Path) {
    use std::io::Read;
    std::fs::create_dir(folder).expect("mkdir");
    let mut image = std::fs::File::open(image).expect("opened");
    let mut data = vec![0; BLOCK];
    for number in 0.. {
        if image.read_exact(&mut data).is_err() {
            return;
        }
        std::fs::write(folder.join(format!("{number:06}")), &data).expect("write");
    }
}

#[test]
fn a_bucket_is_filled_and_read_as_fast_as_by_a_tool_made_for_it() {
    let name = "a_bucket_is_filled_and_read_as_fast_as_by_a_tool_made_for_it";
    // Size in MiB; 1024 gives meaningful results.
    let size: usize = match std::env::var("BACKY2_S3_SPEED").ok().and_then(|text| text.parse().ok()) {
        Some(size) => size,
        None if crate::common::all() => 64,
        None => return,
    };
    let kinds = [("rclone", S3Server::rclone as fn() -> _), ("radosgw", S3Server::radosgw)];
    for (kind, start) in kinds {
        let server = match start() {
            Ok(server) => server,
            Err(reason) => return crate::common::skip(name, &reason),
        };
        let install = Install::new(BLOCK as u32);
        use_bucket(&install, &server);
        install.set("encryption_version", "0");
        // Set in all sections that have such a key.
        install.set("simultaneous_writes", PARALLEL);
        install.set("simultaneous_reads", PARALLEL);
        let image = install.path("image");
        let mut file = std::fs::File::create(&image).expect("created");
        for part in 0..size / 4 {
            use std::io::Write;
            let data = crate::common::install::noise(part as u64, BLOCK);
            file.write_all(&data).expect("written");
        }
        drop(file);
        let (files, back) = (install.path("files"), install.path("back"));
        cut(&image, &files);

        let other = format!("s:{BUCKET}/files");
        let theirs = copy(&server, files.to_str().expect("utf-8"), &other);
        let started = Instant::now();
        install.ok(&["backup", &install.url("image"), "a"]);
        let ours = started.elapsed().as_secs_f64();
        let rate = |seconds: f64| size as f64 / seconds;
        println!(
            "{kind}: backup {:.0} MiB/s, rclone copy {:.0} MiB/s: {:.2}",
            rate(ours),
            rate(theirs),
            theirs / ours
        );
        std::fs::remove_dir_all(&files).expect("removed");
        let theirs = copy(&server, &other, back.to_str().expect("utf-8"));
        std::fs::remove_dir_all(&back).expect("removed");
        let started = Instant::now();
        install.ok(&["restore", "a", &install.url("out")]);
        let ours = started.elapsed().as_secs_f64();
        println!(
            "{kind}: restore {:.0} MiB/s, rclone copy {:.0} MiB/s: {:.2}",
            rate(ours),
            rate(theirs),
            theirs / ours
        );
        crate::common::disk::run("cmp", &[&install.text("image"), &install.text("out")]).expect("the same");
    }
}
