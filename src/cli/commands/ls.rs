//! `ls`: lists the versions.

use crate::cli::args::LsArgs;
use crate::cli::csv_list::{self, Choice};
use crate::cli::exit::Outcome;
use crate::cli::listing::{self, Field as _};
use crate::cli::table::Align;
use crate::cli::{Context, human};
use crate::engine::{self, Access, Site};
use crate::meta::VersionFilter;
use crate::types::error::Result;
use crate::types::time::Timestamp;
use crate::types::version::Version;
use serde_json::Value;

mod people;

pub(super) fn run(context: &Context, args: &LsArgs) -> Result<Outcome> {
    let fields = csv_list::fields::<Field>(args.fields.as_deref())?;
    let mut site = Site::open(&context.config, &context.terminal, Access::Catalogue)?;
    let filter = VersionFilter {
        name: args.name.clone(),
        snapshot_name: args.snapshot_name.clone(),
        tag: args.tag.clone(),
        expired_at: args.expired.then(Timestamp::now),
    };
    let versions = engine::catalogue::list(&mut site, &filter)?;
    if let (true, Some(name)) = (versions.is_empty(), &args.name) {
        engine::catalogue::tell_unknown(&mut site, name)?;
    }
    match context.screen_for(args.wide, args.fields.as_deref()) {
        Some(width) => {
            let details = engine::catalogue::details(&mut site)?;
            let sheet = people::sheet(versions, &details, Timestamp::now());
            context.terminal.print(&sheet.render(context.look(width)))?;
        }
        None => listing::show(context, "versions", &versions, &fields, listing::complete)?,
    }
    Ok(Outcome::Done)
}

/// A version in the format of `ls --json`.
pub(crate) fn json(version: &Version) -> Value {
    let pair = |field: &Field| (field.key().to_owned(), field.value(version));
    Value::Object(Field::ALL.iter().map(pair).collect())
}

/// The columns that `ls` can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Time at which the backup began.
    Date,
    /// The version's name.
    Name,
    /// The snapshot that was backed up.
    SnapshotName,
    /// Size in blocks.
    Size,
    /// Size in bytes.
    SizeBytes,
    /// The uid.
    Uid,
    /// 0 or 1.
    Valid,
    /// 0 or 1.
    Protected,
    /// Sorted and separated by commas.
    Tags,
    /// The expiry date; empty if there is none.
    Expire,
}

impl Choice for Field {
    const ALL: &'static [Self] = &[
        Field::Date,
        Field::Name,
        Field::SnapshotName,
        Field::Size,
        Field::SizeBytes,
        Field::Uid,
        Field::Valid,
        Field::Protected,
        Field::Tags,
        Field::Expire,
    ];

    fn title(self) -> &'static str {
        match self {
            Field::Date => "date",
            Field::Name => "name",
            Field::SnapshotName => "snapshot_name",
            Field::Size => "size",
            Field::SizeBytes => "size_bytes",
            Field::Uid => "uid",
            Field::Valid => "valid",
            Field::Protected => "protected",
            Field::Tags => "tags",
            Field::Expire => "expire",
        }
    }
}

impl listing::Field<Version> for Field {
    fn align(self) -> Align {
        match self {
            Field::Name | Field::SnapshotName | Field::Tags => Align::Left,
            Field::Size | Field::SizeBytes => Align::Right,
            Field::Date | Field::Uid | Field::Valid | Field::Protected | Field::Expire => Align::Centre,
        }
    }

    fn cell(self, version: &Version, human: bool) -> String {
        match self {
            Field::Date => version.date.to_string(),
            Field::Name => version.name.clone(),
            Field::SnapshotName => version.snapshot_name.clone(),
            Field::Size => version.size.to_string(),
            Field::SizeBytes if human => human::size(version.size_bytes),
            Field::SizeBytes => version.size_bytes.to_string(),
            Field::Uid => version.uid.to_string(),
            Field::Valid => u8::from(version.valid).to_string(),
            Field::Protected => u8::from(version.protected).to_string(),
            Field::Tags => version.tags.join(","),
            Field::Expire => version.expire.map(|expire| expire.to_string()).unwrap_or_default(),
        }
    }

    fn value(self, version: &Version) -> Value {
        match self {
            Field::Date => listing::date(version.date),
            Field::Name => version.name.clone().into(),
            Field::SnapshotName => version.snapshot_name.clone().into(),
            Field::Size => version.size.into(),
            Field::SizeBytes => version.size_bytes.into(),
            Field::Uid => version.uid.as_str().into(),
            Field::Valid => version.valid.into(),
            Field::Protected => version.protected.into(),
            Field::Tags => version.tags.clone().into(),
            Field::Expire => version.expire.map_or(Value::Null, listing::date),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::csv_list;
    use crate::cli::listing::table;
    use crate::cli::table::Style;
    use crate::types::keys::VersionKey;
    use crate::types::time::Timestamp;

    const PEOPLE: Style = Style { machine: false, skip_header: false, human: false };
    const SCRIPTS: Style = Style { machine: true, ..PEOPLE };

    /// Parses a line of `-m ls`, so that a test can compare the output with the input.
    fn version(line: &str) -> Version {
        let cells: Vec<&str> = line.split('|').collect();
        let number = |index: usize| cells[index].parse().expect("a number");
        Version {
            key: VersionKey(0),
            uid: cells[5].into(),
            date: Timestamp::parse(cells[0]).expect("a date"),
            expire: Timestamp::parse(cells[9]),
            name: cells[1].to_owned(),
            snapshot_name: cells[2].to_owned(),
            size: number(3),
            size_bytes: number(4),
            valid: cells[6] == "1",
            protected: cells[7] == "1",
            tags: cells[8].split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        }
    }

    fn versions(machine: &str) -> Vec<Version> {
        machine.lines().skip(1).map(version).collect()
    }

    const MIXED_M: &str = "\
date|name|snapshot_name|size|size_bytes|uid|valid|protected|tags|expire
2026-11-20 17:14:37|db-nämé||4|12582989|dd3de788-e505-11f1-90ca-02fc00000001|0|0|b_daily,b_monthly,b_weekly|
2026-11-20 17:14:32|vm1||8|31469625|da3b9c6a-e505-11f1-90ca-02fc00000001|1|1|b_daily,b_monthly,b_weekly,manual|
2026-11-20 17:14:34|vm1|snap-2|8|31469625|db66a3b4-e505-11f1-90ca-02fc00000001|1|0||2035-06-07 08:09:10
2026-11-20 17:14:35|vm1||6|22020097|dc513e7e-e505-11f1-90ca-02fc00000001|1|0|daily,keep me,weekly|2020-01-01 00:00:00
";
    const MIXED: &str = "\
+---------------------+---------+---------------+------+------------+--------------------------------------+-------+-----------+-----------------------------------+---------------------+
|         date        | name    | snapshot_name | size | size_bytes |                 uid                  | valid | protected | tags                              |        expire       |
+---------------------+---------+---------------+------+------------+--------------------------------------+-------+-----------+-----------------------------------+---------------------+
| 2026-11-20 17:14:37 | db-nämé |               |    4 |   12582989 | dd3de788-e505-11f1-90ca-02fc00000001 |   0   |     0     | b_daily,b_monthly,b_weekly        |                     |
| 2026-11-20 17:14:32 | vm1     |               |    8 |   31469625 | da3b9c6a-e505-11f1-90ca-02fc00000001 |   1   |     1     | b_daily,b_monthly,b_weekly,manual |                     |
| 2026-11-20 17:14:34 | vm1     | snap-2        |    8 |   31469625 | db66a3b4-e505-11f1-90ca-02fc00000001 |   1   |     0     |                                   | 2035-06-07 08:09:10 |
| 2026-11-20 17:14:35 | vm1     |               |    6 |   22020097 | dc513e7e-e505-11f1-90ca-02fc00000001 |   1   |     0     | daily,keep me,weekly              | 2020-01-01 00:00:00 |
+---------------------+---------+---------------+------+------------+--------------------------------------+-------+-----------+-----------------------------------+---------------------+
";
    const SMALL_M: &str = "\
date|name|snapshot_name|size|size_bytes|uid|valid|protected|tags|expire
2026-11-20 17:14:49|disk||76|307300|e4b70cec-e505-11f1-90ca-02fc00000001|1|0|b_daily,b_monthly,b_weekly|
2026-11-20 17:14:52|empty||0|0|e5edb782-e505-11f1-90ca-02fc00000001|1|0|b_daily,b_monthly,b_weekly|
2026-11-20 17:14:52|nulldisk||5|20480|e627cf6c-e505-11f1-90ca-02fc00000001|1|0|b_daily,b_monthly,b_weekly|
";
    const SMALL: &str = "\
+---------------------+----------+---------------+------+------------+--------------------------------------+-------+-----------+----------------------------+--------+
|         date        | name     | snapshot_name | size | size_bytes |                 uid                  | valid | protected | tags                       | expire |
+---------------------+----------+---------------+------+------------+--------------------------------------+-------+-----------+----------------------------+--------+
| 2026-11-20 17:14:49 | disk     |               |   76 |     307300 | e4b70cec-e505-11f1-90ca-02fc00000001 |   1   |     0     | b_daily,b_monthly,b_weekly |        |
| 2026-11-20 17:14:52 | empty    |               |    0 |          0 | e5edb782-e505-11f1-90ca-02fc00000001 |   1   |     0     | b_daily,b_monthly,b_weekly |        |
| 2026-11-20 17:14:52 | nulldisk |               |    5 |      20480 | e627cf6c-e505-11f1-90ca-02fc00000001 |   1   |     0     | b_daily,b_monthly,b_weekly |        |
+---------------------+----------+---------------+------+------------+--------------------------------------+-------+-----------+----------------------------+--------+
";

    #[test]
    fn tables_are_those_of_2_13() {
        for (machine, people) in [(MIXED_M, MIXED), (SMALL_M, SMALL)] {
            let table = table(&versions(machine), Field::ALL, false);
            assert_eq!(table.render(SCRIPTS), machine);
            assert_eq!(table.render(PEOPLE), people);
        }
    }

    #[test]
    fn without_versions_there_is_a_header() {
        assert_eq!(
            table(&[], Field::ALL, false).render(PEOPLE),
            "\
+------+------+---------------+------+------------+-----+-------+-----------+------+--------+
| date | name | snapshot_name | size | size_bytes | uid | valid | protected | tags | expire |
+------+------+---------------+------+------------+-----+-------+-----------+------+--------+
+------+------+---------------+------+------------+-----+-------+-----------+------+--------+
"
        );
    }

    #[test]
    fn without_a_header_columns_are_as_wide_as_their_cells() {
        let style = Style { skip_header: true, ..PEOPLE };
        let one = versions(SMALL_M).split_off(2);
        assert_eq!(
            table(&one, Field::ALL, false).render(style),
            "\
+---------------------+----------+--+---+-------+--------------------------------------+---+---+----------------------------+--+
| 2026-11-20 17:14:52 | nulldisk |  | 5 | 20480 | e627cf6c-e505-11f1-90ca-02fc00000001 | 1 | 0 | b_daily,b_monthly,b_weekly |  |
+---------------------+----------+--+---+-------+--------------------------------------+---+---+----------------------------+--+
"
        );
    }

    #[test]
    fn fields_choose_and_order_the_columns() {
        let fields = csv_list::fields::<Field>(Some("name, uid ,size_bytes")).expect("known fields");
        let table = table(&versions(SMALL_M), &fields, true);
        assert_eq!(
            table.render(PEOPLE),
            "\
+----------+--------------------------------------+------------+
| name     |                 uid                  | size_bytes |
+----------+--------------------------------------+------------+
| disk     | e4b70cec-e505-11f1-90ca-02fc00000001 |    300 KiB |
| empty    | e5edb782-e505-11f1-90ca-02fc00000001 |          0 |
| nulldisk | e627cf6c-e505-11f1-90ca-02fc00000001 |     20 KiB |
+----------+--------------------------------------+------------+
"
        );
        assert!(table.render(SCRIPTS).starts_with("name|uid|size_bytes\ndisk|e4b70cec"));
    }
}
