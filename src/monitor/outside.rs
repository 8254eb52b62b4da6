//! What comes from outside of the container beside signals: clients of its
//! published ports, and what other commands ask for.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use nix::poll::{PollFd, PollFlags};

use super::clients::{Clients, Heard, Speech};
use crate::control::Request;
use crate::error::{Explain, causes};
use crate::network::forward::Published;
use crate::spec::port::{self, Port};
use crate::state::PublishedPort;
use crate::sys::fd;

/// How it is served.
pub struct Outside<'a> {
    /// The ports.
    pub published: Published,
    /// Those who ask, if others can.
    pub clients: Option<Clients>,
    /// Tells others which ports there are by now.
    pub changed: &'a dyn Fn(Vec<PublishedPort>),
    /// Who has started it and stays with it, before it is known how the payload
    /// is spoken to.
    pub caller: Option<Caller>,
    /// Tells others that he has left it to itself.
    pub left: &'a dyn Fn(),
}

/// Who has started a container, and stays with it by a process of his own.
#[derive(Debug)]
pub struct Caller {
    /// Our end of the line to that.
    pub line: OwnedFd,
    /// Whether the container ends with it.
    pub ends: bool,
}

/// As many as one answer can tell of.
const MOST: usize = 1000;

impl Outside<'_> {
    /// Lets the caller hear what the payload says from its first word on.
    pub(super) fn begin(&mut self, speech: Option<Speech<'_>>) {
        if let (Some(Caller { line, ends }), Some(speech)) = (self.caller.take(), speech) {
            self.clients.get_or_insert_with(|| Clients::new(None)).adopt(line, ends, speech);
        }
    }

    /// What the caller has said.
    pub(super) fn heard(&mut self) -> Vec<Heard> {
        self.clients.as_mut().map(Clients::heard).unwrap_or_default()
    }

    /// Lets the caller go.
    pub(super) fn let_go(&mut self) {
        (self.left)();
        if let Some(clients) = &mut self.clients {
            clients.let_go();
        }
    }

    /// Tells the caller that a signal of his has stopped the payload.
    pub(super) fn tell_stopped(&mut self) {
        if let Some(clients) = &mut self.clients {
            clients.tell_stopped();
        }
    }

    /// Tells the caller what he is to hear from us.
    pub(super) fn note(&mut self, text: &str) {
        if let Some(clients) = &mut self.clients {
            clients.note(text);
        }
    }

    /// What has to be waited for before it is [`attend`](Self::attend)ed to.
    pub(super) fn interests(&self) -> impl Iterator<Item = PollFd<'_>> {
        let forwarder = self.published.pidfd().map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        forwarder.into_iter().chain(self.clients.iter().flat_map(Clients::interests))
    }

    /// Until when somebody who is attached is waited for.
    pub(super) fn awaited(&self) -> Option<Instant> {
        self.clients.as_ref().and_then(Clients::awaited)
    }

    /// Does what there is to do by now: what the user should hear at the end.
    /// `speech` is for those who attach themselves.
    pub(super) fn attend(&mut self, speech: Option<Speech<'_>>) -> Option<String> {
        let mut told = None;
        let ended = |fd| fd::wait_readable([fd], fd::Patience::None) == Ok([true]);
        if self.published.pidfd().is_some_and(ended) {
            if let Err(error) = self.published.replace() {
                told = Some(format!("published ports were closed: {}", causes(&error)));
            }
            (self.changed)(self.published.list());
        }
        let Self { published, clients, changed, .. } = self;
        if let Some(clients) = clients {
            clients.attend(speech, &mut |request, client| {
                let answer = serve(published, request, client);
                changed(published.list());
                answer
            });
        }
        told
    }
}

fn serve(
    published: &mut Published,
    request: &Request,
    client: BorrowedFd<'_>,
) -> anyhow::Result<Vec<PublishedPort>> {
    match request {
        Request::Publish(ports) => published.add(&read(ports)?),
        Request::Withdraw(ports) => published.withdraw(&read(ports)?, client),
        Request::Attach | Request::Signal(_) | Request::Leave => {
            bail!("that is nothing about ports")
        }
    }
}

fn read(words: &[String]) -> anyhow::Result<Vec<Port>> {
    let mut ports = Vec::new();
    for word in words {
        ports.extend(port::publish(word).with_context(|| word.clone())?);
        ensure_few(ports.len())?;
    }
    port::check(&ports)?;
    Ok(ports)
}

fn ensure_few(count: usize) -> anyhow::Result<()> {
    let few = || {
        ensure!(count <= MOST, "more than {MOST} ports at once");
        Ok(())
    };
    few().hint("say it in parts, or at the start: sublet run -p")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::report;

    #[test]
    fn what_is_asked_for_is_looked_at() {
        let told = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            match read(&words) {
                Ok(ports) => format!("{} ports", ports.len()),
                Err(error) => report(&error),
            }
        };
        assert_eq!(told(&["8080:80", "1-3"]), "4 ports");
        assert!(told(&["8080:80", "8080:81"]).contains("twice"));
        assert!(told(&["x"]).contains("x: "), "{}", told(&["x"]));
        assert!(told(&["1-999", "2000-2001"]).contains("more than 1000"));
    }
}
