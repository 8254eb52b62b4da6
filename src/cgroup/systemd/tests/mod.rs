//! The client against managers that are good, slow, wrong and hostile.

mod hostile;
mod peer;
mod real;

use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use zbus::OwnedVariant;

use super::*;
use crate::error::report;
use crate::host::bus;
use crate::plan::cgroup::Value;
use call::{CALL, CALL_OFF};
use peer::{
    JOB, LONG, SHORT, SYSTEMD, UNIT, answer_to, begin, error, kind, private, removed, started,
};
use wire::assemble;

fn proceeds(job: &mut Job) -> Progress {
    job.proceed().unwrap_or_else(|error| panic!("{}", report(&error)))
}

#[test]
fn a_private_socket_is_asked_one_thing() {
    let (mut job, mut peer) = private(LONG);
    assert_eq!(proceeds(&mut job), Progress::Waiting);
    let uid = nix::unistd::geteuid().to_string();
    let hex: String = uid.bytes().map(|digit| format!("{digit:x}")).collect();
    assert_eq!(peer.hear_greeting(), format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n"));
    // Written too early, it would be left lying there.
    assert_eq!(peer.hear_all().len(), 0);
    peer.welcome();
    assert_eq!(proceeds(&mut job), Progress::Waiting);
    let asked = peer.hear_all();
    let methods: Vec<_> = asked.iter().map(|message| message.member.as_deref()).collect();
    assert_eq!(methods, [Some("StartTransientUnit")]);
    type Pairs = Vec<(String, OwnedVariant)>;
    let (unit, mode, properties, others) =
        asked[0].arguments::<(String, String, Pairs, Vec<(String, Pairs)>)>("ssa(sv)a(sa(sv))");
    assert_eq!((unit.as_str(), mode.as_str(), others.len()), (UNIT, "fail", 0));
    let told: Vec<String> =
        properties.iter().map(|(name, value)| format!("{name}={}", &**value)).collect();
    assert_eq!(
        told,
        [
            "PIDs=[uint32 7, 8]",
            "Description=\"a test\"",
            "Delegate=true",
            "CollectMode=\"inactive-or-failed\"",
            "Slice=\"some.slice\"",
            "MemoryMax=uint64 64",
            "MemoryZSwapMax=uint64 0",
            "AllowedCPUs=[byte 0x05]",
            "IOReadBandwidthMax=[(\"/dev/sda\", uint64 9)]",
        ]
    );
}

#[test]
fn a_bus_is_asked_all_at_once() {
    for kind in [bus::Kind::Session, bus::Kind::System] {
        let (mut job, mut peer) = begin(kind, LONG);
        peer.welcome();
        assert_eq!(proceeds(&mut job), Progress::Waiting);
        peer.hear_greeting();
        let asked = peer.hear_all();
        let methods: Vec<_> =
            asked.iter().map(|message| message.member.as_deref().unwrap()).collect();
        assert_eq!(methods, ["Hello", "AddMatch", "Subscribe", "StartTransientUnit"]);
    }
}

#[test]
fn a_line_that_is_accepted_early_asks_at_once() {
    let (ours, mut peer) = peer::pair();
    let mut connection = connection::Connection::over(ours, LONG);
    connection.exchange().unwrap();
    assert!(peer.hear_greeting().ends_with("BEGIN\r\n"));
    peer.welcome();
    let line = Line { connection, kind: bus::Kind::Private, peer: "systemd".to_owned() };
    let _job = line.ask(call::Call::stop(UNIT).unwrap(), UNIT).unwrap();
    assert_eq!(peer.hear_all().len(), 1);
}

#[test]
fn it_is_done_when_its_own_job_is() {
    let (mut job, mut peer) = private(LONG);
    peer.welcome();
    peer.say(&removed("/job/1", "other.scope", "failed", SYSTEMD));
    peer.say(&started(JOB, SYSTEMD));
    peer.say(&removed("/job/2", UNIT, "failed", SYSTEMD));
    assert_eq!(proceeds(&mut job), Progress::Waiting);
    peer.say(&removed(JOB, UNIT, "done", SYSTEMD));
    assert_eq!(proceeds(&mut job), Progress::Done);
    assert_eq!(proceeds(&mut job), Progress::Done);
}

#[test]
fn the_end_may_come_before_the_answer() {
    let (mut job, mut peer) = private(LONG);
    peer.welcome();
    peer.say(&removed(JOB, UNIT, "done", SYSTEMD));
    assert_eq!(proceeds(&mut job), Progress::Waiting);
    peer.say(&started(JOB, SYSTEMD));
    assert_eq!(proceeds(&mut job), Progress::Done);
}

#[test]
fn nobody_but_who_answered_can_end_the_job() {
    for early in [true, false] {
        let (mut job, mut peer) = begin(bus::Kind::Session, LONG);
        peer.welcome();
        let forged = removed(JOB, UNIT, "done", Some(":1.666"));
        if early {
            peer.say(&forged);
        }
        peer.say(&started(JOB, SYSTEMD));
        if !early {
            peer.say(&forged);
        }
        assert_eq!(proceeds(&mut job), Progress::Waiting, "early: {early}");
    }
}

#[test]
fn a_job_that_fails_is_an_error() {
    for result in ["failed", "canceled", "timeout", "dependency", "skipped", "x\x1b"] {
        let (mut job, mut peer) = private(LONG);
        peer.welcome();
        peer.say(&started(JOB, SYSTEMD));
        peer.say(&removed(JOB, UNIT, result, SYSTEMD));
        let printed = result.replace('\x1b', "\\u{1b}");
        assert_eq!(kind(&job.proceed().unwrap_err()), Kind::NotDone(printed));
    }
}

/// Who looks elsewhere for longer than the manager may take finds its answer all
/// the same, behind whatever it has told of others.
#[test]
fn an_answer_that_is_there_is_never_too_late() {
    let (mut job, mut peer) = private(SHORT);
    std::thread::sleep(2 * SHORT);
    // The call was held back for this; the manager has had no time at all.
    peer.welcome();
    assert_eq!(proceeds(&mut job), Progress::Waiting);
    let other = removed("/org/freedesktop/systemd1/job/5", "other.scope", "done", SYSTEMD);
    peer.say(&other.repeat(200));
    peer.say(&started(JOB, SYSTEMD));
    peer.say(&removed(JOB, UNIT, "done", SYSTEMD));
    std::thread::sleep(2 * SHORT);
    assert_eq!(proceeds(&mut job), Progress::Done);
}

#[test]
fn what_is_given_up_is_called_off() {
    let (mut job, mut peer) = private(LONG);
    peer.welcome();
    peer.say(&started(JOB, SYSTEMD));
    assert_eq!(proceeds(&mut job), Progress::Waiting);
    peer.hear_greeting();
    let giving_up = std::thread::spawn(move || job.call_off());
    let mut asked = Vec::new();
    while asked.len() < 2 {
        asked.extend(peer.hear_all());
    }
    // A manager has to tell of others' jobs before it comes to ours; who is gone
    // by then is not heard.
    peer.say(&removed("/org/freedesktop/systemd1/job/5", "other.scope", "done", SYSTEMD));
    std::thread::sleep(SHORT);
    assert!(!giving_up.is_finished());
    peer.say(&assemble(wire::Kind::Return, 9, answer_to(CALL_OFF, SYSTEMD), &()).unwrap());
    giving_up.join().unwrap();
    let methods: Vec<_> = asked.iter().map(|message| message.member.as_deref()).collect();
    assert_eq!(methods, [Some("StartTransientUnit"), Some("StopUnit")]);
    let (unit, mode) = asked[1].arguments::<(String, String)>("ss");
    assert_eq!((unit.as_str(), mode.as_str()), (UNIT, "replace"));
}

#[test]
fn what_was_not_asked_for_or_is_not_ours_is_not_stopped() {
    let (mut job, mut peer) = private(LONG);
    assert_eq!(proceeds(&mut job), Progress::Waiting);
    peer.hear_greeting();
    job.call_off();
    assert_eq!(peer.hear_all().len(), 0);

    let (mut job, mut peer) = private(LONG);
    peer.welcome();
    peer.say(&error(CALL, "org.freedesktop.systemd1.UnitExists", "it exists"));
    assert_eq!(kind(&job.proceed().unwrap_err()), Kind::UnitExists);
    peer.hear_greeting();
    job.call_off();
    assert_eq!(peer.hear_all().len(), 1);
}

#[test]
fn refusals_have_a_kind_the_managers_words_and_a_hint() {
    for (name, words, expected, hint) in [
        ("systemd1.UnitExists", "Unit x exists", Kind::UnitExists, "stop sublet-test.scope"),
        ("DBus.Error.AccessDenied", "No", Kind::Denied, "machinectl shell"),
        ("DBus.Error.ServiceUnknown", "No one", Kind::NoManager, "is-system-running"),
        (
            "DBus.Error.PropertyReadOnly",
            "Cannot set property MemoryZSwapMax, or unknown property.",
            Kind::UnknownProperty("MemoryZSwapMax".to_owned()),
            "do without the limit that is set as MemoryZSwapMax",
        ),
        ("DBus.Error.InvalidArgs", "Bad\nthing", Kind::Refused, "journalctl"),
    ] {
        let (mut job, mut peer) = private(LONG);
        peer.welcome();
        let name = format!("org.freedesktop.{name}");
        peer.say(&error(1, &name, words));
        let error = job.proceed().unwrap_err();
        let text = report(&error);
        let words = words.replace('\n', "\\n");
        let start = format!(
            "error: ask systemd at \"/run/x\" to start {UNIT}: StartTransientUnit: {name}: {words}\n"
        );
        assert!(text.starts_with(&start), "{text}");
        assert!(text.lines().nth(1).unwrap().contains(hint), "{text}");
        assert_eq!(kind(&error), expected);
    }
}

#[test]
fn a_refusal_of_what_comes_before_says_so() {
    for (serial, method) in [(2, "Hello"), (3, "AddMatch"), (4, "Subscribe")] {
        let (mut job, mut peer) = begin(bus::Kind::Session, LONG);
        peer.welcome();
        peer.say(&error(serial, "org.freedesktop.DBus.Error.LimitsExceeded", "full"));
        let text = report(&job.proceed().unwrap_err());
        assert!(text.contains(&format!(": {method}: org.freedesktop.DBus.Error.Limits")), "{text}");
    }
}

#[test]
fn bytes_may_come_one_by_one() {
    let (mut job, mut peer) = private(LONG);
    let mut bytes = b"OK 0123\r\n".to_vec();
    bytes.extend(started(JOB, SYSTEMD));
    bytes.extend(removed(JOB, UNIT, "done", SYSTEMD));
    let (last, rest) = bytes.split_last().unwrap();
    for byte in rest {
        peer.say(&[*byte]);
        assert_eq!(proceeds(&mut job), Progress::Waiting);
    }
    peer.say(&[*last]);
    assert_eq!(proceeds(&mut job), Progress::Done);
}

/// As a manager on a machine of that order sends them, and anybody may.
#[test]
fn the_other_byte_order_is_read_too() {
    let header = b"B\x02\x00\x01\x00\x00\x00\x07\x00\x00\x00\x09\x00\x00\x00\x0f";
    let fields = b"\x05\x01u\x00\x00\x00\x00\x01\x08\x01g\x00\x01o\x00\x00";
    let mut bytes = [&header[..], fields, b"\x00\x00\x00\x02/j\x00"].concat();
    let message = wire::Message::take(&mut bytes).unwrap().unwrap();
    assert_eq!((message.answers, message.path(), bytes.len()), (Some(1), Ok("/j".to_owned()), 0));
}

#[test]
fn what_does_not_fit_is_written_later() {
    let rates = vec![("/dev/x".repeat(100), 1); 1000];
    let large = Property { name: "IOReadBandwidthMax".to_owned(), value: Value::Rates(rates) };
    let (mut job, mut peer) =
        peer::asking(call::Call::set_properties(UNIT, &[large]).unwrap(), bus::Kind::Private, LONG);
    peer.welcome();
    assert_eq!(proceeds(&mut job), Progress::Waiting);
    assert!(job.interest().contains(PollFlags::POLLOUT));
    peer.hear_greeting();
    let asked = loop {
        let asked = peer.hear_all();
        if !asked.is_empty() {
            break asked;
        }
        assert_eq!(proceeds(&mut job), Progress::Waiting);
    };
    assert_eq!((asked.len(), job.interest()), (1, PollFlags::POLLIN));
    peer.say(&peer::returns(&(), SYSTEMD));
    assert_eq!(proceeds(&mut job), Progress::Done);
}

#[test]
fn the_descriptor_tells_when_to_go_on() {
    let (mut job, mut peer) = private(LONG);
    assert_eq!(proceeds(&mut job), Progress::Waiting);
    assert_eq!(job.interest(), PollFlags::POLLIN);
    let ready = |job: &Job| {
        poll(&mut [PollFd::new(job.as_fd(), job.interest())], PollTimeout::ZERO).unwrap() == 1
    };
    assert!(!ready(&job));
    peer.stream.write_all(b"O").unwrap();
    assert!(ready(&job));
    assert!(job.deadline() > std::time::Instant::now() + Duration::from_secs(9));
}

#[test]
fn a_unit_that_is_not_there_need_not_be_stopped() {
    let stub = peer::Stub::new("stop", |peer| {
        peer.hear_greeting();
        peer.welcome();
        peer.say(&error(1, "org.freedesktop.systemd1.NoSuchUnit", "Unit x not loaded."));
        peer.stay();
    });
    let systemd = Systemd::at(&stub.bus).within(LONG);
    systemd.stop(UNIT).unwrap();
    systemd.reset_failed(UNIT).unwrap();
    assert_eq!(kind(&systemd.set_properties(UNIT, &[]).unwrap_err()), Kind::NoSuchUnit);
    assert_eq!(kind(&systemd.attach(UNIT, "/payload", &[]).unwrap_err()), Kind::NoSuchUnit);
}
