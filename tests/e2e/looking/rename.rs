//! `sublet rename`.

use super::SLEEP;
use crate::common::*;

#[test]
fn a_container_is_called_otherwise_while_it_runs() {
    requires!();
    let at = At::new();
    let script = "echo ready; while ! [ -e /tmp/go ]; do sleep 0.05; done; hostname; exit 7";
    let mut running = at.start("web", &[], script);
    let id = at.scratch.container("web");
    assert_eq!(at.sublet(&["rename", "web", "www"]).ok(), "");
    assert_eq!(at.names(&[]), ["www"]);
    assert_eq!(at.scratch.container("www"), id);
    at.sublet(&["inspect", "web"]).run().exits(1).explained(&["no container web", "www"]);
    // Its name is free, and it goes on as before.
    let other = at.start("web", &["--rm"], SLEEP);
    std::fs::write(at.root.join("tmp/go"), "").expect("let it go on");
    assert_eq!(running.line(), "web", "the host name stays");
    running.wait().exits(7);
    assert_eq!(at.inspect("www")["State"]["ExitCode"], 7);
    at.sublet(&["rename", &id[..12], "db"]).ok();
    let told = at.sublet(&["rename", "db", "web"]).run();
    told.exits(1).explained(&["the name web is in use by container"]);
    at.sublet(&["rename", "db", "db"]).run().exits(1).explained(&["is called db already"]);
    at.sublet(&["rename", "db"]).refused(&["two words", "CONTAINER NAME"]);
    at.sublet(&["rename", "db", "-x"]).run().exits(125);
    at.sublet(&["rename", "db", "a/b"]).refused(&["NAME \"a/b\""]);
    // One that leaves no record takes its new name along.
    at.sublet(&["rename", "web", "gone"]).ok();
    at.sublet(&["stop", "gone"]).ok();
    other.wait().exits(143);
    at.run(&["--name", "gone", "--rm"]).arg("true").ok();
    at.sublet(&["rm", "db"]).ok();
    assert!(at.left().is_empty(), "{:?}", at.left());
}
