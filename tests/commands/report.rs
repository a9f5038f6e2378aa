//! `report`: the page in a file, and in a browser.

use crate::common::all;
use crate::common::browser::{Browser, Scheme, dimensions};
use crate::common::history::{self, Night, ago};
use crate::common::install::{Install, noise};
use crate::common::skip;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const BLOCK: usize = 4096;
const DAY: i64 = 86_400;
/// A name that tries to leave its place on the page.
const HOSTILE: &str = "<script>document.title='broken'</script>\"'&\u{202e}txt";

/// An installation with a daily schedule.
fn scheduled() -> Install {
    let install = Install::new(BLOCK as u32);
    let config = install.path("backy.cfg");
    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, text + "\n[daily]\ninterval: 1d\nkeep: 7\nsla: 6h\n").expect("written");
    install
}

/// Runs `report` and returns the page.
fn page(install: &Install) -> String {
    install.ok(&["report", &install.text("page.html")]);
    std::fs::read_to_string(install.path("page.html")).expect("a page")
}

fn mode(install: &Install, name: &str) -> u32 {
    std::fs::metadata(install.path(name)).expect("a file").permissions().mode() & 0o777
}

#[test]
fn the_page_follows_the_installation() {
    let install = scheduled();
    let empty = page(&install);
    assert!(empty.contains("There are no versions.") && empty.ends_with("</html>\n"), "{empty}");
    let image = install.image("x.img", &noise(1, 3 * BLOCK));
    let uid = install.backup(&["-t", "daily", &image, "vm1"]);
    let one = page(&install);
    assert!(one.contains("1 name, and it is well.") && one.contains("valid, "), "{one}");
    assert!(one.contains("12 KiB new of 12 KiB read, 1 backup"), "{one}");
    assert!(one.contains("1 never.") && !one.contains("Growth"), "{one}");
    install.ok(&["scrub", &uid]);
    assert!(page(&install).contains("1 of 1 name in the last 7 days."));
    install.ok(&["protect", &uid]);
    assert!(page(&install).contains("<td class=p title="));
    install.change(&format!("UPDATE versions SET date = '{}' WHERE uid = '{uid}'", ago(3 * DAY)));
    install.change(&format!("UPDATE stats SET date = '{}' WHERE version_uid = '{uid}'", ago(3 * DAY)));
    let late = page(&install);
    let headline = "1 name, 0 well, 1 needs attention: <bdi>vm1</bdi> has had no backup for 3 days.";
    assert!(late.contains(headline) && late.contains("Growth of the store"), "{late}");
    install.change("UPDATE versions SET valid = 0");
    let invalid = page(&install);
    assert!(invalid.contains("has no valid version") && invalid.contains("<td class=i title="), "{invalid}");
    install.change("UPDATE versions SET protected = 0");
    install.ok(&["rm", "-f", &uid]);
    assert!(page(&install).contains("There are no versions."));
    // The statistics of the removed version stay.
    assert!(page(&install).contains("existing versions: 0<"));
    assert!(page(&install).contains("<b>12 KiB</b><span>from "), "the data waits for a cleanup");
}

#[test]
fn the_store_is_listed_if_that_is_requested() {
    let install = scheduled();
    install.backup(&[&install.image("x.img", &noise(1, 3 * BLOCK)), "vm1"]);
    assert!(page(&install).contains("not added up; --store does that"));
    install.ok(&["report", "--store", &install.text("page.html")]);
    let page = std::fs::read_to_string(install.path("page.html")).expect("a page");
    assert!(page.contains("after compression, ratio 1.0") && !page.contains("not added up"), "{page}");
}

#[test]
fn a_file_is_replaced_as_a_whole_and_anything_else_is_left_alone() {
    let install = scheduled();
    page(&install);
    assert_eq!(mode(&install, "page.html"), 0o644);
    let changed = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(install.path("page.html"), changed).expect("changed");
    std::fs::write(install.path("page.html"), "old").expect("written");
    let file = install.text("page.html");
    assert_eq!(install.ok(&["-m", "report", &file]), "", "cron has nothing to mail");
    assert!(page(&install).contains("</html>"));
    assert_eq!(mode(&install, "page.html"), 0o640);
    let fifo = install.text("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo of coreutils").success());
    install.refuses(100, &["report", &install.text("data")], &["is a folder", "or - for stdout"]);
    install.refuses(100, &["report", &fifo], &["is a device or a pipe"]);
    install.refuses(100, &["report", "/dev/null"], &["/dev/null is a device"]);
    install.refuses(100, &["report", &install.text("no/page.html")], &["cannot write", "No such file"]);
    install.refuses(2, &["report", ""], &["'<FILE>' is empty"]);
    install.refuses(2, &["report"], &["<FILE>"]);
    install.lose_database();
    install.fails(1, &["report", &file]);
    assert!(std::fs::read_to_string(&file).expect("read").contains("</html>"), "the old page stays");
}

#[test]
fn stdout_has_the_page_and_nothing_else() {
    let install = scheduled();
    let run = install.run(&["report", "-"]);
    assert!(run.code == 0 && run.stdout.starts_with("<!doctype html>"), "{run:?}");
    assert!(run.stdout.ends_with("</html>\n") && run.stderr.contains("Backy complete."), "{run:?}");
    assert!(!install.path("-").exists());
}

#[test]
fn it_works_while_another_command_must_be_alone() {
    let install = scheduled();
    let lock = install.text("lock/backy_backy.lock");
    let mut holder =
        Command::new("flock").args(["-o", "-x", &lock, "sleep", "60"]).spawn().expect("flock of util-linux");
    while install.ok(&["-ms", "locks"]).is_empty() {
        std::thread::yield_now();
    }
    page(&install);
    holder.kill().expect("killed");
    holder.wait().expect("ended");
}

#[test]
fn a_database_of_2_13_is_reported_on_and_not_upgraded() {
    for fixture in ["A", "E"] {
        let install = Install::fixture(fixture);
        let before =
            install.postgres().is_none().then(|| std::fs::read(install.path("backy.sqlite")).expect("read"));
        assert!(page(&install).contains("All names"));
        if let Some(before) = before {
            assert!(std::fs::read(install.path("backy.sqlite")).expect("read") == before);
        }
    }
}

/// A backup of each night.
fn nights(names: i64, nights: i64) -> Vec<Night> {
    let night = |name: i64, night: i64| Night {
        uid: format!("{name:04}-{night:03}"),
        name: format!("vm{name:04}"),
        age: night * DAY + name,
        new: ((name * 7 + night * 13) % 50 + 1) as u64 * (64 << 20),
    };
    (0..names).flat_map(|name| (0..nights).map(move |at| night(name, at))).collect()
}

#[test]
fn a_large_installation_has_a_small_page_at_once() {
    let mut cases = vec![(20, 365, 60, 300_000)];
    if all() {
        cases.push((2000, 30, 15, 5_000_000));
    }
    for (names, days, columns, bytes) in cases {
        let install = scheduled();
        history::insert(&install, &nights(names, days));
        let start = Instant::now();
        let page = page(&install);
        // A generous limit, because other tests run at the same time.
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
        assert!(page.len() < bytes, "{} bytes", page.len());
        assert!(page.contains(&format!("The last {columns} days")));
        // Yesterday's night has a version, whatever the time is now.
        assert!(page.matches("<td class=v").count() >= (names * (columns.min(days) - 2)) as usize);
    }
}

/// A page about many names, one of which is hostile.
fn made(install: &Install) -> (PathBuf, String) {
    history::insert(install, &nights(8, 100));
    let image = install.image("x.img", &noise(1, 3 * BLOCK));
    install.backup(&["-t", "daily", &image, HOSTILE]);
    install.backup(&[&image, &"a-very-long-name".repeat(20)]);
    let text = page(install);
    (install.path("page.html"), text)
}

/// A script that sends what it finds to the page around this one, and writes it into the title.
const SCRIPT: &str = "<script>
addEventListener('load', () => {
  const find = (what) => document.querySelector(what);
  const days = find('.end');
  const found = [
    innerWidth,
    document.documentElement.scrollWidth,
    getComputedStyle(document.body).backgroundColor,
    getComputedStyle(find('svg svg rect')).fill,
    find('.days tr + tr th:last-child').getBoundingClientRect().right <= innerWidth,
    days.scrollWidth > days.clientWidth,
  ];
  document.title = JSON.stringify(found);
  parent.postMessage(document.title, '*');
});
</script>
</head>";

/// Writes a copy of the page with that script. `policy` says whether the copy keeps its security policy.
fn with_script(install: &Install, page: &str, policy: bool) -> PathBuf {
    let mut copy = page.replacen("</head>", SCRIPT, 1);
    if !policy {
        copy = copy.replacen("default-src 'none'; style-src 'unsafe-inline'", "", 1);
    }
    let path = install.path("copy.html");
    std::fs::write(&path, copy).expect("written");
    path
}

/// Writes a page that shows `copy.html` in a frame of this width, and has the title that the frame sends. Windows of the
/// browser cannot be as narrow as a phone.
fn frame(install: &Install, width: u32) -> PathBuf {
    let page = format!(
        "<!doctype html><meta name=color-scheme content='light dark'><title>nothing</title>
         <script>addEventListener('message', (event) => {{ document.title = event.data }})</script>
         <body style='margin: 0'><iframe src=copy.html width={width} height=900 style='border: 0'></iframe>"
    );
    let path = install.path("frame.html");
    std::fs::write(&path, page).expect("written");
    path
}

fn title(document: &str) -> &str {
    let after = document.split_once("<title>").expect("a title").1;
    after.split_once("</title>").expect("an end").0
}

#[test]
fn a_browser_shows_the_page_and_runs_nothing() {
    let name = "a_browser_shows_the_page_and_runs_nothing";
    let Some(browser) = Browser::find() else { return skip(name, "chromium is not installed") };
    let install = scheduled();
    let (path, page) = made(&install);
    let document = browser.document(&path, (1280, 900), Scheme::Light);
    assert!(title(&document).starts_with("Backups on "), "{}", title(&document));
    assert!(!document.contains("<script"), "a name has become an element");
    assert!(
        document.contains("&lt;script&gt;document.title='broken'&lt;/script&gt;\"'&amp;\\u{202e}txt</bdi>")
    );
    for part in ["<h2>Sums</h2>", "<h2>The last 60 days</h2>", "<h2>All names</h2>", "<svg ", "vm0007"] {
        assert!(document.contains(part), "{part}");
    }
    // The browser has repaired nothing: what was opened was closed where it belongs.
    assert_eq!(document.matches("<section>").count(), page.matches("<section>").count());
    assert_eq!(
        document.matches("<svg").count(),
        8,
        "each chart has two widths, and each is a picture in a picture"
    );
    let copy = with_script(&install, &page, true);
    assert!(browser.console(&copy).contains("Content Security Policy"), "the policy refuses the script");
}

#[test]
fn the_page_fits_a_phone_and_follows_the_dark_mode() {
    let name = "the_page_fits_a_phone_and_follows_the_dark_mode";
    let Some(browser) = Browser::find() else { return skip(name, "chromium is not installed") };
    let install = scheduled();
    let (_, page) = made(&install);
    with_script(&install, &page, false);
    let found = |width: u32, scheme| {
        let document = browser.document(&frame(&install, width), (1400, 1000), scheme);
        let title = title(&document).replace("&quot;", "\"");
        let values: serde_json::Value =
            serde_json::from_str(&title).unwrap_or_else(|e| panic!("{e}: {title}"));
        values.as_array().expect("a list").clone()
    };
    let mut colours = Vec::new();
    for (width, scheme) in
        [(360, Scheme::Light), (390, Scheme::Dark), (1280, Scheme::Light), (1280, Scheme::Dark)]
    {
        let values = found(width, scheme);
        assert_eq!(values[0], width, "the width of the frame");
        let needed = values[1].as_u64().expect("a number");
        assert!(needed <= u64::from(width), "{width}: nothing is wider than the screen: {values:?}");
        // The newest days are in sight, at the right end.
        assert_eq!((&values[4], &values[5]), (&true.into(), &(width < 1000).into()), "{width}: {values:?}");
        colours.push((values[2].clone(), values[3].clone()));
    }
    assert!(colours[0] == colours[2] && colours[1] == colours[3], "{colours:?}");
    assert!(colours[0].0 != colours[1].0 && colours[0].1 != colours[1].1, "{colours:?}");
    assert!(colours.iter().all(|(_, bar)| bar != "rgb(1, 1, 3)"), "the style replaces colours: {colours:?}");
}

#[test]
fn pictures_and_prints_are_not_empty() {
    let name = "pictures_and_prints_are_not_empty";
    let Some(browser) = Browser::find() else { return skip(name, "chromium is not installed") };
    let install = scheduled();
    let (path, _) = made(&install);
    let blank = install.path("blank.html");
    std::fs::write(&blank, "<!doctype html><title>blank</title>").expect("written");
    for size in [(1280, 900), (390, 844)] {
        let picture = |page, scheme| browser.picture(page, size, scheme);
        let (light, dark) = (picture(&path, Scheme::Light), picture(&path, Scheme::Dark));
        let blank = picture(&blank, Scheme::Light);
        assert_eq!((dimensions(&light), dimensions(&dark)), (size, size));
        // A picture of one colour is small.
        assert!(
            light.len() > 5 * blank.len() && dark.len() > 5 * blank.len(),
            "{} {}",
            light.len(),
            blank.len()
        );
        assert!(light != dark);
    }
    let print = browser.print(&path);
    assert!(print.starts_with(b"%PDF-") && print.len() > 20_000, "{} bytes", print.len());
}
