//! A call that is under way.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::call::{CALL, CALL_OFF, Call, JOB_REMOVED, MANAGER, Over};
use super::connection::Connection;
use super::failure::{Failure, explain};
use super::wire::{Kind, Message};

/// The most ends of jobs of our unit that are kept until we know which is
/// ours: it is one, or two where the name was in use a moment ago.
const MOST_ENDS: usize = 16;

/// How many times as long a manager may take for a job that it has taken on: it
/// has shown that it lives, and has others to do where many start at once.
const JOBS: u32 = 5;

/// How long a manager that has answered may take to call a job off, and one that
/// has said nothing so far.
const LAST: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(1)];

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The manager has not said yet that it is done.
    Waiting,
    /// It is done, the processes are where they should be.
    Done,
}

/// A call that the manager is to answer, or a job that it is to do. Dropped,
/// nobody waits for it any more; the manager goes on all the same, unless it is
/// [called off](Self::call_off).
///
/// To be polled: while [`interest`](Self::interest) is met at its descriptor,
/// or the [`deadline`](Self::deadline) has come, call
/// [`proceed`](Self::proceed).
#[derive(Debug)]
pub struct Job {
    connection: Connection,
    call: Call,
    unit: String,
    task: String,
    answer: Option<Answer>,
    /// The manager has said no: the unit, if there is one, is not ours.
    is_refused: bool,
    ends: Vec<End>,
}

/// The answer to the call.
#[derive(Debug)]
struct Answer {
    /// Who gave it: the same will tell the job's end, and nobody else can.
    sender: Option<String>,
    /// The job, where one was made.
    job: Option<String>,
}

/// The end of a job of our unit.
#[derive(Debug)]
struct End {
    sender: Option<String>,
    job: String,
    result: String,
}

impl Job {
    pub(super) fn over(connection: Connection, call: Call, unit: &str, task: String) -> Self {
        let (unit, is_refused) = (unit.to_owned(), false);
        Self { connection, call, unit, task, answer: None, is_refused, ends: Vec::new() }
    }

    /// When it is given up.
    pub fn deadline(&self) -> Instant {
        self.connection.deadline()
    }

    /// What to poll for.
    pub fn interest(&self) -> PollFlags {
        self.connection.interest()
    }

    /// Writes and reads what can be without waiting.
    ///
    /// # Errors
    /// What the manager says, how the job ended, or that the deadline has
    /// come; a [`Failure`] is in the chain.
    pub fn proceed(&mut self) -> anyhow::Result<Progress> {
        self.step().map_err(|failure| explain(failure, self.task.clone(), &self.unit))
    }

    /// Waits until it is done, or the deadline has come.
    ///
    /// # Errors
    /// As [`proceed`](Self::proceed).
    pub fn wait(mut self) -> anyhow::Result<()> {
        while self.proceed()? == Progress::Waiting {
            let waited = self.connection.wait();
            waited.map_err(|failure| explain(failure, self.task.clone(), &self.unit))?;
        }
        Ok(())
    }

    /// Has the manager stop the unit that it was asked to start, if it comes to
    /// that. A job that waits for another unit's would stay for as long as that
    /// takes.
    ///
    /// Waits until the manager has answered, but no longer than [`LAST`]:
    /// systemd reads no more from whom it can't write to, and to each of its
    /// clients it writes of all units.
    pub fn call_off(mut self) {
        let [of_who_answers, of_the_silent] = LAST;
        let patience = if self.answer.is_some() { of_who_answers } else { of_the_silent };
        if !self.is_refused
            && let Ok(message) = Call::off(&self.unit)
            && self.connection.say_last(message, patience)
        {
            while let Ok(false) = self.is_called_off() {
                if self.connection.wait().is_err() {
                    return;
                }
            }
        }
    }

    fn is_called_off(&mut self) -> Result<bool, Failure> {
        let end = self.connection.exchange()?;
        while let Some(message) = self.connection.next()? {
            if message.answers == Some(CALL_OFF) {
                return Ok(true);
            }
        }
        self.connection.may_wait(end, "the answer").map(|()| false)
    }

    fn step(&mut self) -> Result<Progress, Failure> {
        let end = self.connection.exchange()?;
        while let Some(message) = self.connection.next()? {
            self.hear(&message)?;
        }
        match self.progress()? {
            Progress::Done => Ok(Progress::Done),
            Progress::Waiting => {
                let waiting_for = match &self.answer {
                    None => "the answer",
                    Some(_) => "the end of its job",
                };
                self.connection.may_wait(end, waiting_for)?;
                Ok(Progress::Waiting)
            }
        }
    }

    /// What is neither an answer to us nor the end of a job of our unit is
    /// none of our business.
    fn hear(&mut self, message: &Message) -> Result<(), Failure> {
        match (message.kind, message.answers) {
            (Kind::Error, Some(serial)) => match self.call.method(serial) {
                Some(method) => {
                    self.is_refused = true;
                    Err(Failure::refused(method, message, &self.call.properties))
                }
                None => Ok(()),
            },
            (Kind::Return, Some(CALL)) if self.answer.is_none() => {
                let job = match self.call.over {
                    Over::Answered => None,
                    Over::JobRemoved => Some(message.path().map_err(Failure::broken)?),
                };
                if job.is_some() {
                    self.connection.bear(JOBS);
                }
                self.answer = Some(Answer { sender: message.sender.clone(), job });
                Ok(())
            }
            (Kind::Signal, _) if message.is_signal(MANAGER, JOB_REMOVED) => {
                self.hear_end(message);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// On a bus anybody may send such a signal, and any nonsense in it.
    fn hear_end(&mut self, message: &Message) {
        let Some((job, unit, result)) = message.job_removed() else { return };
        let believed = self.answer.as_ref().is_none_or(|answer| answer.sender == message.sender);
        if unit == self.unit && believed && self.ends.len() < MOST_ENDS {
            self.ends.push(End { sender: message.sender.clone(), job, result });
        }
    }

    fn progress(&self) -> Result<Progress, Failure> {
        let Some(answer) = &self.answer else { return Ok(Progress::Waiting) };
        let Some(job) = &answer.job else { return Ok(Progress::Done) };
        let ours = |end: &&End| end.job == *job && end.sender == answer.sender;
        match self.ends.iter().find(ours) {
            None => Ok(Progress::Waiting),
            Some(end) if end.result == "done" => Ok(Progress::Done),
            Some(end) => Err(Failure::not_done(&end.result)),
        }
    }
}

impl AsFd for Job {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}
