//! Which connections are served: limits in all and per address, changed while the broker runs,
//! and a process that runs out of file descriptors.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use ottla_protocol::{ApiVersionsRequest, ErrorCode};

use crate::fixture::{Client, Owner, World, alter_config};

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn is_served(client: &mut Client) -> bool {
    client.ask(0, &ApiVersionsRequest::default()).is_ok()
}

/// A connection from there that is served, if it is.
fn connect(from: Ipv4Addr, to: SocketAddr) -> Option<Client> {
    let mut client = Client::connect_from(from, to).ok()?;
    is_served(&mut client).then_some(client)
}

/// Connects until it is served: the broker may not know yet that another has gone.
fn connect_in_the_end(from: Ipv4Addr, to: SocketAddr) -> Client {
    (0..1_000_000).find_map(|_| connect(from, to)).unwrap()
}

fn set(client: &mut Client, name: &'static str, value: &'static str) {
    assert_eq!(alter_config(client, Owner::Broker(""), name, value), ErrorCode::None);
}

#[test]
fn connections_over_the_limit_of_an_address_are_closed() {
    let world = World::new();
    let running = world.start(&[
        ("max.connections.per.ip", "2"),
        ("max.connections.per.ip.overrides", "127.0.0.2:1"),
    ]);
    let to = running.address();
    let first = connect(FIRST, to).unwrap();
    let _second = connect(FIRST, to).unwrap();
    assert!(connect(FIRST, to).is_none());
    let _other = connect(SECOND, to).unwrap();
    assert!(connect(SECOND, to).is_none());
    drop(first);
    drop(connect_in_the_end(FIRST, to));
    running.stop();
}

#[test]
fn limits_change_while_the_broker_runs() {
    let world = World::new();
    let running = world.start(&[("max.connections", "2")]);
    let to = running.address();
    let mut first = connect(FIRST, to).unwrap();
    let _second = connect(SECOND, to).unwrap();
    assert!(connect(FIRST, to).is_none());
    set(&mut first, "max.connections", "4");
    let third = connect(FIRST, to).unwrap();
    set(&mut first, "max.connections.per.ip.overrides", "127.0.0.1:2");
    assert!(connect(FIRST, to).is_none());
    drop(third);
    drop(connect_in_the_end(FIRST, to));
    running.stop();
}

/// Run by the test below, in a process of its own.
#[test]
#[ignore = "a broker for another test"]
fn a_broker_until_its_input_ends() {
    let world = World::new();
    let running = world.start(&[]);
    println!("listening {}", running.address());
    let mut nothing = Vec::new();
    std::io::stdin().read_to_end(&mut nothing).unwrap();
    running.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn a_broker_out_of_descriptors_serves_again_when_there_are_some() {
    const DESCRIPTORS: usize = 64;
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "admission::a_broker_until_its_input_ends"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let address =
        lines.find_map(|line| line.split_once("listening ").map(|(_, at)| at.parse().unwrap()));
    let to: SocketAddr = address.unwrap();

    let mut open = Vec::new();
    loop {
        let mut client = Client::connect(to).unwrap();
        client.wait_at_most(Duration::from_secs(2));
        let served = is_served(&mut client);
        open.push(client);
        if !served {
            break;
        }
        assert!(open.len() < DESCRIPTORS, "more connections than descriptors");
    }
    // Those that were served before still are.
    assert!(is_served(&mut open[0]));
    drop(open);
    assert!(is_served(&mut Client::connect(to).unwrap()));

    drop(child.stdin.take());
    assert!(lines.any(|line| line.contains("1 passed")));
    assert!(child.wait().unwrap().success());
}
