//! Real programs behind published ports.

use super::*;

/// In a network namespace of the test's own, where clients have addresses of
/// their own.
#[test]
fn nginx_logs_its_clients_addresses() {
    requires!(nginx, curl, unshare, iproute);
    let scratch = Scratch::new();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path /tmp/{kind};"))
        .concat();
    let configuration = scratch.file(
        "nginx.conf",
        format!(
            "daemon off; master_process off; user root root; pid /tmp/pid; error_log stderr;
             events {{}}
             http {{ access_log /dev/stdout; {temporary}
                 server {{ listen 8080; listen [::]:8080; return 200 \"welcome\\n\"; }} }}"
        ),
    );
    let script = r#"
        set -e
        ip link set lo up
        for address in 192.0.2.1 192.0.2.7 2001:db8::1 2001:db8::7; do
            ip address add $address dev lo
        done
        "$1" run --name web --network loopback --tmpfs /tmp -v "$2:/run/nginx.conf:ro" \
            -p 0.0.0.0:80:8080 -p [::]:80:8080 host nginx -c /run/nginx.conf >log 2>errors &
        until curl -sf http://192.0.2.1/ >first; do
            kill -0 $! || { cat errors; exit 1; }
            sleep 0.1
        done
        curl -sSf --interface 192.0.2.7 http://192.0.2.1/
        curl -sSf --interface 2001:db8::7 'http://[2001:db8::1]/'
        "$1" stop web >/dev/null
        wait $! || true
        tail -n 2 log | cut -d ' ' -f 1
    "#;
    let words = ["--user", "--map-root-user", "--net", "sh", "-c", script, "sh"];
    let program = Program::new("unshare").at_home(&scratch).args(words);
    let program = program.arg(launcher()).arg(configuration).directory(scratch.path());
    let told = program.within(90.0).ok();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["welcome", "welcome", "192.0.2.7", "2001:db8::7"]
    );
}

#[test]
fn redis_is_measured_through_its_port() {
    requires!(redis);
    let scratch = Scratch::new();
    let words = ["--network", "loopback", "-p", "6379", "-w", "/tmp", "host", "redis-server"];
    let options = ["--save", "", "--protected-mode", "no", "--port", "6379"];
    let program = Program::run_in(&scratch).args(words).args(options).within(120.0);
    let mut running = program.spawn();
    let port = published(&running.note()).port().to_string();
    let answers = || {
        let asked = Program::new("redis-cli").args(["-p", &port, "ping"]).within(30.0).run();
        (asked.stdout().trim() == "PONG").then_some(())
    };
    eventually(60.0, answers).expect("redis answers");
    let measure = ["-p", &port, "-n", "5000", "-c", "20", "-t", "set,get,lrange_100", "--csv"];
    let told = Program::new("redis-benchmark").args(measure).within(120.0).ok();
    for test in ["SET", "GET", "LRANGE_100"] {
        let line = told.lines().find(|line| line.starts_with(&format!("\"{test}")));
        let rate = line.and_then(|line| line.split('"').nth(3)?.parse::<f64>().ok());
        assert!(rate.is_some_and(|rate| rate > 0.0), "{test} was not measured: {told}");
    }
}

#[test]
fn iperf3_sends_both_ways() {
    requires!(iperf3);
    let scratch = Scratch::new();
    let words = [
        "--network",
        "loopback",
        "-p",
        "5201",
        "host",
        "iperf3",
        "--server",
        "--port",
        "5201",
        "--forceflush",
    ];
    let mut running = Program::run_in(&scratch).args(words).within(120.0).spawn();
    let port = published(&running.note()).port().to_string();
    // A line, and it listens.
    while !running.line().contains("listening") {}
    for way in [&[][..], &["--reverse"]] {
        let words = ["--client", "127.0.0.1", "--port", &port, "--bytes", "50M", "--json"];
        let told = Program::new("iperf3").args(words).args(way).within(100.0).json();
        let received = told["end"]["sum_received"]["bytes"].as_u64().unwrap_or(0);
        // What is under way when it says that it has sent all is not counted.
        assert!(received >= 25_000_000, "{way:?}: {received} bytes");
    }
}
