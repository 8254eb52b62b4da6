//! `sublet why`: how a container came to its end, as far as anybody can know.
//!
//! Only what was seen is told as a fact. What is concluded says so, and where
//! the kernel tells nobody, that is told too.

use nix::libc;
use serde::Serialize;

use super::time::between;
use crate::monitor::{UNWELL, mebibytes};
use crate::spec::ContainerId;
use crate::spec::background::Restart;
use crate::spec::signal::Signal;
use crate::state::{End, Exit, Failed, Life, Moment, Record, Request, Sender, Sent, Story};

/// What is told of a container.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Why {
    /// Its id.
    pub id: ContainerId,
    /// Its name, or nothing.
    pub name: String,
    /// Its status, in docker's word.
    pub status: &'static str,
    /// What it ended with; null where it did not, or nobody knows.
    pub exit_code: Option<u8>,
    /// The signal that ended it.
    pub signal: Option<String>,
    /// The cause in a word.
    pub reason: Reason,
    /// The story, a sentence each.
    pub story: Vec<String>,
    /// What would help, one thing each.
    pub hints: Vec<String>,
}

/// What brought it to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It runs.
    Running,
    /// It has not been started.
    Created,
    /// Its command was never executed.
    NotStarted,
    /// Its first process ended itself.
    Exited,
    /// A signal ended that.
    Signal,
    /// There was no more memory.
    OutOfMemory,
    /// Its time was over.
    TimedOut,
    /// A system call filter killed it.
    SystemCall,
    /// Its launcher was killed.
    SupervisorLost,
    /// The machine was started anew.
    Reboot,
}

/// Sentences and hints, as they come.
#[derive(Default)]
struct Told {
    story: Vec<String>,
    hints: Vec<String>,
}

impl Told {
    fn say(&mut self, sentence: impl Into<String>) {
        self.story.push(sentence.into());
    }

    /// That it was told to end because its health check failed, if it was.
    fn say_unwell(&mut self, story: &Story) {
        if let Some(action) = unwell(story) {
            self.say(format!(
                "Before, its health check failed, and --health-on-failure {action} had it end."
            ));
        }
    }

    fn advise(&mut self, hint: impl Into<String>) {
        self.hints.push(hint.into());
    }
}

/// The story of `record` as it is `now`, whose status is `status`.
pub fn why(record: &Record, status: &'static str, now: Moment) -> Why {
    let mut told = Told::default();
    let reason = match (&record.life, &record.failed) {
        (Life::Created { .. }, Some(failed)) => not_started(failed, now, &mut told),
        (Life::Created { launcher }, None) => {
            told.say(match launcher {
                Some(_) => "It is being started.",
                None => "It has not been started yet.",
            });
            Reason::Created
        }
        (Life::Running { started, payload, .. }, _) => {
            let time = between(*started, now);
            told.say(match status {
                "paused" => format!("It stands still: it was paused; started {time} ago."),
                _ => format!("It has been running for {time} as process {}.", payload.pid),
            });
            if status == "paused" {
                told.advise(format!("sublet unpause {} lets it go on", record.label()));
            }
            Reason::Running
        }
        (Life::Restarting { exit, .. }, _) => {
            told.say("It is about to be started again, as its --restart wants it.");
            ended(record, exit, now, &mut told)
        }
        (Life::Exited(exit), _) => ended(record, exit, now, &mut told),
    };
    let exit = match &record.life {
        Life::Restarting { exit, .. } | Life::Exited(exit) => Some(exit),
        _ => None,
    };
    let signal = exit.and_then(|exit| match exit.end {
        End::Signal(number) => Some(Signal(number).to_string()),
        _ => None,
    });
    let failed = record.failed.as_ref().filter(|_| reason == Reason::NotStarted);
    Why {
        id: record.id.clone(),
        name: record.name.as_ref().map_or_else(String::new, ToString::to_string),
        status,
        exit_code: exit.and_then(|exit| exit.end.code()).or(failed.map(|failed| failed.code)),
        signal,
        reason,
        story: told.story,
        hints: told.hints,
    }
}

fn not_started(failed: &Failed, now: Moment, told: &mut Told) -> Reason {
    let ago = between(failed.at, now);
    let meaning = match failed.code {
        126 => "126: the command is there but can't be executed",
        127 => "127: the command, or what it needs to be executed, was not found",
        125 => "125: sublet could not set it up",
        _ => "it was stopped before",
    };
    told.say(format!("It never ran: its start failed {ago} ago ({meaning})."));
    told.say(format!("{}.", failed.error));
    if let Some(hint) = &failed.hint {
        hint.lines().for_each(|line| told.advise(line));
    }
    Reason::NotStarted
}

fn ended(record: &Record, exit: &Exit, now: Moment, told: &mut Told) -> Reason {
    let lived = match exit.started {
        Some(started) => format!(" It had run for {}.", between(started, exit.finished)),
        None => String::new(),
    };
    let ago = format!("{} ago", between(exit.finished, now));
    let story = &exit.story;
    let reason = match exit.end {
        End::SupervisorLost => {
            told.say(format!(
                "Its launcher was killed, and it with it; that was found {ago}. Its own exit code \
                 is not known."
            ));
            told.say(
                "The kernel says to nobody who kills: a kill -9, a service manager that stops what \
                 it has started, or want of memory.",
            );
            told.advise("journalctl --user and dmesg (as root) may tell who it was");
            return Reason::SupervisorLost;
        }
        End::Reboot => {
            told.say(format!(
                "The machine was started anew while it ran; that was found {ago}. Its exit code is \
                 not known."
            ));
            return Reason::Reboot;
        }
        End::Code(code) if story.timed_out => {
            told.say(format!("Its time (--timeout) was over {ago}, hence {code}.{lived}"));
            told.advise("give it more: --timeout, or none with --timeout 0");
            told.say_unwell(story);
            Reason::TimedOut
        }
        End::Code(code) => {
            told.say(format!("It ended by itself with the code {code}, {ago}.{lived}"));
            told.say(meaning(code));
            told.say_unwell(story);
            if let Some(sent) = &story.sent {
                let signal = Signal(sent.signal);
                told.say(format!("Before, it was sent {signal} by {}.", who(sent, record)));
            }
            Reason::Exited
        }
        End::Signal(number) => {
            let (signal, code) = (Signal(number), exit.end.code().unwrap_or(0));
            told.say(format!("{signal} ended it {ago}, hence {code}.{lived}"));
            told.say_unwell(story);
            killed(record, exit, number, told)
        }
    };
    if let Some(refused) = story.pids_refused.filter(|refused| *refused > 0) {
        told.say(format!(
            "{} it could make no further process or thread, because it had as many as it may.",
            times(refused)
        ));
        told.advise("allow more processes: --pids-limit");
    }
    if reason != Reason::OutOfMemory
        && let Some(kills @ 1..) = exit.usage.oom_kills
    {
        let processes = if kills == 1 { "process" } else { "processes" };
        told.say(format!("{kills} {processes} of it had been killed for want of memory."));
        told.advise("give it more memory: --memory");
    }
    let happened = story.happened.iter().filter(|line| !line.starts_with(UNWELL));
    happened.for_each(|line| told.say(format!("While it ran: {line}.")));
    restarts(record, told);
    reason
}

/// How often it has been started again, and whether it may be once more.
fn restarts(record: &Record, told: &mut Told) {
    let (restart, count) = (record.upkeep.restart, record.upkeep.restarts);
    if count == 0 {
        return;
    }
    let often = match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    };
    let rest = match restart {
        Restart::OnFailure(Some(most)) if count >= most => {
            format!(", and --restart on-failure:{most} allows no more")
        }
        _ => String::new(),
    };
    told.say(format!("It had been started again {often} before{rest}."));
}

/// What was done because its health check failed, if anything was.
fn unwell(story: &Story) -> Option<&str> {
    story.happened.iter().find_map(|line| line.strip_prefix(UNWELL))
}

fn times(count: u64) -> String {
    if count == 1 { "Once".to_owned() } else { format!("{count} times") }
}

/// Why a signal ended it.
fn killed(record: &Record, exit: &Exit, number: i32, told: &mut Told) -> Reason {
    let Story { sent, system_call, filter, machine_oom_kills, .. } = &exit.story;
    let usage = &exit.usage;
    if usage.oom_killed {
        let most = usage
            .memory_limit
            .map_or("it had no limit".to_owned(), |limit| format!("limit {}", mebibytes(limit)));
        let peak = usage.memory_peak.map(|peak| format!(", peak {}", mebibytes(peak)));
        let count = usage.oom_kills.unwrap_or(1);
        let processes = if count == 1 { "process" } else { "processes" };
        let victim = usage.oom_process.as_ref().map(|name| format!(", the first called {name}"));
        told.say(format!(
            "Memory ran out ({most}{}), and the kernel killed {count} {processes}{}.",
            peak.unwrap_or_default(),
            victim.unwrap_or_default()
        ));
        match usage.memory_limit {
            Some(_) => told.advise("give it more memory: --memory, or sublet update while it runs"),
            None => told.advise("it was the machine's memory: a limit (--memory) would name it"),
        }
        return Reason::OutOfMemory;
    }
    if number == libc::SIGSYS {
        return filtered(system_call.as_deref(), filter.as_deref(), told);
    }
    if let Some(sent) = sent.as_ref().filter(|sent| sent.signal == number) {
        told.say(format!("It was sent by {}.", who(sent, record)));
        return Reason::Signal;
    }
    if let Some(request) = record.request.as_ref().filter(|request| request.signal == number) {
        told.say(format!("sublet {} sent it{}.", request.verb, after(request)));
        return Reason::Signal;
    }
    let stops = record.upkeep.stop_signal.unwrap_or(libc::SIGTERM);
    if unwell(&exit.story).is_some() && [libc::SIGKILL, stops].contains(&number) {
        return Reason::Signal;
    }
    if number == libc::SIGKILL {
        // A group of its own counts whoever of it is killed, for whatever's want.
        let oom_kills = usage.oom_kills.or(*machine_oom_kills);
        match oom_kills {
            Some(kills @ 1..) => told.say(format!(
                "While it ran the kernel killed {kills} {} around it for want of memory; it is likely \
                 to be one of them.",
                if kills == 1 { "process" } else { "processes" }
            )),
            Some(0) => told.say(
                "No command of sublet's sent it and memory did not run out, so it was sent from \
                 outside of the container: a kill -9 of yours or of root's, or a daemon that \
                 frees memory (systemd-oomd, earlyoom). The kernel says to nobody who it was.",
            ),
            None => told.say(
                "No command of sublet's sent it, so it was sent from outside of the container, or \
                 by the kernel for want of memory, which can't be seen here.",
            ),
        }
        return Reason::Signal;
    }
    let (meaning, hint) = fault(number);
    told.say(meaning);
    if !hint.is_empty() {
        told.advise(hint);
    }
    Reason::Signal
}

fn filtered(call: Option<&str>, filter: Option<&str>, told: &mut Told) -> Reason {
    match call {
        Some(call) => told.say(format!("A system call filter killed it when it called {call}.")),
        None => {
            told.say(
                "A system call filter killed it. Which call it was, the kernel writes into its \
                 log only, which is root's to read.",
            );
            told.advise("as root: dmesg | grep type=1326 shows the number of the call");
        }
    }
    match filter {
        Some("default" | "unconfined") => told.say(
            "It was a filter of the program's own: that of sublet refuses with an error, and never \
             kills.",
        ),
        Some(file) => {
            told.say(format!("It ran with the profile {file}, or has loaded a filter of its own."));
            told.advise(
                "SCMP_ACT_ERRNO in the profile has the call fail instead, SCMP_ACT_LOG only noted",
            );
        }
        None => {}
    }
    Reason::SystemCall
}

/// Who has sent a signal, in words.
fn who(sent: &Sent, record: &Record) -> String {
    match &sent.by {
        Sender::Kernel => match sent.signal {
            libc::SIGINT => "the terminal: ctrl-C".to_owned(),
            libc::SIGQUIT => "the terminal: ctrl-\\".to_owned(),
            libc::SIGHUP => "the kernel, as the terminal was closed".to_owned(),
            _ => "the kernel".to_owned(),
        },
        Sender::Process { pid, uid, program } => {
            // It may have been gone when it was looked for; and it may have sent
            // another signal since, as stop does to what does not end in time.
            let is_ours = |request: &&Request| {
                let same = *pid != 0 && u32::try_from(*pid) == Ok(request.pid);
                let called_so = program.as_deref() == Some("sublet");
                same || (called_so && request.signal == sent.signal)
            };
            if let Some(request) = record.request.as_ref().filter(is_ours) {
                return format!("sublet {} (process {pid}, uid {uid})", request.verb);
            }
            match (program, *pid) {
                (_, 0) => format!("a process of another pid namespace (uid {uid})"),
                (Some(program), pid) => format!("{program} (process {pid}, uid {uid})"),
                (None, pid) => format!("process {pid} (uid {uid}), which is gone"),
            }
        }
    }
}

/// What a request of ours was for.
fn after(request: &Request) -> &'static str {
    match request.verb.as_str() {
        "stop" => ", for it had not ended in the time that it was given",
        "rm" => ", because of -f",
        "run" => ", because of --replace",
        _ => "",
    }
}

/// What a code is by custom.
fn meaning(code: u8) -> String {
    let shells = |number: u8| {
        let signal = Signal(i32::from(number));
        format!(
            "{code} is 128 and {number}: so shells, and sublet's --init, say that {signal} ended a \
             command of theirs."
        )
    };
    match code {
        0 => "0 is success.".to_owned(),
        125 => "125 is what tools such as sublet, docker and timeout say where they themselves \
                fail: one of those may have run inside."
            .to_owned(),
        126 => "126 is what shells say of a command that can't be executed.".to_owned(),
        127 => "127 is what shells say of a command that is not found.".to_owned(),
        129..=192 => shells(code - 128),
        255 => "255 is what exit(-1) comes to.".to_owned(),
        _ => "What the code means is the command's own; what it printed may say it.".to_owned(),
    }
}

/// What a signal means that nobody has sent through us, and what would help.
fn fault(number: i32) -> (String, &'static str) {
    let (meaning, hint) = match number {
        libc::SIGSEGV => ("it used memory that is not its own: a fault of the program", ""),
        libc::SIGABRT => {
            ("it gave up by abort(3): a fault that it found itself", "its last output says which")
        }
        libc::SIGBUS => (
            "it used memory that nothing is behind: a file was cut off, or /dev/shm is full",
            "a larger /dev/shm: --shm-size",
        ),
        libc::SIGILL => (
            "it has an instruction that this processor does not know",
            "a build for an older processor",
        ),
        libc::SIGFPE => ("it divided by zero or the like", ""),
        libc::SIGPIPE => ("it wrote into a pipe that nobody read any more", ""),
        libc::SIGXCPU => ("its limit of processor time was reached", "--ulimit cpu"),
        libc::SIGXFSZ => ("its limit on the size of files was reached", "--ulimit fsize"),
        libc::SIGTRAP => ("a trap of a debugger's, without a debugger", ""),
        _ => {
            return (
                "Who sent it was not seen: it did not go through the launcher, so a process sent \
                 it that sees the container's own."
                    .to_owned(),
                "",
            );
        }
    };
    let mut letters = meaning.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    (first.into_iter().chain(letters).chain(['.']).collect(), hint)
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{ended, record};
    use super::*;

    const NOW: Moment = Moment(180_000_000_000);

    fn told(record: &Record) -> (Reason, String, String) {
        let why = why(record, record.life.status(), NOW);
        (why.reason, why.story.join(" "), why.hints.join("; "))
    }

    /// One that ended so, after `change` was made to what was seen.
    fn over(end: End, change: impl FnOnce(&mut Exit)) -> Record {
        let mut record = ended(record(1, Some("web")), end);
        let Life::Exited(exit) = &mut record.life else { unreachable!() };
        change(exit);
        record
    }

    #[test]
    fn codes_have_a_meaning() {
        for (code, word) in [
            (0, "0 is success"),
            (3, "the command's own"),
            (125, "one of those may have run inside"),
            (126, "can't be executed"),
            (127, "is not found"),
            (137, "128 and 9: so shells, and sublet's --init, say that SIGKILL"),
            (139, "SIGSEGV"),
            (255, "exit(-1)"),
        ] {
            let (reason, story, _) = told(&over(End::Code(code), |_| {}));
            assert_eq!(reason, Reason::Exited);
            let began =
                format!("It ended by itself with the code {code}, 2 minutes ago. It had run for");
            assert!(story.starts_with(&began) && story.contains(word), "{story}");
        }
    }

    #[test]
    fn a_signal_has_a_sender_if_it_was_seen() {
        let by = |program: Option<&str>| Sender::Process {
            pid: 77,
            uid: 1001,
            program: program.map(str::to_owned),
        };
        let sent = |signal, by| {
            over(End::Signal(signal), |exit| {
                exit.story.sent = Some(Sent { signal, by });
            })
        };
        for (record, word) in [
            (sent(15, by(Some("kill"))), "It was sent by kill (process 77, uid 1001)"),
            (sent(15, by(None)), "process 77 (uid 1001), which is gone"),
            (sent(2, Sender::Kernel), "ctrl-C"),
            (over(End::Signal(9), |_| {}), "or by the kernel for want of memory"),
            (
                over(End::Signal(9), |exit| exit.story.machine_oom_kills = Some(0)),
                "memory did not run out, so it was sent from outside of the container",
            ),
            (over(End::Signal(11), |_| {}), "It used memory that is not its own"),
            (over(End::Signal(15), |_| {}), "Who sent it was not seen"),
            (
                over(End::Signal(9), |exit| exit.story.machine_oom_kills = Some(2)),
                "killed 2 processes around it",
            ),
            // Others', by what its own group says.
            (
                over(End::Signal(9), |exit| {
                    exit.story.machine_oom_kills = Some(2);
                    exit.usage.oom_kills = Some(0);
                }),
                "sent from outside of the container: a kill -9",
            ),
        ] {
            let (reason, story, _) = told(&record);
            assert_eq!(reason, Reason::Signal);
            assert!(story.contains(word), "{word}: {story}");
        }
        // Who asks through us has said so.
        let mut stopped = sent(15, by(Some("sublet")));
        let request = |signal, verb: &str| {
            Some(Request { at: Moment(0), verb: verb.to_owned(), signal, pid: 77 })
        };
        stopped.request = request(15, "stop");
        assert!(told(&stopped).1.contains("sent by sublet stop (process 77"));
        let mut gone = sent(15, by(None));
        gone.request = request(15, "kill");
        assert!(told(&gone).1.contains("sent by sublet kill (process 77"));
        gone.request = request(9, "stop");
        assert!(told(&gone).1.contains("sent by sublet stop (process 77"), "and it kills next");
        gone.request.as_mut().unwrap().pid = 78;
        assert!(told(&gone).1.contains("process 77 (uid 1001), which is gone"));
        let mut killed = over(End::Signal(9), |_| {});
        killed.request = request(9, "stop");
        assert!(told(&killed).1.contains("sublet stop sent it, for it had not ended"));
        killed.request = request(15, "stop");
        assert!(told(&killed).1.contains("outside of the container"), "another signal");
    }

    #[test]
    fn a_health_check_that_had_it_ended_is_the_cause() {
        let unwell = |end, action: &str| {
            over(end, |exit| exit.story.happened = vec![format!("{UNWELL}{action}")])
        };
        for (end, action) in [
            (End::Signal(9), "kill"),
            (End::Signal(15), "stop"),
            (End::Signal(9), "stop"),
            (End::Code(0), "stop"),
        ] {
            let (_, story, _) = told(&unwell(end, action));
            let cause = format!("its health check failed, and --health-on-failure {action} had");
            assert!(story.contains(&cause), "{story}");
            for word in ["outside of the container", "was not seen", "While it ran"] {
                assert!(!story.contains(word), "{word}: {story}");
            }
        }
        // A fault on its way to the end stays one.
        let (_, story, _) = told(&unwell(End::Signal(11), "stop"));
        assert!(story.contains("health check failed") && story.contains("not its own"), "{story}");
    }

    #[test]
    fn starts_that_are_used_up_are_told() {
        let mut gave_up = over(End::Code(1), |_| {});
        gave_up.upkeep.restart = Restart::OnFailure(Some(2));
        assert!(!told(&gave_up).1.contains("started again"));
        gave_up.upkeep.restarts = 2;
        let used_up = "It had been started again twice before, and --restart on-failure:2 allows \
                       no more.";
        assert!(told(&gave_up).1.ends_with(used_up), "{}", told(&gave_up).1);
        gave_up.upkeep.restart = Restart::Always;
        assert!(told(&gave_up).1.ends_with("started again twice before."));
    }

    #[test]
    fn want_of_memory_and_of_processes_is_told_with_figures() {
        let record = over(End::Signal(9), |exit| {
            let usage = &mut exit.usage;
            (usage.oom_killed, usage.oom_kills) = (true, Some(2));
            (usage.memory_limit, usage.memory_peak) = (Some(64 << 20), Some(64 << 20));
            usage.oom_process = Some("dd".to_owned());
            exit.story.pids_refused = Some(3);
        });
        let (reason, story, hints) = told(&record);
        assert_eq!(reason, Reason::OutOfMemory);
        let figures = "(limit 64 MiB, peak 64 MiB), and the kernel killed 2 processes, the first \
                       called dd.";
        assert!(story.contains(figures) && story.contains("3 times it could make no"), "{story}");
        assert!(hints.contains("--memory") && hints.contains("--pids-limit"), "{hints}");
    }

    #[test]
    fn a_filter_is_named_and_its_call_where_that_is_known() {
        let filtered = |call: Option<&str>, filter: &str| {
            told(&over(End::Signal(31), |exit| {
                exit.story.system_call = call.map(str::to_owned);
                exit.story.filter = Some(filter.to_owned());
            }))
        };
        let (reason, story, hints) = filtered(Some("mount"), "/etc/strict.json");
        assert_eq!(reason, Reason::SystemCall);
        assert!(story.contains("when it called mount.") && story.contains("/etc/strict.json"));
        assert!(hints.contains("SCMP_ACT_ERRNO"), "{hints}");
        let (_, story, hints) = filtered(None, "default");
        assert!(story.contains("a filter of the program's own"), "{story}");
        assert!(hints.contains("dmesg"), "{hints}");
    }

    #[test]
    fn what_never_ran_and_what_is_lost() {
        let mut failed = record(1, Some("web"));
        failed.life = Life::Created { launcher: None };
        assert_eq!(told(&failed).0, Reason::Created);
        failed.failed = Some(Failed {
            at: Moment(0),
            code: 127,
            error: "execute \"x\": no such file or directory".to_owned(),
            hint: Some("look\nagain".to_owned()),
        });
        let (reason, story, hints) = told(&failed);
        assert_eq!((reason, hints.as_str()), (Reason::NotStarted, "look; again"));
        assert!(story.contains("never ran: its start failed 3 minutes ago (127"), "{story}");
        let lost = told(&over(End::SupervisorLost, |_| {}));
        assert_eq!(lost.0, Reason::SupervisorLost);
        assert_eq!(told(&over(End::Reboot, |_| {})).0, Reason::Reboot);
        let late = told(&over(End::Code(255), |exit| exit.story.timed_out = true));
        assert_eq!(late.0, Reason::TimedOut);
        assert!(late.1.contains("--timeout"), "{}", late.1);
        let helper = told(&over(End::Code(1), |exit| {
            exit.story.happened = vec!["pasta has ended again".to_owned()];
        }));
        assert!(helper.1.ends_with("While it ran: pasta has ended again."), "{}", helper.1);
    }
}
