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
    assert_eq!(at.sublet(&["events", "--since", "1h", "--stream=false"]).ok(), text);
    let past = ["events", "--since", "2000-01-01", "--until", "2000-01-02T00:00:00Z"];
    assert_eq!(at.sublet(&past).ok(), "");
    at.sublet(&["events", "--since", "soon"]).refused(&["--since \"soon\"", "10m"]);
    at.sublet(&["events", "-f", "image=x"]).refused(&["no filter \"image\"", "event, container"]);
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
