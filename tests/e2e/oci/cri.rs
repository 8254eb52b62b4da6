//! A kubelet's part: pods asked of containerd by the Container Runtime Interface,
//! gRPC over the socket, which curl speaks. The messages are those of
//! runtime.v1 (kubernetes/cri-api), of which a few fields are enough.

use std::fs;

use super::containerd::{Containerd, IMAGE};
use crate::common::*;

/// The fields of a message, as protobuf encodes them.
#[derive(Clone, Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, field: u8, value: u64) -> Self {
        self.0.push(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u8, value: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn text(self, field: u8, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u8, value: Message) -> Self {
        self.bytes(field, &value.0)
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A field of it that is bytes, or a number as such.
    fn field(&self, wanted: u8) -> Vec<u8> {
        let mut rest = &self.0[..];
        let varint = |rest: &mut &[u8]| {
            let mut value = 0_u64;
            for at in 0.. {
                let (byte, after) = rest.split_first().expect("a whole number");
                *rest = after;
                value |= u64::from(byte & 0x7f) << (7 * at);
                if *byte < 0x80 {
                    break;
                }
            }
            value
        };
        while !rest.is_empty() {
            let key = varint(&mut rest);
            let value = varint(&mut rest);
            let found = match key & 7 {
                0 => vec![value as u8],
                _ => {
                    let (found, after) = rest.split_at(value as usize);
                    rest = after;
                    found.to_vec()
                }
            };
            if key >> 3 == u64::from(wanted) {
                return found;
            }
        }
        Vec::new()
    }

    fn word(&self, wanted: u8) -> String {
        String::from_utf8(self.field(wanted)).expect("text")
    }
}

/// Calls the runtime's service; the error that it answers with is a failure.
#[track_caller]
fn call(containerd: &Containerd, method: &str, request: &Message) -> Message {
    let scratch = &containerd.scratch;
    // No compression, and the length.
    let length = (request.0.len() as u32).to_be_bytes();
    let request = [&[0][..], &length, &request.0].concat();
    let data = format!("@{}", scratch.file("request", request));
    let (answer, head) = (scratch.text("answer"), scratch.text("head"));
    let url = format!("http://localhost/runtime.v1.RuntimeService/{method}");
    let socket = containerd.socket();
    let fixed = ["--silent", "--show-error", "--http2-prior-knowledge", "--unix-socket", &socket];
    let headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"];
    let files = ["--data-binary", &data, "--output", &answer, "--dump-header", &head, &url];
    Program::new("curl").args(fixed).args(headers).args(files).within(120.0).ok();
    let head = fs::read_to_string(head).expect("its headers");
    assert!(head.contains("grpc-status: 0"), "{method}: {head}");
    let answer = fs::read(answer).expect("its answer");
    Message(answer.get(5..).unwrap_or_default().to_vec())
}

/// A pod on the host's own network, so that it takes no plugin for one.
fn pod(containerd: &Containerd) -> Message {
    let named = Message::default().text(1, "web").text(2, "uid").text(3, "default");
    let host_network = Message::default().number(1, 2);
    let security = Message::default().message(1, host_network);
    let linux = Message::default().text(1, "user.slice").message(2, security);
    let names = Message::default().text(1, "127.0.0.1");
    let logs = containerd.scratch.dir("logs");
    Message::default().message(1, named).text(3, &logs).message(4, names).message(8, linux)
}

/// A container with 64 MiB, a tenth of a processor and a shell's script.
fn container(script: &str) -> Message {
    let named = Message::default().text(1, "busybox");
    let image = Message::default().text(1, IMAGE);
    let limits = Message::default().number(1, 100_000).number(2, 10_000).number(4, 64 << 20);
    let linux = Message::default().message(1, limits);
    Message::default()
        .message(1, named)
        .message(2, image)
        .text(3, "sh")
        .text(3, "-c")
        .text(3, script)
        .text(11, "busybox.log")
        .message(15, linux)
}

/// Runs a pod of the runtime class, and tells what a program in it says.
fn in_a_pod(containerd: &Containerd, said: &str) -> String {
    let asked = pod(containerd);
    let ask = |method: &str, request: Message| call(containerd, method, &request);
    let run = Message::default().message(1, asked.clone()).text(2, "sublet");
    let pod = ask("RunPodSandbox", run).word(1);
    let create = Message::default().text(1, &pod).message(2, container("echo up; exec sleep 600"));
    let id = ask("CreateContainer", create.message(3, asked)).word(1);
    let that = || Message::default().text(1, &id);
    ask("StartContainer", that());
    let log = containerd.scratch.join("logs/busybox.log");
    let up = || fs::read_to_string(&log).ok().filter(|text| text.contains("stdout F up"));
    eventually(30.0, up).expect("what it says is in its log");
    let exec = that().text(2, "sh").text(2, "-c").text(2, said);
    let told = ask("ExecSync", exec);
    assert_eq!(told.field(3), [3], "{:?}", told.word(2));
    ask("StopContainer", that());
    ask("RemoveContainer", that());
    let that = || Message::default().text(1, &pod);
    ask("StopPodSandbox", that());
    ask("RemovePodSandbox", that());
    containerd.nothing_left("k8s.io");
    told.word(1)
}

#[test]
fn containerd_runs_pods_of_a_runtime_class() {
    requires!(containerd, curl, ordinary_user, subuid);
    let containerd = Containerd::new();
    let told = in_a_pod(&containerd, "id -u; cat /proc/1/comm; exit 3");
    assert_eq!(told, "0\nsleep\n");
}

#[test]
fn containerd_of_root_limits_pods_of_a_runtime_class() {
    requires!(machine, root, containerd, curl);
    let containerd = Containerd::new();
    let limits = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max";
    let script = format!("cat /proc/self/cgroup {limits}; exit 3");
    let told = in_a_pod(&containerd, &script);
    // The group is the root of what is seen of the tree.
    assert_eq!(told, "0::/\n67108864\n10000 100000\n");
}
