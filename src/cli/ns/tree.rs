//! The picture as a tree of lines.

use super::{of, shortened};
use crate::cli::columns::{plain, wrapped};
use crate::cli::paper::Paper;
use crate::container::ns::{Inner, KINDS, Kind, Limits, Member, Picture, Share};
use crate::monitor::mebibytes;

/// The strokes that it is drawn with.
struct Strokes {
    branch: &'static str,
    last: &'static str,
    beside: &'static str,
    gap: &'static str,
    dots: &'static str,
}

const LINES: Strokes =
    Strokes { branch: "├─ ", last: "└─ ", beside: "│  ", gap: "   ", dots: "…" };
const ASCII: Strokes =
    Strokes { branch: "|- ", last: "`- ", beside: "|  ", gap: "   ", dots: "..." };

/// The host above, its containers below it, and what is shared at the end.
pub fn tree(picture: &Picture, paper: Paper) -> String {
    let strokes = if paper.is_unicode() { LINES } else { ASCII };
    let known = |kind: &Kind| Some(format!("{} {}", kind.name(), picture.host.get(*kind)?));
    let host: Vec<String> = KINDS.iter().filter_map(known).collect();
    let mut text = format!("{}\n", paper.strong("host"));
    let beside = if picture.members.is_empty() { strokes.gap } else { strokes.beside };
    text.push_str(&rows(&host.join(", "), paper, beside, "", true));
    if picture.members.is_empty() {
        return text + "no container runs\n";
    }
    for (at, member) in picture.members.iter().enumerate() {
        let last = at + 1 == picture.members.len();
        let (stroke, beside) =
            if last { (strokes.last, strokes.gap) } else { (strokes.branch, strokes.beside) };
        text.push_str(&one(picture, member, paper, &strokes, (stroke, beside)));
    }
    let groups = picture.groups();
    if !groups.is_empty() {
        text.push('\n');
    }
    for (at, (kind, number, members)) in groups.iter().enumerate() {
        let mark = paper.marked(at, &format!("#{} {}", at + 1, kind.name()));
        let labels: Vec<&str> =
            members.iter().map(|member| picture.members[*member].label.as_str()).collect();
        text.push_str(&format!("{mark} {number}: {}\n", labels.join(", ")));
    }
    text
}

fn one(
    picture: &Picture,
    member: &Member,
    paper: Paper,
    strokes: &Strokes,
    (stroke, beside): (&str, &str),
) -> String {
    let id = member.id.as_ref().map_or("without a record", |id| &id[..id.len().min(12)]);
    let room = paper.width().saturating_sub(stroke.chars().count() + 4);
    let used = member.label.chars().count() + id.chars().count();
    let command = shortened(&plain(&member.command), room.saturating_sub(used), strokes.dots);
    let mut text =
        format!("{stroke}{}  {}  {command}\n", paper.strong(&member.label), paper.faint(id));
    let mut line = |title: &str, content: &str| {
        if !content.is_empty() {
            text.push_str(&rows(content, paper, beside, title, false));
        }
    };
    let processes = if member.processes == 1 { "process" } else { "processes" };
    line("first", &format!("process {}, {} {processes}", member.pid, member.processes));
    let names = |wanted: Share| {
        let has = |kind: &&Kind| picture.share(member, **kind) == wanted;
        KINDS.iter().filter(has).map(|kind| kind.name()).collect::<Vec<_>>().join(" ")
    };
    line("own", &names(Share::Own));
    let shared = |kind: &Kind| match picture.share(member, *kind) {
        Share::Group(group) => {
            Some(paper.marked(group, &format!("{} #{}", kind.name(), group + 1)))
        }
        _ => None,
    };
    line("shared", &KINDS.iter().filter_map(shared).collect::<Vec<_>>().join(" "));
    line("host's", &paper.host(&names(Share::Host)));
    line("not seen", &names(Share::Hidden));
    if let Some(cgroup) = &member.cgroup {
        let path = cgroup.display().to_string();
        let room = paper.width().saturating_sub(beside.chars().count() + TITLE);
        line("group", &shortened(&plain(&path), room, strokes.dots));
    }
    line("limits", &limits(&member.limits));
    for Inner { number, depth, processes } in &member.inner {
        let plural = if *processes == 1 { "process" } else { "processes" };
        let level = if *depth == 1 { String::new() } else { format!(", {depth} deep") };
        line("inside", &format!("user {number}, {processes} {plural}{level}"));
    }
    text
}

/// The column of titles.
const TITLE: usize = 10;

/// A line with a title, gone on with below where it is too long.
fn rows(content: &str, paper: Paper, beside: &str, title: &str, whole: bool) -> String {
    let (first, others) = match whole {
        true => (beside.to_owned(), beside.to_owned()),
        false => (format!("{beside}{title:<TITLE$}"), format!("{beside}{:TITLE$}", "")),
    };
    wrapped(content, paper.width(), &first, &others)
}

/// What it has of what it may have; nothing where nothing is limited.
fn limits(limits: &Limits) -> String {
    let Limits { memory, memory_limit, pids, pids_limit, cpus } = *limits;
    let mut words = Vec::new();
    if memory_limit.is_some() {
        words.extend(
            of(memory.map(mebibytes), memory_limit.map(mebibytes))
                .map(|it| format!("memory {it},")),
        );
    }
    if pids_limit.is_some() {
        let text = |count: u64| count.to_string();
        words.extend(of(pids.map(text), pids_limit.map(text)).map(|it| format!("processes {it},")));
    }
    words.extend(cpus.map(|cpus| format!("CPUs {cpus},")));
    words.join(" ").trim_end_matches(',').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::ns::tests::picture;

    #[test]
    fn three_containers() {
        let text = tree(&picture(), Paper::plain(60));
        let expected = "\
host
│  user 100, pid 101, mnt 102, uts 103, ipc 104, net 105,
│  cgroup 106, time 107
├─ web  000000000000  sh -c 'sleep 600'
│  first     process 1, 3 processes
│  own       user pid mnt uts ipc cgroup
│  shared    net #1
│  host's    time
│  group     /sys/fs/cgroup/user.slice/sublet-1.scope
│  limits    memory 16 MiB of 64 MiB, processes 3 of 50,
│            CPUs 0.5
│  inside    user 9, 2 processes
├─ db  000000000000  sh -c 'sleep 600'
│  first     process 2, 3 processes
│  own       user pid mnt uts ipc cgroup
│  shared    net #1
│  host's    time
└─ job  000000000000  sh -c 'sleep 600'
   first     process 3, 3 processes
   own       user pid mnt uts ipc cgroup
   host's    net time

#1 net 777: web, db
";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_line_is_longer_than_the_paper_and_ascii_is_enough() {
        let mut picture = picture();
        picture.members[1].command = "\u{1b}[2J".repeat(100);
        let text = tree(&picture, Paper::ascii(40));
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.is_ascii() && text.contains("`- job") && !text.contains('\u{1b}'), "{text}");
        assert!(tree(&Picture::default(), Paper::plain(40)).ends_with("no container runs\n"));
    }
}
