//! `sublet events`.

use serde_json::{Value, json};

use super::{HOSTILE, SLEEP, harmless};
use crate::common::*;

/// The next event of one who follows.
fn next(events: &mut Running) -> Value {
    serde_json::from_str(&events.line()).expect("JSON")
}

/// Insists on these, in this order; the last one.
#[track_caller]
fn follow(events: &mut Running, actions: &[&str]) -> Value {
    let told: Vec<Value> = actions.iter().map(|_| next(events)).collect();
    let words: Vec<_> = told.iter().map(|event| event["Action"].as_str().unwrap_or("")).collect();
    assert_eq!(words, actions, "{told:?}");
    told.into_iter().last().expect("an event")
}

/// Starts to follow; what is done from now on is seen.
fn listen(at: &At, words: &[&str]) -> Running {
    // What has been is told first: then it listens.
    at.run(&["--name", "before"]).arg("true").ok();
    let words = [&["events", "--since", "1h", "--format", "json"], words].concat();
    let mut events = at.sublet(&words).within(300.0).spawn();
    follow(&mut events, &["create", "start", "die"]);
    events
}

#[test]
fn the_life_of_a_container_is_followed() {
    requires!();
    let at = At::new();
    let mut events = listen(&at, &[]);
    let running = at.start("web", &["--label", "tier=front"], SLEEP);
    let start = follow(&mut events, &["create", "start"]);
    let id = json!(at.scratch.container("web"));
    assert_eq!(
        (&start["id"], &start["Actor"]["ID"], &start["Type"]),
        (&id, &id, &json!("container"))
    );
    let attributes = &start["Actor"]["Attributes"];
    assert_eq!((&attributes["name"], &attributes["tier"]), (&json!("web"), &json!("front")));
    at.sublet(&["rename", "web", "www"]).ok();
    let renamed = follow(&mut events, &["rename"]);
    assert_eq!(renamed["Actor"]["Attributes"]["oldName"], "web");
    at.sublet(&["stop", "www"]).ok();
    running.wait().exits(143);
    let kill = follow(&mut events, &["kill"]);
    assert_eq!(kill["Actor"]["Attributes"]["signal"], "15");
    let die = follow(&mut events, &["die"]);
    let attributes = &die["Actor"]["Attributes"];
    assert_eq!(
        (&attributes["exitCode"], &attributes["signal"]),
        (&json!("143"), &json!("SIGTERM"))
    );
    follow(&mut events, &["stop"]);
    at.sublet(&["rm", "www"]).ok();
    follow(&mut events, &["destroy"]);

    // One that leaves no record.
    let script = "echo ready; while ! [ -e /tmp/go ]; do sleep 0.05; done; exit 7";
    let gone = at.start("gone", &["--rm"], script);
    follow(&mut events, &["create", "start"]);
    std::fs::write(at.root.join("tmp/go"), "").expect("let it go on");
    gone.wait().exits(7);
    let die = follow(&mut events, &["die"]);
    assert_eq!(die["Actor"]["Attributes"]["exitCode"], "7");
    follow(&mut events, &["destroy"]);

    at.run(&["--name", "bad"]).arg("/no/such").run().exits(127);
    let die = follow(&mut events, &["create", "die"]);
    assert_eq!(die["Actor"]["Attributes"]["exitCode"], "127");
    events.signal(libc::SIGINT);
    events.wait();
}

#[test]
fn what_has_been_is_in_the_records() {
    requires!();
    let at = At::new();
    at.run(&["--name", "one"]).args(["sh", "-c", "exit 3"]).run().exits(3);
    at.run(&["--name", "two", "--label", HOSTILE.replace(['\r', '\n', '='], "").trim()])
        .arg("true")
        .run();
    at.run(&["--name", "two", "--replace", "--label", "x=\u{1b}[2J"]).arg("true").ok();
    let since = ["events", "--since", "1h", "--until", "0s"];
    let text = at.sublet(&since).ok();
    harmless(&text);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    let id = at.scratch.container("one");
    assert!(lines[2].contains(&format!("Z container die {id} (")), "{text}");
    assert!(lines[2].contains("exitCode=3") && lines[2].contains("name=one"), "{text}");
    let words = |more: &[&str]| at.sublet(&[&since[..], more].concat()).ok();
    let fields = ["--format", "{{.Action}} {{.Actor.Attributes.name}}"];
    assert_eq!(words(&[&["-f", "event=die"][..], &fields].concat()), "die one\ndie two");
    assert_eq!(words(&[&["-f", "container=one"][..], &fields].concat()).lines().count(), 3);
    assert_eq!(words(&["-f", "label=x", "-f", "event=start"]).lines().count(), 1);
    assert_eq!(words(&["-f", "label=y"]), "");
    let typed = ["-f", "type=container", "-f", "container=one"];
    assert_eq!(words(&typed).lines().count(), 3, "each key is passed");
    assert_eq!(words(&["-f", "type=container"]), text);
    assert_eq!(at.sublet(&["events", "--since", "1h", "--stream=false"]).ok(), text);
    let past = ["events", "--since", "2000-01-01", "--until", "2000-01-02T00:00:00Z"];
    assert_eq!(at.sublet(&past).ok(), "");
    at.sublet(&["events", "--since", "soon"]).refused(&["--since \"soon\"", "10m"]);
    at.sublet(&["events", "-f", "image=x"]).refused(&["no filter \"image\"", "event, container"]);
    at.sublet(&["events", "-f", "event=strat"]).refused(&["no event \"strat\"", "there is start"]);
}

#[test]
fn the_kernel_tells_of_pauses_and_of_memory() {
    requires!(user_manager);
    let at = At::new();
    let mut events = listen(&at, &[]);
    let greedy = "echo ready; read -r _ < /go/fifo
        dd if=/dev/zero of=/dev/null bs=200M count=1; exit 5";
    let directory = at.scratch.dir("go");
    Program::new("mkfifo").arg(format!("{directory}/fifo")).ok();
    let volume = format!("{directory}:/go");
    let running = at.start("web", &["-m", "64m", "-v", &volume], greedy);
    follow(&mut events, &["create", "start"]);
    at.sublet(&["pause", "web"]).ok();
    follow(&mut events, &["pause"]);
    at.sublet(&["unpause", "web"]).ok();
    follow(&mut events, &["unpause"]);
    at.sublet(&["update", "--pids-limit", "99", "web"]).ok();
    follow(&mut events, &["update"]);
    std::fs::write(format!("{directory}/fifo"), "\n").expect("go on");
    running.wait().exits(137);
    let mut told = Vec::new();
    while told.last().is_none_or(|word| word != "die") {
        told.push(next(&mut events)["Action"].as_str().expect("a word").to_owned());
    }
    assert!(told.contains(&"oom".to_owned()), "{told:?}");
    events.signal(libc::SIGINT);
    events.wait();
}

/// Who looks at a directory that has just been made may take it for a leftover
/// and put it away; then it is made again.
#[test]
fn what_was_left_of_an_attempt_is_no_end_of_the_container() {
    requires!();
    let at = At::new();
    let mut events = listen(&at, &[]);
    let _running = at.start("web", &[], SLEEP);
    follow(&mut events, &["create", "start"]);
    let dead = format!("run/sublet/.dead-{}", at.scratch.container("web"));
    std::fs::create_dir(at.scratch.join(dead)).expect("a directory of the store");
    at.sublet(&["rename", "web", "www"]).ok();
    follow(&mut events, &["rename"]);
}

/// Who enters a container, and who goes to it and leaves it.
#[test]
fn who_enters_and_who_attaches_is_told() {
    requires!();
    let at = At::new();
    let mut events = listen(&at, &[]);
    at.run(&["-dit", "--name", "web"]).arg("sh").ok();
    follow(&mut events, &["create", "start"]);
    at.sublet(&["exec", "web", "sh", "-c", "exit 3"]).run().exits(3);
    let command = "sh -c exit 3";
    let both = [format!("exec_create: {command}"), format!("exec_start: {command}")];
    let start = follow(&mut events, &both.each_ref().map(String::as_str));
    let exec = start["Actor"]["Attributes"]["execID"].as_str().expect("its id");
    assert_eq!((exec.len(), &start["Actor"]["Attributes"]["name"]), (64, &json!("web")));
    let die = follow(&mut events, &["exec_die"]);
    let attributes = &die["Actor"]["Attributes"];
    assert_eq!((&attributes["exitCode"], &attributes["execID"]), (&json!("3"), &json!(exec)));
    // One that is not there, and one that goes on without who has started it.
    at.sublet(&["exec", "web", "/no/such"]).run().exits(127);
    let die = follow(&mut events, &["exec_create: /no/such", "exec_start: /no/such", "exec_die"]);
    assert_eq!(die["Actor"]["Attributes"]["exitCode"], "127");
    at.sublet(&["exec", "-d", "web", "sh", "-c", "exit 4"]).ok();
    let command = "sh -c exit 4";
    let both = [format!("exec_create: {command}"), format!("exec_start: {command}")];
    follow(&mut events, &[&both[0], &both[1]]);
    let die = follow(&mut events, &["exec_die"]);
    assert_eq!(die["Actor"]["Attributes"]["exitCode"], "4");
    // Left by its keys; and killed, with who has started it gone before.
    let script = "echo $$ > /tmp/pid; echo ready; exec cat";
    let program = at.sublet(&["exec", "-it", "--detach-keys", "ctrl-x", "web", "sh", "-c", script]);
    let mut left = program.on_terminal();
    left.expect("ready");
    for _ in 0..2 {
        next(&mut events);
    }
    left.send("\u{18}");
    assert!(left.wait().success());
    follow(&mut events, &["exec_detach"]);
    at.sublet(&["exec", "web", "sh", "-c", "kill -KILL $(cat /tmp/pid)"]).ok();
    let mut killed = (0..4).map(|_| next(&mut events)).collect::<Vec<_>>();
    killed.retain(|event| event["Action"] == "exec_die");
    let codes: Vec<_> = killed.iter().map(|it| &it["Actor"]["Attributes"]["exitCode"]).collect();
    assert!(codes.contains(&&json!("137")) && codes.contains(&&json!("0")), "{killed:?}");
    let mut attached = at.sublet(&["attach", "web"]).on_terminal();
    follow(&mut events, &["attach"]);
    attached.send("\u{10}\u{11}");
    assert!(attached.wait().success());
    follow(&mut events, &["detach"]);

    // They are told of the past, too, and by docker's and podman's words.
    let words = |more: &[&str]| {
        let since = ["events", "--since", "1h", "--until", "0s", "--format"];
        let fields = "{{.Action}} {{.Actor.Attributes.name}}";
        at.sublet(&[&since[..], &[fields, "-f", "container=web"], more].concat()).ok()
    };
    assert_eq!(words(&["-f", "event=exec_die"]), words(&["-f", "event=exec_died"]));
    assert_eq!(words(&["-f", "event=exec_died"]).lines().count(), 5);
    assert_eq!(words(&["-f", "event=exec"]), words(&["-f", "event=exec_start"]));
    assert_eq!(words(&["-f", "event=exec_start"]).lines().count(), 5);
    assert!(words(&["-f", "event=detach"]).starts_with("detach web"));

    // What is inside when it ends has ended too, also where its files go at once.
    let entered = at.sublet(&["exec", "web", "sleep", "600"]).spawn();
    follow(&mut events, &["exec_create: sleep 600", "exec_start: sleep 600"]);
    at.sublet(&["rm", "-f", "web"]).ok();
    entered.wait();
    let mut told = Vec::new();
    while told.last().is_none_or(|word| word != "destroy") {
        told.push(next(&mut events)["Action"].as_str().expect("a word").to_owned());
    }
    assert_eq!(told.iter().filter(|word| *word == "exec_die").count(), 1, "{told:?}");
    events.signal(libc::SIGINT);
    events.wait();
    Leaks::of(&at.scratch).none();
}

/// Tells with a failure how many processes of this machine the kernel has killed
/// for want of memory: an end that nobody has asked for may be one.
struct Kills(String);

impl Kills {
    fn so_far() -> String {
        let all = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
        let line = all.lines().find(|line| line.starts_with("oom_kill "));
        line.unwrap_or("no oom_kill").to_owned()
    }
}

impl Drop for Kills {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("/proc/vmstat: {}, then {}", self.0, Self::so_far());
        }
    }
}

/// Of many at once, in several containers, none is lost: whether who has started
/// it stays, or is gone before its keeper has heard that it runs.
#[test]
fn none_of_many_is_missed() {
    requires!();
    let _kills = Kills(Kills::so_far());
    let at = At::new();
    let names = ["one", "two"];
    let running = names.map(|name| at.start(name, &[], SLEEP));
    let each = races().min(100);
    let mut events =
        at.sublet(&["events", "--since", "1h", "--format", "json"]).within(600.0).spawn();
    for _ in 0..4 {
        next(&mut events);
    }
    let count = 2 * 4 * each;
    std::thread::scope(|scope| {
        for name in names {
            for _ in 0..4 {
                let at = &at;
                scope.spawn(move || {
                    for number in 0..each {
                        let code = number as i32 % 100;
                        let script = format!("exit {code}");
                        let words = [name, "sh", "-c", &script];
                        match number % 2 {
                            0 => at.sublet(&[&["exec"], &words[..]].concat()).run().exits(code),
                            _ => at.sublet(&[&["exec", "-d"], &words[..]].concat()).run().exits(0),
                        };
                    }
                });
            }
        }
        let mut open = std::collections::BTreeMap::new();
        let mut died = 0;
        while died < count {
            let event = next(&mut events);
            let attributes = &event["Actor"]["Attributes"];
            let exec = attributes["execID"].as_str().expect("an id").to_owned();
            let action = event["Action"].as_str().expect("an action");
            if let Some((_, code)) = action.split_once("exec_start: sh -c exit ") {
                assert!(open.insert(exec, code.to_owned()).is_none(), "twice: {event}");
            } else if action == "exec_die" {
                let code = open.remove(&exec).expect("one that was started");
                assert_eq!(attributes["exitCode"], json!(code));
                died += 1;
            }
        }
        assert!(open.is_empty());
    });
    events.signal(libc::SIGINT);
    events.wait();
    for (name, running) in names.iter().zip(running) {
        at.sublet(&["rm", "-f", name]).ok();
        running.wait();
    }
}
