//! Those who have come to the control socket: who asks for something, and who
//! is attached to a payload in the background.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{MsgFlags, recv};

use crate::control::{Answer, ENDED, ERR, LONGEST, Listener, NOTE, OUT, Request, STOPPED};
use crate::error::Explain;
use crate::launch::patience;
use crate::log::Stream;
use crate::state::{PublishedPort, Sent};
use crate::sys::{Errno, Result, fd};

/// How long the payload waits for somebody who takes nothing; from then on what
/// it says is left out for him until he does. A busy machine keeps readers away
/// for a second that want to read.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same for the caller with whom it ends: as long as anybody may want to read
/// what is on a terminal that he has stopped.
const CALLERS: Duration = Duration::from_secs(365 * 86_400);

/// How much waits for one of them: more than a pipe of each stream holds, which is
/// what is read at the payload's end.
const MOST_WAITING: usize = 1 << 20;

/// How many may have come and not yet have asked; one more sends the first of
/// them away.
const WAITING: usize = 16;

/// All of them, and where others come.
#[derive(Debug)]
pub struct Clients {
    /// None where nobody can be called, for want of a record.
    listener: Option<Listener>,
    clients: Vec<Client>,
    /// What the caller has said, or done.
    heard: Vec<Heard>,
}

/// What the one has to say who has started the payload and stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A signal has come for it.
    Signal(Sent),
    /// It is to run on without him.
    Left,
    /// He is gone without a word, and it is to end with him.
    Lost,
}

/// How a payload in the background is spoken to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speech<'a> {
    /// By what, if it takes any input.
    pub input: Option<BorrowedFd<'a>>,
    /// Whether that is a terminal.
    pub terminal: bool,
}

/// Does what is asked for with the published ports. It also gets the
/// connection: as long as a copy of it is open the client waits.
pub(super) type Change<'a> =
    dyn FnMut(&Request, BorrowedFd<'_>) -> anyhow::Result<Vec<PublishedPort>> + 'a;

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    role: Role,
    /// What it has not taken, and since when.
    waiting: Option<(Vec<u8>, Instant)>,
    /// How much was left out since.
    lost: usize,
    /// What comes after that, of what is not left out.
    queue: VecDeque<Vec<u8>>,
}

/// What a client is to the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Nothing yet.
    Stranger,
    /// He hears what it says.
    Listener,
    /// He has started it and stays.
    Caller {
        /// It is to end with him.
        ends: bool,
    },
    /// He was that, and does not wait for its end.
    Leaving,
}

impl Clients {
    /// Nobody yet.
    pub fn new(listener: Option<Listener>) -> Self {
        Self { listener, clients: Vec::new(), heard: Vec::new() }
    }

    /// Takes the caller in, who has started the payload and stays; whether it
    /// `ends` with him. If it takes no input or is not to be spoken to, he only
    /// listens.
    pub(super) fn adopt(&mut self, socket: OwnedFd, ends: bool, speech: Speech<'_>) {
        let role = Role::Caller { ends };
        let client = Client { role, ..Client::new(socket) };
        let answer = Answer::Attached { terminal: speech.terminal };
        match client.answer(&answer, speech.input) {
            Ok(()) => self.clients.push(client),
            Err(_) if ends => self.heard.push(Heard::Lost),
            Err(_) => {}
        }
    }

    /// What the caller has said since the last time.
    pub(super) fn heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    /// Lets those go who leave.
    pub(super) fn let_go(&mut self) {
        self.clients.retain(|client| client.role != Role::Leaving);
    }

    /// Tells the caller that a signal of his has stopped the payload.
    pub(super) fn tell_stopped(&mut self) {
        self.tell_caller(STOPPED, &[]);
    }

    /// Tells the caller what he is to hear from us.
    pub fn note(&mut self, text: &str) {
        // He takes no longer ones than the payload says.
        let end = text.floor_char_boundary(4096);
        self.tell_caller(NOTE, &text.as_bytes()[..end]);
    }

    fn tell_caller(&mut self, kind: u8, bytes: &[u8]) {
        self.keep(|client| match client.role {
            Role::Caller { .. } => client.give(kind, bytes),
            _ => true,
        });
    }

    /// Keeps those who are `still` there.
    fn keep(&mut self, mut still: impl FnMut(&mut Client) -> bool) {
        let heard = &mut self.heard;
        self.clients.retain_mut(|client| {
            let stays = still(client);
            if !stays && client.role == (Role::Caller { ends: true }) {
                heard.push(if client.has_left() { Heard::Left } else { Heard::Lost });
            }
            stays
        });
    }

    /// What to wait for.
    pub(super) fn interests(&self) -> impl Iterator<Item = PollFd<'_>> {
        let client = |client: &Client| match client.waiting {
            Some(_) => PollFlags::POLLIN | PollFlags::POLLOUT,
            None => PollFlags::POLLIN,
        };
        let clients = self.clients.iter().map(move |it| PollFd::new(it.socket.as_fd(), client(it)));
        let listener = self.listener.iter().map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN));
        clients.chain(listener)
    }

    /// Until when the payload waits for one of them.
    pub(super) fn awaited(&self) -> Option<Instant> {
        let until = |client: &Client| Some(client.waiting.as_ref()?.1 + client.patience());
        let now = Instant::now();
        self.clients.iter().filter_map(until).filter(|until| *until > now).max()
    }

    /// Lets others in, does what is asked, and gives what was not taken. Nobody
    /// can be attached where there is no `speech`.
    pub(super) fn attend(&mut self, speech: Option<Speech<'_>>, change: &mut Change<'_>) {
        while let Some(socket) = self.listener.as_ref().and_then(Listener::accept) {
            let is_silent = |at: &usize| self.clients[*at].role == Role::Stranger;
            let mut silent = (0..self.clients.len()).filter(is_silent);
            let first = silent.next();
            if let (Some(first), true) = (first, silent.count() + 1 >= WAITING) {
                self.clients.remove(first);
            }
            self.clients.push(Client::new(socket));
        }
        let mut heard = Vec::new();
        self.keep(|client| client.hear(speech, change, &mut heard) && client.go_on());
        self.heard.append(&mut heard);
    }

    /// Gives what was said to all of them.
    pub(super) fn tell(&mut self, stream: Stream, bytes: &[u8]) {
        let kind = match stream {
            Stream::Out => OUT,
            Stream::Err => ERR,
        };
        self.keep(|client| client.role == Role::Stranger || client.give(kind, bytes));
    }

    /// Tells them with what code it has ended. Who does not take the rest in
    /// time does not get it; but whoever has started it does, unless it is `again`
    /// to be started, which waits for this.
    pub fn end(mut self, code: u8, again: bool) {
        // Nobody can ask for anything any more.
        self.listener = None;
        self.clients.retain(|client| client.role != Role::Stranger);
        for client in &mut self.clients {
            if let Role::Caller { ends } = &mut client.role {
                *ends |= !again;
            }
        }
        self.keep(|client| client.give(ENDED, &[code]));
        self.settle();
    }

    /// Waits until they have taken what they were given, as long as the payload
    /// would.
    fn settle(&mut self) {
        while let Some(until) = self.awaited() {
            let waiting = self.clients.iter().filter(|client| client.waiting.is_some());
            let mut ready: Vec<_> =
                waiting.map(|it| PollFd::new(it.socket.as_fd(), PollFlags::POLLOUT)).collect();
            let _ = poll(&mut ready, patience(Some(until)));
            self.keep(Client::go_on);
        }
    }
}

impl Client {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, role: Role::Stranger, waiting: None, lost: 0, queue: VecDeque::new() }
    }

    /// Hears what it asks; false if that is all, or it has gone.
    fn hear(
        &mut self,
        speech: Option<Speech<'_>>,
        change: &mut Change<'_>,
        heard: &mut Vec<Heard>,
    ) -> bool {
        let length = match self.next_length() {
            Ok(0) => return false,
            Ok(length) => length,
            Err(errno) => return matches!(errno, Errno::EAGAIN | Errno::EINTR),
        };
        let mut packet = vec![0; length.min(LONGEST)];
        let calls = matches!(self.role, Role::Caller { .. });
        if fd::receive(self.socket.as_fd(), &mut packet).is_err() {
            return false;
        }
        // Who has given up waiting does not expect it any more. What the caller
        // has said holds, also where his terminal took him away right after.
        if !calls && self.next_length() == Ok(0) {
            return false;
        }
        let request = || {
            ensure!(length <= LONGEST, "it is too long");
            Ok(serde_json::from_slice(&packet)?)
        };
        let answered = request().context("read the request").and_then(|request| match request {
            Request::Signal(sent) if calls => {
                heard.push(Heard::Signal(sent));
                Ok(None)
            }
            Request::Leave if calls => {
                heard.push(Heard::Left);
                self.role = Role::Leaving;
                Ok(None)
            }
            Request::Signal(_) | Request::Leave => {
                Err(anyhow!("only who has started it in his foreground can say that"))
            }
            Request::Attach => {
                let speech = speech
                    .context("the container runs in the foreground of its caller")
                    .hint("sublet run -d runs one in the background")?;
                Ok(Some((Answer::Attached { terminal: speech.terminal }, speech.input)))
            }
            Request::Publish(_) | Request::Withdraw(_) if self.role != Role::Stranger => {
                Err(anyhow!("who is attached can't ask for anything else"))
            }
            request => Ok(Some((Answer::Ports(change(&request, self.socket.as_fd())?), None))),
        });
        let answered = answered.unwrap_or_else(|error| Some((Answer::from(&error), None)));
        let Some((answer, input)) = answered else { return true };
        if self.role == Role::Stranger && matches!(answer, Answer::Attached { .. }) {
            self.role = Role::Listener;
        }
        self.answer(&answer, input).is_ok() && self.role != Role::Stranger
    }

    /// Whether a caller who is gone has said before that he leaves.
    fn has_left(&self) -> bool {
        let mut packet = [0; 1024];
        while matches!(self.next_length(), Ok(1..)) {
            let said = fd::receive(self.socket.as_fd(), &mut packet);
            let said = said.map(|(length, _)| serde_json::from_slice(&packet[..length]));
            if matches!(said, Ok(Ok(Request::Leave))) {
                return true;
            }
        }
        false
    }

    fn answer(&self, answer: &Answer, input: Option<BorrowedFd<'_>>) -> Result<()> {
        let bytes = serde_json::to_vec(answer).unwrap_or_default();
        match input {
            Some(input) => fd::send_with_descriptor(self.socket.as_fd(), &bytes, input),
            None => fd::write(self.socket.as_fd(), &bytes).map(drop),
        }
    }

    /// How long the payload waits for it.
    fn patience(&self) -> Duration {
        if self.role == (Role::Caller { ends: true }) { CALLERS } else { PATIENCE }
    }

    /// The length of the next packet, 0 if there will be none: recv(2).
    fn next_length(&self) -> Result<usize> {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
        recv(self.socket.as_raw_fd(), &mut [0], flags)
    }

    /// Gives it what was said; false if it has gone.
    fn give(&mut self, kind: u8, bytes: &[u8]) -> bool {
        let mut packet = Vec::with_capacity(bytes.len() + 1);
        packet.push(kind);
        packet.extend_from_slice(bytes);
        let Some((_, since)) = &self.waiting else { return self.send(packet, Instant::now()) };
        let queued: usize = self.queue.iter().map(Vec::len).sum();
        let is_in_time = self.lost == 0 && since.elapsed() < self.patience();
        // Words of ours are few, and the last that somebody has to hear.
        let calls = matches!(self.role, Role::Caller { .. });
        let is_ours = kind == ENDED || calls && [NOTE, STOPPED].contains(&kind);
        if is_ours || is_in_time && queued + packet.len() <= MOST_WAITING {
            let left_out = self.left_out();
            self.queue.extend(left_out);
            self.queue.push_back(packet);
        } else {
            self.lost += bytes.len();
        }
        true
    }

    /// Gives it what it has not taken; false if it has gone.
    fn go_on(&mut self) -> bool {
        let Some((packet, since)) = self.waiting.take() else { return true };
        if !self.send(packet, since) {
            return false;
        }
        while self.waiting.is_none()
            && let Some(packet) = self.queue.pop_front()
        {
            if !self.send(packet, Instant::now()) {
                return false;
            }
        }
        if self.waiting.is_none()
            && let Some(packet) = self.left_out()
        {
            return self.send(packet, Instant::now());
        }
        true
    }

    /// What tells how much was left out since the last packet, if anything was.
    fn left_out(&mut self) -> Option<Vec<u8>> {
        let lost = std::mem::take(&mut self.lost);
        let told = format!("\r\n[sublet: {lost} bytes are left out here]\r\n");
        (lost > 0).then(|| [&[ERR], told.as_bytes()].concat())
    }

    fn send(&mut self, packet: Vec<u8>, since: Instant) -> bool {
        match fd::write(self.socket.as_fd(), &packet) {
            Ok(_) => true,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => {
                self.waiting = Some((packet, since));
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::control::ask;
    use crate::control::tests::{Scratch, connect};
    use crate::error::report;
    use crate::sys::fd::Patience;

    const IN_BACKGROUND: Option<Speech<'_>> = Some(Speech { input: None, terminal: false });

    fn clients(scratch: &Scratch) -> Clients {
        Clients::new(Some(Listener::make(scratch.1.as_fd()).unwrap()))
    }

    fn publish(port: &str) -> Request {
        Request::Publish(vec![port.to_owned()])
    }

    /// What has come by now; a launcher that hangs fails the test.
    fn answer(socket: &OwnedFd) -> Answer {
        let ready = fd::wait_readable([socket.as_fd()], Patience::None).unwrap();
        assert_eq!(ready, [true], "no answer");
        let mut packet = [0; 1024];
        let length = fd::read(socket.as_fd(), &mut packet).unwrap();
        serde_json::from_slice(&packet[..length]).unwrap()
    }

    #[test]
    fn a_question_and_its_answer() {
        let scratch = Scratch::new();
        let mut clients = clients(&scratch);
        // One says nothing, and one nonsense; both are there first.
        let silent = connect(scratch.1.as_fd()).unwrap();
        let strange = connect(scratch.1.as_fd()).unwrap();
        fd::write_all(strange.as_fd(), b"{}").unwrap();
        std::thread::scope(|scope| {
            let one = scope.spawn(|| ask(scratch.1.as_fd(), &publish("80"))?.unwrap().done());
            let other = scope.spawn(|| ask(scratch.1.as_fd(), &publish("81"))?.unwrap().done());
            let answered = RefCell::new(0);
            while *answered.borrow() < 2 {
                clients.attend(None, &mut |request, _| {
                    *answered.borrow_mut() += 1;
                    match *request == publish("80") {
                        true => Ok(Vec::new()),
                        false => Err(anyhow!("it is taken")).hint("take another"),
                    }
                });
            }
            assert_eq!(one.join().unwrap().unwrap(), Answer::Ports(Vec::new()));
            let refused = other.join().unwrap().unwrap_err();
            assert_eq!(report(&refused), "error: it is taken\n hint: take another");
        });
        assert!(matches!(answer(&strange), Answer::Refused { .. }));
        drop(silent);
    }

    #[test]
    fn who_says_nothing_holds_nobody_up() {
        let scratch = Scratch::new();
        let mut clients = clients(&scratch);
        let directory = scratch.1.as_fd();
        let silent: Vec<_> = (0..40).map(|_| connect(directory).unwrap()).collect();
        clients.attend(None, &mut |_, _| panic!("nobody has asked"));
        let gone = connect(directory).unwrap();
        fd::write_all(gone.as_fd(), br#"{"publish":[]}"#).unwrap();
        drop(gone);
        let asks = connect(directory).unwrap();
        fd::write_all(asks.as_fd(), br#"{"withdraw":[]}"#).unwrap();
        let asked = RefCell::new(Vec::new());
        clients.attend(None, &mut |request, _| {
            asked.borrow_mut().push(request.clone());
            Ok(Vec::new())
        });
        assert_eq!(*asked.borrow(), [Request::Withdraw(Vec::new())]);
        // The first were sent away.
        let is_over =
            |socket: &OwnedFd| fd::wait_readable([socket.as_fd()], Patience::None).unwrap()[0];
        assert!(is_over(&silent[0]) && !is_over(&silent[39]));
    }

    #[test]
    fn who_is_attached_hears_and_does_not_go() {
        let scratch = Scratch::new();
        let mut clients = clients(&scratch);
        let directory = scratch.1.as_fd();
        let attached = connect(directory).unwrap();
        fd::write_all(attached.as_fd(), b"\"attach\"").unwrap();
        let mut none = |_: &Request, _: BorrowedFd<'_>| panic!("no port was asked for");
        clients.attend(IN_BACKGROUND, &mut none);
        assert_eq!(answer(&attached), Answer::Attached { terminal: false });
        // Others come and say nothing: he is not one of them.
        let _silent: Vec<_> = (0..40).map(|_| connect(directory).unwrap()).collect();
        clients.attend(IN_BACKGROUND, &mut none);
        clients.tell(Stream::Err, b"said");
        clients.end(7, false);
        for told in [&b"esaid"[..], &[ENDED, 7]] {
            let mut packet = [0; 100];
            let length = fd::read(attached.as_fd(), &mut packet).unwrap();
            assert_eq!(&packet[..length], told);
        }
    }

    /// What is said while somebody else is waited for, or at the end, is for those
    /// who have not yet taken what was said before.
    #[test]
    fn who_is_slower_than_the_payload_hears_all() {
        let scratch = Scratch::new();
        let mut clients = clients(&scratch);
        let slow = connect(scratch.1.as_fd()).unwrap();
        fd::write_all(slow.as_fd(), b"\"attach\"").unwrap();
        clients.attend(IN_BACKGROUND, &mut |_, _| panic!("no port was asked for"));
        assert_eq!(answer(&slow), Answer::Attached { terminal: false });
        for number in 0..40 {
            clients.tell(Stream::Out, &[number; 16 << 10]);
        }
        assert!(clients.awaited().is_some(), "it was not too much for him");
        std::thread::scope(|scope| {
            scope.spawn(|| clients.end(7, false));
            let mut packet = [0; 32 << 10];
            for number in 0..40 {
                let length = fd::read(slow.as_fd(), &mut packet).unwrap();
                assert_eq!((length, packet[1], packet[length - 1]), (16385, number, number));
            }
            assert_eq!(fd::read(slow.as_fd(), &mut packet), Ok(2));
            assert_eq!(packet[..2], [ENDED, 7]);
        });
    }

    /// Also where he is gone before anybody has looked, and where that is
    /// noticed by what he does not take.
    #[test]
    fn who_says_that_he_leaves_has_left() {
        let mut none = |_: &Request, _: BorrowedFd<'_>| panic!("no port was asked for");
        for (said, looks, heard) in [
            (&b"\"leave\""[..], true, Heard::Left),
            (b"\"leave\"", false, Heard::Left),
            (b"", true, Heard::Lost),
            (b"", false, Heard::Lost),
        ] {
            let mut clients = Clients::new(None);
            let flags = nix::sys::socket::SockFlag::SOCK_NONBLOCK;
            let (family, kind) =
                (nix::sys::socket::AddressFamily::Unix, nix::sys::socket::SockType::SeqPacket);
            let (ours, his) = nix::sys::socket::socketpair(family, kind, None, flags).unwrap();
            clients.adopt(ours, true, Speech { input: None, terminal: false });
            if !said.is_empty() {
                fd::write_all(his.as_fd(), said).unwrap();
            }
            drop(his);
            match looks {
                true => clients.attend(IN_BACKGROUND, &mut none),
                false => clients.tell(Stream::Out, b"said"),
            }
            assert_eq!(clients.heard(), [heard], "{said:?} {looks}");
        }
    }

    #[test]
    fn nobody_is_attached_to_what_is_in_the_foreground() {
        let scratch = Scratch::new();
        let mut clients = clients(&scratch);
        let client = connect(scratch.1.as_fd()).unwrap();
        fd::write_all(client.as_fd(), b"\"attach\"").unwrap();
        clients.attend(None, &mut |_, _| panic!("no port was asked for"));
        let Answer::Refused { why, hint } = answer(&client) else { panic!("it is attached") };
        assert!(why.contains("foreground") && hint.unwrap().contains("run -d"), "{why}");
    }
}
