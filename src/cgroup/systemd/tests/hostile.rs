//! Peers that do not mean well: every test ends, and with an error.

use std::net::Shutdown;
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};

use super::super::wire::{Message, assemble};
use super::peer::*;
use super::*;
use crate::host::bus::Bus;

/// What a client says to a peer that says `bytes` and no more.
fn told(bytes: &[u8]) -> (Kind, String) {
    let (mut job, mut peer) = private(LONG);
    peer.say(bytes);
    peer.stream.shutdown(Shutdown::Write).unwrap();
    let error = fails(&mut job, || {});
    let text = report(&error);
    assert!(text.contains("\n hint: "), "{text}");
    (kind(&error), text)
}

/// After a good greeting.
fn told_after_greeting(bytes: &[u8]) -> (Kind, String) {
    told(&[b"OK 0\r\n", bytes].concat())
}

#[test]
fn nobody_is_there() {
    let bus = Bus { path: path("absent"), kind: bus::Kind::Private };
    let error = Systemd::at(&bus).stop(UNIT).unwrap_err();
    let text = report(&error);
    assert!(text.contains("absent") && text.contains("No such file"), "{text}");
    assert_eq!(kind(&error), Kind::Unreachable);
}

#[test]
fn nobody_accepts() {
    let bus = Bus { path: path("full"), kind: bus::Kind::Private };
    let make = || socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    let (listener, first) = (make().unwrap(), make().unwrap());
    let address = UnixAddr::new(&bus.path).unwrap();
    bind(listener.as_raw_fd(), &address).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    connect(first.as_raw_fd(), &address).unwrap();
    let stopped = Systemd::at(&bus).within(SHORT).stop(UNIT);
    std::fs::remove_file(&bus.path).unwrap();
    assert_eq!(kind(&stopped.unwrap_err()), Kind::Unreachable);
}

#[test]
fn nobody_answers() {
    let stub = Stub::new("silent", Peer::stay);
    let error = Systemd::at(&stub.bus).within(SHORT).stop(UNIT).unwrap_err();
    let text = report(&error);
    assert!(text.contains("no answer within 20ms"), "{text}");
    assert!(text.contains("the answer to our authentication"), "{text}");
    assert_eq!(kind(&error), Kind::Late);
}

#[test]
fn it_falls_silent_later() {
    for (said, waiting) in
        [(vec![], "waiting for the answer"), (started(JOB, SYSTEMD), "the end of its job")]
    {
        let (job, mut peer) = private(SHORT);
        peer.welcome();
        peer.say(&said);
        let error = job.wait().unwrap_err();
        assert!(report(&error).contains(waiting), "{}", report(&error));
        assert_eq!(kind(&error), Kind::Late);
    }
}

#[test]
fn it_trickles_beyond_the_deadline() {
    let (mut job, mut peer) = private(SHORT);
    peer.welcome();
    // A message of a mebibyte less a bit, which would go on for hours.
    let mut head = started(JOB, SYSTEMD);
    head[4..8].copy_from_slice(&1_000_000u32.to_le_bytes());
    peer.say(&head);
    let late = fails(&mut job, || peer.say(b"x"));
    assert_eq!(kind(&late), Kind::Late);
}

#[test]
fn it_never_stops_talking_of_other_things() {
    let (mut job, mut peer) = private(SHORT);
    peer.welcome();
    let late = fails(&mut job, || {
        peer.say(&removed("/job/1", "other.scope", "done", SYSTEMD));
        peer.say(&removed("/job/1", UNIT, "done", SYSTEMD));
    });
    assert_eq!(kind(&late), Kind::Late);
}

#[test]
fn it_hangs_up() {
    let (kind, text) = told(b"");
    assert_eq!(kind, Kind::Broken);
    assert!(text.contains("it hung up before the answer to our authentication"), "{text}");
    let (kind, text) = told_after_greeting(&started(JOB, SYSTEMD));
    assert_eq!(kind, Kind::Broken);
    assert!(text.contains("it hung up before the end of its job"), "{text}");
}

#[test]
fn it_may_ask_once_who_we_are() {
    let (_, text) = told(&[b"DATA\r\nOK 0\r\n", &started(JOB, SYSTEMD)[..]].concat());
    assert!(text.contains("it hung up before the end of its job"), "{text}");
    let (kind, text) = told(b"DATA\r\nDATA\r\nOK 0\r\n");
    assert_eq!(kind, Kind::Broken);
    assert!(text.contains("answered our authentication with \"DATA\""), "{text}");
}

#[test]
fn it_closes_at_once() {
    let (mut job, peer) = private(LONG);
    drop(peer);
    assert_eq!(kind(&job.proceed().unwrap_err()), Kind::Broken);
}

#[test]
fn what_it_says_before_it_hangs_up_is_heard() {
    let (mut job, mut peer) = private(LONG);
    peer.say(b"REJECTED KERBEROS_V4\r\n");
    drop(peer);
    let text = report(&job.proceed().unwrap_err());
    assert!(text.contains("answered our authentication with \"REJECTED KERBEROS_V4\""), "{text}");
}

#[test]
fn its_greeting_is_garbage() {
    for greeting in ["HTTP/1.1 400 Bad Request\r\n", "OKAY\r\n", "\r\n", "\u{9b}\x1b[2J\r\n"] {
        let (kind, text) = told(greeting.as_bytes());
        assert_eq!(kind, Kind::Broken);
        assert!(text.contains("answered our authentication with"), "{text}");
        assert!(!text.contains(['\x1b', '\u{9b}']), "{text:?}");
    }
    let (kind, text) = told(&[b'x'; 4096]);
    assert_eq!(kind, Kind::Broken);
    assert!(text.contains("has no end"), "{text}");
}

#[test]
fn its_messages_are_garbage() {
    let with = |at: usize, bytes: &[u8]| {
        let mut message = started(JOB, SYSTEMD);
        message[at..at + bytes.len()].copy_from_slice(bytes);
        message
    };
    for (message, why) in [
        (vec![b'x'; 64], "its byte order is 0x78"),
        (with(1, &[0]), "its type is 0"),
        (with(1, &[9]), "its type is 9"),
        (with(3, &[2]), "its version is 2"),
        (with(4, &[0xff; 4]), "its lengths are"),
        (with(12, &[0xff; 4]), "its lengths are"),
        (with(4, &(1u32 << 20).to_le_bytes()), "its lengths are"),
        (with(12, &(1u32 << 15).to_le_bytes()), "its lengths are"),
        (returns(&("/a/text",), SYSTEMD), "its arguments are \"s\", not \"o\""),
        (returns(&(), SYSTEMD), "its arguments are \"\", not \"o\""),
    ] {
        let (kind, text) = told_after_greeting(&message);
        assert_eq!(kind, Kind::Broken, "{text}");
        assert!(text.contains(why), "{text}");
    }
}

/// Any program on a bus may send us a signal.
#[test]
fn signals_of_strangers_disturb_nothing() {
    let (mut job, mut peer) = begin(bus::Kind::System, LONG);
    let stranger = Some(":1.666");
    let good = removed(JOB, UNIT, "done", stranger);
    let mut bad = good.clone();
    let last = bad.len() - 2;
    bad[last] = 0xff;
    peer.welcome();
    peer.say(&bad);
    peer.say(&started(JOB, SYSTEMD));
    for _ in 0..50 {
        peer.say(&good);
    }
    peer.say(&removed(JOB, UNIT, "done", SYSTEMD));
    while job.proceed().unwrap_or_else(|error| panic!("{}", report(&error))) == Progress::Waiting {}
}

#[test]
fn its_answers_are_to_others() {
    for serial in [0, 2, 99, u32::MAX] {
        let (mut job, mut peer) = private(SHORT);
        peer.welcome();
        let job_path = (zbus::ObjectPath::try_from(JOB).unwrap(),);
        let fields = answer_to(serial, SYSTEMD);
        peer.say(&assemble(super::super::wire::Kind::Return, 9, fields, &job_path).unwrap());
        peer.say(&removed(JOB, UNIT, "done", SYSTEMD));
        peer.say(&error(serial.max(5), "org.freedesktop.systemd1.UnitExists", ""));
        let late = fails(&mut job, || {});
        assert_eq!(kind(&late), Kind::Late, "{serial}");
    }
}

/// Bytes of good messages, changed here and there: whatever comes of them,
/// it is no panic, and what is taken gets less.
#[test]
fn no_message_makes_it_panic() {
    let good =
        [started(JOB, SYSTEMD), removed(JOB, UNIT, "done", SYSTEMD), error(1, "a.b", "words")];
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % below
    };
    for round in 0..30_000 {
        let mut bytes = good[round % good.len()].clone();
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            bytes[at] = match next(3) {
                0 => next(256) as u8,
                1 => b"avsogy({})\0\x01\xff"[next(13)],
                _ => bytes[at] ^ (1 << next(8)),
            };
        }
        let length = bytes.len();
        if let Ok(Some(message)) = Message::take(&mut bytes) {
            assert!(bytes.len() < length);
            let _ = (message.text(), message.path(), message.job_removed());
        }
    }
}
