//! Being told of changes.

use super::*;

#[test]
fn each_step_of_a_container_is_heard_of() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut watch = Watch::new(&store).unwrap();
    assert_eq!(watch.changes().unwrap(), []);
    let (kept, gone) = (id("kept"), id("gone"));
    let changed = |id: &ContainerId| Change::Changed(id.clone());

    let reserved = run(&store, "kept", Some("web"), Afterwards::Keep);
    assert_eq!(watch.changes().unwrap(), [changed(&kept)]);
    watch.add(&store, &kept).unwrap();
    reserved.edit(|record| record.asked.root = "x".to_owned()).unwrap();
    assert_eq!(watch.changes().unwrap(), [changed(&kept)]);
    reserved.finish(exit(End::Code(3))).unwrap();
    assert_eq!(watch.changes().unwrap(), [changed(&kept)]);
    store.remove(&kept).unwrap();
    let removed = watch.changes().unwrap();
    assert!(removed.contains(&Change::Removed(kept, None)), "{removed:?}");

    // Of one that leaves no record there is its code all the same.
    let reserved = run(&store, "gone", None, Afterwards::Remove);
    watch.add(&store, &gone).unwrap();
    reserved.finish(exit(End::Code(7))).unwrap();
    let removed = watch.changes().unwrap();
    assert!(removed.contains(&Change::Removed(gone, Some(7))), "{removed:?}");
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
}
