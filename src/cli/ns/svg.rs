//! The picture as a picture: SVG 1.1, with nothing in it that moves, runs or is
//! fetched.
//!
//! A card a container, in a frame that is the host. No line has to be followed
//! with the eye: what is shared has a colour and a number, on the cards and in
//! the legend below.

use std::fmt::Write;

use super::{of, shortened};
use crate::cli::columns::plain;
use crate::container::ns::{KINDS, Kind, Limits, Member, Picture, Share};
use crate::monitor::mebibytes;

/// Sizes, in pixels.
const CARD: (usize, usize) = (340, 214);
const GAP: usize = 20;
const EDGE: usize = 32;
const HEAD: usize = 92;
const LINE: usize = 30;

/// Colours of what is shared, told apart by people who don't see red or green
/// (Okabe and Ito).
const MARKS: [&str; 6] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D00", "#56B4E9"];

const STYLE: &str = "\
text { font-family: Inter, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif; \
fill: #1b2733 }
.mono { font-family: 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', monospace }
.faint { fill: #647485 }
.chip { font-size: 11.5px; text-anchor: middle }";

/// Draws it.
pub fn svg(picture: &Picture) -> String {
    let count = picture.members.len();
    let columns = match count {
        0 | 1 => 1,
        2..=4 => 2,
        5..=9 => 3,
        _ => 4,
    };
    let lines = count.div_ceil(columns).max(1);
    let groups = picture.groups();
    let inside = (columns * (CARD.0 + GAP) - GAP).max(2 * CARD.0 + GAP);
    let below = HEAD + lines * (CARD.1 + GAP);
    let legend = (groups.len() + 2) * LINE;
    let (width, height) = (inside + 4 * EDGE, below + 2 * EDGE + legend + EDGE);
    let mut page = Page(String::new());
    page.add(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>containers and their \
         namespaces</title>\n<style>{STYLE}</style>\n<rect width=\"{width}\" height=\"{height}\" \
         fill=\"#ffffff\"/>"
    ));
    page.rect((EDGE, EDGE), (inside + 2 * EDGE, below + EDGE - GAP), 14, "#f3f6f9", "#c9d3dd");
    page.text((2 * EDGE, EDGE + 34), "font-size=\"20\" font-weight=\"600\"", "host");
    let number = |kind: &Kind| Some(format!("{} {}", kind.name(), picture.host.get(*kind)?));
    let numbers: Vec<String> = KINDS.iter().filter_map(number).collect();
    let (one, two) = numbers.split_at(numbers.len() / 2);
    for (at, numbers) in [one, two].into_iter().enumerate() {
        let place = (2 * EDGE, EDGE + 56 + at * 17);
        page.text(place, "font-size=\"11\" class=\"mono faint\"", &numbers.join("   "));
    }
    if count == 0 {
        page.text((2 * EDGE, HEAD + EDGE + 40), "font-size=\"15\"", "no container runs");
    }
    for (at, member) in picture.members.iter().enumerate() {
        let x = 2 * EDGE + at % columns * (CARD.0 + GAP);
        let y = EDGE + HEAD + at / columns * (CARD.1 + GAP);
        card(&mut page, picture, member, (x, y));
    }
    let y = below + EDGE + GAP + 34;
    explain(&mut page, (EDGE, y));
    for (at, (kind, number, members)) in groups.iter().enumerate() {
        let y = y + (at + 1) * LINE;
        let labels: Vec<&str> =
            members.iter().map(|member| picture.members[*member].label.as_str()).collect();
        let title = format!("{} {}", kind.name(), at + 1);
        chip(&mut page, (EDGE, y - 15), &title, Look::Shared(at));
        let text = format!("namespace {number}, shared by {}", labels.join(", "));
        let most = (width - EDGE - 120) / 7;
        page.text((EDGE + 90, y), "font-size=\"13\"", &shortened(&text, most, "…"));
    }
    page.0.push_str("</svg>\n");
    page.0
}

fn card(page: &mut Page, picture: &Picture, member: &Member, (x, y): (usize, usize)) {
    page.rect((x, y), CARD, 10, "#ffffff", "#b9c6d2");
    let left = x + 16;
    page.text(
        (left, y + 28),
        "font-size=\"16\" font-weight=\"600\"",
        &shortened(&member.label, 24, "…"),
    );
    let id = member.id.as_ref().map_or("no record", |id| &id[..id.len().min(12)]);
    let end = x + CARD.0 - 16;
    page.text((end, y + 27), "font-size=\"11\" class=\"mono faint\" text-anchor=\"end\"", id);
    let small = "font-size=\"11\" class=\"mono faint\"";
    page.text((left, y + 48), small, &shortened(&member.command, 45, "…"));
    let processes = if member.processes == 1 { "process" } else { "processes" };
    let inner: usize = member.inner.len();
    let inside = match inner {
        0 => String::new(),
        1 => "   1 user namespace inside".to_owned(),
        _ => format!("   {inner} user namespaces inside"),
    };
    let first = format!("process {}   {} {processes}{inside}", member.pid, member.processes);
    page.text((left, y + 66), "font-size=\"12\"", &first);
    for (at, kind) in KINDS.into_iter().enumerate() {
        let place = (left + at % 4 * 78, y + 80 + at / 4 * 30);
        let (title, look) = match picture.share(member, kind) {
            Share::Own => (kind.name().to_owned(), Look::Own),
            Share::Host => (kind.name().to_owned(), Look::Host),
            Share::Hidden => (format!("{} ?", kind.name()), Look::Own),
            Share::Group(group) => (format!("{} {}", kind.name(), group + 1), Look::Shared(group)),
        };
        chip(page, place, &title, look);
    }
    if let Some(cgroup) = &member.cgroup {
        let path = cgroup.display().to_string();
        page.text((left, y + 158), small, &shortened(&path, 45, "…"));
    }
    bars(page, &member.limits, (left, y + 174));
}

/// How a namespace is drawn.
#[derive(Clone, Copy)]
enum Look {
    Own,
    Host,
    Shared(usize),
}

fn chip(page: &mut Page, (x, y): (usize, usize), title: &str, look: Look) {
    let (fill, stroke, ink) = match look {
        Look::Own => ("#e4ebf2", "#e4ebf2", "#1b2733"),
        Look::Host => ("#ffffff", "#9aa8b5", "#647485"),
        Look::Shared(group) => {
            let color = MARKS[group % MARKS.len()];
            (color, color, "#ffffff")
        }
    };
    let dashes = if matches!(look, Look::Host) { " stroke-dasharray=\"4 3\"" } else { "" };
    page.add(format_args!(
        "<rect x=\"{x}.5\" y=\"{y}.5\" width=\"70\" height=\"22\" rx=\"11\" fill=\"{fill}\" \
         stroke=\"{stroke}\"{dashes}/>"
    ));
    let style = format!("class=\"chip\" style=\"fill: {ink}\"");
    page.text((x + 35, y + 16), &style, title);
}

/// What is used of what may be used, side by side.
fn bars(page: &mut Page, limits: &Limits, (x, y): (usize, usize)) {
    let Limits { memory, memory_limit, pids, pids_limit, cpus } = *limits;
    let text = |count: u64| count.to_string();
    let memory_text = memory_limit.and(of(memory.map(mebibytes), memory_limit.map(mebibytes)));
    let pids_text = pids_limit.and(of(pids.map(text), pids_limit.map(text)));
    let part = |used: Option<u64>, limit: Option<u64>| {
        Some(used? as f64 / limit.filter(|limit| *limit > 0)? as f64)
    };
    let all = [
        ("memory", memory_text, part(memory, memory_limit), 140),
        ("processes", pids_text, part(pids, pids_limit), 100),
        ("CPUs", cpus.map(|cpus| cpus.to_string()), None, 52),
    ];
    let mut x = x;
    let mut is_limited = false;
    for (title, text, part, width) in all {
        let Some(text) = text else { continue };
        is_limited = true;
        page.text((x, y + 10), "font-size=\"10\" class=\"faint\"", &format!("{title} {text}"));
        if let Some(part) = part {
            let filled = (part.clamp(0.0, 1.0) * (width - 12) as f64).round() as usize;
            let color = if part > 0.9 { "#D55E00" } else { "#5b8db8" };
            page.rect((x, y + 17), (width - 12, 5), 2, "#e4ebf2", "none");
            page.rect((x, y + 17), (filled, 5), 2, color, "none");
        }
        x += width;
    }
    if !is_limited {
        page.text((x, y + 10), "font-size=\"10\" class=\"faint\"", "no limits");
    }
}

/// What the looks mean.
fn explain(page: &mut Page, (x, y): (usize, usize)) {
    chip(page, (x, y - 15), "own", Look::Own);
    page.text((x + 90, y), "font-size=\"13\"", "the container's alone");
    chip(page, (x + 270, y - 15), "host's", Look::Host);
    page.text((x + 360, y), "font-size=\"13\"", "shared with the host");
}

/// What is drawn so far.
struct Page(String);

impl Page {
    fn add(&mut self, element: std::fmt::Arguments) {
        // Writing to memory doesn't fail.
        _ = writeln!(self.0, "{element}");
    }

    fn rect(
        &mut self,
        (x, y): (usize, usize),
        (width, height): (usize, usize),
        round: usize,
        fill: &str,
        stroke: &str,
    ) {
        self.add(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\" \
             fill=\"{fill}\" stroke=\"{stroke}\"/>"
        ));
    }

    fn text(&mut self, (x, y): (usize, usize), style: &str, text: &str) {
        let text = escaped(text);
        self.add(format_args!(
            "<text x=\"{x}\" y=\"{y}\" {style} xml:space=\"preserve\">{text}</text>"
        ));
    }
}

/// Text in XML, which has no way to say a control character.
fn escaped(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::ns::tests::picture;

    #[test]
    fn what_is_shared_has_a_number_on_each_card_and_in_the_legend() {
        let text = svg(&picture());
        assert_eq!(text.matches(">net 1</text>").count(), 3, "{text}");
        assert!(text.contains("namespace 777, shared by web, db"), "{text}");
        assert_eq!(text.matches("stroke-dasharray").count(), 5, "time of all, net of one, legend");
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    }

    #[test]
    fn nothing_typed_is_markup() {
        let mut picture = picture();
        picture.members[0].command = "</text><script>&\u{1b}[2J".to_owned();
        let text = svg(&picture);
        assert!(!text.contains("<script>") && text.contains("&lt;script&gt;&amp;"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        let none = svg(&Picture::default());
        assert!(none.contains("no container runs"));
    }
}
