//! Figures as a table.

use crate::cgroup::usage::Stall;
use crate::cli::columns::aligned;
use crate::container::stats::Figures;

/// How ids are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// As people read them.
    Short,
    /// To the last digit.
    Whole,
}

const COLUMNS: [&str; 9] = [
    "CONTAINER ID",
    "NAME",
    "CPU %",
    "THROTTLED",
    "MEMORY / LIMIT",
    "MEM %",
    "PIDS / LIMIT",
    "IO READ / WRITTEN",
    "PRESSURE CPU/MEM/IO",
];

/// What is not known.
const NOTHING: &str = "--";

/// A line a container below the line of titles.
pub fn table(figures: &[Figures], ids: Ids) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned).to_vec()];
    rows.extend(figures.iter().map(|figures| row(figures, ids).to_vec()));
    aligned(&rows)
}

fn row(figures: &Figures, ids: Ids) -> [String; COLUMNS.len()] {
    let Figures { id, name, usage, .. } = figures;
    let nothing = || NOTHING.to_owned();
    let of = |used: String, limit: Option<String>| {
        format!("{used} / {}", limit.as_deref().unwrap_or("max"))
    };
    let pressure = &usage.pressure;
    let stalls = [pressure.cpu, pressure.memory, pressure.io].map(stall);
    [
        if ids == Ids::Whole { id.as_str() } else { id.short() }.to_owned(),
        name.as_ref().map_or_else(nothing, ToString::to_string),
        percent(figures.cpu_percent),
        percent(figures.throttled_percent),
        usage.memory.as_ref().map_or_else(nothing, |memory| {
            of(size(memory.working_set_bytes), memory.limit_bytes.map(size))
        }),
        percent(figures.memory_percent),
        usage.pids.as_ref().map_or_else(nothing, |pids| {
            of(pids.current.to_string(), pids.limit.map(|limit| limit.to_string()))
        }),
        usage.io.as_ref().map_or_else(nothing, |io| {
            format!("{} / {}", size(io.read_bytes), size(io.written_bytes))
        }),
        if stalls.iter().all(|stall| stall == NOTHING) { nothing() } else { stalls.join("/") },
    ]
}

fn percent(percent: Option<f64>) -> String {
    percent.map_or_else(|| NOTHING.to_owned(), |percent| format!("{percent:.2}%"))
}

fn stall(stall: Option<Stall>) -> String {
    stall.map_or_else(|| NOTHING.to_owned(), |stall| format!("{:.2}", stall.some.avg10_percent))
}

/// Bytes with three digits or so, each unit 1024 times the one before.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut amount, mut unit) = (bytes as f64, 0);
    // What would be rounded to 1024 is 1 of the next.
    while amount >= 1023.5 {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    let places = match amount {
        _ if unit == 0 => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    let number = format!("{amount:.places$}");
    let number =
        if places > 0 { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{number}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::usage::{Io, Memory, Pids, Share};
    use crate::container::stats::tests::nothing;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (1536, "1.5KiB"),
            (10 << 10, "10KiB"),
            ((10 << 10) + 512, "10.5KiB"),
            (12_645, "12.3KiB"),
            (100 << 10, "100KiB"),
            ((1 << 20) - 1, "1MiB"),
            (64 << 20, "64MiB"),
            (1_234_567_890, "1.15GiB"),
            (u64::MAX, "16EiB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn columns_stand_below_their_titles() {
        let mut full = nothing();
        (full.cpu_percent, full.throttled_percent) = (Some(120.0), Some(7.5));
        full.memory_percent = Some(12.5);
        let usage = &mut full.usage;
        usage.memory = Some(Memory {
            working_set_bytes: 8 << 20,
            limit_bytes: Some(64 << 20),
            ..Memory::default()
        });
        usage.pids = Some(Pids { current: 3, ..Pids::default() });
        usage.io = Some(Io { read_bytes: 2048, written_bytes: 1, ..Io::default() });
        let some = Share { avg10_percent: 1.5, ..Share::default() };
        usage.pressure.memory = Some(Stall { some, full: None });
        assert_eq!(
            table(&[full, nothing()], Ids::Short),
            "\
CONTAINER ID  NAME  CPU %    THROTTLED  MEMORY / LIMIT  MEM %   PIDS / LIMIT  IO READ / WRITTEN  PRESSURE CPU/MEM/IO
abababababab  web   120.00%  7.50%      8MiB / 64MiB    12.50%  3 / max       2KiB / 1B          --/1.50/--
abababababab  web   --       --         --              --      --            --                 --
"
        );
        assert!(table(&[nothing()], Ids::Whole).contains(&"ab".repeat(32)));
    }
}
