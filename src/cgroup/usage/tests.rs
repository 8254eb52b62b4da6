//! Texts that kernels write, and such as none does.

use super::*;

/// A cgroup of Linux 6.12.
fn sample(file: &str) -> Option<String> {
    let text = match file {
        "memory.current" => "104857600\n",
        "memory.max" => "134217728\n",
        "memory.peak" => "120586240\n",
        "memory.swap.current" => "4096\n",
        "memory.stat" => {
            "anon 62914560\nfile 31457280\nkernel 2097152\nkernel_stack 49152\n\
             inactive_anon 0\nactive_anon 62914560\ninactive_file 20971520\nactive_file 10485760\n"
        }
        "memory.events" => "low 0\nhigh 0\nmax 17\noom 2\noom_kill 3\noom_group_kill 1\n",
        "cpu.stat" => {
            "usage_usec 5001234\nuser_usec 4000000\nsystem_usec 1001234\nnice_usec 0\n\
             nr_periods 50\nnr_throttled 49\nthrottled_usec 3999000\nnr_bursts 0\nburst_usec 0\n"
        }
        "pids.current" => "3\n",
        "pids.max" => "max\n",
        "pids.peak" => "9\n",
        "pids.events" => "max 4\n",
        "io.stat" => {
            "8:16 rbytes=1000 wbytes=20 rios=3 wios=4 dbytes=5 dios=6\n\
             253:0 rbytes=1 wbytes=2 rios=30 wios=40 dbytes=0 dios=0\n"
        }
        "memory.pressure" => {
            "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234567\n\
             full avg10=0.50 avg60=0.00 avg300=0.00 total=234567\n"
        }
        "cpu.pressure" => "some avg10=100.00 avg60=0.00 avg300=0.00 total=7\n",
        _ => return None,
    };
    Some(text.to_owned())
}

#[test]
fn a_sample_is_read() {
    let usage = Usage::of(sample);
    let memory = Memory {
        current_bytes: 100 << 20,
        working_set_bytes: 80 << 20,
        anon_bytes: Some(60 << 20),
        file_bytes: Some(30 << 20),
        kernel_bytes: Some(2 << 20),
        swap_bytes: Some(4096),
        limit_bytes: Some(128 << 20),
        peak_bytes: Some(115 << 20),
        ooms: Some(2),
        oom_kills: Some(3),
        oom_group_kills: Some(1),
    };
    assert_eq!(usage.memory, Some(memory));
    let cpu = Cpu {
        usage_microseconds: 5_001_234,
        user_microseconds: Some(4_000_000),
        system_microseconds: Some(1_001_234),
        periods: Some(50),
        throttled_periods: Some(49),
        throttled_microseconds: Some(3_999_000),
    };
    assert_eq!(usage.cpu, Some(cpu));
    assert_eq!(usage.pids, Some(Pids { current: 3, limit: None, peak: Some(9), refused: Some(4) }));
    let io = Io { read_bytes: 1001, written_bytes: 22, reads: 33, writes: 44 };
    assert_eq!(usage.io, Some(io));
    let full = Share { avg10_percent: 0.5, total_microseconds: 234_567, ..Share::default() };
    let some = Share {
        avg10_percent: 1.5,
        avg60_percent: 0.25,
        avg300_percent: 0.0,
        total_microseconds: 1_234_567,
    };
    assert_eq!(usage.pressure.memory, Some(Stall { some, full: Some(full) }));
    assert_eq!(
        usage.pressure.cpu.map(|cpu| (cpu.some.avg10_percent, cpu.full)),
        Some((100.0, None))
    );
    assert_eq!(usage.pressure.io, None);
}

#[test]
fn what_is_off_is_none() {
    assert_eq!(Usage::of(|_| None), Usage::default());
    // Without the controllers this is all that a cgroup has.
    let bare = |file: &str| sample(file).filter(|_| file == "cpu.stat");
    let told = serde_json::to_value(Usage::of(bare)).unwrap();
    assert_eq!(told["memory"], serde_json::Value::Null);
    assert_eq!(told["cpu"]["usage_microseconds"], 5_001_234);
    // An old kernel.
    let old = |file: &str| match file {
        "memory.stat" => Some("anon 1\n".to_owned()),
        "memory.events" => Some("oom 1\noom_kill 1\n".to_owned()),
        "memory.peak" | "memory.swap.current" => None,
        file => sample(file),
    };
    let memory = Usage::of(old).memory.unwrap();
    assert_eq!((memory.peak_bytes, memory.kernel_bytes, memory.swap_bytes), (None, None, None));
    assert_eq!((memory.oom_kills, memory.oom_group_kills), (Some(1), None));
    assert_eq!(memory.working_set_bytes, memory.current_bytes);
}

#[test]
fn nonsense_is_none_and_never_a_panic() {
    for text in ["", "\n", "max", "-1\n", "+1\n", "1 \n", "0x1\n", "99999999999999999999\n", "é\0"]
    {
        let usage = Usage::of(|_| Some(text.to_owned()));
        assert_eq!((usage.memory, usage.cpu, usage.pids), (None, None, None), "{text:?}");
        assert_eq!(usage.io, Some(Io::default()), "{text:?}");
        assert_eq!(usage.pressure, Pressure::default(), "{text:?}");
    }
    let more = |file: &str| match file {
        "memory.current" => Some("1\n".to_owned()),
        "memory.stat" => Some("inactive_file 2\nanonymous 5\nanon\nanon x\n".to_owned()),
        "io.stat" => {
            let most = u64::MAX;
            Some(format!("8:0 rbytes={most} wbytes=1\n8:1 rbytes={most} wbytes=-1 xrios=1 rios"))
        }
        _ => None,
    };
    let usage = Usage::of(more);
    let memory = usage.memory.unwrap();
    assert_eq!((memory.working_set_bytes, memory.anon_bytes), (0, None));
    let io = Io { read_bytes: u64::MAX, written_bytes: 1, ..Io::default() };
    assert_eq!(usage.io, Some(io));
}

#[test]
fn a_share_of_time_is_a_plain_number() {
    let read = |avg: &str| {
        let line = format!("some avg10={avg} avg60=0.00 avg300=0.00 total=0\n");
        Usage::of(|_| Some(line.clone())).pressure.io
    };
    assert!(read("99.99").is_some());
    for avg in ["nan", "inf", "-1.0", "1e3", "1.0e1", "101.00", ".5", "1.", "1", "1.2.3"] {
        assert_eq!(read(avg), None, "{avg:?}");
    }
}
