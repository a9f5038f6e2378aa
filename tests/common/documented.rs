//! The sections of the documentation.

use crate::common::install::Install;

/// The job `name` of docs/jobs.md, with the lines of its section.
pub fn job(name: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/jobs.md");
    let text = std::fs::read_to_string(path).expect("the documentation");
    let mut blocks = text.split("```ini\n").skip(1).filter_map(|rest| rest.split("```").next());
    let header = format!("[job:{name}]\n");
    blocks.find(|block| block.starts_with(&header)).expect("the recipe").to_owned()
}

/// Adds a section to the configuration.
pub fn add(install: &Install, section: &str) {
    let path = install.path("backy.cfg");
    let config = std::fs::read_to_string(&path).expect("read");
    std::fs::write(path, format!("{config}\n{section}\n")).expect("written");
}
