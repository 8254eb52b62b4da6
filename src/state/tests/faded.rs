//! Records that go by themselves.

use super::fade::KEPT;
use super::*;

#[test]
fn the_oldest_that_nobody_has_a_word_for_go() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let end = |text: &str, afterwards| {
        run(&store, text, None, afterwards).finish(exit(End::Code(0))).unwrap();
    };
    end("kept", Afterwards::Keep);
    let lives = run(&store, "lives", None, Afterwards::Fade);
    for at in 0..KEPT + 3 {
        end(&format!("f{at:03}"), Afterwards::Fade);
    }
    store.fade(&id("f001"));
    assert_eq!(store.list().unwrap().records.len(), KEPT + 5, "it is not its turn");
    store.fade(&id("f000"));
    let listing = store.list().unwrap();
    assert_eq!(listing.records.len(), KEPT + 2);
    assert_eq!(ids(&listing)[..3], ["kept", "lives", "f003"]);
    lives.finish(exit(End::Code(0))).unwrap();
    store.fade(&id("0"));
    let listing = store.list().unwrap();
    assert_eq!(ids(&listing)[..2], ["kept", "f003"], "it is the oldest, now that it has ended");
}
